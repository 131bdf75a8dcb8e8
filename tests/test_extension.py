"""One place to add a thing: a model or a clustering method is one entry, and is then everywhere."""

import json

import matplotlib.pyplot as plt
import pytest
from sklearn.cluster import BisectingKMeans
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.neighbors import KNeighborsClassifier

import classifier_models
import clustering_analysis
import explainability
from expression.analysis import models
from expression.analysis.clusters import METHODS
from expression.analysis.models import Model
from expression.running.report import Report
from many_classes import simulate_classes
from planted import simulate, small_models

LINEAR = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
TREES = [("model", ExtraTreesClassifier(20))]
ADDED = {
    "Extra Trees": Model(TREES, {}, models.IMPURITY_DECREASE),
    "Discriminant": Model([models.SELECT, ("model", LINEAR)], {}, models.COEFFICIENT),
    "Neighbours": Model([("model", KNeighborsClassifier(3))]),
}


@pytest.fixture
def drawn(monkeypatch):
    """All texts of the figures of a script, by the figure's name."""
    texts = {}

    def read(report, name, figure):
        artists = figure.findobj(lambda artist: hasattr(artist, "get_text"))
        texts[name] = "\n".join(artist.get_text() for artist in artists)

    monkeypatch.setattr(Report, "add_figure", read)
    return texts


@pytest.fixture
def more_models(monkeypatch):
    grids = {name: {} for name in models.classifier_names()}
    with small_models(grids | {"XGBoost": {models.ROUNDS: [10]}}), monkeypatch.context() as patch:
        for name, model in ADDED.items():
            patch.setitem(models.MODELS, name, model)
        yield


COHORTS = {
    "two classes": lambda: simulate(effect=2),
    "three classes": lambda: simulate_classes([9, 6, 7], effect=3, test_sizes=[5, 4, 5]),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    def run_script(script, *options, cohort="two classes"):
        monkeypatch.setattr(script, "load_data", lambda args: COHORTS[cohort]())
        options = [*options, "--jobs", "1", "--quiet", "--output-dir", str(tmp_path)]
        assert script.main(options) == 0
        return json.loads((tmp_path / script.__name__ / "metrics.json").read_text())

    return run_script


@pytest.mark.usefixtures("more_models")
@pytest.mark.parametrize("cohort", COHORTS)
def test_added_classifiers_are_in_every_table_and_figure_of_q1(run, drawn, tmp_path, cohort):
    options = ("--random-states", "2", "--repeats", "1", "--monte-carlo", "2")
    record = run(classifier_models, *options, "--permutations", "19", cohort=cohort)
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
@pytest.mark.parametrize("cohort", COHORTS)
def test_added_classifiers_that_tell_importances_are_everywhere_in_q2(
    run, drawn, tmp_path, monkeypatch, cohort
):
    for name in ("heatmap", "top_genes"):  # which take long, and know no model
        monkeypatch.setattr(explainability.figures, f"draw_{name}", lambda *given: plt.figure())
    record = run(explainability, "--pairs", "2", "--permutations", "1", cohort=cohort)
    genes, text = (
        (tmp_path / "explainability" / file).read_text() for file in ("genes.csv", "metrics.txt")
    )
    for name in ("Extra Trees", "Discriminant"):
        assert name in {row["index"] for row in record["results"]["stability"]}
        assert f"{name.lower().replace(' ', '_')}_importance" in genes
        for figure in ("importances", "shap_summary", "selection_frequency"):
            assert name in drawn[figure], figure
    texts = "".join([*drawn.values(), genes, text])
    assert "Neighbours" not in texts
    assert "AML" not in texts  # whose data are these?
    assert "literature" not in texts


def test_an_added_method_is_everywhere_in_q3(run, drawn, tmp_path, monkeypatch):
    def bisecting(scores, ks, restarts, seed):
        return {k: BisectingKMeans(k, random_state=seed).fit_predict(scores) for k in ks}

    monkeypatch.setitem(METHODS, "Bisecting", bisecting)
    quick = ("--clusters", "3", "--subsamples", "10", "--nulls", "2", "--permutations", "9")
    quick += ("--genes", "100")
    record = run(clustering_analysis, *quick)
    assert "Bisecting" in {row["method"] for row in record["headline"]["rows"]}
    assert "Bisecting" in {row["method"] for row in record["results"]["agreement_class"]}
    for figure in ("clusters", "consensus_matrices", "k_selection"):
        assert "Bisecting" in drawn[figure], figure
    for table in ("agreement", "assignments", "contents", "k_selection", "sensitivity"):
        assert "Bisecting" in (tmp_path / f"clustering_analysis/{table}.csv").read_text()
