"""The JSON record beside every product: what made it, from what, how good it is.

Everything that differs between two runs of the same job (times, host, memory) lives under the
one key ``run``; the rest of a record is reproducible byte for byte, but for what its ``seal`` says
of Measurement Sets. Checks are in :mod:`contimg.core.checks`.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import platform
import resource
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from contimg import __version__
from contimg.core.atomic import atomic as atomic  # for those who write products and their records
from contimg.core.atomic import write_text
from contimg.core.checks import UNMADE as UNMADE
from contimg.core.checks import VERDICTS, Check, held_against, reasons, worst
from contimg.core.checks import check as check
from contimg.core.checks import inherited as inherited
from contimg.core.checks import not_made as not_made
from contimg.core.checks import only_unmade as only_unmade
from contimg.core.disk import named, no_file
from contimg.core.errors import ContimgError, DamagedError, DataQualityError
from contimg.core.hashes import file_sha256
from contimg.core.objects import read_object
from contimg.core.paths import root_of

_STARTED = time.time()
_PARTS = ("product", "stage", "reason", "checks", "data", "inputs")  # of every record
_LARGE_BYTES = 64_000_000  # a FITS file of more is known by its sums
# What the command line sets before a verb runs: the modules behind it, with their hashes.
CODE: Callable[[], Mapping[str, str]] = dict
# And the options that the verb was given, before any preset filled what is unset.
GIVEN: Callable[[], Sequence[BaseModel]] = tuple
_SOFTWARE = ("numpy", "astropy", "pyuvdata", "casatools", "python-casacore", "snakemake")


def judged(
    record: Mapping[str, Any], limits: Mapping[str, float], options: Sequence[BaseModel]
) -> dict[str, Any]:
    """`record` with the checks whose limits are options held against `limits` (leaf -> value).

    A record without such checks, one of a job that had no data for instance, stays as it is.
    """
    checks = [held_against(entry, limits) for entry in record["checks"]]
    if checks == record["checks"]:
        return dict(record)
    kept = [Check(**entry) for entry in checks]
    verdict = worst(kept)
    parameters = record["parameters"] | _parameters(options)
    return dict(record) | {
        "verdict": verdict,
        "reason": reasons(kept, verdict),
        "checks": checks,
        "parameters": parameters,
    }


def _given(options: Sequence[BaseModel]) -> dict[str, dict[str, Any]]:
    """Options as they were given, where the parameters have them otherwise (from a preset)."""
    used = _parameters(options)
    found: dict[str, dict[str, Any]] = {}
    for section, leaves in _parameters(GIVEN()).items():
        for leaf, value in leaves.items():
            if section in used and used[section].get(leaf) != value:
                found.setdefault(section, {})[leaf] = value
    return found


def _named_files(options: Sequence[BaseModel]) -> dict[str, str]:
    """``section.leaf`` -> hash of the files that options name."""
    return {
        f"{getattr(o, 'section', '')}.{leaf}": content_hash(value)
        for o in options
        for leaf in type(o).model_fields
        if isinstance(value := getattr(o, leaf), Path) and value.is_file()
    }


def _parameters(options: Sequence[BaseModel]) -> dict[str, Any]:
    return {
        getattr(o, "section", "") or type(o).__name__.lower(): o.model_dump(mode="json")
        for o in options
    }


def identify(path: str | Path) -> dict[str, Any]:
    """Identity of an input: name, size and hash; of a directory, its record.

    Of a record, size and hash are those without its ``run`` part. A large FITS file that carries
    the sums of its data (DATASUM of every part) is known by them, so that it is not read again.
    An input that is damaged, and was left out for it, is what it is: it must not cost the others.
    """
    path = Path(path)
    if path.is_dir():
        record = path.with_suffix(".json")
        return {
            "path": str(path),
            "record_sha256": content_hash(record) if record.is_file() else None,
        }
    if no_file(path):
        return {"path": str(path), "bytes": 0, "sha256": None}
    record = _without_run(path)
    if record is not None:
        return {"path": str(path), "bytes": len(record), "sha256": content_hash(path)}
    size = path.stat().st_size
    sums = _datasums(path) if size > _LARGE_BYTES and path.suffix == ".fits" else None
    if sums is not None:
        return {"path": str(path), "bytes": size, "datasum": sums}
    return {"path": str(path), "bytes": size, "sha256": content_hash(path)}


def _datasums(path: Path) -> str | None:
    """DATASUM of every part of a FITS file; None where one has none."""
    from astropy.io import fits

    with fits.open(path) as hdus:
        sums = [hdu.header.get("DATASUM") for hdu in hdus]
    return " ".join(map(str, sums)) if sums and all(sums) else None


def _placed(item: dict[str, Any], root: Path | None) -> dict[str, Any]:
    """An input as a record has it: by its place below the results, where it lies below them.

    So that results that are moved as a whole still name each other.
    """
    if root is None:
        return item
    path, top = Path(os.path.abspath(item["path"])), Path(os.path.abspath(root))
    if not path.is_relative_to(top):
        return item
    return item | {"path": path.relative_to(top).as_posix(), "below": "results"}


def input_path(item: Mapping[str, Any], record: str | Path) -> Path:
    """Where the input `item` of `record` lies now; a directory stands for its record."""
    path = Path(item["path"])
    root = root_of(record)
    if item.get("below") == "results":
        if root is None:
            raise ContimgError(f"{record}: not where a record lies below a results directory")
        path = root / path
    return path.with_suffix(".json") if "record_sha256" in item else path


def followed(content: Mapping[str, Any], record: str | Path) -> Iterator[tuple[Path, dict]]:
    """(path, content) of the records and manifests that `record` names as its inputs.

    :class:`DataQualityError` when one that lay below the results is not there any more: nobody can
    tell what it said. What came from elsewhere and is gone is left out.
    """
    for item in content["inputs"]:
        path = input_path(item, record)
        if path.suffix != ".json":
            continue
        if path.exists():
            found = _json(path)
            yield path, (parse_record(path, path.read_bytes()) if "stage" in found else found)
        elif "below" in item:
            raise DataQualityError(f"{record} was made from {path}, which is gone")


def _json(path: Path) -> dict[str, Any]:
    if why := no_file(path):
        raise DamagedError(path, why)
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, f"not readable JSON ({error})") from None
    return content if isinstance(content, dict) else {}


def _without_run(path: Path) -> bytes | None:
    """A record but for what no rerun repeats (``run``, ``seal``); None of other files.

    One that cannot be read is a file like any other.
    """
    if path.suffix != ".json":
        return None
    content = read_object(path)
    if "run" not in content:
        return None
    content.pop("run")
    content.pop("seal", None)
    return _dump(content).encode()


def content_hash(path: str | Path) -> str:
    """sha256 of a file; of a record, without its ``run`` part so that a rerun hashes alike."""
    path = Path(path)
    record = _without_run(path)
    if record is not None:
        return hashlib.sha256(record).hexdigest()
    return file_sha256(path)


def write_record(
    path: str | Path,
    *,
    product: str,
    stage: str,
    data: Mapping[str, Any],
    checks: Sequence[Check] = (),
    options: Sequence[BaseModel] = (),
    inputs: Sequence[str | Path] = (),
    reason: str = "",
    verdict: str | None = None,
) -> None:
    """Write the record of `product` atomically; its verdict is the worst of `checks`."""
    verdict = verdict or worst(checks)
    content = {
        "product": product,
        "stage": stage,
        "verdict": verdict,
        "reason": reason or reasons(checks, verdict),
        "checks": [asdict(c) for c in checks],
        "data": data,
        "parameters": _parameters(options),
        "given": _given(options),
        "files": _named_files(options),
        "inputs": [_placed(identify(p), root_of(path)) for p in inputs],
        "code": dict(CODE()),
        "software": software(),
        "run": {
            "created_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": shlex.join(sys.argv),
            "host": platform.node(),
            "wall_s": round(time.time() - _STARTED, 2),
            "cpu_s": round(sum(os.times()[:4]), 2),
            "peak_memory_mb": round(_peak_memory_mb(), 1),
        },
    }
    write_text(path, _dump(content))


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a record; :class:`ContimgError` when there is none.

    :class:`DamagedError` for one that cannot be read, has no verdict that is one, or is not as it
    was written (its ``seal``).
    """
    if why := no_file(path):
        raise DamagedError(path, why)
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        raise ContimgError(f"{path}: record not found; build it first (snakemake {path})") from None
    except OSError as error:
        named(error, path)
        raise
    return parse_record(path, text)


