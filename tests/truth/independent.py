"""A second simulator: an array, a beam and phases that share no code with the workflow.

Positions come from astropy's true equator and equinox of date, the array is a T of its own, the
beam is the Airy pattern of a dish of any size, and files are written item by item as the memo
on UVH5 (version 0.1) has them. What an instrument may do wrong is a field of :class:`Fault`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from astropy import units as u
from astropy.coordinates import TETE, EarthLocation, SkyCoord
from astropy.time import Time
from scipy.special import jv

from contimg.core.groups import Group, group_name, write_manifest

SITE = EarthLocation.from_geodetic(-118.2834 * u.deg, 37.2334 * u.deg, 1188 * u.m)
CALIBRATOR = SkyCoord(216.7539, 23.8012, unit="deg")  # between the pixels of any image
START = Time("2025-11-03T12:00:00", scale="utc")
BAND_HZ = (1311.25e6, 1498.75e6)
LIGHT = 299_792_458.0
SEFD_JY = 6500.0


@dataclass(frozen=True)
class Instrument:
    """What observes. Every `step`-th dish of the arms is there; 96 dishes for (1, 14)."""

    step: int = 3
    outriggers: int = 6
    subbands: int = 2
    channels: int = 32  # of a subband
    times: int = 12
    integration_s: float = 25.77
    seed: int = 5


@dataclass(frozen=True)
class Fault:
    """What goes wrong in one observation; nothing by default."""

    dish_m: float = 4.65  # true diameter that makes the beam
    gain: float = 1.0  # of every antenna's voltage
    antenna_gain: tuple[int, float] = (0, 1.0)
    dead: int | None = None
    swapped: tuple[int, int] | None = None  # places in the file of two antennas
    subband_gain: tuple[int, float] = (0, 1.0)  # of a subband's power
    late: int = 0  # integrations that the time tags are late by
    moved: tuple[int, float] = (0, 0.0)  # metres east of where the file says an antenna is
    feeds_swapped: int | None = None  # an antenna whose cables of the two feeds are exchanged
    pointing_deg: float = 0.0  # all dishes point north of where they should
    polarised: float = 0.0  # of the calibrator, along the first feed
    screen_deg: float = 0.0  # rms phase of every antenna, another one in each observation
    noise: bool = True


NONE = Fault()


def dishes(instrument: Instrument) -> np.ndarray:
    """East, north, up of the dishes [m]."""
    random = np.random.default_rng(77)
    east = np.cumsum(np.r_[-210.0, random.choice([5.75, 5.75, 5.75, 11.5], 46)])
    north = np.cumsum(np.r_[8.6, np.full(34, 8.66)])
    arms = [(e, 0.0, 0.0) for e in east[:: instrument.step]]
    arms += [(2.0, n, 0.0) for n in north[:: instrument.step]]
    angle = np.arange(14) * 2.39996
    radius = 500 + 55 * np.arange(14)
    far = np.stack([radius * np.cos(angle), radius * np.sin(angle), 3 * np.sin(3 * angle)], axis=1)
    return np.concatenate([arms, far[np.linspace(0, 13, instrument.outriggers).astype(int)]])


def equatorial(enu: np.ndarray) -> np.ndarray:
    """x to the meridian on the equator, y east, z to the pole, of east, north, up."""
    lat = SITE.lat.rad
    east, north, up = enu.T
    return np.stack(
        [np.cos(lat) * up - np.sin(lat) * north, east, np.sin(lat) * up + np.cos(lat) * north],
        axis=1,
    )


def of_date(ra_deg, dec_deg, time: Time) -> tuple[np.ndarray, np.ndarray]:
    """Hour angle and apparent declination [rad] of ICRS positions."""
    place = SkyCoord(ra_deg, dec_deg, unit="deg").transform_to(TETE(obstime=time, location=SITE))
    sidereal = time.sidereal_time("apparent", longitude=SITE.lon)
    return (sidereal - place.ra).wrap_at(180 * u.deg).rad, place.dec.rad


def transit_group(instrument: Instrument, offset_s: float = 0.0, declination_deg=0.17) -> Group:
    """The group whose middle is `offset_s` after the calibrator's transit."""
    middle = START
    for _ in range(4):
        hour_angle, dec = of_date(CALIBRATOR.ra.deg, CALIBRATOR.dec.deg, middle)
        middle = middle - float(hour_angle) / (2 * np.pi) * 86164.09 * u.s
    middle = middle + offset_s * u.s
    length = instrument.times * instrument.integration_s / 86400
    pointing = float(np.degrees(dec)) + declination_deg
    ra, at = _on_meridian(pointing, middle)
    start = middle.mjd - length / 2
    return Group(
        group=group_name(start + instrument.integration_s / 2 / 86400),
        telescope="OVRO_MMA",
        latitude_deg=SITE.lat.deg,
        longitude_deg=SITE.lon.deg,
        height_m=SITE.height.to_value("m"),
        start_mjd=start,
        end_mjd=start + length,
        integration_s=instrument.integration_s,
        n_times=instrument.times,
        tracking="drift",
        dec_app_deg=pointing,
        ra_deg=ra,
        dec_deg=at,
        field="",
        freq_min_hz=BAND_HZ[0],
        freq_max_hz=BAND_HZ[1],
        subbands=instrument.subbands,
    )


