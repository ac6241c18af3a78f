"""What is noted in the journal: which aiterfix was at work, which faults it was asked to mend, and what runs of the
texts that it wrote had shown. All of it stands in the journal's notes, which 0.1.0 keeps as they are: a file of another
name in the state directory would keep it from reverting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_VERSION = "aiterfix"
_FAULTS = "faults"
_FIXES = "fixes"
"""Where 0.1.0 noted the faults, under other ids."""
_EVIDENCE = "evidence"

RENAMED = {
    "pa-mqa-logits-store-bounds": "column-bound",
    "pa-mqa-logits-stage1-store-bounds": "column-bound",
}
"""Ids that journals of earlier versions hold, and what they are called now. Never to be shortened."""


def make_notes(version: str, faults: Iterable[str], evidence: str = "") -> dict[str, str]:
    """What `apply` is to note: this aiterfix's version, the ids of the faults that it was asked to mend, and records of
    runs (`aiterfix.validation.evidence.lines_of`)."""
    return {_VERSION: version, _FAULTS: ",".join(sorted(faults)), **({_EVIDENCE: evidence} if evidence else {})}


def noted_evidence(noted: Mapping[str, str]) -> str:
    """Records of runs; empty where none was noted."""
    return noted.get(_EVIDENCE, "")


def noted_version(noted: Mapping[str, str]) -> str:
    """The version of aiterfix that patched last; empty where it was not noted."""
    return noted.get(_VERSION, "")


def noted_faults(noted: Mapping[str, str]) -> tuple[str, ...]:
    """Today's ids of the faults that 0.1.0, and the last `apply` since, were asked to mend, sorted.

    An id that is not known stays as it is.
    """
    ids = ",".join((noted.get(_FIXES, ""), noted.get(_FAULTS, ""))).split(",")
    return tuple(sorted({RENAMED.get(fault, fault) for fault in ids if fault}))
