"""``contimg simulate``: the raw files of one group, or of all."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import read_sources
from contimg.core.command import Command, Files, existing
from contimg.core.errors import ContimgError
from contimg.core.groups import Group, write_manifest
from contimg.core.instrument import InstrumentOptions
from contimg.core.records import write_record
from contimg.simulate.options import SimulateOptions


class SimulateFiles(Files):
    """Inputs and outputs."""

    out_dir: Path = Field(description="directory of the raw files, flat like the instrument's")
    catalog: Path = Field(description="sky to observe, made by simulate-sky")
    group: str | None = Field(None, description="name of the group to make; all when not given")
    manifest: Path | None = Field(None, description="manifest to write; needs --group")
    record: Path | None = Field(None, description="record to write; needs --group")


def run(files: SimulateFiles, instrument: InstrumentOptions, simulate: SimulateOptions) -> None:
    """Write the files of the groups asked for, one progress line each."""
    from contimg.simulate.schedule import find_group, schedule

    if files.group is None and (files.manifest or files.record):
        raise ContimgError("--manifest and --record belong to one group: give --group too")
    sky = read_sources(existing(files.catalog, "simulated catalogue"))
    groups = schedule(simulate, instrument)
    chosen = groups if files.group is None else [find_group(groups, files.group)]
    files.out_dir.mkdir(parents=True, exist_ok=True)
    for number, group in enumerate(chosen, start=1):
        started = time.perf_counter()
        entries = simulate_group(files.out_dir, group, sky, instrument, simulate)
        megabytes = sum(entry["bytes"] for entry in entries) / 1e6
        print(
            f"{group.group} ({number}/{len(chosen)}): {len(entries)} files, {megabytes:.0f} MB, "
            f"{time.perf_counter() - started:.1f} s",
            flush=True,
        )
    if files.manifest is not None:
        write_manifest(files.manifest, group, entries)
    if files.record is not None:
        write_record(
            files.record,
            product=group.group,
            stage="simulate",
            data={"files": len(entries), "bytes": sum(e["bytes"] for e in entries)},
            options=(instrument, simulate),
            inputs=[files.catalog],
        )


def simulate_group(
    out_dir: Path,
    group: Group,
    sky: pd.DataFrame,
    instrument: InstrumentOptions,
    simulate: SimulateOptions,
) -> list[dict[str, Any]]:
    """Write all subband files of a group; their manifest entries, ascending in frequency."""
    from contimg.simulate.array import active_stations
    from contimg.simulate.instrument import corrupt, gains, interference_jy
    from contimg.simulate.schedule import subband_channels
    from contimg.simulate.sky import true_flux
    from contimg.simulate.uvh5 import file_name, write_subband
    from contimg.simulate.visibilities import array_positions, make_geometry, sky_visibilities

    numbers = active_stations(simulate.antenna_step, simulate.outriggers)
    positions = array_positions(numbers)
    geometry = make_geometry(simulate, group, sky, positions)
    beam = PrimaryBeam(instrument)
    channels = subband_channels(group, simulate.channels_per_subband)
    width = (group.freq_max_hz - group.freq_min_hz) / channels.size
    flux = true_flux(simulate, sky, group.mid_mjd, channels.ravel()).reshape(-1, *channels.shape)
    interference = interference_jy(simulate, group, channels.size).reshape(
        group.n_times, *channels.shape, 2
    )
    entries = []
    for subband, freq in enumerate(channels):
        smeared = width if simulate.fringe_smearing else 0.0
        model = sky_visibilities(
            geometry, freq, flux[:, subband], beam, interference[:, subband], smeared
        )
        gain = gains(simulate, group, freq)[numbers - 1]
        raw = corrupt(simulate, group, subband, model, gain, width, instrument.sefd_jy)
        path = out_dir / file_name(group, subband)
        write_subband(path, group, numbers, positions, instrument.dish_diameter_m, freq, width, raw)
        entries.append(
            {
                "path": str(path),
                "bytes": path.stat().st_size,
                "freq_min_hz": float(freq.min() - width / 2),
                "freq_max_hz": float(freq.max() + width / 2),
            }
        )
    return entries[::-1]


COMMAND = Command(
    help="Write raw UVH5 files of a known sky, as the instrument would.",
    files=SimulateFiles,
    options=(InstrumentOptions, SimulateOptions),
    run=run,
    outputs=("manifest", "record"),
)
