"""Reading tiles in windows: only the pixels that are needed, straight from the files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.core.disk import named, of_the_medium
from contimg.core.errors import ContimgError, DamagedError
from contimg.core.fits import Beam, celestial_wcs, restoring_beam

Window = tuple[int, int, int, int]  # y0, y1, x0, x1, half open


@dataclass(frozen=True)
class Plane:
    """First plane of a FITS image on disk, `shape` (ny, nx); `offset` is where its pixels begin.

    `loaded` holds the pixels of a file that is not of 32-bit floats.
    """

    path: Path
    header: fits.Header
    shape: tuple[int, int]
    offset: int
    loaded: NDArray[np.float32] | None = None

    @property
    def data(self) -> NDArray[np.floating]:
        """The pixels [y, x], mapped for the moment, in the file's byte order.

        Mapped anew each time: what has been looked at then does not stay in memory.
        """
        if self.loaded is not None:
            return self.loaded
        return np.memmap(self.path, dtype=">f4", mode="r", offset=self.offset, shape=self.shape)

    @property
    def beam(self) -> Beam | None:
        """Restoring beam of the header, None without one that could be used."""
        return restoring_beam(self.header)[0]

    @cached_property
    def wcs(self) -> WCS:
        """Celestial coordinates of the pixels."""
        wcs = celestial_wcs(self.header, self.path)
        wcs.array_shape = self.shape
        return wcs

    def read(self, window: Window) -> NDArray[np.float32]:
        """The pixels of `window`, which must lie inside, in native byte order."""
        y0, y1, x0, x1 = window
        return np.array(self.data[y0:y1, x0:x1], dtype=np.float32)


def open_plane(path: Path) -> Plane:
    """Map an image; :class:`ContimgError` when it is none or is cut short."""
    try:
        with fits.open(path, memmap=True) as hdus:
            header = hdus[0].header.copy()
            if header.get("NAXIS", 0) < 2:
                reason = " ".join(str(line) for line in header.get("HISTORY", ["no reason given"]))
                raise ContimgError(f"{path}: holds no image ({reason})")
            shape = (header["NAXIS2"], header["NAXIS1"])
            offset, loaded = int(hdus[0].fileinfo()["datLoc"]), None
            if header["BITPIX"] != -32:
                loaded = np.asarray(hdus[0].data).reshape(-1, *shape)[0].astype(np.float32)
        plane = Plane(path, header, shape, offset, loaded)
        _ = plane.data  # all of it is there
    except (OSError, ValueError, TypeError) as error:
        if of_the_medium(error):
            named(error, path)
            raise
        raise DamagedError(path, f"cannot be read as FITS ({error})") from None
    return plane
