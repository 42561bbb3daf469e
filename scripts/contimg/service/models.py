"""What goes over the wire: the shapes of the earlier system's interface."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

JobType = Literal[
    "convert",
    "calibrate",
    "apply",
    "image",
    "mosaic",
    "photometry",
    "normalize",
    "ese-detect",
    "publish",
    "workflow",
]
JobStatus = Literal["pending", "running", "done", "failed", "cancelled"]


class Strict(BaseModel):
    """A request: what is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class JobParams(Strict):
    """Parameters of jobs. Others of the earlier system are options of the config: `options`."""

    start_time: str | None = Field(None, description="data from this time (ISO UTC, or MJD) on")
    end_time: str | None = Field(None, description="data before this time")
    input_dir: str | None = Field(None, description="must be discover.raw_dir of the run")
    output_dir: str | None = Field(None, description="must be the results folder of the service")
    max_workers: int | None = Field(None, ge=1, le=256, description="cores of the run")
    refant: str | None = Field(None, description="calibrate.refant")
    quality_tier: Literal["development", "standard", "high_precision"] | None = Field(
        None, description="image.tier"
    )
    options: dict[str, dict[str, Any]] = Field(
        {}, description="options of the config by section, above those of the last run"
    )


class JobRequest(Strict):
    """One product, or a window of time."""

    ms_path: str | None = Field(None, max_length=1000, description="MS, or name of the product")
    params: JobParams = JobParams()


class Job(BaseModel):
    """A run of the workflow for some products."""

    id: str
    type: str
    status: JobStatus
    ms_path: str
    params: dict[str, Any]
    logs: str
    artifacts: list[str]
    error: str
    created_at: str
    started_at: str | None
    finished_at: str | None


class BatchParams(Strict):
    """The products of a batch, and parameters for all of them."""

    ms_paths: list[str] = Field(min_length=1, max_length=5000)
    params: JobParams = JobParams()


class BatchRequest(Strict):
    """Many products at once: a bad one does not stop the others."""

    job_type: JobType | None = None
    params: BatchParams


class BatchItem(BaseModel):
    """One product of a batch."""

    ms_path: str
    job_id: str
    status: JobStatus
    error: str
    started_at: str | None
    completed_at: str | None


class BatchJob(BaseModel):
    """A batch and what became of its items."""

    id: str
    type: str
    created_at: str
    status: JobStatus
    total_items: int
    completed_items: int
    failed_items: int
    params: dict[str, Any]
    items: list[BatchItem]


class Mosaic(BaseModel):
    """A mosaic."""

    id: str
    name: str
    path: str
    start_mjd: float | None
    end_mjd: float | None
    start_time: str | None
    end_time: str | None
    created_at: str | None
    status: str
    image_count: int
    noise_jy: float | None
    source_count: int | None
    thumbnail_path: str | None


class Mosaics(BaseModel):
    """Mosaics that were asked for."""

    mosaics: list[Mosaic]
    total: int


class WindowRequest(Strict):
    """A window of time."""

    start_time: str | None = None
    end_time: str | None = None


class MosaicRequest(WindowRequest):
    """A mosaic of the plan by name, by its calibrator, or those of a window."""

    name: str | None = None
    calibrator: str | None = None
    params: JobParams = JobParams()


class DataRecord(BaseModel):
    """A product and where it stands on its way to publication."""

    id: str
    data_type: str
    status: str
    stage_path: str
    published_path: str | None
    created_at: str | None
    staged_at: str | None
    published_at: str | None
    publish_mode: str | None
    qa_status: str
    validation_status: str | None
    finalization_status: str
    auto_publish_enabled: bool
    metadata: dict[str, Any]


class FluxPoint(BaseModel):
    """A measurement of a source."""

    mjd: float
    time: str
    flux_jy: float | None
    flux_err_jy: float | None
    image_id: str
    flag: str = ""


class Source(BaseModel):
    """A source with its measurements."""

    source_id: str
    ra_deg: float
    dec_deg: float
    catalog: str
    flux_points: list[FluxPoint]
    mean_flux_jy: float | None
    std_flux_jy: float | None
    chi_sq_nu: float | None
    is_variable: bool


class Sources(BaseModel):
    """Sources that were asked for."""

    sources: list[Source]
    total: int


class SourceRequest(Strict):
    """A source by name or position."""

    source_id: str = Field(min_length=1, max_length=300)


class Variability(BaseModel):
    """Variability statistics of a source."""

    source_id: str
    v: float | None
    eta: float | None
    vs_mean: float | None = Field(description="largest two-epoch difference, over its error")
    m_mean: float | None = Field(description="relative change at that pair")
    n_epochs: int


class LightCurve(BaseModel):
    """Measurements of a source, and the same normalised."""

    source_id: str
    ra_deg: float
    dec_deg: float
    flux_points: list[FluxPoint]
    normalized_flux_points: list[FluxPoint]


class Candidate(BaseModel):
    """A candidate for an extreme scattering event."""

    id: str
    source_id: str
    ra_deg: float
    dec_deg: float
    first_detection_at: str | None
    last_detection_at: str | None
    max_sigma_dev: float | None
    current_flux_jy: float | None
    baseline_flux_jy: float | None
    status: str
    notes: str
    false_alarm_probability: float | None


class Candidates(BaseModel):
    """Candidates that were asked for."""

    candidates: list[Candidate]
    total: int


class FlagRequest(Strict):
    """What a person thinks of a candidate."""

    status: Literal["interesting", "confirmed", "rejected"]
    notes: str = Field("", max_length=2000)
    by: str = Field(min_length=1, max_length=100)


class DecisionRequest(Strict):
    """Why, and who says so."""

    reason: str = Field("", max_length=2000)
    by: str = Field("", max_length=100)
