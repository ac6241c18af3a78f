"""From what a command line asks for to a subject, an executor and a selection; what contradicts itself is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.family.kernels import GLUON as GLUON_GROUP
from aiterfix.family.own_kernel import own_kernel_file
from aiterfix.family.portable import Portable, find_portable
from aiterfix.family.signature import Kernel, KernelConfig, find_kernels, read_wrapper
from aiterfix.faults.mend import mend
from aiterfix.installation.view import View
from aiterfix.storage.held import read_file
from aiterfix.validation.requirements import require_emulator, require_packages, run_as

if TYPE_CHECKING:
    from aiterfix.family.signature import StrideType, WrapperFacts
    from aiterfix.faults.registry import Faults
    from aiterfix.judge.judgement import Judgement
    from aiterfix.validation.interface import Executor, Subject
    from aiterfix.validation.report import Hardware
    from aiterfix.validation.scenarios import AnyKernel, Suite
    from aiterfix.validation.selection import Selection

GLUON = ("auto", "gluon", "all")
"""Words for all Gluon kernels of a file."""
ON_A_GPU = ("stage1", "own")
"""Words for kernels that any GPU runs."""


@dataclass(frozen=True)
class Asked:
    """What a command line asks for, by the names of its options where nothing else is said.

    Attributes:
        installed: judgements of the installations that import would take.
        known: the faults that ``patched`` takes out of a file's text.
        note: tells a person something on the way.
        source, hsaco: a file in place of an installation.
        kernels: words for kernels; empty for Gluon's.
        kv_block_sizes, heads: of the configurations; empty for the suite's own.
        pattern: of scenarios' names.
    """

    installed: Callable[[], Sequence[Judgement]]
    known: Callable[[], Faults]
    note: Callable[[str], None]
    source: Path | None = None
    hsaco: Path | None = None
    path: Path | None = None
    python: str | None = None
    patched: bool = False
    kernels: tuple[str, ...] = ()
    device: str = "auto"
    kv_block_sizes: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()
    out_stride: StrideType = "auto"
    suite: Suite = "quick"
    pattern: str | None = None
    fault: str | None = None


class Chosen(NamedTuple):
    """What to validate, what runs it, and which scenarios.

    ``prebuilt`` names folders of prebuilt code objects that run instead of this source, so that it decides nothing.
    """

    subject: Any
    executor: Any
    selection: Selection
    prebuilt: str = ""


class KernelText(NamedTuple):
    """A kernel file: its text, its name for reports and line tables, and what else is known of it; ``place`` is where
    it stands, since whose file it is decides with whose rights it is run."""

    text: bytes
    filename: str
    shown: str
    wrapper: WrapperFacts | None
    mends: tuple[str, ...]
    prebuilt: str = ""
    place: Path | None = None


def choose(asked: Asked) -> Chosen:
    """Make the choice.

    Raises:
        UsageError: what is asked for contradicts itself, or does not run there.
        EnvironmentProblem: there is no GPU, no installation, or a file cannot be read.
        NotUnderstoodError: no kernel that is known is where it was looked for.
    """
    if sum(named is not None for named in (asked.source, asked.hsaco, asked.path)) > 1:
        raise UsageError(
            "--source and --hsaco name the file to validate: neither goes with --path, --root or one another"
        )
    hardware = _hardware(asked)
    if hardware is not None:
        return _on_gpu(asked, hardware)
    require_emulator("validate")
    from aiterfix.validation.emulator import Emulator

    emulator = Emulator(python=asked.python)
    if asked.hsaco is not None:
        return _prebuilt(asked, emulator)
    if "own" in asked.kernels:
        from aiterfix.validation.own import OwnKernel

        _require_own_alone(asked)
        if asked.python is not None:
            raise UsageError("--kernel own is planned by this interpreter's torch and Triton, not by --python's")
        own = OwnKernel(own_kernel_file())
        return Chosen(own, emulator, _selection(asked, own))
    from aiterfix.validation.source import GluonSource

    file = gluon_file(asked)
    emulator.owner = run_as(asked.note, file.place)
    subject = GluonSource(file.text, file.filename, file.wrapper, file.shown, file.mends)
    kernels = None if not asked.kernels or set(asked.kernels) & set(GLUON) else _named(asked.kernels)
    return Chosen(subject, emulator, _selection(asked, subject, kernels), file.prebuilt)


def gluon_file(asked: Asked) -> KernelText:
    """The file of Gluon kernels that is asked about.

    Raises:
        EnvironmentProblem: there is no installation, or the file cannot be read.
        NotUnderstoodError: no installed file defines a Gluon kernel that is known.
    """
    return _from_file(asked) if asked.source is not None else _from_installation(asked)


def _hardware(asked: Asked) -> Hardware | None:
    """The GPU to run on, or None for the emulator."""
    from aiterfix.validation.gpu.devices import may_have_rocm_gpu, runs_gluon

    if asked.device == "gpu":
        if asked.hsaco is not None:
            raise UsageError("--hsaco is judged by the emulator", remedy="leave out --device gpu")
        return _ask_hardware(asked)
    plain = set(asked.kernels) & set(ON_A_GPU)
    if asked.device == "emulator" or asked.hsaco is not None or not may_have_rocm_gpu():
        if "stage1" in plain:
            raise UsageError(
                "stage1 kernels are not run on the emulator",
                remedy="validate the Gluon kernels, which gfx950 uses, or these with --device gpu where there is one",
            )
        return None
    if asked.source is not None and not plain:
        return None  # a Gluon file of its own has no wrapper to be launched by
    try:
        found = _ask_hardware(asked)
    except EnvironmentProblem as error:
        asked.note(f"aiterfix: no GPU is used: {error.what}")
        return None
    return found if plain or runs_gluon(found) else None


def _ask_hardware(asked: Asked) -> Hardware:
    require_packages("validate", ("numpy",))
    from aiterfix.validation.gpu.contained import ask_hardware

    return ask_hardware(asked.python).hardware


def _on_gpu(asked: Asked, hardware: Hardware) -> Chosen:
    from aiterfix.validation.gpu.devices import runs_gluon
    from aiterfix.validation.gpu.executor import Gpu
    from aiterfix.validation.gpu.plain import PlainKernels
    from aiterfix.validation.gpu.subjects import AiterFunction, OwnFunction

    gpu = Gpu(python=asked.python)
    kinds = set(asked.kernels or ("gluon",))
    site = _root(asked.installed()[0]) if asked.path is not None else None
    subject: Any
    if kinds == {"own"}:
        _require_own_alone(asked)
        subject = OwnFunction(own_kernel_file())
    elif kinds & set(ON_A_GPU) and len(kinds) > 1:
        raise UsageError("on a GPU, validate stage1, own and Gluon kernels one after another, not together")
    elif kinds == {"stage1"} and asked.source is None and runs_gluon(hardware):
        subject = AiterFunction(site, asked.patched, (Portable.STAGE1,))
    elif kinds == {"stage1"}:
        file = _from_file(asked, "stage1") if asked.source is not None else _from_installation(asked, "stage1")
        subject = PlainKernels(file.text, file.filename.rpartition("/")[2], file.shown)
    elif not runs_gluon(hardware):
        raise UsageError(
            "aiter's Gluon kernels run on gfx942 and gfx950, through aiter's own function as installed; not on "
            f"{hardware.name} ({hardware.arch})",
            remedy="--device emulator, or --kernel stage1 or --kernel own",
        )
    elif asked.source is not None:
        raise UsageError(
            "on a GPU, Gluon kernels are launched by aiter's own function as installed, not from --source",
            remedy="--device emulator, or --kernel stage1 or --kernel own",
        )
    else:
        file = _from_installation(asked)
        kernels = find_kernels(file.text, file.shown) if kinds & set(GLUON) else _named(asked.kernels)
        subject = AiterFunction(site, asked.patched, kernels)
    if kinds != {"own"}:
        _require_own_rights(asked)
    return Chosen(subject, gpu, _selection(asked, subject))


def _require_own_rights(asked: Asked) -> None:
    """A GPU's process is run with this one's rights alone: its replies are believed as our own are.

    Raises:
        EnvironmentProblem: root would run another user's files.
    """
    files = [asked.source] if asked.source is not None else [t.path for j in asked.installed() for t in j.texts]
    owner = run_as(asked.note, *files)
    if owner is not None:
        raise EnvironmentProblem(
            f"root does not run on a GPU what belongs to {owner.name}",
            remedy=f"Run this command as {owner.name}, or with --device emulator.",
        )


def _require_own_alone(asked: Asked) -> None:
    if set(asked.kernels) != {"own"}:
        raise UsageError("validate this project's kernel and aiter's one after another, not together")
    if asked.source is not None or asked.hsaco is not None or asked.path is not None or asked.patched:
        raise UsageError(
            "--kernel own is this project's kernel: it goes with none of --source, --hsaco, --path, --root and "
            "--patched"
        )


def _prebuilt(asked: Asked, emulator: Executor[Any]) -> Chosen:
    from aiterfix.validation.prebuilt import CodeObjectFile
    from aiterfix.validation.selection import Selection

    assert asked.hsaco is not None
    if asked.patched:
        raise UsageError("--patched is about source; a prebuilt code object has none")
    config = None
    if asked.heads or asked.kv_block_sizes:
        size = (asked.kv_block_sizes or (64,))[0]
        config = KernelConfig(heads=(asked.heads or (64,))[0], kv_block_size=size, aligned_cache=size > 1)
    selection = Selection(suite=asked.suite, pattern=asked.pattern, fault=asked.fault)
    return Chosen(CodeObjectFile.read(asked.hsaco, config), emulator, selection)


def _from_file(asked: Asked, kind: str = "gluon") -> KernelText:
    assert asked.source is not None
    shown = str(asked.source)
    text = read(asked.source)
    mends: tuple[str, ...] = ()
    if asked.patched:
        text, mends = _patched(text, asked.known(), shown)
    return KernelText(text, asked.source.name, shown, None, mends, place=asked.source)


def _from_installation(asked: Asked, kind: str = "gluon") -> KernelText:
    """The one file of what runs that defines the Gluon kernels (or ``stage1``), and what its wrapper says."""
    find: Callable[[bytes, str], object] = find_kernels if kind == "gluon" else find_portable
    name = "Gluon" if kind == "gluon" else "plain-Triton"
    judgements = asked.installed()
    found = [(j, file) for j in judgements for file in j.texts if find(file.text, file.relative)]
    if not found:
        raise NotUnderstoodError(
            f"no {name} kernel was found in " + ", ".join(str(_root(j)) for j in judgements),
            why="; ".join(str(doubt) for j in judgements for doubt in j.doubts),
            remedy="name the kernel file with --source FILE",
        )
    if len(found) > 1:
        raise UsageError(
            f"several files define {name} kernels: " + ", ".join(str(file.path) for _, file in found),
            remedy="name one with --source FILE",
        )
    judgement, file = found[0]
    text = file.text
    mends: tuple[str, ...] = ()
    if asked.patched:
        text, mends = _patched(text, asked.known(), file.relative)
    prebuilt = ", ".join(str(p.directory) for p in judgement.prebuilt_in_use)
    return KernelText(text, file.relative, file.where, _wrapper(judgement), mends, prebuilt, file.path)


def _root(judgement: Judgement) -> Path:
    assert judgement.installation is not None
    return judgement.installation.root


def _patched(text: bytes, known: Faults, filename: str) -> tuple[bytes, tuple[str, ...]]:
    """The text as ``apply`` would write it, and the ids of what it mends."""
    mended = mend(text, known.judged, filename=filename, wanted=tuple(known.deciding))
    return mended.new, tuple(step.fault for step in mended.steps)


def _wrapper(judgement: Judgement) -> WrapperFacts | None:
    """What the module that compiles the kernels says, where the installation has one that is understood."""
    view = View(judgement.installation.image_root if judgement.installation is not None else None)
    for module in GLUON_GROUP.wrappers:
        path = _root(judgement).joinpath(*module.split(".")).with_suffix(".py")
        text = view.text(path)
        facts = read_wrapper(text, str(path)) if text is not None else None
        if facts is not None:
            return facts
    return None


def read(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        EnvironmentProblem: it cannot be read.
    """
    try:
        return read_file(path)
    except OSError as error:
        raise EnvironmentProblem(f"cannot read {path}", why=error.strerror or str(error)) from error


