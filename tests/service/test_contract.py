"""Every row of the earlier system's interface, asked over HTTP by a real client."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from contimg.core.paths import path

PARITY = (Path(__file__).parents[2] / "docs/parity.md").read_text()
GROUP = "20251005T000010"
CALSET = f"{GROUP}_0834+555"
MOSAIC = "20251005_0834+555"
SOURCE = "J000000+5530"
JOB = {"id", "type", "status", "ms_path", "params", "logs", "artifacts", "created_at"}
JOB |= {"started_at", "finished_at"}
VALIDATION = {
    *("validation_type", "image_path", "catalog_used", "n_matched", "n_catalog", "n_detected"),
    *("mean_offset_arcsec", "rms_offset_arcsec", "max_offset_arcsec", "offset_ra_arcsec"),
    *("offset_dec_arcsec", "mean_flux_ratio", "rms_flux_ratio", "flux_scale_error"),
    *("completeness", "completeness_limit_jy", "completeness_bins_jy", "completeness_per_bin"),
    *("catalog_counts_per_bin", "detected_counts_per_bin", "has_issues", "issues"),
    *("has_warnings", "warnings"),
}
MOSAIC_KEYS = {
    *("id", "name", "path", "start_mjd", "end_mjd", "start_time", "end_time", "created_at"),
    *("status", "image_count", "noise_jy", "source_count", "thumbnail_path"),
}
# place -> keys that the answer has
READS = {
    "/api/health": {"status"},
    "/api/status": {"outcome", "stages", "groups"},
    f"/api/qa/calibration/results/cal/2025-10-05/{CALSET}/{CALSET}.ms": {
        *("ms_path", "job_id", "k_metrics", "bp_metrics", "g_metrics", "overall_quality"),
        *("flags_total", "per_spw_stats", "timestamp"),
    },
    f"/api/qa/calibration/{CALSET}/bandpass-plots": {"ms_path", "plot_dir", "plots", "count"},
    f"/api/qa/calibration/{CALSET}/caltable-completeness": {
        *("expected_caltables", "existing_caltables", "missing_caltables", "completeness"),
    },
    f"/api/qa/image/results/ms/2025-10-05/{GROUP}.ms": {
        *("ms_path", "job_id", "image_path", "rms_noise", "peak_flux", "dynamic_range"),
        *("beam_major", "beam_minor", "beam_pa", "num_sources", "thumbnail_path"),
        *("overall_quality", "timestamp"),
    },
    f"/api/qa/images/{GROUP}/catalog-validation": {"astrometry", "flux_scale", "source_counts"},
    "/api/mosaics": {"mosaics", "total"},
    f"/api/mosaics/{MOSAIC}": MOSAIC_KEYS,
    "/api/data": {"data", "total"},
    f"/api/data/{MOSAIC}": {
        *("id", "data_type", "status", "stage_path", "published_path", "created_at", "staged_at"),
        *("published_at", "publish_mode", "qa_status", "validation_status"),
        *("finalization_status", "auto_publish_enabled", "metadata"),
    },
    f"/api/data/image:{GROUP}": {"id", "data_type", "status"},
    f"/api/data/{MOSAIC}/auto-publish/status": {
        *("enabled", "criteria_met", "reasons", "qa_status", "validation_status"),
        "finalization_status",
    },
    "/api/monitoring/publish/status": {
        *("total_published", "total_staging", "total_publishing", "failed_publishes"),
        *("max_attempts_exceeded", "success_rate_percent", "recent_failures", "timestamp"),
    },
    "/api/monitoring/publish/failed": {"count", "failed_publishes"},
    "/api/sources": {"sources", "total"},
    f"/api/sources/{SOURCE}": {
        *("source_id", "ra_deg", "dec_deg", "catalog", "flux_points", "mean_flux_jy"),
        *("std_flux_jy", "chi_sq_nu", "is_variable"),
    },
    f"/api/sources/{SOURCE}/variability": {
        "source_id",
        "v",
        "eta",
        "vs_mean",
        "m_mean",
        "n_epochs",
    },
    f"/api/sources/{SOURCE}/lightcurve": {
        *("source_id", "ra_deg", "dec_deg", "flux_points", "normalized_flux_points"),
    },
    f"/api/sources/{SOURCE}/postage_stamps": {"source_id", "stamps", "count"},
    f"/api/sources/{SOURCE}/external_catalogs": {"source_id", "matches"},
    "/api/ese/candidates?min_sigma=0": {"candidates", "total"},
    "/api/ese/candidates/1/lightcurve": {"source_id", "flux_points"},
    "/api/images": {"items", "total"},
    f"/api/images/{GROUP}": {"id", "path", "metadata"},
    "/api/ms": {"items", "total"},
    f"/api/ms/{GROUP}/metadata": {"path", "qa_status"},
    "/api/caltables": {"items", "total"},
    "/api/uvh5": {"items", "total"},
}
LISTS = {
    "/api/jobs": None,
    "/api/batch": None,
    f"/api/sources/{SOURCE}/detections": "flux_jy",
    f"/api/images/{GROUP}/measurements": "name",
    "/api/pointing_history": "dec_deg",
    "/api/observation_timeline": "start_time",
    "/api/calibrator_matches": "name",
    "/api/ese/candidates/flags": None,
}


@pytest.mark.parametrize("place", READS)
def test_reads_have_their_shape(service, place):
    answer = service.get(place)
    assert answer.status_code == 200, answer.text
    assert READS[place] <= set(answer.json())


@pytest.mark.parametrize("place", LISTS)
def test_lists(service, place):
    content = service.get(place).json()
    assert isinstance(content, list)
    if LISTS[place] is not None:
        assert LISTS[place] in content[0]


# place -> kind of the answer
FILES = {
    f"/api/qa/calibration/{CALSET}/bandpass-plots/{CALSET}.gains.png": "image/png",
    f"/api/qa/calibration/{CALSET}/spw-plot": "image/png",
    f"/api/qa/images/{GROUP}/validation-report.html": "text/html; charset=utf-8",
    f"/api/images/{GROUP}/fits?product=image": "",
    f"/api/mosaics/{MOSAIC}/fits": "",
}


@pytest.mark.parametrize("place", FILES)
def test_files(service, place):
    answer = service.get(place)
    assert answer.status_code == 200 and len(answer.content) > 10
    assert not FILES[place] or answer.headers["content-type"] == FILES[place]


OVERLAY = f"/api/qa/images/{GROUP}/catalog-overlay"
PROFILE = f"/api/images/{GROUP}/profile"


def test_the_overlay_has_pixels_and_the_profile_values(service):
    """The first source stands on the reference pixel; values count the pixels of the image."""
    content = service.get(OVERLAY).json()
    source = next(s for s in content["sources"] if s["name"] == SOURCE)
    assert (source["x"], source["y"]) == (31.0, 31.0)
    info = {"center_ra", "center_dec", "width_deg", "height_deg", "nx", "ny", "pixel_scale_arcsec"}
    assert info <= set(content["image_info"]) and content["image_info"]["nx"] == 64
    ra, dec = source["ra_deg"], source["dec_deg"]
    ends = {"start": f"{ra} {dec}", "end": f"{ra} {dec + 0.1}", "points": 11}
    values = service.get(PROFILE, params=ends).json()["values_jy_beam"]
    assert values == [31 + 64 * (31 + k) for k in range(11)]


def test_validation_has_every_field_in_every_part(service):
    content = service.get(f"/api/qa/images/{GROUP}/catalog-validation").json()
    assert all(set(part) == VALIDATION for part in content.values())
    assert content["astrometry"]["n_matched"] == 120


def test_mosaics_by_time(service):
    answer = service.post("/api/mosaics/query", {"start_time": "2025-10-06"}, token=None).json()
    assert answer["total"] == 1 and set(answer["mosaics"][0]) == MOSAIC_KEYS
    assert answer["mosaics"][0]["name"].startswith("20251006")
    assert answer["mosaics"][0]["noise_jy"] == 9e-4


def test_sources_are_searched_by_name_and_position(service):
    by_name = service.post("/api/sources/search", {"source_id": SOURCE}, token=None).json()
    assert by_name["total"] == 1 and len(by_name["sources"][0]["flux_points"]) == 2
    point = by_name["sources"][0]["flux_points"][0]
    assert {"mjd", "time", "flux_jy", "flux_err_jy", "image_id"} <= set(point)
    ra, dec = by_name["sources"][0]["ra_deg"], by_name["sources"][0]["dec_deg"]
    by_place = service.post("/api/sources/search", {"source_id": f"{ra} {dec}"}, token=None).json()
    assert by_place["sources"][0]["source_id"] == SOURCE
    assert service.post("/api/sources/search", {"source_id": "x"}, token=None).json()["total"] == 0
    near = service.get("/api/sources", params={"near": f"{ra} {dec}", "radius": "1m"}).json()
    assert near["total"] == 1


def test_files_are_the_files(service):
    pixels = service.get(f"/api/mosaics/{MOSAIC}/fits").content
    assert pixels == (service.directory / path("mosaic", "results", mosaic=MOSAIC)).read_bytes()
    assert service.get(f"/api/images/{GROUP}/fits?product=weights").status_code == 422
    assert service.get("/files/status.csv").status_code == 404
    assert service.get("/files/report/status.csv").text.startswith("kind,item")


def test_nothing_outside_the_results_is_read(service):
    (service.directory / "secret").write_text("s")
    (service.results / "link").symlink_to(service.directory / "secret")
    for place in (
        *("/files/../secret", "/files/%2e%2e/secret", "/files/link", "/files//etc/passwd"),
        *("/api/qa/image/../../secret", "/api/mosaics/..%2f..%2fsecret/fits"),
        *("/api/jobs/id/../../runs", "/api/jobs/id/..", "/api/qa/calibration//etc/passwd"),
    ):
        request = requests.Request("GET", service.url).prepare()
        request.url = f"{service.url}{place}"  # as it is, without any cleaning
        with requests.Session() as client:
            answer = client.send(request, timeout=30)
        assert answer.status_code in {400, 404, 405, 422}, place
        assert answer.text != "s"


def test_other_hosts_names_are_refused(service):
    """So that a page of another server cannot talk to this one by a name of its own."""
    assert service.get("/api/health", headers={"Host": "evil.example"}).status_code == 400


WRITES = {
    **{f"/api/jobs/{name}": {"ms_path": "x"} for name in ("convert", "calibrate", "apply")},
    **{f"/api/jobs/{name}": {"ms_path": "x"} for name in ("image", "publish", "workflow")},
    **{
        f"/api/batch/{name}": {"params": {"ms_paths": ["x"]}}
        for name in ("convert", "calibrate", "apply", "image", "photometry", "publish", "mosaic")
    },
    "/api/photometry/measure": {"ms_path": "x"},
    "/api/photometry/normalize": {},
    "/api/ese/detect": {},
    "/api/mosaics/create": {"name": "x"},
    "/api/retry": None,
    f"/api/data/{MOSAIC}/publish": {},
    f"/api/data/{MOSAIC}/finalize": {},
    f"/api/data/{MOSAIC}/auto-publish/enable": {},
    f"/api/data/{MOSAIC}/auto-publish/disable": {},
    f"/api/monitoring/publish/retry/{MOSAIC}": None,
    "/api/monitoring/publish/retry-all": None,
    "/api/ese/candidates/1/flag": {"status": "rejected", "by": "a"},
    f"/api/qa/images/{GROUP}/catalog-validation/run": {},
    f"/api/qa/images/{GROUP}/validation-report/generate": {},
    "/api/jobs/id/x/cancel": None,
    "/api/batch/x/cancel": None,
}


@pytest.mark.parametrize("place", WRITES)
def test_writes_need_the_token(service, place):
    for token in (None, "another-token-for-tests"):
        assert service.post(place, WRITES[place], token=token).status_code == 401


ASKED_ELSEWHERE = (
    *("/api/mosaics/query", "/api/sources/search", "/api/jobs/id/x", "/api/jobs/id/x/logs"),
    *("/api/batch/x", "/api/regions", "/api/regions/1", "/api/streaming/status"),
    *("/api/images/x/fit", f"/api/data/image:{GROUP}/lineage", OVERLAY, PROFILE),
)


def test_every_path_is_in_the_table_of_parity_and_is_asked(service):
    described = service.get("/api/openapi.json").json()["paths"]
    assert [place for place in described if f"`{place}`" not in PARITY] == []
    asked = [p.partition("?")[0] for p in (*READS, *LISTS, *WRITES, *FILES, *ASKED_ELSEWHERE)]
    for place in described:
        expression = re.sub(r"\\{\w+\\}", ".+", re.escape(place))
        assert any(re.fullmatch(expression, one) for one in asked), place


def test_what_is_not_here_says_what_is_instead(service):
    for place in ("/api/regions", "/api/regions/1", "/api/streaming/status", "/api/images/x/fit"):
        answer = service.get(place)
        assert answer.status_code == 501 and len(answer.json()["detail"]) > 20


@pytest.mark.parametrize(
    ("place", "content", "status", "said"),
    [
        ("/api/jobs/image", {"ms_path": "20251005T999999"}, 409, "no group"),
        ("/api/jobs/image", {"ms_path": GROUP, "nonsense": 1}, 422, "nonsense"),
        ("/api/jobs/image", {"ms_path": GROUP, "params": {"max_workers": 0}}, 422, "max_workers"),
        ("/api/jobs/image", {}, 409, "start_time"),
        ("/api/jobs/convert", {"params": {"input_dir": "/etc", "start_time": "2025-10-05"}}, 409,
         "discover.raw_dir"),
        ("/api/jobs/convert", {"params": {"output_dir": "/tmp", "start_time": "2025-10-05"}}, 409,
         "works in "),
        ("/api/jobs/image", {"ms_path": GROUP, "params": {"options": {"image": {"cell": 1}}}}, 409,
         "image.cell"),
        ("/api/jobs/image", {"ms_path": GROUP, "params": {"options": {"imag": {}}}}, 409,
         "did you mean image"),
        ("/api/batch/image", {"params": {"ms_paths": []}}, 422, "ms_paths"),
        ("/api/data/image:" + GROUP + "/publish", {}, 400, "mosaics are published"),
        ("/api/data/nothing/publish", {}, 404, "nothing"),
        ("/api/mosaics/create", {"calibrator": "3C286"}, 404, "3C286"),
        ("/api/jobs/id/20251005T000000000-abcdef/cancel", None, 404, "no job"),
        ("/api/ese/candidates/99/flag", {"status": "rejected", "by": "ana"}, 404, "99"),
        ("/api/ese/candidates/1/flag", {"status": "maybe", "by": "ana"}, 422, "status"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(service, place, content, status, said):
    answer = service.post(place, content)
    assert answer.status_code == status, answer.text
    assert said in answer.text


@pytest.mark.parametrize("text", ["NaN", '{"ms_path": NaN}', '{"ms_path": "\\ud800"}'])
def test_what_is_hardly_json_has_not_the_right_form(service, text):
    head = {
        "Authorization": f"Bearer {service.token.read_text()}",
        "Content-Type": "application/json",
    }
    answer = requests.post(f"{service.url}/api/jobs/image", data=text, headers=head, timeout=60)
    assert answer.status_code == 422 and answer.json()["detail"][0]["msg"]


def test_a_profile_on_the_other_side_of_the_sky_is_none(service):
    answer = service.get(PROFILE, params={"start": "180 -55", "end": "181 -55"})
    assert answer.status_code == 404 and "not on the sky" in answer.json()["detail"]


def test_large_requests_are_refused(service):
    content = {"params": {"ms_paths": ["x" * 1000] * 2000}}
    assert service.post("/api/batch/image", content).status_code == 413


def test_candidates_are_flagged(service):
    words = {"status": "interesting", "notes": "<b>deep</b>", "by": "ana"}
    answer = service.post("/api/ese/candidates/1/flag", words)
    assert answer.json()["status"] == "interesting"
    listed = service.get("/api/ese/candidates?min_sigma=0").json()["candidates"]
    assert listed[0]["notes"] == "<b>deep</b>" and listed[0]["source_id"] == SOURCE
    assert service.get("/api/ese/candidates/flags").json()[-1]["by"] == "ana"
    assert "interesting" in (service.directory / "candidates.csv").read_text()


def test_the_web_log_is_its_pages(service):
    answer = service.get("/")
    assert answer.url.endswith("/files/report/index.html")


def test_two_hundred_readers_at_once_while_a_job_runs(service):
    tile = service.survey.group(1, 1)
    file = service.directory / path("image_record", "results", group=tile, tier="standard")
    file.unlink()
    job = service.post("/api/jobs/image", {"ms_path": tile}).json()
    places = [p for p in READS if "openapi" not in p]

    def read(k: int) -> tuple[int, float]:
        begun = time.monotonic()
        return service.get(places[k % len(places)]).status_code, time.monotonic() - begun

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(read, range(400)))
    assert {status for status, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) < 30
    assert service.ended(job["id"])["status"] == "done" and file.exists()
