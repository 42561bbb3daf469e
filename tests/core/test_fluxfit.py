"""Flux densities from visibilities: against closed forms and a direct least-squares solution."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from contimg.core.beam import PrimaryBeam
from contimg.core.catalog import flux_density
from contimg.core.constants import C_M_S
from contimg.core.coords import cosines_to_sky, direction_cosines, separation
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.fluxfit.design import design
from contimg.core.fluxfit.positions import position_steps
from contimg.core.fluxfit.solve import fit, residuals
from contimg.core.fluxfit.sweep import Arrays, model_of, parts_of, sweep
from contimg.core.instrument import InstrumentOptions
from contimg.core.predict import predict
from core.test_predict import made_axes, made_sources

BEAM = PrimaryBeam(InstrumentOptions())
NOISE = 0.3


def observed(rng, axes, sources, *, noise=NOISE, flagged=0.1):
    """Data of a sky, noise of `noise` in each part, weights of 1/noise^2, some flagged as NaN."""
    data = np.stack(list(predict(sources, BEAM, axes))).astype(complex)
    data += noise * (rng.normal(size=data.shape) + 1j * rng.normal(size=data.shape))
    weight = np.full(data.shape, 1 / max(noise, 1e-3) ** 2, np.float32)
    bad = rng.random(data.shape) < flagged
    data[bad], weight[bad] = np.nan, 0
    return Arrays(data.astype(np.complex64), weight)


def unit_models(axes, sources) -> np.ndarray:
    """(source, time, baseline, channel) of 1 Jy at the middle of the band, source by source."""
    middle = axes.freq_hz.mean()
    unit = sources.assign(flux_jy=1 / flux_density(sources.assign(flux_jy=1.0), middle)[:, 0])
    return np.stack([np.stack(list(predict(unit.iloc[[k]], BEAM, axes))) for k in range(len(unit))])


def direct(axes, sources, blocks, channels=slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least squares by QR over all visibilities: flux densities and covariance."""
    used = blocks.weight[..., channels] > 0
    root = np.sqrt(blocks.weight[..., channels][used].astype(float))
    matrix = np.stack([m[..., channels][used] * root for m in unit_models(axes, sources)], axis=1)
    right = blocks.data[..., channels][used] * root
    matrix, right = np.concatenate([matrix.real, matrix.imag]), np.r_[right.real, right.imag]
    flux = np.linalg.lstsq(matrix, right, rcond=None)[0]
    chi2 = ((right - matrix @ flux) ** 2).sum()
    scale = chi2 / (right.size - flux.size)
    return flux, np.linalg.inv(matrix.T @ matrix) * scale


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(2)
    axes = dataclasses.replace(
        made_axes(rng, antennas=9, times=4),
        freq_hz=np.linspace(1.31e9, 1.5e9, 12),
        width_hz=1.0,
        integration_s=1e-3,
    )
    sources = made_sources(rng, 7)
    # a blend, half a beam apart
    sources.loc[6, ["ra_deg", "dec_deg"]] = sources.loc[5, ["ra_deg", "dec_deg"]].to_numpy()
    sources.loc[6, "dec_deg"] += 5 / 3600
    return axes, sources, observed(rng, axes, sources)


def test_as_direct_least_squares(case):
    axes, sources, blocks = case
    solution = fit(design(sources, BEAM, axes), blocks)
    expected, covariance = direct(axes, sources, blocks)
    error = np.sqrt(np.diag(covariance))
    assert solution.last_step < 0.01
    assert np.abs((solution.flux_jy - expected) / error).max() < 0.02
    assert solution.error_jy == pytest.approx(error, rel=0.02)
    correlation = covariance / np.outer(error, error)
    ours = solution.covariance_jy2 / np.outer(solution.error_jy, solution.error_jy)
    assert abs(correlation[5, 6]) > 0.5
    assert np.abs(ours - correlation).max() < 0.05
    assert solution.noise == pytest.approx(1, abs=0.05)


def test_parts_of_the_band(case):
    axes, sources, blocks = case
    solution = fit(design(sources, BEAM, axes), blocks, parts=3)
    part = parts_of(axes.freq_hz.size, 3)
    for k in range(3):
        expected, covariance = direct(axes, sources, blocks, part == k)
        error = np.sqrt(np.diag(covariance))
        assert np.abs((solution.part_flux_jy[k] - expected) / error).max() < 0.03
        assert solution.part_error_jy[k] == pytest.approx(error, rel=0.1)
        assert solution.part_hz[k] == axes.freq_hz[part == k].mean()
    whole = fit(design(sources, BEAM, axes), blocks)
    assert solution.flux_jy == pytest.approx(whole.flux_jy, abs=1e-6)


