"""Fixtures shared by the tests."""

import pytest

from expression.data import load_expression_data


@pytest.fixture(scope="session")
def data():
    """The shipped data of Golub et al."""
    return load_expression_data()
