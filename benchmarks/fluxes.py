"""Where flux density is lost between the sky and forced photometry: one change at a time.

    python benchmarks/fluxes.py [--sources 90] [--array 3] [--only WORD ...] [--work DIR]

A known sky of isolated sources is put into a tile of a reduced array, imaged and measured with the
forced photometry of `contimg photometry`; the table gives the median of measured over true in bins
of the primary beam, without and with noise. The first line is the standard tier on data with no
effect but those of imaging; every other line changes one thing.
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
SUBSTEPS = (-1 / 3, 0.0, 1 / 3)  # of an integration
CHANNEL_HZ = 187.5e6 / 768

# name, how the data are made, options of the image
VARIANTS: list[tuple[str, dict, dict]] = [
    ("standard tier", {}, {}),
    ("4 pixels a beam", {}, {"pixels_per_beam": 4}),
    ("6 pixels a beam", {}, {"pixels_per_beam": 6}),
    ("12 pixels a beam", {}, {"pixels_per_beam": 12}),
    ("clean to 3 sigma", {}, {"auto_threshold": 3}),
    ("clean to 0.5 sigma", {}, {"auto_threshold": 0.5}),
    ("dirty image", {}, {"niter": 0}),
    ("pure Hogbom", {}, {"deconvolver": "hogbom"}),
    ("catalogue mask", {}, {"mask_catalog": True, "mask_min_jy": 0.001}),
    ("spectra fitted, 2 terms", {}, {"nterms": 2, "channels_out": 4}),
    ("gridding accuracy 1e-5", {}, {"gridder_accuracy": 1e-5}),
    ("channels of 1 MHz (4 averaged)", {"channels": 4}, {}),
    ("channels of 4 MHz (16 averaged)", {"channels": 16}, {}),
    ("fringes turn in an integration", {"turning": True}, {}),
    ("drift not made steady", {"steady": False}, {}),
    ("all, as observed", {"channels": 4, "turning": True}, {}),
]


def container(work: Path, step: int) -> Path:
    """An MS of the reduced array whose data are going to be replaced."""
    simulate = PERFECT.model_copy(
        update={
            "antenna_step": step,
            "outriggers": 1,
            "channels_per_subband": 12,
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
    with open_table(target, writable=True) as table:
        good = ~table.getcol("FLAG").any(axis=-1)
        weight = good.reshape(*axes.shape, -1).sum(axis=1).astype(float)
        whole = [predict(sky, beam, moved(axes, s, f)) for s, f in steps]
        if made.get("steady", True):
            change = [predict(sky, beam, moved(axes, s, f), weight) for s, f in steps]
        rng = np.random.default_rng(5)
        n_base = axes.shape[1]
        for time in range(axes.mjd.size):
            model = sum(next(part) for part in whole) / len(steps)
            if made.get("steady", True):
                model = model - sum(next(part) for part in change) / len(steps)
            data = np.repeat(model[..., None], 2, axis=-1)
            data = data + noise_jy * (
                rng.normal(size=data.shape) + 1j * rng.normal(size=data.shape)
            )
            rows = {"startrow": time * n_base, "nrow": n_base}
            table.putcol("DATA", data.astype(np.complex64), **rows)
    return target


def photometry(files, sky: pd.DataFrame) -> tuple[NDArray, NDArray, NDArray]:
    """Measured over true flux density, primary beam, and apparent flux density [Jy] of sources."""
    content, residual, rms = (read_image(p) for p in (files.image, files.residual, files.rms))
    response = read_image(files.pb).data
    inside = response > 0.2
    corrected = [
        dataclasses.replace(plane, data=np.where(inside, plane.data / response, np.nan))
        for plane in (content, residual, rms)
    ]
    zero = dataclasses.replace(content, data=np.zeros_like(response))
    table, _ = measure(*corrected, zero, sky, "tile", PhotometryOptions())
    known = sky.set_index("name").loc[table["source"]]
    x, y = content.wcs.all_world2pix(known[["ra_deg", "dec_deg"]].to_numpy(), 0).T
    pb = response[np.rint(y).astype(int), np.rint(x).astype(int)]
    flux = known["flux_jy"].to_numpy()
    return table["flux_jy"].to_numpy() / flux, pb, flux * pb


def row(ratio: NDArray, pb: NDArray, apparent: NDArray, bright_jy: float) -> str:
    """Median of each bin of the beam, of bright sources, and of all with its error."""
    good = np.isfinite(ratio) & (pb >= BINS[-1])
    choices = [good & (pb < high) & (pb >= low) for high, low in pairwise(BINS)]
    choices.append(good & (apparent >= bright_jy))
    cells = [f"{np.median(ratio[c]):7.4f}" if c.sum() > 2 else "      -" for c in choices]
    scatter = 1.4826 * np.median(np.abs(ratio[good] - np.median(ratio[good])))
    error = 1.25 * scatter / np.sqrt(good.sum())
    return "  ".join(cells) + f"  {np.median(ratio[good]):7.4f} +- {error:.4f}"


def main() -> None:
    """Make, image, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sources", type=int, default=90)
    parser.add_argument("--array", type=int, default=3, help="every n-th station")
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
    sky = isolated(ms, arguments.sources, 30 * thermal)
    stations = len(np.union1d(axes.ant1, axes.ant2))
    print(f"{len(sky)} sources of 30 to 3000 sigma, {stations} antennas; median of measured / true")
    bins = "  ".join(f"{high:g}-{low:g}".rjust(7) for high, low in pairwise(BINS))
    print(f"{'':32s} noise  {bins}  >300sig      all")
    for name, made, options in VARIANTS:
        if arguments.only and not any(word in name for word in arguments.only):
            continue
        for noise in (0.0, one):
            data = fill(ms, work / "data.ms", sky, noise, made)
            settings = ImageOptions(backend="wsclean", pb_edge=0.25, **options)
            with quiet(work / "log.txt"):
                files, _ = image(data, work / "out", settings, sky)
            line = row(*photometry(files, sky), 300 * thermal)
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