def _on_meridian(dec_app_deg: float, time: Time) -> tuple[float, float]:
    """ICRS place [deg] that transits at an apparent declination."""
    sidereal = time.sidereal_time("apparent", longitude=SITE.lon)
    frame = TETE(obstime=time, location=SITE)
    place = SkyCoord(sidereal, dec_app_deg * u.deg, frame=frame).transform_to("icrs")
    return float(place.ra.deg), float(place.dec.deg)


def beam(offset_rad: np.ndarray, freq_hz: np.ndarray, dish_m: float) -> np.ndarray:
    """Airy pattern of a dish, power."""
    x = np.pi * dish_m * freq_hz / LIGHT * np.sin(offset_rad) + 1e-9
    return (2 * jv(1, x) / x) ** 2


def _turned(vectors: np.ndarray, angle: float) -> np.ndarray:
    """Vectors in the frame of :func:`equatorial` after the sky has turned by `angle` [rad]."""
    x, y, z = vectors.T
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x + sin * y, -sin * x + cos * y, z], axis=1)


def visibilities(
    instrument: Instrument,
    group: Group,
    sky: pd.DataFrame,
    freq_hz: np.ndarray,
    width_hz: float,
    fault: Fault,
) -> np.ndarray:
    """V_pq = <conj(E_p) E_q> of the sky, (time, baseline, channel), autos included [Jy]."""
    places = dishes(instrument)
    places[fault.moved[0], 0] += fault.moved[1]
    xyz = equatorial(places)
    second, first = np.tril_indices(len(xyz))
    pointing = np.radians(group.dec_app_deg)
    centre = np.array([np.cos(pointing), 0, np.sin(pointing)])
    aimed = pointing + np.radians(fault.pointing_deg)
    aim = np.array([np.cos(aimed), 0, np.sin(aimed)])
    index = sky["spectral_index"].to_numpy()[:, None]
    flux = sky["flux_jy"].to_numpy()[:, None] * (freq_hz / 1.4e9) ** index
    size = np.radians(sky["size_arcsec"].to_numpy() / 3600) if "size_arcsec" in sky else None
    out = np.empty((group.n_times, first.size, freq_hz.size), np.complex64)
    for number in range(group.n_times):
        mid = group.start_mjd + (number + 0.5 - fault.late) * group.integration_s / 86400
        hour, dec = of_date(
            sky["ra_deg"].to_numpy(), sky["dec_deg"].to_numpy(), Time(mid, format="mjd")
        )
        to = np.stack([np.cos(dec) * np.cos(hour), -np.cos(dec) * np.sin(hour), np.sin(dec)], 1)
        chord = np.linalg.norm(to - aim, axis=1)
        apparent = flux * beam(2 * np.arcsin(chord / 2)[:, None], freq_hz, fault.dish_m)
        turns = (to - centre) @ xyz.T / LIGHT  # (source, antenna) seconds
        delay = turns[:, second] - turns[:, first]
        # the sky and the centre turn together: so does the pair of a source and its delay
        half = 7.2921e-5 * group.integration_s / 2
        ahead, behind = (_turned(to - centre, s * half) @ xyz.T / LIGHT for s in (1, -1))
        rate = (ahead - behind)[:, second] - (ahead - behind)[:, first]
        smear = np.sinc(width_hz * delay)
        for channel, freq in enumerate(freq_hz):
            phasor = np.exp(2j * np.pi * freq * turns)
            each = phasor[:, second] * phasor[:, first].conj() * smear * np.sinc(freq * rate)
            if size is not None and (size > 0).any():
                length = np.linalg.norm(np.cross(xyz[second] - xyz[first], centre), axis=1)
                scale = (np.pi * size[:, None] * length * freq / LIGHT) ** 2 / (4 * np.log(2))
                each = each * np.exp(-scale)
            out[number, :, channel] = apparent[:, channel] @ each
    return out


