"""The command line: ``contimg VERB --flag value ...``.

Every rule of the workflow runs one of these verbs; each can be typed by hand.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from pydantic import ValidationError

from contimg.core.command import Command
from contimg.core.errors import ContimgError, DataQualityError
from contimg.core.options import add_flags, from_namespace

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
    "calibrators list": "contimg.calibrate.calibrators",
    "calibrators import": "contimg.calibrate.calibrators_import",
    "solve": "contimg.calibrate.solve",
    "apply": "contimg.calibrate.apply",
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
    "photometry": "contimg.photometry.command",
    "lightcurves": "contimg.variability.lightcurves",
    "variability": "contimg.variability.command",
    "check-fluxes": "contimg.check.fluxes",
    "publish": "contimg.publish.command",
    "status": "contimg.report.status",
    "report": "contimg.report.command",
    "config": "contimg.config_files",
}


def load(verb: str) -> Command:
    """The command behind a verb."""
    return import_module(VERBS[verb]).COMMAND


def find_verb(argv: list[str]) -> str | None:
    """The verb that `argv` starts with, the longer one of two; None if there is none."""
    for words in (2, 1):
        verb = " ".join(argv[:words])
        if verb in VERBS:
            return verb
    return None


def build_parser(verb: str) -> argparse.ArgumentParser:
    """The flags of one verb."""
    command = load(verb)
    parser = argparse.ArgumentParser(
        prog=f"contimg {verb}", description=command.help, allow_abbrev=False
    )
    for model in (command.files, *command.options):
        add_flags(parser, model)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    verb = find_verb(argv)
    if verb is None:
        return _usage(argv)
    namespace = build_parser(verb).parse_args(argv[len(verb.split()) :])
    command = load(verb)
    try:
        files = from_namespace(namespace, command.files)
        options = [from_namespace(namespace, model) for model in command.options]
    except ValidationError as error:
        for problem in error.errors():
            where = "--" + "-".join(str(part) for part in problem["loc"][:1]).replace("_", "-")
            print(f"contimg {verb}: {where}: {problem['msg']}", file=sys.stderr)
        return 2
    try:
        command.run(files, *options)
    except DataQualityError as error:
        return _record_failure(verb, command, files, options, str(error))
    except (ContimgError, FileNotFoundError) as error:
        print(f"contimg {verb}: error: {error}", file=sys.stderr)
        return 1
    return 0


def _record_failure(verb: str, command: Command, files, options, reason: str) -> int:
    """Write the failed record and placeholders of a job whose data were not good enough."""
    print(f"contimg {verb}: no product: {reason}", file=sys.stderr)
    if command.record is None:
        return 1
    from contimg.core.failure import write_failed
    from contimg.core.records import write_record

    record = getattr(files, command.record)
    for name in command.outputs:
        if name != command.record and getattr(files, name) is not None:
            write_failed(getattr(files, name), reason)
    write_record(
        record,
        product=record.stem,
        stage=verb,
        data={},
        options=options,
        reason=reason,
        verdict="fail",
    )
    return 0


def _usage(argv: list[str]) -> int:
    unknown = bool(argv) and argv[0] not in {"-h", "--help"}
    stream = sys.stderr if unknown or not argv else sys.stdout
    if unknown:
        print(f"contimg: unknown verb {argv[0]!r}", file=stream)
    print("usage: contimg VERB [flags]      (contimg VERB --help lists the flags)\n", file=stream)
    if unknown or not argv:
        print("verbs: " + ", ".join(VERBS), file=stream)
        return 2
    for verb in VERBS:
        print(f"  {verb:20s} {load(verb).help}", file=stream)
    return 0


if __name__ == "__main__":
    sys.exit(main())
