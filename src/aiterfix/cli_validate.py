"""``aiterfix validate``: arguments in, a report out. Wiring only; heavy imports wait until the command runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.errors import EnvironmentProblem, ExitCode, NotUnderstoodError

if TYPE_CHECKING:
    from aiterfix.gfx950.signature import Kernel, KernelConfig
    from aiterfix.validation.report import Report
    from aiterfix.validation.run import Progress

KERNELS = ("base", "preshuffle", "preshuffle_varctx")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command.

    ``--path``, ``--python``, ``--patched`` and ``--json`` are resolved by the caller's wiring where an installation is
    meant: it passes what it found to :func:`validate_text`. ``--source`` needs nothing but the file.
    """
    parser = subparsers.add_parser(
        "validate",
        help="compile for gfx950, run the machine code, compare every logit",
        description="Compile a kernel file for gfx950, run the machine code on the emulator, compare every logit with "
        "a reference, and report what was written outside its row or allocation.",
    )
    parser.add_argument("--source", type=Path, metavar="FILE", help="this kernel file, instead of an installation's")
    parser.add_argument(
        "--hsaco", type=Path, metavar="FILE", help="this prebuilt code object, with its .json beside it"
    )
    parser.add_argument("--path", type=Path, help="the installation at this path")
    parser.add_argument("--python", help="the installation, and the Triton, of this interpreter")
    parser.add_argument("--patched", action="store_true", help="the text that `aiterfix apply` would write")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="suite", const="quick", help="seconds (default)")
    size.add_argument("--full", action="store_const", dest="suite", const="full", help="minutes")
    size.add_argument("--scenario", metavar="NAME", help="only scenarios of this name or shell pattern")
    parser.add_argument("--kernel", action="append", choices=KERNELS, help="only this kernel; may be repeated")
    parser.add_argument("--kv-block-size", action="append", type=int, metavar="N", help="only this; may be repeated")
    parser.add_argument("--heads", action="append", type=int, metavar="N", help="only this; may be repeated")
    parser.add_argument(
        "--out-stride",
        choices=("auto", "i32", "i64"),
        default="auto",
        help="type of the row stride (default: as source)",
    )
    parser.add_argument("--strict", action="store_true", help="findings fail the run too")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(suite="quick", execute=execute)
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command on ``--source``; the exit code by the one table.

    Raises:
        AiterfixError: see :func:`aiterfix.validation.validate`.
    """
    if args.hsaco is not None:
        return _prebuilt(args)
    if args.source is None:
        raise EnvironmentProblem(
            "no kernel file to validate", remedy="name one with --source, or an installation with --path or --python"
        )
    try:
        text = args.source.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(f"cannot read {args.source}", why=str(error)) from error
    return validate_text(text, str(args.source), args)


def validate_text(text: bytes, filename: str, args: argparse.Namespace, wrapper: bytes | None = None) -> int:
    """Validate this text under the command's arguments, print the report, give the exit code.

    Args:
        text: the kernel file, as it stands or patched.
        filename: its name for reports.
        args: what :func:`add_parser` parsed.
        wrapper: the text of the wrapper module beside it, where it was found.
    """
    from aiterfix.gfx950.signature import Kernel, find_kernels, read_wrapper
    from aiterfix.validation.run import validate

    kernels = tuple(Kernel(name) for name in args.kernel) if args.kernel else find_kernels(text, filename)
    report = validate(
        text,
        filename,
        kernels=kernels or None,
        configs=_configs(args, kernels),
        suite=args.suite,
        scenario=args.scenario,
        strict=args.strict,
        progress=_Terminal() if sys.stderr.isatty() else None,
        wrapper=read_wrapper(wrapper, f"wrapper of {filename}") if wrapper is not None else None,
        python=args.python,
    )
    _print(report, as_json=args.json)
    return int(exit_code(report))


def _prebuilt(args: argparse.Namespace) -> int:
    from aiterfix.gfx950.signature import KernelConfig
    from aiterfix.validation.prebuilt import validate_prebuilt

    config = None
    if args.heads or args.kv_block_size:
        size = (args.kv_block_size or [64])[0]
        config = KernelConfig(heads=(args.heads or [64])[0], kv_block_size=size, aligned_cache=size > 1)
    report = validate_prebuilt(
        args.hsaco,
        config=config,
        suite=args.suite,
        scenario=args.scenario,
        strict=args.strict,
        progress=_Terminal() if sys.stderr.isatty() else None,
    )
    _print(report, as_json=args.json)
    return int(exit_code(report))


def exit_code(report: Report) -> ExitCode:
    """0 passed; 1 a scenario failed; 3 something was not understood; 4 something could not be compiled."""
    if report.failures:
        return ExitCode.ACTION
    if report.not_run:
        return NotUnderstoodError.exit_code if report.not_understood else ExitCode.ENVIRONMENT
    return ExitCode.OK


def _configs(args: argparse.Namespace, kernels: Sequence[Kernel]) -> tuple[KernelConfig, ...] | None:
    """The configurations that the arguments leave, or None where they say nothing."""
    if not args.kv_block_size and not args.heads and args.out_stride == "auto":
        return None
    from dataclasses import replace

    from aiterfix.gfx950.signature import KernelConfig
    from aiterfix.validation.scenarios import default_configs

    if args.kv_block_size:
        base = [KernelConfig(kv_block_size=size, aligned_cache=size > 1) for size in args.kv_block_size]
    else:
        base = [config for kernel in kernels for config in default_configs(kernel, args.suite)]
    heads = args.heads or sorted({config.heads for config in base}, reverse=True)
    made = [replace(config, heads=count, out_stride=args.out_stride) for config in base for count in heads]
    return tuple(dict.fromkeys(made))


def _print(report: Report, *, as_json: bool) -> None:
    from aiterfix.validation.report import table, to_json

    if as_json:
        sys.stdout.write(json.dumps(to_json(report), indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(table(report)) + "\n")


class _Terminal:
    """One line of progress, rewritten in place."""

    def __call__(self, progress: Progress) -> None:
        line = f"[{progress.done}/{progress.total}] {progress.what}"
        end = "\n" if progress.last is not None and progress.done == progress.total else ""
        sys.stderr.write(f"\r\x1b[K{line[:110]}{end}")
        sys.stderr.flush()
