"""The truth checks pass, and fail when a classic defect is put back in.

Each defect here was met in real pipelines of this kind and went unnoticed for want of a test that
recovers a known sky.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contimg.convert import phase, prepare, stream, write
from contimg.core.beam import PrimaryBeam
from contimg.core.coords import separation
from contimg.core.errors import DataQualityError
from contimg.core.ms import read_axes
from contimg.image.visibilities import read_sampling
from contimg.plan import plan
from contimg.simulate import visibilities
from truth.observe import INSTRUMENT, PERFECT, check_source, converted, observe


@pytest.fixture(scope="module")
def observation(tmp_path_factory):
    directory = tmp_path_factory.mktemp("observation")
    return observe(directory)


def drift_mean(group, source, ms) -> float:
    """True apparent flux density: the source through the beam of every integration."""
    axes = read_axes(ms)
    ra, dec = np.radians(source["ra_deg"]), np.radians(source["dec_deg"])
    distance = separation(ra, dec, *axes.pointing_rad)
    power = PrimaryBeam(INSTRUMENT).power(distance[:, None], axes.freq_hz)
    return float(source["flux_jy"] * power.mean())


def recover(directory, observation) -> None:
    group, sky, manifest = observation
    ms = converted(directory, manifest)
    check_source(ms, sky.iloc[0], drift_mean(group, sky.iloc[0], ms))
    sampling = read_sampling(ms)
    seconds = PERFECT.n_times * PERFECT.integration_s
    assert sampling.effective_s == pytest.approx(seconds, rel=0.001), "integrations are missing"


def test_source_is_recovered(tmp_path, observation):
    recover(tmp_path, observation)


def test_wrong_sign_of_phase_is_noticed(tmp_path, observation, monkeypatch):
    cycles = phase.cycles
    monkeypatch.setattr(stream, "cycles", lambda w, freq: cycles(-w, freq))
    with pytest.raises(AssertionError, match=r"arcsec from|of the truth"):
        recover(tmp_path, observation)


def test_conjugated_data_are_noticed(tmp_path, observation, monkeypatch):
    put = write.MeasurementSet.put_channels
    monkeypatch.setattr(
        write.MeasurementSet,
        "put_channels",
        lambda self, first, data, flags: put(self, first, data.conj(), flags),
    )
    with pytest.raises(AssertionError, match=r"arcsec from|of the truth"):
        recover(tmp_path, observation)


def test_skipped_integration_is_noticed(tmp_path, observation, monkeypatch):
    put = write.MeasurementSet.put_channels

    def skip(self, first, data, flags):
        flags[0] = True
        put(self, first, data, flags)

    monkeypatch.setattr(write.MeasurementSet, "put_channels", skip)
    with pytest.raises(AssertionError, match=r"integrations are missing|of the truth"):
        recover(tmp_path, observation)


def test_sum_of_hands_without_the_half_is_noticed(tmp_path, monkeypatch):
    # S/2 in each correlation is what makes XX + YY come out right and (XX + YY)/2 half
    power = visibilities.PrimaryBeam.power
    monkeypatch.setattr(visibilities.PrimaryBeam, "power", lambda *a: power(*a) / 2)
    observation = observe(tmp_path / "halved")
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="of the truth"):
        recover(tmp_path, observation)


def test_unsorted_subbands_are_noticed(tmp_path, observation, monkeypatch):
    grid = prepare.channel_grid

    def file_order(*args):
        freq, width, slots = grid(*args)
        return freq, width, slots[::-1]

    monkeypatch.setattr(prepare, "channel_grid", file_order)
    with pytest.raises(DataQualityError, match="off the grid"):
        recover(tmp_path, observation)
    monkeypatch.setattr(stream, "_check_frequencies", lambda *args: None)
    with pytest.raises(AssertionError, match=r"arcsec from|of the truth"):
        recover(tmp_path, observation)


def calibrator_transit_error_s(simulate) -> float:
    """Planned transit of the calibrator against the time at which its hour angle is zero."""
    from contimg.core.coords import apparent, mjd_time
    from contimg.simulate.schedule import schedule

    group = schedule(simulate, INSTRUMENT)[0]
    row = {
        "name": simulate.calibrator,
        "ra_deg": simulate.calibrator_ra_deg,
        "dec_deg": simulate.calibrator_dec_deg,
        "flux_jy": simulate.calibrator_flux_jy,
        "ref_freq_hz": 1.4e9,
        "spectral_index": 0.0,
        "log_poly": "",
    }
    calsets = plan.find_calsets(
        [group], pd.DataFrame([row]), PrimaryBeam(INSTRUMENT), plan.PlanOptions()
    )
    assert len(calsets) == 1, "the transit is not found in its group"
    mjd = next(iter(calsets.values()))["mjd"]
    ra, dec = np.radians([row["ra_deg"], row["dec_deg"]])
    hour_angle, _ = apparent(ra, dec, mjd_time(mjd), group.location)
    return abs(float(hour_angle)) / (2 * np.pi) * 86164.1


def test_transit_is_apparent(observation):
    assert calibrator_transit_error_s(PERFECT) < 0.1


def test_transit_from_j2000_is_noticed(monkeypatch):
    from contimg.core.coords import SIDEREAL_DAY, mjd_time

    def from_j2000(ra, dec, start, end, location):
        lst = mjd_time(start).sidereal_time("apparent", longitude=location.lon).rad
        wait = ((ra - lst) % (2 * np.pi)) / (2 * np.pi) * SIDEREAL_DAY
        return np.arange(ra.size), start + wait, dec

    monkeypatch.setattr(plan, "transits", from_j2000)
    error = calibrator_transit_error_s(PERFECT)
    assert 31 < error < 128
    with pytest.raises(AssertionError):
        assert error < 0.1
