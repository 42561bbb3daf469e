"""Making drifting sources steady: the mean stays, whatever the catalogue says of the flux."""

from __future__ import annotations

import numpy as np
import pytest

from contimg.calibrate.beam_modulation import remove_modulation
from contimg.calibrate.options import ApplyOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.coords import direction_cosines
from contimg.core.ms import open_table, read_axes
from truth.observe import INSTRUMENT, PERFECT, brightness, converted, observe


def track(ms, source) -> np.ndarray:
    """Apparent flux density of a source at each time [Jy]."""
    axes = read_axes(ms)
    ra, dec = np.radians([source["ra_deg"], source["dec_deg"]])
    l_cos, m_cos, n_cos = direction_cosines(ra, dec, *axes.phase_center_rad)
    path = axes.uvw_m.reshape(-1, 3) @ np.array([l_cos, m_cos, n_cos - 1])
    phasor = np.exp(-2j * np.pi * path[:, None] * axes.freq_hz / C_M_S)
    with open_table(ms) as table:
        data = table.getcol("DATA")[..., 0]
    return (data * phasor).real.reshape(*axes.shape, -1).mean(axis=(1, 2))


@pytest.mark.parametrize("catalogue_error", [0.7, 1.5])
def test_mean_is_kept_and_change_is_taken_out(tmp_path, catalogue_error):
    _, sky, manifest = observe(tmp_path, east_deg=1.0, north_deg=0.2, flux_jy=5.0)
    ms = converted(tmp_path, manifest)
    source = sky.iloc[0]
    catalog = tmp_path / "catalog.csv"
    sky.assign(flux_jy=sky["flux_jy"] * catalogue_error).to_csv(catalog, index=False)
    before = track(ms, source)
    there = np.array([source["ra_deg"]]), np.array([source["dec_deg"]])
    flux_before = brightness(ms, *there)[0]
    steadied = remove_modulation(ms, catalog, PrimaryBeam(INSTRUMENT), ApplyOptions())
    after = track(ms, source)
    assert [item["name"] for item in steadied] == ["A"]
    assert steadied[0]["flux_jy"] == pytest.approx(5.0, rel=0.002)
    assert np.ptp(before) > 0.3 * before.mean()
    assert np.ptp(after) <= 0.01 * np.ptp(before)
    assert brightness(ms, *there)[0] == pytest.approx(flux_before, rel=2e-4)


def test_flagged_times_do_not_shift_the_mean(tmp_path):
    _, sky, manifest = observe(tmp_path, east_deg=1.0, north_deg=0.2, flux_jy=5.0)
    ms = converted(tmp_path, manifest)
    with open_table(ms, writable=True) as table:
        flags = table.getcol("FLAG")
        flags[: flags.shape[0] // 3] = True
        table.putcol("FLAG", flags)
    catalog = tmp_path / "catalog.csv"
    sky.to_csv(catalog, index=False)
    there = sky["ra_deg"].to_numpy(), sky["dec_deg"].to_numpy()
    before = brightness(ms, *there)[0]
    remove_modulation(ms, catalog, PrimaryBeam(INSTRUMENT), ApplyOptions())
    assert brightness(ms, *there)[0] == pytest.approx(before, rel=2e-4)


def test_steady_sources_are_left_alone(tmp_path):
    simulate = PERFECT.model_copy(update={"n_times": 1})
    _, sky, manifest = observe(tmp_path, simulate=simulate)
    ms = converted(tmp_path, manifest)
    catalog = tmp_path / "catalog.csv"
    sky.to_csv(catalog, index=False)
    assert remove_modulation(ms, catalog, PrimaryBeam(INSTRUMENT), ApplyOptions()) == []
