"""``aiterfix validate``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.cli import output
from aiterfix.cli.arguments import positive
from aiterfix.cli.extra import require_emulator, require_packages
from aiterfix.cli.target import add_target, assess_all, fixes_of, require_found, target_words
from aiterfix.errors import EnvironmentProblem, ExitCode, NotUnderstoodError, UsageError
from aiterfix.source.rewrite import rewrite

if TYPE_CHECKING:
    from aiterfix.assessment import Assessment
    from aiterfix.gfx950.signature import Kernel, KernelConfig
    from aiterfix.validation.gpu.subjects import Subject as GpuSubject
    from aiterfix.validation.report import Hardware, Report
    from aiterfix.validation.scenarios import AnyKernel
    from aiterfix.validation.series import Progress

KERNELS = ("base", "preshuffle", "preshuffle_varctx")
_ALL_GLUON = ("auto", "gluon", "all")
_ON_A_GPU = ("stage1", "own")


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
        choices=(*_ALL_GLUON, *_ON_A_GPU, *KERNELS),
        metavar="|".join(("gluon", *KERNELS, *_ON_A_GPU)),
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


@dataclass(frozen=True)
class _Subject:
    """What to validate: a text, what to call it, and what else is known of it."""

    text: bytes
    filename: str
    shown: str
    wrapper: bytes | None
    prebuilt: str


def execute(options: argparse.Namespace) -> int:
    """Run the kernels, on the gfx950 emulator or on a GPU, and compare every logit with a reference."""
    if sum(named is not None for named in (options.source, options.hsaco, options.path)) > 1:
        raise UsageError("--source and --hsaco name the file to validate: neither goes with --path or one another")
    hardware = _hardware(options)
    if hardware is not None:
        return _finish(_on_gpu(options, hardware), options)
    require_emulator("validate")
    if options.hsaco is not None:
        return _finish(_prebuilt(options), options)
    if "own" in (options.kernel or ()):
        return _finish(_own(options), options)
    subject = _from_file(options) if options.source is not None else _from_installation(options)
    status = _finish(_validate(subject, options), options)
    if subject.prebuilt:
        output.note(
            f"aiterfix: prebuilt code objects in {subject.prebuilt} are used instead of this source here; "
            "judge them with --hsaco"
        )
        return status if status == ExitCode.ACTION else ExitCode.NOT_UNDERSTOOD
    return status


def _hardware(options: argparse.Namespace) -> Hardware | None:
    """The GPU to run on, or None for the emulator.

    Raises:
        UsageError: what is asked for does not run there.
        EnvironmentProblem: a GPU is asked for and there is none.
    """
    from aiterfix.validation.gpu.devices import may_have_rocm_gpu, runs_gluon

    if options.device == "gpu":
        if options.hsaco is not None:
            raise UsageError("--hsaco is judged by the emulator", remedy="leave out --device gpu")
        return _ask_hardware(options)
    plain = set(options.kernel or ()) & set(_ON_A_GPU)
    if options.device == "emulator" or options.hsaco is not None or not may_have_rocm_gpu():
        if "stage1" in plain:
            raise UsageError(
                "stage1 kernels are not run on the emulator",
                remedy="validate the Gluon kernels, which gfx950 uses, or these with --device gpu where there is one",
            )
        return None
    if options.source is not None and not plain:
        return None  # a Gluon file of its own has no wrapper to be launched by
    try:
        found = _ask_hardware(options)
    except EnvironmentProblem as error:
        output.note(f"aiterfix: no GPU is used: {error.what}")
        return None
    return found if plain or runs_gluon(found) else None


def _ask_hardware(options: argparse.Namespace) -> Hardware:
    require_packages("validate", ("numpy",))
    from aiterfix.validation.gpu.contained import ask_hardware

    return ask_hardware(str(options.python) if options.python is not None else None).hardware


def _on_gpu(options: argparse.Namespace, hardware: Hardware) -> Report:
    from aiterfix.validation.gpu.run import validate_gpu

    subject, kernels = _gpu_subject(options, hardware)
    return validate_gpu(
        subject,
        kernels,
        configs=_configs(options, kernels),
        suite=options.suite,
        scenario=options.scenario,
        strict=options.strict,
        progress=_progress(),
        python=str(options.python) if options.python is not None else None,
    )


def _gpu_subject(options: argparse.Namespace, hardware: Hardware) -> tuple[GpuSubject, tuple[AnyKernel, ...]]:
    """What the arguments ask for, on this GPU.

    Raises:
        UsageError: it does not run there.
        NotUnderstoodError: a file defines no such kernel.
    """
    from aiterfix.gfx950.signature import find_kernels
    from aiterfix.own_kernel import own_kernel_file
    from aiterfix.validation.gpu.devices import runs_gluon
    from aiterfix.validation.gpu.plain import PlainKernels, find_portable
    from aiterfix.validation.gpu.subjects import AiterFunction, OwnKernel
    from aiterfix.validation.portable import Portable

    asked = set(options.kernel or ("gluon",))
    site = None
    if options.path is not None:
        discovery, assessments = assess_all(argparse.Namespace(**{**vars(options), "kernel": "all"}))
        require_found(discovery, assessments)
        site = assessments[0].installation.root
    if asked == {"own"}:
        _require_own_alone(options)
        return OwnKernel(own_kernel_file()), (Portable.OWN, Portable.OWN_PRESHUFFLE)
    if asked & set(_ON_A_GPU) and len(asked) > 1:
        raise UsageError("on a GPU, validate stage1, own and Gluon kernels one after another, not together")
    if asked == {"stage1"}:
        if options.source is None and runs_gluon(hardware):
            return AiterFunction(site, options.patched), (Portable.STAGE1,)
        file = _from_file(options, "stage1") if options.source is not None else _from_installation(options, "stage1")
        kernels = find_portable(file.text, file.shown)
        if not kernels:
            raise NotUnderstoodError(f"{file.shown} defines no plain-Triton kernel that is known")
        return PlainKernels(file.text, file.filename.rpartition("/")[2], file.shown), kernels
    if options.source is not None or not runs_gluon(hardware):
        where = f"{hardware.name} ({hardware.arch})"
        raise UsageError(
            f"aiter's Gluon kernels run on gfx942 and gfx950, through aiter's own function as installed; not on {where}"
            if not runs_gluon(hardware)
            else "on a GPU, Gluon kernels are launched by aiter's own function as installed, not from --source",
            remedy="--device emulator, or --kernel stage1 or --kernel own",
        )
    installed = _from_installation(options)
    return AiterFunction(site, options.patched), _kernels(options, find_kernels(installed.text, installed.shown))


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


def _own(options: argparse.Namespace) -> Report:
    """This project's kernel, on the emulator."""
    from aiterfix.own_kernel import own_kernel_file
    from aiterfix.validation.own import KERNELS as OWN
    from aiterfix.validation.own import validate_own

    _require_own_alone(options)
    if options.python is not None:
        raise UsageError("--kernel own is planned by this interpreter's torch and Triton: --python does not go with it")
    return validate_own(
        own_kernel_file(),
        configs=_configs(options, OWN),
        suite=options.suite,
        scenario=options.scenario,
        strict=options.strict,
        progress=_progress(),
    )


