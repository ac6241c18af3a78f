"""What is noted in the journal for people: which aiterfix was at work, and which faults it was asked to mend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_VERSION = "aiterfix"
_FAULTS = "faults"
_FIXES = "fixes"
"""Where 0.1.0 noted the faults, under other ids."""

RENAMED = {
    "pa-mqa-logits-store-bounds": "column-bound",
    "pa-mqa-logits-stage1-store-bounds": "column-bound",
}
"""Ids that journals of earlier versions hold, and what they are called now. Never to be shortened."""


def make_notes(version: str, faults: Iterable[str]) -> dict[str, str]:
    """What `apply` is to note: this aiterfix's version, and the ids of the faults that it was asked to mend."""
    return {_VERSION: version, _FAULTS: ",".join(sorted(faults))}


def noted_version(noted: Mapping[str, str]) -> str:
    """The version of aiterfix that patched last; empty where it was not noted."""
    return noted.get(_VERSION, "")


def noted_faults(noted: Mapping[str, str]) -> tuple[str, ...]:
    """Today's ids of the faults that 0.1.0, and the last `apply` since, were asked to mend, sorted.

    An id that is not known stays as it is.
    """
    ids = ",".join((noted.get(_FIXES, ""), noted.get(_FAULTS, ""))).split(",")
    return tuple(sorted({RENAMED.get(fault, fault) for fault in ids if fault}))
