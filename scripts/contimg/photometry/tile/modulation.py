"""What `contimg apply` has subtracted of bright sources so that the drift does not move them.

The fit knows the drift itself. It must know what the data hold: of a source of catalogued flux
density S not S B(t) but flux B(t) - S (B(t) - mean B).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import flux_density
from contimg.core.errors import ContimgError
from contimg.core.ms import Axes
from contimg.core.predict import beam_track


@dataclass(frozen=True)
class Steadied:
    """Sources whose modulation is not in the data any more."""

    sources: pd.DataFrame
    taken: NDArray[np.float32]  # (time, source, channel) [Jy]: - S (B - mean B)

    def offset(self, table: pd.DataFrame) -> NDArray[np.float32]:
        """The same for the rows of `table`, by name: zero for those not among the sources."""
        times, _, channels = self.taken.shape
        result = np.zeros((times, len(table), channels), np.float32)
        number = pd.Index(self.sources["name"]).get_indexer(table["name"])
        result[:, number >= 0] = self.taken[:, number[number >= 0]]
        return result


def steadied_sources(
    record: dict[str, Any],
    catalog: pd.DataFrame,
    beam: PrimaryBeam,
    axes: Axes,
    weight: NDArray[np.float64],
) -> Steadied | None:
    """From the record of the calibration; None where nothing was subtracted.

    `weight` (time, channel) is the sum of the weights of the MS. Raises :class:`ContimgError` when
    the catalogue is not the one that the calibration used.
    """
    count = int(record["data"].get("sources_steadied", 0))
    if not count:
        return None
    limit = float(record["parameters"]["apply"]["drift_min_jy"])
    middle = axes.freq_hz.mean(keepdims=True)
    track = beam_track(catalog, beam, middle, axes.pointing_rad)[..., 0]
    change = np.ptp(track, axis=0) * flux_density(catalog, middle)[:, 0]
    sources = catalog[change > limit].reset_index(drop=True)
    if len(sources) != count:
        raise ContimgError(
            f"{record['product']}: calibration took the drift of {count} sources out, this"
            f" catalogue has {len(sources)} such sources; give the catalogue of the calibration"
        )
    response = beam_track(sources, beam, axes.freq_hz, axes.pointing_rad)
    total = weight.sum(axis=0)
    mean = np.einsum("tsc,tc->sc", response, weight / np.where(total > 0, total, 1))
    flux = flux_density(sources, axes.freq_hz)
    return Steadied(sources, (-flux * (response - mean)).astype(np.float32))
