"""Accuracy and time of `contimg solve` against known gains.

    python benchmarks/calibrate.py full --configfile CONFIG --work DIR    a simulated run's calset
    python benchmarks/calibrate.py variants --work DIR                    small, with things wrong

`full` needs the raw files and the plan of a simulated run (the config names them). It prints the
errors of delays, amplitudes, phases and flux scale, and the wall and CPU time of the command over
those of the CASA calls inside it. `variants` makes its own data: a dead antenna, one with its
hands swapped, one whose gain jumps, a calibrator off the axis; and all of them together.
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
import time
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from contimg.config import read_config  # noqa: E402
from contimg.core.groups import read_manifest  # noqa: E402
from contimg.core.ms import open_table, read_axes  # noqa: E402
from contimg.core.options import to_flags  # noqa: E402
from contimg.core.paths import path  # noqa: E402
from truth.gains import Errors, errors  # noqa: E402

_CASA = re.compile(r"^CASA (\w+) (\w+): ([0-9.]+) s, ([0-9.]+) CPU s", re.MULTILINE)


def command(*words: str) -> tuple[float, float, str]:
    """Run `contimg ...`; wall and CPU seconds and what it printed."""
    before, started = os.times(), time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-m", "contimg.cli", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
    )
    wall, after = time.perf_counter() - started, os.times()
    if process.returncode:
        raise SystemExit(f"contimg {words[0]} failed:\n{process.stderr[-3000:]}")
    cpu = after.children_user + after.children_system
    return wall, cpu - before.children_user - before.children_system, process.stderr


def tables_of(directory: Path) -> dict[str, Path]:
    """Where the tables of a benchmark go."""
    return {name: directory / f"cal.{name}" for name in ("K", "B", "G")}


def solve(directory: Path, config, calibrator: str, catalog: Path, *extra: str) -> str:
    """Solve `directory`/cal.ms; prints the times, returns the log."""
    found = tables_of(directory)
    flags = [w for o in (config.instrument, config.calibrate) for w in shlex.split(to_flags(o))]
    wall, cpu, log = command(
        *("solve", "--ms", str(directory / "cal.ms")),
        *("--ms-record", str(directory / "cal.json")),
        *("--calibrator", calibrator, "--calibrators", str(config.plan.calibrators)),
        *("--catalog", str(catalog), "--k", str(found["K"]), "--b", str(found["B"])),
        *("--g", str(found["G"]), "--plot", str(directory / "solutions.png")),
        *("--record", str(directory / "solutions.json"), *flags, *extra),
    )
    calls = [(task, table, float(w), float(c)) for task, table, w, c in _CASA.findall(log)]
    casa_wall, casa_cpu = sum(c[2] for c in calls), sum(c[3] for c in calls)
    for task, table, call_wall, call_cpu in calls:
        print(f"  CASA {task:9s}{table:3s} {call_wall:7.1f} s wall {call_cpu:7.1f} s CPU")
    print(f"  command        {wall:7.1f} s wall {cpu:7.1f} s CPU")
    print(f"  over the CASA calls: {wall / casa_wall:.3f} (wall), {cpu / casa_cpu:.3f} (CPU)")
    return log


def report(title: str, found: Errors) -> None:
    """Print the figures of one calset."""
    print(title)
    for name, value in found.figures().items():
        print(f"  {name:28s} {value:9.4g}")


def compare(directory: Path, simulate, group) -> Errors:
    """Errors of the tables in `directory`."""
    record = json.loads((directory / "solutions.json").read_text())
    if record["verdict"] == "fail":
        raise SystemExit(f"{directory.name}: {record['reason']}")
    for antenna, reasons in record["data"]["flagged"].items():
        print(f"  flagged {antenna}: {reasons}")
    axes = read_axes(directory / "cal.ms")
    return errors(tables_of(directory), axes, record["data"]["refant"], simulate, group)


def full(arguments: argparse.Namespace) -> None:
    """One calset of a simulated run."""
    content = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    for key, value in yaml.safe_load(Path(arguments.configfile).read_text()).items():
        content[key] = content.get(key) | value if isinstance(value, dict) else value
    config = read_config(content)
    plan = json.loads(Path(path("plan", config.results)).read_text())
    calset, entry = next(iter(plan["calsets"].items()))
    manifest = Path(path("manifest", config.results, group=entry["group"]))
    group, _ = read_manifest(manifest)
    directory = Path(arguments.work) / calset
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "cal.json").exists():
        flags = [
            w
            for o in (config.instrument, config.convert, config.flag)
            for w in shlex.split(to_flags(o))
        ]
        wall, cpu, _ = command(
            *("convert", "--manifest", str(manifest), "--calibrator", entry["calibrator"]),
            *("--calibrators", str(config.plan.calibrators), "--ms", str(directory / "cal.ms")),
            *("--record", str(directory / "cal.json"), *flags),
        )
        print(f"convert: {wall:.1f} s wall, {cpu:.1f} s CPU")
    solve(directory, config, entry["calibrator"], Path(config.catalog))
    report(calset, compare(directory, config.simulate, group))


def variants(arguments: argparse.Namespace) -> None:
    """Small observations with something wrong in each."""
    from contimg.convert.command import ConvertFiles
    from contimg.convert.command import run as convert
    from contimg.convert.options import ConvertOptions
    from contimg.core.groups import write_manifest
    from contimg.flag.options import FlagOptions
    from contimg.simulate.command import simulate_group
    from contimg.simulate.schedule import schedule
    from contimg.simulate.sky import make_sky

    content = {
        "catalog": "sky.csv",
        "instrument": {"subbands": 4, "band_mhz": [1311.25, 1498.75]},
        "simulate": {"epochs": 1, "wide_epochs": [], "seed": 5, "antenna_step": 3}
        | {"channels_per_subband": 16, "field_sources": 80, "field_radius_deg": 2.2}
        | {"flux_min_jy": 0.02, "min_separation_arcsec": 200, "outriggers": 5},
        "plan": {"calibrators": str(ROOT / "config/calibrators.csv")},
    }
    for number, (title, (offset, harms)) in enumerate(FAULTS.items()):
        content["simulate"]["pointing_offset_deg"] = offset
        config = read_config(content)
        directory = Path(arguments.work) / f"variant{number}"
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "raw").mkdir(parents=True)
        group = schedule(config.simulate, config.instrument)[0]
        sky = make_sky(config.simulate, [group])
        sky.to_csv(directory / "sky.csv", index=False)
        entries = simulate_group(directory / "raw", group, sky, config.instrument, config.simulate)
        write_manifest(directory / "manifest.json", group, entries)
        files = ConvertFiles(
            manifest=directory / "manifest.json",
            calibrator=config.simulate.calibrator,
            calibrators=config.plan.calibrators,
            ms=directory / "cal.ms",
            record=directory / "cal.json",
        )
        convert(files, config.instrument, ConvertOptions(), FlagOptions())
        for harm in harms:
            harm(files.ms, config.simulate, group)
        print(title)
        solve(directory, config, config.simulate.calibrator, directory / "sky.csv")
        report(title, compare(directory, config.simulate, group))


def swap(ms: Path, simulate, group, name: str = "DSA-7") -> None:
    """Hands of one antenna exchanged: what is left in XX and YY is noise of the right size."""
    axes = read_axes(ms)
    rows = _rows(axes, name)
    width_s = axes.width_hz * axes.integration_s
    sigma = 6500.0 / np.sqrt(2 * width_s) * simulate.raw_scale
    rng = np.random.default_rng(7)
    with open_table(ms, writable=True) as table:
        data = table.getcol("DATA")
        noise = rng.standard_normal((2, rows.sum(), *data.shape[1:]))
        data[rows] = sigma * (noise[0] + 1j * noise[1])
        table.putcol("DATA", data)


def jump(ms: Path, simulate, group, name: str = "DSA-14") -> None:
    """Gain of one antenna times 0.8 exp(0.6 i) from the middle of the observation on."""
    axes = read_axes(ms)
    number = axes.antenna_names.index(name)
    late = np.repeat(np.arange(axes.mjd.size) >= axes.mjd.size // 2, axes.shape[1])
    first, second = (np.tile(a == number, axes.mjd.size) & late for a in (axes.ant1, axes.ant2))
    step = 0.8 * np.exp(0.6j)
    with open_table(ms, writable=True) as table:
        data = table.getcol("DATA")
        data[first] *= step
        data[second] *= np.conj(step)
        table.putcol("DATA", data)


def _rows(axes, name: str):
    number = axes.antenna_names.index(name)
    return np.tile((axes.ant1 == number) | (axes.ant2 == number), axes.mjd.size)


# declination of the pointing minus that of the calibrator [deg], what is done to the data
FAULTS = {
    "nothing wrong": (0.1, ()),
    "hands of DSA-7 swapped": (0.1, (swap,)),
    "gain of DSA-14 jumps": (0.1, (jump,)),
    "calibrator 0.5 deg off the axis": (0.5, ()),
    "all of these": (0.5, (swap, jump)),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=("full", "variants"))
    parser.add_argument("--configfile", help="config of a simulated run (full)")
    parser.add_argument("--work", required=True, help="scratch directory")
    arguments = parser.parse_args()
    {"full": full, "variants": variants}[arguments.kind](arguments)


if __name__ == "__main__":
    main()
