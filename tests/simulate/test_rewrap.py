"""Other telescopes' data: one channel, a phase centre of 1950."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from contimg.cli import main
from contimg.core.uvh5 import open_uvh5, read_header


def test_a_vla_observation_of_1989_keeps_its_place_on_the_sky(tmp_path):
    """3C 273, one channel, B1950: UVH5 in ICRS at the position of the radio catalogues."""
    words = ["--telescope", "VLA", "--subbands", "1", "--out-dir", str(tmp_path)]
    assert main(["rewrap", "--observation", "3c273", *words]) == 0
    first = sorted(tmp_path.glob("*.hdf5"))[0]
    header = read_header(first)
    assert header.n_channels == 1 and header.tracking == "sidereal"
    found = SkyCoord(header.ra_deg, header.dec_deg, unit="deg")
    # Johnston et al. 1995 (AJ 110, 880): 12h29m06.6997s +02d03'08.598"
    assert found.separation(SkyCoord("12h29m06.6997s", "+2d03m08.598s")).arcsec < 5
    with open_uvh5(first) as file:
        uvw = file["Header/uvw_array"][()]
        values = file["Data/visdata"][()]
    assert np.linalg.norm(uvw, axis=1).max() > 1000
    # the source in the middle of the field: phases about zero, 3C 273 in Jy
    amplitude, phase = np.abs(values.mean()), np.angle(values.mean())
    assert amplitude > 5 and abs(phase) < 0.5


def test_a_measurement_set_of_one_channel_is_read(tmp_path):
    import truth.observe as observed
    from contimg.convert.command import ConvertFiles
    from contimg.convert.command import run as convert
    from contimg.convert.options import ConvertOptions
    from contimg.core.instrument import InstrumentOptions
    from contimg.flag.options import FlagOptions

    one = InstrumentOptions(subbands=1, band_mhz=(1375.0, 1425.0))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(observed, "INSTRUMENT", one)
        simulate = observed.PERFECT.model_copy(update={"channels_per_subband": 1, "n_times": 2})
        _, _, manifest = observed.observe(tmp_path, simulate=simulate)
    files = ConvertFiles(manifest=manifest, ms=tmp_path / "t.ms", record=tmp_path / "t.json")
    convert(files, one, ConvertOptions(), FlagOptions(steps=[]))
    words = ["--subbands", "1", "--out-dir", str(tmp_path / "out")]
    assert main(["rewrap", "--data", str(files.ms), *words]) == 0
    (made,) = (tmp_path / "out").glob("*.hdf5")
    assert read_header(made).n_channels == 1
