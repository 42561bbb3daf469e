"""What a full-size tile costs from raw data to flux densities, beside its floors and the truth.

    python benchmarks/tile.py [--json FILE] [--alone] [--wsclean] [--work DIR]
        [--stages WORD ...] [--channels 48] [--times 24]

Simulates a group of a perfect instrument (96 antennas, 16 x 48 channels, 24 integrations, 233
sources, thermal noise), calibrates and flags it in one pass (with gains of one) and averages it to
channels of 1 MHz, fits the flux densities, and images what is left. The stages convert and average
are the other road to the same tile: conversion to a Measurement Set, and mstransform.
Prints and writes wall and CPU seconds and peak memory of each stage beside its floor in the same
run: reading the raw bytes, and with pyuvdata; the matrix products of the fit; griddings of the
image; and with --wsclean an image by WSClean of the same data, the sources fitted before. Two tiles
go through the stages side by side, each on one thread: `tile_wall_s` is half of their time; one
with --alone. What is compiled is compiled before, on a small tile. The truth
is as in benchmarks/fluxfit_truth.py. What is in a --work folder (simulated data, products of stages
that are not named in --stages) is used again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fluxfit import ANTENNAS, floor_s
from fluxfit_truth import LEVELS
from fluxfit_truth import sky as made_sky
from predict import CENTRE, cpu_s

from contimg.convert.options import ConvertOptions
from contimg.convert.prepare import Source, prepare
from contimg.core import dirty
from contimg.core.beam import PrimaryBeam
from contimg.core.fits import read_image
from contimg.core.fluxfit.design import design
from contimg.core.fluxfit.measurement import stokes_i
from contimg.core.groups import write_manifest
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import read_axes
from contimg.core.records import require, write_record
from contimg.core.robust import robust_rms
from contimg.simulate.command import simulate_group
from contimg.simulate.options import SimulateOptions
from contimg.simulate.schedule import schedule
from image import PRODUCTS, Cost, measured

PERFECT = {
    "epochs": 1, "wide_epochs": [], "rfi": False, "gain_rms": 0, "gain_drift_rms": 0,
    "gain_phases": False, "delay_rms_ns": 0, "bandpass_rms": 0, "dead_antennas": [],
    "raw_scale": 1,
}  # fmt: skip
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
INSTRUMENT = InstrumentOptions(band_mhz=(1311.25, 1498.75))
AVERAGE = """
import sys
from pathlib import Path
from contimg.core.casa import casa_session
ms, target, width = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with casa_session():
    from casatasks import mstransform
    mstransform(vis=str(ms), outputvis=target, datacolumn="data", chanaverage=True,
                chanbin=width, usewtspectrum=True, keepflags=True)
