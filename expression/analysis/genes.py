"""What speaks for a gene: the models, its own difference between the classes, the literature.

References: Lundberg et al. (2020), Nature Machine Intelligence 2:56 (SHAP for trees); Golub et al.
(1999), Science 286:531 (signal-to-noise); Welch (1951), Biometrika 38:330 (F of several means);
Benjamini & Hochberg (1995), JRSS B 57:289; Storey & Tibshirani (2003), PNAS 100:9440 (permutations
of all genes); Westfall & Young (1993), Resampling-based multiple testing (step-down maxT).
"""

import warnings
from collections.abc import Sequence
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
PERMUTATIONS = 1_000  # of the classes, for the tests of single genes
AT_ONCE = 20  # of them, whose statistics fit into memory whatever the number of classes
MAX_EXACT = 2_500  # pairs of a patient of a class and another one, for an exact Mann-Whitney test


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


def explain(pipeline: Pipeline, X: pd.DataFrame, classes: Sequence[str], seed: int) -> pd.DataFrame:
    """Return SHAP values towards each class: patients x (class, gene).

    X is what the pipeline was fitted on. Of very many patients, `MAX_EXPLAINED` drawn at random are
    explained.
    """
    drawn = X.sample(min(len(X), MAX_EXPLAINED), random_state=seed)
    return explain_patients(pipeline, drawn, drawn, classes).sort_index()


