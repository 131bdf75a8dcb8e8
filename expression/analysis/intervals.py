"""95 % intervals of what is counted or averaged over few patients.

References: Newcombe (1998) Statistics in Medicine 17:857 and 17:873 (proportions and their
combinations) and (2006) 25:559 (ROC AUC, method 5); Nadeau & Bengio (2003) Machine Learning 52:239
(means over overlapping splits).
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm, t

Z = norm.ppf(0.975)


def wilson_interval(rate: float, n: int) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion of n; n times `rate` need not be whole."""
    center = (rate + Z**2 / (2 * n)) / (1 + Z**2 / n)
    margin = Z * np.sqrt(rate * (1 - rate) / n + (Z / (2 * n)) ** 2) / (1 + Z**2 / n)
    return max(0.0, center - margin), min(1.0, center + margin)


def newcombe_interval(rates: Iterable[float], counts: Iterable[int]) -> tuple[float, float]:
    """Return Newcombe's square-and-add interval of the mean of independent proportions.

    Either limit is as far from the mean as the proportions' own limits are from them, added as
    independent errors are.
    """
    rates = np.array(rates)
    limits = [wilson_interval(rate, n) for rate, n in zip(rates, counts, strict=True)]
    low, high = np.transpose(limits)
    below, above = np.linalg.norm(rates - low), np.linalg.norm(high - rates)
    return rates.mean() - below / len(rates), rates.mean() + above / len(rates)


def auc_interval(auc: float, positive: int, negative: int) -> tuple[float, float]:
    """Return Newcombe's interval of a ROC AUC, method 5, from the numbers of patients.

    As with Wilson's, the limits are the values whose own standard error just reaches the estimate;
    it is Hanley & McNeil's, both groups taken to be of average size.
    """
    extra = (positive + negative) / 2 - 1

    def distance(value, estimate):
        spread = 1 + extra * ((1 - value) / (2 - value) + value / (1 + value))
        variance = value * (1 - value) * spread / (positive * negative)
        return estimate - value - Z * np.sqrt(variance)

    def lower(estimate):  # at an estimate of 1 the limit is the other root, below 1
        return brentq(distance, 0, min(estimate, 1 - 1e-12), (estimate,)) if estimate else 0.0

    return lower(auc), 1 - lower(1 - auc)


def summarise_splits(scores: pd.DataFrame, n_train: int, n_test: int) -> pd.DataFrame:
    """Return mean, sd and interval of the mean over splits (Nadeau & Bengio).

    For other patients of the same kind, approximately: training parts overlap, so the variance of
    the mean over J splits is not 1/J of the variance of a score but 1/J + n_test/n_train of it. No
    interval where all scores are the same.
    """
    mean, sd = scores.mean(), scores.std()
    error = sd * np.sqrt(1 / len(scores) + n_test / n_train)
    margin = t.ppf(0.975, len(scores) - 1) * error.where(sd > 1e-9)
    limits = {"lower": (mean - margin).clip(0, 1), "upper": (mean + margin).clip(0, 1)}
    return pd.DataFrame({"mean": mean, "sd": sd.round(12), **limits})
