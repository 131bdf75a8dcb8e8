"""A simulated cohort of any number of classes, each with genes of its own; shared by tests."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from expression.data import ExpressionData

N_GENES = 400
GENES_OF_CLASS = 15  # that are higher in it


def simulate_classes(
    sizes: Sequence[int],
    effect: float,
    *,
    n_genes: int = N_GENES,
    genes_of_class: int = GENES_OF_CLASS,
    test_sizes: Sequence[int] = (),
    name: str = "class {:02}",
    batches: int = 0,
    seed: int = 0,
) -> ExpressionData:
    """Return as many classes as sizes, with so many training patients; the genes of a class are
    `effect` SDs higher in it.

    test_sizes: of the classes, in their order; without any nobody is to be tested. `name`: of a
    class, from its number. `batches`: how many there are, by turns, which change nothing.
    """
    rng = np.random.default_rng(seed)
    classes = [name.format(number) for number in range(len(sizes))]
    numbers = range(len(sizes))
    codes = np.repeat([*numbers, *numbers], [*sizes, *(test_sizes or [0] * len(sizes))])
    patients = pd.Index([f"p{number:04}" for number in range(len(codes))], name="patient")
    genes = pd.Index([f"g{number:03}" for number in range(n_genes)], name="accession")

    log2 = rng.normal(9, 1, (len(codes), n_genes))
    for code in numbers:
        of_class = slice(code * genes_of_class, (code + 1) * genes_of_class)
        log2[codes == code, of_class] += effect
    X = pd.DataFrame(np.exp2(log2), patients, genes)
    y = pd.Series(pd.Categorical.from_codes(codes, classes, ordered=True), patients)

    n = sum(sizes)
    names = pd.Series(genes, genes)
    turns = pd.Series(np.arange(len(codes)) % max(1, batches), patients)
    return ExpressionData(
        X[:n],
        X[n:],
        y[:n],
        y[n:],
        descriptions="about " + names,
        gene_names=names,
        batches=turns.map("laboratory {}".format) if batches else None,
    )


def simulate_few_genes(sizes: Sequence[int], effect: float, seed: int = 0) -> ExpressionData:
    """Return so many patients of each class to train with and as many to test, of 300 genes, two
    of each class."""
    return simulate_classes(
        sizes, effect, n_genes=300, genes_of_class=2, test_sizes=sizes, seed=seed
    )


def planted_genes(data: ExpressionData) -> dict[str, str]:
    """Return the genes that differ of a cohort of few, and the class each is higher in."""
    return {f"g{2 * i + j:03}": label for i, label in enumerate(data.classes) for j in range(2)}
