"""The flux scale of a tile, as measured against the catalogue, applied to it.

Off unless asked for (`image.apply_flux_scale`): it makes the catalogue the scale of every tile, and
what sources in common do, vary or are catalogued wrongly, goes into all of them. What was applied
is in the record of the tile and in the rows that are measured on it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.core.fits import Image
from contimg.core.records import Check, not_made
from contimg.image.fitted import Fitted

_SURE = 0.02  # relative error of a scale that is worth applying
_SCALED = ("image", "residual", "model")


@dataclass(frozen=True)
class Scale:
    """Measured flux densities over catalogued ones, that a tile was divided by."""

    factor: float
    error: float

    def describe(self) -> dict[str, float]:
        """For the record."""
        return {"factor": round(self.factor, 6), "error": round(self.error, 6)}


def measured_scale(field: Mapping[str, Any]) -> Scale | Check:
    """The scale of `field` (of :mod:`contimg.image.against`), or a warning why it is not applied.

    With gradient and beam fitted, it is that of the centre.
    """
    level, error = field["log_level"], field["log_level_err"]
    what = "flux scale applied"
    if level is None or error is None:
        return not_made(what, f"{field['sources_fitted']} isolated sources matched")
    if error > _SURE:
        return not_made(what, f"known to {error:.1%} only, {_SURE:.0%} is asked for")
    factor = math.exp(level)
    return Scale(factor, factor * error)


def rescaled(images: Mapping[str, Image], fitted: Fitted, by: float) -> tuple[dict, Fitted]:
    """Images in Jy and fitted sources, divided by a factor."""
    made = {
        name: dataclasses.replace(content, data=_divided(content.data, by))
        if name in _SCALED
        else content
        for name, content in images.items()
    }
    table = fitted.sources
    if not table.empty:
        columns = ("fitted_jy", "flux_err_jy")
        table = table.assign(**{column: table[column] / by for column in columns})
    return made, dataclasses.replace(fitted, sources=table)


def _divided(data: NDArray[np.floating], by: float) -> NDArray[np.floating]:
    return (data / by).astype(data.dtype)
