"""Groups are formed from the data; every file ends in a group or among the rejected."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.core.beam import InstrumentOptions
from contimg.discover.options import DiscoverOptions
from contimg.discover.scan import form_groups, read_headers, select

INSTRUMENT = InstrumentOptions(subbands=4, band_mhz=(1311.25, 1498.75))
OPTIONS = DiscoverOptions(min_subbands=3)
LENGTH = 309.24
START = 60953.5


def headers(groups: int = 3, jitter: float = 0.0, dec: float = 55.58) -> pd.DataFrame:
    """Header rows of complete groups that follow each other, names off by up to 80 s."""
    rng = np.random.default_rng(1)
    rows = []
    for group in range(groups):
        first = START + group * LENGTH / 86400
        for slot in range(4):
            low = 1311.25e6 + slot * 46.875e6
            name_mjd = first + rng.uniform(-80, 80) / 86400
            rows.append(
                {
                    "path": f"raw/g{group}_sb{3 - slot:02d}.hdf5",
                    "bytes": 100,
                    "mtime_ns": 1,
                    "reason": "",
                    "telescope": "OVRO_MMA",
                    "latitude_deg": 37.233,
                    "longitude_deg": -118.283,
                    "height_m": 1188.0,
                    "first_mjd": first + jitter * rng.uniform(-1, 1) / 86400,
                    "last_mjd": first + (LENGTH - 12.885) / 86400,
                    "n_times": 24,
                    "integration_s": 12.885,
                    "freq_min_hz": low,
                    "freq_max_hz": low + 46.875e6,
                    "n_channels": 48,
                    "tracking": "drift",
                    "dec_app_deg": dec,
                    "ra_deg": np.nan,
                    "dec_deg": np.nan,
                    "field": "",
                    "name_mjd": name_mjd,
                }
            )
    return pd.DataFrame(rows)


def formed(table, options=OPTIONS):
    groups, rejected = form_groups(table, INSTRUMENT, options)
    return {g.group: [f["path"] for f in files] for g, files in groups}, rejected


def test_names_do_not_decide():
    groups, rejected = formed(headers())
    assert len(groups) == 3 and not rejected
    for files in groups.values():
        assert len({name.split("_")[0] for name in files}) == 1
        assert files == sorted(files, reverse=True)  # sb03 is the lowest frequency


@settings(max_examples=30, deadline=None)
@given(
    order=st.permutations(range(12)),
    lost=st.sets(st.integers(0, 11), max_size=5),
    jitter=st.floats(0, 2),
)
def test_any_order_jitter_and_loss(order, lost, jitter):
    table = headers(jitter=jitter)
    kept = [i for i in order if i not in lost]
    groups, rejected = formed(table.iloc[kept])
    again, _ = formed(table.iloc[sorted(kept)])
    assert groups == again
    used = [path for files in groups.values() for path in files]
    assert sorted(used + [r.path for r in rejected]) == sorted(table.iloc[kept]["path"])
    for group in range(3):
        present = sum(4 * group <= i < 4 * group + 4 for i in kept)
        mine = [f for f in groups.values() if f[0].startswith(f"raw/g{group}")]
        assert len(mine) == (present >= 3)


def test_too_few_subbands_are_rejected_with_the_reason():
    groups, rejected = formed(headers(1).iloc[:2])
    assert not groups and "2 of 4 subbands, 3 needed" in rejected[0].reason


def test_missing_subband_keeps_the_frequency_grid():
    groups, _ = form_groups(headers(1).iloc[1:], INSTRUMENT, OPTIONS)
    group, _ = groups[0]
    assert (group.freq_min_hz, group.freq_max_hz) == (1311.25e6, 1498.75e6)


def test_duplicate_subband_later_file_wins():
    table = headers(1)
    double = table.iloc[[2]].assign(path="raw/again_sb01.hdf5", mtime_ns=2)
    groups, rejected = formed(pd.concat([table, double]))
    (files,) = groups.values()
    assert "raw/again_sb01.hdf5" in files and "raw/g0_sb01.hdf5" not in files
    assert [r.path for r in rejected] == ["raw/g0_sb01.hdf5"]


def test_impossible_times_telescopes_and_frequencies_are_rejected():
    table = headers(1)
    table.loc[0, "first_mjd"] = 55000.0
    table.loc[1, "telescope"] = "VLA"
    table.loc[2, "freq_min_hz"] += 1e6
    _, rejected = formed(table)
    reasons = {r.path: r.reason for r in rejected}
    assert "differs from that in the name" in reasons["raw/g0_sb03.hdf5"]
    assert "telescope is VLA" in reasons["raw/g0_sb02.hdf5"]
    assert "do not fit" in reasons["raw/g0_sb01.hdf5"]


def test_declinations_do_not_mix():
    both = pd.concat([headers(1), headers(1, dec=16.0).assign(path=lambda t: "b" + t["path"])])
    groups, rejected = form_groups(both, INSTRUMENT, OPTIONS)
    assert sorted(g.dec_app_deg for g, _ in groups) == [16.0, 55.58] and not rejected


def test_selection_by_day_and_group():
    groups, _ = form_groups(headers(3), INSTRUMENT, OPTIONS)
    name = groups[1][0].group
    assert [g.group for g, _ in select(groups, DiscoverOptions(groups=[name]))] == [name]
    assert not select(groups, DiscoverOptions(days=["2020-01-01"]))


def test_headers_are_read_once(tmp_path):
    bad = tmp_path / "2025-10-05T15:29:14_sb00.hdf5"
    bad.write_bytes(b"not HDF5")
    half = tmp_path / "2025-10-05T15:29:14_sb01_incomplete.hdf5"
    half.write_bytes(b"")
    files = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in (bad, half)]
    cache = tmp_path / "files.parquet"
    first = read_headers(files, cache)
    stamp = cache.stat().st_mtime_ns
    second = read_headers(files, cache)
    assert cache.stat().st_mtime_ns == stamp
    assert list(first["reason"]) == list(second["reason"])
    reasons = dict(zip(first["path"], first["reason"], strict=True))
    assert reasons[str(bad)].startswith("unreadable")
    assert reasons[str(half)] == "still being written"
