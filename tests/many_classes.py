"""A simulated cohort of any number of classes, each with two genes of its own; shared by tests."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from expression.data import ExpressionData

N_GENES = 300


def simulate_classes(sizes: Sequence[int], effect: float, seed: int = 0) -> ExpressionData:
    """Return so many training patients of each class, as many to test, and their genes.

    Genes 2k and 2k + 1 are higher in class k, by `effect` SDs.
    """
    rng = np.random.default_rng(seed)
    codes = np.tile(np.repeat(np.arange(len(sizes)), sizes), 2)
    patients = pd.Index([f"p{i:03}" for i in range(len(codes))], name="patient")
    genes = [f"g{i:03}" for i in range(N_GENES)]
    log2 = rng.normal(9, 1, (len(codes), N_GENES))
    for code in range(len(sizes)):
        log2[codes == code, 2 * code : 2 * code + 2] += effect
    X = pd.DataFrame(np.exp2(log2), patients, pd.Index(genes, name="accession"))
    classes = [f"class {chr(ord('A') + code)}" for code in range(len(sizes))]
    y = pd.Series(pd.Categorical.from_codes(codes, classes, ordered=True), patients)
    n_train = sum(sizes)
    names = pd.Series(genes, genes)
    return ExpressionData(
        X_train=X[:n_train],
        X_test=X[n_train:],
        y_train=y[:n_train],
        y_test=y[n_train:],
        descriptions="about " + names,
        gene_names=names,
    )


def planted_genes(data: ExpressionData) -> dict[str, str]:
    """Return the genes that differ, and the class each is higher in."""
    return {f"g{2 * i + j:03}": label for i, label in enumerate(data.classes) for j in range(2)}
