"""Sets of things that are linked, directly or through others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def linked(number: int, first: NDArray, second: NDArray) -> NDArray[np.int64]:
    """Number of the set of each of `number` things, the sets in the order of their first ones.

    `first` and `second` (pair,) are the numbers of the things that are linked.
    """
    if not len(first):  # as usual, and it saves the import of a library of graphs
        return np.arange(number)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(first)), (first, second)), shape=(number, number))
    return connected_components(links, directed=False)[1].astype(np.int64)
