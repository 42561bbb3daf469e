"""``contimg solve``: delays (K), bandpass (B) and gains (G, 2G) of one calibrator observation.

The model holds the calibrator and the catalogued sources around it, each with its spectrum and
with the primary beam of every integration and channel; B is not normalised, so that B and G
together turn correlator units into Jy. Where the calibrator varies, the sources around it set the
scale (:mod:`contimg.calibrate.flux_scale`). Antennas that are not well are flagged first, with a
reason each; everything happens in a copy, the input is only read.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from contimg.calibrate import flux_scale, health, integrations, presets, refant, sequence, solutions
from contimg.calibrate.field import FieldFit, fit_field
from contimg.calibrate.model import sky_model, write_model
from contimg.calibrate.options import FROM_CALIBRATOR, CalibrateOptions, ScaleOptions
from contimg.calibrate.plots import plot
from contimg.calibrate.sky_checks import Held, measure_held, scale_check, sky_checks
from contimg.core.beam import PrimaryBeam
from contimg.core.casa import casa_session
from contimg.core.catalog import flux_density, scaled
from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.instrument import InstrumentOptions
from contimg.core.judge import by_checks
from contimg.core.ms import read_axes, working_copy
from contimg.core.records import atomic, require, write_record


class SolveFiles(Files):
    """Inputs and outputs of a solution."""

    ms: Path = Field(description="Measurement Set of the calibrator")
    ms_record: Path = Field(description="its record")
    calibrator: str = Field(description="name of the calibrator")
    calibrators: Path = Field(description="table of the calibrators")
    catalog: Path | None = Field(None, description="table of the sources around it")
    deep: list[Path] = Field(
        [], description="table of sources that deep mosaics show beyond it (contimg field-model)"
    )
    k: Path | None = Field(None, description="delay table to write, unless delays are off")
    b: Path = Field(description="bandpass table to write")
    g: Path = Field(description="gain table to write")
    g2: Path | None = Field(None, description="table of short-interval gains, if they are solved")
    plot: Path = Field(description="picture of the solutions to write")
    record: Path = Field(description="JSON record to write")


def run(
    files: SolveFiles,
    instrument: InstrumentOptions,
    options: CalibrateOptions,
    scale: ScaleOptions = FROM_CALIBRATOR,
) -> None:
    """Solve for one calset."""
    require(files.ms_record)
    settings = presets.effective(options)
    targets = _targets(files, options)
    axes = read_axes(files.ms)
    beam = PrimaryBeam(instrument)
    prefix = instrument.antenna_prefix
    wanted = refant.named(options.refant or [], axes, prefix, "calibrate.refant")
    prefer = refant.named(options.refant_prefer or [], axes, prefix, "calibrate.refant_prefer")
    sources = sky_model(files, axes, beam, options, field_scale=scale.field_scale)
    used = integrations.choose(sources.iloc[:1], axes, beam, settings)
    origin, why = sources.attrs["scale"]
    from_field = origin == "field"
    if from_field and (files.catalog is None or options.model_kind != "catalog"):
        raise ContimgError(
            f"the scale of {files.calibrator} is to come from the field ({why}): that needs a"
            " catalogue and calibrate.model_kind catalog"
        )
    scale_found: dict[str, Any] = {"source": origin, "why": why, "factor": 1.0, "sources": 0}
    cwd = Path.cwd()
    with casa_session() as scratch:
        working = scratch / "work.ms"
        working_copy(cwd / files.ms, working)
        path = None if options.model_path is None else cwd / options.model_path
        kind = {"kind": options.model_kind, "path": path, "standard": options.model_standard}
        model = write_model(working, axes, sources, beam, **kind)
        seen = health.look(working, axes, used.chosen)
        findings = health.examine(seen, settings)
        ranking = refant.rank(seen, findings, axes, prefer)
        refants, passed = refant.choose(wanted, ranking)
        health.flag(working, axes, findings)
        if from_field:
            measured = flux_scale.measure(
                working, axes, sources, beam, used.chosen, settings.uvrange, scale
            )
            scale_found |= measured.describe()
            sources = _rescaled(sources, measured.factor)
            used = integrations.choose(sources.iloc[:1], axes, beam, settings)
            model = write_model(working, axes, sources, beam, **kind)
        field: FieldFit | None = None
        held: Held | None = None
        where = (used.chosen, settings.uvrange)
        if options.model_kind == "catalog" and len(sources) > 1:
            field = fit_field(working, axes, sources, beam, *where)
        if field is not None and options.fit_field:
            sources = field.sources
            model = write_model(working, axes, sources, beam, **kind)
        if options.model_kind == "catalog" and files.catalog is not None:
            held = measure_held(working, axes, sources, beam, *where)
        channels = axes.freq_hz.size
        found = sequence.solve(working, scratch, refants, settings, used.timerange(axes), channels)
        findings += solutions.unsolved(found, seen.antennas, findings)
        for name, table in found.items():
            solutions.flag_feeds(table, findings)
            with atomic(cwd / targets[name]) as partial:
                shutil.copytree(table, partial)
    correlations = health.correlations(files.ms)
    summary = solutions.summarise(targets, axes)
    plot(targets, correlations, files.plot, title=files.record.parent.name)
    write_record(
        files.record,
        product=files.record.parent.name,
        stage="solve",
        data={
            "calibrator": files.calibrator,
            "delays_skipped": sequence.without_delays(settings, axes.freq_hz.size),
            "tier": options.preset,
            "settings": settings.model_dump(mode="json"),
            "mjd": float(axes.mjd[used.chosen].mean()),
            "integrations": used.describe(axes),
            "refant": solutions.reference(targets["G"], axes),
            "refant_order": refants,
            "refant_passed_over": passed,
            "refant_ranking": ranking,
            "correlations": correlations,
            "flagged": health.describe(findings, axes, correlations),
            "model": model,
            "model_sources": len(sources),
            "flux_scale": scale_found
            | {"flux_jy": float(flux_density(sources.iloc[:1], axes.freq_hz.mean())[0, 0])},
            "field": None if field is None else field.describe() | {"used": options.fit_field},
            "field_held": None if held is None else held.describe(),
            "catalog_rows_without_flux": sources.attrs["without_flux"],
            "tables": {name: target.name for name, target in targets.items()},
            **summary,
        },
        checks=[
            *solutions.checks(summary, options),
            solutions.refant_check(passed, refants),
            *([] if field is None else [field.settled()]),
            *sky_checks(field, held, options.model_kind),
            *([scale_check(scale_found["factor"])] if from_field else []),
        ],
        options=(instrument, options, scale),
        inputs=[
            path
            for path in (
                *(files.ms, files.calibrators, files.catalog, options.model_path),
                *files.deep,
            )
            if path is not None
        ],
    )


def _rescaled(sources: pd.DataFrame, factor: float) -> pd.DataFrame:
    """`sources` with the first of them, the calibrator, `factor` times as bright."""
    result = pd.concat([scaled(sources.iloc[:1], factor), sources.iloc[1:]], ignore_index=True)
    result.attrs = sources.attrs
    return result


def _targets(files: SolveFiles, options: CalibrateOptions) -> dict[str, Path]:
    """Where each table goes, in the order of application; all that are solved need a place."""
    given = {"K": files.k, "B": files.b, "G": files.g, "2G": files.g2}
    wanted = presets.tables(options)
    for name, path in given.items():
        if (name in wanted) != (path is not None):
            state = "is solved but has no file" if path is None else "has a file but is not solved"
            raise ContimgError(f"table {name} {state}: --k, --g2 and the options disagree")
    return {name: path for name in wanted if (path := given[name]) is not None}


COMMAND = Command(
    help="Solve delays, bandpass and gains on a calibrator, on an absolute flux scale.",
    files=SolveFiles,
    options=(InstrumentOptions, CalibrateOptions, ScaleOptions),
    run=run,
    outputs=("k", "b", "g", "g2", "plot", "record"),
    record="record",
    needed=("deep",),
    judge=by_checks,
)
