"""Kernels that are right with blocks of one token only, and whether everything that launches them refuses others.

A kernel's text and its wrapper's are two files. What a kernel's text says alone is `present`; where every launch in
sight stands behind a refusal, it is `refused`.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from aiterfix.family.paging import UNTOLD
from aiterfix.faults.base import NO_SIZE, Diagnosis, Finding, Presence, takes_no_size
from aiterfix.faults.diagnosis import TextDiagnosis, Unit
from aiterfix.faults.registry import Faults
from aiterfix.judge.entry_faults import at_entries, at_operands, entry_launches, unseen_launches
from aiterfix.storage.record import record

if TYPE_CHECKING:
    from aiterfix.source.kernel_launch import KernelLaunch
    from aiterfix.source.launch_arguments import Arguments

VERB = "page-by-block"
"""The verb of faults that an entry may refuse."""


def open_kernels(diagnosis: TextDiagnosis, known: Faults) -> bool:
    """Whether a text has a kernel that is right with what its launches make of it alone."""
    faults = {f.id for f in known.judged if f.verb == VERB}
    return any(
        d.fault in faults and (_may_be_refused(u, d) or _must_be_told(u, d))
        for u in diagnosis.units
        for d in u.diagnoses
    )


def _may_be_refused(unit: Unit, diagnosis: Diagnosis) -> bool:
    """Whether a kernel is right with blocks of one token: of a released text, these kernels have the fault for no other
    reason (a test over all of them says so)."""
    if diagnosis.recorded is not None:
        return diagnosis.recorded is Presence.PRESENT and unit.name in UNTOLD
    return any(f.code == NO_SIZE for f in diagnosis.findings)


def _must_be_told(unit: Unit, diagnosis: Diagnosis) -> bool:
    """Whether a kernel is right with the size of a block that it is told, among those that may go untold."""
    return unit.name in UNTOLD and unit.stores > 0 and diagnosis.presence is Presence.ABSENT


def with_refusals(
    text: bytes, diagnosis: TextDiagnosis, launches: Sequence[NamedLaunch], known: Faults
) -> TextDiagnosis:
    """A text's diagnosis, with `refused` where every launch of a kernel is.

    Args:
        launches: every launch in sight.
    """
    diagnosis = at_entries(diagnosis, text, launches, known)
    faults = {f.id for f in known.judged if f.verb == VERB}

    def joined(unit: Unit, diagnosis: Diagnosis) -> Diagnosis:
        here = [n for n in launches if n.launch.kernel == unit.name]
        refused = _joined(unit, diagnosis, [n for n in here if not n.launch.about])
        return at_operands(refused, unit, text, here, known)

    def settled(unit: Unit) -> Unit:
        return replace(unit, diagnoses=tuple(joined(unit, d) if d.fault in faults else d for d in unit.diagnoses))

    return replace(diagnosis, units=tuple(map(settled, diagnosis.units)))


@record(frozen=True)
class NamedLaunch:
    """A launch, and what people call the text that it stands in.

    Attributes:
        where: what they call it.
        arguments: what it hands on, where that is what it is asked about.
        replaced: whether another function stands in the place of the one that makes it, and makes it no more.
    """

    where: str
    launch: KernelLaunch
    arguments: Arguments | None = None
    replaced: bool = False

    @property
    def refused(self) -> bool:
        """Whether no block of several tokens comes through."""
        return self.replaced or self.launch.refused

    @property
    def why(self) -> str:
        """Why not."""
        says = "is replaced and launches it no more" if self.replaced else "raises first for a cache with larger blocks"
        return f"{self.launch.entry}() of {self.where} {says}"


def launches_in(where: str, text: bytes, tree: ast.Module | None = None) -> tuple[NamedLaunch, ...]:
    """The launches of a text; none where it does not parse, which is a doubt of its own.

    Args:
        tree: the same parsed, where the caller has it already.
    """
    from aiterfix.family.paging import CACHES, PAGING
    from aiterfix.source.entries import kernel_launches

    if not any(name.encode() in text for name in PAGING):
        return ()
    try:
        tree = tree or ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    size = next(iter(PAGING.values())).block_size
    about_blocks = (NamedLaunch(where, launch) for launch in kernel_launches(tree, UNTOLD, CACHES, size))
    return (*about_blocks, *(NamedLaunch(where, *launch) for launch in entry_launches(tree)))


def as_run_here(named: NamedLaunch) -> NamedLaunch:
    """A launch as this process makes it: without assertions where Python was told to leave them out."""
    open_here = named.launch.asserted and sys.flags.optimize > 0
    return replace(named, launch=replace(named.launch, refused=False)) if open_here else named


def launches_loaded(
    names: Iterable[str], launches_of: Callable[[str, bytes], Iterable[NamedLaunch]] = launches_in
) -> tuple[NamedLaunch, ...]:
    """What loaded wrappers launch, each function believed only where it is that of its module's text.

    Args:
        names: of modules; those that are not loaded are passed over.
        launches_of: gives the launches of a text, by what people call it and its bytes.
    """
    found: list[NamedLaunch] = []
    for name in dict.fromkeys(names):
        if (module := loaded(name)) is not None:
            found += _loaded(name, module, launches_of)
    return tuple(found)


def loaded(name: str) -> ModuleType | None:
    """A module that is executed, or being so; not one that will be once it is looked at (`LazyLoader`)."""
    module = sys.modules.get(name)
    return module if type(module) is ModuleType else None


def _loaded(
    name: str, module: ModuleType, launches_of: Callable[[str, bytes], Iterable[NamedLaunch]]
) -> Iterator[NamedLaunch]:
    from aiterfix.family.own_kernel import in_place
    from aiterfix.judge.kernel_objects import module_text
    from aiterfix.source.kernel_launch import KernelLaunch

    namespace = vars(module)
    text = module_text(module)
    if text is None:
        held = (k for k in UNTOLD if k in namespace)
        yield from (NamedLaunch(name, KernelLaunch(k, "", 0, told=False, refused=False)) for k in held)
        yield from (NamedLaunch(name, launch) for launch in unseen_launches(namespace))
        return
    functions: dict[str, CodeType] | None = None
    for named in launches_of(name, text.encode()):
        entry = named.launch.entry
        if entry and in_place(module, entry):
            yield replace(named, replaced=True)
            continue
        # A module that is being executed has no functions yet: what it will have is what its text says.
        same = entry not in namespace and getattr(module.__spec__, "_initializing", False)
        if not same:
            functions = _functions(text) if functions is None else functions
            function = inspect.unwrap(namespace[entry]) if callable(namespace.get(entry)) else None
            same = getattr(function, "__code__", None) == functions.get(entry)
        yield as_run_here(named) if same else replace(named, launch=replace(named.launch, refused=False))


def _functions(text: str) -> dict[str, CodeType]:
    """The code of a text's functions, by name."""
    try:
        code = compile(text, "<text>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return {c.co_name: c for c in code.co_consts if isinstance(c, CodeType)}


def _joined(unit: Unit, diagnosis: Diagnosis, launches: Sequence[NamedLaunch]) -> Diagnosis:
    if _must_be_told(unit, diagnosis):
        return _told(unit, diagnosis, launches)
    if not _may_be_refused(unit, diagnosis):
        return diagnosis
    if diagnosis.recorded is not None:
        diagnosis = Diagnosis(diagnosis.fault, (takes_no_size(unit.line),))
    left = [n for n in launches if not n.refused]
    if launches and not left:
        why = ", ".join(dict.fromkeys(n.why for n in launches))
        return replace(
            diagnosis, findings=tuple(_refused(f, why) if f.code == NO_SIZE else f for f in diagnosis.findings)
        )
    if left:
        # `apply` has the others refuse.
        stuck = next((n for n in left if not n.launch.refusable), None)
        named = stuck or left[0]
        place = f"{named.launch.entry or 'the module'} of {named.where}, line {named.launch.line}"
        says = f"{place}, launches it with blocks of any size"
        obstacle = says if stuck is not None else ""
        findings = tuple(_open(f, obstacle, says) if f.code == NO_SIZE else f for f in diagnosis.findings)
        return replace(diagnosis, findings=findings)
    obstacle = "nothing that launches it was found, which could refuse larger blocks"
    findings = tuple(_open(f, obstacle, obstacle) if f.code == NO_SIZE else f for f in diagnosis.findings)
    return replace(diagnosis, findings=findings)


def _told(unit: Unit, diagnosis: Diagnosis, launches: Sequence[NamedLaunch]) -> Diagnosis:
    left = [n for n in launches if not (n.launch.told or n.refused)]
    if not left:
        return diagnosis
    stuck = next((n for n in left if not n.launch.refusable), None)
    named = stuck or left[0]
    message = (
        f"{named.launch.entry or 'the module'} of {named.where}, line {named.launch.line}, launches it with something "
        "else than the size of its cache's blocks and the strides that go with it, or nothing that is known to be these"
    )
    # An entry that is handed the cache is made to refuse; of a name that is handed on nothing is known.
    presence, obstacle = (Presence.PRESENT, "") if stuck is None else (Presence.UNKNOWN, "it is not understood")
    finding = Finding("untold", message, unit.line, unit.line, presence, obstacle)
    return replace(diagnosis, findings=(*diagnosis.findings, finding), recorded=None)


def _refused(finding: Finding, why: str) -> Finding:
    return replace(finding, presence=Presence.REFUSED, message=f"{_alone(finding)}; {why}", obstacle="")


def _open(finding: Finding, obstacle: str, says: str) -> Finding:
    message = _alone(finding) if obstacle else f"{_alone(finding)}; {says}"
    return replace(finding, presence=Presence.PRESENT, message=message, obstacle=obstacle)


def _alone(finding: Finding) -> str:
    """What the kernel's own text says, whatever was said of its launches before."""
    return finding.message.partition(";")[0]
