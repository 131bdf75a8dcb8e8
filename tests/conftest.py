"""Fixtures shared by the tests."""

from dataclasses import replace

import pytest
from small_cohort import write_folder

from expression import parallel
from expression.data import load_expression_data


@pytest.fixture(scope="session")
def data():
    """The shipped data of Golub et al."""
    return load_expression_data()


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The small cohort, loaded."""
    return load_expression_data(write_folder(tmp_path_factory.mktemp("small")))


@pytest.fixture(scope="session")
def few_genes(data):
    """Every eighth gene of the shipped data, zyxin among them."""
    return replace(data, X_train=data.X_train.iloc[:, 4::8], X_test=data.X_test.iloc[:, 4::8])


@pytest.fixture
def processes(monkeypatch):
    """Start processes for the quickest work, too."""
    monkeypatch.setattr(parallel, "START", 0)
