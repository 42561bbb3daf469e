"""How long the jobs of a plan will take, and how much disk their products will fill."""

from __future__ import annotations

import contextlib
import csv
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.core.beam import PrimaryBeam
from contimg.core.instrument import InstrumentOptions
from contimg.image.options import ImageOptions
from contimg.image.tiers import PRESETS
from contimg.mosaic.footprint import expected_cell_deg, expected_pixels, memory_mb
from contimg.mosaic.options import MosaicOptions
from contimg.simulate.options import SimulateOptions
from contimg.tile.road import KEPT, Keep

# A full group: 96 antennas with autocorrelations, 24 integrations, 768 channels, XX and YY;
# complex64 visibility, float32 sample count and a flag each.
_BYTES_A_SAMPLE = 13
_LONGEST_S = 1e7  # no job takes a third of a year
FULL_BYTES = 4656 * 24 * 768 * 2 * _BYTES_A_SAMPLE

# rule: (CPU seconds that grow with the data, CPU seconds to start), a full group on one core of a
# 2-core machine of 2025: conversion 10 s and flags 20 s; delays, bandpass and gains 125 s with
# their model; applying and averaging 20 s; fit 30 s and image of the residual, standard tier, 30 s
# and the beam (without the fit WSClean takes about as long as both); mosaic and
# photometry of three tiles 15 s. Starting is Python and what a rule imports.
SHIPPED = {
    "simulate_group": (50.0, 4.0),
    "convert_tile": (30.0, 4.0),
    "convert_calibrator": (30.0, 4.0),
    "solve_calset": (135.0, 8.0),
    "inspect_calset": (0.0, 10.0),
    "drift_calsets": (0.0, 10.0),
    "apply_calset": (20.0, 8.0),
    "calibrate_tile": (25.0, 5.0),
    "fit_tile": (28.0, 4.0),
    "image_tile": (32.0, 4.0),
    "mosaic_tiles": (5.0, 4.0),  # a tile
    "measure_photometry": (2.0, 4.0),  # a tile
    "publish_mosaic": (0.0, 3.0),
    "normalise_lightcurves": (0.0, 10.0),
    "find_variables": (0.0, 30.0),
}
# bytes of products over bytes of raw data: MS without autocorrelations and sample counts; four
# channels averaged; and what does not depend on the data: six maps of 2400 x 2400 pixels a tile,
# ten maps of half that area for each tile of a mosaic, kept and published
_MS, _CALIBRATED = 0.6, 0.15
_IMAGE_BYTES = 6 * 2400 * 2400 * 4
_MOSAIC_BYTES = 2 * 10 * 2400 * 1200 * 4


@dataclass(frozen=True)
class Estimate:
    """Jobs and CPU seconds by rule, the wall seconds of all, and the disk they fill."""

    jobs: dict[str, int]
    cpu_s: dict[str, float]
    measured: list[str]  # rules whose figures come from earlier jobs of this results directory
    wall_s: float
    disk_bytes: float


def estimate(
    plan: dict[str, Any],
    benchmarks: Path,
    cores: int,
    keep_ms: Keep = "calibrated",
    in_one_pass: bool = True,
) -> Estimate:
    """Figures of earlier jobs below `benchmarks` where there are any, else the shipped ones.

    The wall time is that of `cores` busy cores, but not less than one chain of dependent jobs.
    """
    known = medians(benchmarks)
    volume = [tile.get("raw_bytes", 0) / FULL_BYTES for tile in plan["tiles"].values()]
    mean = statistics.fmean(volume) if volume else 0.0
    offered = {name for tile in plan["tiles"].values() for name in tile["calsets"]}
    members = [len(mosaic["tiles"]) for mosaic in plan["mosaics"].values()]
    a_mosaic = statistics.fmean(members) if members else 0.0
    tiles, calsets, mosaics = len(volume), len(offered), len(members)
    jobs = {
        "simulate_group": 0 if plan.get("files") else tiles,
        **{"convert_calibrator": calsets, "solve_calset": calsets},
        **dict.fromkeys(
            ["calibrate_tile"] if in_one_pass else ["convert_tile", "apply_calset"], tiles
        ),
        **{"inspect_calset": calsets, "drift_calsets": int(calsets > 0)},
        **{"fit_tile": tiles, "image_tile": tiles, "mosaic_tiles": mosaics},
        **{"measure_photometry": mosaics, "publish_mosaic": mosaics},
        **dict.fromkeys(("normalise_lightcurves", "find_variables"), int(mosaics > 0)),
    }
    cpu, wall = {}, {}
    for rule in jobs:
        growing, start = SHIPPED[rule]
        times = a_mosaic if rule in {"mosaic_tiles", "measure_photometry"} else 1.0
        shipped = start + growing * mean * times
        cpu[rule], wall[rule] = known.get(rule, (shipped, shipped))
    busy = sum(jobs[rule] * wall[rule] for rule in jobs)
    chain = sum(wall[rule] for rule in jobs if jobs[rule])
    return Estimate(
        {rule: number for rule, number in jobs.items() if number},
        {rule: number * cpu[rule] for rule, number in jobs.items() if number},
        sorted(set(known) & {rule for rule, number in jobs.items() if number}),
        max(busy / cores, chain) if busy else 0.0,
        disk(volume, calsets * mean, members, keep_ms),
    )


