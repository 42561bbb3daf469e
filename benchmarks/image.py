"""Imaging against its floor, a bare run of the same imager: ``python benchmarks/image.py``.

    python benchmarks/image.py --ms TILE.ms --record TILE.json --catalog CATALOG.csv
        [--unaveraged WHOLE.ms] [--options="--imsize=2400 ..."] [--threads N] [--work DIR]

For one calibrated tile prints, from the same run:

* `contimg image` with the tier's settings, and WSClean alone with the same command line: wall and
  CPU seconds, their ratio (goal: below 1.2), and peak memory;
* where the time goes: WSClean's inversion, prediction and deconvolution, and what is ours;
* with --unaveraged (`contimg apply --channel-bin 1`): images of the data before averaging, their
  time, noise and flux densities; one with the same options, and one without any of the tier's
  savings, that is with the pixels of a quarter less and the gridding accuracy that WSClean has by
  itself (goal: the tier is 3 times faster and changes neither noise nor flux densities).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "scripts")]

from fluxes import forced  # noqa: E402

from contimg.core.catalog import read_sources  # noqa: E402

PRODUCTS = ("image", "residual", "psf", "model", "pb", "pbcor", "rms")
PARTS = ("Inversion", "prediction", "deconvolution")
WITHOUT_SAVINGS = "--pixels-per-beam=8 --gridder-accuracy=1e-4"


@dataclass
class Cost:
    """Of one process with its children."""

    wall_s: float
    cpu_s: float
    memory_mb: float
    log: str


def measured(command: list[str], cwd: Path) -> Cost:
    """Run a command to its end; stop when it fails."""
    log = cwd / "log.txt"
    started = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
        )
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    text = log.read_text()
    if status:
        raise SystemExit(f"{command[0]} failed:\n{text[-3000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)


def image(arguments: argparse.Namespace, ms: Path, work: Path, options: str = "") -> Cost:
    """`contimg image` into `work`."""
    work.mkdir(parents=True)
    words = [f"--{name}={work / name}.fits" for name in PRODUCTS]
    words += [f"--plot={work}/p.png", f"--page={work}/p.html", f"--record={work}/r.json"]
    words += [f"--ms={ms.absolute()}", f"--ms-record={arguments.record.absolute()}"]
    words += [f"--catalog={arguments.catalog.absolute()}", f"--threads={arguments.threads}"]
    words += [*shlex.split(arguments.options), *shlex.split(options), "--backend=wsclean"]
    return measured([sys.executable, "-m", "contimg.cli", "image", *words], work)


def bare(log: str, ms: Path, work: Path) -> Cost:
    """The WSClean command of a log, alone, on the input (no outlier is subtracted)."""
    work.mkdir(parents=True)
    line = next(line for line in log.splitlines() if line.startswith("wsclean -name"))
    words = shlex.split(line)
    words[words.index("-name") + 1] = str(work / "tile")
    words[words.index("-temp-dir") + 1] = str(work)
    if "-fits-mask" in words:
        at = words.index("-fits-mask")
        del words[at : at + 2]  # gone with the scratch directory
    words[-1] = str(ms.absolute())
    return measured(words, work)


def breakdown(log: str) -> dict[str, float]:
    """Seconds of WSClean's own summary."""
    found = {}
    for part in PARTS:
        match = re.findall(rf"{part}: (\d+):(\d+):([\d.]+)", log)
        hours, minutes, seconds = match[-1]
        found[part] = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return found


def fluxes(work: Path, catalog: Path) -> pd.Series:
    """Forced flux densities [Jy] of catalogued sources above 20 sigma, the beam above 0.3."""
    paths = {name: work / f"{name}.fits" for name in ("image", "residual", "rms", "pb")}
    table = forced(SimpleNamespace(**paths), read_sources(catalog))
    return table["flux_jy"][(table["snr"] > 20) & (table["pb"] > 0.3)]


def show(name: str, cost: Cost) -> None:
    print(
        f"{name:34s} wall {cost.wall_s:7.1f} s  CPU {cost.cpu_s:7.1f} s  {cost.memory_mb:6.0f} MB"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("ms", "record", "catalog"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--unaveraged", type=Path)
    parser.add_argument("--options", default="", help="flags of contimg image")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, help="scratch (removed); the system's if unset")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="contimg-benchmark-", dir=arguments.work)).absolute()
    try:
        report(arguments, work)
    finally:
        shutil.rmtree(work)


def report(arguments: argparse.Namespace, work: Path) -> None:
    """Everything, in one go."""
    ours = image(arguments, arguments.ms, work / "ours")
    show("contimg image", ours)
    alone = bare(ours.log, arguments.ms, work / "bare")
    show("WSClean alone", alone)
    ratio = ours.wall_s / alone.wall_s, ours.cpu_s / alone.cpu_s
    print(f"{'ratio':34s} wall {ratio[0]:7.2f}    CPU {ratio[1]:7.2f}")
    parts = breakdown(ours.log)
    for name, seconds in parts.items():
        print(f"  {name.lower():32s} wall {seconds:7.1f} s")
    rest = alone.wall_s - sum(parts.values())
    print(f"  {'reading, writing, reordering':32s} wall {rest:7.1f} s")
    print(f"  {'ours':32s} wall {ours.wall_s - alone.wall_s:7.1f} s")
    if arguments.unaveraged is None:
        return
    for name, title, options in (
        ("same", "not averaged", ""),
        ("plain", "nor any other saving", WITHOUT_SAVINGS),
    ):
        cost = image(arguments, arguments.unaveraged, work / name, options)
        show(f"contimg image, {title}", cost)
        compare(arguments, work, name, cost, ours)


def compare(arguments: argparse.Namespace, work: Path, name: str, cost: Cost, ours: Cost) -> None:
    """Time, noise and flux densities of the image `name` against the tier's."""
    print(
        f"{'  of the time of the tier':34s} wall {cost.wall_s / ours.wall_s:7.2f}    "
        f"CPU {cost.cpu_s / ours.cpu_s:7.2f}"
    )
    rms = [
        json.loads((work / n / "r.json").read_text())["data"]["rms_jy_beam"] for n in ("ours", name)
    ]
    ratio = fluxes(work / "ours", arguments.catalog) / fluxes(work / name, arguments.catalog)
    print(
        f"  rms {rms[0] * 1e3:.3f} mJy/beam in the tier, {rms[1] * 1e3:.3f} here; forced flux"
        f" densities of {ratio.count()} sources: median ratio {ratio.median():.4f}"
    )


if __name__ == "__main__":
    main()
