"""Steps on a whole MS, with the real programs; none of them may undo what another flagged."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from contimg.core.casa import casa_session
from contimg.core.errors import ContimgError
from contimg.core.ms import open_table, read_axes
from contimg.flag import programs
from contimg.flag.measurement_set import context_of, flag_measurement_set
from contimg.flag.options import FlagOptions
from truth.observe import PERFECT, converted, observe

NOISY = PERFECT.model_copy(
    update={"noise": True, "channels_per_subband": 24, "n_times": 12, "integration_s": 25.8}
)
needs_aoflagger = pytest.mark.skipif(
    shutil.which("aoflagger") is None, reason="aoflagger is not installed (Debian: aoflagger)"
)
CLEARING = """
function execute(input)
  input:clear_mask()
end
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """An MS of noise and a 5 Jy source with a burst, a line and flags of its own."""
    directory = tmp_path_factory.mktemp("flag")
    _, _, manifest = observe(directory, flux_jy=5.0, simulate=NOISY)
    ms = converted(directory, manifest)
    shape = (*read_axes(ms).shape, 48, 2)
    with open_table(ms, writable=True) as table:
        data = table.getcol("DATA").reshape(shape)
        data[4] += 100
        data[:, :, 30] += 300
        flags = table.getcol("FLAG").reshape(shape)
        flags[:, 5] = True  # a dead baseline
        flags[2, :, 7:9] = True
        table.putcol("DATA", data.reshape(-1, 48, 2))
        table.putcol("FLAG", flags.reshape(-1, 48, 2))
    return ms


@pytest.fixture
def ms(original, tmp_path):
    return shutil.copytree(original, tmp_path / "tile.partial-1.ms")


def flags_of(ms) -> np.ndarray:
    with open_table(ms) as table:
        return table.getcol("FLAG").reshape(*read_axes(ms).shape, 48, 2)


@needs_aoflagger
def test_aoflagger_with_our_strategy_finds_a_burst_and_clears_nothing(ms, monkeypatch):
    before = flags_of(ms)
    programs.aoflagger(ms, FlagOptions())  # without the guard
    after = flags_of(ms)
    assert (after | before == after).all(), "our own strategy clears flags"
    assert after[4].mean() > 0.95
    clean = np.delete(np.delete(after & ~before, 4, axis=0), 30, axis=2)
    assert clean.mean() < 0.02


@needs_aoflagger
def test_a_strategy_that_clears_flags_cannot(ms, tmp_path):
    strategy = tmp_path / "clearing.lua"
    strategy.write_text(CLEARING)
    options = FlagOptions(steps=["aoflagger"], aoflagger_strategy=strategy)
    before = flags_of(ms)
    copy = shutil.copytree(ms, tmp_path / "copy.ms")
    programs.aoflagger(copy, options)
    assert not flags_of(copy)[:, 5].all(), "the trap is none: the strategy clears nothing"
    added = flag_measurement_set(ms, options)
    assert (flags_of(ms) == before).all() and added == {"aoflagger": 0.0}


@pytest.mark.parametrize("step", ["tfcrop", "rflag"])
def test_casa_finds_a_line_and_keeps_flags(ms, step):
    before = flags_of(ms)
    added = flag_measurement_set(ms, FlagOptions(steps=[step]))
    after = flags_of(ms)
    assert (after | before == after).all()
    assert added[step] == pytest.approx(after.mean() - before.mean(), abs=1e-9)
    assert after[:, :, 30].mean() > 0.9 and (after & ~before)[:4, :, :30].mean() < 0.1


def test_a_program_that_unflags_cannot(ms, monkeypatch):
    def unflag(path, options):
        with casa_session():
            from casatasks import flagdata

            flagdata(vis=str(path), mode="unflag", flagbackup=False)

    monkeypatch.setitem(programs.PROGRAMS, "tfcrop", unflag)
    before = flags_of(ms)
    assert flag_measurement_set(ms, FlagOptions(steps=["tfcrop"])) == {"tfcrop": 0.0}
    assert (flags_of(ms) == before).all()


def test_steps_after_a_program_run_on_the_ms_in_order(ms, monkeypatch):
    order = []

    def program(path, options):
        order.append("rflag")
        with open_table(path, writable=True) as table:
            flags = table.getcol("FLAG")
            flags[:, :20] = True
            table.putcol("FLAG", flags)

    monkeypatch.setitem(programs.PROGRAMS, "rflag", program)
    options = FlagOptions(
        steps=["dead_antennas", "rflag", "time_occupancy", "channel_occupancy", "mad_clip"],
        block_channels=24,
    )
    added = flag_measurement_set(ms, options)
    assert list(added) == ["rflag", "time_occupancy", "channel_occupancy", "mad_clip"]
    flags = flags_of(ms)
    assert flags[:, :, :24].all(), "20 of 24 channels are gone: the times of that block are too"
    assert flags[:, :, 40].mean() < 0.5
    with open_table(ms) as table:
        assert (table.getcol("FLAG_ROW") == flags.all(axis=(2, 3)).ravel()).all()


def test_strategy_without_programs_leaves_the_ms_alone(ms):
    before = flags_of(ms)
    assert flag_measurement_set(ms, FlagOptions()) == {}
    assert (flags_of(ms) == before).all()


def test_geometry_of_the_ms_is_that_of_the_stream(ms):
    axes = read_axes(ms)
    context = context_of(ms, axes, 3, 9)
    # antenna 2 minus antenna 1, as antenna positions give it: their lengths and their sense
    positions = axes.antenna_positions_m
    east = np.cross([0, 0, 1], positions.mean(axis=0))
    east /= np.linalg.norm(east)
    expected = (positions[axes.ant2] - positions[axes.ant1]) @ east
    assert np.corrcoef(context.uvw_m[6, :, 0], expected)[0, 1] > 0.999
    assert context.freq_hz.size == 7 and context.antenna_diameter_m == pytest.approx(4.65, abs=0.2)
    # on the meridian: 90 degrees minus latitude plus declination
    elevation = 90 - abs(np.degrees(axes.pointing_rad[1][0]) - 37.23)
    assert np.degrees(context.elevation_rad) == pytest.approx(elevation, abs=0.3)


def test_missing_aoflagger_names_the_package(ms, monkeypatch):
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    with pytest.raises(ContimgError, match="apt install aoflagger"):
        flag_measurement_set(ms, FlagOptions(strategy="aoflagger"))


@needs_aoflagger
def test_errors_of_aoflagger_are_errors(ms, tmp_path):
    with pytest.raises(ContimgError, match="no file"):
        programs.aoflagger(ms, FlagOptions(aoflagger_strategy=tmp_path / "none.lua"))
    broken = tmp_path / "broken.lua"
    broken.write_text("function execute(input)\n  no_such_function()\nend\n")
    with pytest.raises(ContimgError, match="no_such_function"):
        programs.aoflagger(ms, FlagOptions(aoflagger_strategy=broken))


@needs_aoflagger
def test_our_strategy_obeys_its_options(ms, tmp_path):
    fractions = []
    for threshold in (0.6, 4.0):
        copy = shutil.copytree(ms, tmp_path / f"{threshold}.ms")
        programs.aoflagger(copy, FlagOptions(aoflagger_threshold=threshold))
        fractions.append(flags_of(copy).mean())
    assert fractions[0] > fractions[1] + 0.01
