"""The catalogue of a transit against its sky: wrong units, wrong field, most of it missing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from contimg.calibrate import solve
from contimg.calibrate.field import fit_field
from contimg.calibrate.options import CalibrateOptions
from contimg.calibrate.sky_checks import (
    HELD,
    RATIO,
    Held,
    measure_held,
    scale_check,
    sky_checks,
)
from contimg.core.casa import casa_session
from contimg.core.ms import read_axes
from contimg.core.predict import apparent_flux
from contimg.core.records import read_record
from contimg.flag.options import FlagOptions
from contimg.simulate.schedule import schedule
from truth.observe import CORRUPTED, INSTRUMENT
from truth.transit import observe_transit, outputs, surrounded


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A calibrator of 8.8 Jy among eleven sources of 0.3 to 0.8 Jy, corrupted and noisy."""
    directory = tmp_path_factory.mktemp("sky")
    group = schedule(CORRUPTED, INSTRUMENT)[0]
    return observe_transit(directory, group, surrounded(group), CORRUPTED, FlagOptions(steps=[]))


def looked_at(files, rows=None, factor: float = 1.0):
    """The sky model with `factor` on the field, only some `rows` of it; what the checks say."""
    axes, beam = read_axes(files.ms), solve.PrimaryBeam(INSTRUMENT)
    sources = solve.sky_model(files, axes, beam, CalibrateOptions())
    power = apparent_flux(sources, beam, float(axes.freq_hz.mean()), axes.pointing_rad)[1:] ** 2
    sources = sources.iloc[[0, *(rows or range(1, 12))]].reset_index(drop=True)
    sources.loc[1:, "flux_jy"] *= factor
    where = (slice(0, axes.mjd.size), "")
    with casa_session():
        ms = Path(files.ms)
        field = fit_field(ms, axes, sources, beam, *where)
        held = measure_held(ms, axes, field.sources, beam, *where)
    part = power[[row - 1 for row in rows or range(1, 12)]].sum() / power.sum()
    return {c.metric: c for c in sky_checks(field, held, "catalog")}, held, part


def test_the_right_catalogue_passes(seen):
    checks, held, _ = looked_at(seen)
    assert [c.verdict for c in checks.values()] == ["pass", "pass"]
    assert checks[HELD].value == pytest.approx(1, abs=0.01)
    assert checks[RATIO].value == pytest.approx(1, abs=0.01)
    assert held.calibrator_jy == pytest.approx(8.36, abs=0.05)


@pytest.mark.parametrize("factor", [1000, 116, 3, 0.4, 0.01])
def test_a_catalogue_in_another_unit_fails(seen, factor):
    """Millijansky read as jansky, and less; the ratio is the factor where the fit can follow."""
    checks, _, _ = looked_at(seen, factor=factor)
    assert checks[RATIO].verdict == "fail"
    assert checks[RATIO].reason.startswith("catalogued over measured flux density of the field")
    if factor < 100:
        assert checks[RATIO].value == pytest.approx(factor, rel=0.02)
    else:
        assert checks[RATIO].value > 50


def test_a_catalogue_off_by_half_warns(seen):
    checks, _, _ = looked_at(seen, factor=1.5)
    assert checks[RATIO].verdict == "warn" and checks[RATIO].value == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize(
    ("rows", "verdict"), [([1], "fail"), ([11], "fail"), ([1, 2, 3, 4, 5], "warn")]
)
def test_a_catalogue_that_lacks_most_of_the_field(seen, rows, verdict):
    """The part of the power is that of the simulated sources, but for what gains take up."""
    checks, _, part = looked_at(seen, rows)
    assert checks[HELD].verdict == verdict
    assert checks[HELD].value == pytest.approx(part, abs=0.12)
    if len(rows) < 3:
        assert checks[RATIO].verdict == "warn"
        assert "not checked: 1 field sources of 10 sigma, 3 are needed" in checks[RATIO].reason


def test_the_record_of_a_solution_says_it(seen, tmp_path):
    catalog = pd.read_csv(seen.catalog)
    catalog.loc[catalog["name"] != "CAL", "flux_jy"] *= 40
    catalog.to_csv(tmp_path / "catalog.csv", index=False)
    files = seen.model_copy(update=outputs(tmp_path) | {"catalog": tmp_path / "catalog.csv"})
    solve.run(files, INSTRUMENT, CalibrateOptions(preset="development"))
    record = read_record(files.record)
    assert record["verdict"] == "fail"
    assert "catalogued over measured flux density of the field" in record["reason"]
    assert record["data"]["field_held"]["field_jy"] > 1


def test_checks_that_can_not_be_made_warn(seen, tmp_path):
    alone = pd.read_csv(seen.catalog).query("name == 'CAL'")
    alone.to_csv(tmp_path / "catalog.csv", index=False)
    files = seen.model_copy(update=outputs(tmp_path) | {"catalog": tmp_path / "catalog.csv"})
    solve.run(files, INSTRUMENT, CalibrateOptions(preset="development"))
    checks = {c["metric"]: c for c in read_record(files.record)["checks"]}
    assert checks[HELD]["verdict"] == "fail" and checks[HELD]["value"] == 0
    assert checks[RATIO]["verdict"] == "warn"
    assert "no catalogued source around the calibrator" in checks[RATIO]["reason"]
    for found in (sky_checks(None, None, "setjy"), sky_checks(None, None, "catalog")):
        assert [c.verdict for c in found] == ["warn", "warn"]
        assert all("not checked" in c.reason for c in found)


@pytest.mark.parametrize(
    ("field_jy", "error_jy", "part", "verdict", "words"),
    [
        (0.05, 0.001, 0.0, "warn", "no field is seen: 0.05"),  # gains of a per cent hide it
        (0.5, 0.2, 0.0, "warn", "no field is seen"),
        # 3 per cent of the calibrator, of which the model knows nothing: little harm
        (0.3, 0.01, 0.0, "warn", "not checked: no catalogued source around the calibrator"),
        (2.0, 0.01, 0.0, "fail", "0 < 0.25"),
    ],
)
def test_a_field_counts_beside_its_calibrator(field_jy, error_jy, part, verdict, words):
    found = sky_checks(None, Held(part, field_jy, error_jy, 10.0), "catalog")[0]
    assert found.verdict == verdict and words in found.reason


@pytest.mark.parametrize(("part", "verdict"), [(0.9, "pass"), (0.5, "warn"), (0.0, "warn")])
def test_a_model_of_the_field_is_held_against_it(seen, part, verdict):
    """What it lacks of 3 per cent of the calibrator is told, whatever the harm."""
    axes, beam = read_axes(seen.ms), solve.PrimaryBeam(INSTRUMENT)
    sources = solve.sky_model(seen, axes, beam, CalibrateOptions())
    with casa_session():
        field = fit_field(Path(seen.ms), axes, sources, beam, slice(0, axes.mjd.size), "")
    found = sky_checks(field, Held(part, 0.3, 0.01, 10.0), "catalog")[0]
    assert found.verdict == verdict and found.value == part


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, "pass"), (2.5, "warn"), (0.3, "warn"), (116, "fail")]
)
def test_a_scale_of_the_field_that_no_variable_source_explains(factor, verdict):
    assert scale_check(factor).verdict == verdict
