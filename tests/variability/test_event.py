"""Which dips are deep enough to be there at all."""

import numpy as np
import pytest
from scipy.stats import norm

from contimg.variability.event import _is_deep

EVEN = (np.arange(2000) + 0.5) / 2000


@pytest.mark.parametrize(("errors", "deep"), [(3.8, False), (4.2, True), (9.0, True)])
def test_a_depth_is_four_errors_from_zero(errors, deep):
    assert _is_deep(0.05 * (errors + norm.ppf(EVEN))) is deep


def test_two_depths_that_are_both_beyond_doubt_are_deep():
    """As where the light curve shows no baseline: the upper one does not make zero likelier."""
    low, high = 0.15 + 0.02 * norm.ppf(EVEN), 0.35 + 0.02 * norm.ppf(EVEN)
    assert _is_deep(np.concatenate([low[::2], high]))


def test_a_depth_that_may_be_none_is_not():
    assert not _is_deep(np.abs(0.1 * norm.ppf(EVEN)))
