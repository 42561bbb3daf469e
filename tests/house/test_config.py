"""The shipped config files are what the option models say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from contimg.cli import VERBS, build_parser, load
from contimg.config import Config, flags, read_config
from contimg.config_files import default_yaml, schema
from contimg.core.errors import ContimgError

CONFIG = Path(__file__).parents[2] / "config"


def test_defaults_and_schema_are_current():
    """`contimg config --defaults config/config.yaml --json-schema config/schema.json` mends it."""
    assert (CONFIG / "config.yaml").read_text() == default_yaml()
    assert (CONFIG / "schema.json").read_text() == schema()


def test_default_file_holds_the_defaults():
    content = yaml.safe_load(default_yaml())
    assert read_config({**content, "catalog": "c.csv"}) == read_config({"catalog": "c.csv"})


@pytest.mark.parametrize("name", ["demo", "tiny", "ngc5921", "3c273"])
def test_examples_are_valid(name):
    read_config(yaml.safe_load((CONFIG / f"{name}.yaml").read_text()))


def test_typing_errors_are_named():
    with pytest.raises(ContimgError, match=r"image\.robsut"):
        read_config({"catalog": "c.csv", "image": {"robsut": 0}})


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ({"image": {"robsut": 0}}, "did you mean robust?"),
        ({"imge": {}}, "did you mean image?"),
        ({"raw_dir": "x"}, "did you mean discover.raw_dir?"),
        ({"discover": {"imsize": 3}}, "did you mean image.imsize?"),
    ],
)
def test_mistyped_keys_are_guessed(content, hint):
    with pytest.raises(ContimgError, match=re.escape(hint)):
        read_config({"catalog": "c.csv", **content})


@pytest.mark.parametrize("verb", VERBS)
def test_flags_of_every_verb_rebuild_the_options(verb):
    import shlex

    from contimg.core.options import from_namespace

    config = Config(catalog="c.csv")
    command = load(verb)
    words = shlex.split(flags(config, verb))
    for name, field in command.files.model_fields.items():
        if field.is_required():
            words += [f"--{name.replace('_', '-')}", "x"]
    namespace = build_parser(verb).parse_args(words)
    for model in command.options:
        assert from_namespace(namespace, model) == getattr(config, model.section)