def gains(instrument: Instrument, group: Group, freq_hz: np.ndarray, fault: Fault) -> np.ndarray:
    """Voltage gains (antenna, feed, channel)."""
    n = len(dishes(instrument))
    random = np.random.default_rng(instrument.seed)
    size, phase, delay = (random.normal(size=(n, 2)) for _ in range(3))
    wave = random.uniform(0, 2 * np.pi, (n, 2))
    x = (freq_hz - 1405e6) / 187.5e6
    ripple = 1 + 0.1 * np.sin(2 * np.pi * 1.5 * x + wave[..., None])
    turn = 3 * phase[..., None] + 2 * np.pi * 6e-9 * delay[..., None] * (freq_hz - 1405e6)
    result = 0.1 * (1 + 0.12 * size[..., None]) * ripple * np.exp(1j * turn) * fault.gain
    screen = np.random.default_rng(int(group.start_mjd * 1e4)).normal(size=n)
    result *= np.exp(1j * np.radians(fault.screen_deg) * screen)[:, None, None]
    result[fault.antenna_gain[0]] *= fault.antenna_gain[1]
    if fault.dead is not None:
        result[fault.dead] = 0
    return result


def observe(
    directory: Path,
    instrument: Instrument,
    group: Group,
    sky: pd.DataFrame,
    fault: Fault = NONE,
) -> Path:
    """Write the files of one group; its manifest."""
    raw = directory / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    n = instrument.subbands * instrument.channels
    width = (BAND_HZ[1] - BAND_HZ[0]) / n
    freq = (BAND_HZ[1] - (np.arange(n) + 0.5) * width).reshape(instrument.subbands, -1)
    random = np.random.default_rng([instrument.seed, int(group.start_mjd * 1e5)])
    second, first = np.tril_indices(len(dishes(instrument)))
    entries = []
    for subband, channels in enumerate(freq):
        true = visibilities(instrument, group, sky, channels, width, fault)
        data = np.repeat(true[..., None], 2, axis=-1)
        if fault.polarised:
            source = visibilities(instrument, group, sky[:1], channels, width, fault)
            data += fault.polarised * source[..., None] * [1, -1]
        if fault.feeds_swapped is not None:  # unlike feeds see nothing in common
            data[:, (first == fault.feeds_swapped) != (second == fault.feeds_swapped)] = 0
        if fault.noise:
            sigma = SEFD_JY / np.sqrt(2 * width * group.integration_s)
            data = data + sigma * (random.normal(size=(*data.shape, 2)) @ [1, 1j])
        g = gains(instrument, group, channels, fault)
        data *= (g[first].conj() * g[second]).transpose(0, 2, 1)
        if subband == fault.subband_gain[0]:
            data *= fault.subband_gain[1]
        path = raw / f"{group.group}_sb{subband:02d}.hdf5"
        _write(path, instrument, group, channels, width, data.astype(np.complex64), fault)
        edges = (float(channels.min() - width / 2), float(channels.max() + width / 2))
        entry = {"path": str(path), "bytes": path.stat().st_size}
        entries.append(entry | {"freq_min_hz": edges[0], "freq_max_hz": edges[1]})
    write_manifest(directory / "manifest.json", group, entries[::-1])
    return directory / "manifest.json"


