"""What is known of released texts, by digest: asked at every `check` in place of reading them, so kept light."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from aiterfix.faults.base import Diagnosis, Presence
from aiterfix.faults.diagnosis import TextDiagnosis, Unit
from aiterfix.faults.mend import Mended, Step
from aiterfix.faults.registry import Faults
from aiterfix.storage.digest import sha256_hex


def diagnosis_of(digest: str, known: Faults) -> TextDiagnosis | None:
    """The diagnosis of a released text, or of its mended text, without findings; None where it has to be read.

    That is: it is of no release; the facts are not about exactly these faults and kernels; something in it is not
    understood, or is there and cannot be taken out: then people need reasons and lines.

    Args:
        digest: sha256 of the text, hexadecimal.
        known: the faults asked about.
    """
    try:
        facts = texts()
        if not _about(facts, known):
            return None
        text = facts["texts"].get(digest) or _mended().get(digest)
        if text is None and digest in _without_kernels():
            return TextDiagnosis(digest, (), ())
        if text is None or "problems" in text:
            return None
        units = [_unit(u, facts["faults"], known) for u in text["units"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # damaged: what is installed can still be read
    if any(d.presence is Presence.UNKNOWN for u in units for d in u.diagnoses):
        return None
    return TextDiagnosis(digest, tuple(units), ())


def _about(facts: Any, known: Faults) -> bool:
    return set(facts["faults"]) == {f.id for f in known.judged} and set(facts["kernels"]) == {
        k.name for k in known.kernels
    }


def mended(text: bytes, diagnosis: TextDiagnosis, known: Faults, wanted: Collection[str]) -> Mended | None:
    """The recorded mend of a released text; None where none is recorded, or for other faults than those wanted.

    What is recorded was proven when the record was made. The outcome's digest is compared with it here.

    Args:
        text: the file's bytes.
        diagnosis: of that text.
        known: the faults to judge by.
        wanted: ids of the faults to take out.
    """
    try:
        facts = texts()
        entry = facts["mends"].get(diagnosis.sha256)
        if entry is None or not _about(facts, known) or set(wanted) != known.deciding:
            return None
        parts = (p.encode("latin-1") if isinstance(p, str) else text[slice(*p)] for p in entry["parts"])
        new = b"".join(parts)
        steps = tuple(Step(fault, tuple((name, line) for name, line in places)) for fault, places in entry["steps"])
        after = diagnosis_of(entry["sha256"], known)
        if after is None or sha256_hex(new) != entry["sha256"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Mended(text, new, steps, diagnosis, after)


def resolves(package: Path, sources: Mapping[str, str], known: Faults) -> bool:
    """Whether a package is, in all that matters for it, one whose wrappers' names all lead to a definition.

    Args:
        package: its folder.
        sources: digests of the files that name a kernel, by path in it.
        known: the faults asked about.
    """
    try:
        facts = texts()
        if not sources or not _about(facts, known):
            return False
        return any(entry[0] == sources and _same(package, *entry[1:]) for entry in facts["wrappers"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _same(package: Path, others: Mapping[str, str], modules: Mapping[str, str]) -> bool:
    from aiterfix.judge.modules import Modules

    if any(sha256_hex((package / path).read_bytes()) != digest for path, digest in others.items()):
        return False
    return Modules(package).answers(modules)


@cache
def _mended() -> dict[str, Any]:
    """What is in mended texts, by digest."""
    return {entry["sha256"]: entry for entry in texts()["mends"].values()}


@cache
def _without_kernels() -> frozenset[str]:
    """Digests of files of releases that name a kernel, define none and are understood: wrappers."""
    facts = texts()
    named = {digest for sources, *_ in facts["wrappers"] for digest in sources.values()}
    return frozenset(named.difference(facts["texts"], _mended()))


def _unit(unit: list[Any], faults: list[str], known: Faults) -> Unit:
    """Raises ValueError for one whose mend has an obstacle, which stands behind the rest."""
    name, group, line, stores, words = unit
    presence = {f: Presence(w) for f, w in zip(faults, words, strict=True)}
    here = (f.id for f in known.judged if any(g.name == group for g in f.groups))
    diagnoses = [Diagnosis(f, (), presence[f]) for f in here]
    return Unit(name, group, line, tuple(diagnoses), sum(stores))


@cache
def texts() -> Any:
    """The shipped facts as they stand in the file.

    Raises:
        OSError, ValueError: they are missing or damaged.
    """
    return json.loads(Path(__file__).with_name("texts.json").read_bytes())
