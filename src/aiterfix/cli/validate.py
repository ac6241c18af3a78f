"""``aiterfix validate``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.cli import output
from aiterfix.cli.target import add_target, assess_all, fixes_of, require_found
from aiterfix.errors import EnvironmentProblem, ExitCode, NotUnderstoodError, UsageError
from aiterfix.source.rewrite import rewrite

if TYPE_CHECKING:
    from aiterfix.assessment import Assessment
    from aiterfix.gfx950.signature import Kernel, KernelConfig
    from aiterfix.validation.report import Report
    from aiterfix.validation.run import Progress

KERNELS = ("base", "preshuffle", "preshuffle_varctx")
_ALL_GLUON = ("auto", "gluon", "all")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    parser.add_argument("--source", type=Path, metavar="FILE", help="this kernel file instead of an installation's")
    parser.add_argument("--hsaco", type=Path, metavar="FILE", help="this prebuilt code object, its .json beside it")
    parser.add_argument("--patched", action="store_true", help="the text that `aiterfix apply` would write")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="suite", const="quick", help="seconds (default)")
    size.add_argument("--full", action="store_const", dest="suite", const="full", help="minutes")
    size.add_argument("--scenario", metavar="NAME", help="only scenarios of this name or shell pattern")
    parser.set_defaults(suite="quick")
    parser.add_argument(
        "--kernel",
        action="append",
        choices=(*_ALL_GLUON, "stage1", *KERNELS),
        metavar="|".join(("gluon", *KERNELS)),
        help="which kernels; may be repeated (default: gluon, all that the file defines)",
    )
    parser.add_argument("--kv-block-size", action="append", type=int, metavar="N", help="only this; may be repeated")
    parser.add_argument("--heads", action="append", type=int, metavar="N", help="only this; may be repeated")
    parser.add_argument(
        "--out-stride",
        choices=("auto", "i32", "i64"),
        default="auto",
        help="type of the row stride (default: auto, as the installed wrapper passes it)",
    )
    parser.add_argument("--strict", action="store_true", help="findings fail the run too")


@dataclass(frozen=True)
class _Subject:
    """What to validate: a text, what to call it, and what else is known of it."""

    text: bytes
    filename: str
    shown: str
    wrapper: bytes | None
    prebuilt: str


def execute(options: argparse.Namespace) -> int:
    """Compile for gfx950, run the machine code on the emulator, and compare every logit with a reference."""
    _require_extra()
    if sum(named is not None for named in (options.source, options.hsaco, options.path)) > 1:
        raise UsageError("--source and --hsaco name the file to validate: neither goes with --path or one another")
    if options.hsaco is not None:
        return _finish(_prebuilt(options), options)
    subject = _from_file(options) if options.source is not None else _from_installation(options)
    status = _finish(_validate(subject, options), options)
    if subject.prebuilt:
        output.note(
            f"aiterfix: prebuilt code objects in {subject.prebuilt} are used instead of this source here; "
            "judge them with --hsaco"
        )
        return status if status == ExitCode.ACTION else ExitCode.NOT_UNDERSTOOD
    return status


def _require_extra() -> None:
    """Say what is missing before anything imports it.

    Raises:
        EnvironmentProblem: Python is too old, or the extra is not installed.
    """
    if sys.version_info < (3, 11):
        raise EnvironmentProblem(
            f"validate needs Python 3.11 or later, this is {sys.version.split()[0]}",
            why="its instruction decoder does",
            remedy="run it with a newer Python and --python or --path for the installation",
        )
    missing = [name for name in ("numpy", "elftools", "tinygrad") if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentProblem(
            f"validate needs packages that are not installed: {', '.join(missing)}",
            remedy="pip install 'aiterfix[validate]'",
        )


def _validate(subject: _Subject, options: argparse.Namespace) -> Report:
    from aiterfix.gfx950.signature import find_kernels, read_wrapper
    from aiterfix.validation.run import validate

    kernels = _kernels(options, find_kernels(subject.text, subject.shown))
    wrapper = read_wrapper(subject.wrapper, f"the wrapper of {subject.shown}") if subject.wrapper else None
    return validate(
        subject.text,
        subject.filename,
        shown=subject.shown,
        kernels=kernels or None,
        configs=_configs(options, kernels),
        suite=options.suite,
        scenario=options.scenario,
        strict=options.strict,
        progress=_progress(),
        wrapper=wrapper,
        python=str(options.python) if options.python is not None else None,
    )


def _prebuilt(options: argparse.Namespace) -> Report:
    from aiterfix.gfx950.signature import KernelConfig
    from aiterfix.validation.prebuilt import validate_prebuilt

    if options.patched:
        raise UsageError("--patched is about source; a prebuilt code object has none")
    config = None
    if options.heads or options.kv_block_size:
        size = (options.kv_block_size or [64])[0]
        config = KernelConfig(heads=(options.heads or [64])[0], kv_block_size=size, aligned_cache=size > 1)
    return validate_prebuilt(
        options.hsaco,
        config=config,
        suite=options.suite,
        scenario=options.scenario,
        strict=options.strict,
        progress=_progress(),
    )


def _from_file(options: argparse.Namespace) -> _Subject:
    try:
        text = options.source.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(f"cannot read {options.source}", why=str(error)) from error
    shown = str(options.source)
    if options.patched:
        fixes = [fix for fix in fixes_of(options) if fix.path == "gluon"]
        text = rewrite(text, fixes, filename=shown).new
    return _Subject(text, options.source.name, shown, None, "")


def _from_installation(options: argparse.Namespace) -> _Subject:
    """The one file of what runs that defines the Gluon kernels, and the wrapper beside it."""
    from aiterfix.gfx950.signature import find_kernels

    discovery, assessments = assess_all(argparse.Namespace(**{**vars(options), "kernel": "gluon"}))
    require_found(discovery, assessments)
    found = [
        (assessment, file)
        for assessment in assessments
        if not assessment.installation.shadowed
        for file in assessment.files
        if find_kernels(file.text, file.relative)
    ]
    if not found:
        doubts = [f"{s.path}: {s.reason}" for assessment in assessments for s in assessment.doubts]
        raise NotUnderstoodError(
            "no Gluon kernel was found in " + ", ".join(str(a.installation.package) for a in assessments),
            why="; ".join(doubts),
            remedy="name the kernel file with --source FILE",
        )
    if len(found) > 1:
        raise UsageError(
            "several files define Gluon kernels: " + ", ".join(str(file.path) for _, file in found),
            remedy="name one with --source FILE",
        )
    assessment, file = found[0]
    fixes = [fix for fix in assessment.fixes if fix.id in assessment.asked]
    text = rewrite(file.text, fixes, filename=file.relative).new if options.patched else file.text
    prebuilt = ", ".join(str(p.directory) for p in assessment.prebuilt_in_use)
    return _Subject(text, file.relative, str(file.path), _wrapper(assessment), prebuilt)


def _wrapper(assessment: Assessment) -> bytes | None:
    """Text of the module that compiles the kernels, where the installation has one that is understood."""
    from aiterfix.gfx950.signature import read_wrapper

    for fix in assessment.fixes:
        for module in fix.wrappers if fix.path == "gluon" else ():
            path = assessment.installation.root.joinpath(*module.split(".")).with_suffix(".py")
            if path.is_file():
                try:
                    text = path.read_bytes()
                except OSError as error:
                    raise EnvironmentProblem(f"cannot read {path}", why=str(error)) from error
                if read_wrapper(text, str(path)) is not None:
                    return text
    return None


def _kernels(options: argparse.Namespace, present: tuple[Kernel, ...]) -> tuple[Kernel, ...]:
    from aiterfix.gfx950.signature import Kernel

    asked = options.kernel or ["gluon"]
    if "stage1" in asked:
        raise UsageError(
            "stage1 kernels are not run on the emulator", remedy="validate the Gluon kernels, which gfx950 uses"
        )
    if set(asked) & set(_ALL_GLUON):
        return present
    return tuple(Kernel(name) for name in dict.fromkeys(asked))


def _configs(options: argparse.Namespace, kernels: Sequence[Kernel]) -> tuple[KernelConfig, ...] | None:
    """The configurations that the arguments leave, or None where they say nothing."""
    if not options.kv_block_size and not options.heads and options.out_stride == "auto":
        return None
    from aiterfix.gfx950.signature import KernelConfig
    from aiterfix.validation.scenarios import default_configs

    if options.kv_block_size:
        base = [KernelConfig(kv_block_size=size, aligned_cache=size > 1) for size in options.kv_block_size]
    else:
        base = [config for kernel in kernels for config in default_configs(kernel, options.suite)]
    heads = options.heads or sorted({config.heads for config in base}, reverse=True)
    made = [replace(config, heads=count, out_stride=options.out_stride) for config in base for count in heads]
    return tuple(dict.fromkeys(made))


def _finish(report: Report, options: argparse.Namespace) -> ExitCode:
    from aiterfix.validation.report import table, to_json

    if options.json:
        output.write_json("validate", to_json(report))
    else:
        output.write("\n".join(table(report)) + "\n")
    if report.failures:
        return ExitCode.ACTION
    if report.not_run:
        return NotUnderstoodError.exit_code if report.not_understood else ExitCode.ENVIRONMENT
    return ExitCode.OK


def _progress() -> Callable[[Progress], None] | None:
    if not sys.stderr.isatty():
        return None

    def show(progress: Progress) -> None:
        """One line, rewritten in place, and wiped at the end."""
        line = f"[{progress.done}/{progress.total}] {progress.what}"[:110]
        finished = progress.last is not None and progress.done == progress.total
        sys.stderr.write("\r\x1b[K" + ("" if finished else line))
        sys.stderr.flush()

    return show