"""


def simulated(work: Path, channels: int, times: int) -> pd.DataFrame:
    """Raw data and manifest of a group; its sky."""
    options = SimulateOptions(channels_per_subband=channels, n_times=times, **PERFECT)
    group = schedule(options, INSTRUMENT)[0]
    sky = made_sky().assign(kind="field")
    shift = np.radians([group.ra_deg, group.dec_deg]) - CENTRE
    sky["ra_deg"] = (sky["ra_deg"] + np.degrees(shift[0])) % 360
    sky["dec_deg"] += np.degrees(shift[1])
    if (work / "manifest.json").exists():
        return sky
    (work / "raw").mkdir()
    entries = simulate_group(work / "raw", group, sky, INSTRUMENT, options)
    sky.drop(columns="kind").to_csv(work / "catalog.csv", index=False)
    write_manifest(work / "manifest.json", group, entries)
    return sky


def contimg(work: Path, verb: str, *words: str) -> Cost:
    """Run a verb in `work`."""
    band = ["--band-mhz", *(str(edge) for edge in INSTRUMENT.band_mhz or ())]
    return measured([sys.executable, "-m", "contimg.cli", *verb.split(), *words, *band], work)


def fit(work: Path) -> Cost:
    """The fit of the averaged tile."""
    words = ["--ms=tile.ms", "--ms-record=tile.json", "--catalog=catalog.csv"]
    outputs = ["--table=fluxes.parquet", "--model=model.parquet", "--new=new.csv"]
    outputs += ["--record=fluxes.json"]
    return contimg(work, "photometry tile", *words, *outputs)


def image(work: Path, backend: str) -> Cost:
    """The image of the averaged tile."""
    shutil.rmtree(work / backend, ignore_errors=True)
    (work / backend).mkdir()
    words = [f"--{p}={backend}/{p}.fits" for p in PRODUCTS]
    words += [f"--{name}={backend}/i.{end}" for name, end in
              (("plot", "png"), ("page", "html"), ("record", "json"))]  # fmt: skip
    inputs = ["--ms=tile.ms", "--ms-record=tile.json", "--catalog=catalog.csv"]
    inputs += ["--fit=model.parquet", "--fit-record=fluxes.json"]
    return contimg(work, "image", *inputs, *words, f"--backend={backend}")


def truth(work: Path, sky: pd.DataFrame) -> dict:
    """Measured over true by signal to noise, and the record's own judgement."""
    table = pd.read_parquet(work / "fluxes.parquet").set_index("source")
    record = json.loads((work / "fluxes.json").read_text())
    true = sky.set_index("name").reindex(table.index)
    at_unit = true["flux_jy"] * (table["freq_hz"] / 1.4e9) ** true["spectral_index"]
    pull = (table["flux_jy"] - at_unit) / table["flux_err_jy"]
    level = at_unit / table["flux_err_jy"]
    rows = []
    for low, high in itertools.pairwise(LEVELS):
        chosen = (level >= low) & (level < high)
        ratio = (table["flux_jy"] / at_unit)[chosen]
        rows.append(
            {
                "snr": [low, None if np.isinf(high) else high],
                "sources": int(chosen.sum()),
                "median": float(ratio.median()) if len(ratio) else None,
                "pull_rms": float(np.sqrt((pull[chosen] ** 2).mean())) if len(ratio) else None,
            }
        )
    kept = ("null_scatter", "noise_factor", "n_new", "n_components", "confusion_f2", "iterations")
    found = {key: record["data"][key] for key in kept}
    return {"bins": rows, "rounds": len(record["data"]["rounds"])} | found


def floors(work: Path, passes: float) -> dict[str, float]:
    """CPU seconds of what cannot be done without."""
    from pyuvdata import UVData

    files = sorted((work / "raw").iterdir())
    start = cpu_s()
    for path in files:
        with path.open("rb") as stream:
            while stream.read(1 << 24):
                pass
    found = {"read_raw": cpu_s() - start}
    start = cpu_s()
    UVData.from_file(files[0], file_type="uvh5", run_check=False)
    found["read_raw_by_pyuvdata"] = (cpu_s() - start) * len(files)
    axes = read_axes(work / "tile.ms")
    start = cpu_s()
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        blocks = stokes_i(work / "tile.ms", axes, Path(scratch))
        found["read_averaged"] = cpu_s() - start
        sources = pd.read_csv(work / "catalog.csv").assign(log_poly="")
        model = design(sources, PrimaryBeam(INSTRUMENT), axes)
        share = axes.freq_hz.size / 192 * (model.n_antennas / ANTENNAS) ** 2
        found["products_of_the_fit"] = floor_s(model, passes) * share
        record = json.loads((work / "residual" / "i.json").read_text())["data"]
        rows = axes.uvw_m.reshape(-1, 3)
        data, weight = (part.reshape(len(rows), -1) for part in (blocks.data, blocks.weight))
        cell = np.radians(record["cell_arcsec"] / 3600)
        start = cpu_s()
        dirty.Gridder(rows, axes.freq_hz, record["imsize"], cell, accuracy=1e-3).image(data, weight)
        found["gridding_of_the_image"] = cpu_s() - start
    return found


def convert(work: Path) -> Cost:
    """Raw data as a flagged Measurement Set."""
    shutil.rmtree(work / "whole.ms", ignore_errors=True)
    words = ["--manifest=manifest.json", "--ms=whole.ms", "--record=whole.json"]
    cost = contimg(work, "convert", *words)
    require(work / "whole.json")
    return cost


