"""Continuum data of one or two channels: no delay can be told, and everything else can."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import truth.observe as observed
from contimg.calibrate import apply, solve
from contimg.calibrate.options import ApplyOptions, CalibrateOptions
from contimg.calset.change import solved_names
from contimg.calset.read import read_calset
from contimg.cli import main
from contimg.convert.command import ConvertFiles
from contimg.convert.command import run as convert
from contimg.convert.options import ConvertOptions
from contimg.core.beam import PrimaryBeam
from contimg.core.caltable import read_table
from contimg.core.instrument import InstrumentOptions
from contimg.core.ms import open_table
from contimg.core.paths import path
from contimg.core.records import read_record
from contimg.flag.options import FlagOptions

INSTRUMENT = InstrumentOptions(subbands=1, band_mhz=(1375.0, 1425.0))
NAME = "20251005T034512_CAL"


@pytest.mark.parametrize("channels", [1, 2])
def test_few_channels_are_calibrated_without_delays(tmp_path, monkeypatch, channels):
    monkeypatch.setattr(observed, "INSTRUMENT", INSTRUMENT)
    simulate = observed.CORRUPTED.model_copy(
        update={"channels_per_subband": channels, "delay_rms_ns": 0.5, "dead_antennas": []}
    )
    _, sky, manifest = observed.observe(
        tmp_path, east_deg=0.1, north_deg=-0.2, flux_jy=8.8, simulate=simulate
    )
    calibrators = tmp_path / "calibrators.csv"
    sky.assign(name="CAL").to_csv(calibrators, index=False)
    made = {}
    for name, more in (("cal", {"calibrator": "CAL", "calibrators": calibrators}), ("tile", {})):
        made[name] = ConvertFiles(
            manifest=manifest, ms=tmp_path / f"{name}.ms", record=tmp_path / f"{name}.json", **more
        )
        convert(made[name], INSTRUMENT, ConvertOptions(), FlagOptions(steps=[]))
    record = Path(path("solutions", str(tmp_path), calset=NAME))
    record.parent.mkdir(parents=True)
    tables = {
        flag: Path(path("caltable", str(tmp_path), calset=NAME, table=flag.upper()))
        for flag in ("k", "b", "g")
    }
    files = solve.SolveFiles(
        ms=made["cal"].ms,
        ms_record=made["cal"].record,
        calibrator="CAL",
        calibrators=calibrators,
        plot=tmp_path / "s.png",
        record=record,
        **tables,
    )
    solve.run(files, INSTRUMENT, CalibrateOptions())
    said = read_record(record)
    assert said["verdict"] != "fail" and "no delay can be told" in said["data"]["delays_skipped"]
    assert (read_table(tables["k"])["value"] == 0).all()
    outputs = [
        f"--{name}={tmp_path}/{name}.png" for name in ("bandpass", "gains", "delays", "quality")
    ]
    outputs += ["--page", str(tmp_path / "p.html"), "--record", str(tmp_path / "qa.json")]
    assert main(["calset", "inspect", "--solutions", str(record), "--subbands", "1", *outputs]) == 0
    seen = read_record(tmp_path / "qa.json")
    assert seen["verdict"] != "fail", seen["reason"]
    assert not any(antenna["remarks"] for antenna in seen["data"]["antennas"].values())
    drift_is_followed(tmp_path, record)
    out = apply.ApplyFiles(
        ms=made["tile"].ms,
        ms_record=made["tile"].record,
        solutions=[record],
        calibrated=tmp_path / "a.ms",
        choice=tmp_path / "a.choice.json",
        record=tmp_path / "a.json",
    )
    apply.run(out, INSTRUMENT, ApplyOptions(channel_bin=1))
    source = sky[["ra_deg", "dec_deg"]].to_numpy(dtype=float)[0]
    (flux,) = observed.brightness(out.calibrated, *source[:, None])
    beam = PrimaryBeam(INSTRUMENT).power(np.radians(np.hypot(0.1, 0.2)), 1.4e9)
    assert flux == pytest.approx(8.8 * float(np.squeeze(beam)), rel=0.03)


def drift_is_followed(results: Path, record: Path) -> None:
    """A day later all amplitudes are 0.9 and one phase 30 degrees off: that is what is found."""
    later = Path(path("solutions", str(results), calset=NAME.replace("1005", "1006")))
    shutil.copytree(record.parent, later.parent)
    content = json.loads(later.read_text()) | {"product": later.parent.name}
    content["data"]["mjd"] += 1
    later.write_text(json.dumps(content))
    calset = read_calset(later)
    refant = content["data"]["refant"]
    turned = calset.antennas.index(next(n for n in solved_names(calset) if n != refant))
    with open_table(later.parent / content["data"]["tables"]["G"], writable=True) as table:
        gain = table.getcol("CPARAM") * 0.9
        gain[table.getcol("ANTENNA1") == turned] *= np.exp(1j * np.radians(30))
        table.putcol("CPARAM", gain)
    made = {n: results / f"drift.{n}" for n in ("table", "plot.png", "page", "record")}
    flags = [w for n, target in made.items() for w in (f"--{n.split('.')[0]}", str(target))]
    assert main(["calset", "drift", "--solutions", str(record), str(later), *flags]) == 0
    said = read_record(made["record"])
    (mine,) = (s for s in said["data"]["calsets"] if s["calset"] == later.parent.name)
    assert mine["delay_change_ns"] is None and mine["amplitude_change"] == pytest.approx(0.1)
    assert "change of the delays" not in said["reason"] and "amplitudes" in said["reason"]
    table = pd.read_csv(made["table"]).query(f"calset == '{later.parent.name}'")
    turned_by = table.groupby("antenna")["phase_change_deg"].mean().abs().sort_values()
    assert turned_by.to_numpy()[-1] == pytest.approx(30, abs=1e-3)
    assert turned_by.to_numpy()[:-1] == pytest.approx(0, abs=1e-3)
