"""One place to add a thing: a model or a clustering method is one entry, and is then everywhere."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import BisectingKMeans
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.neighbors import KNeighborsClassifier

import classifier_models
import clustering_analysis
import explainability
from expression.clusters import METHODS
from expression.models import COEFFICIENT, IMPURITY_DECREASE, MODELS, SELECT, Model
from expression.report import Report

LINEAR = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
ADDED = {
    "Extra Trees": Model(
        "Extra Trees", [("model", ExtraTreesClassifier(20))], {}, IMPURITY_DECREASE
    ),
    "Discriminant": Model("Discriminant", [SELECT, ("model", LINEAR)], {}, COEFFICIENT),
    "Neighbours": Model("Neighbours", [("model", KNeighborsClassifier(3))]),
}


@pytest.fixture
def drawn(monkeypatch):
    """All texts of the figures of a script, by the figure's name."""
    texts, add_figure = {}, Report.add_figure

    def read(report, name, figure):
        artists = figure.findobj(lambda artist: hasattr(artist, "get_text"))
        texts[name] = "\n".join(artist.get_text() for artist in artists)
        add_figure(report, name, figure)

    monkeypatch.setattr(Report, "add_figure", read)
    return texts


@pytest.fixture
def more_models(monkeypatch):
    for name, model in MODELS.items():
        grid = {key: values[-1:] for key, values in (model.grid or {}).items()}
        if name in ("Random Forest", "XGBoost"):
            grid["model__n_estimators"] = [10]
        monkeypatch.setitem(MODELS, name, model._replace(grid=grid))
    for name, model in ADDED.items():
        monkeypatch.setitem(MODELS, name, model)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Files of 20 training and 12 test patients, 60 genes, of which 10 differ."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("cohort")
    options = []
    for name, size in (("train", 20), ("test", 12)):
        classes = np.tile(["a", "b"], size // 2)
        X = rng.normal(9, 1.5, (size, 60))
        X[:, :10] += 3 * (classes == "b")[:, None]
        table = pd.DataFrame(2**X).add_prefix("gene").rename(f"{name}{{}}".format)
        table.insert(0, "class", classes)
        table.to_csv(folder / f"{name}.csv", index_label="patient")
        options += [f"--{name}", str(folder / f"{name}.csv")]
    return options


def run(script, folder, *options) -> dict:
    assert script.main([*options, "--jobs", "1", "--quiet", "--output-dir", str(folder)]) == 0
    return json.loads((folder / script.__name__ / "metrics.json").read_text())


@pytest.mark.usefixtures("more_models")
def test_added_classifiers_are_in_every_table_and_figure_of_q1(cohort, drawn, tmp_path):
    quick = ("--random-states", "2", "--repeats", "1", "--monte-carlo", "2")
    record = run(classifier_models, tmp_path, *cohort, *quick)
    for name in ADDED:
        assert name in {row["model"] for row in record["headline"]["rows"]}
        assert name in record["results"]["tuning"]
        for section in ("nested_cv", "test", "probabilities", "monte_carlo"):
            assert name in {row["model"] for row in record["results"][section]}, section
        for figure in ("confusion_matrices", "roc_curves", "patients", "nested_cv"):
            assert name in drawn[figure], figure
        for table in ("predictions", "patients", "tuning", "pairs"):
            assert name in (tmp_path / f"classifier_models/{table}.csv").read_text()


@pytest.mark.usefixtures("more_models")
def test_added_classifiers_that_tell_importances_are_everywhere_in_q2(cohort, drawn, tmp_path):
    quick = ("--pairs", "2", "--permutations", "1")
    record = run(explainability, tmp_path, *cohort, *quick)
    genes = (tmp_path / "explainability/genes.csv").read_text()
    stability = {row["index"] for row in record["results"]["stability"]}
    for name in ("Extra Trees", "Discriminant"):
        assert name in stability
        assert f"{name.lower().replace(' ', '_')}_importance" in genes
        for figure in ("importances", "shap_summary", "selection_frequency"):
            assert name in drawn[figure], figure
    assert not [text for text in (*drawn.values(), genes) if "Neighbours" in text]


def test_an_added_method_is_everywhere_in_q3(cohort, drawn, tmp_path, monkeypatch):
    def bisecting(scores, ks, restarts, seed):
        return {k: BisectingKMeans(k, random_state=seed).fit_predict(scores) for k in ks}

    monkeypatch.setitem(METHODS, "Bisecting", bisecting)
    quick = ("--clusters", "3", "--subsamples", "10", "--nulls", "1", "--permutations", "9")
    record = run(clustering_analysis, tmp_path, *cohort, *quick)
    assert "Bisecting" in {row["method"] for row in record["headline"]["rows"]}
    assert "Bisecting" in {row["method"] for row in record["results"]["agreement_class"]}
    for figure in ("clusters", "consensus_matrices", "k_selection"):
        assert "Bisecting" in drawn[figure], figure
    for table in ("agreement", "assignments", "contents", "k_selection", "sensitivity"):
        assert "Bisecting" in (tmp_path / f"clustering_analysis/{table}.csv").read_text()
