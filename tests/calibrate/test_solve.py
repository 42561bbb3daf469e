"""CASA's solutions against the gains that the simulator put in."""

from __future__ import annotations

import json

import numpy as np
import pytest

from contimg.calibrate import apply, solve
from contimg.calibrate.options import ApplyOptions, CalibrateOptions
from contimg.calibrate.solutions import read_table
from contimg.convert.command import ConvertFiles
from contimg.convert.command import run as convert
from contimg.convert.options import ConvertOptions, FlagOptions
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.ms import open_table, read_axes
from contimg.core.records import write_record
from contimg.simulate.instrument import gains
from truth.observe import INSTRUMENT, PERFECT, observe

CORRUPTED = PERFECT.model_copy(
    update={
        "noise": True,
        "gain_rms": 0.15,
        "gain_phases": True,
        "delay_rms_ns": 8.0,
        "bandpass_rms": 0.1,
        "raw_scale": 0.01,
        "channels_per_subband": 16,
        "dead_antennas": [9],
    }
)


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A corrupted observation of an 8.8 Jy calibrator off the axis, solved."""
    directory = tmp_path_factory.mktemp("solved")
    group, sky, manifest = observe(
        directory, east_deg=0.1, north_deg=-0.3, flux_jy=8.8, simulate=CORRUPTED
    )
    calibrators = directory / "calibrators.csv"
    sky.assign(name="CAL").to_csv(calibrators, index=False)
    converted = ConvertFiles(
        manifest=manifest,
        calibrator="CAL",
        calibrators=calibrators,
        ms=directory / "cal.ms",
        record=directory / "cal.json",
    )
    convert(converted, INSTRUMENT, ConvertOptions(), FlagOptions())
    files = solve.SolveFiles(
        ms=converted.ms,
        ms_record=converted.record,
        calibrator="CAL",
        calibrators=calibrators,
        k=directory / "t.K",
        b=directory / "t.B",
        g=directory / "t.G",
        plot=directory / "t.png",
        record=directory / "solutions.json",
    )
    solve.run(files, INSTRUMENT, CalibrateOptions())
    return directory, group, files


def total_gain(files, axes):
    """K, B and G together, (antenna, hand, channel); K turns about the middle of the window."""
    delay, band, gain = (read_table(p) for p in (files.k, files.b, files.g))
    middle = axes.freq_hz.mean()
    turn = np.exp(2j * np.pi * delay["value"][:, 0, :, None] * 1e-9 * (axes.freq_hz - middle))
    return turn * band["value"].transpose(0, 2, 1) * gain["value"][:, 0, :, None]


def test_gains_are_recovered(solved):
    _, group, files = solved
    axes = read_axes(files.ms)
    found = total_gain(files, axes)
    # raw = raw_scale conj(g1) g2 V
    true = gains(CORRUPTED, group, axes.freq_hz) * np.sqrt(CORRUPTED.raw_scale)
    alive = np.isfinite(found).all(axis=(1, 2))
    names = np.array(axes.antenna_names)
    assert "DSA-9" in names and alive.sum() >= 12 and "DSA-9" not in names[alive]
    ratio = found[alive] / true[: len(names)][alive]
    amplitude = np.abs(ratio)
    assert np.median(amplitude) == pytest.approx(1, abs=0.005)
    assert amplitude.mean(axis=-1).std() < 0.01
    phase = ratio / ratio[:1]  # the reference antenna's phase is not known
    assert np.degrees(np.angle(phase.mean(axis=-1))).std() < 1.0


def test_record_tells_the_lost_antenna_and_the_scale(solved):
    _, _, files = solved
    record = json.loads(files.record.read_text())
    assert record["verdict"] == "pass"
    assert record["data"]["antennas_lost"] == ["DSA-9"]
    assert record["data"]["refant"] != "DSA-9"
    assert record["data"]["gain_amplitude_median"] == pytest.approx(1, abs=0.01)


def test_calibrated_data_are_in_jansky(solved):
    directory, _, files = solved
    out = apply.ApplyFiles(
        ms=files.ms,
        ms_record=files.ms_record,
        solutions=[files.record],
        calibrated=directory / "calibrated.ms",
        record=directory / "calibrated.json",
    )
    apply.run(out, INSTRUMENT, ApplyOptions(channel_bin=2))
    with open_table(out.calibrated) as table:
        data, flags = table.getcol("DATA"), table.getcol("FLAG")
    assert data.shape[1] == 16
    mean = data[~flags].mean()
    beam = solve.PrimaryBeam(INSTRUMENT)
    sources = solve.read_sources(files.calibrators)
    expected = solve.apparent_flux(sources, beam, 1.405e9, read_axes(files.ms).pointing_rad)[0]
    assert mean.real == pytest.approx(expected, rel=0.01)
    assert abs(mean.imag) < 0.01 * expected


def test_calibrator_without_flux_cannot_set_the_scale(solved, tmp_path):
    _, _, files = solved
    table = solve.read_sources(files.calibrators).assign(flux_jy=np.nan)
    nameless = tmp_path / "calibrators.csv"
    table.to_csv(nameless, index=False)
    with pytest.raises(ContimgError, match="no flux density"):
        solve.run(
            files.model_copy(update={"calibrators": nameless}), INSTRUMENT, CalibrateOptions()
        )


def fake_calset(directory, verdict):
    record = directory / "solutions.json"
    write_record(
        record, product=directory.name, stage="solve", data={}, verdict=verdict, reason="because"
    )
    return record


def test_failed_calset_is_passed_over_with_its_reason(tmp_path):
    first = fake_calset(tmp_path / "a", "fail")
    second = fake_calset(tmp_path / "b", "warn")
    chosen, reasons = apply.choose_calset([first, second])
    assert chosen == second
    assert reasons == ["a: failed, because", "b: used (warn)"]


def test_no_calset_is_a_named_failure(tmp_path):
    with pytest.raises(DataQualityError, match="staleness_hours"):
        apply.choose_calset([])
    with pytest.raises(DataQualityError, match="no calset passes: a: failed, because"):
        apply.choose_calset([fake_calset(tmp_path / "a", "fail")])
