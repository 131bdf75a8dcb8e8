"""What all scripts promise: any jobs write the same bytes, and no test patient trains anything."""

from dataclasses import replace

import pytest

import classifier_models
import clustering_analysis
import explainability
import pca_plot
import summary
from expression import parallel
from expression.analysis import agreement
from expression.analysis.models import ROUNDS
from planted import small_models
from run_script import contents, record, run, table

QUICK = {
    classifier_models: "--random-states 2 --repeats 1 --monte-carlo 2",
    explainability: "--pairs 2 --permutations 1",
    clustering_analysis: "--genes 200 --clusters 2 --subsamples 10 --nulls 2 --permutations 9",
    pca_plot: "--permutations 20 --folds 9 --components 10",
}
GRIDS = {
    "Logistic Regression": {"genes__percentile": [7], "model__C": [0.1, 10.0]},
    "Decision Tree": {"genes__percentile": [1.3]},
    "Random Forest": {},
    "XGBoost": {ROUNDS: [20]},
}
OF_TEST_PATIENTS = {
    classifier_models: {
        *("pairs.csv", "patients.csv", "predictions.csv", "confusion_matrices.png"),
        *("monte_carlo_cv.png", "patients.png", "roc_curves.png", "batches.csv"),
    },
    pca_plot: {"train_vs_test.png"},
}


def trained(script, files):
    """Return the results that no test patient may change."""
    results = record(files)["results"]
    if script is classifier_models:
        return files["tuning.csv"], results["tuning"], results["nested_cv"]
    if script is explainability:
        genes = table(files, "genes").filter(regex="^(?!test_|auc_within|batch_|follows)").to_csv()
        return genes, results["selection"], results["stability"]
    if script is clustering_analysis:
        return [line for line in files["agreement.csv"].splitlines() if b",training," in line]
    return files["explained_variance.csv"], files["loadings.csv"]


@pytest.fixture(scope="module", autouse=True)
def quick():
    with small_models(GRIDS), pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement, "ALTERNATIVES", {})
        yield


@pytest.fixture(scope="module", params=QUICK, ids=lambda script: script.__name__)
def script(request):
    return request.param


@pytest.fixture(scope="module")
def files(script, few_genes, tmp_path_factory):
    return run(script, few_genes, tmp_path_factory.mktemp("one"), *QUICK[script].split())


@pytest.mark.usefixtures("processes")
def test_jobs_change_no_byte(script, files, few_genes, tmp_path, monkeypatch):
    used, real = [], parallel.Parallel
    monkeypatch.setattr(parallel, "Parallel", lambda **how: used.append(how) or real(**how))
    assert run(script, few_genes, tmp_path, *QUICK[script].split(), "--jobs", "2") == files
    assert used  # other processes


def test_without_test_patients_the_same_is_trained(script, files, few_genes, tmp_path):
    none = {"X_test": few_genes.X_test[:0], "y_test": few_genes.y_test[:0]}
    for known in ("subtypes", "batches"):
        none[known] = getattr(few_genes, known)[few_genes.X_train.index]
    found = run(script, replace(few_genes, **none), tmp_path, *QUICK[script].split())
    assert trained(script, found) == trained(script, files)
    assert files.keys() - found.keys() == OF_TEST_PATIENTS.get(script, set())


def test_other_test_patients_and_labels_train_the_same(script, files, few_genes, tmp_path):
    y = few_genes.y_test
    flipped = y.cat.rename_categories(
        dict(zip(few_genes.classes, few_genes.classes[::-1], strict=True))
    )
    flipped = flipped.cat.reorder_categories(few_genes.classes, ordered=True)
    other = replace(few_genes, X_test=few_genes.X_test * 3 + 500, y_test=flipped)
    found = run(script, other, tmp_path, *QUICK[script].split())
    assert trained(script, found) == trained(script, files)
    assert found != files


# --- quick runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("script", QUICK, ids=lambda script: script.__name__)
def test_a_quick_run_repeats_little_but_what_is_asked_for(script):
    usual = vars(script.parse_args([]))
    quick = vars(script.parse_args(["--quick"]))
    changed = {name for name in usual if quick[name] != usual[name]}
    assert changed == {*script.QUICK, "quick"}
    name = next(iter(script.QUICK))
    option = f"--{name.replace('_', '-')}"
    asked = vars(script.parse_args(["--quick", option, "150"]))
    assert asked == quick | {name: 150}


def test_a_quick_run_says_so_in_all_it_writes(few_genes, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pca_plot, "load_data", lambda args: few_genes)
    assert pca_plot.main(["--quick", "--jobs", "1", "--output-dir", str(tmp_path)]) == 0
    quick = contents(tmp_path / "pca_plot")
    text = quick["metrics.txt"].decode()
    assert text.splitlines()[0].endswith(" (quick run: intervals are wide)")
    assert "(quick run: " in capsys.readouterr().out
    found = record(quick)
    assert found["options"]["quick"] is True
    assert found["options"]["permutations"] == pca_plot.QUICK["permutations"]
    page = summary.render(tmp_path)
    assert page.count("**A quick run: intervals are wide.**") == 1
