"""``contimg rewrap``: other telescopes' data as UVH5 groups named like the instrument's.

Reads anything that pyuvdata reads (UVFITS, Measurement Sets, UVH5); writes one group per scan of
one phase centre, cut to a length, and one file per subband. Nothing is averaged or flagged on the
way, nor rephased, but for centres in the frame of 1950.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.groups import group_name
from contimg.core.instrument import InstrumentOptions


class RewrapFiles(Files):
    """Input and output of a re-wrapping."""

    data: Path | None = Field(None, description="file to read (--observation if unset)")
    observation: Literal["ngc5921", "3c273"] = Field(
        "ngc5921", description="VLA observation that the casadata package carries"
    )
    out_dir: Path = Field(description="directory of the UVH5 files")
    minutes: float = Field(6.0, gt=0, description="longest group [min]")
    gap_s: float = Field(150.0, gt=0, description="a longer gap begins a new group [s]")


def run(files: RewrapFiles, instrument: InstrumentOptions) -> None:
    """Write the groups; files that are there already are left alone."""
    from pyuvdata import UVData

    source = files.data or observation_in_casadata(files.observation)
    print(f"reading {source}", flush=True)
    data = UVData()
    # pyuvdata does not know a UVFITS file by the ending .fits
    kind = "uvfits" if source.suffix == ".fits" else None
    data.read(str(source), file_type=kind, run_check=False, ignore_single_chan=False)
    to_icrs(data)
    if data.Nfreqs % instrument.subbands:
        raise ContimgError(
            f"{source}: {data.Nfreqs} channels do not divide into {instrument.subbands} subbands"
        )
    data.vis_units = data.vis_units or "uncalib"
    files.out_dir.mkdir(parents=True, exist_ok=True)
    for times, centre in cut(
        data.time_array, data.phase_center_id_array, files.minutes, files.gap_s
    ):
        group = data.select(times=times, phase_center_ids=[centre], run_check=False, inplace=False)
        names = [
            _write(group, index, instrument.subbands, files.out_dir)
            for index in range(instrument.subbands)
        ]
        field = data.phase_center_catalog[centre]["cat_name"]
        print(f"{names[0]}  {field:20s} {len(times):3d} integrations", flush=True)


def to_icrs(data) -> None:
    """Phase centres in the frame of 1950 (FK4) become the same directions in ICRS, and uvw turn.

    UVH5 readers know ICRS and FK5. The visibilities stay as they are to the arc second.
    """
    for number, centre in dict(data.phase_center_catalog).items():
        if centre["cat_frame"] not in ("fk4", "fk4noeterms"):
            continue
        there = SkyCoord(
            centre["cat_lon"],
            centre["cat_lat"],
            unit="rad",
            frame=centre["cat_frame"],
            equinox=f"B{centre['cat_epoch'] or 1950.0:.1f}",
        ).icrs
        data.phase(
            lon=there.ra.rad,
            lat=there.dec.rad,
            phase_frame="icrs",
            cat_name=centre["cat_name"],
            select_mask=data.phase_center_id_array == number,
            cleanup_old_sources=True,
            use_ant_pos=False,
        )


# NGC 5921 at 1.4 GHz in 63 channels; 3C 273 at 8.1 GHz in one, calibrated by the observers
_OBSERVATIONS = {"ngc5921": "NGC5921.fits", "3c273": "3C273XC1.fits"}


def observation_in_casadata(name: str) -> Path:
    """A VLA observation that the casadata package carries, in UVFITS."""
    import casadata

    path = Path(casadata.datapath) / "demo" / _OBSERVATIONS[name]
    if not path.exists():
        raise ContimgError(f"{path}: not in this casadata; install the locked version")
    return path


def cut(
    time_array: NDArray[np.float64], centres: NDArray[np.int64], minutes: float, gap_s: float
) -> list[tuple[NDArray[np.float64], int]]:
    """(times, phase centre) of each group: one centre, no gap, no longer than `minutes`."""
    groups = []
    pairs = sorted({(float(t), int(c)) for t, c in zip(time_array, centres, strict=True)})
    current: list[float] = []
    of: int | None = None
    for time, centre in pairs:
        if current and (
            centre != of
            or (time - current[-1]) * 86400 > gap_s
            or (time - current[0]) * 1440 >= minutes
        ):
            groups.append((np.array(current), int(of)))
            current = []
        current.append(time)
        of = centre
    groups.append((np.array(current), int(of)))
    return groups


def _write(group, index: int, subbands: int, out_dir: Path) -> str:
    """Write one subband, highest frequency first as sb00, descending inside like the instrument."""
    from astropy.time import Time

    per_file = group.Nfreqs // subbands
    order = np.argsort(group.freq_array)[::-1][index * per_file : (index + 1) * per_file]
    subband = group.select(freq_chans=np.sort(order), run_check=False, inplace=False)
    subband.reorder_freqs(channel_order="-freq", run_check=False)
    start = float(np.unique(group.time_array)[0]) - 2400000.5
    stamp = group_name(start)
    time = Time.strptime(stamp, "%Y%m%dT%H%M%S", scale="utc").isot[:19]
    name = f"{time}_sb{index:02d}.hdf5"
    target = out_dir / name
    if not target.exists():
        partial = out_dir / f"{name}.partial-{os.getpid()}"
        subband.write_uvh5(str(partial), run_check=False, clobber=True)
        os.replace(partial, target)
    return name


COMMAND = Command(
    help="Write another telescope's data as UVH5 groups for this workflow.",
    files=RewrapFiles,
    options=(InstrumentOptions,),
    run=run,
)