def _require_own_alone(options: argparse.Namespace) -> None:
    if set(options.kernel) != {"own"}:
        raise UsageError("validate this project's kernel and aiter's one after another, not together")
    if options.source is not None or options.hsaco is not None or options.path is not None or options.patched:
        raise UsageError(
            "--kernel own is this project's kernel: it goes with none of --source, --hsaco, --path and --patched"
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


def _from_file(options: argparse.Namespace, kind: str = "gluon") -> _Subject:
    try:
        text = options.source.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(f"cannot read {options.source}", why=str(error)) from error
    shown = str(options.source)
    if options.patched:
        fixes = [fix for fix in fixes_of(options) if fix.path == kind]
        text = rewrite(text, fixes, filename=shown).new
    return _Subject(text, options.source.name, shown, None, "")


def _from_installation(options: argparse.Namespace, kind: str = "gluon") -> _Subject:
    """The one file of what runs that defines the Gluon kernels (or ``stage1``), and the wrapper beside it."""
    from aiterfix.gfx950.signature import find_kernels
    from aiterfix.validation.gpu.plain import find_portable

    find = find_kernels if kind == "gluon" else find_portable
    name = "Gluon" if kind == "gluon" else "plain-Triton"
    discovery, assessments = assess_all(argparse.Namespace(**{**vars(options), "kernel": kind}))
    require_found(discovery, assessments)
    found = [
        (assessment, file)
        for assessment in assessments
        if not assessment.installation.shadowed
        for file in assessment.files
        if find(file.text, file.relative)
    ]
    if not found:
        doubts = [f"{s.path}: {s.reason}" for assessment in assessments for s in assessment.doubts]
        raise NotUnderstoodError(
            f"no {name} kernel was found in " + ", ".join(str(a.installation.package) for a in assessments),
            why="; ".join(doubts),
            remedy="name the kernel file with --source FILE",
        )
    if len(found) > 1:
        raise UsageError(
            f"several files define {name} kernels: " + ", ".join(str(file.path) for _, file in found),
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
    if set(asked) & set(_ALL_GLUON):
        return present
    return tuple(Kernel(name) for name in dict.fromkeys(asked))


def _configs(options: argparse.Namespace, kernels: Sequence[AnyKernel]) -> tuple[KernelConfig, ...] | None:
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
        output.write("\n".join(table(report, _repeated(report, options))) + "\n")
    if report.failures:
        return ExitCode.ACTION
    if report.not_run:
        return NotUnderstoodError.exit_code if report.not_understood else ExitCode.ENVIRONMENT
    return ExitCode.OK


def _repeated(report: Report, options: argparse.Namespace) -> list[str]:
    """The arguments that say what was validated, for advice that repeats them; the scenario picks the kernel."""
    words = target_words(options)
    for name in ("source", "hsaco"):
        if getattr(options, name) is not None:
            words += [f"--{name}", str(getattr(options, name))]
    for name in ("patched", "strict"):
        words += [f"--{name}"] if getattr(options, name) else []
    if report.hardware is not None or options.device != "auto":
        words += ["--device", "gpu" if report.hardware is not None else options.device]
    for name in ("kv_block_size", "heads"):
        for value in getattr(options, name) or ():
            words += [f"--{name.replace('_', '-')}", str(value)]
    if options.out_stride != "auto":
        words += ["--out-stride", options.out_stride]
    return words


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
