"""The accuracy that is asked of a solution, and that each classic defect put back breaks it.

The observation has everything at once: delays of 8 ns, bandpasses of 10 and gains of 15 per cent,
noise, interference, a field of more than 80 sources, a calibrator half a degree off the axis, and
a dead antenna, one with its correlations swapped and one whose gain jumps. Each defect was met in
real pipelines of this kind: a scale normalised away, a model without beam or neighbours,
delays or bandpasses solved and then not used, sick antennas let in.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contimg.calibrate import health, model, sequence, solve
from contimg.calibrate.options import CalibrateOptions
from contimg.core import predict
from contimg.core.ms import read_axes
from contimg.flag.options import FlagOptions
from contimg.simulate.schedule import schedule
from contimg.simulate.sky import make_sky
from truth.faults import jump, swap_correlations
from truth.gains import Errors, recovered, rms
from truth.observe import CORRUPTED, INSTRUMENT
from truth.transit import observe_transit, outputs

SIMULATE = CORRUPTED.model_copy(
    update={
        "rfi": True,
        "dead_antennas": [12],
        "antenna_step": 5,
        "outriggers": 4,
        "n_times": 12,
        "integration_s": 25.77,
        "pointing_offset_deg": 0.5,
        "calibrator_spectral_index": -0.7,
        "field_sources": 82,
        "field_radius_deg": 2.0,
        "flux_min_jy": 0.03,
        "min_separation_arcsec": 200,
        "ese_alpha": 0.0,
        "variable_amplitude": 0.0,
    }
)
DEAD, SWAPPED, JUMPING = "DSA-12", "DSA-25", "DSA-73"


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("observed")
    group = schedule(SIMULATE, INSTRUMENT)[0]
    sky = make_sky(SIMULATE, [group])
    files = observe_transit(directory, group, sky, SIMULATE, FlagOptions())
    swap_correlations(files.ms, SWAPPED, SIMULATE)
    jump(files.ms, JUMPING)
    return group, files


def solved(observed, directory: Path, **options) -> tuple[dict, Errors]:
    """Record and errors of a solution."""
    group, files = observed
    files = files.model_copy(update=outputs(directory))
    solve.run(files, INSTRUMENT, CalibrateOptions(**options))
    data, found, _ = recovered(files, group, SIMULATE)
    return data, found


def misses(found: Errors) -> set[str]:
    """The figures that are not met."""
    limits = {
        "scale": (abs(found.flux_scale - 1), 0.01),
        "delay": (rms(found.delay_ns), 0.05),
        "amplitude": (rms(found.relative_amplitude), 0.003),
        "phase": (rms(found.phase_deg), 0.3),
    }
    return {name for name, (value, limit) in limits.items() if not value <= limit}


def test_everything_at_once_is_found_or_modelled_and_the_rest_is_accurate(observed, tmp_path):
    data, found = solved(observed, tmp_path)
    assert set(data["flagged"]) == {DEAD, SWAPPED, JUMPING}
    assert data["model_sources"] > 50
    axes = read_axes(observed[1].ms)
    lost = [
        n for n, a in zip(axes.antenna_names, found.amplitude, strict=True) if np.isnan(a).any()
    ]
    assert {DEAD, SWAPPED, JUMPING} <= set(lost)
    assert np.isfinite(found.amplitude).sum() == 2 * 18
    assert misses(found) == set()


def normalise(monkeypatch):
    """solnorm on B and gains of phases alone: no scale is ever solved."""
    run_task = sequence.run_task

    def normalised(name, **arguments):
        if name == "bandpass":
            arguments["solnorm"] = True
        elif arguments.get("calmode") == "ap":
            arguments["calmode"] = "p"
        run_task(name, **arguments)

    monkeypatch.setattr(sequence, "run_task", normalised)


def forget(*tables: str):
    """Tables that are solved and then not applied to the next."""

    def without(monkeypatch):
        run_task = sequence.run_task

        def forgetful(name, **arguments):
            arguments["gaintable"] = [t for t in arguments["gaintable"] if t[-1] not in tables]
            run_task(name, **arguments)

        monkeypatch.setattr(sequence, "run_task", forgetful)

    return without


def no_beam(monkeypatch):
    """The catalogued flux density at every integration, whatever the distance from the axis."""

    def power(self, theta, freq):
        return np.ones(np.broadcast_shapes(np.shape(theta), np.shape(freq)))

    monkeypatch.setattr(predict.PrimaryBeam, "power", power)


def bessel_beam(monkeypatch):
    """(sin x - x cos x) / x^2 in place of J1(x) / x: no response on the axis."""

    def power(self, theta, freq):
        x = np.maximum(np.pi * 4.65 * np.sin(theta) * freq / predict.C_M_S, 1e-6)
        return (3 * (np.sin(x) - x * np.cos(x)) / x**2) ** 2

    monkeypatch.setattr(predict.PrimaryBeam, "power", power)


def no_field(monkeypatch):
    """The calibrator alone."""
    sky_model = model.sky_model

    def alone(*arguments, **keywords):
        sources = sky_model(*arguments, **keywords)
        first = sources.iloc[:1]
        first.attrs = sources.attrs
        return first

    monkeypatch.setattr(solve, "sky_model", alone)


def wrong_sign(monkeypatch):
    """Phases of the model turned the wrong way."""
    found = predict.predict

    def conjugated(*arguments):
        for block in found(*arguments):
            yield block.conj()

    monkeypatch.setattr(model, "predict", conjugated)


def no_health(monkeypatch):
    """Antennas that have data are let in, however sick."""
    examine = health.examine
    blind = {"min_coherence": 0.0, "max_jump": 1e6}
    monkeypatch.setattr(
        health, "examine", lambda seen, options: examine(seen, options.model_copy(update=blind))
    )


@pytest.mark.parametrize(
    ("defect", "missed"),
    [
        (normalise, {"scale"}),
        (no_beam, {"scale"}),
        (bessel_beam, {"scale"}),
        (no_field, {"amplitude", "phase"}),
        (wrong_sign, {"phase"}),
        (forget("K", "P"), {"phase"}),
        (forget("B"), {"scale"}),
        (no_health, {"amplitude"}),
    ],
)
def test_a_defect_is_noticed(observed, tmp_path, monkeypatch, defect, missed):
    defect(monkeypatch)
    _, found = solved(observed, tmp_path)
    assert missed <= misses(found)
