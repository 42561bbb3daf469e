"""CASA's solutions against the gains that the simulator put in."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contimg.calibrate import apply, plots, solutions, solve, solver
from contimg.calibrate.options import ApplyOptions, CalibrateOptions
from contimg.calibrate.presets import refusal
from contimg.calibrate.smooth import smooth_table
from contimg.convert.command import ConvertFiles
from contimg.convert.command import run as convert
from contimg.convert.options import ConvertOptions
from contimg.core import ms as ms_module
from contimg.core.caltable import read_table, table_freq_hz
from contimg.core.casa import casa_session
from contimg.core.catalog import read_sources
from contimg.core.errors import ContimgError
from contimg.core.ms import open_table, read_axes
from contimg.core.predict import apparent_flux
from contimg.core.records import worst
from contimg.flag.options import FlagOptions
from contimg.simulate.schedule import schedule
from truth.faults import jump, swap_correlations
from truth.gains import recovered, rms, tables_of
from truth.observe import CORRUPTED, INSTRUMENT, observe, sky_of
from truth.transit import observe_transit


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A corrupted observation of an 8.8 Jy calibrator off the axis, solved."""
    directory = tmp_path_factory.mktemp("solved")
    group, sky, manifest = observe(
        directory, east_deg=0.1, north_deg=-0.3, flux_jy=8.8, simulate=CORRUPTED
    )
    calibrators = directory / "calibrators.csv"
    sky.assign(name="CAL").to_csv(calibrators, index=False)
    converted = ConvertFiles(
        manifest=manifest,
        calibrator="CAL",
        calibrators=calibrators,
        ms=directory / "cal.ms",
        record=directory / "cal.json",
    )
    convert(converted, INSTRUMENT, ConvertOptions(), FlagOptions(steps=[]))
    files = solve.SolveFiles(
        ms=converted.ms,
        ms_record=converted.record,
        calibrator="CAL",
        calibrators=calibrators,
        k=directory / "t.K",
        b=directory / "t.B",
        g=directory / "t.G",
        plot=directory / "t.png",
        record=directory / "solutions.json",
    )
    solve.run(files, INSTRUMENT, CalibrateOptions())
    return directory, group, files


def test_gains_are_recovered(solved):
    _, group, files = solved
    _, found, alive = recovered(files, group, CORRUPTED)
    assert len(alive) >= 12 and "DSA-9" not in alive
    assert found.flux_scale == pytest.approx(1, abs=0.002)
    assert rms(found.delay_ns) < 0.05
    assert rms(found.relative_amplitude) < 0.003
    assert rms(found.phase_deg) < 0.3


def test_the_solver_gives_what_the_tasks_of_casa_give(solved, tmp_path):
    """Bit for bit, with tables applied before, other intervals and other limits."""
    import casatasks

    _, _, files = solved
    refant = json.loads(files.record.read_text())["data"]["refant"]
    common = {"vis": str(files.ms.resolve()), "refant": refant, "uvrange": ">10lambda"}
    tables = {}
    with casa_session():
        for name, tasks in {"mine": solver, "casa": casatasks}.items():
            k, p, b, g = (str(tmp_path / f"{name}.{kind}") for kind in "KPBG")
            tasks.gaincal(**common, caltable=k, gaintype="K", minsnr=5.0)
            phases = {"calmode": "p", "solint": "40s", "minblperant": 3, "minsnr": 2.0}
            tasks.gaincal(**common, caltable=p, gaintable=[k], **phases)
            tasks.bandpass(**common, caltable=b, gaintable=[k, p], fillgaps=3, minsnr=6.0)
            tasks.gaincal(**common, caltable=g, gaintable=[k, b], solnorm=True)
            tables[name] = [k, p, b, g]
    for mine, its in zip(*tables.values(), strict=True):
        with open_table(Path(mine)) as one, open_table(Path(its)) as other:
            assert one.nrows() == other.nrows() > 0 and one.colnames() == other.colnames()
            for column in ("TIME", "ANTENNA1", "ANTENNA2", "FLAG", "SNR", "PARAMERR"):
                np.testing.assert_array_equal(one.getcol(column), other.getcol(column))
            values = "FPARAM" if mine.endswith("K") else "CPARAM"
            np.testing.assert_array_equal(one.getcol(values), other.getcol(values))


