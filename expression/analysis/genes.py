"""What speaks for a gene: the models, its own difference between the classes, the literature.

References: Lundberg et al. (2020), Nature Machine Intelligence 2:56 (SHAP for trees); Golub et al.
(1999), Science 286:531 (signal-to-noise); Benjamini & Hochberg (1995), JRSS B 57:289; Westfall &
Young (1993), Resampling-based multiple testing (step-down maxT).
"""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.pipeline import Pipeline

from expression.analysis.batches import LEVEL, auc_within, follow_batch
from expression.analysis.models import MODELS, file_name, gene_importance
from expression.analysis.selection import SELECTED_FROM, rank_genes
from expression.data import ExpressionData

MAX_BACKGROUND = 100  # patients that SHAP values are against
MAX_EXPLAINED = 200  # patients that have SHAP values
MAX_T_PERMUTATIONS = 1_000
MAX_EXACT = 2_500  # pairs of a patient of either class, for an exact Mann-Whitney test


def expression_tables(data: ExpressionData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the log2 values of all patients, and the same with each array standardised.

    The genes are those that pass the variation filter on the training patients.
    """
    pipeline = Pipeline(data.preprocessing.steps()).fit(data.X_train.to_numpy())
    genes = pd.Index(pipeline.get_feature_names_out(data.X_train.columns), name="accession")
    X = data.X_all.to_numpy()
    patients = data.y_all.index
    log2 = pd.DataFrame(pipeline[:-1].transform(X), patients, genes)
    expression = pd.DataFrame(pipeline.transform(X), patients, genes)
    return log2, expression


class People(NamedTuple):
    """What statistics of single genes are of: a row a person, not an array.

    Rows are named by the first array of theirs.
    """

    expression: pd.DataFrame  # people x genes, each array standardised
    log2: pd.DataFrame  # the same before
    y: pd.Series  # their classes
    batches: pd.Series | None


def average_arrays(data: ExpressionData, expression: pd.DataFrame, log2: pd.DataFrame) -> People:
    """Return the mean of the arrays of each person, class and batch; of all patients."""
    batches = None if data.batches is None else data.batches.loc[expression.index]
    if data.groups is None:
        return People(expression, log2, data.y_all, batches)
    arrays = pd.DataFrame(
        {"person": data.groups.loc[expression.index], "class": data.y_all.astype(str)}
    )
    if batches is not None:
        arrays["batch"] = batches
    person = arrays.groupby(list(arrays), sort=False).ngroup()
    first_arrays = person.index[~person.duplicated()]
    return People(
        expression=expression.groupby(person).mean().set_axis(first_arrays),
        log2=log2.groupby(person).mean().set_axis(first_arrays),
        y=data.y_all.loc[first_arrays],
        batches=None if batches is None else batches.loc[first_arrays],
    )


def explain(pipeline: Pipeline, X: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return SHAP values, patients x genes, towards the positive class.

    X is what the pipeline was fitted on. Of very many patients, `MAX_EXPLAINED` drawn at random are
    explained.
    """
    drawn = X.sample(min(len(X), MAX_EXPLAINED), random_state=seed)
    return explain_patients(pipeline, drawn, drawn).sort_index()


def explain_patients(
    pipeline: Pipeline, X: pd.DataFrame, X_explained: pd.DataFrame
) -> pd.DataFrame:
    """Return SHAP values of some patients, x genes, towards the positive class.

    The values are interventional, against patients of X, which the pipeline was fitted on, at most
    the first `MAX_BACKGROUND`. With the mean output of these, a patient's add up to the output:
    log-odds or a probability.
    """
    with warnings.catch_warnings(action="ignore", category=PendingDeprecationWarning):
        import shap  # takes seconds, and calls what matplotlib 3.11 announces to deprecate

    background = pipeline[:-1].transform(X.iloc[:MAX_BACKGROUND].to_numpy())
    masker = shap.maskers.Independent(background, max_samples=MAX_BACKGROUND)
    Z = pipeline[:-1].transform(X_explained.to_numpy())
    values = shap.Explainer(pipeline[-1], masker)(Z).values
    if values.ndim == 3:  # trees of scikit-learn: patients x genes x classes, the positive one last
        values = values[..., 1]
    genes = pipeline[:-1].get_feature_names_out(X.columns)
    return pd.DataFrame(values, X_explained.index, genes)


def split_classes(table: pd.DataFrame, y: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the patients of y in the negative, and in the positive class."""
    negative = table.loc[y.index[y.cat.codes == 0]]
    positive = table.loc[y.index[y.cat.codes == 1]]
    return negative, positive


def class_difference(expression: pd.DataFrame, log2: pd.DataFrame, y: pd.Series) -> pd.DataFrame:
    """Return how each gene differs, on its own, between the classes of the patients of y.

    `expression` is preprocessed, `log2` the same before each array is standardised. Differences
    are positive minus negative class.
    """
    negative, positive = split_classes(expression, y)
    log2_negative, log2_positive = split_classes(log2, y)
    noise = positive.std() + negative.std()
    return pd.DataFrame(
        {
            "signal_to_noise": (positive.mean() - negative.mean()) / noise,
            "log2_fold_change": log2_positive.mean() - log2_negative.mean(),
        }
    )


def auc_in_direction(expression: pd.DataFrame, y: pd.Series, direction: pd.Series) -> pd.DataFrame:
    """Return each gene's AUC in a direction, above 0 for genes higher in the positive class; below
    0.5 a gene points the other way. With its one-sided Mann-Whitney p-value, exact where no gene
    has ties and the patients are few, which means nothing where the direction was seen in y."""
    negative, positive = split_classes(expression, y)
    in_order = np.sort(expression.loc[y.index], axis=0)
    tied = (in_order[1:] == in_order[:-1]).any()
    pairs = len(negative) * len(positive)
    rank_test = stats.mannwhitneyu(
        positive * np.sign(direction),
        negative * np.sign(direction),
        alternative="greater",
        method="asymptotic" if tied or pairs > MAX_EXACT else "exact",
    )
    auc = rank_test.statistic / pairs
    p = rank_test.pvalue
    return pd.DataFrame({"auc": auc, "auc_p": p}, expression.columns)


def welch_statistics(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Welch's t of every gene for many vectors of classes: X patients x genes, y vectors x
    patients of 0 and 1, the statistics vectors x genes."""
    X = X - X.mean(axis=0)
    mean_1, error_1 = _mean_and_squared_error(X, y)
    mean_0, error_0 = _mean_and_squared_error(X, 1 - y)
    return (mean_1 - mean_0) / np.sqrt(error_1 + error_0)


def _mean_and_squared_error(X: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the members of each vector, and its squared standard error."""
    n = members.sum(axis=1, keepdims=True)
    mean = members @ X / n
    return mean, (members @ X**2 / n - mean**2) / (n - 1)


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


def gene_table(data: ExpressionData, people: People, frequency, seed: int) -> pd.DataFrame:
    """Return all that is known of each gene beside the single models, the surest genes first.

    `people` are all patients; `frequency` is the share of subsamples that select each gene of
    theirs.
    """
    expression, log2, y_all, batches = people
    y = y_all[y_all.index.isin(data.y_train.index)]
    y_test = y_all[y_all.index.isin(data.y_test.index)]
    genes = expression.columns
    in_training = class_difference(expression, log2, y)
    direction = in_training["signal_to_noise"]
    negative, positive = split_classes(expression, y)
    welch = stats.ttest_ind(positive, negative, equal_var=False)
    values = expression.loc[y.index].to_numpy()
    codes = y.cat.codes.to_numpy()
    negative_label, positive_label = data.classes
    table = pd.DataFrame(
        {
            "gene": data.gene_names[genes],
            "description": data.descriptions[genes],
            "selected": frequency >= SELECTED_FROM,
            "frequency": frequency,
            "higher_in": np.where(direction > 0, positive_label, negative_label),
            "signal_to_noise": in_training["signal_to_noise"],
            "log2_fold_change": in_training["log2_fold_change"],
            "auc": auc_in_direction(expression, y, direction)["auc"],
            "welch_t": welch.statistic,
            "welch_p": welch.pvalue,
            "welch_q": stats.false_discovery_control(welch.pvalue),
            "max_t_p": max_t_p(values, codes, MAX_T_PERMUTATIONS, seed),
        }
    )
    if len(y_test):
        in_test = class_difference(expression, log2, y_test)
        in_test = in_test.join(auc_in_direction(expression, y_test, direction))
        table = table.join(in_test.add_prefix("test_"))
    if batches is not None:
        table = table.join(batch_table(expression, y_all, batches, direction, table["selected"]))
    if data.informative_genes is not None:
        table["literature"] = data.informative_genes.reindex(genes).fillna("")
    surest_first = np.lexsort([-table["signal_to_noise"].abs(), -table["frequency"]])
    return table.iloc[surest_first]


def batch_table(
    expression: pd.DataFrame,
    y: pd.Series,
    batches: pd.Series,
    direction: pd.Series,
    selected: pd.Series,
) -> pd.DataFrame:
    """Return what batches say of each gene: its AUC within them, and whether it follows them.

    auc_within_batches: in the direction given; left out where no batch has both classes.
    batch_p, batch_q: of a difference between batches of one class; left out, with follows_batch,
    where no class has two batches.
    follows_batch: at a false discovery rate of 5 %, among the selected genes for these, as among
    thousands of genes no difference between so few patients may show; among all for the others.
    """
    is_positive = (y.cat.codes == 1).to_numpy()
    in_direction = expression.to_numpy() * np.sign(direction.to_numpy())
    auc = auc_within(in_direction, is_positive, batches.to_numpy())
    table = pd.DataFrame({"auc_within_batches": auc}, expression.columns)
    table = table.join(follow_batch(expression, y, batches)).dropna(axis="columns", how="all")
    if "batch_p" in table:
        table["follows_batch"] = table["batch_q"] < LEVEL
        if selected.any():
            q = stats.false_discovery_control(table.loc[selected, "batch_p"])
            table.loc[selected, "follows_batch"] = q < LEVEL
    return table


def model_tables(
    pipelines: dict[str, Pipeline],
    explanations: dict[str, pd.DataFrame],
    expression: pd.DataFrame,
    columns: pd.Index,
    selected: np.ndarray,
) -> dict[str, pd.DataFrame]:
    """Return what each model says of each gene of `expression`, patients x genes.

    The pipelines were fitted on the genes `columns`; `explanations` are their SHAP values;
    `selected` is subsamples x models x genes.
    `direction` is 1 if contributions to the positive class grow with expression, -1 if they fall.
    Genes that a model does not use have no rank.
    """
    genes = expression.columns
    tables = {}
    for i, (name, pipeline) in enumerate(pipelines.items()):
        importance = gene_importance(MODELS[name].importance, pipeline, columns)[genes]
        shap = explanations[name].reindex(columns=genes, fill_value=0.0)
        explained = expression.loc[shap.index]
        centred = explained - explained.mean()
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
    negative, positive = classes
    words = {-1: negative, 0: "", 1: positive}
    side_by_side = [table]
    for name, model_table in models.items():
        in_words = model_table.assign(direction=model_table["direction"].map(words))
        side_by_side.append(in_words.add_prefix(f"{file_name(name)}_"))
    return pd.concat(side_by_side, axis=1).rename_axis("accession")