def _write(path, instrument, group, freq, width, data, fault) -> None:
    """One subband file."""
    enu = dishes(instrument)
    xyz = equatorial(enu)
    second, first = np.tril_indices(len(enu))
    dec = np.radians(group.dec_app_deg)
    x, y, z = (xyz[second] - xyz[first]).T
    uvw = np.stack([y, np.cos(dec) * z - np.sin(dec) * x, np.cos(dec) * x + np.sin(dec) * z], 1)
    told = xyz.copy()
    if fault.swapped is not None:
        told[list(fault.swapped)] = xyz[list(fault.swapped)[::-1]]
    lon = SITE.lon.rad
    turn = np.array([[np.cos(lon), -np.sin(lon), 0], [np.sin(lon), np.cos(lon), 0], [0, 0, 1]])
    mids = group.start_mjd + (np.arange(group.n_times) + 0.5) * group.integration_s / 86400
    times = Time(mids, format="mjd", scale="utc")
    n_base = first.size
    rows = group.n_times * n_base
    items = {
        "latitude": SITE.lat.deg,
        "longitude": SITE.lon.deg,
        "altitude": SITE.height.to_value("m"),
        "telescope_name": np.bytes_(group.telescope),
        "instrument": np.bytes_("DSA"),
        "object_name": np.bytes_("search"),
        "history": np.bytes_("second simulator"),
        "vis_units": np.bytes_("uncalib"),
        "phase_type": np.bytes_("drift"),
        "phase_center_app_dec": dec,
        "Nants_telescope": len(enu),
        "Nants_data": len(enu),
        "Nbls": n_base,
        "Ntimes": group.n_times,
        "Nblts": rows,
        "Nfreqs": freq.size,
        "Npols": 2,
        "Nspws": 1,
        "spw_array": np.array([1]),
        "channel_width": width,
        "freq_array": freq[None],
        "polarization_array": np.array([-5, -6]),
        "antenna_names": np.array([str(k + 1) for k in range(len(enu))], dtype="S4"),
        "antenna_numbers": np.arange(len(enu)),
        "antenna_positions": told @ turn.T,
        "antenna_diameters": np.full(len(enu), 4.65),
        "ant_1_array": np.tile(first, group.n_times),
        "ant_2_array": np.tile(second, group.n_times),
        "time_array": np.repeat(times.jd, n_base),
        "integration_time": np.full(rows, group.integration_s),
        "lst_array": np.repeat(times.sidereal_time("apparent", longitude=SITE.lon).rad, n_base),
        "uvw_array": np.tile(uvw.astype(np.float32), (group.n_times, 1)),
    }
    with h5py.File(path, "w") as file:
        for name, value in items.items():
            file[f"Header/{name}"] = value
        extra = file.create_group("Header/extra_keywords")
        extra["phase_center_dec"], extra["ha_phase_center"] = dec, 0.0
        extra["phase_center_epoch"] = np.bytes_("HADEC")
        file["Data/visdata"] = data.reshape(rows, 1, freq.size, 2)
        file["Data/flags"] = np.zeros((rows, 1, freq.size, 2), bool)
        file["Data/nsamples"] = np.full((rows, 1, freq.size, 2), 96, np.float32)


def field(
    n: int, seed: int = 1, radius_deg: float = 1.3, flux_jy=(0.006, 1.0), calibrator_jy: float = 5.0
) -> pd.DataFrame:
    """A calibrator, CAL, and `n` sources about it, none nearer than 4 arcmin to another."""
    random = np.random.default_rng(seed)
    places = [(0.0, 0.0)]
    while len(places) <= n:
        new = radius_deg * np.sqrt(random.uniform()) * np.exp(2j * np.pi * random.uniform())
        if all(abs(complex(*p) - new) > 4 / 60 for p in places):
            places.append((new.real, new.imag))
    east, north = np.array(places).T
    slope = 0.9
    part = random.uniform((flux_jy[0] / flux_jy[1]) ** slope, 1, n)
    dec = CALIBRATOR.dec.deg + north
    return pd.DataFrame(
        {
            "name": ["CAL", *(f"S{k:03d}" for k in range(n))],
            "ra_deg": CALIBRATOR.ra.deg + east / np.cos(np.radians(dec)),
            "dec_deg": dec,
            "flux_jy": [calibrator_jy, *(flux_jy[0] * part ** (-1 / slope))],
            "ref_freq_hz": 1.4e9,
            "spectral_index": [-0.3, *random.normal(-0.7, 0.2, n)],
            "log_poly": "",
            "kind": "field",
        }
    )


def changed(fault: Fault = NONE, **what) -> Fault:
    """`fault` with other values."""
    return dataclasses.replace(fault, **what)