def test_record_tells_the_lost_antenna_and_the_scale(solved):
    _, _, files = solved
    record = json.loads(files.record.read_text())
    warned = [c["reason"] for c in record["checks"] if c["verdict"] != "pass"]
    assert len(warned) == 2 and all("not checked" in reason for reason in warned)  # no catalogue
    assert record["data"]["antennas_lost"] == ["DSA-9"]
    assert record["data"]["refant"] != "DSA-9"
    assert record["data"]["gain_amplitude_median"] == pytest.approx(1, abs=0.01)


def test_picture_names_antennas_and_correlations(solved, tmp_path, monkeypatch):
    """A delay stands above the name of its antenna, in the colour of its correlation."""
    _, _, files = solved
    drawn = []
    monkeypatch.setattr(plots, "write_picture", lambda figure, *_, **__: drawn.append(figure))
    plots.plot(tables_of(files), ["XX", "YY"], tmp_path / "p.png", "a calset")
    delay = drawn[0].axes[0]
    names = [label.get_text() for label in delay.get_xticklabels()]
    assert [text.get_text() for text in delay.get_legend().get_texts()] == ["XX", "YY"]
    table = read_table(files.k)
    known = read_axes(files.ms).antenna_names
    for corr, line in enumerate(delay.get_lines()):
        shown = {names[int(x)]: y for x, y in zip(*line.get_data(), strict=True)}
        values = table["value"][:, 0, corr]
        truth = {known[a]: v for a, v in zip(table["antenna"], values, strict=True)}
        assert shown == pytest.approx({k: v for k, v in truth.items() if np.isfinite(v)})


def test_calibrated_data_are_in_jansky(solved):
    directory, _, files = solved
    out = apply.ApplyFiles(
        ms=files.ms,
        ms_record=files.ms_record,
        solutions=[files.record],
        calibrated=directory / "calibrated.ms",
        choice=directory / "calset.json",
        record=directory / "calibrated.json",
    )
    apply.run(out, INSTRUMENT, ApplyOptions(channel_bin=2))
    with open_table(out.calibrated) as table:
        data, flags = table.getcol("DATA"), table.getcol("FLAG")
    assert data.shape[1] == 16
    mean = data[~flags].mean()
    beam = solve.PrimaryBeam(INSTRUMENT)
    sources = read_sources(files.calibrators)
    expected = apparent_flux(sources, beam, 1.405e9, read_axes(files.ms).pointing_rad)[0]
    assert mean.real == pytest.approx(expected, rel=0.01)
    assert abs(mean.imag) < 0.01 * expected


def test_calibrator_without_flux_cannot_set_the_scale(solved, tmp_path):
    _, _, files = solved
    table = read_sources(files.calibrators).assign(flux_jy=np.nan)
    nameless = tmp_path / "calibrators.csv"
    table.to_csv(nameless, index=False)
    with pytest.raises(ContimgError, match="no flux density"):
        solve.run(
            files.model_copy(update={"calibrators": nameless}), INSTRUMENT, CalibrateOptions()
        )


def content(directory: Path) -> str:
    """Hash of all files below a directory."""
    digest = hashlib.sha256()
    for file in sorted(p for p in directory.rglob("*") if p.is_file() and p.name != "table.lock"):
        digest.update(str(file.relative_to(directory)).encode() + file.read_bytes())
    return digest.hexdigest()


WOUNDED = CORRUPTED.model_copy(update={"n_times": 8, "integration_s": 38.65, "seed": 3})
SWAPPED, JUMPING = "DSA-18", "DSA-68"