def test_one_point_in_the_middle_has_the_error_of_the_radiometer():
    """sigma = (sum of w)^-1/2, the closed form of a source in the phase centre and the beam."""
    rng = np.random.default_rng(3)
    axes = made_axes(rng, antennas=20, times=6)
    axes = dataclasses.replace(axes, pointing_rad=(np.full(6, 2.2), np.full(6, 0.97)))
    sources = made_sources(rng, 1).assign(
        ra_deg=np.degrees(2.2), dec_deg=np.degrees(0.97), spectral_index=0.0, flux_jy=1.5
    )
    blocks = observed(rng, axes, sources, flagged=0.3)
    solution = fit(design(sources, BEAM, axes), blocks)
    good = blocks.weight > 0
    assert solution.count == good.sum()
    assert solution.error_jy[0] / solution.noise == pytest.approx(NOISE / np.sqrt(good.sum()))
    assert solution.flux_jy[0] == pytest.approx(blocks.data.real[good].mean(), abs=1e-6)


def test_pulls_and_flux_of_the_catalogue_do_not_matter(case):
    """Errors hold over many draws of the noise, whatever fluxes the table has."""
    axes, sources, _ = case
    rng = np.random.default_rng(4)
    wrong = sources.assign(flux_jy=sources["flux_jy"] * rng.choice([0.5, 2], len(sources)))
    model = design(wrong, BEAM, axes)
    truth = flux_density(sources, axes.freq_hz.mean())[:, 0]
    pulls = []
    for _ in range(30):
        solution = fit(model, observed(rng, axes, sources))
        pulls.append((solution.flux_jy - truth) / solution.error_jy)
    pulls = np.array(pulls)
    assert np.sqrt((pulls**2).mean()) == pytest.approx(1, abs=4 / np.sqrt(2 * pulls.size))
    assert np.abs(pulls.mean(axis=0)).max() < 4 / np.sqrt(30)


def test_start_and_fixed(case):
    axes, sources, blocks = case
    model = design(sources, BEAM, axes)
    truth = flux_density(sources, axes.freq_hz.mean())[:, 0]
    free = fit(model, blocks)
    started = fit(model, blocks, start=free.flux_jy)
    assert started.iterations <= 1
    assert started.flux_jy == pytest.approx(free.flux_jy, abs=0.01 * free.error_jy.min())
    assert started.chi2 == pytest.approx(free.chi2, rel=1e-4)
    fixed = np.arange(len(sources)) == 0
    held = fit(model, blocks, start=truth, fixed=fixed)
    assert held.flux_jy[0] == truth[0] and held.error_jy[0] == 0
    rest = np.stack(list(predict(sources.iloc[:1], BEAM, axes)))
    others = Arrays(blocks.data - rest, blocks.weight)
    expected, _ = direct(axes, sources.iloc[1:], others)
    assert np.abs((held.flux_jy[1:] - expected) / held.error_jy[1:]).max() < 0.02


def test_residuals_are_what_is_left(case):
    axes, sources, _ = case
    rng = np.random.default_rng(5)
    blocks = observed(rng, axes, sources, noise=1e-6)
    model = design(sources, BEAM, axes)
    solution = fit(model, blocks)
    left = np.stack([b.data for b in residuals(model, blocks, solution.flux_jy)])
    good = blocks.weight > 0
    assert np.abs(left[good]).max() < 1e-4 * np.abs(blocks.data[good]).max()


def smeared(axes, source, subdivisions=9) -> np.ndarray:
    """A source of 1 Jy averaged over channels and integrations, by summation."""
    nodes = (np.arange(subdivisions) - (subdivisions - 1) / 2) / subdivisions
    ra0, dec0 = axes.phase_center_rad
    lmn = np.array(direction_cosines(*np.radians([source.ra_deg, source.dec_deg]), ra0, dec0))
    offset = separation(*np.radians([source.ra_deg, source.dec_deg]), *axes.pointing_rad)
    total = np.zeros((*axes.shape, axes.freq_hz.size), complex)
    for step in nodes * axes.integration_s * 2 * np.pi / 86164.09:
        u, v, w = np.moveaxis(axes.uvw_m, -1, 0)
        rate = [w * np.cos(dec0) - v * np.sin(dec0), u * np.sin(dec0), -u * np.cos(dec0)]
        later = axes.uvw_m + step * np.stack(rate, axis=-1)
        centre = np.stack(direction_cosines(*axes.pointing_rad, ra0, dec0))
        # phase of the source against the tracked centre, which itself stays in phase
        path = later @ lmn - np.einsum("tbk,kt->tb", later - axes.uvw_m, centre)
        path -= axes.uvw_m[..., 2]
        for shift in nodes * axes.width_hz:
            total += np.exp(2j * np.pi * path[..., None] * (axes.freq_hz + shift) / C_M_S)
    response = BEAM.power(offset[:, None], axes.freq_hz)
    return total / nodes.size**2 * response[:, None]


