"""What a product depends on: the table of all leaves, and what of the code counts."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from contimg import dependencies
from contimg.config import Config
from contimg.dependencies import modules
from run.leaves import TABLE, table


def test_every_leaf_makes_again_what_it_changes_and_nothing_else():
    """Read the table when it changes; ``python tests/run/leaves.py`` writes it anew."""
    assert TABLE.read_text().splitlines() == table().splitlines()


CODE = '''"""A module."""
from contimg.core.options import Options


def half(x: float) -> float:
    """Half of it."""
    # a remark
    return Field(x / 2, description="the half")
'''


def shape(tmp_path: Path, text: str) -> str:
    file = tmp_path / "module.py"
    file.write_text(text)
    return dependencies._parse(file).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a remark", "# another remark\n"),
        ("Half of it.", "The half of it."),
        ("A module.", "Of modules.\n\nThe first."),
        ("the half", "a half"),
    ],
)
def test_what_only_people_read_is_not_code(tmp_path, old, new):
    assert shape(tmp_path, CODE) == shape(tmp_path, CODE.replace(old, new))


@pytest.mark.parametrize(("old", "new"), [("x / 2", "x / 3"), ("(x:", "(y, x:"), ("Field", "F")])
def test_what_runs_is_code(tmp_path, old, new):
    assert shape(tmp_path, CODE) != shape(tmp_path, CODE.replace(old, new))


def test_a_verb_depends_on_what_it_imports_and_no_more():
    convert, solve = modules("convert"), modules("solve")
    assert "contimg.flag.stream" in convert and "contimg.core.html" not in convert
    assert "contimg.calibrate.sequence" in solve and "contimg.calibrate.refine" not in solve
    assert "contimg.calibrate.refine" in modules("apply")
    assert "scripts/contimg/image/page.html.j2" in modules("image")
    assert "config/aoflagger/dsa110.lua" in convert


def test_imports_inside_functions_count():
    tree = ast.parse("def f():\n    from contimg.core import beam\n    import contimg.core.ms\n")
    assert set(dependencies._imports(tree)) == {"contimg.core.beam", "contimg.core.ms"}


def test_files_that_options_name_are_found_by_what_they_say(tmp_path):
    from contimg.run.content import named_files

    regions = tmp_path / "regions.reg"
    regions.write_text("circle(1,2,3)\n")
    config = Config(catalog="c.csv")
    image = config.image.model_copy(update={"mask_regions": regions})
    config = config.model_copy(update={"image": image})
    first = named_files(config, "image")
    elsewhere = tmp_path / "moved.reg"
    regions.rename(elsewhere)
    image = image.model_copy(update={"mask_regions": elsewhere})
    moved = config.model_copy(update={"image": image})
    assert named_files(moved, "image") == first
    elsewhere.write_text("circle(1,2,4)\n")
    assert named_files(moved, "image") != first
    assert named_files(moved, "mosaic") == ""
