"""Flux densities fitted to the visibilities of a simulated tile, against the truth.

    python benchmarks/fluxfit_truth.py [--times 24] [--channels 192] [--only WORD ...] [--json FILE]

96 antennas see 233 sources of 5 mJy to 1 Jy and a calibrator of 8.8 Jy off the centre. Each line
spoils one thing in what the fit is given, or in the data. Printed: by signal to noise the number
of sources, the median of measured / true with its error, and the rms and (robust) scatter of the
pulls; then the scatter of the empty places, errors over those of a fit to the same data with
nothing unknown (Cramer-Rao), and CPU seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from fluxfit import tile_axes
from predict import CENTRE, cpu_s

from contimg.core.beam import PrimaryBeam
from contimg.core.coords import cosines_to_sky
from contimg.core.fluxfit.design import design
from contimg.core.fluxfit.normal import normal
from contimg.core.fluxfit.sweep import Arrays, model_of, parts_of
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import Axes
from contimg.photometry.tile import targets
from contimg.photometry.tile.measure import TileFit, measure_tile
from contimg.photometry.tile.options import FluxFitOptions

BEAM = PrimaryBeam(InstrumentOptions())
SEFD_JY = 6500.0
LEVELS = (5, 10, 20, 40, 100, np.inf)
FINE = 4  # parts of a channel and of an integration that the data are averaged from


def observation(times: int, channels: int) -> Axes:
    """A tile, its channels and integrations of their true widths."""
    axes = tile_axes(24)
    step = 24 // times
    freq = axes.freq_hz.reshape(channels, -1).mean(axis=1)
    ra, dec = axes.pointing_rad
    return dataclasses.replace(
        axes,
        mjd=axes.mjd[::step],
        uvw_m=axes.uvw_m[::step],
        pointing_rad=(ra[::step], dec[::step]),
        freq_hz=freq,
        width_hz=float(np.diff(freq).mean()),
        integration_s=12.885,
    )


def sky(seed: int = 3, count: int = 233) -> pd.DataFrame:
    """Sources with N(>S) ~ S^-0.9 within 1.3 degrees, none near another, and the calibrator."""
    rng = np.random.default_rng(seed)
    places: list[np.ndarray] = []
    while len(places) < count:
        place = np.radians(rng.uniform(-1.3, 1.3, 2))
        near = [np.hypot(*(place - other)) < np.radians(120 / 3600) for other in places]
        if np.hypot(*place) < np.radians(1.3) and not any(near):
            places.append(place)
    low, high = 0.005**-0.9, 1.0**-0.9
    flux = (low - rng.random(count) * (low - high)) ** (-1 / 0.9)
    flux[0] = 8.8
    places[0] = np.radians([0.21, 0.24])
    ra, dec = cosines_to_sky(*np.array(places).T, *CENTRE)
    return pd.DataFrame(
        {
            "name": [f"s{k:03d}" for k in range(count)],
            "ra_deg": np.degrees(ra),
            "dec_deg": np.degrees(dec),
            "flux_jy": flux,
            "ref_freq_hz": 1.4e9,
            "spectral_index": np.r_[-0.2, rng.normal(-0.7, 0.2, count - 1)],
            "log_poly": "",
            "major_arcsec": np.nan,
        }
    )


@dataclasses.dataclass
class Case:
    """One line: what is true, what the fit is told, what happens to the data."""

    name: str
    truth: Callable[[pd.DataFrame], pd.DataFrame] = lambda sky: sky
    catalog: Callable[[pd.DataFrame], pd.DataFrame] = lambda sky: sky
    flags: Callable[[Axes, np.ndarray], None] = lambda axes, weight: None
    beam: PrimaryBeam = BEAM  # the true one
    gain_error: float = 0.0
    options: dict = dataclasses.field(default_factory=dict)


def _without(rows: Callable[[pd.DataFrame], pd.Series]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda sky: sky[~rows(sky)].reset_index(drop=True)


def _twentieth(sky: pd.DataFrame) -> pd.Series:
    faint = sky.index[(sky["flux_jy"] < 0.35)]
    chosen = np.random.default_rng(9).choice(faint, len(sky) // 20, replace=False)
    return sky.index.to_series().isin(chosen)


def _wrong_fluxes(sky: pd.DataFrame) -> pd.DataFrame:
    factor = np.random.default_rng(8).choice([0.5, 2.0], len(sky))
    return sky.assign(flux_jy=sky["flux_jy"] * factor)


def _moved(sky: pd.DataFrame) -> pd.DataFrame:
    angle = np.random.default_rng(7).uniform(0, 2 * np.pi, len(sky))
    return sky.assign(
        ra_deg=sky["ra_deg"] + 3 / 3600 * np.sin(angle) / np.cos(np.radians(sky["dec_deg"])),
        dec_deg=sky["dec_deg"] + 3 / 3600 * np.cos(angle),
    )


def _bright_outside(sky: pd.DataFrame) -> pd.DataFrame:
    ra, dec = cosines_to_sky(*np.radians([1.2, -1.6]), *CENTRE)
    far = sky.iloc[[1]].assign(
        name="far", ra_deg=np.degrees(ra), dec_deg=np.degrees(dec), flux_jy=2.0
    )
    return pd.concat([sky, far], ignore_index=True)


def _sized(sky: pd.DataFrame) -> pd.DataFrame:
    """The brightest fainter than 0.5 Jy and three more are 10 arcsec in size."""
    rows = sky.index[(sky["flux_jy"] < 0.5) & (sky["flux_jy"] > 0.03)][:4]
    width = np.where(sky.index.isin(rows), 10.0, np.nan)
    return sky.assign(major_arcsec=width, minor_arcsec=width, pa_deg=0.0)


def _pairs(sky: pd.DataFrame) -> pd.DataFrame:
    """Twenty sources get a companion half a beam (17 arcsec) away, of half their flux density."""
    some = sky[(sky["flux_jy"] > 0.01) & (sky["flux_jy"] < 0.5)].iloc[:20]
    twins = some.assign(
        name=some["name"] + "b", dec_deg=some["dec_deg"] + 17 / 3600, flux_jy=some["flux_jy"] / 2
    )
    return pd.concat([sky, twins], ignore_index=True)


def _dead(axes: Axes, weight: np.ndarray) -> None:
    dead = np.isin(axes.ant1, [5, 20, 50, 70, 88]) | np.isin(axes.ant2, [5, 20, 50, 70, 88])
    weight[:, dead] = 0


def _third(axes: Axes, weight: np.ndarray) -> None:
    weight[..., weight.shape[-1] // 3 : 2 * weight.shape[-1] // 3] = 0


NARROW = PrimaryBeam(InstrumentOptions(dish_diameter_m=4.65 / 0.97))
CASES = [
    Case("complete catalogue"),
    Case("a twentieth of the sources missing", catalog=_without(_twentieth)),
    Case("all below 10 mJy missing", catalog=_without(lambda sky: sky["flux_jy"] < 0.01)),
    Case("flux densities wrong by two", catalog=_wrong_fluxes),
    Case("positions off by 3 arcsec", catalog=_moved),
    Case("2 Jy two degrees away", truth=_bright_outside, catalog=_bright_outside),
    Case("2 Jy two degrees away, not known", truth=_bright_outside),
    Case("five dead antennas", flags=_dead),
    Case("a third of the band flagged", flags=_third),
    Case("beam 3 % narrower than assumed", beam=NARROW),
    Case("four sources of 10 arcsec, known", truth=_sized, catalog=_sized),
    Case("four sources of 10 arcsec, unknown", truth=_sized),
    Case("20 pairs half a beam apart", truth=_pairs, catalog=_pairs),
    Case("gains wrong by 3e-4", gain_error=3e-4),
]


def observed(case: Case, truth: pd.DataFrame, axes: Axes) -> Arrays:
    """Data: averaged from finer channels and integrations, noise, gains, flags."""
    rng = np.random.default_rng(5)
    noise = SEFD_JY / np.sqrt(2 * axes.width_hz * axes.integration_s) / np.sqrt(2)
    gains = np.ones((96, axes.freq_hz.size), complex)
    gains += case.gain_error * (rng.normal(size=gains.shape) + 1j * rng.normal(size=gains.shape))
    response = (gains[axes.ant1] * gains[axes.ant2].conj()).astype(np.complex64)
    model = design(truth, case.beam, axes, unit_hz=1.4e9, fine_jy=0.0)
    data = np.empty((*axes.shape, axes.freq_hz.size), np.complex64)
    for t, sky_visibilities in enumerate(model_of(model, truth["flux_jy"].to_numpy())):
        scatter = rng.standard_normal(size=(2, *sky_visibilities.shape), dtype=np.float32)
        data[t] = sky_visibilities * response + noise * (scatter[0] + 1j * scatter[1])
    weight = np.full(data.shape, 1 / noise**2, np.float32)
    weight[:, axes.ant1 == axes.ant2] = 0
    weight[rng.random(weight.shape) < 0.02] = 0
    case.flags(axes, weight)
    return Arrays(data, weight)


def cramer_rao(truth: pd.DataFrame, axes: Axes, blocks: Arrays) -> pd.Series:
    """Errors of a fit of exactly the true sources, by name [Jy]."""
    model = design(truth, BEAM, axes, unit_hz=1.4e9)
    matrix = normal(model, blocks, parts_of(axes.freq_hz.size, 1), stride=2)[0]
    return pd.Series(np.sqrt(np.diagonal(np.linalg.inv(matrix))), truth["name"].to_numpy())


def result_of(fitted: TileFit, truth: pd.DataFrame, bound: pd.Series) -> dict:
    """Statistics of the targets that are in the truth by themselves."""
    table = fitted.table.iloc[: len(fitted.solution.flux_jy)]
    error = np.sqrt(np.diagonal(fitted.covariance))
    # at 1.4 GHz, where the truth is given
    to_truth = (1.4e9 / fitted.model.unit_hz) ** table["spectral_index"].to_numpy()
    found = pd.DataFrame({"flux": fitted.solution.flux_jy * to_truth, "error": error * to_truth})
    target = (table["role"] == targets.TARGET).to_numpy()
    found = found[target].set_index(table["name"][target])
    found["true"] = truth.set_index("name")["flux_jy"].reindex(found.index)
    found["bound"] = bound.reindex(found.index)
    pull = (found["flux"] - found["true"]) / found["error"]
    level = found["true"] / found["error"]
    rows = []
    for low, high in pairwise(LEVELS):
        chosen = (level >= low) & (level < high)
        ratio = (found["flux"] / found["true"])[chosen]
        p = pull[chosen]
        rows.append(
            {
                "snr": [low, None if np.isinf(high) else high],
                "sources": int(chosen.sum()),
                "median": float(ratio.median()),
                "median_error": float(
                    1.2533
                    * (found["error"] / found["true"])[chosen].median()
                    / np.sqrt(max(chosen.sum(), 1))
                ),
                "pull_rms": float(np.sqrt((p**2).mean())),
                "pull_robust": float(1.4826 * np.median(np.abs(p - p.median()))) if len(p) else 0,
            }
        )
    return {
        "bins": rows,
        "null_scatter": fitted.null_scatter,
        "error_over_bound": float((found["error"] / found["bound"]).median()),
        "confusion_f2": fitted.confusion_f2,
        "noise": fitted.natural_noise,
        "new": int((table["role"] == targets.NEW).sum()),
        "components": int((table["role"] == targets.COMPONENT).sum()),
    }


def main() -> None:
    """Run the cases, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=24, help="a divisor of 24")
    parser.add_argument("--channels", type=int, default=192, help="a divisor of 192")
    parser.add_argument("--only", nargs="*", help="cases whose names hold one of these words")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    axes = observation(arguments.times, arguments.channels)
    heads = [f"{low:g}-{high:g}" for low, high in pairwise(LEVELS)]
    print(f"{'':36s}" + "".join(h.rjust(34) for h in heads) + "   nulls  error/CR  new+comp  CPU s")
    results = {}
    for case in CASES:
        if arguments.only and not any(word in case.name for word in arguments.only):
            continue
        truth = case.truth(sky())
        blocks = observed(case, truth, axes)
        catalog = case.catalog(sky()).assign(standard="")
        start, wall = cpu_s(), time.perf_counter()
        with tempfile.TemporaryDirectory() as scratch:
            fitted = measure_tile(
                axes, blocks, catalog, BEAM, FluxFitOptions(**case.options), Path(scratch)
            )
        cpu, wall = cpu_s() - start, time.perf_counter() - wall
        result = result_of(fitted, truth, cramer_rao(truth, axes, blocks))
        results[case.name] = result | {"cpu_s": cpu, "wall_s": wall, "rounds": fitted.rounds}
        cells = [
            f"{r['sources']:4d} {r['median']:.4f}({r['median_error']:.4f}) {r['pull_rms']:5.2f}"
            f" ({r['pull_robust']:.2f})".rjust(34)
            for r in result["bins"]
        ]
        print(
            f"{case.name:36s}{''.join(cells)}   {result['null_scatter']:.2f}"
            f"     {result['error_over_bound']:.3f}     {result['new']:3d}+{result['components']}"
            f"   {cpu:6.1f}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
