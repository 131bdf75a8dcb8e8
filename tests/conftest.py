"""Fixtures shared by the tests."""

from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
from threadpoolctl import threadpool_limits

from expression import parallel
from expression.reading.load import load_expression_data
from small_cohort import write_folder


def pytest_collection_modifyitems(items):
    """The default run first, as it takes longest: files are handed out in this order."""
    items.sort(key=lambda item: item.path.name != "test_readme.py")


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


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """As `command_line` sets it: many small fits in several test processes."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def no_figure_left():
    yield
    plt.close("all")


@pytest.fixture
def processes(monkeypatch):
    """Start processes for the quickest work, too."""
    monkeypatch.setattr(parallel, "START", -1)
