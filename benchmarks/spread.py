"""How well a median is known, from the spread of what it was taken of."""

import numpy as np


def interval(values: list[float]) -> tuple[float, float]:
    """95% interval of the median, by bootstrap: the medians of draws with replacement (Efron, 1979)."""
    random = np.random.default_rng(0)
    medians = np.median(random.choice(values, (2000, len(values))), axis=1)
    low, high = np.quantile(medians, (0.025, 0.975)).tolist()
    return low, high
