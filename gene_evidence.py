"""What speaks for a gene: models, how often they come back to it, chance, itself, the literature.

Rankings are arrays of labels x halves x models x genes: first the refits on the true labels, then
those on permuted labels.

References: Meinshausen & Bühlmann (2010), JRSS B 72:417, and Shah & Samworth (2013), JRSS B 75:55
(complementary halves); Nogueira, Sechidis & Brown (2018), JMLR 18(174) (stability index); Golub et
al. (1999), Science 286:531 (signal-to-noise); Benjamini & Hochberg (1995), JRSS B 57:289.
"""

import argparse
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit
from sklearn.base import clone
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import Pipeline
from xgboost import XGBClassifier

from expression_data import DataError, ExpressionData
from preprocessing import preprocessing_steps
from reporting import run_parallel

MIN_FREQUENCY = 0.5  # of the halves, for the consensus
POOR, EXCELLENT = 0.4, 0.75  # how Nogueira et al. read their index
RANK_INTERVAL = (0.05, 0.95)  # quantiles over the halves


def check_top(top: int, n_genes: int) -> None:
    """Raise a DataError when the first `top` genes are all there are, or nearly."""
    if 2 * top > n_genes:
        raise DataError(
            f"--top: must be at most half of the {n_genes} genes that vary - found {top}; "
            "choose a smaller number"
        )


