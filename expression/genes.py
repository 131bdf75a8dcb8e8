"""What speaks for a gene: the models, its own difference between the classes, the literature.

References: Lundberg et al. (2020), Nature Machine Intelligence 2:56 (SHAP for trees); Golub et al.
(1999), Science 286:531 (signal-to-noise); Benjamini & Hochberg (1995), JRSS B 57:289.
"""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.pipeline import Pipeline

from expression import selection
from expression.data import ExpressionData
from expression.models import MODELS, Unfitted, build_models, gene_importance
from expression.tuning import fit_models


class Explanation(NamedTuple):
    """How one model's output comes about: ``base + values.sum(axis=1)`` is the output."""

    values: pd.DataFrame  # SHAP values, patients x genes, towards the positive class
    base: float  # the mean output over the background
    probability: pd.Series  # of the positive class
    unit: str  # of the output: "probability" or "log-odds"


class Evidence(NamedTuple):
    """All that is known of the genes."""

    explanations: dict[str, Explanation]  # of all patients, by model
    expression: pd.DataFrame  # preprocessed, all patients x the genes that vary
    table: pd.DataFrame  # a row a gene, the surest first
    models: dict[str, pd.DataFrame]  # what each model says of each gene
    stability: pd.DataFrame  # of the lists of the subsamples
    frequency: np.ndarray  # selection frequencies, labels (the true ones first) x genes


def gather_evidence(
    data: ExpressionData, subsamples: int, permutations: int, top: int, seed: int
) -> Evidence:
    """Tune, explain and refit the models, then gather what speaks for each gene."""
    X, y = data.X_train, data.y_train.cat.codes.to_numpy()
    log2, expression = expression_tables(data)
    genes = expression.columns
    selection.check_top(top, len(genes))
    pipelines = tune_pipelines(build_models(data.preprocessing, seed), X, y)
    explanations = {name: explain(name, p, X, data.X_all) for name, p in pipelines.items()}
    importances = selection.refit_on_subsamples(
        pipelines, X[genes], y, subsamples, permutations, seed
    )
    ranks = selection.rank_genes(importances)
    selected = (ranks <= top) & (importances > 0)
    consensus = selection.consensus_ranks(ranks)
    lists = dict(zip(pipelines, selected[0].swapaxes(0, 1), strict=True))
    lists["All, by mean rank"] = consensus[0] <= top
    train = expression.loc[X.index]
    return Evidence(
        explanations,
        expression,
        gene_table(data, expression, log2, (consensus <= top).mean(axis=1)),
        model_tables(pipelines, explanations, train, X.columns, selected[0]),
        selection.stability_table(lists),
        (consensus <= top).mean(axis=1),
    )


