"""The command line: ``contimg VERB --flag value ...``.

Every rule of the workflow runs one of these verbs; each can be typed by hand.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from contimg import __version__, help
from contimg.core import compiled, disk, records
from contimg.core.command import Command
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.jobs import Note, noted
from contimg.core.options import add_flags, flag_name, from_namespace
from contimg.core.seals import seal, verified
from contimg.environment import one_thread_each, without_locks

# verb (one word or two) -> module that holds its COMMAND; imported only when the verb is used
VERBS = {
    "simulate": "contimg.simulate.command",
    "simulate-sky": "contimg.simulate.sky_command",
    "compare-truth": "contimg.check.truth",
    "rewrap": "contimg.simulate.rewrap",
    "discover": "contimg.run.discover",
    "plan": "contimg.run.plan",
    "validate": "contimg.validate.command",
    "transits": "contimg.plan.transits",
    "find-calibrators": "contimg.plan.find_calibrators",
    "inventory": "contimg.report.inventory",
    "convert": "contimg.convert.command",
    "flag-summary": "contimg.flag.command",
    "catalogs fetch": "contimg.catalogs.fetch",
    "catalogs import": "contimg.catalogs.import_command",
    "calibrators list": "contimg.calibrate.calibrators",
    "calibrators import": "contimg.calibrate.calibrators_import",
    "solve": "contimg.calibrate.solve",
    "apply": "contimg.calibrate.apply",
    "calibrate tile": "contimg.tile.command",
    "calset inspect": "contimg.calset.inspect",
    "calset validate": "contimg.calset.validate",
    "calset compare": "contimg.calset.compare",
    "calset delays": "contimg.calset.delays",
    "calset completeness": "contimg.calset.completeness",
    "calset drift": "contimg.calset.drift",
    "image": "contimg.image.command",
    "mask": "contimg.image.mask_command",
    "overlay": "contimg.image.overlay_command",
    "mosaic": "contimg.mosaic.command",
    "mosaic plan": "contimg.mosaic.plan",
    "mosaic validate": "contimg.mosaic.validate",
    "mosaic list": "contimg.mosaic.listing",
    "field-model": "contimg.field_model.command",
    "photometry": "contimg.photometry.command",
    "photometry point": "contimg.photometry.point",
    "photometry adaptive": "contimg.photometry.adaptive",
    "photometry tile": "contimg.photometry.tile.command",
    "photometry combine": "contimg.photometry.tile.combine",
    "lightcurves": "contimg.variability.lightcurves",
    "variability": "contimg.variability.command",
    "ese": "contimg.variability.ese_command",
    "check-fluxes": "contimg.check.fluxes",
    "unknown": "contimg.check.unknown",
    "beam": "contimg.check.beam",
    "publish-files": "contimg.publish.command",
    "status": "contimg.report.status",
    "qa": "contimg.operate.qa",
    "candidates": "contimg.operate.candidates",
    "flag-candidate": "contimg.operate.flag_candidate",
    "sources": "contimg.operate.sources",
    "lightcurve": "contimg.operate.lightcurve",
    "cutout": "contimg.export.cutout",
    "export": "contimg.export.command",
    "errors": "contimg.operate.errors",
    "log": "contimg.operate.log",
    "retry": "contimg.operate.retry",
    "verify": "contimg.operate.verify",
    "publish": "contimg.operate.publish",
    "hold": "contimg.operate.hold",
    "release": "contimg.operate.release",
    "report": "contimg.report.command",
    "serve": "contimg.service.command",
    "why": "contimg.run.why",
    "config": "contimg.config_files",
}


# what a person asks of a run, in the list of verbs with a line each
PEOPLE = ("plan", "validate", "status", "errors", "log", "retry", "verify")
PEOPLE += ("publish", "hold", "release", "qa")
PEOPLE += ("candidates", "flag-candidate", "sources", "lightcurve")


def load(verb: str) -> Command:
    """The command behind a verb."""
    return import_module(VERBS[verb]).COMMAND


def declared(verb: str) -> Command:
    """What a verb takes, without the libraries that its work needs."""
    return help.declared(VERBS[verb])


def find_verb(argv: list[str]) -> str | None:
    """The verb that `argv` starts with, the longer one of two; None if there is none."""
    for words in (2, 1):
        verb = " ".join(argv[:words])
        if verb in VERBS:
            return verb
    return None


class _Parser(argparse.ArgumentParser):
    """Flags of a verb; a wrong one is named with those it looks like."""

    def error(self, message: str) -> NoReturn:
        known = sorted(self._option_string_actions)
        unknown = message.removeprefix("unrecognized arguments: ")
        hint = "" if unknown == message else help.did_you_mean(unknown.split()[0], known)
        self.exit(2, f"{self.prog}: {message}{hint}\n{self.prog} --help lists the flags\n")


def build_parser(verb: str) -> argparse.ArgumentParser:
    """The flags of one verb."""
    command = load(verb)
    parser = _Parser(prog=f"contimg {verb}", allow_abbrev=False, add_help=False)
    for model in (command.files, *command.options):
        add_flags(parser, model)
    parser.add_argument("--configfile", nargs="+", type=Path, default=None)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    without_locks()
    one_thread_each()
    try:
        with noted() as note:
            status = _main(argv, note)
            if status and not note.error:
                note.error = f"exit status {status}"
        if sys.stdout is not None:  # closed by who started this
            sys.stdout.flush()
    except BrokenPipeError:  # `contimg ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _main(argv: list[str], note: Note) -> int:
    verb = find_verb(argv)
    if verb is None:
        return _usage(argv)
    words = argv[len(verb.split()) :]
    if asked := {"-h", "--help"} & set(words):
        flags = [word for word in words if word not in asked]
        print(help.verb_help(verb, declared(verb), flags))
        return 0
    command = load(verb)
    _note_code(verb)
    namespace = build_parser(verb).parse_args(words)
    try:
        return _carried_out(verb, command, namespace, note)
    except (OSError, RuntimeError) as error:  # of the disk: as such, or in a library's words
        if not (why := disk.trouble(error, Path.cwd())):
            raise
        return _fail(verb, note, why)
    except MemoryError as error:
        why = f"not enough memory ({error}); give the job more, or have it make something smaller"
        return _fail(verb, note, why)
    except (EOFError, pickle.UnpicklingError) as error:
        if not (why := compiled.trouble(error)):
            raise
        return _fail(verb, note, why)


def _carried_out(verb: str, command: Command, namespace: argparse.Namespace, note: Note) -> int:
    """Run a verb whose flags are read; its exit status."""
    files = None
    try:
        files, options = read(command, namespace)
        records.GIVEN = lambda: options
        for product in command.inputs(files):
            verified(product)
        status = command.run(files, *options) or 0
        if command.record is not None and getattr(files, command.record) is not None:
            seal(getattr(files, command.record), command.products(files))
    except ValidationError as error:
        note.error = _complain(verb, error)
        return 2
    except DataQualityError as error:
        if why := disk.trouble(error, Path.cwd()):  # the data are as they were
            return _fail(verb, note, why)
        return _record_failure(verb, command, files, options, error)
    except (ContimgError, FileNotFoundError) as error:
        return _fail(verb, note, disk.trouble(error, Path.cwd()) or str(error))
    except OSError as error:
        if files and command.record:  # the job is known, if the file is not
            disk.named(error, getattr(files, command.record))
        raise
    return status


def _fail(verb: str, note: Note, why: str) -> int:
    note.error = why
    print(f"contimg {verb}: error: {why}", file=sys.stderr)
    return 1


def read(command: Command, namespace: argparse.Namespace) -> tuple[BaseModel, list[BaseModel]]:
    """Files and options: what the flags say, then the config of the run, then the defaults."""
    config: dict[str, Any] = {}
    known: dict[str, Any] = {}
    if namespace.configfile or command.by_hand:
        from contimg.report.known import config_of, values_of

        config = config_of(namespace.configfile, getattr(namespace, "results", None))
        known = values_of(config, command.files.model_fields)
        if command.options and config and not namespace.configfile:
            print("contimg: options not given are those of the last run", file=sys.stderr)
    files = from_namespace(namespace, command.files, known)
    options = [
        from_namespace(namespace, model, config.get(model.section)) for model in command.options
    ]
    return files, options


def _complain(verb: str, error: ValidationError) -> str:
    """Print what is wrong with flags or config; the first of it."""
    said = []
    for problem in error.errors():
        where = flag_name("-".join(str(part) for part in problem["loc"][:1]))
        said.append(f"contimg {verb}: {where}: {problem['msg']}")
    print("\n".join(said), file=sys.stderr)
    return said[0]


def _note_code(verb: str) -> None:
    """Let records say which code made their products."""

    def code() -> dict[str, str]:
        from contimg.dependencies import modules

        return modules(verb)

    records.CODE = code


def _record_failure(verb: str, command: Command, files, options, error: DataQualityError) -> int:
    """Write the failed record and placeholders of a job whose data were not good enough."""
    reason = " ".join(str(error).split())  # plain text of one line, whatever was quoted in it
    print(f"contimg {verb}: no product: {reason}", file=sys.stderr)
    if command.record is None:
        return 1
    from contimg.core.failure import record_failure

    names = [n for n in command.outputs if n != command.record and getattr(files, n) is not None]
    # what is written always may not have been when it failed
    names += [name for name in command.always if not getattr(files, name).exists()]
    record_failure(
        getattr(files, command.record),
        command.stage or verb,
        error,
        options,
        [getattr(files, name) for name in names],
        command.products(files),
    )
    return 0


def _usage(argv: list[str]) -> int:
    if argv[:1] == ["--version"]:
        print(f"contimg {__version__}")
        return 0
    if argv and argv[0] not in {"-h", "--help"}:
        hint = help.did_you_mean(" ".join(argv[:2]), VERBS) or help.did_you_mean(argv[0], VERBS)
        print(f"contimg: unknown verb {argv[0]!r}{hint}", file=sys.stderr)
        print("contimg --help lists the verbs", file=sys.stderr)
        return 2
    shown = VERBS if "all" in argv else PEOPLE
    print("usage: contimg VERB [flags]      (contimg VERB --help lists the flags)\n")
    for verb in shown:
        print(f"  {verb:20s} {help.summary(VERBS[verb])}")
    if shown is PEOPLE:
        others = "  ".join(verb.replace(" ", "\0") for verb in VERBS if verb not in PEOPLE)
        lines = textwrap.wrap(others, help.WIDTH - 2, break_on_hyphens=False)
        print("\nmore verbs (contimg --help all explains them), jobs of the workflow among them:")
        print("\n".join(f"  {line}" for line in lines).replace("\0", " "))
    return 0 if argv else 2


if __name__ == "__main__":
    sys.exit(main())
