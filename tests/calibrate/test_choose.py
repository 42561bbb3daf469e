"""Which calset serves a tile, and what is said about the others."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from contimg.calibrate.choose import Limits, choose
from contimg.core.errors import ContimgError
from contimg.core.groups import Group, write_manifest
from contimg.core.records import read_record, write_record
from contimg.core.seals import seal

LIMITS = Limits("standard", 24.0, 0.5)
ANTENNAS = ["DSA-1", "DSA-2"]
TILE_MJD = 60953.5
GROUP = Group(
    **{"group": "20251005T115500", "telescope": "OVRO_MMA", "latitude_deg": 37.2},
    **{"longitude_deg": -118.3, "height_m": 1200.0, "start_mjd": 60953.4, "end_mjd": 60953.6},
    **{"integration_s": 12.9, "n_times": 24, "tracking": "drift", "dec_app_deg": 55.5},
    **{"ra_deg": 10.0, "dec_deg": 55.4, "field": "", "freq_min_hz": 1.3e9, "freq_max_hz": 1.5e9},
    subbands=16,
)


def converted(folder: Path, dec_app_deg: float) -> Path:
    """The record of a conversion, and its manifest; the MS is gone, as it may be."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "manifest.json"
    write_manifest(manifest, dataclasses.replace(GROUP, dec_app_deg=dec_app_deg), [])
    data = {"start_mjd": TILE_MJD - 0.002, "end_mjd": TILE_MJD + 0.002}
    record = folder / "x.json"
    write_record(record, product="x.ms", stage="convert", data=data, inputs=[manifest])
    return record


def calset(
    root: Path,
    name: str,
    hours: float,
    *,
    dec: float = 55.5,
    antennas=ANTENNAS,
    tier: str = "standard",
    verdict: str = "pass",
    channels: int = 4,
    tables: tuple[str, ...] = ("K", "B", "G"),
) -> Path:
    """A record of a calset `hours` after the tile, and as much of its tables as is looked at."""
    from casacore.tables import makearrcoldesc, makescacoldesc, maketabdesc, table

    folder = root / name
    record = converted(folder, dec)
    (folder / "x.ms").mkdir()
    for kind in tables:
        columns = {
            "ANTENNA": makescacoldesc("NAME", ""),
            "SPECTRAL_WINDOW": makearrcoldesc("CHAN_FREQ", 0.0, ndim=1),
        }
        for sub, column in columns.items():
            (folder / f"t.{kind}").mkdir(exist_ok=True)
            values = antennas if sub == "ANTENNA" else [1.4e9 + 1e6 * np.arange(channels)]
            path = str(folder / f"t.{kind}" / sub)
            with table(path, maketabdesc([column]), nrow=len(values), ack=False) as new:
                for row, value in enumerate(values):
                    new.putcell("NAME" if sub == "ANTENNA" else "CHAN_FREQ", row, value)
    solved = folder / "solutions.json"
    write_record(
        solved,
        product=name,
        stage="solve",
        data={
            "mjd": TILE_MJD + hours / 24,
            "tier": tier,
            "tables": {kind: f"t.{kind}" for kind in tables},
        },
        inputs=[record.with_suffix(".ms")],
        verdict=verdict,
        reason="because" if verdict == "fail" else "",
    )
    return solved


def look(root: Path, records: list[Path], mode="nearest", limits=LIMITS, antennas=ANTENNAS):
    return choose(records, converted(root / "tile", 55.5), antennas, limits, mode)


def test_the_nearest_in_time_that_may_serve_whatever_the_order(tmp_path):
    records = [
        calset(tmp_path, "far", -9),
        calset(tmp_path, "near", 5, verdict="warn"),
        calset(tmp_path, "nearer", 2, verdict="fail"),
    ]
    for order in itertools.permutations(records):
        choice = look(tmp_path, list(order))
        assert choice.calsets == ["near"] and choice.weights == [1.0]
        assert [c.calset for c in choice.candidates] == ["nearer", "near", "far"]
        assert choice.candidates[0].refused == "failed, because"
        assert choice.used[0].hours == pytest.approx(5, abs=1e-4)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"hours": 24.5}, "24.5 h away, 24 h are allowed"),
        ({"hours": -30}, "30.0 h away, 24 h are allowed"),
        ({"dec": 56.2}, "observed 0.70 deg away in declination, 0.5 deg are allowed"),
        ({"tier": "development"}, "not fit for images of tier standard"),
        ({"verdict": "fail"}, "failed, because"),
        ({"antennas": ["DSA-2", "DSA-1"]}, "is of other antennas than the tile"),
    ],
)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_what_may_not_serve_is_named_and_never_applied(tmp_path, more, reason, mode):
    record = calset(tmp_path, "bad", **{"hours": 1.0, **more})
    choice = look(tmp_path, [record], mode)
    assert choice.used == [] and choice.calsets == []
    assert reason in choice.candidates[0].refused
    assert f"no calset may serve: bad: {choice.candidates[0].refused}" == choice.reason
    good = calset(tmp_path, "good", 20.0)
    assert look(tmp_path, [record, good], mode).calsets == ["good"]


