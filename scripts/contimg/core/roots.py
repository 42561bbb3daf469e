"""Where a function falls through zero, without the start-up of a library of optimisers."""

from __future__ import annotations

from collections.abc import Callable


def falling(function: Callable[[float], float], low: float, high: float) -> float:
    """Where `function` of one number crosses zero from above between `low` and `high`.

    The interval is halved until no number lies between its ends. :class:`ValueError` when the
    function is below zero at `low` or above it at `high`.
    """
    if not function(low) >= 0 >= function(high):
        raise ValueError(f"no zero between {low} and {high}: {function(low)}, {function(high)}")
    if function(low) == 0:
        return low
    while low < (middle := (low + high) / 2) < high:
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return high
