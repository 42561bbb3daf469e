"""Products as their records promise them: what is read is what was written.

A record ends with its ``seal``: size and sha256 of every product of its job, its own place below
the results, and a hash of the record itself. Products are read through :func:`verified`, which
holds them against it; a FITS file that no record speaks for is held against the sums in its header.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contimg.core.disk import named, no_file, of_the_medium
from contimg.core.errors import DamagedError
from contimg.core.hashes import file_sha256
from contimg.core.paths import records_of
from contimg.core.records import own_hash, place, read_record, rewrite_record

# casacore's readers leave their marks in the one, Snakemake the time of a directory in the other
EXEMPT = frozenset({"table.lock", ".snakemake_timestamp"})
_checked: set[tuple[str, str, str, int]] = set()  # what this process has seen to be as promised


def promise(product: Path) -> dict[str, Any]:
    """Size and hash of a product; of a directory, of all its files (but :data:`EXEMPT`)."""
    if not product.is_dir():
        return {"bytes": product.stat().st_size, "sha256": file_sha256(product)}
    whole, size = hashlib.sha256(), 0
    files = _files(product)
    for name, file in files:
        whole.update(f"{name}\0{file.stat().st_size}\0{file_sha256(file)}\n".encode())
        size += file.stat().st_size
    return {"files": len(files), "bytes": size, "sha256": whole.hexdigest()}


def seal(record: Path, products: Iterable[Path]) -> None:
    """Add to `record` what it promises of the `products` of its job.

    Where the disk does not let it, the record goes: products without a promise are none.
    """
    try:
        _seal(record, products)
    except OSError:
        with contextlib.suppress(OSError):
            record.unlink(missing_ok=True)
        raise


def _seal(record: Path, products: Iterable[Path]) -> None:
    content = read_record(record)
    content["seal"] = {
        "place": place(record),
        "products": {
            Path(os.path.relpath(product, record.parent)).as_posix(): promise(product)
            for product in products
            if product.exists()
        },
    }
    content["seal"]["record"] = own_hash(content)
    rewrite_record(record, content)


def verified(product: Path, record: Path | None = None) -> Path:
    """`product`, when it is as its `record` promises; else :class:`DamagedError`.

    Without `record` it is the one beside the product, by its path (:mod:`contimg.core.paths`). A
    record that says nothing of the product, or none at all (a file from elsewhere), promises
    nothing; a FITS file then has the sums in its header.
    """
    record = record or record_beside(product)
    promised, known_of = None, {}
    if record is not None and record.exists():
        known_of = promises(record)
        promised = known_of.get(Path(os.path.relpath(product, record.parent)).as_posix())
    if promised is None and known_of:
        raise DamagedError(product, f"its record {record} is that of other products")
    if promised is None:
        if product.suffix == ".fits" and product.is_file():
            _check_sums(product)
        return product
    if not product.exists():
        raise DamagedError(product, "it is gone")
    known = (str(product), str(promised["sha256"]), *_stamp(product))
    if known not in _checked:
        if why := difference(product, promised):
            raise DamagedError(product, why)
        _checked.add(known)
    return product


def record_beside(product: Path) -> Path | None:
    """The record of a product that is there: of several that promise it the one written last."""
    there = [record for record in records_of(product) if record.exists()]
    if len(there) > 1:
        name = Path(os.path.relpath(product, there[0].parent)).as_posix()
        promising = [record for record in there if name in promises(record)]
        there = sorted(promising, key=lambda r: r.stat().st_mtime_ns, reverse=True) or there
    return there[0] if there else None


def promises(record: Path) -> dict[str, dict[str, Any]]:
    """What a record promises, by the names of products relative to its folder."""
    return read_record(record).get("seal", {}).get("products", {})


def difference(product: Path, promised: dict[str, Any]) -> str:
    """In what a product is not as promised; empty when it is."""
    if product.is_dir() != ("files" in promised):
        return no_file(product) or "not the kind of product that was written"
    if not product.is_dir() and (why := no_file(product)):
        return why
    if not product.is_dir() and (size := product.stat().st_size) != promised["bytes"]:
        return f"{size} bytes, {promised['bytes']} were written"
    try:
        found = promise(product)
    except OSError as error:
        # who may not read a product must not have it deleted
        if of_the_medium(error) or isinstance(error, PermissionError):
            named(error, product)
            raise
        return f"cannot be read ({error.strerror})"
    for key, unit in (("files", "files"), ("bytes", "bytes")):
        if found.get(key) != promised.get(key):
            return f"{found[key]} {unit}, {promised[key]} were written"
    return "" if found["sha256"] == promised["sha256"] else "its content is not what was written"


def _files(folder: Path) -> list[tuple[str, Path]]:
    found = (file for file in folder.rglob("*") if file.is_file() and file.name not in EXEMPT)
    return sorted((file.relative_to(folder).as_posix(), file) for file in found)


def _stamp(product: Path) -> tuple[str, int]:
    """Size and time of a product, by which one that was rewritten since is known."""
    files = [file for _, file in _files(product)] if product.is_dir() else [product]
    stats = [file.stat() for file in files]
    return str(sum(s.st_size for s in stats)), max((s.st_mtime_ns for s in stats), default=0)


def _check_sums(path: Path) -> None:
    """Hold a FITS file against CHECKSUM and DATASUM in its headers, where it has them."""
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyUserWarning

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", AstropyUserWarning)
        try:
            with fits.open(path) as hdus:
                summed = any("DATASUM" in hdu.header for hdu in hdus)
            if summed:
                with fits.open(path, memmap=False, checksum=True) as hdus:
                    hdus.readall()
        except (OSError, ValueError, TypeError) as error:
            if of_the_medium(error):
                named(error, path)
                raise
            raise DamagedError(path, f"cannot be read as FITS ({error})") from None
    wrong = [str(w.message) for w in said if "verification failed" in str(w.message)]
    if wrong:
        raise DamagedError(path, " ".join(" ".join(wrong).split()))
