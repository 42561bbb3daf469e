"""Which tiles are left out and why, from records and headers; decisions; the plan; the list."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from contimg.cli import main
from contimg.core.errors import ContimgError
from contimg.core.fits import Beam
from contimg.core.paths import path
from contimg.core.records import write_record, write_text
from contimg.mosaic.calibration import calibration_of
from contimg.mosaic.command import choose_tiles
from contimg.mosaic.listing import to_mjd
from contimg.mosaic.options import MosaicOptions
from contimg.mosaic.overrides import read_decisions
from contimg.mosaic.tiles import read_tiles
from mosaic.make_tiles import BEAM, Sky, make_tile, mosaic_files

EMPTY = Sky(np.array([10.0]), np.array([30.0]), np.array([0.0]))


def make(folder: Path, name: str, **different) -> dict[str, Path]:
    number = int(name[1:])
    given = {"n": 200, "mjd": 60953 + number / 100, "seed": number} | different
    return make_tile(folder, name, (10 + 0.1 * number, 30.0), EMPTY, **given)


def chosen(made, name="m", **options):
    """(names used, reasons by tile)."""
    options = MosaicOptions(**options)
    keys = ("image", "residual", "pb", "record")
    tiles = read_tiles(*[[t[k] for t in made] for k in keys], options)
    used = choose_tiles(tiles, name, options)
    return [t.name for t in used], {t.name: t.reason for t in tiles}


@pytest.mark.parametrize(
    ("different", "reason", "option"),
    [
        ({"rms": 4e-3}, "noise 4 times the median", {"max_rms_ratio": 5}),
        ({"data": {"dynamic_range": 3.0}}, "dynamic range 3", {"min_dynamic_range": 2}),
        (
            {"beam": Beam(1.5 * BEAM.major_deg, BEAM.minor_deg, BEAM.pa_deg)},
            "beam 1.5 times as long",
            {"max_beam_ratio": 1.6},
        ),
        ({"pb_scale": 0.7}, "peak of the primary beam -30%", {"max_pb_difference": 0.4}),
        ({"pb_fwhm": 0.3}, "width of the primary beam", {"max_pb_difference": 0.5}),
    ],
)
def test_a_tile_unlike_the_others_is_left_out(tmp_path, different, reason, option):
    made = [make(tmp_path, f"t{i}") for i in range(3)] + [make(tmp_path, "t3", **different)]
    used, reasons = chosen(made)
    assert used == ["t0", "t1", "t2"] and reason in reasons["t3"]
    assert chosen(made, **option)[0] == ["t0", "t1", "t2", "t3"]
    # alike, all of them, they are judged by each other and stay
    if "data" not in different:
        alike = [make(tmp_path, f"t{i}", **different) for i in range(3)]
        assert chosen(alike)[0] == ["t0", "t1", "t2"]


@pytest.mark.parametrize("lacks", ["rms_jy_beam", "mjd"])
def test_a_tile_whose_record_lacks_what_is_needed_is_left_out(tmp_path, lacks):
    made = [make(tmp_path, "t0"), make(tmp_path, "t1"), make(tmp_path, "t2", data={lacks: None})]
    used, reasons = chosen(made)
    assert used == ["t0", "t1"] and "not known" in reasons["t2"]


def record_chain(
    folder: Path, *, dec=30.0, verdict="pass", preset="standard", linear=False
) -> Path:
    """Records from an image back to the manifests of its data and of its calset."""

    def write(name, stage, inputs=(), **content):
        path = folder / f"{name}.json"
        base = {"product": name, "stage": stage, "verdict": "pass", "reason": "", "data": {}}
        base |= {"checks": [], "inputs": [{"path": str(item)} for item in inputs]} | content
        path.write_text(json.dumps(base))
        return path

    groups = []
    for name, at in (("tile", 30.0), ("calibrator", dec), ("other", 30.0)):
        groups.append(folder / f"{name}.manifest.json")
        groups[-1].write_text(json.dumps({"group": {"dec_app_deg": at}, "files": []}))
    write("cal", "convert", [groups[1]])
    solved = write("solutions", "solve", verdict=verdict, reason="no gains", data={"tier": preset})
    content = json.loads(solved.read_text())
    content["inputs"] = [{"path": str(folder / "cal.ms"), "record_sha256": "0"}]
    solved.write_text(json.dumps(content))
    ms = write("ms", "convert", [groups[0]])
    other = write("other", "solve", data={"tier": "standard"})
    # the odd one last: it counts as much as the first
    applied = write("applied", "apply", [ms, *([other] if linear else []), solved])
    calsets = ["20251005T034512_X"] + ["20251005T134512_Y"] * linear
    return write("image", "image", [applied], data={"calsets": calsets, "tier": "standard"})


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(
    ("different", "reason"),
    [
        ({}, ""),
        ({"dec": 31.0}, "1.00 deg away in declination"),
        ({"verdict": "fail"}, "failed: no gains"),
        ({"preset": "development"}, "preset development"),
    ],
)
def test_calibration_is_followed_to_all_calsets(tmp_path, different, reason, linear):
    made = [make(tmp_path, f"t{i}") for i in range(3)]
    (tmp_path / "chain").mkdir()
    image = json.loads(record_chain(tmp_path / "chain", linear=linear, **different).read_text())
    content = json.loads(made[1]["record"].read_text())
    content["data"] |= image["data"]
    made[1]["record"].write_text(json.dumps(content | {"inputs": image["inputs"]}))
    used, reasons = chosen(made)
    assert ("t1" in used) is (not reason) and reason in reasons["t1"]
    found = calibration_of(made[1]["record"])
    assert found.dec_offset_deg == pytest.approx(different.get("dec", 30.0) - 30.0)


def test_decisions_stand_above_judgement_but_not_above_the_data(tmp_path):
    made = [make(tmp_path, f"t{i}") for i in range(3)]
    made += [make(tmp_path, "t3", rms=0.1), make(tmp_path, "t4", verdict="fail")]
    table = tmp_path / "tiles.csv"
    table.write_text(
        "mosaic,tile,decision,reason\n# a comment\nm,t0,leave_out,a satellite\n"
        "*,t3,use,the only one at night\n*,t4,use,please\nother,t1,leave_out,not here\n"
    )
    used, reasons = chosen(made, overrides=table)
    assert used == ["t1", "t2", "t3"]
    assert reasons["t0"] == "left out by decision: a satellite"
    assert reasons["t3"].startswith("used by decision: the only one at night (noise")
    assert "failed: too little data" in reasons["t4"] and "no decision" in reasons["t4"]
    assert set(read_decisions(table, "other")) == {"t1", "t3", "t4"}
    for row, message in (
        ("m,t0,drop,x", "none of use"),
        ("m,t0,use,", "needs a reason"),
        ("m,t0,use,x\nm,t0,use,y", "more than one"),
    ):
        table.write_text(f"mosaic,tile,decision,reason\n{row}\n")
        with pytest.raises(ContimgError, match=message):
            read_decisions(table, "m")


def test_the_plan_says_what_the_mosaic_becomes(tmp_path, capsys, unplotted):
    made = [make(tmp_path, f"t{i}", rms=1e-3 * (1 + i)) for i in range(2)]
    made.append(make(tmp_path, "t2", rms=0.1))
    files = mosaic_files(tmp_path, made)
    inputs = []
    for key in ("images", "residuals", "pbs", "image_records"):
        inputs += ["--" + key.replace("_", "-"), *map(str, files[key])]
    plan = tmp_path / "plan.json"
    assert main(["mosaic", "plan", "--name", "m1", "--json-file", str(plan), *inputs]) == 0
    printed = capsys.readouterr().out
    content = json.loads(plan.read_text())
    assert [t["used"] for t in content["tiles"]] == [True, True, False]
    assert "times the median" in printed and "times the median" in content["tiles"][2]["reason"]
    assert sum(t["weight"] for t in content["tiles"]) == pytest.approx(1)
    assert content["tiles"][0]["weight"] == pytest.approx(0.8, abs=0.01)
    assert not (tmp_path / "m1").exists()
    outputs = []
    for key, value in files.items():
        if not isinstance(value, list):
            outputs += ["--" + key, str(value)]
    assert main(["mosaic", *inputs, *outputs]) == 0
    made_of = json.loads(files["record"].read_text())["data"]
    planned = content["mosaic"]
    assert planned["shape"] == made_of["shape"]
    assert planned["noise_min_jy_beam"] == pytest.approx(made_of["rms_min_jy_beam"], rel=0.15)
    assert planned["area_deg2"] == pytest.approx(made_of["area_deg2"], rel=0.02)


def test_tiles_of_a_run_that_are_not_imaged_are_planned_as_such(tmp_path, capsys):
    mosaics = {"X": {"tiles": ["20251005T034512", "20251005T035021"]}}
    plan = path("plan", str(tmp_path), plan="0123456789")
    write_text(plan, json.dumps({"mosaics": mosaics}))
    assert main(["mosaic", "plan", "--name", "X", "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("not imaged yet") == 2 and "no tile can be used" in printed
    assert main(["mosaic", "plan", "--name", "Y", "--results", str(tmp_path)]) == 1


def test_mosaics_are_found_by_time_and_place(tmp_path, capsys):
    for name, mjd, ra, verdict in (
        ("a", 60000.5, 359.5, "pass"), ("b", 60001.5, 0.5, "warn"), ("c", 60001.6, 90.0, "pass"),
    ):  # fmt: skip
        folder = tmp_path / "mosaics" / name
        folder.mkdir(parents=True)
        data = {
            "mjd": mjd, "centre": {"ra_deg": ra, "dec_deg": 0.0}, "tiles_used": ["x"],
            "corners_deg": [[ra - 1, -1], [ra + 1, -1], [ra + 1, 1], [ra - 1, 1]],
            "rms_median_jy_beam": 1e-3,
        }  # fmt: skip
        record = folder / f"{name}.json"
        write_record(record, product=name, stage="mosaic", data=data, verdict=verdict)
    validation = tmp_path / "mosaics/a/a.validation.json"
    write_record(validation, product="a", stage="mosaic validate", data={}, verdict="warn")

    def listed(*words):
        table = tmp_path / "list.csv"
        assert (
            main(["mosaic", "list", "--results", str(tmp_path), "--table", str(table), *words]) == 0
        )
        return [line.split(",")[0] for line in table.read_text().splitlines()[1:]]

    assert listed() == ["a", "b", "c"]
    assert "warn" in capsys.readouterr().out.splitlines()[1]
    assert listed("--since", "2023-02-26T00:00:00") == ["b", "c"] == listed("--since=60001")
    assert listed("--until", "60001.55") == ["a", "b"]
    assert listed("--around", "0", "0", "--radius-deg", "0.1") == ["a", "b"]
    assert listed("--around", "0h0m", "+0d", "--radius-deg", "0.1") == ["a", "b"]
    assert listed("--around", "357", "0") == []
    assert listed("--around", "357", "0", "--radius-deg", "1.5") == ["a"]
    assert main(["mosaic", "list", "--results", str(tmp_path), "--since", "yesterday"]) == 1
    assert to_mjd("2023-02-26") == 60001


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"BMAJ": 0.0}, "BMAJ 0, BMIN"),
        ({"BMIN": -0.01}, "BMIN -0.01"),
        ({"BMIN": None}, "BMIN not in its header"),
        ({"BMAJ": None, "BMIN": None, "BPA": None}, "BMAJ, BMIN, BPA not in its header"),
    ],
)
def test_a_tile_without_a_usable_beam_is_left_out(tmp_path, change, reason):
    made = [make(tmp_path, f"t{i}") for i in range(3)]
    with fits.open(made[1]["image"], mode="update") as hdus:
        for key, value in change.items():
            del hdus[0].header[key]
            if value is not None:
                hdus[0].header[key] = value
    used, reasons = chosen(made)
    assert used == ["t0", "t2"]
    assert "no restoring beam" in reasons["t1"] and reason in reasons["t1"]


def test_a_tile_in_another_unit_is_left_out(tmp_path):
    """A thousand times too bright, with the weight of the others."""
    made = [make(tmp_path, f"t{i}") for i in range(3)]
    with fits.open(made[1]["image"], mode="update") as hdus:
        hdus[0].header["BUNIT"] = "mJy/beam"
        hdus[0].add_checksum()
    used, reasons = chosen(made)
    assert used == ["t0", "t2"] and "in mJy/beam, not in Jy/beam" in reasons["t1"]
