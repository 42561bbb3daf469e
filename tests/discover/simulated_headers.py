"""Tables of headers as a scan would give them, without files."""

from __future__ import annotations

import numpy as np
import pandas as pd

from contimg.core.grouping.scan import form_groups
from contimg.core.instrument import InstrumentOptions
from contimg.discover.options import DiscoverOptions

SUBBANDS = 4
INSTRUMENT = InstrumentOptions(subbands=SUBBANDS, band_mhz=(1311.25, 1498.75))
OPTIONS = DiscoverOptions(min_subbands=3)
INTEGRATION = 12.885
TIMES = 24
LENGTH = TIMES * INTEGRATION
START = 60953.5 + 0.25 / 86400
WIDTH = 187.5e6 / SUBBANDS


def headers(
    groups: int = 3, jitter_s: float = 0.0, dec: float = 55.58, folder: str = "raw", seed: int = 1
) -> pd.DataFrame:
    """Header rows of complete groups that follow each other; names off by up to 82 s."""
    rng = np.random.default_rng(seed)
    rows = []
    for group in range(groups):
        for slot in range(SUBBANDS):
            first = START + group * LENGTH / 86400 + jitter_s * rng.uniform(0, 1) / 86400
            rows.append(
                row(
                    f"{folder}/g{group}_sb{SUBBANDS - 1 - slot:02d}.hdf5",
                    first,
                    slot,
                    dec_app_deg=dec,
                    name_mjd=first + rng.uniform(-82, 82) / 86400,
                )
            )
    return pd.DataFrame(rows)


def row(path: str, first_mjd: float, slot: int, **changes) -> dict:
    """The header of one file."""
    low = 1311.25e6 + slot * WIDTH
    return {
        "path": path,
        "bytes": 100,
        "mtime_ns": 1,
        "content": "",
        "reason": "",
        "kind": "",
        "telescope": "OVRO_MMA",
        "latitude_deg": 37.233,
        "longitude_deg": -118.283,
        "height_m": 1188.0,
        "first_mjd": first_mjd,
        "last_mjd": first_mjd + (TIMES - 1) * INTEGRATION / 86400,
        "n_times": TIMES,
        "integration_s": INTEGRATION,
        "freq_min_hz": low,
        "freq_max_hz": low + WIDTH,
        "n_channels": 48,
        "tracking": "drift",
        "dec_app_deg": 55.58,
        "ra_deg": np.nan,
        "dec_deg": np.nan,
        "field": "",
        "unprojected": False,
        "longest_m": 2600.0,
        "name_mjd": first_mjd,
    } | changes


def formed(table, options=OPTIONS, instrument=INSTRUMENT):
    """Names of the groups with the paths of their files; reasons and kinds by path."""
    groups, rejected = form_groups(table, instrument, options)
    files = {g.group: [f["path"] for f in files] for g, files in groups}
    paths = [r.path for r in rejected]
    assert len(set(paths)) == len(paths)  # nothing is rejected twice
    used = [path for mine in files.values() for path in mine]
    assert sorted(paths + used) == sorted(table["path"])  # nor lost
    return files, {r.path: r for r in rejected}


def shifted(table: pd.DataFrame, rows, seconds: float) -> pd.DataFrame:
    """The same with the data of some files at another time."""
    table = table.copy()
    for column in ("first_mjd", "last_mjd"):
        table.loc[rows, column] += seconds / 86400
    return table
