"""What a VOTable declares, looked at before anything of it is believed."""

from __future__ import annotations

import math
import re
from pathlib import Path

from contimg.core.errors import ContimgError

# an element up to its end, with > inside quotes
_ELEMENT = rb"<(?:[\w.-]+:)?%s\b(?:[^>\"']|\"[^\"]*\"|'[^']*')*>?"
_BYTES = {
    "boolean": 1,
    "bit": 1,
    "unsignedByte": 1,
    "short": 2,
    "int": 4,
    "long": 8,
    "char": 1,
    "unicodeChar": 4,
    "float": 4,
    "double": 8,
    "floatComplex": 8,
    "doubleComplex": 16,
}
_ENCODINGS = {b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1"}
_FREE_BYTES = 64_000_000  # declared memory that needs no proof
_INFLATION = 100  # declared memory over the size of the file, at most


def check_votable(path: Path) -> None:
    """Raise :class:`ContimgError` if `path` must not be given to a reader.

    Refused are data outside the file (``<STREAM href=...>``), document types (whose entities may
    grow without bound or read files), unusual encodings (which would hide both), more than one
    table, and rows or cells that the file has no room for.
    """
    raw = path.read_bytes()
    head = raw[:400].lstrip()
    if not head.startswith(b"<") or b"\0" in head:
        raise ContimgError(f"{path}: not a VOTable (XML, in UTF-8)")
    encoding = re.search(rb"<\?xml[^>]*encoding\s*=\s*[\"']([^\"']+)", head)
    if encoding and encoding[1].lower() not in _ENCODINGS:
        raise ContimgError(f"{path}: encoding {encoding[1].decode('latin1')}; save it as UTF-8")
    if re.search(rb"<!(?:DOCTYPE|ENTITY)\b", raw):
        raise ContimgError(f"{path}: has a document type (<!DOCTYPE>); remove it")
    for stream in re.findall(_ELEMENT % b"STREAM", raw):
        if _attribute(stream, "href"):
            raise ContimgError(
                f"{path}: its rows are elsewhere ({_attribute(stream, 'href')[:80]}), which is not"
                " followed; save the table with its rows inside"
            )
    tables = re.findall(_ELEMENT % b"TABLE", raw)
    if len(tables) != 1:
        raise ContimgError(f"{path}: holds {len(tables)} tables; save the one that is meant alone")
    _check_size(path, raw, tables[0])


def _check_size(path: Path, raw: bytes, table: bytes) -> None:
    written = len(re.findall(rb"<(?:[\w.-]+:)?TR\b", raw))
    declared = _attribute(table, "nrows")
    if declared and not declared.isdigit():
        raise ContimgError(f"{path}: nrows is {declared[:40]!r}, not a number")
    rows = max(int(declared or 0), written)
    width = sum(_width(element) for element in re.findall(_ELEMENT % b"FIELD", raw))
    if rows > len(raw) or rows * width > max(_FREE_BYTES, _INFLATION * len(raw)):
        raise ContimgError(
            f"{path}: declares {rows:g} rows of {width:g} bytes in a file of {len(raw)} bytes;"
            " broken: get it anew"
        )


def _width(element: bytes) -> int:
    """Bytes of a cell, as declared; of variable lengths their upper limit."""
    size = _attribute(element, "arraysize")
    numbers = [int(n) for n in re.findall(r"\d+", size)]
    limited = 0 if size.endswith("*") and "x" not in size else 1  # "64*" may be shorter
    return _BYTES.get(_attribute(element, "datatype"), 8) * max(1, limited * math.prod(numbers))


def _attribute(element: bytes, name: str) -> str:
    found = re.search(rb"\s%s\s*=\s*(?:\"([^\"]*)\"|'([^']*)')" % name.encode(), element)
    return "" if found is None else (found[1] or found[2] or b"").decode("utf-8", "replace")
