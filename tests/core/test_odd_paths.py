"""Directories with quotes, blanks, $NAME, ~ and braces in their path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contimg.core.paths import parse, path
from contimg.core.plain import plain
from contimg.core.records import read_record
from truth.observe import CORRUPTED, observe

ROOT = Path(__file__).resolve().parents[2]
ODD = 'o\'dd "q" $HOME [1] ü {x} ~'
BAND = ["--subbands", "2", "--band-mhz", "1311.25", "1498.75"]


def test_plain_names(tmp_path):
    assert plain(tmp_path / "t.ms") == str(tmp_path / "t.ms")
    odd = tmp_path / ODD
    odd.mkdir()
    linked = Path(plain(odd / "t.ms"))
    assert linked.name == "t.ms" and linked.parent.resolve() == odd.resolve()
    assert not set("'\"$ []ü{}~") & set(str(linked))
    assert plain(odd / "u.ms") == str(linked.parent / "u.ms")  # one link a directory


def test_paths_of_products_below_braces():
    made = path("image", "/data/{x}/{group}", group="20251005T034512", tier="standard")
    assert made.startswith("/data/{x}/{group}/images/")
    key = parse("image", made, "/data/{x}/{group}")
    assert key["group"] == "20251005T034512"


def contimg(folder: Path, verb: str, **flags) -> None:
    """Run a verb with file names relative to `folder`."""
    words = [w for key, value in flags.items() for w in (f"--{key.replace('_', '-')}", str(value))]
    command = [sys.executable, str(ROOT / "scripts/bin/contimg"), *verb.split(), *words, *BAND]
    done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A tile and its calibrator, solved and calibrated, in an odd directory."""
    folder = tmp_path_factory.mktemp("chain") / ODD
    folder.mkdir()
    _, sky, _ = observe(folder, flux_jy=8.8, simulate=CORRUPTED)
    sky.assign(name="CAL").to_csv(folder / "cat.csv", index=False)
    calibrator = {"calibrator": "CAL", "calibrators": "cat.csv"}
    manifest = {"manifest": "manifest.json"}
    contimg(folder, "convert", **manifest, **calibrator, ms="cal.ms", record="cal.json")
    contimg(folder, "convert", **manifest, ms="tile.ms", record="tile.json")
    contimg(
        folder, "solve", ms="cal.ms", ms_record="cal.json", **calibrator, k="t.K", b="t.B", g="t.G",
        plot="t.png", record="solutions.json",
    )  # fmt: skip
    contimg(
        folder, "apply", ms="tile.ms", ms_record="tile.json", solutions="solutions.json",
        choice="choice.json", calibrated="c.ms", record="c.json",
    )  # fmt: skip
    return folder


def test_a_tile_in_one_pass(odd):
    contimg(
        odd, "calibrate tile", manifest="manifest.json", ms_record="conversion.json",
        plot="flags.png", solutions="solutions.json", catalog="cat.csv", choice="one.choice.json",
        calibrated="one.ms", record="one.json",
    )  # fmt: skip
    here, there = (read_record(odd / name)["data"] for name in ("one.json", "c.json"))
    assert here["usable_fraction"] == there["usable_fraction"] > 0.5


def test_raw_data_become_an_image(odd):
    products = ("image", "residual", "psf", "model", "pb", "pbcor", "rms")
    outputs = {name: f"i.{name}.fits" for name in products}
    contimg(
        odd, "image", ms="c.ms", ms_record="c.json", catalog="cat.csv", **outputs,
        plot="i.png", page="i.html", record="i.json",
        imsize=400, cell_arcsec=20, niter=100,
    )  # fmt: skip
    record = read_record(odd / "i.json")
    assert record["data"]["peak_jy_beam"] > 1
    # nothing was written where casacore would have read $HOME and ~ as something else
    assert {p.name for p in odd.parent.iterdir()} == {ODD}