@pytest.fixture(scope="module")
def wounded(tmp_path_factory):
    """A calibrator half a degree off the axis, a bright neighbour, and three sick antennas.

    One is dead and asked for as the reference, one has its correlations swapped, one jumps in one.
    """
    directory = tmp_path_factory.mktemp("wounded")
    group = schedule(WOUNDED, INSTRUMENT)[0]
    calibrator = sky_of(group, 0.2, -0.5, 8.8)
    field = pd.concat([calibrator, sky_of(group, -0.7, 0.4, 2.0)], ignore_index=True)
    field["name"] = ["CAL", "B"]
    files = observe_transit(directory, group, field, WOUNDED, FlagOptions(steps=[]))
    swap_correlations(files.ms, SWAPPED, WOUNDED)
    jump(files.ms, JUMPING, corrs=[0])
    before = content(files.ms)
    files = files.model_copy(update={"g2": directory / "t.2G"})
    solve.run(files, INSTRUMENT, CalibrateOptions(refant=["9", "45"], short_solint="80s"))
    return group, files, before


def test_the_input_is_not_touched(wounded):
    _, files, before = wounded
    assert content(files.ms) == before


@pytest.mark.parametrize("writable", [True, False])
def test_all_but_the_data_of_a_working_copy_is_its_own(solved, tmp_path, monkeypatch, writable):
    source, copy = solved[2].ms, tmp_path / "copy.ms"
    monkeypatch.setattr(ms_module.os, "access", lambda *_: writable)
    before = content(source)
    ms_module.working_copy(source, copy)
    assert content(copy) == before
    linked = [file for file in copy.rglob("*") if file.is_symlink()]
    assert bool(linked) is writable
    with open_table(source) as first, open_table(copy, writable=True) as second:
        assert np.array_equal(first.getcol("DATA"), second.getcol("DATA"))
        second.putcol("FLAG", ~first.getcol("FLAG"))
        second.putcol("UVW", -first.getcol("UVW"))
    assert content(source) == before != content(copy)


