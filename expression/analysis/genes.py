"""What speaks for a gene: the models, its own difference between the classes, the literature.

References: Lundberg et al. (2020), Nature Machine Intelligence 2:56 (SHAP for trees); Golub et al.
(1999), Science 286:531 (signal-to-noise); Benjamini & Hochberg (1995), JRSS B 57:289; Westfall &
Young (1993), Resampling-based multiple testing (step-down maxT).
"""

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.pipeline import Pipeline

from expression.analysis.models import MODELS, gene_importance
from expression.analysis.selection import SELECTED_FROM, rank_genes
from expression.data import ExpressionData

MAX_BACKGROUND, MAX_EXPLAINED = 100, 200  # patients, for SHAP values
MAX_T_PERMUTATIONS = 1_000
MAX_EXACT = 2_500  # pairs of a patient of either class, for an exact Mann-Whitney test


def expression_tables(data: ExpressionData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the log2 values of all patients, and the same with each array standardised.

    The genes are those that pass the variation filter on the training patients.
    """
    pipeline = Pipeline(data.preprocessing.steps()).fit(data.X_train.to_numpy())
    genes = pd.Index(pipeline.get_feature_names_out(data.X_train.columns), name="accession")
    X, patients = data.X_all.to_numpy(), data.y_all.index
    log2, expression = (steps.transform(X) for steps in (pipeline[:-1], pipeline))
    return pd.DataFrame(log2, patients, genes), pd.DataFrame(expression, patients, genes)


def explain(pipeline: Pipeline, X: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return SHAP values, patients x genes, towards the positive class.

    X is what the pipeline was fitted on. The values are interventional, against the same patients;
    with the mean output, a patient's add up to the output: log-odds or a probability. Of very many
    patients, `MAX_EXPLAINED` drawn at random are explained, against `MAX_BACKGROUND`.
    """
    with warnings.catch_warnings(action="ignore", category=PendingDeprecationWarning):
        import shap  # takes seconds, and calls what matplotlib 3.11 announces to deprecate

    drawn = X.sample(min(len(X), MAX_EXPLAINED), random_state=seed)
    Z = pipeline[:-1].transform(drawn.to_numpy())
    masker = shap.maskers.Independent(Z[:MAX_BACKGROUND], max_samples=MAX_BACKGROUND)
    values = shap.Explainer(pipeline[-1], masker)(Z).values
    if values.ndim == 3:  # trees of scikit-learn: patients x genes x classes, the positive one last
        values = values[..., 1]
    genes = pipeline[:-1].get_feature_names_out(X.columns)
    return pd.DataFrame(values, drawn.index, genes).sort_index()


def split_classes(table: pd.DataFrame, y: pd.Series) -> Iterator[pd.DataFrame]:
    """Return the rows of the patients of y in the negative, then in the positive class."""
    return (table.loc[y.index[y.cat.codes == code]] for code in (0, 1))


def class_difference(
    expression: pd.DataFrame, log2: pd.DataFrame, y: pd.Series, sign: pd.Series | None = None
) -> pd.DataFrame:
    """Return how each gene differs, on its own, between the classes of the patients of y.

    `expression` is preprocessed, `log2` the same before each array is standardised. Differences
    are positive minus negative class. The AUC is that of the direction `sign`, with its one-sided
    Mann-Whitney p-value, exact where no gene has ties and the patients are few; below 0.5 a gene
    points the other way. Without `sign` it is that of the direction seen here, which has no p.
    """
    low, high = split_classes(expression, y)
    difference, given = high.mean() - low.mean(), sign is not None
    sign = np.sign(sign if given else difference)
    in_order = np.sort(expression.loc[y.index], axis=0)
    tied = (in_order[1:] == in_order[:-1]).any()
    exact = given and len(high) * len(low) <= MAX_EXACT and not tied
    options = {"alternative": "greater", "method": "exact" if exact else "asymptotic"}
    rank_test = stats.mannwhitneyu(high * sign, low * sign, **options)
    table = pd.DataFrame(
        {
            "signal_to_noise": difference / (high.std() + low.std()),
            "log2_fold_change": log2.loc[high.index].mean() - log2.loc[low.index].mean(),
            "auc": rank_test.statistic / (len(high) * len(low)),
        }
    )
    return table.assign(auc_p=rank_test.pvalue) if given else table


def welch_statistics(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Welch's t of every gene for many vectors of classes: X patients x genes, y vectors x
    patients of 0 and 1, the statistics vectors x genes."""
    X, sides = X - X.mean(axis=0), []
    for members in (y, 1 - y):
        n = members.sum(axis=1, keepdims=True)
        mean = members @ X / n
        sides.append((mean, (members @ X**2 / n - mean**2) / (n - 1)))  # squared standard errors
    (mean_1, error_1), (mean_0, error_0) = sides
    return (mean_1 - mean_0) / np.sqrt(error_1 + error_0)


def max_t_p(X: np.ndarray, y: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Return each gene's p-value adjusted for all genes: Westfall & Young's step-down maxT.

    It bounds the probability of any false finding, whatever the correlation of the genes, where it
    and the spread are the same in both classes. X is patients x genes, y the classes as 0 and 1.
    """
    labels = np.tile(np.asarray(y, dtype=float), (1 + permutations, 1))
    labels[1:] = np.random.default_rng(seed).permuted(labels[1:], axis=1)
    size = np.abs(welch_statistics(X, labels))
    order = np.argsort(size[0], kind="stable")
    largest_so_far = np.maximum.accumulate(size[:, order], axis=1)
    p = (largest_so_far >= size[0, order] - 1e-9).mean(axis=0)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[::-1])[::-1]
    return adjusted


def gene_table(
    data: ExpressionData, expression: pd.DataFrame, log2: pd.DataFrame, frequency, seed: int
) -> pd.DataFrame:
    """Return all that is known of each gene beside the single models, the surest genes first.

    `expression` and `log2` are of all patients; `frequency` is the share of subsamples that select
    each gene of theirs.
    """
    y, genes = data.y_train, expression.columns
    difference = class_difference(expression, log2, y)
    negative, positive = split_classes(expression, y)
    welch = stats.ttest_ind(positive, negative, equal_var=False)
    values, codes = expression.loc[y.index].to_numpy(), y.cat.codes.to_numpy()
    table = pd.DataFrame(
        {
            "gene": data.gene_names[genes],
            "description": data.descriptions[genes],
            "selected": frequency >= SELECTED_FROM,
            "frequency": frequency,
            "higher_in": np.where(difference["signal_to_noise"] > 0, *data.classes[::-1]),
            **difference,
            "welch_t": welch.statistic,
            "welch_p": welch.pvalue,
            "welch_q": stats.false_discovery_control(welch.pvalue),
            "max_t_p": max_t_p(values, codes, MAX_T_PERMUTATIONS, seed),
        }
    )
    if len(data.y_test):
        test = class_difference(expression, log2, data.y_test, difference["signal_to_noise"])
        table = table.join(test.add_prefix("test_"))
    if data.informative_genes is not None:
        table["literature"] = data.informative_genes.reindex(genes).fillna("")
    return table.iloc[np.lexsort([-table["signal_to_noise"].abs(), -table["frequency"]])]


def model_tables(
    pipelines: dict[str, Pipeline], explanations: dict, expression: pd.DataFrame, columns, selected
) -> dict[str, pd.DataFrame]:
    """Return what each model says of each gene of `expression`, patients x genes.

    The pipelines were fitted on the genes `columns`; `explanations` are their SHAP values;
    `selected` is subsamples x models x genes.
    `direction` is 1 if contributions to the positive class grow with expression, -1 if they fall.
    """
    genes, tables = expression.columns, {}
    for i, (name, pipeline) in enumerate(pipelines.items()):
        importance = gene_importance(MODELS[name].importance, pipeline, columns)[genes]
        shap = explanations[name].reindex(columns=genes, fill_value=0.0)
        centred = expression.loc[shap.index] - expression.loc[shap.index].mean()
        tables[name] = pd.DataFrame(
            {
                "importance": importance,
                "rank": pd.Series(rank_genes(importance), genes).where(importance > 0),
                "mean_abs_shap": shap.abs().mean(),
                "direction": np.sign((shap * centred).sum()),
                "frequency": selected[:, i].mean(axis=0),
            }
        )
    return tables


def full_table(
    table: pd.DataFrame, models: dict[str, pd.DataFrame], classes: tuple[str, str]
) -> pd.DataFrame:
    """Return the tables of all genes side by side."""
    words = {-1: classes[0], 0: "", 1: classes[1]}
    side_by_side = [table]
    for name, model in models.items():
        model = model.assign(direction=model["direction"].map(words))
        side_by_side.append(model.add_prefix(f"{name.lower().replace(' ', '_')}_"))
    return pd.concat(side_by_side, axis=1).rename_axis("accession")