def expression_tables(data: ExpressionData, scale: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the log2 values of all patients, and the same with each array standardised.

    The genes are those that pass the variation filter on the training patients.
    """
    steps = Pipeline(preprocessing_steps(scale)).fit(data.X_train.to_numpy())
    genes = pd.Index(steps.get_feature_names_out(data.X_train.columns), name="accession")
    tables = (part.transform(data.X_all.to_numpy()) for part in (steps[:-1], steps))
    return tuple(pd.DataFrame(table, data.X_all.index, genes) for table in tables)


class Explanation(NamedTuple):
    """How one model's output comes about: ``base + values.sum(axis=1)`` is the output."""

    values: pd.DataFrame  # SHAP values, patients x genes
    base: float  # the mean output over the background
    output: pd.Series  # of the positive class
    unit: str

    @property
    def probability(self) -> pd.Series:
        return self.output if self.unit == "probability" else expit(self.output)


def explain(pipeline: Pipeline, background: pd.DataFrame, X: pd.DataFrame) -> Explanation:
    """Return what makes a fitted pipeline favour the positive class, for the patients of X.

    The SHAP values are interventional. Trees of scikit-learn are explained in probability, the
    logistic regression and XGBoost in log-odds.
    """
    with warnings.catch_warnings(action="ignore", category=PendingDeprecationWarning):
        import shap  # takes seconds, and calls what matplotlib 3.11 announces to deprecate

    model = pipeline[-1]
    reference, Z = (pipeline[:-1].transform(part.to_numpy()) for part in (background, X))
    masker = shap.maskers.Independent(reference, max_samples=len(reference))
    explainer = shap.LinearExplainer if hasattr(model, "coef_") else shap.TreeExplainer
    explanation = explainer(model, masker)(Z)
    values, base = explanation.values, explanation.base_values
    if values.ndim == 3:  # trees of scikit-learn: patients x genes x classes, the positive one last
        values, base = values[..., 1], base[..., 1]
    if isinstance(model, XGBClassifier):
        output, unit = model.predict(Z, output_margin=True), "log-odds"
    elif hasattr(model, "decision_function"):
        output, unit = model.decision_function(Z), "log-odds"
    else:
        output, unit = model.predict_proba(Z)[:, 1], "probability"
    values = pd.DataFrame(values, X.index, pipeline[:-1].get_feature_names_out(X.columns))
    return Explanation(values, float(base[0]), pd.Series(output, X.index), unit)


def own_importance(pipeline: Pipeline, genes: pd.Index) -> pd.Series:
    """Return a fitted pipeline's importance of every gene, 0 for those its model does not use.

    |Coefficient|, impurity decrease or gain; `genes` are the columns it was fitted on.
    """
    model, names = pipeline[-1], pipeline[:-1].get_feature_names_out(genes)
    values = np.abs(model.coef_[0]) if hasattr(model, "coef_") else model.feature_importances_
    return pd.Series(values, names, dtype=float).reindex(genes, fill_value=0.0)


def resample(
    pipelines: dict[str, Pipeline], X: pd.DataFrame, y: np.ndarray, args: argparse.Namespace
) -> np.ndarray:
    """Return the importances of the pipelines refitted on stratified halves of the patients.

    X is patients x genes, y their classes as 0 and 1. Halves come in complementary pairs,
    `args.subsamples` in all; the same again for each of `args.permutations` permuted labels.
    """
    pairs = StratifiedShuffleSplit(
        args.subsamples // 2, train_size=0.5, test_size=0.5, random_state=args.seed
    )
    unfitted = [clone(pipeline) for pipeline in pipelines.values()]
    tasks = []
    for number in range(args.permutations + 1):
        rng = np.random.default_rng([args.seed, number])  # no permutation changes another's refits
        codes = rng.permutation(y) if number else y
        halves = [half for pair in pairs.split(X, codes) for half in pair]
        seeds = rng.integers(2**31, size=len(halves)).tolist()
        tasks += [
            (unfitted, X.iloc[half], codes[half], seed)
            for half, seed in zip(halves, seeds, strict=True)
        ]
    importances = run_parallel(_refit, tasks, args, "refitting on halves")
    return np.reshape(importances, (-1, args.subsamples, len(unfitted), X.shape[1]))


def _refit(unfitted: list[Pipeline], X: pd.DataFrame, y: np.ndarray, seed: int) -> list[np.ndarray]:
    fits = (clone(pipeline).set_params(model__random_state=seed) for pipeline in unfitted)
    return [own_importance(fit.fit(X.to_numpy(), y), X.columns).to_numpy() for fit in fits]


def rank_genes(importances: np.ndarray) -> np.ndarray:
    """Return ranks along the last axis, 1 for the largest; ties share the worse rank."""
    return stats.rankdata(-importances, axis=-1, method="max")


def consensus_ranks(ranks: np.ndarray) -> np.ndarray:
    """Return the genes' ranks by their mean rank over the models: labels x halves x genes."""
    return rank_genes(-ranks.mean(axis=2))


def nogueira_stability(selected: np.ndarray) -> tuple[float, float, float]:
    """Return the stability index of Nogueira et al. (2018) and its asymptotic 95 % interval.

    `selected` is subsamples x genes, True where a subsample selects a gene. 1: always the same
    genes; 0 is expected by chance; NaN if none or all are selected. Equals Fleiss' kappa.
    """
    subsamples, genes = selected.shape
    frequency, share = selected.mean(axis=0), selected.mean(axis=1)
    mean = share.mean()
    if mean in (0, 1):
        return np.nan, np.nan, np.nan
    variance = (frequency * (1 - frequency)).mean() * subsamples / (subsamples - 1)
    index = 1 - variance / (mean * (1 - mean))
    phi = selected @ frequency / genes - share * mean
    phi += index / 2 * (2 * share * mean - share - mean + 1)
    error = 2 * np.std(phi / (mean * (1 - mean))) / np.sqrt(subsamples)
    return index, index - 1.96 * error, index + 1.96 * error


def stability_table(lists: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return how alike the lists of the halves are, for each of `lists` (halves x genes)."""
    rows = {name: (s.sum(axis=1).mean(), *nogueira_stability(s)) for name, s in lists.items()}
    columns = ["genes a half", "stability", "low", "high"]
    table = pd.DataFrame.from_dict(rows, "index", columns=columns)
    table["reading"] = np.select(
        [table["stability"] < POOR, table["stability"] > EXCELLENT, table["stability"].notna()],
        ["poor", "excellent", "intermediate"],
        "undefined",
    )
    return table


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
    consensus: np.ndarray,
    top: int,
) -> pd.DataFrame:
    """Return all that is known of each gene beside the single models, the surest genes first.

    `expression` and `log2` are of all patients, `consensus` are the `consensus_ranks`.
    `by_chance` is the mean number of genes that reach a gene's frequency with permuted labels.
    """
    frequency = (consensus <= top).mean(axis=1)
    low, high = np.quantile(consensus[0], RANK_INTERVAL, axis=0, method="inverted_cdf")
    table = pd.DataFrame({"gene": data.gene_names, "description": data.descriptions})
    table = table.loc[expression.columns].assign(
        consensus=frequency[0] >= MIN_FREQUENCY,
        frequency=frequency[0],
        by_chance=[(frequency[1:] >= reached).sum(axis=1).mean() for reached in frequency[0]],
        rank_low=low,
        rank_high=high,
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
    explanations: dict,
    expression: pd.DataFrame,
    columns: pd.Index,
    ranks: np.ndarray,
    selected: np.ndarray,
) -> dict[str, pd.DataFrame]:
    """Return what each model says of each gene of `expression`, training patients x genes.

    The pipelines were fitted on `columns`; the `values` of `explanations` are SHAP values; `ranks`
    and `selected` are halves x models x genes. `direction` is 1 if contributions to the positive
    class grow with expression, -1 if they fall.
    """
    genes, tables = expression.columns, {}
    low, high = np.quantile(ranks, RANK_INTERVAL, axis=0, method="inverted_cdf")
    for i, (name, pipeline) in enumerate(pipelines.items()):
        importance = own_importance(pipeline, columns)[genes]
        shap = explanations[name].values.reindex(expression.index, columns=genes, fill_value=0.0)
        tables[name] = pd.DataFrame(
            {
                "importance": importance,
                "rank": pd.Series(rank_genes(importance), genes).where(importance > 0),
                "mean_abs_shap": shap.abs().mean(),
                "direction": np.sign((shap * (expression - expression.mean())).sum()),
                "frequency": selected[:, i].mean(axis=0),
                "rank_low": low[i],
                "rank_high": high[i],
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

    It is the chance of as many or more if the list were drawn blindly from the universe.
    """
    known = known.intersection(universe)
    size = pd.Series({name: len(genes) for name, genes in lists.items()})
    shared = pd.Series({name: len(known.intersection(genes)) for name, genes in lists.items()})
    p = stats.hypergeom.sf(shared - 1, len(universe), len(known), size)
    expected = size * len(known) / len(universe)
    return pd.DataFrame({"genes": size, "known": shared, "expected": expected, "p": p})


def replication_table(lists: dict[str, pd.Index], table: pd.DataFrame) -> pd.DataFrame:
    """Return how lists of genes, fixed before, fare on the test patients."""
    rows = {}
    for name, index in lists.items():
        genes = table.loc[index]
        same = (genes["test_auc"] > 0.5).sum()
        rows[name] = (len(genes), same, genes["auc"].median(), genes["test_auc"].median())
    columns = ["genes", "same direction", "median AUC, training", "median AUC, test"]
    return pd.DataFrame.from_dict(rows, "index", columns=columns)


def most_missed_patient(probabilities: pd.DataFrame, y: pd.Series):
    """Return the patient whom most models get wrong, and among equals most clearly.

    `probabilities` of the positive class are patients x models.
    """
    error = probabilities.sub(y.cat.codes, axis=0).abs()
    return ((error > 0.5).sum(axis=1) + error.mean(axis=1)).idxmax()
