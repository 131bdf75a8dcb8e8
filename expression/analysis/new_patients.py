"""What is said of patients whose class is not known: calls, doubts, likeness, and reasons.

Probabilities have a column a model and class, (model, class).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from expression.analysis.components import (
    ERROR,
    fit_components,
    held_out_scores,
    parallel_analysis,
)
from expression.analysis.conformal import are_possible, p_values
from expression.analysis.evaluation import Resampled
from expression.analysis.genes import MAX_BACKGROUND, explain_patients
from expression.analysis.models import MAJORITY, file_name, models_of
from expression.analysis.tuning import Fitted, predict
from expression.data import ExpressionData

PERMUTATIONS = 200  # of the genes, to count the components by
LEADING_GENES = 5
EXPLAINED = ("Logistic Regression", "Random Forest")  # one that adds genes up, one of trees
AT_ONCE = 500  # patients, as each has a number a gene in every step
UNLIKE = 0.05  # the share of training arrays that lie farther out, below which an array is unlike


class Possible(NamedTuple):
    """Which classes cannot be excluded; patients x (model, class)."""

    p: pd.DataFrame
    classes: pd.DataFrame  # True where the class cannot be excluded

    def of(self, patients: pd.Index) -> "Possible":
        return Possible(self.p.loc[patients], self.classes.loc[patients])

    def in_words(self, model: str) -> pd.Series:
        """Return, for each patient, the classes that a model cannot exclude, or 'none'."""
        possible = self.classes[model]
        names = [" or ".join(possible.columns[row]) for row in possible.to_numpy()]
        return pd.Series(names, possible.index).replace("", "none")


class NewPatients(NamedTuple):
    """All that is said of new patients."""

    P: pd.DataFrame  # probabilities, patients x (model, class)
    best: str  # the model that calls them
    possible: Possible
    farther_out: pd.Series  # training arrays that lie farther out
    training_arrays: int
    reasons: dict[str, "Reasons"]  # by model

    @property
    def predicted(self) -> pd.DataFrame:
        """The class of largest probability, patients x models."""
        return pd.DataFrame({name: self.P[name].idxmax(axis=1) for name in models_of(self.P)})

    @property
    def unlike(self) -> pd.Index:
        """The patients whose arrays as a whole are unlike the training arrays."""
        return self.farther_out.index[is_unlike(self.farther_out, self.training_arrays)]


def judge(
    data: ExpressionData,
    fitted: dict[str, Fitted],
    nested: Resampled,
    best: str,
    confidence: float,
    seed: int,
) -> NewPatients:
    """Return all that is said of the new patients, by models fitted on the training patients."""
    P = predict_new(fitted, data)
    return NewPatients(
        P=P,
        best=best,
        possible=find_possible(nested, P, confidence),
        farther_out=count_farther_out(data, seed),
        training_arrays=len(data.X_train),
        reasons=explain_calls(fitted, data, seed),
    )


def predict_new(
    fitted: dict[str, Fitted], data: ExpressionData, most: int | None = None
) -> pd.DataFrame:
    """Return the probabilities of the new patients, or of the first of them."""
    P = predict(fitted, data.X_new.iloc[:most], data.classes)
    return P.drop(columns=MAJORITY, level="model")


def find_possible(nested: Resampled, P: pd.DataFrame, confidence: float) -> Possible:
    """Return the classes that cannot be excluded, by every model but the majority's."""
    repeats = nested.scores.index
    codes = nested.y.cat.codes
    P = P.drop(columns=MAJORITY, level="model", errors="ignore")
    p = {}
    for name in models_of(P):
        held_out = nested.P[name]
        of_repeats = np.stack([held_out.loc[repeat].loc[codes.index] for repeat in repeats])
        p[name] = pd.DataFrame(
            p_values(of_repeats, codes.to_numpy(), P[name].to_numpy()),
            P.index,
            P[name].columns,
        )
    p = pd.concat(p, axis="columns", names=["model", "class"])
    return Possible(p, are_possible(p, confidence))


def count_called(possible: Possible, y: pd.Series) -> pd.DataFrame:
    """Return how many patients of known class each model calls, and how many of these correctly."""
    rows = {}
    for name in models_of(possible.classes):
        of_model = possible.classes[name]
        called = of_model[of_model.sum(axis=1) == 1]
        correct = called.idxmax(axis=1) == y.loc[called.index].astype(str)
        rows[name] = {"called": len(called), "correct": int(correct.sum())}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


# --- the array as a whole -------------------------------------------------------------------------


def count_farther_out(data: ExpressionData, seed: int) -> pd.Series:
    """Return how many training arrays lie farther from the components than each new one does.

    How far is the reconstruction error of as many components as parallel analysis retains. Each
    training array is held out in turn (with others of the same person), and so measured by a fit to
    fewer arrays than the new ones are: it lies a little farther out for that, so that a new array
    is taken for unlike too rarely rather than too often.
    """
    X = data.X_train
    steps = data.preprocessing.steps()
    fitted = fit_components(X, steps)
    variance = parallel_analysis(fitted, X, data.groups, PERMUTATIONS, seed)
    retained = max(1, int(variance["retained"].sum()))
    people = len(X) if data.groups is None else data.groups[X.index].nunique()
    of_training, _ = held_out_scores(
        fitted.loadings.iloc[:, :retained],
        X,
        data.groups,
        steps,
        retained=retained,
        folds=people,
        seed=seed,
    )
    errors = np.sort(of_training[ERROR])
    of_new = pd.concat(fitted.scores(part, retained)[ERROR] for part in in_parts(data.X_new))
    farther = len(errors) - np.searchsorted(errors, of_new, side="right")
    return pd.Series(farther, data.X_new.index)


