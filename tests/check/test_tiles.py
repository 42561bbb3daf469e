"""What all tiles say together: sources that no catalogue has, and the dish."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from contimg.check.beam import places
from contimg.check.tiles import Tile
from contimg.cli import main
from contimg.core.records import write_record

BEAM_ARCSEC = 40.0
FEW = {"dish_diameter_m": None, "dish_diameter_err_m": None}


def square(ra: float, dec: float, half: float) -> str:
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    east = half / np.cos(np.radians(dec))
    return "POLYGON ICRS " + " ".join(
        f"{(ra + a * east) % 360} {dec + b * half}" for a, b in corners
    )


def data_of(mjd, centre=(0.0, 50.0), unknown=(), field=FEW) -> dict:
    return {
        "mjd": mjd,
        "ra_deg": centre[0],
        "dec_deg": centre[1],
        "bmaj_arcsec": BEAM_ARCSEC,
        "bmin_arcsec": BEAM_ARCSEC,
        "s_region": square(*centre, 1.0),
        "validation": {"field": field, "unknown_above_10_sigma": list(unknown)},
    }


def found(rng, ra, dec, flux, snr) -> dict:
    """A detection with the errors of one."""
    place = rng.normal(size=2) * 0.6 * BEAM_ARCSEC / snr / 3600
    return {
        "ra_deg": (ra + place[0] / np.cos(np.radians(dec))) % 360,
        "dec_deg": dec + place[1],
        "flux_jy": flux * (1 + rng.normal() / snr),
        "snr": snr,
    }


def written(results, records: dict[str, dict | None]) -> None:
    for name, data in records.items():
        path = results / "images" / "2025-10-05" / name / f"{name}.standard.json"
        path.parent.mkdir(parents=True)
        write_record(
            path, product=name, stage="image", data=data or {}, verdict=None if data else "fail"
        )
        content = json.loads(path.read_text())
        content["parameters"] = {"instrument": {"dish_diameter_m": 4.65}}
        path.write_text(json.dumps(content))


def said(verb, results, **options) -> tuple[pd.DataFrame, dict]:
    table, record = results / f"{verb}.csv", results / f"{verb}.json"
    flags = [f"--{k.replace('_', '-')}={v}" for k, v in options.items()]
    files = ["--table", str(table), "--record", str(record), "--records", str(results / "images")]
    assert main([verb, *flags, *files]) == 0
    return pd.read_csv(table), json.loads(record.read_text())


def test_detections_of_one_source_over_tiles_and_days(tmp_path):
    """A lasting source across RA 0 h, a flare of one day, one at the edge of two tiles."""
    rng = np.random.default_rng(5)
    records: dict[str, dict | None] = {}
    for day in range(10):
        here = [found(rng, 359.999, 50.2, 0.1, 40.0)]
        if day == 4:
            here.append(found(rng, 0.3, 49.9, 0.03, 12.0))
        records[f"2025100{day}T000000"] = data_of(60953.0 + day, unknown=here)
        beside = [found(rng, 1.4, 50.0, 0.05, 20.0)]
        beside_data = data_of(60953.1 + day, centre=(2.4, 50.0), unknown=beside)
        records[f"2025100{day}T010000"] = beside_data
    records["20251020T000000"] = None
    written(tmp_path, records)
    table, record = said("unknown", tmp_path)
    assert record["verdict"] == "pass" and record["data"]["tiles"] == 20
    assert list(record["data"]["left_out"]) == ["20251020T000000"]
    assert len(table) == 3
    lasting, edge, flare = (table.iloc[k] for k in range(3))
    assert lasting["flux_jy"] == pytest.approx(0.1, abs=4 * lasting["flux_err_jy"])
    assert lasting["flux_err_jy"] == pytest.approx(0.1 / 40 / np.sqrt(10), rel=0.1)
    away = ((lasting["ra_deg"] - 359.999 + 180) % 360 - 180) * np.cos(np.radians(50.2)) * 3600
    assert abs(away) < 4 * lasting["position_err_arcsec"] < 1
    assert (lasting["tiles_seen"], lasting["tiles_covered"]) == (10, 10)
    assert (lasting["first_mjd"], lasting["last_mjd"]) == (60953.0, 60962.0)
    assert (flare["tiles_seen"], flare["tiles_covered"]) == (1, 10)
    assert flare["first_mjd"] == flare["last_mjd"] == 60957.0
    assert (edge["tiles_seen"], edge["tiles_covered"]) == (10, 20)


def dish(value, error) -> dict:
    return {"dish_diameter_m": value, "dish_diameter_err_m": error}


def test_days_of_one_place_share_the_errors_of_the_catalogue(tmp_path):
    """Each place has an error of its catalogue, which no day averages down."""
    rng = np.random.default_rng(7)
    true, of_catalogue, of_day, days = 4.50, 0.04, 0.015, 9
    pulls, errors = [], []
    for trial in range(40):
        tiles = []
        for place in range(6):
            shared = of_catalogue * rng.normal()
            for day in range(days):
                value = true + shared + of_day * rng.normal()
                field = dish(value, np.hypot(of_catalogue, of_day))
                centre = (20.0 * place, 50.0)
                tiles.append(Tile(f"{place}_{day}", data_of(trial + day, centre, (), field), {}))
        table = places(tiles)
        assert list(table["tiles"]) == [days] * 6
        pulls += list((table["dish_diameter_m"] - true) / table["dish_diameter_err_m"])
        errors += list(table["dish_diameter_err_m"])
    assert 0.85 < np.sqrt(np.mean(np.square(pulls))) < 1.15
    assert np.median(errors) == pytest.approx(np.hypot(of_catalogue, of_day / 3), rel=0.1)


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [(4.65, 0.02, "pass"), (4.43, 0.02, "warn"), (4.62, 0.004, "pass"), (4.5, 0.2, "pass")],
)
def test_a_dish_counts_by_size_and_by_significance(tmp_path, value, error, verdict):
    rng = np.random.default_rng(1)
    centres = [(30.0 * k, 50.0) for k in range(8)]
    written(
        tmp_path,
        {
            f"2025100{k}T000000": data_of(
                60953.0 + k, centre, (), dish(value + error * rng.normal(), error)
            )
            for k, centre in enumerate(centres)
        },
    )
    table, record = said("beam", tmp_path)
    data = record["data"]
    assert record["verdict"] == verdict and len(table) == data["places"] == 8
    assert data["dish_diameter_m"] == pytest.approx(value, abs=4 * data["dish_diameter_err_m"])
    assert data["dish_diameter_err_m"] == pytest.approx(error / np.sqrt(8), rel=0.6)
    assert data["assumed_m"] == 4.65


def test_tiles_that_cannot_tell_are_a_warning_with_the_reason(tmp_path):
    written(tmp_path, {"20251001T000000": data_of(60953.0)})
    _, record = said("beam", tmp_path)
    assert record["verdict"] == "warn" and "not checked: none of 1 tiles" in record["reason"]
    assert record["data"]["dish_diameter_m"] is None and record["data"]["tiles_without"] == 1