@pytest.mark.parametrize("fine", [True, False])
def test_smearing(fine):
    rng = np.random.default_rng(6)
    axes = dataclasses.replace(
        made_axes(rng, antennas=12, times=2),
        freq_hz=np.linspace(1.31e9, 1.5e9, 6),
        width_hz=1e6,
        integration_s=12.9,
    )
    source = made_sources(rng, 1).assign(
        ra_deg=np.degrees(2.2) + 1.6, dec_deg=np.degrees(0.97) + 0.8,
        spectral_index=0.0, flux_jy=1.0,
    )  # fmt: skip
    model = design(source, BEAM, axes, fine_jy=0.0 if fine else np.inf)
    assert [one.size for one in model.fine] == [fine, fine]
    found = np.stack(list(model_of(model, np.ones(1))))
    expected = smeared(axes, source.iloc[0])
    plain = np.stack(list(predict(source, BEAM, axes)))
    peak = np.abs(expected).max()
    assert np.abs(plain - expected).max() > 0.05 * peak
    rms = np.sqrt((np.abs(found - expected) ** 2).mean()) / peak
    assert rms < (1.5e-3 if fine else 0.03)


def test_sources_with_a_size():
    rng = np.random.default_rng(7)
    axes = dataclasses.replace(
        made_axes(rng, antennas=8, times=2), width_hz=1.0, integration_s=1e-3
    )
    axes = dataclasses.replace(axes, uvw_m=axes.uvw_m * 0.4)
    sources = made_sources(rng, 4).assign(
        major_arcsec=[40.0, np.nan, 20.0, np.nan],
        minor_arcsec=[15.0, np.nan, 10.0, np.nan],
        pa_deg=[30.0, np.nan, 100.0, np.nan],
    )
    blocks = observed(rng, axes, sources)
    model = design(sources, BEAM, axes)
    assert model.extended.tolist() == [0, 2]
    found = np.stack(list(model_of(model, flux_density(sources, axes.freq_hz.mean())[:, 0])))
    expected = np.stack(list(predict(sources, BEAM, axes)))
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    solution = fit(model, blocks)
    flux, covariance = direct(axes, sources, blocks)
    error = np.sqrt(np.diag(covariance))
    assert np.abs((solution.flux_jy - flux) / error).max() < 0.02
    assert solution.error_jy == pytest.approx(error, rel=0.05)


def test_offset(case):
    """Data that hold more of a source than its flux density times the beam."""
    axes, sources, blocks = case
    model = design(sources, BEAM, axes)
    more = (0.3 * model.amplitude * np.arange(1, 5)[:, None, None]).astype(np.float32)
    extra = np.stack(list(model_of(dataclasses.replace(model, offset=more), np.zeros(7))))
    shifted = Arrays(blocks.data + extra, blocks.weight)
    with_offset = design(sources, BEAM, axes, offset_jy=more)
    expected, found = fit(model, blocks), fit(with_offset, shifted)
    assert found.flux_jy == pytest.approx(expected.flux_jy, abs=0.01 * expected.error_jy.min())
    assert found.chi2 == pytest.approx(expected.chi2, rel=1e-3)


def test_bad_input(case):
    axes, sources, blocks = case
    model = design(sources, BEAM, axes)
    with pytest.raises(DataQualityError, match="no unflagged visibilities"):
        fit(model, Arrays(blocks.data, 0 * blocks.weight))
    with pytest.raises(DataQualityError, match="not finite"):
        fit(model, Arrays(blocks.data, np.nan * blocks.weight))
    twice = pd.concat([sources, sources.iloc[[2]]], ignore_index=True)
    with pytest.raises(DataQualityError, match="number 2 and 7 of the fit cannot be told apart"):
        fit(design(twice, BEAM, axes), blocks)
    sources = sources.assign(spectral_index=np.nan)
    with pytest.raises(ContimgError, match="7 sources without spectrum"):
        design(sources, BEAM, axes)


