"""The words in the column ``flag`` of photometry tables: what they mean and who must heed them.

A flag is empty or words separated by semicolons. Some words only tell (a source is extended, its
row holds the integrated flux density); all others are reasons to leave the row out of light curves,
comparisons and statistics: :func:`usable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# word: meaning
LEAVE_OUT = {
    "blank_pixels": "pixels without data within the fitted ellipse",
    "duplicate": "another source of the catalogue at the same place: measured as one",
    "inseparable": "a neighbour so near that the two cannot be told apart",
    "position_fit_failed": "bright, but the fit with free position did not converge",
    "bad_fit": "what the fit leaves is beyond noise (p < 1e-6) and above 5 % of the source",
    "neighbour": "a peak that is not in the catalogue, above 5 sigma and 5 % of the source, within"
    " two beams",
    "negative_bowl": "a hole below -5 sigma and 5 % of the source within two beams",
    "flux_scale": "the flux scale of a tile that covers the source is off: as a whole, over the"
    " field, with the beam, or between subbands",
    "position": "the positions of a tile that covers the source are off",
    "image": "the image of a tile that covers the source lacks sources, or has too many that are"
    " not real, or holes",
    "shared_data": "a tile of it has been counted in another mosaic's measurement of the source",
    "other_shape": "of a point where most of the source's rows are of a Gaussian, or the reverse",
    "resolved": "neither a point nor a Gaussian: the sum of components that the residual shows",
    "residual": "more than 7 times the noise is left within a beam of it",
    "not_measured": "the fit says nothing of it",
    "tiles_disagree": "flux densities in different tiles are not the same (p < 1e-5)",
    "calibration": "a warning about the calibration or the data of a tile that covers the source,"
    " which nothing measured has cleared",
}
TELLS = {
    "extended": "no point: `flux_jy` is integrated over the fitted Gaussian",
    "unverified": "the flux scale of a tile that covers the source could not be checked: too few"
    " catalogued sources in it",
    "edge": "noise more than three times the lowest of the mosaic: near the edge of the beam",
}
MEANING = LEAVE_OUT | TELLS


def text(raised: dict[str, NDArray[np.bool_]], n: int) -> list[str]:
    """The column: for each of `n` rows the words that are raised, in the order of `raised`."""
    unknown = set(raised) - set(MEANING)
    if unknown:
        raise ValueError(f"no such flag: {', '.join(sorted(unknown))}")
    return [";".join(word for word, where in raised.items() if where[k]) for k in range(n)]


def usable(flag: pd.Series, also: Iterable[str] = ()) -> pd.Series:
    """Rows without a reason to leave them out, as a mask; an unknown word is a reason.

    `also` are words that are no reason either.
    """
    tell = {"", *TELLS, *also}
    return _where(flag, lambda words: words <= tell)


def has(flag: pd.Series, words: Iterable[str]) -> pd.Series:
    """Rows with any of some words, as a mask."""
    wanted = set(words)
    return _where(flag, lambda words: bool(words & wanted))


def _where(flag: pd.Series, holds: Callable[[set[str]], bool]) -> pd.Series:
    """Rows of whose words something holds; a run of millions has a few texts, each looked at
    once."""
    code, texts = pd.factorize(flag)
    # the last is that of rows without a text, which are numbered -1
    true = np.array([holds(set(str(text).split(";"))) for text in [*texts, ""]], dtype=bool)
    return pd.Series(true[code], index=flag.index, dtype=bool)
