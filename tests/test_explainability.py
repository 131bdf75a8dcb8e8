"""Q2: what the script says, and how it refuses."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

import explainability
from expression.analysis.genes import People
from expression.analysis.models import ROUNDS
from expression.analysis.selection import Controls, Rule
from planted import small_models
from run_script import record, run, stated_default, table
from summary import ROOT


@pytest.mark.parametrize(
    ("option", "default"), [("--pairs", 175), ("--permutations", 3), ("--expected-false", 1)]
)
def test_defaults_are_those_of_the_methods(option, default, capsys):
    assert stated_default(explainability, option, capsys) == default


@pytest.mark.parametrize("bound", ["0", "nan"])
def test_a_bound_on_false_selections_must_be_positive(bound, capsys):
    with pytest.raises(SystemExit, match="2"):
        explainability.parse_args(["--expected-false", bound])
    refusal = f"error: --expected-false: must be a number above 0 - found {bound!r}"
    assert capsys.readouterr().err.startswith(refusal)


QUICK = "--pairs", "2", "--permutations", "1"


@pytest.fixture(scope="module")
def quick_script():
    grids = {"Logistic Regression": {"genes__percentile": [7]}, "Decision Tree": {}}
    with small_models(grids | {"Random Forest": {}, "XGBoost": {ROUNDS: [10]}}):
        yield


@pytest.fixture(scope="module")
def outputs(few_genes, tmp_path_factory, quick_script):
    return run(explainability, few_genes, tmp_path_factory.mktemp("outputs"), *QUICK)


def test_metrics_are_those_of_the_genes(few_genes, outputs):
    written = record(outputs)
    selection, headline = written["results"]["selection"], written["headline"]
    analysed = table(outputs, "genes")
    kept = Pipeline(few_genes.preprocessing.filtered_steps()).fit(few_genes.X_train.to_numpy())
    assert set(analysed.index) == set(kept.get_feature_names_out(few_genes.X_train.columns))
    assert analysed["welch_q"].notna().all()
    literature = few_genes.informative_genes.reindex(analysed.index)
    pd.testing.assert_series_equal(analysed["literature"], literature, check_names=False)
    selected = analysed[analysed["selected"]]
    assert [row["accession"] for row in headline["rows"]] == list(selected.index)
    assert selection["selected genes"] == len(selected) >= 1
    assert (analysed["selected"] == (analysed["frequency"] >= 0.75)).all()
    assert len(selection["selected with permuted labels"]) == 1
    assert len(selection["selected without a fifth of the patients"]) == 5
    assert headline["in_short"][0].startswith(f"{len(selected)} of ")
    assert headline["in_short"][1].endswith(" on average (1 time).")
    stability = {row["index"]: row for row in written["results"]["stability"]}
    genes_a_subsample = stability["All, by mean rank"]["genes (mean)"]
    assert analysed["frequency"].sum() == pytest.approx(genes_a_subsample, rel=1e-4)
    zyxin = analysed.loc["X95735_at"]
    assert (zyxin["higher_in"], zyxin["auc"], zyxin["literature"]) == ("AML", 1, "AML")
    assert zyxin["logistic_regression_direction"] == "AML"
    unused = analysed["decision_tree_importance"] == 0
    assert analysed["decision_tree_rank"].min() == 1
    assert (analysed["decision_tree_rank"].isna() == unused).all()


# --- the answer in short


@pytest.fixture
def answer():
    """Genes of which 23 are selected, a rule, and what it does elsewhere."""
    accessions = pd.Index([f"g{i:02}" for i in range(30)], name="accession")
    table = pd.DataFrame({"gene": accessions.str.upper(), "frequency": 0.8}, accessions)
    table = table.assign(
        selected=np.arange(30) < 23,
        higher_in=np.where(np.arange(30) < 21, "case", "control"),
        subsets=5,
        auc=0.9,
        test_auc=np.linspace(0.99, 0.70, 30),
        welch_q=np.where(np.arange(30) < 12, 0.049, 0.051),
        max_t_p=np.where(np.arange(30) < 7, 0.049, 0.051),
    )
    resampled = pd.DataFrame(True, range(100), accessions)
    resampled.iloc[:5, 1] = False  # nearly always
    resampled.iloc[:6, 2] = False
    resampled.iloc[:, 23:] = False
    of_fewer = pd.DataFrame(True, range(100), accessions)
    of_fewer.iloc[:50, :3] = False
    controls = Controls(
        resampled,
        permuted=pd.DataFrame(0.0, range(3), accessions).assign(g00=[0.8, 0.75, 0.7]),
        permuted_pairs=10,
        subsets=pd.DataFrame(np.arange(30) < 25, accessions).T.assign(g01=False),
        subset_pairs=5,
        resampled_of_all=of_fewer,
    )
    people = People(None, None, y=pd.Series(dtype="category"), batches=None)
    return table, Rule(pairs=50, first=110, bound=0.99, worst_case=7.9), controls, people


def test_the_first_twenty_selected_genes_are_the_headline(answer):
    table, *_ = answer
    rows = explainability.headline_rows(table)
    assert [row["accession"] for row in rows] == list(table.index[:20])
    assert rows[0] == {
        "gene": "G00",
        "accession": "g00",
        "higher in": "case",
        "halves": "80%",
        "subsets": "5 of 5",
        "AUC train": "0.90",
        "AUC test": "0.99",
    }
    assert explainability.headline_title(table).endswith(", the first 20 of 23")
    assert "first" not in explainability.headline_title(table[:20])
    assert explainability.headline_rows(table[23:]) == []


def test_the_answer_tells_what_is_selected_and_what_elsewhere(answer):
    sentences = explainability.in_short(*answer, n_train=38, n_test=34)
    which, promise, other_seeds, subsets, not_complete, tested = sentences
    assert which.startswith(
        "23 of 30 genes are selected by 75% or more of 100 random halves of the"
    )
    assert "G18, G19 and 1 more (higher in case); G21, G22 (higher in control)." in which
    assert promise.startswith("At most 1.0 such genes are expected by chance")
    assert promise.endswith("with shuffled classes the rule selects 0.7 on average (3 times).")
    assert "selects 21 to 23 genes, 22 of the 23 nearly always; two such lists share" in other_seeds
    assert "fifth of the patients 22 to 22 of the 23 are selected again" in subsets
    assert subsets.endswith("with all of them and as few halves 20 to 23.")
    assert "12 genes differ" in not_complete
    assert not_complete.endswith("at a false discovery rate of 5 %.")
    assert "In the 34 test patients" in tested
    assert tested.endswith("an AUC of 0.77 to 0.99.")
    assert explainability.in_short(*answer, n_train=38, n_test=0) == sentences[:-1]


@pytest.fixture
def of_three(answer):
    """The same of three classes, and of ten batches of which two have more than one class."""
    table, rule, controls, people = answer
    classes = ["class A", "class B", "class C"]
    table = table.assign(
        higher_in=np.array(classes)[np.arange(30) % 3],
        test_auc=np.where(np.arange(30) % 3 == 1, np.nan, np.linspace(0.99, 0.70, 30)),
        auc_within_batches=np.where(np.arange(30) < 3, np.nan, 0.9),
    )
    labels = [classes[i] for i in (0, 1, 1, 2, 2, 0)]
    y = pd.Series(pd.Categorical(labels, classes, ordered=True))
    hospitals = pd.Series(["north", "north", "north", "south", "east", "east"])
    return table, rule, controls, people._replace(y=y, batches=hospitals)


def test_of_more_classes_each_gene_is_told_with_its_own(of_three):
    which, *_, tested, _, within = explainability.in_short(*of_three, n_train=38, n_test=34)
    assert "G18 and " not in which  # each list has room for all of its genes
    for label, gene in (("class A", "G21"), ("class B", "G22"), ("class C", "G20")):
        assert f"{gene} (higher in {label})" in which
    assert tested == (
        "In the 34 test patients, which the selection never saw, each alone reaches an AUC of 0.78 "
        "to 0.99 for its class against the others (8 cannot be looked at)."
    )
    assert within == (
        "Within east, north, the only batches with more than one class (3 pairs of patients to "
        "compare), each selected gene alone reaches an AUC of 0.90 to 0.90 for its class against "
        "the others (3 cannot be looked at)."
    )


def test_of_twenty_classes_the_answer_names_a_few_genes_of_each(answer):
    table, rule, *_ = answer
    genes = pd.concat([table.assign(selected=True)] * 4)
    genes["higher_in"] = [f"class {i % 20}" for i in range(120)]
    which = explainability.selection_sentence(genes, rule, 200)
    assert which.count(" and 3 more (higher in class ") == 20


def test_a_long_class_name_leaves_room_in_the_table(answer):
    table = answer[0].assign(higher_in="KMT2A rearranged, infants")
    assert explainability.headline_rows(table)[0]["higher in"] == "KMT2A rearrang…"


def test_no_gene_is_an_answer_too(answer):
    table, rule, controls, people = answer
    table["selected"] = False
    which, *_, last = explainability.in_short(table, rule, controls, people, n_train=38, n_test=34)
    assert which.endswith(" training patients: none.")
    assert last.startswith("It is no complete list")


# --- with batches


@pytest.fixture
def of_batches(answer):
    """The same where G03 and G25 follow the batch; north and east have both classes."""
    table, rule, controls, people = answer
    follows = table.index.isin(["g03", "g25"])
    table = table.assign(
        auc_within_batches=np.linspace(0.95, 0.66, 30),
        batch_p=0.5,
        batch_q=np.where(follows, 0.049, 0.05),
        follows_batch=follows,
    )
    labels = ["case", "control", "control", "case", "control", "case", "control"]
    y = pd.Series(pd.Categorical(labels, ["control", "case"], ordered=True))
    hospitals = pd.Series(["north"] * 3 + ["east"] * 2 + ["west"] * 1 + ["south"])
    return table, rule, controls, people._replace(y=y, batches=hospitals)


def test_with_batches_the_answer_tells_which_genes_follow_them(answer, of_batches):
    sentences = explainability.in_short(*of_batches, n_train=38, n_test=34)
    *as_without, differ, within = sentences
    assert as_without == explainability.in_short(*answer, n_train=38, n_test=34)
    assert differ == (
        "Between batches of one class, 1 of the 23 selected genes differs (G03), at a false "
        "discovery rate of 5 % among these; of all 30 genes, at that rate among all, 2."
    )
    assert within == (
        "Within east, north, the only batches with both classes (3 pairs of patients to compare), "
        "each selected gene alone reaches an AUC of 0.73 to 0.95."
    )
    rows = explainability.headline_rows(of_batches[0])
    assert [row["batch"] for row in rows] == [""] * 3 + ["differs"] + [""] * 16
    assert rows[0]["AUC within"] == "0.95"
    assert "AUC train" not in rows[0]  # for which there is no room


def test_what_batches_cannot_tell_is_said(of_batches):
    table, rule, controls, people = of_batches
    untold = table.drop(columns=["auc_within_batches", "batch_p", "batch_q", "follows_batch"])
    *_, differ, within = explainability.in_short(
        untold, rule, controls, people, n_train=38, n_test=34
    )
    assert differ.endswith("cannot be told: no class has patients of two batches.")
    assert within.endswith("no batch has patients of both classes.")
    assert "AUC train" in explainability.headline_rows(untold)[0]


def test_without_a_selected_gene_batches_are_counted_all_the_same(of_batches):
    table, rule, controls, people = of_batches
    none = table.assign(selected=False)
    *_, differ, within = explainability.in_short(none, rule, controls, people, n_train=7, n_test=0)
    assert "0 of the 0 selected genes differ," in differ
    assert within.endswith("there is no selected gene to look at.")


@pytest.mark.usefixtures("quick_script")
def test_the_hospitals_of_the_shipped_data_are_in_table_record_and_text(few_genes, tmp_path):
    samples = pd.read_csv(ROOT / "AML_ALL_data/samples.csv", index_col=0)
    hospitals = samples["source"].loc[few_genes.y_all.index]
    files = run(explainability, replace(few_genes, batches=hospitals), tmp_path, *QUICK)
    analysed = table(files, "genes")
    assert analysed["batch_p"].between(0, 1).all()
    assert analysed.loc["X95735_at", "auc_within_batches"] == 1
    assert not analysed.loc["X95735_at", "follows_batch"]
    results = record(files)["results"]["batches"]
    assert results["pairs of patients of one batch and different classes"] == 15
    lines = files["metrics.txt"].decode().splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 100
    assert any(
        line.startswith("Within St Jude, the only batch with both classes") for line in lines
    )


@pytest.mark.usefixtures("quick_script")
def test_three_classes_of_the_shipped_data(few_genes, tmp_path):
    """B-cell ALL, T-cell ALL (one of the test patients) and AML."""
    kinds = pd.read_csv(ROOT / "AML_ALL_data/samples.csv", index_col=0)["subtype"]
    classes = ["AML", "B-cell ALL", "T-cell ALL"]
    train, test = (
        pd.Series(pd.Categorical(kinds[y.index], classes, ordered=True), y.index)
        for y in (few_genes.y_train, few_genes.y_test)
    )
    three = replace(
        few_genes, y_train=train, y_test=test, subtypes=None, informative_genes=None, caveats=""
    )
    files = run(explainability, three, tmp_path, *QUICK)
    analysed = table(files, "genes")
    assert set(analysed["higher_in"]) == set(classes)
    assert analysed.loc["X95735_at", "higher_in"] == "AML"
    assert {"welch_f", "max_t_p", "test_auc"} < set(analysed)
    lines = files["metrics.txt"].decode().splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 100
    assert {name for name in files if name.endswith(".png")} == {
        f"{name}.png"
        for name in ("importances", "shap_summary", "selection_frequency", "heatmap", "top_genes")
    }


@pytest.mark.usefixtures("quick_script")
def test_patients_are_counted_by_person(few_genes, tmp_path):
    """Where the training patients are measured in pairs, and so are the test patients."""
    people = pd.Series(few_genes.y_all.index.map(str), few_genes.y_all.index)
    one, other = few_genes.y_train.index[:2]  # both of them ALL
    files = run(explainability, replace(few_genes, groups=people), tmp_path / "alone", *QUICK)
    assert " of the 38 training patients" in record(files)["headline"]["in_short"][0]
    people[other] = people[one]
    files = run(explainability, replace(few_genes, groups=people), tmp_path / "pairs", *QUICK)
    assert " of the 37 training patients" in record(files)["headline"]["in_short"][0]


def test_fewer_genes_that_differ_than_are_selected_make_no_longer_list(answer):
    table = answer[0].assign(selected=True, welch_q=0.5)
    found = explainability.differing_sentence(table)
    assert found.startswith("One by one, 0 genes differ between the classes")
