"""A tiny observation of one source by a perfect instrument, and what can be measured on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from astropy.coordinates import SkyCoord

from contimg.convert.command import ConvertFiles
from contimg.convert.command import run as convert
from contimg.convert.options import ConvertOptions
from contimg.core.constants import C_M_S
from contimg.core.coords import direction_cosines
from contimg.core.groups import Group, write_manifest
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import open_table, read_axes
from contimg.flag.options import FlagOptions
from contimg.simulate.command import simulate_group
from contimg.simulate.options import SimulateOptions
from contimg.simulate.schedule import schedule

INSTRUMENT = InstrumentOptions(subbands=2, band_mhz=(1311.25, 1498.75))
PERFECT = SimulateOptions(
    epochs=1,
    wide_epochs=[],
    antenna_step=8,
    outriggers=2,
    channels_per_subband=8,
    n_times=6,
    integration_s=51.5,
    noise=False,
    rfi=False,
    fringe_smearing=False,
    gain_rms=0,
    gain_drift_rms=0,
    gain_phases=False,
    delay_rms_ns=0,
    bandpass_rms=0,
    dead_antennas=[],
    raw_scale=1,
)
CORRUPTED = PERFECT.model_copy(
    update={
        "noise": True,
        "gain_rms": 0.15,
        "gain_phases": True,
        "delay_rms_ns": 8.0,
        "bandpass_rms": 0.1,
        "raw_scale": 0.01,
        "channels_per_subband": 16,
        "dead_antennas": [9],
    }
)


def sky_of(group: Group, east_deg: float, north_deg: float, flux_jy: float) -> pd.DataFrame:
    """One flat-spectrum source offset from the centre of a tile."""
    centre = SkyCoord(group.ra_deg, group.dec_deg, unit="deg")
    offsets = SkyCoord([0], [0], unit="deg").ra
    there = centre.spherical_offsets_by(
        offsets[0] + east_deg * centre.ra.unit, offsets[0] + north_deg * centre.ra.unit
    )
    return pd.DataFrame(
        {
            "name": ["A"],
            "ra_deg": [there.ra.deg],
            "dec_deg": [there.dec.deg],
            "flux_jy": [flux_jy],
            "ref_freq_hz": [1.4e9],
            "spectral_index": [0.0],
            "log_poly": [""],
            "kind": ["field"],
        }
    )


def observe(
    directory: Path,
    *,
    east_deg: float = 0.4,
    north_deg: float = -0.3,
    flux_jy: float = 2.0,
    simulate: SimulateOptions = PERFECT,
) -> tuple[Group, pd.DataFrame, Path]:
    """Simulate a group; the group, its sky and its manifest."""
    group = schedule(simulate, INSTRUMENT)[0]
    sky = sky_of(group, east_deg, north_deg, flux_jy)
    raw = directory / "raw"
    raw.mkdir(parents=True)
    entries = simulate_group(raw, group, sky, INSTRUMENT, simulate)
    manifest = directory / "manifest.json"
    write_manifest(manifest, group, entries)
    return group, sky, manifest


def converted(directory: Path, manifest: Path) -> Path:
    """The MS of a group, nothing flagged but what is invalid, no subband left out."""
    files = ConvertFiles(
        manifest=manifest, ms=directory / "tile.ms", record=directory / "tile.json"
    )
    convert(files, INSTRUMENT, ConvertOptions(max_broken_subbands=0), FlagOptions(steps=[]))
    return files.ms


def brightness(ms: Path, ra_deg: np.ndarray, dec_deg: np.ndarray) -> np.ndarray:
    """Stokes I of the dirty image at positions [Jy/beam], by direct transform, natural weight."""
    axes = read_axes(ms)
    with open_table(ms) as table:
        data, flags = table.getcol("DATA"), table.getcol("FLAG")
    stokes_i = (data[..., 0] + data[..., 1]) / 2
    good = ~flags.any(axis=-1)
    values = []
    for ra, dec in zip(np.radians(ra_deg), np.radians(dec_deg), strict=True):
        l_cos, m_cos, n_cos = direction_cosines(ra, dec, *axes.phase_center_rad)
        path = axes.uvw_m.reshape(-1, 3) @ np.array([l_cos, m_cos, n_cos - 1])
        phasor = np.exp(-2j * np.pi * path[:, None] * axes.freq_hz / C_M_S)
        values.append((stokes_i * phasor).real[good].mean())
    return np.array(values)


def check_source(ms: Path, source: pd.Series, expected_jy: float) -> None:
    """The source is where it should be and as bright as it should be, or `AssertionError`."""
    ra, dec = float(source["ra_deg"]), float(source["dec_deg"])
    step = 6 / 3600
    offsets = np.arange(-3, 4) * step
    north, east = (a.ravel() for a in np.meshgrid(offsets, offsets, indexing="ij"))
    image = brightness(ms, ra + east / np.cos(np.radians(dec)), dec + north)
    peak = int(np.argmax(image))
    offset = np.hypot(east[peak], north[peak]) * 3600
    assert offset < 1, f"peak {offset:.0f} arcsec from the source"
    ratio = image[peak] / expected_jy
    assert abs(ratio - 1) < 0.005, f"flux density {ratio:.4f} of the truth"
