"""How much more often epochs of which quality assurance has warned are bad than others.

A block of bad epochs has one cause, of which a warning tells or not: its epochs count as one
observation, so that ln of its prior probability changes by the mean over them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.rowflags import has
from contimg.variability.banks import Banks

# part of the bad blocks among what light curves hold that lie on epochs with a warning: nobody has
# counted, and where it is less, more blocks on epochs without one are taken for dips
SEEN = 0.5
PART = (0.01, 0.5)  # of all epochs with a warning, at least and at most
# words of photometry of epochs that are kept, but not vouched for
DOUBTFUL = ("unverified", "edge", "unnormalised")


def doubtful(flag: pd.Series, words: Iterable[str] = DOUBTFUL) -> NDArray[np.bool_]:
    """Rows of the column ``flag`` that are kept with a warning."""
    return has(flag, words).to_numpy()


def block_odds(warned: NDArray[np.bool_]) -> NDArray[np.float64]:
    """ln of how much more often bad blocks are at epochs `warned` of, or not, than at any epoch.

    Of all measurements (M,) of a run. Bayes: P(warning | bad) / P(warning), and likewise without.
    """
    part = float(np.clip(np.mean(warned), *PART)) if len(warned) else PART[0]
    return np.where(warned, np.log(SEEN / part), np.log((1 - SEEN) / (1 - part)))


def doubting(banks: Banks, odds: NDArray | None) -> Banks:
    """`banks` with the prior probabilities of bad blocks by the `odds` (N,) of their epochs."""
    if odds is None or "bad_block" not in banks.of_class:
        return banks
    bank = banks.of_class["bad_block"]
    mean = -(odds @ bank.templates) / bank.parameters[:, 1]
    return Banks({**banks.of_class, "bad_block": replace(bank, log_weight=bank.log_weight + mean)})