def test_a_calset_that_fails_its_inspection_is_passed_over(tmp_path):
    near, far = calset(tmp_path, "near", 1.0), calset(tmp_path, "far", -9.0)
    tile = converted(tmp_path / "tile", 55.5)
    inspections = []
    for folder, verdict in ((near.parent, "fail"), (far.parent, "warn")):
        inspections.append(folder / f"{folder.name}.inspection.json")
        write_record(
            inspections[-1],
            product=folder.name,
            stage="calset inspect",
            data={},
            verdict=verdict,
            reason="because" if verdict == "fail" else "",
        )
    assert choose([near, far], tile, ANTENNAS, LIMITS).calsets == ["near"]
    choice = choose([near, far], tile, ANTENNAS, LIMITS, inspections=inspections)
    assert choice.calsets == ["far"]
    assert choice.candidates[0].refused == "failed its inspection, because"


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_without_any_calset_nothing_is_chosen(tmp_path, mode):
    choice = look(tmp_path, [], mode)
    assert choice.used == [] and "plan.staleness_hours" in choice.reason


@pytest.mark.parametrize("preset", ["development", "standard", "high_precision"])
@pytest.mark.parametrize("tier", ["development", "standard", "high_precision"])
def test_development_is_never_mixed_in(tmp_path, preset, tier):
    record = calset(tmp_path, "c", 1.0, tier=preset)
    choice = look(tmp_path, [record], limits=dataclasses.replace(LIMITS, tier=tier))
    assert bool(choice.used) == (preset != "development" or tier == "development")


def test_linear_takes_one_on_either_side(tmp_path):
    records = [
        calset(tmp_path, "after", 6),
        calset(tmp_path, "later", 18),
        calset(tmp_path, "before", -18),
        calset(tmp_path, "broken", -3, verdict="fail"),
    ]
    choice = look(tmp_path, records, "linear")
    assert choice.calsets == ["before", "after"] and choice.mode == "linear"
    assert choice.weights == pytest.approx([0.25, 0.75], abs=1e-5)
    choice.write(tmp_path / "choice.json", LIMITS)
    content = json.loads((tmp_path / "choice.json").read_text())
    assert [u["calset"] for u in content["used"]] == ["before", "after"]
    assert len(content["candidates"]) == 4 and content["limits"]["staleness_hours"] == 24


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"hours": 8.0}, "no calset before the tile may serve"),
        ({"hours": -25.0}, "no calset before the tile may serve"),
        ({"hours": -8.0, "channels": 2}, "their bandpasses have different channels"),
        ({"hours": -8.0, "tables": ("B", "G")}, "only one of the two has delays"),
    ],
)
def test_linear_without_two_sides_is_the_nearest_and_says_so(tmp_path, other, reason):
    records = [calset(tmp_path, "near", 2.0), calset(tmp_path, "other", **other)]
    choice = look(tmp_path, records, "linear")
    assert choice.calsets == ["near"] and choice.wanted == "linear" and choice.mode == "nearest"
    assert choice.reason.startswith("the nearest alone: ") and reason in choice.reason


def test_a_declination_that_is_not_on_record_is_left_open(tmp_path):
    record = calset(tmp_path, "c", 1.0)
    (tmp_path / "c" / "x.json").unlink()
    assert look(tmp_path, [record]).used[0].dec_offset_deg is None


def test_a_record_without_a_time_is_an_error(tmp_path):
    record = calset(tmp_path, "c", 1.0)
    content = json.loads(record.read_text())
    del content["data"]["mjd"]
    record.write_text(json.dumps(content))
    with pytest.raises(ContimgError, match="has no time"):
        look(tmp_path, [record])


def test_a_damaged_calset_is_passed_over_and_named(tmp_path):
    """One byte of a table, or of the record: the next nearest serves."""
    near, far = calset(tmp_path, "near", 1.0), calset(tmp_path, "far", -5.0)
    for record in (near, far):
        seal(
            record, [record.parent / f"t.{kind}" for kind in read_record(record)["data"]["tables"]]
        )
    assert look(tmp_path, [near, far]).calsets == ["near"]
    for file in (near.parent / "t.B" / "ANTENNA" / "table.dat", near):
        content = file.read_bytes()
        file.write_bytes(content.replace(b"a", b"b", 1))
        choice = look(tmp_path, [near, far])
        assert choice.calsets == ["far"]
        (refused,) = [c.refused for c in choice.candidates if c.calset == "near"]
        assert "damaged" in refused and str(near.parent) in refused
        file.write_bytes(content)
    (tmp_path / "near" / "x.json").unlink()  # of another folder than the results': left open
    assert look(tmp_path, [near, far]).calsets == ["near"]