def parse_record(path: str | Path, text: bytes) -> dict[str, Any]:
    """The record that `text`, the content of `path`, is; else :class:`DamagedError`."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, f"not a valid record ({error})") from None
    if not isinstance(content, dict) or not isinstance(content.get("verdict"), str):
        raise DamagedError(path, "a record without a verdict")
    if missing := [key for key in _PARTS if key not in content]:
        raise DamagedError(path, f"a record without {', '.join(missing)}")
    if content["verdict"] not in VERDICTS:
        what = f"verdict {content['verdict']!r} is none of {', '.join(VERDICTS)}"
        raise DamagedError(path, what)
    seal = content.get("seal")
    if seal is not None and (not isinstance(seal, dict) or seal.get("record") != own_hash(content)):
        raise DamagedError(path, "the record is not as it was written")
    of, here = (seal or {}).get("place"), place(path)
    if of is not None and here is not None and of != here:
        raise DamagedError(path, f"the record is that of {of}")
    return content


def place(path: str | Path) -> str | None:
    """Where a record lies below the results; None where it is not below any."""
    root = root_of(path)
    return None if root is None else Path(path).relative_to(root).as_posix()


def own_hash(content: Mapping[str, Any]) -> str:
    """Hash of a record: of all but its ``run`` part and the hash itself."""
    kept = {key: value for key, value in content.items() if key != "run"}
    if isinstance(kept.get("seal"), dict):
        kept["seal"] = {k: v for k, v in kept["seal"].items() if k != "record"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def rewrite_record(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a record that has changed, with the hash of what it is now if it is sealed."""
    content = dict(content)
    if "seal" in content:
        content["seal"] = dict(content["seal"]) | {"record": own_hash(content)}
    write_text(path, _dump(content))


def require(path: str | Path) -> dict[str, Any]:
    """Read the record of an input; raise :class:`DataQualityError` when that input failed."""
    record = read_record(path)
    if record["verdict"] == "fail":
        raise DataQualityError(f"{record['product']} failed: {record['reason']}")
    return record


def software() -> dict[str, str]:
    """Versions of this package and of the libraries that decide the numbers."""
    versions = {"contimg": __version__, "python": platform.python_version()}
    for name in _SOFTWARE:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _peak_memory_mb() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) / 1024


def _dump(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=False, allow_nan=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    """JSON form of numpy scalars and arrays, and of paths."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not belong in a record")
