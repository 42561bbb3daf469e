"""``contimg solve``: delays (K), bandpass (B) and gains (G) of one calibrator observation.

The model holds the calibrator and the catalogued sources around it, each with its spectrum and
with the primary beam of every integration and channel; B is not normalised, so that B and G
together turn correlator units into Jy.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from contimg.calibrate import solutions
from contimg.calibrate.options import CalibrateOptions
from contimg.core.beam import InstrumentOptions, PrimaryBeam
from contimg.core.casa import casa_session
from contimg.core.catalog import flux_density, read_sources
from contimg.core.command import Command, Files
from contimg.core.coords import separation
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.ms import Axes, open_table, read_axes
from contimg.core.predict import apparent_flux, predict
from contimg.core.records import atomic, require, write_record

_SAME_SOURCE_RAD = np.radians(15 / 3600)  # a catalogue entry this near is the calibrator itself


class SolveFiles(Files):
    """Inputs and outputs of a solution."""

    ms: Path = Field(description="Measurement Set of the calibrator")
    ms_record: Path = Field(description="its record")
    calibrator: str = Field(description="name of the calibrator")
    calibrators: Path = Field(description="table of the calibrators")
    catalog: Path | None = Field(None, description="table of the sources around it")
    k: Path = Field(description="delay table to write")
    b: Path = Field(description="bandpass table to write")
    g: Path = Field(description="gain table to write")
    plot: Path = Field(description="picture of the solutions to write")
    record: Path = Field(description="JSON record to write")


def run(files: SolveFiles, instrument: InstrumentOptions, options: CalibrateOptions) -> None:
    """Solve for one calset."""
    require(files.ms_record)
    axes = read_axes(files.ms)
    sources = sky_model(files, axes, PrimaryBeam(instrument), options)
    refants = options.refant or rank_antennas(files.ms, axes)
    targets = {"K": files.k, "B": files.b, "G": files.g}
    cwd = Path.cwd()
    with casa_session() as scratch:
        working = scratch / "work.ms"
        shutil.copytree(cwd / files.ms, working)
        write_model(working, axes, sources, PrimaryBeam(instrument))
        solve(working, scratch, refants, options)
        for name, target in targets.items():
            if not (scratch / name).is_dir():
                raise DataQualityError(f"CASA found no {name} solutions")
            with atomic(cwd / target) as partial:
                shutil.copytree(scratch / name, partial)
    summary = solutions.summarise(targets, axes)
    solutions.plot(targets, axes, files.plot, title=f"{files.record.parent.name}")
    write_record(
        files.record,
        product=files.record.parent.name,
        stage="solve",
        data={
            "calibrator": files.calibrator,
            "mjd": float(axes.mjd.mean()),
            "refant": refants[0],
            "refant_order": refants[:5],
            "model_sources": len(sources),
            "tables": {name: target.name for name, target in targets.items()},
            **summary,
        },
        checks=solutions.checks(summary, options),
        options=(instrument, options),
        inputs=[p for p in (files.ms, files.calibrators, files.catalog) if p is not None],
    )


def sky_model(
    files: SolveFiles, axes: Axes, beam: PrimaryBeam, options: CalibrateOptions
) -> pd.DataFrame:
    """The calibrator and, from the catalogue, everything else that is bright enough."""
    table = read_sources(files.calibrators)
    calibrator = table[table["name"] == files.calibrator]
    if calibrator.empty:
        raise ContimgError(f"{files.calibrators}: no calibrator named {files.calibrator}")
    middle = float(axes.freq_hz.mean())
    if not np.isfinite(flux_density(calibrator, middle)).all():
        raise ContimgError(
            f"{files.calibrators}: {files.calibrator} has no flux density and cannot set the scale"
        )
    if files.catalog is None:
        return calibrator
    field = read_sources(files.catalog)
    at = np.radians(calibrator[["ra_deg", "dec_deg"]].to_numpy(dtype=float)[0])
    distance = separation(
        np.radians(field["ra_deg"].to_numpy()), np.radians(field["dec_deg"].to_numpy()), *at
    )
    bright = apparent_flux(field, beam, middle, axes.pointing_rad) >= options.model_min_jy
    field = field[bright & (distance > _SAME_SOURCE_RAD)]
    return pd.concat([calibrator, field], ignore_index=True)


def rank_antennas(ms: Path, axes: Axes) -> list[str]:
    """Antennas by unflagged data (to 1 %), then by nearness to the middle of the array."""
    with open_table(ms) as table:
        good = 1 - table.getcol("FLAG").mean(axis=(1, 2)).reshape(axes.shape).mean(axis=0)
    positions = axes.antenna_positions_m
    used = np.union1d(axes.ant1, axes.ant2)
    middle = np.median(positions[used], axis=0)
    ranking = []
    for antenna in used:
        share = good[(axes.ant1 == antenna) | (axes.ant2 == antenna)].mean()
        distance = np.linalg.norm(positions[antenna] - middle)
        ranking.append((-round(float(share), 2), float(distance), axes.antenna_names[antenna]))
    return [name for _, _, name in sorted(ranking)]


def write_model(ms: Path, axes: Axes, sources: pd.DataFrame, beam: PrimaryBeam) -> None:
    """Add MODEL_DATA with the model of every integration and channel, equal in both hands."""
    from casacore import tables

    n_base, n_chan = axes.shape[1], axes.freq_hz.size
    with open_table(ms, writable=True) as table:
        if "MODEL_DATA" not in table.colnames():
            description = tables.makearrcoldesc(
                "MODEL_DATA", 0j, ndim=2, shape=[n_chan, 2], valuetype="complex"
            )
            table.addcols(tables.maketabdesc([description]))
        for time, stokes_i in enumerate(predict(sources, beam, axes)):
            block = np.repeat(stokes_i[..., None], 2, axis=2)
            table.putcol("MODEL_DATA", block, startrow=time * n_base, nrow=n_base)


def solve(ms: Path, scratch: Path, refants: list[str], options: CalibrateOptions) -> None:
    """Run CASA's solvers; tables K, B and G appear in `scratch`."""
    from casatasks import bandpass, gaincal

    refant = ",".join(refants[:5])
    common = {
        "vis": str(ms),
        "refant": refant,
        "uvrange": options.uvrange,
        "minsnr": options.minsnr,
        "minblperant": options.minblperant,
    }
    k, phases, b, g = (str(scratch / name) for name in ("K", "P", "B", "G"))
    gaincal(caltable=k, gaintype="K", solint="inf", combine="scan", **common)
    _found(k, "delays")
    gaincal(
        caltable=phases,
        gaintype="G",
        calmode="p",
        solint=options.prebandpass_solint,
        gaintable=[k],
        **common,
    )
    _found(phases, "pre-bandpass phases")
    bandpass(
        caltable=b,
        bandtype="B",
        solint="inf",
        combine="scan",
        solnorm=False,
        fillgaps=options.bandpass_fillgaps,
        gaintable=[k, phases],
        **common,
    )
    _found(b, "bandpass")
    gaincal(
        caltable=g,
        gaintype="G",
        calmode="ap",
        solint=options.gain_solint,
        combine="scan" if options.gain_solint == "inf" else "",
        gaintable=[k, b],
        **common,
    )
    _found(g, "gains")


def _found(table: str, what: str) -> None:
    if not Path(table).is_dir():
        raise DataQualityError(f"no {what} could be solved (all data flagged or below minsnr)")


COMMAND = Command(
    help="Solve delays, bandpass and gains on a calibrator, on an absolute flux scale.",
    files=SolveFiles,
    options=(InstrumentOptions, CalibrateOptions),
    run=run,
    outputs=("k", "b", "g", "plot", "record"),
    record="record",
)
