"""The simulated cohorts of the benchmark: planted genes are there, and the same again."""

import pandas as pd
from scipy import stats

from benchmarks.benchmark import SCRIPTS, growth_exponents, simulate_cohort
from expression.reading.load import load_expression_data


def test_a_cohort_loads_and_its_planted_genes_tell_the_classes(tmp_path):
    planted = simulate_cohort(tmp_path, patients=90, genes=500, seed=0)
    data = load_expression_data(tmp_path)
    assert data.X_train.shape == (63, 500)
    assert data.X_test.shape == (27, 500)
    assert data.y_all.value_counts().to_dict() == {"ALL": 60, "AML": 30}
    assert data.subtypes.value_counts().to_dict() == {
        "B-cell ALL": 40,
        "T-cell ALL": 20,
        "AML": 30,
    }
    positive = data.y_all == "AML"
    p = stats.mannwhitneyu(data.X_all[positive], data.X_all[~positive]).pvalue
    first = pd.Series(p, data.X_all.columns).nsmallest(len(planted)).index
    assert len(set(first) & set(planted)) >= 0.8 * len(planted)


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    cohorts = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        planted = simulate_cohort(tmp_path / name, patients=20, genes=100, seed=seed)
        files = sorted((tmp_path / name).iterdir())
        cohorts.append((planted, [path.read_bytes() for path in files]))
    assert cohorts[0] == cohorts[1]
    assert cohorts[0][1] != cohorts[2][1]


def test_growth_is_found_where_the_cohorts_can_tell():
    sizes = [(72, 7_000), (150, 3_000), (300, 3_000), (300, 6_000)]
    rows = [
        {"script": script, "patients": n, "genes": p, "cpu s": 0.1 * n**1.5 * p**0.5}
        for n, p in sizes
        for script in SCRIPTS
    ]
    table = growth_exponents(pd.DataFrame(rows))
    assert table["script"].tolist() == SCRIPTS
    assert table[["patients", "genes"]].round(6).values.tolist() == [[1.5, 0.5]] * 4
    assert growth_exponents(pd.DataFrame(rows[:8])).isna().sum().sum() == 8
