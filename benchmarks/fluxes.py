"""Where flux density is lost between the sky and forced photometry: one change at a time.

    python benchmarks/fluxes.py [--sources 230] [--array 1] [--faintest 8] [--only WORD ...]
        [--noise yes no] [--work DIR]

A known sky of isolated sources is put into a tile, imaged and measured with the forced photometry
of `contimg photometry`; the table gives the median of measured over true in bins of the primary
beam and of the flux density, without and with noise. The first line is the standard tier on data
with no effect but those of imaging; every other line changes one thing. `--array 1` is the whole
array (two minutes a line and noise), `--array 4` every fourth station with one outrigger.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from contimg.core.beam import PrimaryBeam  # noqa: E402
from contimg.core.fits import read_image  # noqa: E402
from contimg.core.ms import Axes, open_table, read_axes  # noqa: E402
from contimg.core.predict import predict  # noqa: E402
from contimg.image.options import ImageOptions  # noqa: E402
from contimg.photometry.command import measure  # noqa: E402
from contimg.photometry.options import PhotometryOptions  # noqa: E402
from truth.observe import INSTRUMENT, PERFECT, converted, observe  # noqa: E402
from truth.tiles import image  # noqa: E402

BINS = (1.0, 0.8, 0.6, 0.45, 0.3)
LEVELS = (8, 20, 50, 1e9)  # of the thermal noise
SUBSTEPS = (-1 / 3, 0.0, 1 / 3)  # of an integration
CHANNEL_HZ = 187.5e6 / 768

# name, how the data are made, options of the image
VARIANTS: list[tuple[str, dict, dict]] = [
    ("standard tier", {}, {}),
    ("beam fitted to core and halo", {}, {"beam_fitting_size": 4}),
    ("4 pixels a beam", {}, {"pixels_per_beam": 4}),
    ("8 pixels a beam", {}, {"pixels_per_beam": 8}),
    ("12 pixels a beam", {}, {"pixels_per_beam": 12}),
    ("clean to 3 sigma", {}, {"auto_threshold": 3}),
    ("clean to 0.5 sigma", {}, {"auto_threshold": 0.5}),
    ("dirty image", {}, {"niter": 0}),
    ("components above 5 sigma", {}, {"auto_mask": 5}),
    ("major cycles of 0.9", {}, {"mgain": 0.9}),
    ("pure Hogbom", {}, {"deconvolver": "hogbom"}),
    ("catalogue mask", {}, {"mask_catalog": True, "mask_min_jy": 0.001}),
    ("spectra fitted, 2 terms", {}, {"nterms": 2, "channels_out": 4}),
    ("averaging with the baseline", {}, {"baseline_averaging_lambda": 2}),
    ("gridding accuracy 1e-5", {}, {"gridder_accuracy": 1e-5}),
    ("channels of 1 MHz (4 averaged)", {"channels": 4}, {}),
    ("channels of 4 MHz (16 averaged)", {"channels": 16}, {}),
    ("fringes turn in an integration", {"turning": True}, {}),
    ("drift not made steady", {"steady": False}, {}),
    ("all, as observed", {"channels": 4, "turning": True}, {}),
    ("a calibrator of 8.8 Jy inside", {"calibrator": True}, {}),
    ("and gains as good as solved", {"calibrator": True, "gain_error": True}, {}),
]
CALIBRATOR = 8.8, 0.45  # Jy; deg east and north of the centre
GAIN_ERROR = 3e-4  # of either part, as left by a calibration (docs/calibration.md)


def container(work: Path, step: int) -> Path:
    """An MS of the reduced array whose data are going to be replaced."""
    simulate = PERFECT.model_copy(
        update={
            "antenna_step": step,
            "outriggers": 14 if step == 1 else 1,
            "channels_per_subband": 48 if step == 1 else 12,
            "n_times": 24,
            "integration_s": 12.884901888,
        }
    )
    _, _, manifest = observe(work / "container", simulate=simulate)
    return converted(work / "container", manifest)


def isolated(ms: Path, count: int, faintest_jy: float) -> pd.DataFrame:
    """Sources with apparent flux densities spread over a factor of 100, all over the beam."""
    rng = np.random.default_rng(17)
    axes = read_axes(ms)
    ra0, dec0 = axes.phase_center_rad
    kept: list[tuple[float, float]] = []
    while len(kept) < count:
        east, north = rng.uniform(-1.5, 1.5, 2)
        apart = all(np.hypot(east - e, north - n) > 0.12 for e, n in kept)
        if apart and np.hypot(east, north) < 1.5:
            kept.append((east, north))
    east, north = np.radians(np.array(kept)).T
    dec = dec0 + north
    ra = ra0 + east / np.cos(dec)
    beam = PrimaryBeam(INSTRUMENT).power(np.hypot(east, north), 1.4e9)
    flux = faintest_jy * 100 ** rng.uniform(0, 1, count) / np.maximum(beam, 0.1)
    return pd.DataFrame(
        {
            "name": [f"S{k:03d}" for k in range(count)],
            "ra_deg": np.degrees(ra),
            "dec_deg": np.degrees(dec),
            "flux_jy": flux,
            "ref_freq_hz": 1.4e9,
            "spectral_index": 0.0,
            "log_poly": "",
        }
    )


def moved(axes: Axes, substep: float, shift_hz: float) -> Axes:
    """The axes a part of an integration later and a part of a channel higher."""
    if substep == 0 and shift_hz == 0:
        return axes
    seconds = (axes.mjd - axes.mjd[0]) * 86400
    later = seconds + substep * axes.integration_s

    def at(values: NDArray) -> NDArray:
        """Linear in time, continued beyond the ends."""
        index = np.clip(np.searchsorted(seconds, later) - 1, 0, seconds.size - 2)
        share = (later - seconds[index]) / (seconds[index + 1] - seconds[index])
        share = share.reshape(-1, *[1] * (values.ndim - 1))
        return values[index] * (1 - share) + values[index + 1] * share

    ra, dec = axes.pointing_rad
    return dataclasses.replace(
        axes,
        uvw_m=at(axes.uvw_m),
        pointing_rad=(at(ra), at(dec)),
        freq_hz=axes.freq_hz + shift_hz,
    )


def fill(ms: Path, target: Path, sky: pd.DataFrame, noise_jy: float, made: dict) -> Path:
    """A copy of `ms` that observed `sky`."""
    shutil.copytree(ms, target)
    axes = read_axes(target)
    beam = PrimaryBeam(INSTRUMENT)
    channels = made.get("channels", 1)
    shifts = (np.arange(channels) - (channels - 1) / 2) * CHANNEL_HZ
    substeps = SUBSTEPS if made.get("turning") else (0.0,)
    steps = [(s, f) for s in substeps for f in shifts]
    if made.get("calibrator"):
        sky = pd.concat([sky, calibrator(axes)], ignore_index=True)
    rng = np.random.default_rng(5)
    gains = np.ones((int(axes.ant2.max()) + 1, axes.freq_hz.size), complex)
    if made.get("gain_error"):
        gains += GAIN_ERROR * (rng.normal(size=gains.shape) + 1j * rng.normal(size=gains.shape))
    response = gains[axes.ant1] * gains[axes.ant2].conj()
    with open_table(target, writable=True) as table:
        good = ~table.getcol("FLAG").any(axis=-1)
        weight = good.reshape(*axes.shape, -1).sum(axis=1).astype(float)
        whole = [predict(sky, beam, moved(axes, s, f)) for s, f in steps]
        if made.get("steady", True):
            change = [predict(sky, beam, moved(axes, s, f), weight) for s, f in steps]
        n_base = axes.shape[1]
        for time in range(axes.mjd.size):
            model = sum(next(part) for part in whole) / len(steps)
            if made.get("steady", True):
                model = model - sum(next(part) for part in change) / len(steps)
            data = np.repeat((model * response)[..., None], 2, axis=-1)
            data = data + noise_jy * (
                rng.normal(size=data.shape) + 1j * rng.normal(size=data.shape)
            )
            rows = {"startrow": time * n_base, "nrow": n_base}
            table.putcol("DATA", data.astype(np.complex64), **rows)
    return target


def calibrator(axes: Axes) -> pd.DataFrame:
    """One bright source, not measured."""
    flux, offset = CALIBRATOR
    ra, dec = np.degrees(axes.phase_center_rad)
    row = {"name": "calibrator", "ra_deg": ra + offset / np.cos(np.radians(dec))}
    row |= {"dec_deg": dec + offset, "flux_jy": flux, "ref_freq_hz": 1.4e9}
    return pd.DataFrame([row | {"spectral_index": 0.0, "log_poly": ""}])


def forced(files, sky: pd.DataFrame) -> pd.DataFrame:
    """Forced photometry of an image, corrected for the primary beam, by source.

    `files` has the paths `image`, `residual`, `rms` and `pb`; the response is the column ``pb``.
    """
    content, residual, rms = (read_image(p) for p in (files.image, files.residual, files.rms))
    response = read_image(files.pb).data
    inside = response > 0.2
    corrected = [
        dataclasses.replace(plane, data=np.where(inside, plane.data / response, np.nan))
        for plane in (content, residual, rms)
    ]
    zero = dataclasses.replace(content, data=np.zeros_like(response))
    table, _ = measure(*corrected, zero, sky, "tile", PhotometryOptions())
    x, y = content.wcs.all_world2pix(table[["ra_deg", "dec_deg"]].to_numpy(), 0).T
    table["pb"] = response[np.rint(y).astype(int), np.rint(x).astype(int)]
    return table.set_index("source")


def photometry(files, sky: pd.DataFrame) -> tuple[NDArray, NDArray, NDArray]:
    """Measured over true flux density, primary beam, and apparent flux density [Jy] of sources."""
    table = forced(files, sky)
    flux = sky.set_index("name").loc[table.index, "flux_jy"].to_numpy()
    pb = table["pb"].to_numpy()
    return table["flux_jy"].to_numpy() / flux, pb, flux * pb


def row(ratio: NDArray, pb: NDArray, apparent: NDArray, thermal_jy: float) -> str:
    """Median of each bin of the beam, of each level of signal to noise, and of all."""
    good = np.isfinite(ratio) & (pb >= BINS[-1])
    choices = [good & (pb < high) & (pb >= low) for high, low in pairwise(BINS)]
    level = apparent / thermal_jy
    choices += [good & (level >= low) & (level < high) for low, high in pairwise(LEVELS)]
    return "  ".join(median(ratio[c]) for c in [*choices, good])


def median(values: NDArray) -> str:
    """With its error from the scatter, in units of the last digit."""
    if values.size < 3:
        return "-".rjust(9)
    middle = np.median(values)
    error = 1.25 * 1.4826 * np.median(np.abs(values - middle)) / np.sqrt(values.size)
    return f"{middle:.3f}({error * 1e3:.0f})".rjust(9)


def main() -> None:
    """Make, image, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sources", type=int, default=230)
    parser.add_argument("--array", type=int, default=1, help="every n-th station")
    parser.add_argument("--faintest", type=float, default=8.0, help="source [thermal sigma]")
    parser.add_argument("--noise", nargs="*", default=["no", "yes"], choices=["no", "yes"])
    parser.add_argument("--only", nargs="*", help="variants whose names hold one of these words")
    parser.add_argument("--work", type=Path, help="scratch (removed); the system's if unset")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="contimg-fluxes-", dir=arguments.work))
    try:
        report(arguments, work)
    finally:
        shutil.rmtree(work)


