"""The simulated cohorts of the benchmark: planted genes are there, and the same again."""

import pandas as pd
from scipy import stats

from benchmarks.benchmark import SCRIPTS, growth_exponents, simulate_cohort
from expression.data import load_expression_data


def test_a_cohort_loads_and_its_planted_genes_tell_the_classes(tmp_path):
    planted = simulate_cohort(tmp_path, patients=90, genes=500, seed=0)
    data = load_expression_data(tmp_path)
    assert (data.X_train.shape, data.X_test.shape) == ((63, 500), (27, 500))
    assert data.groups.value_counts().to_dict() == {"B-cell ALL": 40, "AML": 30, "T-cell ALL": 20}
    positive = data.y_all == "AML"
    p = stats.mannwhitneyu(data.X_all[positive], data.X_all[~positive]).pvalue
    first = pd.Series(p, data.X_all.columns).nsmallest(len(planted)).index
    assert len(set(first) & set(planted)) >= 0.8 * len(planted)


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
