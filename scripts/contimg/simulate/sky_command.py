"""``contimg simulate-sky``: the catalogue of the simulated sky and the truth of every group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.core.beam import PrimaryBeam
from contimg.core.command import Command, Files
from contimg.core.groups import Group
from contimg.core.instrument import InstrumentOptions
from contimg.core.records import atomic
from contimg.simulate.options import SimulateOptions

# frequencies over the band at which fluxes and beam are averaged for the truth
_BAND_SAMPLES = 64


class SkyFiles(Files):
    """Outputs."""

    catalog: Path = Field(description="catalogue of the sky to write (CSV); unlensed fluxes")
    truth: Path = Field(description="true flux of every source in every group to write (Parquet)")


def run(files: SkyFiles, instrument: InstrumentOptions, simulate: SimulateOptions) -> None:
    """Draw the sky and write it down."""
    from contimg.simulate.schedule import schedule
    from contimg.simulate.sky import make_sky

    groups = schedule(simulate, instrument)
    sky = make_sky(simulate, groups)
    truth = pd.concat(
        [truth_of_group(simulate, instrument, sky, group) for group in groups], ignore_index=True
    )
    with atomic(files.catalog) as partial:
        sky.to_csv(partial, index=False)
    with atomic(files.truth) as partial:
        truth.to_parquet(partial, index=False)
    print(f"{len(sky)} sources, {len(groups)} groups in {simulate.epochs} epochs")


def truth_of_group(
    simulate: SimulateOptions, instrument: InstrumentOptions, sky: pd.DataFrame, group: Group
) -> pd.DataFrame:
    """True flux of all sources at mid-group, averaged over the band, and the tile's beam.

    ``flux_jy`` is the mean over the band (centre 1.405 GHz); ``flux_factor`` its ratio to that
    of the constant source; ``pb`` the power beam averaged over the drift and the band.
    """
    from contimg.core.catalog import flux_density
    from contimg.simulate.schedule import BAND_MAX_HZ, BAND_MIN_HZ
    from contimg.simulate.sky import true_flux
    from contimg.simulate.visibilities import off_axis, source_tracks

    width = (BAND_MAX_HZ - BAND_MIN_HZ) / _BAND_SAMPLES
    freq = BAND_MIN_HZ + (np.arange(_BAND_SAMPLES) + 0.5) * width
    flux = true_flux(simulate, sky, group.mid_mjd, freq).mean(axis=1)
    distance = off_axis(group, *source_tracks(group, sky))
    power = PrimaryBeam(instrument).power(distance[..., None], freq)
    return pd.DataFrame(
        {
            "source": sky["name"],
            "kind": sky["kind"],
            "group": group.group,
            "mjd": group.mid_mjd,
            "ra_deg": sky["ra_deg"],
            "dec_deg": sky["dec_deg"],
            "flux_jy": flux,
            "flux_factor": flux / flux_density(sky, freq).mean(axis=1),
            "pb": power.mean(axis=(0, 2)),
        }
    )


COMMAND = Command(
    help="Draw the simulated sky: its catalogue, and the truth to compare results with.",
    files=SkyFiles,
    options=(InstrumentOptions, SimulateOptions),
    run=run,
    outputs=("catalog", "truth"),
)
