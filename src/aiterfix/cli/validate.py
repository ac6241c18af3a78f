"""``aiterfix validate``."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from aiterfix.cli import output
from aiterfix.cli.arguments import TEXT, add_output, form_asked, positive
from aiterfix.cli.target import add_target, judge_all, known_faults, require_found, target_words
from aiterfix.errors import ExitCode, UsageError
from aiterfix.report.page import Page
from aiterfix.report.terminal import redraws
from aiterfix.storage.text import printable
from aiterfix.validation.choice import GROUPS, SINGLE, Asked, Chosen, choose

if TYPE_CHECKING:
    from aiterfix.judge.judgement import Judgement
    from aiterfix.report.types.validate import FaultPairReport
    from aiterfix.validation.report import Report
    from aiterfix.validation.scenarios import Scenario
    from aiterfix.validation.series import Progress

_SAME = ("source", "hsaco", "path", "patched", "device", "out_stride", "suite", "fault", "jobs")
"""Arguments whose values are passed on as they are."""
FORMATS = (TEXT, "json", "html")
INTERRUPTED = 130
"""The status of a command that was interrupted, as shells have it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser, several=False)
    parser.add_argument("--source", type=Path, metavar="FILE", help="this kernel file instead of an installation's")
    parser.add_argument("--hsaco", type=Path, metavar="FILE", help="this prebuilt code object, its .json beside it")
    parser.add_argument("--patched", action="store_true", help="the text that `aiterfix apply` would write")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="suite", const="quick", help="seconds (default)")
    size.add_argument("--full", action="store_const", dest="suite", const="full", help="minutes")
    size.add_argument("--scenario", metavar="NAME", help="only scenarios of this name or shell pattern")
    parser.add_argument(
        "--fault", metavar="ID", help="what shows this fault, such as row-offset-32, before and after its mend"
    )
    parser.set_defaults(suite=None)
    parser.add_argument(
        "--kernel",
        action="append",
        choices=(*GROUPS, *SINGLE),
        metavar="|".join((*GROUPS, *SINGLE)),
        help="which kernels; may be repeated (default: all that the files define; stage1: the plain-Triton ones; own: "
        "this project's)",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "gpu", "emulator"),
        default="auto",
        help="what runs the kernels (default: auto, a gfx942 or gfx950 where torch for ROCm finds one, else the "
        "emulator; an NVIDIA GPU only where asked for with gpu)",
    )
    parser.add_argument(
        "--kv-block-size", action="append", type=positive, metavar="N", help="only this; may be repeated"
    )
    parser.add_argument("--heads", action="append", type=positive, metavar="N", help="only this; may be repeated")
    parser.add_argument("--chunk-k", action="append", type=positive, metavar="N", help="only this; may be repeated")
    parser.add_argument(
        "--out-stride",
        choices=("auto", "i32", "i64"),
        default="auto",
        help="type of the row stride (default: auto, as the installed wrapper passes it)",
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="most processes that the emulator spreads scenarios over (default: as many as there are cores, up to 16)",
    )
    parser.add_argument("--strict", action="store_true", help="findings fail the run too")
    add_output(parser, FORMATS)


def execute(options: argparse.Namespace) -> int:
    """Run the kernels, on the gfx950 emulator or on a GPU, and compare every logit with a reference."""
    if options.fault is not None and options.suite is not None:
        raise UsageError(f"--fault runs the scenarios that show it: --{options.suite} does not go with it")
    options.form = form_asked(FORMATS, vars(options))
    with output.into(options.output):
        return _execute(options)


def _execute(options: argparse.Namespace) -> int:
    chosen = choose(asked_by(options))
    status = _pair(chosen, options) if options.fault else _finish(_run(chosen.subject, chosen, options), options)
    if chosen.prebuilt:
        output.note(
            f"aiterfix: prebuilt code objects in {chosen.prebuilt} are used instead of this source here; "
            "judge them with --hsaco"
        )
        return status if status == ExitCode.ACTION else ExitCode.NOT_UNDERSTOOD
    return status


def _run(subject: Any, chosen: Chosen, options: argparse.Namespace) -> Report:
    from aiterfix.validation import pipeline

    told = _Told(options.form != TEXT)
    with ended_by_an_interrupt():
        return pipeline.validate(
            subject,
            chosen.executor,
            chosen.selection,
            strict=options.strict,
            progress=told.progress,
            started=told.started,
        )


def _pair(chosen: Chosen, options: argparse.Namespace) -> int:
    """The scenarios of a fault before its mend and after."""
    from aiterfix.report.types.validate import FaultPairReport, ValidateReport

    before = _run(chosen.subject, chosen, options)
    if options.form == TEXT:
        _show_tail(before, options)
    after = None
    if chosen.after is not None and not before.interrupted:
        after = _run(chosen.after, chosen, options)
    pair = FaultPairReport.of(options.fault, before, after)
    if options.form == "html":
        from aiterfix.report.html.validate import validate_page

        whole = replace(ValidateReport.of(after or before), fault=pair)
        output.write_escaped(validate_page(whole, ValidateReport.of(before) if after is not None else None))
    elif options.form == "json":
        output.write_report(replace(ValidateReport.of(after or before), fault=pair))
    else:
        if after is not None:
            _show_tail(after, options)
        output.write(Page([f"{options.fault}: {_compared(pair, options, mended=after is not None)}"]))
    if before.interrupted or (after is not None and after.interrupted):
        return INTERRUPTED
    return ExitCode.OK if pair.shown else ExitCode.ACTION


