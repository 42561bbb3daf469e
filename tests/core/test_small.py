"""What the core does by itself so that a job need not start a library: against the library."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from contimg.core.links import linked
from contimg.core.roots import falling


@pytest.mark.parametrize("level", [0.9, 0.3, 1e-6, -0.2])
def test_a_function_falls_through_zero_where_scipy_says(level: float) -> None:
    found = falling(lambda x: np.cos(x) - level, 0.0, 3.0)
    assert found == pytest.approx(brentq(lambda x: np.cos(x) - level, 0, 3), rel=1e-11)
    assert found == pytest.approx(np.arccos(level), rel=1e-15)


def test_the_ends_count_and_what_does_not_fall_between_them_is_refused() -> None:
    assert falling(lambda x: 1 - x, 1.0, 2.0) == 1.0
    assert falling(lambda x: 2 - x, 1.0, 2.0) == 2.0
    for low, high in ((2.0, 3.0), (0.0, 0.5)):
        with pytest.raises(ValueError, match="no zero between"):
            falling(lambda x: 1 - x, low, high)


def test_a_zero_at_the_origin_ends() -> None:
    assert falling(lambda x: -abs(x), 0.0, 1.0) == 0.0


@pytest.mark.parametrize("pairs", [0, 1, 5, 40])
def test_linked_sets_are_those_of_a_library_of_graphs(pairs: int) -> None:
    first, second = np.random.default_rng(pairs).integers(0, 30, (2, pairs))
    links = coo_array((np.ones(pairs), (first, second)), shape=(30, 30))
    expected = connected_components(links, directed=False)[1]
    np.testing.assert_array_equal(linked(30, first, second), expected)


def test_nothing_is_in_no_set() -> None:
    assert linked(0, np.array([], int), np.array([], int)).shape == (0,)