def report(arguments: argparse.Namespace, work: Path) -> None:
    """The table."""
    ms = container(work, arguments.array)
    axes = read_axes(ms)
    one = INSTRUMENT.sefd_jy / np.sqrt(2 * axes.width_hz * axes.integration_s)
    thermal = one / np.sqrt(2 * axes.mjd.size * axes.ant1.size * axes.freq_hz.size)
    sky = isolated(ms, arguments.sources, arguments.faintest * thermal)
    stations = len(np.union1d(axes.ant1, axes.ant2))
    print(
        f"{len(sky)} sources of {arguments.faintest:g} to {100 * arguments.faintest:g} times the"
        f" thermal noise of {thermal * 1e3:.3f} mJy, {stations} antennas; median of measured / true"
        " (error in 1e-3) by primary beam, by flux density over thermal noise, and of all"
    )
    heads = [f"{high:g}-{low:g}" for high, low in pairwise(BINS)]
    heads += [f"{low:g}-{high:g}" for low, high in pairwise(LEVELS[:-1])] + [f">{LEVELS[-2]}"]
    print(f"{'':32s} noise  " + "  ".join(head.rjust(9) for head in [*heads, "all"]))
    for name, made, options in VARIANTS:
        if arguments.only and not any(word in name for word in arguments.only):
            continue
        for noise in (one if word == "yes" else 0.0 for word in arguments.noise):
            data = fill(ms, work / "data.ms", sky, noise, made)
            settings = ImageOptions(backend="wsclean", **options)
            with quiet(work / "log.txt"):
                files, _ = image(data, work / "out", settings, sky)
            line = row(*photometry(files, sky), thermal)
            print(f"{name:32s} {'yes' if noise else 'no ':5s}  {line}", flush=True)
            shutil.rmtree(data)


@contextlib.contextmanager
def quiet(log: Path):
    """Send what is printed, by children too, to a file."""
    sys.stdout.flush()
    saved = os.dup(1), os.dup(2)
    with (
        log.open("w") as stream,
        contextlib.redirect_stderr(stream),
        contextlib.redirect_stdout(stream),
    ):
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            for copy in saved:
                os.close(copy)


if __name__ == "__main__":
    main()