def test_a_source_outside_the_beam_is_not_measured(case):
    axes, sources, blocks = case
    narrow = PrimaryBeam(InstrumentOptions(beam_model="gaussian", beam_fwhm_deg=3))
    far = pd.concat([sources, sources.iloc[[0]].assign(dec_deg=80.0)], ignore_index=True)
    solution = fit(design(far, narrow, axes), blocks)
    assert np.isnan(solution.flux_jy[7]) and np.isnan(solution.error_jy[7])
    assert np.isfinite(solution.flux_jy[:7]).all()
    assert all(np.isfinite(b.data[b.weight > 0]).all() for b in residuals(
        design(far, narrow, axes), blocks, solution.flux_jy))  # fmt: skip


def test_product_is_symmetric(case):
    """x A y = y A x: model and projection are each other's adjoint."""
    axes, sources, blocks = case
    model = design(sources, BEAM, axes, fine_jy=0.0)
    part = parts_of(axes.freq_hz.size, 1)
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(2, 1, len(sources)))
    ax, ay = (sweep(model, blocks, part, v, with_data=False).gradient for v in (x, y))
    assert (y * ax).sum() == pytest.approx((x * ay).sum(), rel=1e-4)


def test_positions():
    """Sources moved by known steps: found, and errors as wide as the scatter."""
    rng = np.random.default_rng(11)
    axes = dataclasses.replace(
        made_axes(rng, antennas=12, times=4), width_hz=1.0, integration_s=1e-3
    )
    sources = made_sources(rng, 5)
    ra0, dec0 = axes.phase_center_rad
    true = np.stack(
        direction_cosines(*np.radians(sources[["ra_deg", "dec_deg"]].to_numpy().T), ra0, dec0)
    )
    moved = sources.assign(
        ra_deg=sources["ra_deg"] + rng.normal(size=5) / 3600,
        dec_deg=sources["dec_deg"] + rng.normal(size=5) / 3600,
    )
    pulls = []
    for _ in range(12):
        blocks, table = observed(rng, axes, sources), moved
        for _ in range(4):
            model = design(table, BEAM, axes)
            solution = fit(model, blocks)
            left = residuals(model, blocks, solution.flux_jy)
            steps = position_steps(model, left, solution.flux_jy, np.arange(5))
            l_cos, m_cos = model.lmn[:2] + steps.step.T
            ra, dec = cosines_to_sky(l_cos, m_cos, ra0, dec0)
            table = table.assign(ra_deg=np.degrees(ra), dec_deg=np.degrees(dec))
        offset = np.stack([l_cos, m_cos], axis=1) - true[:2].T
        error = solution.noise * np.sqrt(np.diagonal(steps.covariance, axis1=1, axis2=2))
        pulls.append(offset / error)
    pulls = np.array(pulls)
    assert np.sqrt((pulls**2).mean()) == pytest.approx(1, abs=4 / np.sqrt(2 * pulls.size))


def test_a_start_from_some_of_the_channels():
    """64 channels: the fit starts from eight of them, and what is left is that of the end."""
    rng = np.random.default_rng(6)
    axes = dataclasses.replace(
        made_axes(rng, antennas=12, times=2),
        freq_hz=np.linspace(1.31e9, 1.5e9, 64),
        width_hz=1.0,
        integration_s=1e-3,
    )
    sources = made_sources(rng, 5)
    blocks = observed(rng, axes, sources)
    model = design(sources, BEAM, axes)
    left = Arrays(np.zeros_like(blocks.data), np.zeros_like(blocks.weight))
    found = fit(model, blocks, left_over=left)
    flux, covariance = direct(axes, sources, blocks)
    error = np.sqrt(np.diagonal(covariance))
    assert np.abs((found.flux_jy - flux) / error).max() < 0.02
    assert found.last_step < 0.01
    again = fit(model, blocks, start=found.flux_jy, shrinking=found.shrinking)
    assert again.iterations == 0
    for got, block in zip(left, residuals(model, blocks, found.flux_jy), strict=True):
        assert np.array_equal(got.weight, block.weight)
        difference = np.abs(got.data - block.data)[block.weight > 0]
        assert difference.max() < 4 * error.max()
    # from a start that is far, with a known convergence: the step is taken out of what is left
    far = found.flux_jy + 5 * error
    fit(model, blocks, start=far, shrinking=found.shrinking, tolerance=0.3, left_over=left)
    for got, block in zip(left, residuals(model, blocks, found.flux_jy), strict=True):
        assert np.abs(got.data - block.data)[block.weight > 0].max() < error.max()