def calibrate(work: Path, width: int) -> Cost:
    """Raw data as a calibrated tile, `width` channels made one."""
    shutil.rmtree(work / "tile.ms", ignore_errors=True)
    unit_gains(work / "calset", work / "manifest.json")
    words = ["--manifest=manifest.json", "--ms-record=whole.json", "--calibrated=tile.ms"]
    words += ["--choice=tile.calset.json", "--record=tile.json", f"--channel-bin={width}"]
    cost = contimg(work, "calibrate tile", *words, "--solutions=calset/solutions.json")
    require(work / "tile.json")
    return cost


def unit_gains(folder: Path, manifest: Path) -> None:
    """A calset of one table, as much of it as is read."""
    from casacore.tables import makearrcoldesc, makescacoldesc, maketabdesc, table

    group = prepare(Source(manifest, None, None), INSTRUMENT, ConvertOptions())
    names, mjd = group.description.antenna_names, group.group.start_mjd
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "t.G").mkdir(parents=True)
    numbers = ("ANTENNA1", "ANTENNA2", "SPECTRAL_WINDOW_ID")
    cells = {"CPARAM": np.ones((1, 2), complex), "FLAG": np.zeros((1, 2), bool),
             "SNR": np.ones((1, 2))}  # fmt: skip
    main = [makescacoldesc(name, 0) for name in numbers] + [makescacoldesc("TIME", 0.0)]
    main += [makearrcoldesc(name, value.flat[0].item(), ndim=2) for name, value in cells.items()]
    columns = {
        "": ({"ANTENNA1": list(range(len(names))), "TIME": [mjd * 86400] * len(names)}, main),
        "/ANTENNA": ({"NAME": names}, [makescacoldesc("NAME", "")]),
        "/SPECTRAL_WINDOW": (
            {"CHAN_FREQ": [group.description.freq_hz[:1]]},
            [makearrcoldesc("CHAN_FREQ", 0.0, ndim=1)],
        ),
    }
    for part, (values, description) in columns.items():
        rows = max(len(value) for value in values.values())
        with table(f"{folder}/t.G{part}", maketabdesc(description), nrow=rows, ack=False) as new:
            for row in range(rows):
                for name, value in values.items():
                    new.putcell(name, row, value[row])
                for name, value in cells.items() if not part else ():
                    new.putcell(name, row, value)
    data = {"mjd": mjd, "tier": "standard", "tables": {"G": "t.G"}, "refant": names[0]}
    write_record(folder / "solutions.json", product="calset", stage="solve", data=data)


def average(work: Path, width: int) -> Cost:
    """`width` channels made one."""
    shutil.rmtree(work / "tile.ms", ignore_errors=True)
    words = [sys.executable, "-c", AVERAGE, str(work / "whole.ms"), str(work / "tile.ms")]
    cost = measured([*words, str(width)], work)
    data = json.loads((work / "whole.json").read_text())["data"] | {"calsets": ["none"]}
    write_record(work / "tile.json", product="tile.ms", stage="apply", data=data)
    return cost


STAGES: dict[str, tuple[str, Callable[[Path, int], Cost]]] = {
    "calibrate": ("one pass", calibrate),
    "convert": ("convert and flag", lambda work, width: convert(work)),
    "average": ("average", average),
    "fit": ("fit", lambda work, width: fit(work)),
    "image": ("image of the residual", lambda work, width: image(work, "residual")),
}

DEFAULT = ("calibrate", "fit", "image")

# floors of each, and how often
FLOORS: dict[str, dict[str, float]] = {
    "one pass": {"read_raw_by_pyuvdata": 1},
    "convert and flag": {"read_raw_by_pyuvdata": 1},
    "average": {"read_raw": 1},
    "fit": {"read_averaged": 1, "products_of_the_fit": 1, "gridding_of_the_image": 0.5},
    "image of the residual": {"read_averaged": 1, "gridding_of_the_image": 2},
}


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", action="store_true", help="one tile, not two side by side")
    parser.add_argument("--wsclean", action="store_true", help="also image with WSClean")
    parser.add_argument("--channels", type=int, default=48, help="of a subband")
    parser.add_argument("--times", type=int, default=24)
    parser.add_argument("--work", type=Path, help="folder that is kept, with the simulated data")
    parser.add_argument("--stages", nargs="*", choices=STAGES, default=list(DEFAULT))
    options = parser.parse_args()
    if not os.environ.keys() >= ONE_THREAD.keys():  # read when the libraries are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    work = options.work or Path(tempfile.mkdtemp(prefix="contimg-tile-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        result = report(work.absolute(), options)
    finally:
        if not options.work:
            shutil.rmtree(work)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


