"""Faults that hang on what an entry hands a kernel: found, or refused, where wrapper and kernel are seen together."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aiterfix.family.cases import (
    ARGUMENTS,
    CHUNK_OF_TILES,
    OTHER_OPERANDS,
    OTHER_ROWS,
    OTHER_SIZE,
    ROW_STRIDE,
    SAID,
    WIDTH,
)
from aiterfix.family.paging import OPERANDS, PAGING, UNTOLD
from aiterfix.faults.base import Diagnosis, Finding, Presence
from aiterfix.faults.diagnosis import TextDiagnosis, Unit
from aiterfix.faults.registry import Faults

if TYPE_CHECKING:
    from aiterfix.judge.refusals import NamedLaunch
    from aiterfix.source.kernel_launch import KernelLaunch
    from aiterfix.source.launch_arguments import Arguments
    from aiterfix.source.roles import KernelRoles

    _Handed = tuple[tuple[str, Arguments, ast.arguments | None], ...]
    """What launches hand on: where, in words that end so; it; and the kernel's parameters, None where they are not
    plain."""

_BY_WIDTH = "bound-column"
"""The verb of faults that are absent where the kernel is handed the rows that the entry was, and their width."""
_BY_SIZE = "page-by-block"
"""The verb of those that are where it is told the size of a block. What is said elsewhere of kernels that may go untold
is not said here."""
_AT_ENTRIES = ("take-row-stride", "take-chunk", "match-parameters", _BY_WIDTH, _BY_SIZE)
"""Verbs of faults that hang on what an entry hands on, or refuses."""


def at_entries(diagnosis: TextDiagnosis, text: bytes, launches: Sequence[NamedLaunch], known: Faults) -> TextDiagnosis:
    """A text's diagnosis, with the faults that the entries of its kernels have, or refuse.

    Args:
        diagnosis: of the text alone.
        launches: every launch in sight.
    """
    return replace(diagnosis, units=tuple(_unit(u, text, launches, known) for u in diagnosis.units))


def _unit(unit: Unit, text: bytes, launches: Sequence[NamedLaunch], known: Faults) -> Unit:
    verbs = {f.id: f.verb for f in known.judged if f.verb in _AT_ENTRIES}
    if not unit.stores:
        return unit
    mine = [n for n in launches if n.launch.kernel == unit.name and n.launch.about]
    handed = _handed_on(unit, text, mine)
    roles = next(k for k in known.kernels if k.name == unit.name)
    diagnoses = (
        _at_entry(d, verbs[d.fault], unit, roles, mine, handed) if d.fault in verbs else d for d in unit.diagnoses
    )
    return replace(unit, diagnoses=tuple(diagnoses))


def at_operands(
    diagnosis: Diagnosis, unit: Unit, text: bytes, launches: Sequence[NamedLaunch], known: Faults
) -> Diagnosis:
    """A diagnosis of what rows are scored with, where an entry hands on other tensors or axes than it was handed.

    Args:
        unit: which it is about.
        text: that it stands in.
        launches: every launch of it in sight.
    """
    if (roles := PAGING.get(unit.name)) is None or not unit.stores:
        return diagnosis
    what = "queries, weights, lengths or block table, or axes of them, than it was handed"
    summed = any(k.name == unit.name and len(k.strides) == 1 for k in known.kernels)

    def same(arguments: Arguments, parameters: ast.arguments) -> bool:
        return arguments.hands_operands(parameters, roles, OPERANDS, summed=summed)

    return _handed_another(diagnosis, unit, _handed_on(unit, text, launches), OTHER_OPERANDS, what, same)


def _handed_on(unit: Unit, text: bytes, launches: Sequence[NamedLaunch]) -> _Handed:
    mine = [(n.where, n.arguments) for n in launches if n.arguments is not None and not n.replaced]
    if not mine:
        return ()
    from aiterfix.source.launch_arguments import parameters_of

    parameters = parameters_of(text, unit.name)
    return tuple(
        (f"{f'{a.entry}()' if a.entry else 'the module'} of {where}, line {a.line}, hands on", a, parameters)
        for where, a in mine
    )


def _compared(diagnosis: Diagnosis, unit: Unit, handed: _Handed) -> Diagnosis:
    """What launches hand on beside what the kernel takes."""
    findings = []
    for place, arguments, parameters in handed:
        differs = arguments.mismatch(parameters) if parameters is not None else None
        if differs is None:
            message, presence, obstacle = f"what {place} is not understood", Presence.UNKNOWN, "it is not understood"
        elif differs:
            message, presence, obstacle = f"{place} {differs}", Presence.PRESENT, ""
        else:
            continue
        findings.append(Finding(ARGUMENTS, message, unit.line, unit.line, presence, obstacle))
    return replace(diagnosis, findings=tuple(findings), recorded=None) if findings else _absent(diagnosis)


def _handed_another(
    diagnosis: Diagnosis,
    unit: Unit,
    handed: _Handed,
    code: str,
    what: str,
    same: Callable[[Arguments, ast.arguments], bool],
) -> Diagnosis:
    """A kernel that is right with what an entry was handed: where it is handed another, it may be wrong."""
    alone = tuple(f for f in diagnosis.findings if f.code != code)  # whatever was said of its launches before
    if len(alone) < len(diagnosis.findings):
        diagnosis = replace(diagnosis, findings=alone)
    if not diagnosis.presence.harmless:
        return diagnosis
    findings = tuple(
        Finding(
            code,
            f"{place} another {what}, or nothing that is known to be this",
            unit.line,
            unit.line,
            Presence.UNKNOWN,
            "it is not understood",
        )
        for place, arguments, parameters in handed
        if parameters is None or not same(arguments, parameters)
    )
    return replace(diagnosis, findings=(*diagnosis.findings, *findings), recorded=None) if findings else diagnosis


def _absent(diagnosis: Diagnosis) -> Diagnosis:
    return replace(diagnosis, findings=(), recorded=None if diagnosis.recorded is None else Presence.ABSENT)


def _at_entry(
    diagnosis: Diagnosis, verb: str, unit: Unit, roles: KernelRoles, launches: Sequence[NamedLaunch], handed: _Handed
) -> Diagnosis:
    if verb == _BY_WIDTH:
        rows = f"{WIDTH}, output or stride than it was handed"
        return _handed_another(diagnosis, unit, handed, OTHER_ROWS, rows, lambda a, p: a.hands_rows(p, roles, WIDTH))
    if verb == _BY_SIZE:
        size = PAGING[unit.name].block_size if unit.name in PAGING and unit.name not in UNTOLD else ""
        told = "size of a block than that of the cache that it was handed"
        return _handed_another(diagnosis, unit, handed, OTHER_SIZE, told, lambda a, p: a.hands_size(p, size))
    if diagnosis.presence is Presence.UNKNOWN:
        return diagnosis
    if verb == "match-parameters":
        return _compared(diagnosis, unit, handed)
    asked = ROW_STRIDE if verb == "take-row-stride" else CHUNK_OF_TILES
    mine = [n for n in launches if n.launch.about == asked and not (n.launch.told or n.replaced)]
    if asked is CHUNK_OF_TILES and (not mine or diagnosis.presence is not Presence.PRESENT):
        return diagnosis
    left = [n for n in mine if not n.refused]
    names = ", ".join(dict.fromkeys(f"{n.launch.entry or 'the module'}() of {n.where}" for n in left or mine))
    if not mine:
        return _absent(diagnosis)
    what = SAID[asked]
    if not left:
        found = Finding(asked, f"{names} raises first for {what}", unit.line, unit.line, Presence.REFUSED)
        return replace(diagnosis, findings=(found,), recorded=None)
    stuck = next((n for n in left if not n.launch.refusable), None)
    obstacle = (
        f"{stuck.launch.entry or 'the module'} of {stuck.where}, line {stuck.launch.line}, is not understood"
        if stuck
        else ""
    )
    found = Finding(asked, f"{names} lets {what} through", unit.line, unit.line, Presence.PRESENT, obstacle)
    return replace(diagnosis, findings=(found,), recorded=None)


def entry_launches(tree: ast.Module) -> Iterator[tuple[KernelLaunch, Arguments | None]]:
    """What functions of a module get to kernels, for these faults; and what they hand on where that is asked about."""
    from aiterfix.family import entries
    from aiterfix.family.kernels import ENTRIES
    from aiterfix.family.paging import CACHES
    from aiterfix.source.entry_tests import reaching
    from aiterfix.source.kernel_launch import KernelLaunch
    from aiterfix.source.launch_arguments import handed_on

    for launch in (
        *reaching(tree, entries.ONE_STRIDE, entries.ROW_STRIDE),
        *reaching(tree, entries.SHUFFLED_KERNELS, entries.CHUNK_OF_TILES),
    ):
        yield launch, None
    size = next(iter(PAGING.values())).block_size
    for a in handed_on(tree, tuple(PAGING), ENTRIES, (WIDTH, *OPERANDS.values()), CACHES, size):
        # To hand on too much or too little lets nothing through that a refusal would keep out.
        yield KernelLaunch(a.kernel, a.entry, a.line, told=True, refused=False, about=ARGUMENTS), a


def unseen_launches(namespace: dict[str, object]) -> Iterator[KernelLaunch]:
    """The same of a module whose text is not known, and that holds kernels."""
    from aiterfix.family.entries import ONE_STRIDE, SHUFFLED_KERNELS
    from aiterfix.source.kernel_launch import KernelLaunch

    for about, kernels in ((ROW_STRIDE, ONE_STRIDE), (CHUNK_OF_TILES, SHUFFLED_KERNELS)):
        for name in kernels:
            if name in namespace:
                yield KernelLaunch(name, "", 0, told=False, refused=False, about=about)
