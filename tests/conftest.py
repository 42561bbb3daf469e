"""Settings of all tests, and which of them stay together when several processes share them."""

import os

import pytest

# On a busy machine OpenBLAS's threads wait for each other a hundred times longer than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

WHOLE_RUNS = "tests/workflow"  # the longest, so that it begins first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With ``--dist loadgroup``: files that share what is made once a session are one group.

    Else each process would make it anew. Other files are a group each, as their own fixtures ask.
    Groups of several files begin first: at the end no process waits long for another.
    """
    shared: dict[str, str] = {}
    for item in items:
        file = item.nodeid.split("::")[0]
        shared[file] = min([shared.get(file, file), *_session_places(item)], key=len)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(shared[item.nodeid.split("::")[0]]))
    items.sort(key=lambda item: _turn(shared[item.nodeid.split("::")[0]]))


def _session_places(item: pytest.Item) -> list[str]:
    """Where the fixtures of the session stand that a test uses, the tests' own alone."""
    known = item._fixtureinfo.name2fixturedefs.values() if hasattr(item, "_fixtureinfo") else []
    used = [definitions[-1] for definitions in known]
    return [u.baseid for u in used if u.scope == "session" and u.baseid.startswith("tests/")]


def _turn(group: str) -> int:
    """0 for whole runs, 1 for other groups of several files, 2 for single ones."""
    if group == WHOLE_RUNS:
        return 0
    return 2 if group.endswith(".py") else 1
