"""What a list of genes is measured against: its stability, chance, one gene alone, the literature.

References: Nogueira, Sechidis & Brown (2018), JMLR 18(174) (stability index); Golub et al. (1999),
Science 286:531 (signal-to-noise); Benjamini & Hochberg (1995), JRSS B 57:289 (q-values).
"""

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import Pipeline

from expression_data import ExpressionData
from reporting import run_parallel

MIN_FREQUENCY = 0.5  # of the halves, for the consensus
RANK_INTERVAL = (0.05, 0.95)  # quantiles over the halves


def own_importance(pipeline: Pipeline, genes: pd.Index) -> pd.Series:
    """Return a fitted pipeline's importance of every gene, 0 for those its model does not use."""
    model, names = pipeline[-1], pipeline[:-1].get_feature_names_out(genes)
    values = np.abs(model.coef_[0]) if hasattr(model, "coef_") else model.feature_importances_
    return pd.Series(values, names, dtype=float).reindex(genes, fill_value=0.0)


def refit(pipelines: dict, X: pd.DataFrame, y: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return the importances of every model fitted anew."""
    fits = (clone(pipeline).set_params(model__random_state=seed) for pipeline in pipelines.values())
    return [own_importance(fit.fit(X.to_numpy(), y), X.columns).to_numpy() for fit in fits]


def resample(
    pipelines: dict[str, Pipeline], X: pd.DataFrame, y: np.ndarray, args: argparse.Namespace
) -> np.ndarray:
    """Return importances, (1 + permutations) x halves x models x genes; true labels come first.

    The halves are stratified, and come in complementary pairs.
    """
    rng = np.random.default_rng(args.seed)
    labels = [y, *(rng.permutation(y) for _ in range(args.permutations))]
    pairs = StratifiedShuffleSplit(
        args.subsamples // 2, train_size=0.5, test_size=0.5, random_state=args.seed
    )
    unfitted = {name: clone(pipeline) for name, pipeline in pipelines.items()}
    tasks = [
        (unfitted, X.iloc[half], codes[half], int(rng.integers(2**31)))
        for codes in labels
        for pair in pairs.split(X, codes)
        for half in pair
    ]
    importances = run_parallel(refit, tasks, args, "refitting on halves")
    return np.reshape(importances, (len(labels), args.subsamples, len(pipelines), X.shape[1]))


def rank_genes(importances: np.ndarray) -> np.ndarray:
    """Return ranks along the last axis, 1 for the largest; ties share the worse rank."""
    return stats.rankdata(-importances, axis=-1, method="max")


def consensus_lists(ranks: np.ndarray, top: int) -> np.ndarray:
    """Return which genes are among the `top` by their mean rank over the models.

    From ranks, labels x halves x models x genes, to booleans, labels x halves x genes.
    """
    return rank_genes(-ranks.mean(axis=2)) <= top


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
    low, high = stats.norm.interval(0.95, index, error)
    return index, low, high


def class_difference(
    expression: pd.DataFrame, log2: pd.DataFrame, y: pd.Series, sign: pd.Series | None = None
) -> pd.DataFrame:
    """Return how each gene differs between the classes of the patients of y, on its own.

    `expression` is preprocessed, `log2` the same before each array is standardised. Differences
    are positive minus negative class. The AUC and its one-sided Mann-Whitney p-value are those of
    the direction `sign`, or of the one seen here: below 0.5 a gene points the other way.
    """
    low, high = (expression.loc[y.index[y.cat.codes == code]] for code in (0, 1))
    difference = high.mean() - low.mean()
    sign = np.sign(difference if sign is None else sign)
    welch = stats.ttest_ind(high, low, equal_var=False)
    rank_test = stats.mannwhitneyu(
        high * sign, low * sign, alternative="greater", method="asymptotic"
    )
    return pd.DataFrame(
        {
            "signal_to_noise": difference / (high.std() + low.std()),
            "log2_fold_change": log2.loc[high.index].mean() - log2.loc[low.index].mean(),
            "welch_t": welch.statistic,
            "welch_p": welch.pvalue,
            "auc": rank_test.statistic / (len(high) * len(low)),
            "auc_p": rank_test.pvalue,
        }
    )


def tabulate_genes(
    data: ExpressionData, expression: pd.DataFrame, log2: pd.DataFrame, frequency: np.ndarray
) -> pd.DataFrame:
    """Return what is known of each gene beside the single models; the surest genes come first.

    `frequency` is the `consensus_frequency`; `by_chance` the mean number of genes that reach the
    gene's frequency when labels are permuted.
    """
    table = pd.DataFrame({"gene": data.gene_names, "description": data.descriptions})
    table = table.loc[expression.columns].assign(
        consensus=frequency[0] >= MIN_FREQUENCY,
        consensus_frequency=frequency[0],
        by_chance=[(frequency[1:] >= reached).sum(axis=1).mean() for reached in frequency[0]],
    )
    alone = class_difference(expression, log2, data.y_train)
    alone["welch_q"] = stats.false_discovery_control(alone["welch_p"])
    table["higher_in"] = np.where(alone["signal_to_noise"] > 0, *data.classes[::-1])
    table = table.join(alone)
    if data.y_test.nunique() == 2:
        replicated = class_difference(expression, log2, data.y_test, alone["signal_to_noise"])
        table = table.join(replicated.add_prefix("test_"))
    if data.informative_genes is not None:
        table["literature"] = data.informative_genes.reindex(table.index).fillna("")
    strength = table["signal_to_noise"].abs()
    order = np.lexsort([-strength, -table["consensus_frequency"]])
    return table.iloc[order]


def model_evidence(
    importance: pd.Series,
    values: pd.DataFrame,
    expression: pd.DataFrame,
    ranks: np.ndarray,
    selected: np.ndarray,
    classes: Sequence[str],
) -> pd.DataFrame:
    """Return what one model says of each gene of `expression`, training patients x genes.

    SHAP `values` are of the same patients; `ranks` and `selected` are halves x genes. A gene
    pushes to the positive class if its contribution grows with its expression.
    """
    values = values.reindex(columns=expression.columns, fill_value=0.0)
    slope = (values * (expression - expression.mean())).sum()
    low, high = np.quantile(ranks, RANK_INTERVAL, axis=0)
    return pd.DataFrame(
        {
            "importance": importance,
            "rank": pd.Series(rank_genes(importance), importance.index).where(importance > 0),
            "mean_abs_shap": values.abs().mean(),
            "pushes_to": np.select([slope > 0, slope < 0], classes[::-1], ""),
            "frequency": selected.mean(axis=0),
            "rank_low": low,
            "rank_high": high,
        }
    )


def literature_overlap(lists: dict[str, pd.Index], known: pd.Index, universe: pd.Index):
    """Return how many genes of each list are `known`, and the hypergeometric p-value.

    It is the chance of as many or more if the list were drawn blindly from the universe.
    """
    known = known.intersection(universe)
    table = pd.DataFrame({"genes": {name: len(genes) for name, genes in lists.items()}})
    table["in literature"] = [len(known.intersection(genes)) for genes in lists.values()]
    table["expected"] = table["genes"] * len(known) / len(universe)
    table["p"] = stats.hypergeom.sf(
        table["in literature"] - 1, len(universe), len(known), table["genes"]
    )
    return table


def most_missed_patient(probabilities: pd.DataFrame, y: pd.Series):
    """Return the patient most models get wrong, and among equals most clearly.

    `probabilities` of the positive class are patients x models.
    """
    error = probabilities.sub(y.cat.codes, axis=0).abs()
    return ((error > 0.5).sum(axis=1) + error.mean(axis=1)).idxmax()
