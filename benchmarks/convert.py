"""Conversion against its floor and its peer: ``python benchmarks/convert.py``.

Simulates a full-size group (96 antennas, 768 channels, 24 integrations; 2.2 GB), or takes the one
of --manifest, and prints for the same input, in the same run:

* the floor: copying the resulting Measurement Set and bringing it to the disk;
* `contimg convert` with the default flagging and without any, wall time and peak memory;
* pyuvdata: read, join, phase, write_ms (needs 8 GB of memory);
* how time grows with antennas, channels and integrations (`--growth`, simulated groups).

Every measurement is a process of its own; the smallest of --repeat is quoted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contimg.core.instrument import InstrumentOptions
from contimg.simulate.options import SimulateOptions

BAND = (1311.25, 1498.75)

PEER = """
import json, sys, numpy as np
from pyuvdata import UVData
from contimg.core.groups import read_manifest
group, entries = read_manifest(sys.argv[1])
parts = []
for entry in entries:
    part = UVData()
    part.read(entry["path"], file_type="uvh5", run_check=False)
    part.uvw_array = part.uvw_array.astype(float)
    part.vis_units = "Jy"
    parts.append(part)
data = parts[0].fast_concat(parts[1:], "freq", inplace=False, run_check=False)
del parts
data.reorder_freqs(channel_order="freq", run_check=False)
latitude, dec = data.telescope.location.lat.rad, np.radians(group.dec_app_deg)
for centre in data.phase_center_catalog.values():
    centre.update(cat_type="driftscan", cat_frame="altaz",
                  cat_lon=0.0 if dec > latitude else np.pi,
                  cat_lat=np.pi / 2 - abs(latitude - dec))
data._set_app_coords_helper()
data.phase(ra=np.radians(group.ra_deg), dec=np.radians(group.dec_deg), phase_frame="icrs",
           use_ant_pos=True, cat_name="tile")
data.write_ms(sys.argv[2], run_check=False, clobber=True)
"""


def timed(command: list[str]) -> tuple[float, float, float]:
    """(wall s, CPU s, peak memory GB) of a command."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    if status:
        raise SystemExit(f"failed: {' '.join(command[:6])} ...")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def best(command: list[str], product: Path, repeat: int) -> tuple[float, float, float]:
    """The fastest of several runs, `product` removed before each; it is on the disk at the end."""
    runs = []
    for _ in range(repeat):
        shutil.rmtree(product, ignore_errors=True)
        os.sync()
        runs.append(timed(["sh", "-c", 'exec "$@"', "sh", *command]))
    return min(runs)


def convert_command(manifest: Path, ms: Path, *more: str) -> list[str]:
    """`contimg convert`, then the MS brought to the disk as the floor is."""
    words = [sys.executable, "-m", "contimg.cli", "convert", "--manifest", str(manifest)]
    words += ["--ms", str(ms), "--record", str(ms.with_suffix(".json"))]
    words += ["--band-mhz", *map(str, BAND), *more]
    return ["sh", "-c", '"$@" && sync -f "$0"', str(ms.parent), *words]


def simulate(directory: Path, step: int, outriggers: int, channels: int, times: int) -> Path:
    """A group made by `contimg simulate`; its manifest."""
    directory.mkdir(parents=True)
    options = SimulateOptions(
        epochs=1,
        wide_epochs=[],
        antenna_step=step,
        outriggers=outriggers,
        channels_per_subband=channels,
        n_times=times,
        integration_s=309.2 / times,
        field_sources=30,
        fringe_smearing=False,
    )
    from contimg.core.groups import write_manifest
    from contimg.core.options import to_flags
    from contimg.simulate.command import simulate_group
    from contimg.simulate.schedule import schedule

    instrument = InstrumentOptions(band_mhz=BAND)
    catalog = directory / "catalog.csv"
    words = [sys.executable, "-m", "contimg.cli", "simulate-sky", "--catalog", str(catalog)]
    words += ["--truth", str(directory / "truth.parquet")]
    flags = f"{to_flags(instrument)} {to_flags(options)}"
    subprocess.run(["sh", "-c", f'"$@" {flags}', "sh", *words], check=True, capture_output=True)
    import pandas as pd

    sky = pd.read_csv(catalog, comment="#").assign(log_poly="")
    group = schedule(options, instrument)[0]
    raw = directory / "raw"
    raw.mkdir()
    entries = simulate_group(raw, group, sky, instrument, options)
    manifest = directory / "manifest.json"
    write_manifest(manifest, group, entries)
    return manifest


