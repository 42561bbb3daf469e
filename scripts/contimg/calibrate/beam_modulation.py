"""Bright sources freed of what the drift through the beam does to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contimg.calibrate.options import ApplyOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import flux_density, read_sources
from contimg.core.ms import open_table, read_axes
from contimg.core.predict import beam_track, predict


def remove_modulation(
    ms: Path, catalog: Path | None, beam: PrimaryBeam, options: ApplyOptions
) -> int:
    """Subtract what the drift through the beam does to bright sources; how many they are.

    Only S (B(t) - mean B) is subtracted, which has no mean over the unflagged data: a source
    keeps the average flux density that was measured, whatever the catalogue says, but no longer
    changes while the visibilities are put into one image, where that cannot be deconvolved.
    """
    if catalog is None:
        return 0
    axes = read_axes(ms)
    sources = read_sources(catalog)
    freq = axes.freq_hz.mean(keepdims=True)
    track = beam_track(sources, beam, freq, axes.pointing_rad)[..., 0]
    change = np.ptp(track, axis=0) * flux_density(sources, freq)[:, 0]
    sources = sources[change > options.drift_min_jy]
    if sources.empty:
        return 0
    n_base = axes.shape[1]
    with open_table(ms, writable=True) as table:
        good = ~table.getcol("FLAG").any(axis=-1)
        weight = good * table.getcol("WEIGHT").mean(axis=-1)[:, None]
        weight = weight.reshape(*axes.shape, -1).sum(axis=1)
        for time, stokes_i in enumerate(predict(sources, beam, axes, weight)):
            rows = {"startrow": time * n_base, "nrow": n_base}
            data = table.getcol("DATA", **rows)
            table.putcol("DATA", data - stokes_i[..., None], **rows)
    return len(sources)