def is_unlike(farther_out: pd.Series, training: int) -> pd.Series:
    """Return which new arrays lie farther out than training arrays do, but for one in twenty."""
    return (farther_out + 1) / (training + 1) < UNLIKE


def in_parts(X: pd.DataFrame) -> list[pd.DataFrame]:
    return [X.iloc[start : start + AT_ONCE] for start in range(0, len(X), AT_ONCE)]


# --- reasons --------------------------------------------------------------------------------------


class Reasons(NamedTuple):
    """The genes that moved a model most, patients x rank from 1."""

    genes: pd.DataFrame
    is_high: pd.DataFrame  # whether it is the patient's high value that speaks so, or the low one
    speaks_for: pd.DataFrame  # the class
    values: pd.DataFrame  # SHAP values, towards that class


def explain_calls(fitted: dict[str, Fitted], data: ExpressionData, seed: int) -> dict[str, Reasons]:
    """Return why each model of `EXPLAINED` says what it says of each new patient."""
    background = data.X_train.sample(frac=1, random_state=seed)  # of many the first are taken
    return {
        name: _find_reasons(fitted[name].pipeline, background, data)
        for name in EXPLAINED
        if name in fitted
    }


def _find_reasons(pipeline: Pipeline, background: pd.DataFrame, data: ExpressionData) -> Reasons:
    rising = _rise_with_gene(pipeline, background, data.classes)
    parts = []
    for X in in_parts(data.X_new):
        explained = explain_patients(pipeline, background, X, data.classes)
        genes = explained.columns.unique("gene").to_numpy()
        values = by_class_and_gene(explained, data.classes)
        speaks_for = values.argmax(axis=1)  # of the classes, patients x genes
        largest = values.max(axis=1)
        order = np.argsort(-largest, axis=1, kind="stable")[:, :LEADING_GENES]
        leading_for = np.take_along_axis(speaks_for, order, axis=1)
        tables = (
            genes[order],
            rising[leading_for, order],
            np.array(data.classes)[leading_for],
            np.take_along_axis(largest, order, axis=1),
        )
        ranks = range(1, 1 + order.shape[1])
        parts.append([pd.DataFrame(table, X.index, ranks) for table in tables])
    return Reasons(*(pd.concat(tables) for tables in zip(*parts, strict=True)))


def by_class_and_gene(explained: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return SHAP values, patients x classes x genes, from patients x (class, gene)."""
    return explained.to_numpy().reshape(len(explained), len(classes), -1)


def _rise_with_gene(pipeline: Pipeline, X: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return whether SHAP values rise with the gene among training patients, classes x genes."""
    X = X.iloc[:MAX_BACKGROUND]
    values = by_class_and_gene(explain_patients(pipeline, X, X, classes), classes)
    Z = pipeline[:-1].transform(X.to_numpy())[:, np.newaxis, :]
    return ((Z - Z.mean(axis=0)) * (values - values.mean(axis=0))).sum(axis=0) > 0


def reasons_in_words(
    reasons: Reasons, gene_names: pd.Series, patients: Sequence | None = None
) -> pd.Series:
    """Return the leading genes of patients (default: all), by the class they speak for."""
    words = {}
    for patient in reasons.genes.index if patients is None else patients:
        of_class = {}
        for rank in reasons.genes:
            level = "high" if reasons.is_high.loc[patient, rank] else "low"
            gene = gene_names[reasons.genes.loc[patient, rank]]
            of_class.setdefault(reasons.speaks_for.loc[patient, rank], []).append(f"{gene} {level}")
        parts = [f"for {label} {', '.join(genes)}" for label, genes in of_class.items()]
        words[patient] = "; ".join(parts)
    return pd.Series(words)


def new_table(new: NewPatients, gene_names: pd.Series) -> pd.DataFrame:
    """Return a row a new patient, for a file."""
    predicted = new.predicted
    columns = {
        "predicted_class": predicted[new.best],
        "cannot_be_excluded": new.possible.in_words(new.best),
        "training_arrays_farther_out": new.farther_out,
        "array_is_unlike_training": new.farther_out.index.isin(new.unlike),
    }
    for model in predicted:
        name = file_name(model)
        columns[f"{name}_class"] = predicted[model]
        for label in new.P[model]:
            columns[f"{name}_probability_{label}"] = new.P[model, label]
            columns[f"{name}_p_{label}"] = new.possible.p[model, label]
        columns[f"{name}_cannot_be_excluded"] = new.possible.in_words(model)
        if model in new.reasons:
            columns[f"{name}_because"] = reasons_in_words(new.reasons[model], gene_names)
    return pd.DataFrame(columns, predicted.index).rename_axis("patient")
