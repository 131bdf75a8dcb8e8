"""The figures of Q1: what they mark, count and name."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from expression.analysis import evaluation, models, tuning
from expression.analysis.models import classifier_names
from expression.data import ExpressionData
from expression.figures.classifier_models import (
    draw_confusion_matrices,
    draw_decision_tree,
    draw_patients,
    draw_resampled,
    draw_roc_curves,
)
from expression.running.style import class_palette, theme
from many_classes import simulate_classes
from planted import of_both_classes


@pytest.fixture
def planted(data):
    """Probabilities of all classifiers and of a vote, with errors for two patients."""
    y = data.y_test.cat.codes
    P = pd.DataFrame({name: y.astype(float) for name in [*classifier_names(), "Weighted voting"]})
    P.loc[66, ["Logistic Regression", "Decision Tree"]] = [0.1, 0.45]
    P.loc[39, ["Random Forest", "Weighted voting"]] = [0.6, 0.4]
    return P


def as_tested(P: pd.DataFrame, data) -> evaluation.Tested:
    """Return what is drawn of test patients, from the probabilities of AML."""
    P = of_both_classes(P.assign(**{models.MAJORITY: 0.3}))
    empty = pd.DataFrame()
    return evaluation.Tested(data.y_test, P, P, empty, empty, empty)


def test_patients_figure_marks_errors_and_no_calls_of_a_vote(planted, data):
    figure = draw_patients(as_tested(planted, data), data)
    ax = figure.axes[0]
    rows = [tick.get_text() for tick in ax.get_yticklabels()]
    marks = np.array([text.get_text() for text in ax.texts]).reshape(len(rows), 34)
    marks = pd.DataFrame(marks, rows)
    assert marks.index[marks[0] == "×"].tolist() == ["Logistic Regression", "Decision Tree"]
    assert marks.loc["Random Forest", 1] == "×"
    assert marks.loc["Weighted voting", 1] == "?"
    assert (marks.to_numpy() != "").sum() == 4
    assert [tick.get_text() for tick in ax.get_xticklabels()][:2] == ["66", "39"]
    colors = ax.collections[0].get_array()  # rows x patients x red, green and blue
    blue = np.array(to_rgb(class_palette(data)["ALL"]))
    found = colors[rows.index("Logistic Regression"), 0]  # ALL by 0.9: four fifths of certainty
    assert np.asarray(found) == pytest.approx(1 - 0.8 * (1 - blue))
    assert figure.get_suptitle() == "34 test patients: probability of AML"


def test_an_added_model_is_drawn_above_the_baselines(planted, data, monkeypatch):
    monkeypatch.setitem(models.MODELS, "Added", models.MODELS["XGBoost"])  # the last entry
    P = planted.assign(Added=planted["XGBoost"])
    figure = draw_patients(as_tested(P, data), data)
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names[0] == "true class"
    assert names.index("Added") < names.index("Weighted voting")


def test_confusion_matrices_show_counts_and_the_range_over_states(planted, data):
    correct = pd.DataFrame({name: [33, 33] for name in planted} | {"Decision Tree": [33, 30]})
    figure = draw_confusion_matrices(as_tested(planted, data)._replace(correct=correct))
    panels = {ax.get_title().split("\n")[0]: ax for ax in figure.axes if ax.images}
    assert list(panels) == list(planted)
    regression, tree, forest = (
        panels[name] for name in ("Logistic Regression", "Decision Tree", "Random Forest")
    )
    assert [t.get_text() for t in regression.texts] == ["20", "0", "1", "13"]
    assert [t.get_text() for t in forest.texts] == ["19", "1", "0", "14"]
    assert {ax.images[0].get_clim() for ax in panels.values()} == {(0, 20)}
    assert regression.get_title() == "Logistic Regression\n33 correct"
    assert tree.get_title() == "Decision Tree\n33 correct\n31.5 (30–33) over random states"


def test_roc_curves_tell_the_auc_where_there_is_more_than_one_threshold(planted, data):
    y = data.y_test
    planted["XGBoost"] = 1 - y.cat.codes  # as wrong as can be, with one threshold
    tested = as_tested(planted, data)
    scores = evaluation.score(y, tested.P)
    table = evaluation.interval_table(scores, y, scores.to_frame().T)
    figure = draw_roc_curves(tested._replace(scores=table))
    labels = {line.get_label().split(":")[0]: line for line in figure.axes[0].lines}
    assert labels["XGBoost"].get_label() == "XGBoost: one threshold only"
    assert labels["Weighted voting"].get_label().startswith("Weighted voting: 1.000 (0.")
    dashed = [name for name, line in labels.items() if line.get_linestyle() == "--"]
    assert dashed == ["Weighted voting"]


def test_split_scores_are_drawn_as_often_as_they_come():
    scores = pd.DataFrame({"a": [0.5, 0.5, 0.5, 1.0], "b": [0.75] * 4})
    table = pd.DataFrame({"mean": scores.mean(), "lower": 0.4, "upper": 0.9, "given split": 0.7})
    resampled = evaluation.Resampled(
        scores, pd.concat({"accuracy": scores}, axis=1), pd.concat({"accuracy": table})
    )
    figure = draw_resampled(resampled, "title", "splits")
    bubbles = figure.axes[0].collections
    assert bubbles[0].get_offsets().tolist() == [[0.5, 0], [1.0, 0]]
    assert bubbles[0].get_sizes().tolist() == [300, 100]
    assert figure.axes[0].lines[0].get_xdata().tolist() == [0.625, 0.75]


def test_batches_held_out_and_the_batch_alone_are_drawn_where_they_are_known():
    scores = pd.DataFrame({"a": [0.5, 1.0], "b": [0.75, 0.75]})
    table = pd.DataFrame({"mean": scores.mean(), "lower": 0.4, "upper": 0.9})
    resampled = evaluation.Resampled(
        scores, pd.concat({"accuracy": scores}, axis=1), pd.concat({"accuracy": table})
    )
    held_out = pd.Series({"b": 0.6, "patients": 1.0, "a": 0.3})
    figure = draw_resampled(resampled._replace(batch_alone=(0.7, 0.9)), "", "splits", held_out)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "each batch held out" in labels
    assert "the batch alone" in labels
    [diamonds] = [c for c in figure.axes[0].collections if c.get_label() == "each batch held out"]
    assert diamonds.get_offsets()[:, 0].tolist() == [0.3, 0.6]
    without = draw_resampled(resampled, "", "splits")
    assert len(without.legends[0].get_texts()) == 2


def test_the_tree_is_drawn_with_gene_names_and_class_names(data):
    unfitted = {"One gene": models.build_models(data.preprocessing, 0)["One gene"]}
    [tree] = tuning.fit_models(unfitted, data.X_train, data.y_train).values()
    figure = draw_decision_tree(tree.pipeline, data)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[0].startswith("ZYX <= ")
    assert "value = [27, 11]\nclass = ALL" in texts[0]
    assert "samples = 11\nvalue = [0, 11]\nclass = AML" in texts


# --- more than two classes ------------------------------------------------------------------------


def simulate_tested(count: int) -> tuple[evaluation.Tested, ExpressionData]:
    """Return so many classes of long names, whose patients are mostly recognised."""
    name = "a subtype with a name as long as {:02}"
    data = simulate_classes([5] * count, 0, test_sizes=[3] * count, name=name)
    y = data.y_test
    rng = np.random.default_rng(0)
    of_models = {}
    for model in [*classifier_names(), models.MAJORITY]:
        evidence = np.exp(rng.normal(size=(len(y), count)) + 3 * np.eye(count)[y.cat.codes])
        p = evidence / evidence.sum(axis=1, keepdims=True)
        of_models[model] = pd.DataFrame(p, y.index, list(data.classes))
    P = pd.concat(of_models, axis="columns", names=["model", "class"])
    scores = evaluation.score(y, P)
    table = evaluation.interval_table(scores, y, scores.to_frame().T)
    correct = evaluation.are_correct(P, y).sum().to_frame().T
    correct = pd.concat([correct, correct - 1])
    return evaluation.Tested(y, P, P, table, correct, pd.DataFrame()), data


@pytest.mark.parametrize("count", [3, 6, 20])
def test_many_classes_of_long_names_draw_without_overlap(count):
    tested, data = simulate_tested(count)
    with theme():
        figures = [
            draw_confusion_matrices(tested),
            draw_roc_curves(tested),
            draw_patients(tested, data),
        ]
        for figure in figures:
            figure.canvas.draw()
            page = figure.bbox
            panels = [ax.get_tightbbox() for ax in figure.axes if ax.axison]
            legends = [legend.get_window_extent() for legend in figure.legends]
            for i, panel in enumerate(panels):
                assert page.x0 - 1 <= panel.x0
                assert panel.x1 <= page.x1 + 1
                others = [*panels[i + 1 :], *legends]
                assert not any(panel.padded(-1).overlaps(other) for other in others)


def test_each_class_has_a_roc_panel_of_its_own():
    tested, data = simulate_tested(3)
    figure = draw_roc_curves(tested)
    titles = [" ".join(ax.get_title().split()) for ax in figure.axes]
    assert titles == [f"{label} 3 patients" for label in data.classes]
    for ax, label in zip(figure.axes, data.classes, strict=True):
        line = ax.lines[0]  # of the first model
        auc = np.trapezoid(line.get_ydata(), line.get_xdata())
        expected = tested.scores.loc[(f"ROC AUC of {label}", "Logistic Regression"), "estimate"]
        assert auc == pytest.approx(expected)


def test_of_several_classes_the_predicted_one_is_the_colour_and_its_probability_the_strength():
    tested, data = simulate_tested(3)
    colors = np.asarray(draw_patients(tested, data).axes[0].collections[0].get_array())
    shown = evaluation.hardest_first(tested.y, tested.P)
    palette = class_palette(data)
    for column, patient in enumerate(shown):
        p = tested.P.loc[patient, "XGBoost"]
        own = np.array(to_rgb(palette[p.idxmax()]))
        strength = (p.max() - 1 / 3) / (2 / 3)
        assert colors[-1, column] == pytest.approx(1 - strength * (1 - own))