def expression_tables(data: ExpressionData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the log2 values of all patients, and the same with each array standardised.

    The genes are those that pass the variation filter on the training patients.
    """
    tables = []
    for steps in (data.preprocessing.log2_steps(), data.preprocessing.steps()):
        pipeline = Pipeline(steps).fit(data.X_train.to_numpy())
        genes = pd.Index(pipeline.get_feature_names_out(data.X_train.columns), name="accession")
        table = pipeline.transform(data.X_all.to_numpy())
        tables.append(pd.DataFrame(table, data.X_all.index, genes))
    return tuple(tables)


def tune_pipelines(
    models: dict[str, Unfitted], X: pd.DataFrame, y: np.ndarray
) -> dict[str, Pipeline]:
    """Return the models that can be explained, tuned as in Q1 and fitted on the patients of X."""
    explained = {name: models[name] for name, model in MODELS.items() if model.importance}
    return {name: s.best_estimator_ for name, s in fit_models(explained, X, y).items()}


def explain(name: str, pipeline: Pipeline, background: pd.DataFrame, X: pd.DataFrame):
    """Return the `Explanation` of the model `name`, for the patients of X.

    The SHAP values are interventional, against the patients of `background`.
    """
    with warnings.catch_warnings(action="ignore", category=PendingDeprecationWarning):
        import shap  # takes seconds, and calls what matplotlib 3.11 announces to deprecate

    reference, Z = (pipeline[:-1].transform(part.to_numpy()) for part in (background, X))
    masker = shap.maskers.Independent(reference, max_samples=len(reference))
    found = shap.Explainer(pipeline[-1], masker)(Z)
    values, base = found.values, found.base_values
    if values.ndim == 3:  # trees of scikit-learn: patients x genes x classes, the positive one last
        values, base = values[..., 1], base[..., 1]
    values = pd.DataFrame(values, X.index, pipeline[:-1].get_feature_names_out(X.columns))
    probability = pd.Series(pipeline[-1].predict_proba(Z)[:, 1].astype(float), X.index)
    return Explanation(values, float(base[0]), probability, MODELS[name].importance.shap_unit)


def class_difference(
    expression: pd.DataFrame, log2: pd.DataFrame, y: pd.Series, sign: pd.Series | None = None
) -> pd.DataFrame:
    """Return how each gene differs, on its own, between the classes of the patients of y.

    `expression` is preprocessed, `log2` the same before each array is standardised. Differences
    are positive minus negative class. The AUC and its one-sided Mann-Whitney p-value are those of
    the direction `sign`, or of the one seen here: below 0.5 a gene points the other way.
    """
    low, high = (expression.loc[y.index[y.cat.codes == code]] for code in (0, 1))
    difference = high.mean() - low.mean()
    sign = np.sign(difference if sign is None else sign)
    rank_test = stats.mannwhitneyu(
        high * sign, low * sign, alternative="greater", method="asymptotic"
    )
    return pd.DataFrame(
        {
            "signal_to_noise": difference / (high.std() + low.std()),
            "log2_fold_change": log2.loc[high.index].mean() - log2.loc[low.index].mean(),
            "auc": rank_test.statistic / (len(high) * len(low)),
            "auc_p": rank_test.pvalue,
        }
    )


def gene_table(
    data: ExpressionData,
    expression: pd.DataFrame,
    log2: pd.DataFrame,
    frequency: np.ndarray,
) -> pd.DataFrame:
    """Return all that is known of each gene beside the single models, the surest genes first.

    `expression` and `log2` are of all patients, `frequency` is labels x genes.
    `expected_false_selections` is the mean number of genes that reach a gene's frequency with
    permuted labels.
    """
    table = pd.DataFrame({"gene": data.gene_names, "description": data.descriptions})
    table = table.loc[expression.columns].assign(
        consensus=frequency[0] >= selection.MIN_FREQUENCY,
        frequency=frequency[0],
        expected_false_selections=[(frequency[1:] >= f).sum(axis=1).mean() for f in frequency[0]],
    )
    train = class_difference(expression, log2, data.y_train)
    table["higher_in"] = np.where(train["signal_to_noise"] > 0, *data.classes[::-1])
    positive, negative = (data.y_train.index[data.y_train.cat.codes == code] for code in (1, 0))
    welch = stats.ttest_ind(expression.loc[positive], expression.loc[negative], equal_var=False)
    table = table.join(train).assign(
        welch_t=welch.statistic,
        welch_p=welch.pvalue,
        welch_q=stats.false_discovery_control(welch.pvalue),
    )
    if len(data.y_test):
        test = class_difference(expression, log2, data.y_test, train["signal_to_noise"])
        table = table.join(test.add_prefix("test_"))
    if data.informative_genes is not None:
        table["literature"] = data.informative_genes.reindex(table.index).fillna("")
    return table.iloc[np.lexsort([-table["signal_to_noise"].abs(), -table["frequency"]])]


def model_tables(
    pipelines: dict[str, Pipeline],
    explanations: dict[str, Explanation],
    expression: pd.DataFrame,
    columns: pd.Index,
    selected: np.ndarray,
) -> dict[str, pd.DataFrame]:
    """Return what each model says of each gene of `expression`, training patients x genes.

    The pipelines were fitted on `columns`; `selected` is subsamples x models x genes.
    `direction` is 1 if contributions to the positive class grow with expression, -1 if they fall.
    """
    genes, tables = expression.columns, {}
    for i, (name, pipeline) in enumerate(pipelines.items()):
        importance = gene_importance(MODELS[name].importance, pipeline, columns)[genes]
        shap = explanations[name].values.reindex(expression.index, columns=genes, fill_value=0.0)
        tables[name] = pd.DataFrame(
            {
                "importance": importance,
                "rank": pd.Series(selection.rank_genes(importance), genes).where(importance > 0),
                "mean_abs_shap": shap.abs().mean(),
                "direction": np.sign((shap * (expression - expression.mean())).sum()),
                "frequency": selected[:, i].mean(axis=0),
            }
        )
    return tables


def full_table(
    table: pd.DataFrame, models: dict[str, pd.DataFrame], data: ExpressionData
) -> pd.DataFrame:
    """Return the tables of all genes side by side; genes not analysed come last."""
    words = dict(zip((-1, 0, 1), (data.classes[0], "", data.classes[1]), strict=True))
    side_by_side = [table]
    for name, model in models.items():
        model = model.assign(direction=model["direction"].map(words))
        side_by_side.append(model.add_prefix(f"{name.lower().replace(' ', '_')}_"))
    rest = data.X_train.columns.difference(table.index)
    full = pd.concat(side_by_side, axis=1).reindex([*table.index, *rest])
    full["gene"], full["description"] = data.gene_names, data.descriptions
    return full.rename_axis("accession")


def literature_overlap(
    lists: dict[str, pd.Index], known: pd.Index, universe: pd.Index
) -> pd.DataFrame:
    """Return how many genes of each list are `known`, and the hypergeometric p-value.

    It is the probability of as many or more if the list were drawn at random from the universe.
    """
    known = known.intersection(universe)
    size = pd.Series({name: len(genes) for name, genes in lists.items()})
    shared = pd.Series({name: len(known.intersection(genes)) for name, genes in lists.items()})
    p = stats.hypergeom.sf(shared - 1, len(universe), len(known), size)
    expected = size * len(known) / len(universe)
    return pd.DataFrame({"genes": size, "known": shared, "expected": expected, "p": p})