def read_once(manifest: Path) -> float:
    """Bring the input into the page cache; its size [GB]."""
    total = 0
    for entry in json.loads(manifest.read_text())["files"]:
        with open(entry["path"], "rb") as file:
            while block := file.read(1 << 24):
                total += len(block)
    return total / 1e9


def compare(manifest: Path, scratch: Path, repeat: int, peer: bool) -> None:
    """Print floor, conversion and peer for one group."""
    print(f"input {read_once(manifest):.2f} GB (in the page cache)")
    ms = scratch / "tile.ms"
    timed(convert_command(manifest, ms, "--steps"))  # compiles what is not compiled yet
    plain = best(convert_command(manifest, ms, "--steps"), ms, repeat)
    full = best(convert_command(manifest, ms), ms, repeat)
    size = sum(f.stat().st_size for f in ms.rglob("*") if f.is_file()) / 1e9
    copy = scratch / "copy.ms"
    floor_command = ["sh", "-c", 'cp -r "$1" "$2" && sync -f "$2"', "sh", str(ms), str(copy)]
    floor = best(floor_command, copy, repeat)
    shutil.rmtree(copy)
    print(f"Measurement Set {size:.2f} GB")
    rows = [("floor: cp -r and sync", floor), ("convert, no flag steps", plain)]
    rows.append(("convert, default flags", full))
    if peer:
        shutil.rmtree(ms)
        other = scratch / "peer.ms"
        command = [sys.executable, "-c", PEER, str(manifest), str(other)]
        synced = ["sh", "-c", '"$@" && sync -f "$0"', str(scratch), *command]
        rows.append(("pyuvdata", best(synced, other, 1)))
        shutil.rmtree(other)
    print(
        f"{'':26s} {'wall s':>7s} {'CPU s':>7s} {'peak GB':>8s} {'x floor':>8s} {'x convert':>10s}"
    )
    for name, (wall, cpu, memory) in rows:
        ratios = f"{wall / floor[0]:8.2f} {wall / full[0]:10.2f}"
        print(f"{name:26s} {wall:7.1f} {cpu:7.1f} {memory:8.2f} {ratios}")


def growth(scratch: Path) -> None:
    """Print the time of conversion for groups of several sizes."""
    print(f"{'antennas':>8s} {'channels':>8s} {'times':>6s} {'Mvis':>7s} {'wall s':>7s} {'GB':>5s}")
    base = (3, 4, 16, 12)
    for step, outriggers, channels, times in (base, (2, 6, 16, 12), (3, 4, 48, 12), (3, 4, 16, 24)):
        directory = scratch / f"{step}-{channels}-{times}"
        manifest = simulate(directory, step, outriggers, channels, times)
        ms = directory / "tile.ms"
        wall, _, memory = best(convert_command(manifest, ms), ms, 2)
        data = json.loads((directory / "tile.json").read_text())["data"]
        count = data["baselines"] * data["times"] * data["channels"] * 2 / 1e6
        sizes = f"{data['antennas']:8d} {data['channels']:8d} {data['times']:6d}"
        print(f"{sizes} {count:7.1f} {wall:7.1f} {memory:5.2f}")
        shutil.rmtree(directory)


def main() -> None:
    """Parse the flags and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=Path, help="take this group, do not simulate one")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--no-peer", action="store_true", help="without pyuvdata")
    parser.add_argument("--growth", action="store_true", help="also groups of other sizes")
    parser.add_argument("--scratch", type=Path, help="directory for what is written")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as work:
        scratch = Path(work)
        manifest = arguments.manifest or simulate(scratch / "full", 1, 14, 48, 24)
        compare(manifest, scratch, arguments.repeat, not arguments.no_peer)
        if arguments.growth:
            growth(scratch)


if __name__ == "__main__":
    main()