def explain_patients(
    pipeline: Pipeline, X: pd.DataFrame, X_explained: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """Return SHAP values of some patients towards each class: patients x (class, gene).

    The values are interventional, against patients of X, which the pipeline was fitted on, at most
    the first `MAX_BACKGROUND`. With the mean output of these for a class, a patient's add up to the
    output for it: log-odds (of more than two classes, up to a number that all have in common) or a
    probability.
    """
    with warnings.catch_warnings(action="ignore", category=PendingDeprecationWarning):
        import shap  # takes seconds, and calls what matplotlib 3.11 announces to deprecate

    background = pipeline[:-1].transform(X.iloc[:MAX_BACKGROUND].to_numpy())
    masker = shap.maskers.Independent(background, max_samples=MAX_BACKGROUND)
    Z = pipeline[:-1].transform(X_explained.to_numpy())
    values = shap.Explainer(pipeline[-1], masker)(Z).values
    if values.ndim == 2:  # log-odds of two classes: those of the positive one only
        values = np.stack([-values, values], axis=-1)
    genes = pipeline[:-1].get_feature_names_out(X.columns)
    by_class = {
        label: pd.DataFrame(values[..., code], X_explained.index, genes)
        for code, label in enumerate(classes)
    }
    return pd.concat(by_class, axis="columns", names=["class", "gene"])


def split_class(table: pd.DataFrame, y: pd.Series, label: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the patients of y in a class, and of those in all others."""
    is_member = y == label
    return table.loc[y.index[is_member]], table.loc[y.index[~is_member]]


def class_higher_in(expression: pd.DataFrame, y: pd.Series) -> pd.Series:
    """Return, by gene, the class whose mean lies farthest above the mean of all other patients."""
    above_others = {}
    for label in y.cat.categories:
        members, others = split_class(expression, y, label)
        above_others[label] = members.mean() - others.mean()
    return pd.DataFrame(above_others).idxmax(axis="columns")


def genes_by_class(class_of_genes: pd.Series) -> dict[str, pd.Index]:
    """Return the genes of each class that has any."""
    return dict(class_of_genes.groupby(class_of_genes).groups)


def class_difference(
    expression: pd.DataFrame, log2: pd.DataFrame, y: pd.Series, class_of_genes: pd.Series
) -> pd.DataFrame:
    """Return how each gene differs, on its own, between a class of its own and all others.

    `expression` is preprocessed, `log2` the same before each array is standardised. Differences
    are those of the class minus the others, NaN where one of the two has too few patients.
    """
    parts = []
    for label, genes in genes_by_class(class_of_genes).items():
        members, others = split_class(expression[genes], y, label)
        log2_members, log2_others = split_class(log2[genes], y, label)
        noise = members.std() + others.std()
        differences = {
            "signal_to_noise": (members.mean() - others.mean()) / noise,
            "log2_fold_change": log2_members.mean() - log2_others.mean(),
        }
        parts.append(pd.DataFrame(differences))
    return pd.concat(parts).loc[class_of_genes.index]


def auc_of_class(expression: pd.DataFrame, y: pd.Series, class_of_genes: pd.Series) -> pd.DataFrame:
    """Return each gene's AUC for a class of its own against all others; below 0.5 it is lower
    there. With its one-sided Mann-Whitney p-value, exact where no gene has ties and the patients
    are few, which means nothing where the class was chosen by y. NaN where a side has no patient.
    """
    in_order = np.sort(expression.loc[y.index], axis=0)
    tied = (in_order[1:] == in_order[:-1]).any()
    table = pd.DataFrame(np.nan, class_of_genes.index, ["auc", "auc_p"])
    for label, genes in genes_by_class(class_of_genes).items():
        members, others = split_class(expression[genes], y, label)
        pairs = len(members) * len(others)
        if not pairs:
            continue
        rank_test = stats.mannwhitneyu(
            members,
            others,
            alternative="greater",
            method="asymptotic" if tied or pairs > MAX_EXACT else "exact",
        )
        table.loc[genes, "auc"] = rank_test.statistic / pairs
        table.loc[genes, "auc_p"] = rank_test.pvalue
    return table


def auc_of_class_within(
    expression: pd.DataFrame, y: pd.Series, batches: pd.Series, class_of_genes: pd.Series
) -> pd.Series:
    """Return the same AUC within batches, NaN where no batch has the class and another."""
    auc = pd.Series(np.nan, class_of_genes.index)
    for label, genes in genes_by_class(class_of_genes).items():
        is_member = (y == label).to_numpy()
        auc[genes] = auc_within(expression[genes].to_numpy(), is_member, batches.to_numpy())
    return auc


def welch_statistics(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the root of Welch's F of every gene for many vectors of classes.

    X is patients x genes, y vectors x patients of whole numbers, the statistics vectors x genes. F
    lets each class have its own variance; of two classes the root is Welch's t without its sign.
    """
    codes = np.unique(y)
    members = (y == codes[:, np.newaxis, np.newaxis]).astype(float)  # classes x vectors x patients
    n = members.sum(axis=-1, keepdims=True)
    X = X - X.mean(axis=0)
    mean = members @ X / n  # classes x vectors x genes
    squared_error = (members @ X**2 / n - mean**2) / (n - 1)
    # A class in which a gene is the same everywhere outweighs others, but not infinitely
    weight = 1 / np.maximum(squared_error, 1e-12 * X.var(axis=0))

    share = weight / weight.sum(axis=0)
    common_mean = (share * mean).sum(axis=0)
    between = (weight * (mean - common_mean) ** 2).sum(axis=0) / (len(codes) - 1)
    imbalance = ((1 - share) ** 2 / (n - 1)).sum(axis=0)
    return np.sqrt(between / (1 + 2 * (len(codes) - 2) / (len(codes) ** 2 - 1) * imbalance))


def permuted_statistics(X: np.ndarray, y: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Return the same for y, patients, and as many permutations of it, in rows after the first."""
    labels = np.tile(np.asarray(y, dtype=float), (1 + permutations, 1))
    labels[1:] = np.random.default_rng(seed).permuted(labels[1:], axis=1)
    starts = range(0, len(labels), AT_ONCE)
    return np.vstack([welch_statistics(X, labels[i : i + AT_ONCE]) for i in starts])


def pooled_p(size: np.ndarray) -> np.ndarray:
    """Return each gene's p-value among the statistics of all genes with permuted classes.

    `size` is (true classes, then permuted ones) x genes. Unlike F's own distribution it holds for
    many classes of few patients, of which more would seem to differ.
    """
    permuted = np.sort(size[1:], axis=None)
    as_large = len(permuted) - np.searchsorted(permuted, size[0] - 1e-9)
    return (1 + as_large) / (1 + len(permuted))


def max_t_p(size: np.ndarray) -> np.ndarray:
    """Return each gene's p-value adjusted for all genes: Westfall & Young's step-down maxT.

    It bounds the probability of any false finding, whatever the correlation of the genes, where it
    and the spread are the same in all classes. `size` is (true classes, then permuted ones) x
    genes.
    """
    order = np.argsort(size[0], kind="stable")
    largest_so_far = np.maximum.accumulate(size[:, order], axis=1)
    p = (largest_so_far >= size[0, order] - 1e-9).mean(axis=0)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[::-1])[::-1]
    return adjusted


def class_tests(expression: pd.DataFrame, y: pd.Series, seed: int) -> pd.DataFrame:
    """Return whether each gene differs between any of the classes of the patients of y.

    Welch's t of two classes, above 0 for genes higher in the positive one; else his F.
    """
    values = expression.loc[y.index].to_numpy()
    size = permuted_statistics(values, y.cat.codes.to_numpy(), PERMUTATIONS, seed)
    if len(y.cat.categories) == 2:
        positive, negative = split_class(expression, y, y.cat.categories[1])
        welch = stats.ttest_ind(positive, negative, equal_var=False)
        tests = {"welch_t": welch.statistic, "welch_p": welch.pvalue}
    else:
        tests = {"welch_f": size[0] ** 2, "welch_p": pooled_p(size)}
    tests["welch_q"] = stats.false_discovery_control(tests["welch_p"])
    return pd.DataFrame(tests | {"max_t_p": max_t_p(size)}, expression.columns)


def gene_table(data: ExpressionData, people: People, frequency, seed: int) -> pd.DataFrame:
    """Return all that is known of each gene beside the single models, the surest genes first.

    `people` are all patients; `frequency` is the share of subsamples that select each gene of
    theirs.
    """
    expression, log2, y_all, batches = people
    y = y_all[y_all.index.isin(data.y_train.index)]
    y_test = y_all[y_all.index.isin(data.y_test.index)]
    genes = expression.columns
    higher_in = class_higher_in(expression, y)
    compared = higher_in
    if len(data.classes) == 2:  # where the sign says in which one a gene is higher
        compared = pd.Series(data.classes[1], genes)
    table = pd.DataFrame(
        {
            "gene": data.gene_names[genes],
            "description": data.descriptions[genes],
            "selected": frequency >= SELECTED_FROM,
            "frequency": frequency,
            "higher_in": higher_in,
        }
    )
    table = table.join(class_difference(expression, log2, y, compared))
    table["auc"] = auc_of_class(expression, y, higher_in)["auc"]
    table = table.join(class_tests(expression, y, seed))
    if len(y_test):
        in_test = class_difference(expression, log2, y_test, compared)
        in_test = in_test.join(auc_of_class(expression, y_test, higher_in))
        table = table.join(in_test.add_prefix("test_"))
    if batches is not None:
        table = table.join(batch_table(expression, y_all, batches, higher_in, table["selected"]))
    if data.informative_genes is not None:
        table["literature"] = data.informative_genes.reindex(genes).fillna("")
    surest_first = np.lexsort([-table["signal_to_noise"].abs(), -table["frequency"]])
    return table.iloc[surest_first]


def batch_table(
    expression: pd.DataFrame,
    y: pd.Series,
    batches: pd.Series,
    higher_in: pd.Series,
    selected: pd.Series,
) -> pd.DataFrame:
    """Return what batches say of each gene: its AUC within them, and whether it follows them.

    auc_within_batches: of the class a gene is higher in; left out where no batch has two classes.
    batch_p, batch_q: of a difference between batches of one class; left out, with follows_batch,
    where no class has two batches.
    follows_batch: at a false discovery rate of 5 %, among the selected genes for these, as among
    thousands of genes no difference between so few patients may show; among all for the others.
    """
    auc = auc_of_class_within(expression, y, batches, higher_in)
    table = auc.to_frame("auc_within_batches")
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
    mean_abs_shap: over patients and classes.
    direction: the class towards which contributions grow most with expression, "" where none do.
    Genes that a model does not use have no rank.
    """
    genes = expression.columns
    tables = {}
    for i, (name, pipeline) in enumerate(pipelines.items()):
        importance = gene_importance(MODELS[name].importance, pipeline, columns)[genes]
        shap = explanations[name]
        explained = expression.loc[shap.index]
        centred = explained - explained.mean()
        growth = pd.DataFrame(
            {label: (shap[label] * centred).sum() for label in shap.columns.unique("class")}
        )
        mean_size = shap.abs().mean().groupby("gene").mean()
        tables[name] = pd.DataFrame(
            {
                "importance": importance,
                "rank": pd.Series(rank_genes(importance), genes).where(importance > 0),
                "mean_abs_shap": mean_size.reindex(genes, fill_value=0.0),
                "direction": growth.idxmax(axis="columns").where(
                    growth.max(axis="columns") > 0, ""
                ),
                "frequency": selected[:, i].mean(axis=0),
            }
        )
    return tables


def full_table(table: pd.DataFrame, models: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the tables of all genes side by side."""
    of_models = [
        model_table.add_prefix(f"{file_name(name)}_") for name, model_table in models.items()
    ]
    return pd.concat([table, *of_models], axis="columns").rename_axis("accession")
