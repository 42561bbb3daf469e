"""Dirty images against direct sums, weights against closed forms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contimg.core import dirty
from contimg.core.beam import PrimaryBeam
from contimg.core.constants import C_M_S
from contimg.core.coords import direction_cosines
from contimg.core.instrument import InstrumentOptions
from contimg.core.predict import predict
from core.test_predict import made_axes, made_sources

SIZE, CELL = 128, np.radians(6 / 3600)


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(1)
    axes = dataclasses.replace(
        made_axes(rng, antennas=10, times=3), freq_hz=np.linspace(1.31e9, 1.5e9, 4)
    )
    axes = dataclasses.replace(axes, uvw_m=axes.uvw_m * 0.3)
    weight = rng.uniform(0.5, 2, (axes.uvw_m[..., 0].size, 4)).astype(np.float32)
    weight[rng.random(weight.shape) < 0.1] = 0
    return axes, axes.uvw_m.reshape(-1, 3), weight


def place(axes, source):
    """Pixel (x, y) of a source."""
    ra, dec = np.radians([source.ra_deg, source.dec_deg])
    l_cos, m_cos, _ = direction_cosines(ra, dec, *axes.phase_center_rad)
    return l_cos / CELL + SIZE // 2, m_cos / CELL + SIZE // 2


def test_every_pixel_is_the_direct_sum(case):
    axes, uvw, weight = case
    rng = np.random.default_rng(2)
    data = (rng.normal(size=weight.shape) + 1j * rng.normal(size=weight.shape)).astype(np.complex64)
    image = dirty.Gridder(uvw, axes.freq_hz, SIZE, CELL).image(data, weight)
    for x, y in ((10, 100), (64, 64), (90, 3)):
        l_cos, m_cos = (x - 64) * CELL, (y - 64) * CELL
        path = uvw @ [l_cos, m_cos, np.sqrt(1 - l_cos**2 - m_cos**2) - 1]
        turned = data * np.exp(-2j * np.pi * path[:, None] * axes.freq_hz / C_M_S)
        expected = (weight * turned.real).sum() / weight.sum()
        assert image[x, y] == pytest.approx(expected, abs=float(1e-4 * np.abs(data).max()))


@pytest.mark.parametrize("east_left", [False, True])
def test_image_away_from_the_phase_centre_and_back(case, east_left):
    """Pixels are the direct sum wherever the middle is; image and visibilities are adjoint."""
    axes, uvw, weight = case
    rng = np.random.default_rng(6)
    data = (rng.normal(size=weight.shape) + 1j * rng.normal(size=weight.shape)).astype(np.complex64)
    middle = (0.004, -0.002)
    gridder = dirty.Gridder(uvw, axes.freq_hz, SIZE, CELL, middle, east_left)
    image = gridder.image(data, weight)
    x, y = 31, 90
    l_cos = middle[0] + (x - 64) * CELL * (-1 if east_left else 1)
    m_cos = middle[1] + (y - 64) * CELL
    path = uvw @ [l_cos, m_cos, np.sqrt(1 - l_cos**2 - m_cos**2) - 1]
    phasor = np.exp(2j * np.pi * path[:, None] * axes.freq_hz / C_M_S)
    expected = (weight * (data * phasor.conj()).real).sum() / weight.sum()
    assert image[x, y] == pytest.approx(expected, abs=float(1e-4 * np.abs(data).max()))
    point = np.zeros((SIZE, SIZE), np.float32)
    point[x, y] = 1
    assert np.abs(gridder.visibilities(point) - phasor).max() < 1e-3


def test_a_source_lies_where_it_is(case):
    axes, uvw, weight = case
    beam = PrimaryBeam(InstrumentOptions(beam_model="gaussian", beam_fwhm_deg=170))
    source = made_sources(np.random.default_rng(3), 1)
    source["ra_deg"] = np.degrees(axes.phase_center_rad[0]) + 0.1
    source["dec_deg"] = np.degrees(axes.phase_center_rad[1]) - 0.05
    source = source.assign(flux_jy=2.0, spectral_index=0.0)
    data = np.concatenate(list(predict(source, beam, axes)))
    image = dirty.Gridder(uvw, axes.freq_hz, SIZE, CELL).image(data, weight)
    x, y = place(axes, source.iloc[0])
    peak = np.unravel_index(np.argmax(image), image.shape)
    assert np.hypot(peak[0] - x, peak[1] - y) < 1
    assert image.max() == pytest.approx(2.0, rel=0.1)


def test_weights(case):
    axes, uvw, weight = case
    cells = dirty.density(uvw, axes.freq_hz, weight, SIZE, CELL)
    assert cells.weight.sum() == pytest.approx(weight.sum())
    new = dirty.reweighted(cells, uvw, axes.freq_hz, weight, 1e9)
    again = dirty.density(uvw, axes.freq_hz, new, SIZE, CELL)
    filled = again.weight[cells.weight > 0]
    assert filled == pytest.approx(np.full(filled.size, 1e-9), rel=1e-4)  # uniform
    same = dirty.reweighted(cells, uvw, axes.freq_hz, weight, 0.0)
    assert np.array_equal(same, weight)


def test_psf_is_the_image_of_a_point_in_the_middle(case):
    axes, uvw, weight = case
    f2 = dirty.density(uvw, axes.freq_hz, weight, SIZE, CELL).robust(0.5)
    cells = dirty.density(uvw, axes.freq_hz, weight, SIZE, CELL)
    used = dirty.reweighted(cells, uvw, axes.freq_hz, weight, f2)
    gridder = dirty.Gridder(uvw, axes.freq_hz, SIZE, CELL)
    image = gridder.image(np.ones(weight.shape, np.complex64), used)
    ours = dirty.psf(cells, f2)
    middle = slice(SIZE // 2 - 10, SIZE // 2 + 11)
    assert np.abs(ours - image)[middle, middle].max() < 0.02
    beam = dirty.fit_beam(image, CELL)
    x, y = np.mgrid[-64:64, -64:64] * np.degrees(CELL)
    angle = np.radians(beam.pa_deg)
    along, across = x * np.sin(angle) + y * np.cos(angle), x * np.cos(angle) - y * np.sin(angle)
    model = np.exp(
        -4 * np.log(2) * ((along / beam.major_deg) ** 2 + (across / beam.minor_deg) ** 2)
    )
    assert np.abs(model - image)[image > 0.5].max() < 0.05


def test_power_beyond_the_noise(case):
    axes, uvw, weight = case
    rng = np.random.default_rng(4)
    cells = dirty.density(uvw, axes.freq_hz, weight, SIZE, CELL)
    sigma = 3 / np.sqrt(np.where(weight > 0, weight, 1))
    found, with_sky = [], []
    for _ in range(20):
        noise = rng.normal(size=(2, *weight.shape)) * sigma
        noise = (noise[0] + 1j * noise[1]).astype(np.complex64)
        found.append(dirty.excess_power(cells, uvw, axes.freq_hz, noise, weight, 3.0))
        # an unknown sky of one point in the middle: the same in all visibilities
        sky = np.complex64(2 * rng.choice([-1, 1]))
        with_sky.append(dirty.excess_power(cells, uvw, axes.freq_hz, noise + sky, weight, 3.0))
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(20)
    # |2|^2 over both parts, in units of noise^2
    expected = 4 / 2 / 9
    assert np.mean(with_sky) == pytest.approx(expected, abs=4 * np.std(with_sky) / np.sqrt(20))
