"""Alert packets: new, updated, retracted, and none twice."""

import json

import pandas as pd
import pytest

from contimg.variability.alerts import SCHEMA, Alert, write_alerts


def candidate(**changed):
    """One announced candidate."""
    row = {
        **{"source": "J0834+55", "ra_deg": 128.7, "dec_deg": 55.5, "list": "announce"},
        **{"priority": "medium", "false_alarm_probability": 1e-6, "n_epochs": 30},
        **{"depth": 0.5, "depth_err": 0.02, "t0_mjd": 60020.0, "t0_err_days": 0.2},
        **{"width_days": 9.0, "width_err_days": 0.4, "baseline_jy": 0.1, "baseline_err_jy": 0.001},
        **{"minimum_flux_jy": 0.05, "minimum_flux_err_jy": 0.002},
    }
    return pd.DataFrame([row | changed])


SOURCES = pd.DataFrame({"source": ["J0834+55"], "n_epochs": [31], "class": ["red_noise"]})


def send(folder, table, mjd=60030.0):
    """Packets sent for `table`, and the names of all files."""
    sent = write_alerts(table, SOURCES, {"J0834+55": mjd}, folder)
    return sent, sorted(path.name for path in folder.glob("*.0*.json"))


def test_the_life_of_an_alert(tmp_path):
    first, names = send(tmp_path, candidate(), 60022.0)
    assert [a.kind for a in first] == ["new"] and names == ["J0834+55.0001.json"]
    assert first[0].in_progress and first[0].parameters["depth"].error == 0.02
    before = (tmp_path / names[0]).read_bytes()
    # the same again, or hardly changed: nothing
    assert send(tmp_path, candidate())[0] == []
    assert send(tmp_path, candidate(depth=0.505, n_epochs=31))[0] == []
    (update,), _ = send(tmp_path, candidate(depth=0.6))
    assert update.kind == "updated" and update.version == 2 and "depth" in update.reason
    assert update.supersedes == first[0].id and not update.in_progress
    (gone,), names = send(tmp_path, candidate().iloc[:0])
    assert gone.kind == "retracted" and "red_noise" in gone.reason and len(names) == 3
    assert send(tmp_path, candidate().iloc[:0])[0] == []
    (again,), _ = send(tmp_path, candidate(depth=0.6))
    assert again.kind == "new" and again.version == 4
    assert (tmp_path / "J0834+55.0001.json").read_bytes() == before


@pytest.mark.parametrize("change", [{"priority": "high"}, {"false_alarm_probability": 1e-9}])
def test_what_makes_an_update(tmp_path, change):
    send(tmp_path, candidate())
    (update,), _ = send(tmp_path, candidate(**change))
    assert update.kind == "updated"


def test_watched_sources_send_nothing(tmp_path):
    assert send(tmp_path, candidate(list="watch")) == ([], [])


def test_names_that_are_no_names_of_files(tmp_path):
    table = candidate(source="a/b c")
    write_alerts(table, SOURCES, {"a/b c": 60030.0}, tmp_path)
    (path,) = tmp_path.glob("*.0001.json")
    assert path.name == "a_b_c.0001.json"
    assert Alert.model_validate_json(path.read_text()).source == "a/b c"


def test_packets_follow_their_schema(tmp_path):
    send(tmp_path, candidate())
    schema = json.loads((tmp_path / SCHEMA).read_text())
    packet = json.loads((tmp_path / "J0834+55.0001.json").read_text())
    assert set(packet) == set(schema["properties"])
    assert set(schema["required"]) <= set(packet)
