"""The flux scale from the field: a calibrator of wrong flux density, a field that is right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from contimg.calibrate import flux_scale, solve
from contimg.calibrate.options import CalibrateOptions, ScaleOptions
from contimg.core.casa import casa_session
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.ms import read_axes
from contimg.flag.options import FlagOptions
from contimg.simulate.schedule import schedule
from truth.gains import recovered
from truth.observe import CORRUPTED, INSTRUMENT
from truth.transit import observe_transit, outputs, surrounded

WRONG = 1.4  # flux density of the calibrator in its table, over the true one
TIE = ScaleOptions(field_scale="needed")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A calibrator among eleven sources; its table has it 40 per cent too bright."""
    directory = tmp_path_factory.mktemp("flux_scale")
    group = schedule(CORRUPTED, INSTRUMENT)[0]
    wrong = {"flux_jy": WRONG * 8.8, "role": "bandpass", "variable": "blazar", "scale": ""}
    none = FlagOptions(steps=[])
    return group, observe_transit(directory, group, surrounded(group), CORRUPTED, none, **wrong)


def measure(files, options=TIE, uvrange="", **flux_factors: float) -> flux_scale.FluxScale:
    """The flux scale with some sources of the catalogue as many times as bright as they are."""
    axes, beam = read_axes(files.ms), solve.PrimaryBeam(INSTRUMENT)
    sources = solve.sky_model(files, axes, beam, CalibrateOptions(), field_scale="needed")
    for name, factor in flux_factors.items():
        sources.loc[sources["name"] == name, "flux_jy"] *= factor
    everything = slice(0, axes.mjd.size)
    with casa_session():
        ms = Path(files.ms)
        return flux_scale.measure(ms, axes, sources, beam, everything, uvrange, options)


def test_scale_of_a_variable_calibrator_is_that_of_the_field(seen):
    group, files = seen
    solve.run(files, INSTRUMENT, CalibrateOptions(), TIE)
    data, found, _ = recovered(files, group, CORRUPTED)
    scale = data["flux_scale"]
    assert scale["source"] == "field" and scale["why"].startswith("variable (blazar)")
    assert scale["sources"] == len(scale["field"]) == 11
    assert scale["factor"] == pytest.approx(1 / WRONG, abs=3 * scale["error"])
    assert scale["error"] < 0.01 * scale["factor"]
    assert scale["snr"] == pytest.approx(scale["factor"] / scale["error"], rel=0.01)
    assert scale["flux_jy"] == pytest.approx(8.8, rel=0.02)
    assert found.flux_scale == pytest.approx(1, abs=0.02)
    assert found.flux_scale == pytest.approx(1, abs=3 * scale["error"] / scale["factor"])


def test_what_sets_the_scale_alone_is_recorded(seen, tmp_path):
    _, files = seen
    with pytest.raises(ContimgError, match=r"cannot set the flux scale: variable \(blazar\)"):
        solve.run(files, INSTRUMENT, CalibrateOptions())
    table = pd.read_csv(files.calibrators, keep_default_na=False).assign(scale="yes")
    allowed = tmp_path / "calibrators.csv"
    table.to_csv(allowed, index=False)
    out = files.model_copy(update=outputs(tmp_path) | {"calibrators": allowed})
    solve.run(out, INSTRUMENT, CalibrateOptions(preset="development"), TIE)
    scale = json.loads(out.record.read_text())["data"]["flux_scale"]
    assert (scale["source"], scale["why"]) == ("calibrator", "scale = yes in the table")
    assert scale["factor"] == 1 and scale["sources"] == 0
    assert scale["flux_jy"] == pytest.approx(WRONG * 8.8)


def test_a_wrong_minority_of_the_field_does_not_pull_the_scale(seen):
    _, files = seen
    right = measure(files)
    one = measure(files, F10=1.5)  # the brightest
    assert one.factor == pytest.approx(right.factor, abs=right.error)
    three = measure(files, F10=1.5, F9=1.5, F2=1.5)
    assert three.factor == pytest.approx(1 / WRONG, abs=3 * three.error)
    assert three.factor == pytest.approx(right.factor, rel=0.01)
    worst = min(three.sources, key=lambda row: row["measured_over_catalogue"])
    assert worst["measured_over_catalogue"] == pytest.approx(1 / 1.5, abs=0.05)


def test_field_that_is_wrong_as_a_whole_is_followed(seen):
    """The answer is that of the catalogue: the scale is tied to it and to nothing else."""
    _, files = seen
    brighter = measure(files, **{f"F{k}": 1.1 for k in range(11)})
    assert brighter.factor == pytest.approx(1.1 * measure(files).factor, rel=1e-3)


@pytest.mark.parametrize("table", [0.3, 5.0])
def test_the_answer_does_not_depend_on_the_table(seen, table):
    """However wrong the flux density is that the iteration starts from."""
    _, files = seen
    again = measure(files, CAL=table)
    assert again.factor * table == pytest.approx(measure(files).factor, rel=1e-3)


def test_every_key_of_the_scale_is_tested_here():
    keys = {"field_scale", "field_min_snr", "field_min_sources", "field_max_sources"}
    assert set(ScaleOptions.model_fields) == keys | {"field_min_pb"}
    with pytest.raises(ValidationError, match="field_max_sources is below"):
        ScaleOptions(field_max_sources=3, field_min_sources=4)


def test_field_too_faint_for_a_tie_is_a_named_failure(seen):
    _, files = seen
    with pytest.raises(DataQualityError, match=r"give the scale to .*, 0.0% is asked for"):
        measure(files, ScaleOptions(field_min_snr=1e4))
    with pytest.raises(DataQualityError, match="11 catalogued sources where the beam"):
        measure(files, ScaleOptions(field_min_sources=12))
    with pytest.raises(DataQualityError, match="beam is above 1; at least 4 are needed"):
        measure(files, ScaleOptions(field_min_pb=1))


def test_the_field_needs_a_catalogue_and_a_model_of_it(seen):
    _, files = seen
    for out, options in (
        (files.model_copy(update={"catalog": None}), {}),
        (files, {"model_kind": "setjy"}),
    ):
        with pytest.raises(ContimgError, match="to come from the field"):
            solve.run(out, INSTRUMENT, CalibrateOptions(**options), TIE)


def test_only_the_baselines_of_the_solution_are_used(seen):
    _, files = seen
    axes = read_axes(files.ms)
    length = np.linalg.norm(axes.uvw_m[..., :2], axis=-1).ravel() / 0.2133
    with casa_session():
        selected = flux_scale._selected(Path(files.ms).absolute(), ">1klambda", axes)
    assert selected[length > 1100].all() and not selected[length < 900].any()
    long = measure(files, uvrange=">1klambda")
    assert long.factor == pytest.approx(1 / WRONG, abs=3 * long.error)
    assert long.factor != measure(files).factor


def test_faint_sources_together_do_not_count_one_by_one(seen):
    _, files = seen
    few = measure(files, ScaleOptions(field_max_sources=5))
    assert [row["name"] for row in few.sources] == [
        row["name"] for row in measure(files).sources[:5]
    ]
    assert few.factor == pytest.approx(1 / WRONG, abs=3 * few.error)
