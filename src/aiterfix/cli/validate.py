"""``aiterfix validate``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.cli import output
from aiterfix.cli.arguments import positive
from aiterfix.cli.target import add_target, judge_all, known_faults, require_found, target_words
from aiterfix.errors import ExitCode
from aiterfix.storage.text import printable
from aiterfix.validation.choice import GLUON, ON_A_GPU, Asked, choose

if TYPE_CHECKING:
    from aiterfix.judge.judgement import Judgement
    from aiterfix.validation.report import Report
    from aiterfix.validation.series import Progress

_SAME = ("source", "hsaco", "path", "patched", "device", "out_stride", "suite", "fault")
"""Arguments whose values are passed on as they are."""
KERNELS = ("base", "preshuffle", "preshuffle_varctx")


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
    size.add_argument("--fault", metavar="ID", help="only the scenarios that show this fault, such as row-offset-32")
    parser.set_defaults(suite="quick")
    parser.add_argument(
        "--kernel",
        action="append",
        choices=(*GLUON, *ON_A_GPU, *KERNELS),
        metavar="|".join(("gluon", *KERNELS, *ON_A_GPU)),
        help="which kernels; may be repeated (default: gluon, all that the file defines; stage1: aiter's plain-Triton "
        "kernels, on a GPU only; own: this project's)",
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
    parser.add_argument(
        "--out-stride",
        choices=("auto", "i32", "i64"),
        default="auto",
        help="type of the row stride (default: auto, as the installed wrapper passes it)",
    )
    parser.add_argument("--strict", action="store_true", help="findings fail the run too")


def execute(options: argparse.Namespace) -> int:
    """Run the kernels, on the gfx950 emulator or on a GPU, and compare every logit with a reference."""
    chosen = choose(asked_by(options))
    from aiterfix.validation import pipeline

    report = pipeline.validate(
        chosen.subject, chosen.executor, chosen.selection, strict=options.strict, progress=_progress()
    )
    status = _finish(report, options)
    if chosen.prebuilt:
        output.note(
            f"aiterfix: prebuilt code objects in {chosen.prebuilt} are used instead of this source here; "
            "judge them with --hsaco"
        )
        return status if status == ExitCode.ACTION else ExitCode.NOT_UNDERSTOOD
    return status


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
        pattern=getattr(options, "scenario", None),
        **given,
    )


def _finish(report: Report, options: argparse.Namespace) -> ExitCode:
    from aiterfix.report.page import Page
    from aiterfix.report.types.validate import ValidateReport
    from aiterfix.validation.report import table

    if options.json:
        output.write_report(ValidateReport.of(report))
    else:
        output.write(Page(table(report, _repeated(report, options))))
    if report.failures:
        return ExitCode.ACTION
    if report.not_run:
        return ExitCode.NOT_UNDERSTOOD if report.not_understood else ExitCode.ENVIRONMENT
    return ExitCode.OK


def _repeated(report: Report, options: argparse.Namespace) -> list[str]:
    """The arguments that say what was validated, for advice that repeats them; the scenario picks the kernel."""
    words = target_words(options)
    for name in ("source", "hsaco"):
        words += [f"--{name}", str(getattr(options, name))] if getattr(options, name) is not None else []
    for name in ("patched", "strict"):
        words += [f"--{name}"] if getattr(options, name) else []
    if report.hardware is not None or options.device != "auto":
        words += ["--device", "gpu" if report.hardware is not None else options.device]
    for name in ("kv_block_size", "heads"):
        for value in getattr(options, name) or ():
            words += [f"--{name.replace('_', '-')}", str(value)]
    return [*words, "--out-stride", options.out_stride] if options.out_stride != "auto" else words


def _progress() -> Callable[[Progress], None] | None:
    if not sys.stderr.isatty():
        return None

    def show(progress: Progress) -> None:
        """One line, rewritten in place, and wiped at the end."""
        line = printable(f"[{progress.done}/{progress.total}] {progress.what}")[:110]
        finished = progress.last is not None and progress.done == progress.total
        sys.stderr.write("\r\x1b[K" + ("" if finished else line))
        sys.stderr.flush()

    return show