def mosaic_mb(
    plan: dict[str, Any],
    tiles: Sequence[str],
    instrument: InstrumentOptions,
    image: ImageOptions,
    mosaic: MosaicOptions,
    threads: int = 1,
) -> int | None:
    """Memory that a mosaic of `tiles` of the plan will take [MB], a fifth added.

    None where the resolution is not known: no cell in the options, no antenna positions in the
    headers.
    """
    groups = [plan["groups"][tile] for tile in tiles]
    finest = PRESETS[image.tier]["pixels_per_beam"]
    cells = [expected_cell_deg(group, image, mosaic, finest) for group in groups]
    if None in cells:
        return None
    pixels = expected_pixels(groups, min(cells), PrimaryBeam(instrument), image, mosaic)
    return round(1.2 * memory_mb(pixels, threads))


def disk(volume: list[float], calset_volume: float, members: list[int], keep_ms: Keep) -> float:
    """Bytes of all products; `volume` and `calset_volume` in full groups."""
    sizes = {"ms": sum(volume) * _MS, "calibrated_ms": sum(volume) * _CALIBRATED}
    sizes["cal_ms"] = calset_volume * _MS
    sets = FULL_BYTES * sum(sizes[name] for name in KEPT[keep_ms])
    return sets + len(volume) * _IMAGE_BYTES + sum(members) * _MOSAIC_BYTES


def medians(benchmarks: Path) -> dict[str, tuple[float, float]]:
    """(CPU, wall) seconds of a job of each rule, the medians of Snakemake's benchmark files."""
    found: dict[str, tuple[float, float]] = {}
    for folder in sorted(benchmarks.iterdir()) if benchmarks.is_dir() else ():
        rows = [row for table in sorted(folder.rglob("*.tsv")) for row in _rows(table)]
        if rows and folder.name in SHIPPED:
            cpu, wall = zip(*rows, strict=True)
            found[folder.name] = (statistics.median(cpu), statistics.median(wall))
    return found


def _rows(table: Path) -> list[tuple[float, float]]:
    """(CPU, wall) seconds; jobs too short to be measured have no CPU time, their wall is taken.

    A table that is damaged has no rows, or rows without numbers: it says nothing.
    """
    if not table.is_file():
        return []
    rows = []
    lines = table.read_text(errors="replace").splitlines()
    with contextlib.suppress(csv.Error):
        for row in csv.DictReader(lines, delimiter="\t"):
            wall, cpu = _number(row.get("s")), _number(row.get("cpu_time"))
            if wall is not None:
                rows.append((cpu or wall, wall))
    return rows


def _number(text: str | None) -> float | None:
    """Seconds, where they are a number: Snakemake writes ``-`` or ``NA`` for what it missed."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < _LONGEST_S else None


def simulated_bytes(simulate: SimulateOptions, subbands: int) -> int:
    """Bytes of the raw data of one group that is yet to be simulated."""
    arms = 82  # working stations of the two arms
    antennas = len(range(0, arms, simulate.antenna_step)) + simulate.outriggers
    channels = simulate.channels_per_subband * subbands
    samples = antennas * (antennas + 1) // 2 * simulate.n_times * channels * 2
    return samples * _BYTES_A_SAMPLE
