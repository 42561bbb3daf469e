"""What is not used, and why."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Iterable

# class of reason -> what it means, in the order in which a file is looked at
KINDS = {
    "access": "cannot be listed or opened (permission, dangling link, vanished, I/O error)",
    "name": "name is not TIME_sbNN.hdf5",
    "writing": "still being written",
    "empty": "file without bytes",
    "truncated": "HDF5 file cut short",
    "unreadable": "not a UVH5 file, or a broken one",
    "antennas": "table of the antennas does not fit its numbers",
    "compression": "compressed in a way that cannot be read here",
    "reader": "reading it killed or hung the reader",
    "telescope": "of another telescope",
    "time": "impossible time",
    "date": "outside the table of the Earth's rotation (package astropy-iers-data)",
    "declination": "pointing impossible or unlike the rest of its group",
    "frequency": "frequencies do not fit the band or the other subbands",
    "times differ": "times unlike the rest of its group",
    "duplicate": "second file of a subband",
    "subbands": "group has too few subbands",
    "same name": "group begins in the same second as another one",
}


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A file that is not used, and why; `kind` is one of :data:`KINDS`."""

    path: str
    reason: str
    kind: str = ""


def rejected_csv(rejected: Iterable[Rejected]) -> str:
    """Table of the rejected files: path, reason."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", "reason"])
    writer.writerows(sorted((r.path, r.reason) for r in rejected))
    return stream.getvalue()


def counts(rejected: Iterable[Rejected]) -> dict[str, int]:
    """Number of files a class of reason, in the order of :data:`KINDS`."""
    number = Counter(r.kind for r in rejected)
    return {kind: number[kind] for kind in KINDS if number[kind]}