def test_sick_antennas_are_found_with_their_reasons(wounded):
    group, files, _ = wounded
    data, _, alive = recovered(files, group, WOUNDED)
    flagged = data["flagged"]
    assert set(flagged) == {"DSA-9", SWAPPED, JUMPING}
    assert set(flagged["DSA-9"].values()) == {"no unflagged data"}
    assert set(flagged[SWAPPED]) == {"XX", "YY"}
    assert "no coherent signal" in flagged[SWAPPED]["XX"]
    assert flagged[JUMPING]["YY"] == "its other correlation is bad"
    assert "gain steps by" in flagged[JUMPING]["XX"]
    middle = read_axes(files.ms).mjd[WOUNDED.n_times // 2]
    assert flagged[JUMPING]["XX"].endswith(f"{middle:.6f}")
    assert set(data["antennas_lost"]) == set(flagged) and not set(flagged) & set(alive)


def test_sick_feeds_are_flagged_in_every_table(wounded):
    _, files, _ = wounded
    names = read_axes(files.ms).antenna_names
    for path in tables_of(files).values():
        share = solutions.feed_flags(path)
        assert (share[[names.index(n) for n in ("DSA-9", SWAPPED, JUMPING)]] == 1).all()
        assert share[names.index("DSA-45")].max() < 0.1


def test_flags_go_to_the_feeds_found_and_no_others(solved, tmp_path):
    ms = tmp_path / "copy.ms"
    shutil.copytree(solved[2].ms, ms)
    axes = read_axes(ms)

    def flags():
        with open_table(ms) as table:
            return table.getcol("FLAG").reshape(*axes.shape, -1, 2)

    before, number = flags(), axes.antenna_names.index("DSA-45")
    solve.health.flag(ms, axes, [solve.health.Finding(number, 1, "")])
    mine = (axes.ant1 == number) | (axes.ant2 == number)
    after = flags()
    assert after[:, mine, :, 1].all()
    assert np.array_equal(after[:, ~mine], before[:, ~mine])
    assert np.array_equal(after[..., 0], before[..., 0])


def test_the_others_are_as_accurate_as_ever(wounded):
    group, files, _ = wounded
    data, found, _ = recovered(files, group, WOUNDED)
    assert data["model_sources"] == 2
    assert found.flux_scale == pytest.approx(1, abs=0.003)
    assert rms(found.delay_ns) < 0.05
    assert rms(found.relative_amplitude) < 0.003
    assert rms(found.phase_deg) < 0.3


def test_a_dead_reference_antenna_falls_to_the_next_by_name(wounded):
    _, files, _ = wounded
    record = json.loads(files.record.read_text())
    data = record["data"]
    assert data["refant"] == "DSA-45" and data["refant_passed_over"] == ["DSA-9"]
    assert record["verdict"] == "warn"
    assert "DSA-9 is not healthy; DSA-45 instead" in record["reason"]
    names = read_axes(files.ms).antenna_names
    for name in ("B", "G", "2G"):
        with open_table(tables_of(files)[name]) as table:
            used = table.getcol("ANTENNA2")[~table.getcol("FLAG").all(axis=(1, 2))]
        assert {names[a] for a in used if a >= 0} == {"DSA-45"}
    ranking = [row["antenna"] for row in data["refant_ranking"]]
    assert not {"DSA-9", SWAPPED, JUMPING} & set(ranking) and len(ranking) >= 9
    assert [row["score"] for row in data["refant_ranking"]] == sorted(
        (row["score"] for row in data["refant_ranking"]), reverse=True
    )


def test_short_gains_follow_the_others(wounded):
    group, files, _ = wounded
    data, _, _ = recovered(files, group, WOUNDED)
    assert list(data["tables"]) == ["K", "B", "G", "2G"]
    assert data["settings"]["short_solint"] == "80s" and data["settings"]["bandpass_minsnr"] == 3
    short = read_table(files.g2)
    assert np.unique(short["mjd"]).size == 4
    assert np.nanmedian(np.abs(short["value"])) == pytest.approx(1, abs=0.003)


def test_the_record_says_which_integrations_were_used(wounded):
    _, files, _ = wounded
    used = json.loads(files.record.read_text())["data"]["integrations"]
    axes = read_axes(files.ms)
    assert used["used"] == used["of"] == axes.mjd.size
    assert used["apparent_max_jy"] < 8.8


def test_integrations_left_out_do_not_reach_the_solution(solved, tmp_path):
    """Rubbish outside the window changes nothing: CASA honours the selection."""
    _, group, files = solved
    spoilt = tmp_path / "spoilt.ms"
    shutil.copytree(files.ms, spoilt)
    axes = read_axes(spoilt)
    out = files.model_copy(
        update={name: tmp_path / f"t.{name}" for name in ("k", "b", "g", "plot")}
        | {"ms": spoilt, "record": tmp_path / "solutions.json", "plot": tmp_path / "t.png"}
    )
    beam = solve.PrimaryBeam(INSTRUMENT)
    options = CalibrateOptions(window=3, bandpass_smooth_mhz=20, gain_minsnr=1)
    sources = solve.sky_model(files, axes, beam, options)
    used = solve.integrations.choose(sources, axes, beam, options)
    with open_table(spoilt, writable=True) as table:
        data = table.getcol("DATA")
        data[: used.first * axes.shape[1]] *= 3j
        data[(used.last + 1) * axes.shape[1] :] *= 3j
        table.putcol("DATA", data)
    assert data.size and 0 < used.last - used.first + 1 < axes.mjd.size
    solve.run(out, INSTRUMENT, options)
    _, found, _ = recovered(out, group, CORRUPTED)
    assert found.flux_scale == pytest.approx(1, abs=0.005)


def test_development_keeps_the_scale_and_says_what_it_is(solved, tmp_path):
    """Gains of phases alone, coarse channels: the scale is in B, unless B is normalised."""
    _, group, files = solved
    out = files.model_copy(
        update={name: tmp_path / f"t.{name}" for name in ("k", "b", "g")}
        | {"record": tmp_path / "solutions.json", "plot": tmp_path / "t.png"}
    )
    solve.run(out, INSTRUMENT, CalibrateOptions(preset="development"))
    data, found, _ = recovered(out, group, CORRUPTED)
    assert found.flux_scale == pytest.approx(1, abs=0.01)
    gains = read_table(out.g)["value"]
    assert np.nanmax(np.abs(np.abs(gains) - 1)) < 1e-4
    assert table_freq_hz(out.b).size == 8
    assert data["tier"] == "development"
    assert refusal(json.loads(out.record.read_text()), "standard")


def test_a_solved_bandpass_is_really_smoothed(solved, tmp_path):
    """Noise put into a table of CASA's goes down; the scale and the flags stay."""
    tables = [tmp_path / "clean.B", tmp_path / "noisy.B"]
    for path in tables:
        shutil.copytree(solved[2].b, path)
    before = read_table(tables[1])
    noise = 0.002 * np.random.default_rng(1).standard_normal((2, *before["value"].shape))
    with open_table(tables[1], writable=True) as table:
        table.putcol("CPARAM", table.getcol("CPARAM") + noise[0] + 1j * noise[1])
    for path in tables:
        smooth_table(path, 40e6)
    clean, noisy = (read_table(path) for path in tables)
    left = np.nanstd(noisy["value"] - clean["value"])
    assert left < 0.45 * np.std(noise[0] + 1j * noise[1])  # 7 channels: sqrt(2 / 21) = 0.31
    assert np.array_equal(before["flag"], noisy["flag"])
    scale = np.nanmean(np.abs(noisy["value"])) / np.nanmean(np.abs(before["value"]))
    assert scale == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("given", "kind", "path", "standard"),
    [
        ({}, "catalog", None, "Perley-Butler 2017"),
        (
            {"model_kind": "setjy", "model_standard": "Perley-Butler 2013"},
            *("setjy", None, "Perley-Butler 2013"),
        ),
        (
            {"model_kind": "image", "model_path": "m.fits"},
            *("image", Path.cwd() / "m.fits", "Perley-Butler 2017"),
        ),
    ],
)
def test_the_kind_of_model_is_that_of_the_options(solved, monkeypatch, given, kind, path, standard):
    class Asked(Exception):
        pass

    def ask(ms, axes, sources, beam, **kinds):
        raise Asked(kinds)

    monkeypatch.setattr(solve, "write_model", ask)
    with pytest.raises(Asked) as asked:
        solve.run(solved[2], INSTRUMENT, CalibrateOptions(**given))
    assert asked.value.args[0] == {"kind": kind, "path": path, "standard": standard}


