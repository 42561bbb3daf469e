"""Accuracy and time of `contimg solve` against known gains.

    python benchmarks/calibrate.py full --configfile CONFIG --work DIR [--faults] [--tie]
    python benchmarks/calibrate.py variants --work DIR

`full` solves the calset of a simulated run, whose raw files and plan the config names; with
`--faults` after exchanging the correlations of one antenna and letting the gain of another one jump
(one is dead as simulated; simulate.pointing_offset_deg puts the calibrator off the axis), with
`--tie` from a table that has the calibrator 40 per cent too bright, the scale tied to the field.
`variants` makes small data of its own: nothing wrong, each of these faults, a calibrator half a
degree off the axis, all of them together, and the tie.

Printed are the errors of delays, amplitudes, phases and flux scale beside what is asked of them,
and the wall and CPU time of the command over those of the CASA calls inside it. A gradient of the
phases over the array is given as the shift of the sky that it amounts to.
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

import yaml

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from contimg.config import read_config  # noqa: E402
from contimg.core.calibrators import read_calibrators  # noqa: E402
from contimg.core.catalog import scaled  # noqa: E402
from contimg.core.groups import read_manifest  # noqa: E402
from contimg.core.ms import read_axes  # noqa: E402
from contimg.core.options import to_flags  # noqa: E402
from contimg.core.paths import path  # noqa: E402
from contimg.core.plans import read_plan  # noqa: E402
from truth.faults import jump, swap_correlations  # noqa: E402
from truth.gains import Errors, errors  # noqa: E402

# what is asked, in the units of the figures
LIMITS = {
    "flux scale - 1 [%]": 1.0,
    "delay rms [ns]": 0.05,
    "amplitude rms [%]": 0.3,
    "phase rms [deg]": 0.3,
}
SLOWNESS = 1.2  # the command over its CASA calls, at full size
WRONG = 1.4  # flux density in the table of --tie over the true one
# as contimg.environment prepares it for the jobs of a run
_ENVIRONMENT = {
    "PYTHONPATH": str(ROOT / "scripts"),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_CASA = re.compile(r"^CASA (\w+) (\w+): ([0-9.]+) s, ([0-9.]+) CPU s", re.MULTILINE)


def command(*words: str) -> tuple[float, float, str]:
    """Run `contimg ...`; wall and CPU seconds and what it printed."""
    before, started = os.times(), time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-m", "contimg.cli", *words],
        capture_output=True,
        text=True,
        env=os.environ | _ENVIRONMENT,
    )
    wall, after = time.perf_counter() - started, os.times()
    if process.returncode:
        raise SystemExit(f"contimg {words[0]} failed:\n{process.stderr[-3000:]}")
    cpu = after.children_user + after.children_system
    return wall, cpu - before.children_user - before.children_system, process.stderr


def tables_of(directory: Path) -> dict[str, Path]:
    """Where the tables of a benchmark go."""
    return {name: directory / f"cal.{name}" for name in ("K", "B", "G")}


def wrong_table(directory: Path, config, calibrator: str) -> Path:
    """The table of the calibrators with that one too bright, variable and no standard."""
    table = read_calibrators(config.plan.calibrators)
    row = scaled(table[table["name"] == calibrator], WRONG)
    row = row.assign(standard="", role="bandpass", variable="made so", scale="")
    row.to_csv(directory / "wrong.csv", index=False)
    return directory / "wrong.csv"


def solve(directory: Path, config, calibrator: str, catalog: Path, tie: bool = False) -> float:
    """Solve `directory`/cal.ms; prints the times, returns the CPU time over that of the calls."""
    calibrators, extra = config.plan.calibrators, []
    if tie:
        calibrators = wrong_table(directory, config, calibrator)
        extra = ["--field-scale", "needed"]
    found = tables_of(directory)
    flags = [w for o in (config.instrument, config.calibrate) for w in shlex.split(to_flags(o))]
    wall, cpu, log = command(
        *("solve", "--ms", str(directory / "cal.ms")),
        *("--ms-record", str(directory / "cal.json")),
        *("--calibrator", calibrator, "--calibrators", str(calibrators)),
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
    return cpu / casa_cpu


def report(title: str, found: Errors) -> bool:
    """Print the figures of one calset and what is asked; whether all are met."""
    print(title)
    met = True
    for name, value in found.figures().items():
        verdict = ""
        if name in LIMITS:
            good = abs(value) <= LIMITS[name]
            met &= good
            verdict = f"   {'met' if good else 'NOT MET'} ({LIMITS[name]:g})"
        print(f"  {name:32s} {value:9.4g}{verdict}")
    return met


def compare(directory: Path, simulate, group) -> Errors:
    """Errors of the tables in `directory`."""
    record = json.loads((directory / "solutions.json").read_text())
    if record["verdict"] == "fail":
        raise SystemExit(f"{directory.name}: {record['reason']}")
    for antenna, reasons in record["data"]["flagged"].items():
        print(f"  flagged {antenna}: {reasons}")
    scale = {k: v for k, v in record["data"]["flux_scale"].items() if k != "field"}
    print(f"  flux scale: {scale}")
    axes = read_axes(directory / "cal.ms")
    return errors(tables_of(directory), axes, record["data"]["refant"], simulate, group)


def full(arguments: argparse.Namespace) -> None:
    """One calset of a simulated run."""
    content = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    for key, value in yaml.safe_load(Path(arguments.configfile).read_text()).items():
        content[key] = content.get(key) | value if isinstance(value, dict) else value
    config = read_config(content)
    plan = read_plan(config.results)
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
    if arguments.faults:
        whole, directory = directory, directory.with_name(f"{calset}-faults")
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        shutil.copytree(whole / "cal.ms", directory / "cal.ms")
        shutil.copyfile(whole / "cal.json", directory / "cal.json")
        harm(directory / "cal.ms", config.simulate, "swap", "jump")
    slowness = solve(
        directory, config, entry["calibrator"], Path(config.catalog), tie=arguments.tie
    )
    met = report(directory.name, compare(directory, config.simulate, group))
    met &= slowness <= SLOWNESS
    print(f"  time {'met' if slowness <= SLOWNESS else 'NOT MET'} ({SLOWNESS:g} in CPU)")
    raise SystemExit(0 if met else 1)


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
    met = True
    for number, (title, (offset, *harms)) in enumerate(FAULTS.items()):
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
        harm(files.ms, config.simulate, *harms)
        print(title)
        calibrator, tie = config.simulate.calibrator, "tie" in harms
        solve(directory, config, calibrator, directory / "sky.csv", tie=tie)
        met &= report(title, compare(directory, config.simulate, group))
    raise SystemExit(0 if met else 1)


def harm(ms: Path, simulate, *harms: str) -> None:
    """Do to the data what `harms` name."""
    if "swap" in harms:
        swap_correlations(ms, "DSA-7", simulate)
    if "jump" in harms:
        jump(ms, "DSA-14")


# declination of the pointing minus that of the calibrator [deg], what is done to the data
FAULTS: dict[str, tuple] = {
    "nothing wrong": (0.1,),
    "correlations of DSA-7 swapped": (0.1, "swap"),
    "gain of DSA-14 jumps": (0.1, "jump"),
    "calibrator 0.5 deg off the axis": (0.5,),
    "all of these": (0.5, "swap", "jump"),
    "calibrator 40 % too bright in its table, scale from the field": (0.1, "tie"),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=("full", "variants"))
    parser.add_argument("--configfile", help="config of a simulated run (full)")
    parser.add_argument("--faults", action="store_true", help="full: with sick antennas")
    parser.add_argument("--tie", action="store_true", help="full: the field sets the scale")
    parser.add_argument("--work", required=True, help="scratch directory")
    arguments = parser.parse_args()
    {"full": full, "variants": variants}[arguments.kind](arguments)


if __name__ == "__main__":
    main()
