"""Fixtures shared by the tests."""

import pytest
from small_cohort import write_folder

from expression.data import load_expression_data


@pytest.fixture(scope="session")
def data():
    """The shipped data of Golub et al."""
    return load_expression_data()


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The small cohort, loaded."""
    return load_expression_data(write_folder(tmp_path_factory.mktemp("small")))
