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
from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.mend import mend
from aiterfix.installation.view import View
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.held import read_file
from aiterfix.validation.requirements import require_emulator, require_packages, run_as

if TYPE_CHECKING:
    from aiterfix.family.portable import AnyKernel
    from aiterfix.family.signature import StrideType, WrapperFacts
    from aiterfix.faults.diagnosis import TextDiagnosis
    from aiterfix.faults.mend import Mended
    from aiterfix.faults.registry import Faults
    from aiterfix.judge.judgement import Judgement
    from aiterfix.validation.calls import WrapperFile
    from aiterfix.validation.interface import Executor, Subject
    from aiterfix.validation.kernel_file import KernelFile
    from aiterfix.validation.report import Hardware
    from aiterfix.validation.scenarios import Suite
    from aiterfix.validation.selection import Selection

GROUPS = ("all", "gluon", "stage1", "own")
"""Words for the kernels of all files, of Gluon's, of the plain-Triton ones, and this project's."""
SINGLE = tuple(kernel.value for kernel in (*Kernel, *Portable) if kernel.function and kernel is not Portable.STAGE1)
"""Words for one kernel."""
PLAIN = frozenset(kernel.value for kernel in Portable if not kernel.own)
"""Words for plain-Triton kernels; ``stage1`` is for all of them."""
ON_A_GPU = PLAIN | {"own"}
"""Words for kernels that any GPU runs."""


