"""The workflow's configuration: the option models of all stages in one.

The config files hold exactly these keys; ``config/schema.json`` is generated from this model.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from contimg.calibrate.options import ApplyOptions, CalibrateOptions, ScaleOptions
from contimg.calset.options import CalsetValidationOptions
from contimg.check.options import AllTilesOptions, CheckOptions
from contimg.cli import declared
from contimg.convert.options import ConvertOptions
from contimg.core.errors import ContimgError
from contimg.core.instrument import InstrumentOptions
from contimg.core.options import is_path, to_flags
from contimg.discover.options import DiscoverOptions
from contimg.field_model.options import DeepFieldOptions
from contimg.flag.options import FlagOptions
from contimg.help import did_you_mean
from contimg.image.options import ImageOptions, resolve_backend
from contimg.mosaic.options import MosaicOptions, ValidationOptions
from contimg.photometry.options import PhotometryOptions
from contimg.photometry.tile.options import FluxFitOptions
from contimg.plan.options import PlanOptions
from contimg.publish.options import PublishOptions
from contimg.report.options import ReportOptions
from contimg.simulate.options import SimulateOptions
from contimg.tile.road import Keep, meaning, one_pass
from contimg.variability.options import VariabilityOptions

_BASE = Path(__file__).parents[2]  # of the workflow: what it ships lies below


class Config(BaseModel):
    """Everything a run depends on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    results: str = Field("results", min_length=1, description="directory of all products")
    catalog: str | None = Field(
        None, description="table of sources: those to measure, and the model of the field"
    )
    field_model: str | None = Field(
        None,
        description="table of the sources that calibration and imaging know of (catalog if unset)",
    )
    targets: str | None = Field(
        None, description="table of the sources to measure (catalog if unset)"
    )
    keep_ms: Keep = Field(
        "calibrated",
        description="Measurement Sets that are kept: all; those of calibrated tiles and of"
        " calibrators (tiles are then calibrated in one pass from the raw data, and their full-size"
        " sets never written); none after its last use",
    )
    instrument: InstrumentOptions = Field(default_factory=InstrumentOptions)
    simulate: SimulateOptions = Field(default_factory=SimulateOptions)
    discover: DiscoverOptions = Field(default_factory=DiscoverOptions)
    plan: PlanOptions = Field(default_factory=PlanOptions)
    convert: ConvertOptions = Field(default_factory=ConvertOptions)
    flag: FlagOptions = Field(default_factory=FlagOptions)
    calibrate: CalibrateOptions = Field(default_factory=CalibrateOptions)
    flux_scale: ScaleOptions = Field(default_factory=ScaleOptions)
    calset_validation: CalsetValidationOptions = Field(default_factory=CalsetValidationOptions)
    apply: ApplyOptions = Field(default_factory=ApplyOptions)
    image: ImageOptions = Field(default_factory=ImageOptions)
    mosaic: MosaicOptions = Field(default_factory=MosaicOptions)
    mosaic_validation: ValidationOptions = Field(default_factory=ValidationOptions)
    photometry_method: Literal["image", "visibilities"] = Field(
        "visibilities",
        description="where flux densities are measured: visibilities (a joint fit to each"
        " calibrated tile) or image (forced photometry on mosaics; docs/photometry.md)",
    )
    photometry: PhotometryOptions = Field(default_factory=PhotometryOptions)
    deep_field: DeepFieldOptions = Field(default_factory=DeepFieldOptions)
    flux_fit: FluxFitOptions = Field(default_factory=FluxFitOptions)
    variability: VariabilityOptions = Field(default_factory=VariabilityOptions)
    all_tiles: AllTilesOptions = Field(default_factory=AllTilesOptions)
    check: CheckOptions = Field(default_factory=CheckOptions)
    publish: PublishOptions = Field(default_factory=PublishOptions)
    report: ReportOptions = Field(default_factory=ReportOptions)

    @field_validator("keep_ms", mode="before")
    @classmethod
    def _yes_or_no(cls, value: Any) -> Any:
        """True and false of earlier versions."""
        return meaning(value)

    @property
    def one_pass(self) -> bool:
        """Whether tiles are calibrated in one pass from the raw data."""
        return one_pass(self.keep_ms, self.flag)


def read_config(content: Mapping[str, Any]) -> Config:
    """Validate the merged config files; resolve ``auto``; :class:`ContimgError` if wrong."""
    try:
        # a section whose keys are all commented out is None in YAML
        config = Config(**{key: value for key, value in content.items() if value is not None})
    except ValidationError as error:
        problems = [f"  {'.'.join(map(str, p['loc']))}: {_said(p)}" for p in error.errors()]
        raise ContimgError("the configuration is not valid:\n" + "\n".join(problems)) from None
    if config.plan.deep_days and config.photometry_method != "visibilities":
        raise ContimgError("plan.deep_days needs photometry_method: visibilities, or set it to 0")
    backend = resolve_backend(config.image.backend)
    image = config.image.model_copy(update={"backend": backend})
    return _located(config.model_copy(update={"image": image}))


def _located(config: Config) -> Config:
    """With paths as they are to be used; :class:`ContimgError` for those that cannot be.

    ``~`` and ``$NAME`` are filled in. A file that does not lie where Snakemake was started but
    comes with the workflow (``config/calibrators.csv``) is found there.
    """
    changes: dict[str, Any] = {}
    for name, field in Config.model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            leaves = {
                leaf: Path(_expanded(f"{name}.{leaf}", str(getattr(value, leaf))))
                for leaf, option in type(value).model_fields.items()
                if is_path(option) and getattr(value, leaf) is not None
            }
            changes[name] = value.model_copy(update=leaves)
        elif field.annotation is not bool and value is not None:
            changes[name] = _expanded(name, value)
    for name in ("field_model", "targets"):
        changes[name] = changes.get(name) or changes.get("catalog")
        if changes[name] is None:
            raise ContimgError(f"the configuration needs catalog, or {name}: a table of sources")
    return config.model_copy(update=changes)


def _expanded(key: str, text: str) -> str:
    path = os.path.normpath(os.path.expandvars(os.path.expanduser(text)))
    if unset := re.search(r"\$\{?[A-Za-z_]", path):
        raise ContimgError(f"{key}: {text!r}: {path[unset.start() :]!r} is not set")
    odd = [character for character in "{}\n\0" if character in path]
    if odd:
        raise ContimgError(f"{key}: {path!r}: a path must not have {odd[0]!r} in it")
    if not os.path.exists(path) and not os.path.isabs(path) and (_BASE / path).is_file():
        return str(_BASE / path)
    return path


def _said(problem: Mapping[str, Any]) -> str:
    """What is wrong; of an unknown key, what it looks like, in its section or elsewhere."""
    if problem["type"] != "extra_forbidden":
        return str(problem["msg"])
    *section, key = map(str, problem["loc"])
    sections = {
        n: getattr(f.annotation, "model_fields", {}) for n, f in Config.model_fields.items()
    }
    elsewhere = [f"{name}.{option}" for name, fields in sections.items() for option in fields]
    same = [name for name in elsewhere if name.endswith(f".{key}")]
    near = sections.get(section[0], {}) if section else sections
    hint = f"; did you mean {' or '.join(same)}?" if same else did_you_mean(key, near)
    return f"no such key{hint or did_you_mean(key, elsewhere)}"


def flags(config: Config, verb: str) -> str:
    """The option flags of `verb` with the values of `config`, ready for a shell."""
    words = [to_flags(getattr(config, model.section)) for model in declared(verb).options]
    return " ".join(word for word in words if word)
