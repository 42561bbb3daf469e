"""uvw and phases of a drift scan against pyuvdata, all over the sky and through the years."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import EarthLocation

from contimg.convert.phase import rephase_drift
from contimg.core.coords import icrs_on_meridian, mjd_time
from contimg.validate.geometry import expected_uvw

OVRO = EarthLocation.from_geodetic(-118.2817, 37.2314, 1222.0)


@pytest.mark.parametrize("mjd", [59000.25, 60953.64, 61200.9])
@pytest.mark.parametrize("dec_deg", [-28.0, 0.0, 37.0, 71.6, 89.7])
def test_uvw_and_phases_agree_with_pyuvdata(dec_deg: float, mjd: float) -> None:
    rng = np.random.default_rng(4)
    positions = rng.uniform(-1300, 1300, (12, 3))
    ant1, ant2 = np.triu_indices(12, 1)
    times = mjd + np.arange(3) * 150 / 86400
    ra, dec = icrs_on_meridian(np.radians(dec_deg), mjd_time(times[1]), OVRO)
    ours = rephase_drift(
        times_jd=times + 2400000.5,
        location=OVRO,
        antenna_positions_m=positions,
        ant1=ant1,
        ant2=ant2,
        dec_app_rad=np.radians(dec_deg),
        ra_rad=float(ra),
        dec_rad=float(dec),
    )
    where = positions, ant1, ant2
    for k, jd in enumerate(times + 2400000.5):
        new = expected_uvw(*where, jd, OVRO, icrs_rad=(float(ra), float(dec)))
        old = expected_uvw(*where, jd, OVRO, dec_app_rad=np.radians(dec_deg))
        assert np.abs(ours.uvw_m[k] - new).max() < 1e-6
        assert np.abs(ours.old_uvw_m[k] - old).max() < 1e-6
        assert np.abs(ours.delta_w_m[k] - (new - old)[:, 2]).max() < 1e-6