def _compared(pair: FaultPairReport, options: argparse.Namespace, *, mended: bool) -> str:
    if mended:
        return f"{pair.before} before, {pair.after} after its mend"
    if pair.after != "no mend":
        return f"{pair.before} before, there is nothing to mend"
    remedy = next((f.remedy for f in known_faults(options).judged if f.id == options.fault), "")
    return f"{pair.before} before, nothing mends it" + (f": {remedy}" if remedy else "")


def asked_by(options: argparse.Namespace) -> Asked:
    """What the arguments ask for, as far as the command has them."""

    def installed() -> Sequence[Judgement]:
        whole = judge_all(argparse.Namespace(**{**vars(options), "kernel": None}))
        require_found(whole.discovery, whole.live)
        return whole.live

    given = {name: value for name, value in vars(options).items() if name in _SAME}
    given["path"] = options.path or options.root
    return Asked(
        installed=installed,
        known=lambda: known_faults(argparse.Namespace(fixes=options.fixes)),
        note=output.note,
        python=str(options.python) if options.python is not None else None,
        kernels=tuple(getattr(options, "kernel", None) or ()),
        kv_block_sizes=tuple(options.kv_block_size or ()),
        heads=tuple(options.heads or ()),
        chunks=tuple(getattr(options, "chunk_k", None) or ()),
        pattern=getattr(options, "scenario", None),
        **{**given, "suite": given.get("suite") or "quick"},
    )


def _finish(report: Report, options: argparse.Namespace) -> int:
    from aiterfix.report.types.validate import ValidateReport

    if options.form == "html":
        from aiterfix.report.html.validate import validate_page

        output.write_escaped(validate_page(ValidateReport.of(report)))
    elif options.form == "json":
        output.write_report(ValidateReport.of(report))
    else:
        _show_tail(report, options)
    if report.interrupted:
        return INTERRUPTED
    if report.failures:
        return ExitCode.ACTION
    if report.missing or not report.scenarios:
        return ExitCode.NOT_UNDERSTOOD if report.not_understood else ExitCode.ENVIRONMENT
    return ExitCode.OK


def _show_tail(report: Report, options: argparse.Namespace) -> None:
    from aiterfix.validation.report import tail

    output.write(Page(tail(report, _repeated(report, options))))


def _repeated(report: Report, options: argparse.Namespace) -> list[str]:
    """The arguments that say what was validated, for advice that repeats them; the scenario picks the kernel."""
    words = target_words(options)
    words += ["--fault", options.fault] if options.fault is not None else []
    for name in ("source", "hsaco"):
        words += [f"--{name}", str(getattr(options, name))] if getattr(options, name) is not None else []
    for name in ("patched", "strict"):
        words += [f"--{name}"] if getattr(options, name) else []
    if report.hardware is not None or options.device != "auto":
        words += ["--device", "gpu" if report.hardware is not None else options.device]
    for name in ("kv_block_size", "heads", "chunk_k"):
        for value in getattr(options, name) or ():
            words += [f"--{name.replace('_', '-')}", str(value)]
    return [*words, "--out-stride", options.out_stride] if options.out_stride != "auto" else words


class _Told:
    """What a person is told on the way: a row a scenario on stdout, and on a terminal, what runs now on stderr."""

    def __init__(self, whole: bool) -> None:
        self._whole = whole  # the report comes as one piece at the end
        self._report: Report | None = None
        self._scenarios: Sequence[Scenario] = ()

    def started(self, report: Report, scenarios: Sequence[Scenario]) -> None:
        """Write the head."""
        from aiterfix.validation.report import head

        self._report, self._scenarios = report, scenarios
        self._line(*head(report, scenarios))

    def progress(self, progress: Progress) -> None:
        """Write a scenario's row, once it is judged."""
        from aiterfix.validation.report import row

        if redraws(sys.stderr):
            now = printable(f"[{progress.done}/{progress.total}] {progress.what}")[:110]
            line = "" if progress.last is not None else now
            sys.stderr.write("\r\x1b[K" + line)
            sys.stderr.flush()
        if progress.last is not None and self._report is not None:
            self._line(row(self._report, progress.last, self._scenarios))

    def _line(self, *lines: str) -> None:
        if not self._whole:
            output.write(Page(lines))
            output.flush()


@contextmanager
def ended_by_an_interrupt() -> Iterator[None]:
    """SIGTERM inside ends a run as an interrupt does: with a summary of what was judged by then."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
