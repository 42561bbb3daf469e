"""``contimg rewrap``: other telescopes' data as UVH5 groups named like the instrument's.

Reads anything that pyuvdata reads (UVFITS, Measurement Sets, UVH5); writes one group per scan of
one phase centre, cut to a length, and one file per subband. Nothing is rephased, averaged or
flagged on the way.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from contimg.core.command import Command, Files
from contimg.core.errors import ContimgError
from contimg.core.groups import group_name
from contimg.core.instrument import InstrumentOptions


class RewrapFiles(Files):
    """Input and output of a re-wrapping."""

    data: Path | None = Field(
        None, description="file to read (the VLA observation of NGC 5921 in casadata if unset)"
    )
    out_dir: Path = Field(description="directory of the UVH5 files")
    minutes: float = Field(6.0, gt=0, description="longest group [min]")
    gap_s: float = Field(150.0, gt=0, description="a longer gap begins a new group [s]")


def run(files: RewrapFiles, instrument: InstrumentOptions) -> None:
    """Write the groups; files that are there already are left alone."""
    from pyuvdata import UVData

    source = files.data or observation_in_casadata()
    print(f"reading {source}", flush=True)
    data = UVData()
    # pyuvdata does not know a UVFITS file by the ending .fits
    kind = "uvfits" if source.suffix == ".fits" else None
    data.read(str(source), file_type=kind, run_check=False)
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


def observation_in_casadata() -> Path:
    """The VLA 1.4 GHz observation of NGC 5921 that the casadata package carries."""
    import casadata

    path = Path(casadata.datapath) / "demo" / "NGC5921.fits"
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
