"""Visibilities of one subband with known interference, and what a flagger made of them.

The instrument is not calibrated: gains 15 %, bandpass ripple 10 %, delays 8 ns, random phases.
The sky is a calibrator and weaker sources that drift by; the noise that of SEFD 6500 Jy.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from contimg.core.constants import C_M_S
from contimg.flag.context import SubbandContext
from contimg.flag.options import FlagOptions, split_steps
from contimg.flag.stream import run_steps
from contimg.simulate import array
from contimg.simulate.visibilities import array_positions, direction, uvw_m

NOISE_JY = 2.59  # real or imaginary part; 244 kHz, 12.885 s
RAW_SCALE = 0.01
CHANNEL_HZ = 244140.6
INTEGRATION_S = 12.884901888
DEC_RAD = np.radians(55.6)
_RATE = 2 * np.pi / 86164.1


@dataclasses.dataclass
class Made:
    """A subband and the truth about it."""

    data: NDArray[np.complex64]
    flags: NDArray[np.bool_]
    nsamples: NDArray[np.float32]
    context: SubbandContext
    unit: NDArray[np.complex64]  # (baseline, channel, corr): raw value of the noise of a sample
    rfi: NDArray[np.float32]  # amplitude of what was injected over the noise of a sample
    bad_inputs: NDArray[np.bool_]  # (antenna, corr) that were broken

    @property
    def bad_baselines(self) -> NDArray[np.bool_]:
        """(baseline, corr) with a broken input."""
        return self.bad_inputs[self.context.ant1] | self.bad_inputs[self.context.ant2]

    def add(self, where: tuple, value: NDArray) -> None:
        """Inject `value` (units of the noise of a sample) at `where`."""
        full = np.zeros(self.data.shape, np.complex64)
        full[where] = value
        self.rfi = np.maximum(self.rfi, np.abs(full))
        self.data += full * self.unit

    def clean_lost(self, flags: NDArray[np.bool_]) -> float:
        """Fraction flagged of samples without interference and without broken inputs."""
        clean = (self.rfi < 0.1) & ~self.bad_baselines[None, :, None]
        return float(flags[clean].mean())

    def recall(self, flags: NDArray[np.bool_], least: float = 5.0) -> float:
        """Fraction flagged of the samples with interference of `least` sigma or more."""
        hit = (self.rfi >= least) & ~self.bad_baselines[None, :, None]
        return float(flags[hit].mean())


def make(
    rng: np.random.Generator,
    *,
    antenna_step: int = 4,
    outriggers: int = 4,
    n_chan: int = 48,
    n_time: int = 24,
    calibrator_jy: float = 8.8,
    field_sources: int = 20,
    noise: bool = True,
    lowest_mhz: float = 1400.0,
) -> Made:
    """A clean subband."""
    numbers = array.active_stations(antenna_step, outriggers)
    positions = array_positions(numbers)
    n_ant = len(numbers)
    ant1, ant2 = np.triu_indices(n_ant, 1)
    freq = lowest_mhz * 1e6 + CHANNEL_HZ * np.arange(n_chan)
    sky = _sky(rng, positions, ant1, ant2, freq, n_time, calibrator_jy, field_sources)
    gain = _gains(rng, n_ant, freq)
    pair = RAW_SCALE * np.conj(gain[ant1]) * gain[ant2]
    data = np.repeat(sky[..., None], 2, axis=-1)
    if noise:
        parts = rng.standard_normal((*data.shape, 2), dtype=np.float32) * np.float32(NOISE_JY)
        data += parts.view(np.complex64)[..., 0]
    data = (data * pair).astype(np.complex64)
    context = _context(numbers, n_time, freq, _uvw(positions, ant1, ant2), ant1, ant2)
    return _made(data, context, (NOISE_JY * pair).astype(np.complex64))


def empty(n_ant: int, n_chan: int, n_time: int) -> Made:
    """A subband of ones, unit noise, from antennas that are 20 m apart."""
    ant1, ant2 = np.triu_indices(n_ant, 1)
    uvw = np.stack([20.0 * (ant2 - ant1), 7.0 * (ant2 - ant1), 0.0 * ant1], axis=-1)
    freq = 1.4e9 + CHANNEL_HZ * np.arange(n_chan)
    context = _context(1 + 8 * np.arange(n_ant), n_time, freq, uvw, ant1, ant2)
    data = np.ones((n_time, ant1.size, n_chan, 2), np.complex64)
    return _made(data, context, np.ones(data.shape[1:], np.complex64))


def _context(numbers, n_time, freq, uvw, ant1, ant2) -> SubbandContext:
    return SubbandContext(
        ant1=ant1,
        ant2=ant2,
        antenna_names=[f"DSA-{number:03d}" for number in numbers],
        times_mjd=60953.1 + INTEGRATION_S / 86400 * np.arange(n_time),
        integration_s=INTEGRATION_S,
        freq_hz=freq,
        uvw_m=np.broadcast_to(uvw, (n_time, *uvw.shape)),
        elevation_rad=np.full(n_time, np.radians(70.0)),
        antenna_diameter_m=4.65,
    )


def _made(data, context, unit) -> Made:
    return Made(
        data=data,
        flags=np.zeros(data.shape, bool),
        nsamples=np.ones(data.shape, np.float32),
        context=context,
        unit=unit,
        rfi=np.zeros(data.shape, np.float32),
        bad_inputs=np.zeros((len(context.antenna_names), 2), bool),
    )


def _uvw(positions, ant1, ant2):
    first, second = array.baselines(len(positions))
    lookup = {
        (p, q): row for p, q, row in zip(first, second, uvw_m(positions, DEC_RAD), strict=True)
    }
    return np.array([lookup[p, q] for p, q in zip(ant1, ant2, strict=True)])


def _sky(rng, positions, ant1, ant2, freq, n_time, calibrator_jy, field_sources):
    """Sources that drift through a beam of 2.7 deg, phased to the meridian as in raw data."""
    n = field_sources + 1
    flux = np.append(calibrator_jy, 0.05 * rng.pareto(0.9, field_sources) + 0.02)
    flux[1:] = np.minimum(flux[1:], 1.0)
    radius = np.radians(1.2) * np.sqrt(rng.random(n))
    angle = rng.uniform(0, 2 * np.pi, n)
    radius[0] = np.radians(0.3)
    hour_angle = radius * np.cos(angle) / np.cos(DEC_RAD)
    dec = DEC_RAD + radius * np.sin(angle)
    sky = np.empty((n_time, ant1.size, freq.size), np.complex64)
    for time in range(n_time):
        moved = hour_angle + _RATE * INTEGRATION_S * (time - n_time / 2)
        offset = np.hypot((moved) * np.cos(DEC_RAD), dec - DEC_RAD)
        power = flux * np.exp(-4 * np.log(2) * (offset / np.radians(2.7)) ** 2)
        path = (direction(moved, dec) - direction(0.0, DEC_RAD)) @ positions.T
        turns = path[None] * (freq[:, None, None] / C_M_S)
        field = np.exp(2j * np.pi * (turns - np.round(turns))).astype(np.complex64)
        update = np.matmul(
            (np.conj(field) * power[:, None].astype(np.float32)).transpose(0, 2, 1), field
        )
        sky[time] = update[:, ant1, ant2].T
    return sky


def _gains(rng, n_ant, freq):
    shape = (n_ant, 2)
    amplitude = np.maximum(1 + 0.15 * rng.standard_normal(shape), 0.3)[:, None]
    phase = rng.uniform(-np.pi, np.pi, shape)[:, None]
    delay = 8e-9 * rng.standard_normal(shape)[:, None]
    x = ((freq - 1311.25e6) / 187.5e6)[None, :, None, None]
    order = np.arange(1, 7)
    ripple = (
        0.1 * np.sqrt(2 / 6) * rng.standard_normal((2, n_ant, 1, 2, 6)) * np.cos(np.pi * x * order)
    )
    ripple = ripple.sum(axis=-1)
    turns = delay * (freq - freq.mean())[None, :, None]
    return amplitude * (1 + ripple[0]) * np.exp(1j * (phase + ripple[1] + 2 * np.pi * turns))


def random_phases(rng, shape) -> NDArray[np.complex64]:
    """Unit numbers of random phase."""
    return np.exp(2j * np.pi * rng.random(shape)).astype(np.complex64)


def noise_like(rng, shape) -> NDArray[np.complex64]:
    """Complex normal numbers of mean square 2: rms 1 in the real and in the imaginary part."""
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def satellite(rng, made: Made, times: slice, peak: float, rate_deg_s: float) -> None:
    """A broadband burst from something that moves: fringes wash it out on long baselines."""
    n_time, n_base, n_chan, _ = made.data.shape
    count = len(range(*times.indices(n_time)))
    path = made.context.length_m * np.radians(rate_deg_s)
    fringes = path[:, None] * made.context.freq_hz / C_M_S * made.context.integration_s
    strength = peak / np.sqrt(1 + (np.pi * fringes) ** 2)
    value = strength[None, :, :, None] * random_phases(rng, (count, n_base, n_chan, 1))
    made.add((times,), np.repeat(value, 2, axis=-1))


def line(rng, made: Made, channel: int, times: slice, strength: float) -> None:
    """A narrow line that the whole array sees."""
    n_time, n_base, _, _ = made.data.shape
    count = len(range(*times.indices(n_time)))
    made.add((times, slice(None), channel), strength * random_phases(rng, (count, n_base, 1)))


def noisy_input(rng, made: Made, antenna: int, corr: int, factor: float) -> None:
    """Noise of one polarisation of an antenna `factor` times what it should be."""
    mine = made.context.incidence[antenna]
    view = made.data[..., corr]
    extra = noise_like(rng, view[:, mine].shape) * np.float32(np.sqrt(factor**2 - 1))
    view[:, mine] += extra * made.unit[mine, :, corr]
    made.bad_inputs[antenna, corr] = True


def swapped_inputs(rng, made: Made, antenna: int) -> None:
    """Cables of the two polarisations exchanged: noise of the right strength and no sky."""
    mine = made.context.incidence[antenna]
    made.data[:, mine] = noise_like(rng, made.data[:, mine].shape) * made.unit[mine]
    made.bad_inputs[antenna] = True


def flag_subband(data, flags, nsamples, context, options: FlagOptions) -> dict[str, float]:
    """All steps of `options` that run in the stream; the fraction that each one added."""
    return run_steps(split_steps(options)[0], data, flags, nsamples, context, options)