def test_faint_field_sources_are_left_out(wounded):
    _, files, _ = wounded
    axes, beam = read_axes(files.ms), solve.PrimaryBeam(INSTRUMENT)
    for limit, sources in ((0.005, 2), (3.0, 1)):
        options = CalibrateOptions(model_min_jy=limit)
        assert len(solve.sky_model(files, axes, beam, options)) == sources


def test_files_and_options_must_agree(solved):
    _, _, files = solved
    with pytest.raises(ContimgError, match="table 2G is solved but has no file"):
        solve.run(files, INSTRUMENT, CalibrateOptions(preset="high_precision"))
    with pytest.raises(ContimgError, match="table K has a file but is not solved"):
        solve.run(files, INSTRUMENT, CalibrateOptions(delays=False))


def test_limits_of_the_verdict_are_those_of_the_options():
    summary = {
        "antennas": 10,
        "antennas_solved": 8,
        "flagged_fraction": {"K": 0.0, "B": 0.1, "G": 0.0},
        "gain_amplitude_median": 1.0,
    }

    def verdict(**options) -> str:
        return worst(solutions.checks(summary, CalibrateOptions(**options)))

    assert verdict() == "pass"
    assert verdict(max_flagged=0.15) == "warn"
    assert verdict(max_flagged=0.05, fail_flagged=0.15) == "fail"
