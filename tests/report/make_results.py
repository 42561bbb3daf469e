"""Results of a survey as files alone: records, tables and small images of any number of days.

Nothing in them was measured: they are of the form and size of real ones, so that what reads them
can be tested and timed. Every tenth tile has a warning, every thirtieth failed.
"""

from __future__ import annotations

import csv
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from matplotlib.figure import Figure

from contimg.core.paths import path
from contimg.core.records import Check, check
from contimg.report import runs
from contimg.report.stages import STAGES
from contimg.report.status import Status
from contimg.variability.alerts import write_alerts
from contimg.variability.columns import CANDIDATES, DIP

PLAN = "0123456789"
FIRST_MJD = 60953.0  # 2025-10-05
TIER = "standard"
BEAM = {"bmaj_deg": 0.0075, "bmin_deg": 0.005, "bpa_deg": 10.0}


class Survey:
    """`days` days of `tiles` tiles in `mosaics` mosaics, `sources` sources seen once a day."""

    def __init__(
        self, results: str, *, days: int, tiles: int, mosaics: int, sources: int, pixels: int = 64
    ) -> None:
        self.results, self.days, self.tiles, self.mosaics = results, days, tiles, mosaics
        self.pixels = pixels
        self.random = np.random.default_rng(1)
        self.names = [f"J{k:06d}+5530" for k in range(sources)]
        self.ra = np.sort(self.random.uniform(0, 360, sources))
        self.dec = self.random.uniform(54.2, 56.8, sources)
        self.flux = 0.01 * self.random.pareto(1.2, sources) + 0.01
        self.rows: list[Status] = []
        self.config = {
            **{"targets": path("sky", results), "image": {"tier": TIER}, "keep_ms": "none"},
            **{"photometry_method": "image"},
        }
        self.plan: dict = {
            **{"plan": PLAN, "groups": {}, "calsets": {}, "tiles": {}, "mosaics": {}},
            **{"files": {}, "rejected": 1, "rejected_by_reason": {}},
        }

    def make(self) -> Survey:
        """Write everything."""
        for day in range(self.days):
            self.day(day)
        self.tables()
        put(path("plan", self.results, plan=PLAN), json.dumps(self.plan))
        put(path("rejected", self.results, plan=PLAN), "path,reason\nraw/<b>.hdf5,not HDF5 & odd\n")
        runs.begin(self.results, path("plan", self.results, plan=PLAN), self.config).end("done")
        self.status()
        return self

    def group(self, day: int, tile: int) -> str:
        """Name of a tile: they follow each other through the day."""
        second = int(86000 * tile / self.tiles) + 10
        date = np.datetime64("2025-10-05") + day
        clock = f"{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}"
        return f"{str(date).replace('-', '')}T{clock}"

    def day(self, day: int) -> None:
        """Records of a day."""
        groups = [self.group(day, tile) for tile in range(self.tiles)]
        calset = f"{groups[0]}_0834+555"
        self.plan["calsets"][calset] = {"group": groups[0], "calibrator": "0834+555"}
        self.calset(calset, FIRST_MJD + day)
        for tile, group in enumerate(groups):
            self.tile(group, calset, day, tile)
        for n, part in enumerate(np.array_split(np.arange(self.tiles), self.mosaics)):
            name = f"{groups[0][:8]}T{n:02d}" if self.mosaics > 1 else f"{groups[0][:8]}_0834+555"
            self.plan["mosaics"][name] = {"tiles": [groups[k] for k in part]}
            self.mosaic(name, [groups[k] for k in part], day, n)

    def calset(self, calset: str, mjd: float) -> None:
        data = {
            **{"calibrator": "0834+555", "mjd": mjd, "refant": "DSA-25", "antennas": 96},
            **{
                "antennas_solved": 94,
                "antennas_lost": ["DSA-7"],
                "snr_median": {"B": 290, "G": 880},
            },
            **{
                "flux_scale": {"source": "calibrator", "factor": 1.0 + 0.003 * self.random.normal()}
            },
        }
        self.record("cal_ms_record", "convert", "calset", calset, {})
        self.record("solutions", "solve", "calset", calset, data)
        self.record("calset_record", "inspect", "calset", calset, {})

    def tile(self, group: str, calset: str, day: int, tile: int) -> None:
        mjd = FIRST_MJD + day + tile / self.tiles
        centre = {"ra_deg": 360 * (tile + 0.5) / self.tiles, "dec_deg": 55.5}
        self.plan["groups"][group] = {
            **{"group": group, "telescope": "OVRO_MMA", "start_mjd": mjd, "end_mjd": mjd + 0.0036},
            **{"freq_min_hz": 1.311e9, "freq_max_hz": 1.498e9, **centre},
        }
        self.plan["tiles"][group] = {"calsets": [calset]}
        bad, doubtful = tile % 30 == 29, tile % 10 == 9
        self.record("ms_record", "convert", "group", group, {})
        reason = f"no calset within 24 h of {group}, nearest {20 + tile} h" if bad else ""
        self.record("calibrated_record", "apply", "group", group, {"calsets": [calset]}, reason)
        self.image(group, calset, mjd, "calset failed" if bad else "", 3.6 if doubtful else 1.1)

    def image(self, group: str, calset: str, mjd: float, reason: str, ratio: float) -> None:
        offsets = self.random.normal(0, 0.3, 2)
        field = {
            **{
                "matched": 120,
                "flux_ratio": 1 + 0.01 * self.random.normal(),
                "flux_ratio_err": 0.004,
            },
            **{"offset_east_arcsec": offsets[0], "offset_east_err_arcsec": 0.1},
            **{"offset_north_arcsec": offsets[1], "offset_north_err_arcsec": 0.1},
        }
        data = {
            **{"group": group, "mjd": mjd, "calsets": [calset], "rms_jy_beam": 1.2e-3 * ratio},
            **{"noise_ratio": ratio, "peak_jy_beam": 0.8, "bmaj_arcsec": 27.0, "bmin_arcsec": 18.0},
            **{"imsize": 1536, "cell_arcsec": 6.0, "validation": field},
            **{"sources_subtracted": [{"name": f"s{k}", "flux_jy": 0.1} for k in range(150)]},
        }
        checks = [check("rms over thermal noise", ratio, warn_above=3.0)]
        checks += [check(f"check {k}", 0.5, "", warn_above=1.0) for k in range(17)]
        self.record("image_record", "image", "group", group, {} if reason else data, reason, checks)
        if not reason:
            picture = Path(path("image_plot", self.results, group=group, tier=TIER))
            link(self.picture(), picture)
            for name in ("image", "pbcor"):
                put(path(name, self.results, group=group, tier=TIER), "")

    def mosaic(self, name: str, tiles: list[str], day: int, n: int) -> None:
        west, east = 360 * n / self.mosaics, 360 * (n + 1) / self.mosaics
        corners = [[east, 53.5], [west, 53.5], [west, 57.5], [east, 57.5]]
        middle = {"ra_deg": (west + east) / 2, "dec_deg": 55.5}
        data = {
            **{"mjd": FIRST_MJD + day + (n + 0.5) / self.mosaics, "centre": middle, "beam": BEAM},
            **{"corners_deg": corners, "area_deg2": 20.0, "rms_median_jy_beam": 9e-4},
            **{"tiles_used": tiles, "tiles_left_out": [], "peak_jy_beam": 1.0},
        }
        self.record("mosaic_record", "mosaic", "mosaic", name, data)
        self.record("mosaic_validation", "validate", "mosaic", name, {})
        inside = np.flatnonzero((self.ra >= west) & (self.ra < east))
        numbers = {"n_sources": len(inside), "n_detected": len(inside), "freq_hz": 1.405e9}
        self.record("photometry_record", "photometry", "mosaic", name, numbers)
        self.record("published_record", "publish", "mosaic", name, {})
        table = pd.DataFrame({"source": [self.names[k] for k in inside], "mosaic": name})
        table["rms_jy_beam"] = 9e-4 * (1 + 0.2 * self.random.random(len(table)))
        table.to_parquet(path("photometry", self.results, mosaic=name))
        link(self.picture(), Path(path("mosaic_plot", self.results, mosaic=name)))
        self.fits(
            Path(path("mosaic", self.results, mosaic=name)), middle, (east - west) / self.pixels
        )

    def fits(self, file: Path, middle: dict, cell: float) -> None:
        header = fits.Header()
        header["CTYPE1"], header["CTYPE2"] = "RA---SIN", "DEC--SIN"
        header["CRVAL1"], header["CRVAL2"] = middle["ra_deg"], middle["dec_deg"]
        header["CRPIX1"] = header["CRPIX2"] = self.pixels / 2
        header["CDELT1"], header["CDELT2"] = -min(cell, 0.05), min(cell, 0.05)
        header["BUNIT"], header["BMAJ"], header["BMIN"], header["BPA"] = "Jy/beam", 0.1, 0.1, 0.0
        data = self.random.normal(0, 1e-3, (self.pixels, self.pixels)).astype("f4")
        fits.writeto(file, data, header)

    def tables(self) -> None:
        """Light curves, statistics, two candidates, epochs, catalogue."""
        shape = (len(self.names), self.days)
        flux = self.flux[:, None] * (1 + 0.01 * self.random.normal(size=shape))
        error = np.broadcast_to(1e-3 + 0.01 * self.flux[:, None], shape)
        which = np.minimum((self.ra / 360 * self.mosaics).astype(int), self.mosaics - 1)
        mosaics = np.array(list(self.plan["mosaics"])).reshape(self.days, self.mosaics)
        mjd = FIRST_MJD + np.arange(self.days)[None, :] + (which[:, None] + 0.5) / self.mosaics
        rows = pd.DataFrame(
            {
                "source": np.repeat(self.names, self.days),
                "mosaic": mosaics.T[which].ravel(),
                "mjd": mjd.ravel(),
                "flux_jy": flux.ravel(),
                "flux_err_jy": error.ravel(),
                "gain": 1.0,
                "gain_err": 0.001,
                "flux_norm_jy": flux.ravel(),
                "flux_norm_err_jy": error.ravel(),
                "is_reference": np.repeat(np.arange(len(self.names)) % 3 == 0, self.days),
                "flag": np.where(np.arange(flux.size) % 17 == 16, "bad_fit", ""),
                "ra_deg": np.repeat(self.ra, self.days),
                "dec_deg": np.repeat(self.dec, self.days),
            }
        )
        folder(path("lightcurves", self.results))
        rows.to_parquet(path("lightcurves", self.results))
        self.statistics(flux)
        put(path("epochs", self.results), "mosaic,mjd,gain,status\n")
        catalogue = pd.DataFrame({"name": self.names, "ra_deg": self.ra, "dec_deg": self.dec})
        catalogue = catalogue.assign(flux_jy=self.flux, ref_freq_hz=1.4e9, spectral_index=-0.7)
        folder(path("sky", self.results))
        catalogue.to_csv(path("sky", self.results), index=False)

    def statistics(self, flux: np.ndarray) -> None:
        number = len(self.names)
        table = pd.DataFrame({"source": self.names, "ra_deg": self.ra, "dec_deg": self.dec})
        table = table.assign(n_epochs=self.days, mean_flux_jy=flux.mean(axis=1))
        table = table.assign(mean_flux_err_jy=1e-4, v=flux.std(axis=1) / flux.mean(axis=1))
        table = table.assign(eta=self.random.chisquare(self.days, number) / self.days)
        table = table.assign(p_constant=self.random.random(number), reason="")
        table = table.assign(**dict.fromkeys(("vs_max", "m_at_vs_max", "p_vs_max"), 0.5))
        table = table.assign(**dict.fromkeys(("m_debiased", "m_debiased_err", "m_upper"), 0.02))
        table = table.assign(**dict.fromkeys(DIP, np.nan))
        table["ese_false_alarm_probability"], table["ese_log_bayes_factor"] = 0.5, -3.0
        table["class"], table["list"], table["is_candidate"] = "constant", "", False
        event = {"depth": 0.4, "depth_err": 0.03, "t0_mjd": FIRST_MJD + self.days / 2}
        event |= {"t0_err_days": 0.4, "width_days": 4.0, "width_err_days": 0.5, "alpha": 5.0}
        event |= {"alpha_err": 1.0, "source_size": 0.3, "source_size_err": 0.1, "colour": 1.1}
        event |= {"minimum_flux_jy": 0.01, "minimum_flux_err_jy": 1e-4}
        event |= {"flux_fraction": 0.8, "flux_fraction_err": 0.1, "n_in_dip": 4}
        for k in range(min(2, number)):
            words = {"class": "ese", "list": "announce", "is_candidate": True}
            words |= {"ese_false_alarm_probability": 1e-6 * (k + 1), "ese_log_bayes_factor": 9.0}
            base = {"baseline_jy": self.flux[k], "baseline_err_jy": 1e-3 * self.flux[k]}
            for name, value in (event | base | words).items():
                table.loc[k, name] = value
        folder(path("sources", self.results))
        table.to_parquet(path("sources", self.results))
        found = table[table["list"] != ""].rename(columns=lambda n: n.removeprefix("ese_"))
        found = found.assign(rank=np.arange(len(found)) + 1, priority="high")
        file = Path(path("candidates", self.results))
        found[[n for n in CANDIDATES if n in found]].to_csv(file, index=False)
        last = dict.fromkeys(self.names, FIRST_MJD + self.days)
        write_alerts(found, table, last, file.with_name("alerts"))

    def record(
        self,
        name: str,
        stage: str,
        kind: str,
        item: str,
        data: dict,
        reason: str = "",
        checks: list[Check] | None = None,
    ) -> None:
        """A record, and its row of the status table."""
        checks = checks or []
        warned = [c.reason for c in checks if c.verdict == "warn"]
        verdict = "fail" if reason else "warn" if warned else "pass"
        said = reason or "; ".join(warned)
        file = path(name, self.results, **{kind: item, "tier": TIER})
        content = {"product": item, "stage": stage, "verdict": verdict, "reason": said}
        content |= {"checks": [asdict(c) for c in checks], "data": data, "inputs": []}
        content |= {"inputs": []}
        content |= {"software": {"contimg": "0.1.0", "numpy": "2.3.5"}, "run": {"created_utc": ""}}
        put(file, json.dumps(content, default=float))
        state = {"pass": "done", "warn": "warned", "fail": "failed"}[verdict]
        (made,) = [
            s for s in STAGES if (s.kind, s.name) == (kind, stage) and s.in_one_pass is not False
        ]
        job = made.job.format(**{kind: item, "tier": TIER, "day": _day(item)})
        log = path("log", self.results, rule=made.rule, job=job)
        put(log, "done\n")
        self.rows.append(Status(kind, item, stage, state, verdict, said, file, log))

    def status(self) -> None:
        """The status table."""
        self.rows.append(Status("file", "raw/<b>.hdf5", "discover", "rejected", "", "not HDF5", ""))
        table = folder(path("status", self.results))
        with table.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(asdict(self.rows[0])))
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.rows)

    def picture(self) -> Path:
        """A small picture that all previews are links to."""
        file = Path(self.results) / "picture.png"
        if not file.exists():
            folder(str(file))
            Figure(figsize=(1, 1)).savefig(file)
        return file


def _day(item: str) -> str:
    return f"{item[:4]}-{item[4:6]}-{item[6:8]}"


def folder(name: str) -> Path:
    """A path whose directory is there."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    return Path(name)


def put(name: str, text: str) -> None:
    """A text file."""
    folder(name).write_text(text)


def link(file: Path, name: Path) -> None:
    """The same file by another name."""
    name.parent.mkdir(parents=True, exist_ok=True)
    os.link(file, name)
