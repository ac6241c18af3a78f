"""What is known of released texts, by digest: asked at every `check` in place of reading them, so kept light."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiterfix.faults.base import Diagnosis, Presence
from aiterfix.faults.diagnosis import TextDiagnosis, Unit
from aiterfix.faults.mend import Mended, Step
from aiterfix.faults.registry import Faults
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.held import MOST_BYTES, open_file, read_file

DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError)
"""What looking into facts raises that are missing, or not what they should be."""

FILE = Path(__file__).with_name("texts.json")
_ROW = b" " * 4
"""How the line of a row begins, see `aiterfix.history.store`."""

if TYPE_CHECKING:
    from aiterfix.installation.kernelfiles import PackageText
    from aiterfix.judge.refusals import NamedLaunch
    from aiterfix.source.kernel_launch import KernelLaunch


def diagnosis_of(digest: str, known: Faults) -> TextDiagnosis | None:
    """The diagnosis of a released text, or of its mended text, without findings; None where it has to be read.

    That is: it is of no release; the facts are not about exactly these faults and kernels; something in it is not
    understood, or is there and cannot be taken out: then people need reasons and lines.

    Args:
        digest: sha256 of the text, hexadecimal.
    """
    try:
        facts = texts(digest)
        if not _about(facts, known):
            return None
        text = facts["texts"].get(digest) or _mended(facts, digest)
        if text is None and _is_wrapper(facts, digest):
            return TextDiagnosis(digest, (), ())
        if text is None or "problems" in text:
            return None
        units = [_unit(u, facts["faults"], known) for u in text["units"]]
    except DAMAGED:
        return None  # damaged: what is installed can still be read
    if any(d.presence is Presence.UNKNOWN for u in units for d in u.diagnoses):
        return None
    return TextDiagnosis(digest, tuple(units), ())


def _about(facts: Any, known: Faults) -> bool:
    return set(facts["faults"]) == {f.id for f in known.judged} and set(facts["kernels"]) == {
        k.name for k in known.kernels
    }


def launches_of(digest: str, where: str, known: Faults) -> tuple[NamedLaunch, ...] | None:
    """The launches of a released text, or of its mended text, so far as a deciding fault is about them; None where it
    has to be read. What they hand on is not recorded. ``digest`` is the sha256 of the text, hexadecimal.
    """
    from aiterfix.judge.refusals import NamedLaunch

    try:
        facts = texts(digest)
        if digest not in facts["launches"] or not _about(facts, known):
            return None
        return tuple(NamedLaunch(where, launch(row)) for row in facts["launches"][digest])
    except DAMAGED:
        return None


def launch(row: Sequence[Any]) -> KernelLaunch:
    """A launch as `aiterfix.history.store` writes it."""
    from aiterfix.source.kernel_launch import KernelLaunch

    kernel, entry, line, told, refused, asserted, about, refusable = row
    return KernelLaunch(kernel, entry, line, told, refused, asserted, None, about, refusable)


def mended(text: bytes, diagnosis: TextDiagnosis, known: Faults, wanted: Collection[str]) -> Mended | None:
    """The recorded mend of a released text; None where none is recorded, or for other faults than those wanted.

    What is recorded was proven when the record was made. The outcome's digest is compared with it here.

    Args:
        wanted: ids of the faults to take out.
    """
    try:
        facts = texts(diagnosis.sha256)
        entry = facts["mends"].get(diagnosis.sha256)
        if entry is None or not _about(facts, known) or set(wanted) != known.deciding:
            return None
        parts = (p.encode("latin-1") if isinstance(p, str) else text[slice(*p)] for p in entry["parts"])
        new = b"".join(parts)
        steps = tuple(Step(fault, tuple((name, line) for name, line in places)) for fault, places in entry["steps"])
        after = diagnosis_of(entry["sha256"], known)
        if after is None or sha256_hex(new) != entry["sha256"]:
            return None
    except DAMAGED:
        return None
    return Mended(text, new, steps, diagnosis, after)


def mended_digest(digest: str, faults: Collection[str]) -> str | None:
    """The digest of what the recorded mend makes of a released text; None where none of just these faults is recorded.

    Args:
        digest: sha256 of the text, hexadecimal.
        faults: ids of the faults that are taken out.
    """
    try:
        entry = texts(digest)["mends"].get(digest)
        same = entry is not None and {fault for fault, _ in entry["steps"]} == set(faults)
        return str(entry["sha256"]) if same else None
    except DAMAGED:
        return None


def resolves(package: Path, sources: Mapping[str, str], known: Faults, contents: PackageText) -> bool:
    """Whether a package is, in all that matters for it, one whose wrappers' names all lead to a definition.

    Args:
        sources: digests of the files that name a kernel, by path in it.
        contents: everything that was read of it.
    """
    try:
        if not sources:
            return False
        facts = texts(min(sources.values()))
        if not _about(facts, known):
            return False
        return any(entry[0] == sources and _same(package, contents, *entry[1:]) for entry in facts["wrappers"])
    except DAMAGED:
        return False


def _same(package: Path, contents: PackageText, others: Mapping[str, str], modules: Mapping[str, str]) -> bool:
    from aiterfix.judge.modules import Modules

    if any(sha256_hex(contents.read(package / path)) != digest for path, digest in others.items()):
        return False
    return Modules(package, contents.view).answers(modules)


def _mended(facts: Any, digest: str) -> Any:
    """What is in a mended text; None where no mend makes that text."""
    return next((entry for entry in facts["mends"].values() if entry["sha256"] == digest), None)


def _is_wrapper(facts: Any, digest: str) -> bool:
    """Whether this is a file of a release that names a kernel, defines none and is understood. Asked of what is neither
    a released text with kernels nor a mended one."""
    return any(digest in sources.values() for sources, *_ in facts["wrappers"])


def _unit(unit: list[Any], faults: list[str], known: Faults) -> Unit:
    """Raises ValueError for one whose mend has an obstacle, which stands behind the rest."""
    name, group, line, stores, words = unit
    presence = {f: Presence(w) for f, w in zip(faults, words, strict=True)}
    here = (f.id for f in known.judged if any(g.name == group for g in f.groups))
    diagnoses = [Diagnosis(f, (), presence[f]) for f in here]
    return Unit(name, group, line, tuple(diagnoses), sum(stores))


def texts(digest: str) -> Any:
    """What ``texts.json`` holds, of its tables only the rows that name a digest.

    A row is a line, and lines are read one at a time: all rows together are a megabyte of objects, which every process
    that imports a kernel would keep.

    Raises:
        OSError, ValueError: the shipped facts are missing or damaged.
    """
    wanted = digest.encode()
    kept: list[bytes] = []
    with open(open_file(FILE), "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise ValueError(f"{FILE} is too long")
        for line in file:
            if not line.startswith(_ROW):
                kept.append(line)
            elif wanted in line:
                if kept and kept[-1].startswith(_ROW):
                    kept[-1] += b","
                kept.append(line.rstrip().removesuffix(b","))
    try:
        return json.loads(b"".join(kept))
    except RecursionError as error:
        raise ValueError(f"{FILE} is nested too deeply") from error


def facts_in(name: str) -> Any:
    """A file of shipped facts, as parsed.

    Raises:
        OSError, ValueError: it is missing or damaged.
    """
    try:
        return json.loads(read_file(Path(__file__).with_name(name)))
    except RecursionError:
        raise ValueError("nested too deeply") from None
