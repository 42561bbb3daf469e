"""Loss by averaging channels: the formula against predicted visibilities that are averaged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from contimg.calibrate.averaging import edge_rad, given_bin, smearing_bin, smearing_loss
from contimg.calibrate.options import ApplyOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.errors import ContimgError
from contimg.core.ms import read_axes
from contimg.core.predict import predict
from truth.observe import INSTRUMENT, PERFECT, converted, observe

BEAM = PrimaryBeam(INSTRUMENT)


@pytest.fixture(scope="module")
def axes(tmp_path_factory):
    """Two times of a small array with outriggers, 64 channels of the width of DSA-110's."""
    directory = tmp_path_factory.mktemp("smearing")
    simulate = PERFECT.model_copy(update={"n_times": 2, "outriggers": 6, "channels_per_subband": 2})
    _, _, manifest = observe(directory, simulate=simulate)
    real = read_axes(converted(directory, manifest))
    width = 250e6 / 1024
    centre = tuple(np.full(2, angle) for angle in real.phase_center_rad)  # no drift
    freq = 1.4e9 + width * np.arange(64)
    return dataclasses.replace(real, freq_hz=freq, width_hz=width, pointing_rad=centre)


def peak(axes, weight, size: int, theta: float, angle: float) -> float:
    """Relative peak, natural weight, of a source whose visibilities are averaged in frequency."""
    east, north = np.sin(theta) * np.sin(angle), np.sin(theta) * np.cos(angle)
    ra0, dec0 = axes.phase_center_rad
    n = np.sqrt(1 - east**2 - north**2)
    dec = np.arcsin(north * np.cos(dec0) + n * np.sin(dec0))
    ra = ra0 + np.arctan2(east, n * np.cos(dec0) - north * np.sin(dec0))
    source = pd.DataFrame(
        {
            **{"name": ["A"], "ra_deg": [np.degrees(ra)], "dec_deg": [np.degrees(dec)]},
            **{"flux_jy": [1.0], "ref_freq_hz": [1.4e9], "spectral_index": [0.0], "log_poly": [""]},
        }
    )
    data = np.stack(list(predict(source, BEAM, axes)))  # (time, baseline, channel)
    path = axes.uvw_m @ np.array([east, north, n - 1])

    def bright(data, freq):
        turned = data * np.exp(-2j * np.pi * path[..., None] * freq / C_M_S)
        return (turned.real * weight[..., None]).sum() / freq.size

    averaged = data.reshape(*axes.shape, -1, size).mean(axis=-1)
    return bright(averaged, axes.freq_hz.reshape(-1, size).mean(axis=-1)) / bright(
        data, axes.freq_hz
    )


@pytest.mark.parametrize("size", [4, 16])
def test_loss_is_that_of_averaged_visibilities(axes, size):
    theta = edge_rad(axes, BEAM, 0.2)
    weight = np.random.default_rng(1).uniform(size=axes.shape) ** 3
    weight[:, ::3] = 0  # flagged
    loss = smearing_loss(axes, weight, theta, size)
    for direction in (0, 2, 7):
        measured = 1 - peak(axes, weight, size, theta, np.pi * direction / loss.size)
        assert loss[direction] == pytest.approx(measured, rel=0.01)
    assert loss.max() > 1e-4


def test_edge_is_where_the_beam_has_fallen(axes):
    theta = edge_rad(axes, BEAM, 0.2)
    assert BEAM.power(theta, axes.freq_hz.mean()) == pytest.approx(0.2, abs=1e-6)


def test_as_much_is_averaged_as_the_limit_lets(axes):
    weight = np.ones(axes.shape)
    theta = edge_rad(axes, BEAM, 0.2)
    for limit in (1e-4, 1e-2):
        size = smearing_bin(axes, weight, BEAM, ApplyOptions(smearing_limit=limit))
        angles = np.linspace(0, np.pi, 7)
        assert max(1 - peak(axes, weight, size, theta, a) for a in angles) < limit
        assert max(1 - peak(axes, weight, 2 * size, theta, a) for a in angles) > limit


def test_flagged_baselines_do_not_count(axes):
    """With the long baselines flagged, more may be averaged."""
    length = np.linalg.norm(axes.uvw_m, axis=-1)
    size = smearing_bin(axes, np.ones(axes.shape), BEAM, ApplyOptions())
    short = (length < np.median(length)).astype(float)
    assert smearing_bin(axes, short, BEAM, ApplyOptions()) > size


def test_more_channels_than_there_are_are_not_averaged():
    assert (
        given_bin(ApplyOptions(), 16) is None and given_bin(ApplyOptions(channel_bin=16), 16) == 16
    )
    with pytest.raises(ContimgError, match=r"apply\.channel_bin 17: the tile has 16 channels"):
        given_bin(ApplyOptions(channel_bin=17), 16)
