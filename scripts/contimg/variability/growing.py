"""What tables that are read in parts are gathered in."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike, NDArray


class Growing:
    """An array that grows in place: a column of a hundred million rows is never there twice."""

    def __init__(self, dtype: DTypeLike = float) -> None:
        self.values: NDArray[Any] = np.empty(0, dtype)

    def extend(self, more: NDArray) -> None:
        """Nobody may hold a part of the values while they grow."""
        size = len(self.values)
        self.values.resize(size + len(more), refcheck=False)
        self.values[size:] = more


class Names:
    """Names, numbered in the order in which they come."""

    def __init__(self) -> None:
        self.place: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.place)

    def codes(self, column: pd.Series, read: Callable[[object], str] = str) -> NDArray[np.int32]:
        """Numbers (N,) of the names in a column, as they are when `read`; None has one, too."""
        return by_value(column, lambda name: self.place.setdefault(read(name), len(self))).astype(
            np.int32
        )

    def are_in_order(self) -> bool:
        """Whether they have come sorted."""
        return all(a < b for a, b in pairwise(self.place))

    def in_order(self) -> tuple[list[str], NDArray[np.int32]]:
        """The names sorted, and of every number the place of its name among them."""
        names = sorted(self.place)
        place = np.empty(len(names), np.int32)
        place[[self.place[name] for name in names]] = np.arange(len(names))
        return names, place


def by_value(column: pd.Series, of: Callable[[object], Any]) -> NDArray[Any]:
    """`of` each value of a column (N,); of millions of rows it is asked once a value."""
    code, values = pd.factorize(column)
    found = [of(value) for value in values]
    if (code < 0).any():  # rows without a value
        found.append(of(None))
    return np.array(found)[code] if found else np.empty(0, dtype=bool)
