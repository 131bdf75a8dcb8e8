"""Q2: what the script says, and how it refuses."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

import explainability
from expression.analysis.models import ROUNDS
from expression.analysis.selection import Controls, Rule
from planted import small_models
from run_script import record, run, stated_default, table


@pytest.mark.parametrize(
    ("option", "default"), [("--pairs", 50), ("--permutations", 10), ("--expected-false", 1)]
)
def test_defaults_are_those_of_the_methods(option, default, capsys):
    assert stated_default(explainability, option, capsys) == default


@pytest.mark.parametrize("bound", ["0", "nan"])
def test_a_bound_on_false_selections_must_be_positive(bound, capsys):
    with pytest.raises(SystemExit, match="2"):
        explainability.parse_args(["--expected-false", bound])
    refusal = f"error: --expected-false: must be a number above 0 - found {bound!r}"
    assert capsys.readouterr().err.startswith(refusal)


@pytest.fixture(scope="module")
def outputs(few_genes, tmp_path_factory):
    grids = {"Logistic Regression": {"genes__percentile": [7]}, "Decision Tree": {}}
    options = "--pairs", "2", "--permutations", "1"
    with small_models(grids | {"Random Forest": {}, "XGBoost": {ROUNDS: [10]}}):
        return run(explainability, few_genes, tmp_path_factory.mktemp("outputs"), *options)


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
    assert "(of 1 permutation, each of 4 subsamples)" in headline["in_short"][1]
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
    controls = Controls(
        resampled,
        pairs=10,
        permuted=pd.DataFrame(0.0, range(3), accessions).assign(g00=[0.8, 0.75, 0.7]),
        subsets=pd.DataFrame(np.arange(30) < 25, accessions).T.assign(g01=False),
    )
    return table, Rule(pairs=50, first=110, bound=0.99, worst_case=7.9), controls


def test_the_first_twenty_selected_genes_are_the_headline(answer):
    table, *_ = answer
    rows = explainability.headline_rows(table)
    assert [row["accession"] for row in rows] == list(table.index[:20])
    assert rows[0] == {
        "gene": "G00",
        "accession": "g00",
        "higher in": "case",
        "subsamples": "80%",
        "subsets": "5 of 5",
        "AUC train": "0.90",
        "AUC test": "0.99",
    }
    assert explainability.headline_title(table).endswith(", the first 20 of 23")
    assert "first" not in explainability.headline_title(table[:20])
    assert explainability.headline_rows(table[23:]) == []


def test_the_answer_tells_what_is_selected_and_what_elsewhere(answer):
    sentences = explainability.in_short(*answer, n_train=38, n_test=34)
    which, promise, other_subsamples, subsets, not_complete, tested = sentences
    assert which.startswith("23 of 30 genes are selected by 75% or more of 100 subsamples of half")
    assert "G18, G19 and 1 more (higher in case); G21, G22 (higher in control)." in which
    assert "with permuted labels 0.7 on average (of 3 permutations, each of 20 sub" in promise
    assert "select 21 to 23 genes, and 22 of the 23 nearly always" in other_subsamples
    assert "fifth of the patients 24 to 24 genes are selected, of which 22 to 22" in subsets
    assert "12 genes differ" in not_complete
    assert "5 %, 7 at a family-wise" in not_complete
    assert "In the 34 test patients" in tested
    assert tested.endswith("an AUC of 0.77 to 0.99.")
    assert explainability.in_short(*answer, n_train=38, n_test=0) == sentences[:-1]


def test_no_gene_is_an_answer_too(answer):
    table, rule, controls = answer
    table["selected"] = False
    which, *_, last = explainability.in_short(table, rule, controls, n_train=38, n_test=34)
    assert which.endswith(" training patients: none.")
    assert last.startswith("It is no complete list")