def _named(words: Sequence[str]) -> tuple[Kernel, ...]:
    return tuple(Kernel(word) for word in dict.fromkeys(words))


def _selection(asked: Asked, subject: Subject, kernels: tuple[AnyKernel, ...] | None = None) -> Selection:
    from aiterfix.validation.selection import Selection

    configs = _configs(asked, kernels if kernels is not None else subject.kernels)
    return Selection(kernels, configs, asked.suite, asked.pattern, asked.fault)


def _configs(asked: Asked, kernels: Sequence[AnyKernel]) -> tuple[KernelConfig, ...] | None:
    """The configurations that the arguments leave, or None where they say nothing."""
    if not asked.kv_block_sizes and not asked.heads and asked.out_stride == "auto":
        return None
    from aiterfix.validation.scenarios import default_configs

    if asked.kv_block_sizes:
        base = [KernelConfig(kv_block_size=size, aligned_cache=size > 1) for size in asked.kv_block_sizes]
    else:
        base = [config for kernel in kernels for config in default_configs(kernel, asked.suite)]
    heads = asked.heads or tuple(sorted({config.heads for config in base}, reverse=True))
    made = [replace(config, heads=count, out_stride=asked.out_stride) for config in base for count in heads]
    return tuple(dict.fromkeys(made))
