"""Which classes cannot be excluded for a patient: class-conditional cross-conformal prediction.

Every training patient was held out, and so has a probability of their own class by models that had
not seen them. A new patient is compared with those of one class at a time: the p-value of a class
is the share of its training patients, and the new one, whose probability of their own class was no
higher. What stands in the prediction set are the classes of p above 1 - confidence: one class is
called, more are uncertain, none says that the patient is unlike the training patients of each.

If patients of a class are exchangeable, new and training ones, a class is excluded wrongly with a
probability of 1 - confidence, in each class for itself, so that the rarer one is not sacrificed.
That is exact where the models that score both were trained on other patients (split conformal);
here folds of few patients are used in turn, and the new patient is scored by the models of all,
which simulation shows to keep the confidence (docs/methods.md). It is no promise for other
laboratories: there patients are not exchangeable with those of training.

References: Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, Springer
(conformal, and label-conditional); Vovk (2015), Ann. Math. Artif. Intell. 74:9 (cross-conformal);
Lysenkova Wiklander et al. (2025), JCO Clin. Cancer Inform. 9:e2400324 (on leukemia).
"""

import numpy as np
import pandas as pd

ROUNDING = 1e-9  # by which 1 - 0.9 falls short of 0.1


def p_values(held_out: np.ndarray, codes: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Return how well a patient fits each class, patients x classes.

    held_out: probabilities of the training patients, repeats x patients x classes; codes: their
    classes; P: of the patients to look at, patients x classes.
    The mean over repeats of what each would give alone: of averaged probabilities, which scatter
    less than those of one model, too few are as low as a new patient's.
    """
    p = np.empty(P.shape)
    for label in range(P.shape[1]):
        own = np.sort(held_out[:, codes == label, label], axis=1)
        no_higher = [np.searchsorted(of_repeat, P[:, label], side="right") for of_repeat in own]
        p[:, label] = (np.mean(no_higher, axis=0) + 1) / (own.shape[1] + 1)
    return p


def are_possible(p: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return which classes cannot be excluded, shaped like the p-values."""
    return p > 1 - confidence + ROUNDING


def never_excluded(y: pd.Series, confidence: float) -> list[str]:
    """Return the classes of so few training patients that no p-value is low enough.

    With n of them the smallest is 1 / (n + 1).
    """
    smallest = 1 / (y.value_counts(sort=False) + 1)
    return list(smallest.index[smallest > 1 - confidence + ROUNDING])