def report(work: Path, options: argparse.Namespace) -> dict:
    """All stages of one tile or two, printed as they are done."""
    sky = simulated(work, options.channels, options.times)
    width = max(options.channels // 12, 2)
    warm(options.stages)
    started = time.perf_counter()
    if not options.alone:
        beside = twin(work)
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(chain, w, options.stages, width) for w in (work, beside)]
        stages = both[0].result()
    else:
        stages = chain(work, options.stages, width)
    wall = (time.perf_counter() - started) / (1 if options.alone else 2)
    found: dict[str, Any] = {}
    beneath: dict[str, float] = {}
    if {"fit", "image"} <= set(options.stages):
        found, beneath = judged(work, sky, options.wsclean)
    result = {
        "tile_wall_s": wall,
        "tile_cpu_s": sum(cost.cpu_s for cost in stages.values()),
        "peak_gb": max(cost.memory_mb for cost in stages.values()) / 1000,
        "stages": {
            name: {k: v for k, v in asdict(cost).items() if k != "log"}
            for name, cost in stages.items()
        },
        "floors": beneath,
        "truth": found,
        "made": time.strftime("%Y-%m-%d"),
    }
    print(json.dumps({k: v for k, v in result.items() if k != "stages"}, indent=1))
    for name, cost in stages.items():
        least = sum(beneath.get(part, 0) * times for part, times in FLOORS[name].items())
        print(f"{name:22s} {cost.cpu_s:7.1f} CPU s, floor {least:6.1f}")
    return result


def warm(stages: list[str]) -> None:
    """Go through the stages with a small tile, so that kernels are compiled."""
    with tempfile.TemporaryDirectory(prefix="contimg-tile-") as scratch:
        simulated(Path(scratch), 8, 2)
        chain(Path(scratch), stages, 2)


def chain(work: Path, keys: list[str], width: int) -> dict[str, Cost]:
    """The stages of one tile, one after the other."""
    stages: dict[str, Cost] = {}
    for key in keys:
        name, stage = STAGES[key]
        cost = stages[name] = stage(work, width)
        print(f"{name:22s} {cost.cpu_s:7.1f} CPU s {cost.wall_s:7.1f} s wall"
              f" {cost.memory_mb / 1000:5.2f} GB", flush=True)  # fmt: skip
    return stages


def twin(work: Path) -> Path:
    """A second tile of the same data."""
    other = work / "beside"
    other.mkdir(exist_ok=True)
    kept = ("catalog.csv", "manifest.json", "whole.ms", "whole.json", "tile.ms", "tile.json")
    for name in kept:
        if (work / name).exists() and not (other / name).exists():
            copy = shutil.copytree if (work / name).is_dir() else shutil.copy
            copy(work / name, other / name)
    return other


def judged(work: Path, sky: pd.DataFrame, wsclean: bool) -> tuple[dict, dict[str, float]]:
    """What fit and image are worth, and the floors of what they cost."""
    found = truth(work, sky)
    if wsclean:
        image(work, "wsclean")
    for backend in ("residual", *(["wsclean"] if wsclean else [])):
        plane = read_image(work / backend / "residual.fits").data
        found[f"residual_rms_jy_beam_{backend}"] = robust_rms(plane)
    # a round goes through the data once and makes its step's model, the last fit once and for its
    # iterations
    beneath = floors(work, 1.5 * found["rounds"] + 1 + found["iterations"])
    if wsclean:
        beneath["wsclean"] = json.loads((work / "wsclean/i.json").read_text())["run"]["cpu_s"]
    return found, beneath


if __name__ == "__main__":
    main()