@dataclass(frozen=True)
class Asked:
    """What a command line asks for, by the names of its options where nothing else is said.

    Attributes:
        installed: judgements of the installations that import would take.
        known: the faults that ``patched`` takes out of a file's text.
        note: tells a person something on the way.
        source, hsaco: a file in place of an installation.
        kernels: words for kernels; empty for all that there are.
        kv_block_sizes, heads, chunks: of the configurations; empty for the suite's own.
        fault: run only what shows this fault, before and after its mend.
        pattern: of scenarios' names.
        jobs: processes to spread them over on the emulator, at most; None for as many as there are cores, up to 16.
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
    chunks: tuple[int, ...] = ()
    out_stride: StrideType = "auto"
    suite: Suite = "quick"
    pattern: str | None = None
    fault: str | None = None
    jobs: int | None = None


class Chosen(NamedTuple):
    """What to validate, what runs it, and which scenarios.

    ``after`` is the same with the fault mended that was asked about; None where none was, or nothing mends it.
    ``prebuilt`` names folders of prebuilt code objects that run instead of this source, so that it decides nothing.
    """

    subject: Any
    executor: Any
    selection: Selection
    prebuilt: str = ""
    after: Any = None


class Texts(NamedTuple):
    """Kernel files, and what launches them: before a fault's mend, and after, None where it changes nothing; ``places``
    is where they stand, since whose files they are decides with whose rights they are run."""

    before: tuple[KernelFile, ...]
    after: tuple[KernelFile, ...] | None
    wrapper: WrapperFacts | None
    prebuilt: str = ""
    places: tuple[Path | None, ...] = ()
    wrappers: tuple[WrapperFile, ...] = ()
    wrappers_after: tuple[WrapperFile, ...] = ()

    def of(self, group: Callable[[KernelFile], object]) -> Texts:
        """Those files alone."""
        after = None if self.after is None else tuple(filter(group, self.after))
        return self._replace(before=tuple(filter(group, self.before)), after=after)


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
        if asked.jobs is not None:
            raise UsageError("--jobs spreads what the emulator runs, not a GPU", remedy="--device emulator")
        return _on_gpu(asked, hardware)
    require_emulator("validate")
    from aiterfix.validation.emulator import Emulator
    from aiterfix.validation.spread import default_jobs

    emulator = Emulator(python=asked.python, jobs=asked.jobs or default_jobs())
    if asked.hsaco is not None:
        return _prebuilt(asked, emulator)
    if "own" in asked.kernels:
        from aiterfix.validation.own import OwnKernel

        _require_own_alone(asked)
        if asked.python is not None:
            raise UsageError("--kernel own is planned by this interpreter's torch and Triton, not by --python's")
        own = OwnKernel(own_kernel_file())
        return Chosen(own, emulator, _selection(asked, own))
    from aiterfix.validation.source import AiterSource

    texts = kernel_texts(asked)
    emulator.owner = run_as(asked.note, *texts.places)
    subject = AiterSource(texts.before, texts.wrapper, texts.wrappers)
    after = AiterSource(texts.after, texts.wrapper, texts.wrappers_after) if texts.after is not None else None
    kernels = _named(asked.kernels, subject) if asked.kernels and "all" not in asked.kernels else None
    return Chosen(subject, emulator, _selection(asked, subject, kernels), texts.prebuilt, after)


def kernel_texts(asked: Asked) -> Texts:
    """The kernel files that are asked about.

    Raises:
        EnvironmentProblem: there is no installation, or a file cannot be read.
        NotUnderstoodError: no kernel that is known is defined there.
    """
    return _from_file(asked) if asked.source is not None else _from_installation(asked)


def _hardware(asked: Asked) -> Hardware | None:
    """The GPU to run on, or None for the emulator."""
    from aiterfix.validation.gpu.devices import may_have_rocm_gpu, runs_gluon

    if asked.device == "gpu":
        if asked.hsaco is not None:
            raise UsageError("--hsaco is judged by the emulator", remedy="leave out --device gpu")
        return _ask_hardware(asked)
    plain = set(asked.kernels) & ON_A_GPU
    if asked.device == "emulator" or asked.hsaco is not None or not may_have_rocm_gpu():
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
    elif kinds & ON_A_GPU and not kinds <= PLAIN:
        raise UsageError("on a GPU, validate stage1, own and Gluon kernels one after another, not together")
    elif kinds == {"stage1"} and asked.source is None and runs_gluon(hardware):
        subject = AiterFunction(site, asked.patched, (Portable.STAGE1,))
    elif kinds <= PLAIN:
        texts = kernel_texts(asked).of(lambda file: find_portable(file.text, file.filename))
        if not texts.before:
            raise NotUnderstoodError("there is no plain-Triton kernel in what is validated")
        _require_own_rights(asked)
        subject = PlainKernels(texts.before[0])
        after = PlainKernels(texts.after[0]) if texts.after is not None else None
        kernels = None if "stage1" in kinds else _named(asked.kernels, subject)
        return Chosen(subject, gpu, _selection(asked, subject, kernels), after=after)
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
        gluon = [k for file in kernel_texts(asked).before for k in find_kernels(file.text, file.filename)]
        subject = AiterFunction(site, asked.patched, tuple(gluon))
        if not kinds & {"gluon", "all"}:
            subject = replace(subject, kernels=_named(asked.kernels, subject))
    if kinds != {"own"}:
        _require_own_rights(asked)
    # Through the installed function, what is mended is all that the import hook mends.
    hooked = asked.fault is not None and isinstance(subject, AiterFunction)
    return Chosen(subject, gpu, _selection(asked, subject), after=replace(subject, patched=True) if hooked else None)


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


def _from_file(asked: Asked) -> Texts:
    assert asked.source is not None
    text = read(asked.source)
    return _mended(asked, ((text, asked.source.name, str(asked.source), None),), None)._replace(places=(asked.source,))


def _from_installation(asked: Asked) -> Texts:
    """The files of what runs that define kernels, and what their wrapper says."""
    judgements = asked.installed()
    found = [
        (judgement, file)
        for judgement in judgements
        for file in judgement.texts
        if find_kernels(file.text, file.relative) or find_portable(file.text, file.relative)
    ]
    if not found:
        raise NotUnderstoodError(
            "no kernel was found in " + ", ".join(str(_root(j)) for j in judgements),
            why="; ".join(str(doubt) for j in judgements for doubt in j.doubts),
            remedy="name the kernel file with --source FILE",
        )
    for find, name in ((find_kernels, "Gluon"), (find_portable, "plain-Triton")):
        paths = [str(file.path) for _, file in found if find(file.text, file.relative)]
        if len(paths) > 1:
            raise UsageError(
                f"several files define {name} kernels: " + ", ".join(paths), remedy="name one with --source FILE"
            )
    judgement = found[0][0]
    prebuilt = ", ".join(str(p.directory) for p in judgement.prebuilt_in_use)
    files = tuple((file.text, file.relative, file.where, file.diagnosis) for _, file in found)
    launchers = tuple((t.relative, t.text) for t in judgement.launchers)
    places = tuple(file.path for file in (*(file for _, file in found), *judgement.launchers))
    return _mended(asked, files, wrapper_facts(judgement), launchers)._replace(prebuilt=prebuilt, places=places)


FileText = tuple[bytes, str, str, "TextDiagnosis | None"]
"""Text, name for line tables, name for people, and what is wrong in it where that is known."""


Launcher = tuple[str, bytes]
"""A wrapper: what people call it, and its text."""


def _mended(
    asked: Asked, files: tuple[FileText, ...], wrapper: WrapperFacts | None, launchers: tuple[Launcher, ...] = ()
) -> Texts:
    """The texts as they are to run: as found, or as ``apply`` would write them; and with the fault mended as well."""
    known = asked.known()
    wanted = known.deciding if asked.patched else frozenset()

    def mended(faults: frozenset[str]) -> tuple[tuple[KernelFile, ...], tuple[WrapperFile, ...]]:
        wrappers = wrapper_files(launchers, known, faults)
        return tuple(kernel_file(file, known, faults, wrappers) for file in files), wrappers

    before, wrappers = mended(wanted - {asked.fault})
    texts = Texts(before, None, wrapper, wrappers=wrappers)
    if asked.fault in {fault.id for fault in known.judged}:
        assert asked.fault is not None
        try:
            after = mended(wanted | {asked.fault})
        except NotUnderstoodError as error:
            asked.note(f"aiterfix: nothing mends {asked.fault} here: {error.what}: {error.why}")
        else:
            if after != (before, wrappers):
                texts = texts._replace(after=after[0], wrappers_after=after[1])
    return texts


def wrapper_files(launchers: tuple[Launcher, ...], known: Faults, wanted: frozenset[str]) -> tuple[WrapperFile, ...]:
    """What launches kernels, with these faults mended in it as far as they can be."""
    from aiterfix.validation.calls import WrapperFile

    found = []
    for name, text in launchers:
        steps: tuple[str, ...] = ()
        new = text
        if wanted:
            done = _mend(text, known, wanted, name, None)
            new, steps = done.new, tuple(sorted(step.fault for step in done.steps))
        found.append(WrapperFile(new, name, steps, sha256_hex(text)))
    return tuple(found)


def _mend(text: bytes, known: Faults, wanted: frozenset[str], filename: str, diagnosis: TextDiagnosis | None) -> Mended:
    """As `apply` does it: what is recorded of a released text, or else made now."""
    from aiterfix.faults.diagnosis import TextDiagnosis
    from aiterfix.history.known import mended

    there = diagnosis or TextDiagnosis(sha256_hex(text), (), ())
    return mended(text, there, known, wanted) or mend(
        text, known.judged, filename=filename, wanted=tuple(wanted), diagnosis=diagnosis
    )


def kernel_file(
    file: FileText, known: Faults, wanted: frozenset[str], wrappers: tuple[WrapperFile, ...] = ()
) -> KernelFile:
    """A text with these faults mended as far as they can be, and what the wrappers that launch its kernels refuse.

    Raises:
        NotUnderstoodError: it is not understood, or an edit did not come out as intended.
    """
    from aiterfix.judge.refusals import launches_in, with_refusals
    from aiterfix.validation.kernel_file import KernelFile

    text, filename, shown, diagnosis = file
    original = sha256_hex(text)
    mends: tuple[str, ...] = ()
    if wanted:
        mended = _mend(text, known, wanted, filename, diagnosis)
        text, mends, diagnosis = mended.new, tuple(sorted(step.fault for step in mended.steps)), mended.after
    elif diagnosis is None:
        diagnosis = diagnose(text, known.judged)
    if wrappers:
        launches = tuple(launch for w in wrappers for launch in launches_in(w.filename, w.text))
        diagnosis = with_refusals(text, diagnosis, launches, known)
    presence = {unit.name: {d.fault: d.presence for d in unit.diagnoses} for unit in diagnosis.units}
    return KernelFile(text, filename, shown, mends, original, presence)


def _root(judgement: Judgement) -> Path:
    assert judgement.installation is not None
    return judgement.installation.root


def wrapper_facts(judgement: Judgement) -> WrapperFacts | None:
    """What the module that compiles the kernels says, where the installation has one that is understood."""
    if judgement.installation is None:
        return None
    view = View(judgement.installation.image_root)
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


def _named(words: Sequence[str], subject: Subject) -> tuple[AnyKernel, ...]:
    """The kernels that words mean, of a subject or not."""
    found: dict[AnyKernel, None] = {}
    for word in words:
        if word in ("gluon", "stage1"):
            kind = Kernel if word == "gluon" else Portable
            found |= dict.fromkeys(kernel for kernel in subject.kernels if isinstance(kernel, kind))
        else:
            found[next(kernel for kernel in (*Kernel, *Portable) if kernel.value == word)] = None
    if not found:
        raise NotUnderstoodError(f"no kernel of {', '.join(words)} is in what is validated")
    return tuple(found)


def _selection(asked: Asked, subject: Subject, kernels: tuple[AnyKernel, ...] | None = None) -> Selection:
    from aiterfix.validation.selection import Selection

    configs = _configs(asked, kernels if kernels is not None else subject.kernels)
    return Selection(kernels, configs, asked.suite, asked.pattern, asked.fault)


def _configs(asked: Asked, kernels: Sequence[AnyKernel]) -> tuple[KernelConfig, ...] | None:
    """The configurations that the arguments leave, or None where they say nothing."""
    if not asked.kv_block_sizes and not asked.heads and not asked.chunks and asked.out_stride == "auto":
        return None
    from aiterfix.validation.scenarios import default_configs

    if asked.kv_block_sizes:
        base = [KernelConfig(kv_block_size=size, aligned_cache=size > 1) for size in asked.kv_block_sizes]
    else:
        base = [config for kernel in kernels for config in default_configs(kernel, asked.suite)]
    made = [
        replace(config, heads=heads, chunk_k=chunk, out_stride=asked.out_stride)
        for config in base
        for heads in asked.heads or tuple(sorted({config.heads for config in base}, reverse=True))
        for chunk in asked.chunks or (config.chunk_k,)
    ]
    return tuple(dict.fromkeys(made))
