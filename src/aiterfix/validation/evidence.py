"""What runs of a text have shown, kept so that others can rely on it.

Readable by the core: standard library only. A record is one JSON file that was written whole or not at all, under the
digest of the text it is about. One that cannot be read, is of another format, or does not say what its place says is
not believed; the reason is given beside the others that are. Records may stand in several folders, of one layout: the
package's own, a patched tree's, and the user's cache, which a user's own runs add to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from aiterfix.storage import codec
from aiterfix.storage.believed import keep as keep_file
from aiterfix.storage.believed import read_believed, refuse
from aiterfix.storage.codec import StoredError
from aiterfix.storage.files import cache_directory
from aiterfix.storage.held import read_file
from aiterfix.storage.readers import Count, Sha256, within

FORMAT = 1
_LARGEST = 1 << 16
"""Bytes; a record is some hundreds."""


def _in_order(mends: tuple[str, ...]) -> tuple[str, ...]:
    if list(mends) != sorted(set(mends)):
        raise ValueError("not sorted, each once")
    return mends


def _known_suite(suite: str) -> str:
    if suite not in ("quick", "full"):
        raise ValueError("no suite")
    return suite


def _stated(text: str) -> str:
    if not text:
        raise ValueError("not stated")
    return text


_Text = Annotated[str, _stated]


@dataclass(frozen=True)
class Evidence:
    """One run of a whole suite over one text.

    Attributes:
        text_sha256: digest of the kernel file as it ran.
        mends: ids of the faults that were mended in it for the run, sorted.
        triton: release that compiled it.
        device: what executed it: ``emulator``, or the name of a GPU.
        suite: ``quick`` or ``full``.
        scenarios: how many were run.
        names_sha256: digest of their names; see :func:`names_digest`.
        failed: how many did not pass; there is no record where one could not be run.
        version: of this package.
        date: of the run, ``2026-08-22``.
    """

    text_sha256: Sha256
    mends: Annotated[tuple[str, ...], _in_order]
    triton: _Text
    device: _Text
    suite: Annotated[str, _known_suite]
    scenarios: Annotated[int, within(1)]
    names_sha256: Sha256
    failed: Count
    version: _Text
    date: _Text

    @property
    def outcome(self) -> Literal["passed", "failed"]:
        """Whether every scenario passed."""
        return "failed" if self.failed else "passed"

    @property
    def place(self) -> str:
        """Its path below a folder of evidence: a later run of the same replaces it."""
        same = json.dumps([self.mends, self.triton, self.device, self.suite, self.names_sha256])
        return f"{self.text_sha256}/{sha256(same.encode()).hexdigest()[:16]}.json"


@dataclass(frozen=True)
class NotBelieved:
    """A record that is not believed, and why."""

    path: Path
    reason: str


def names_digest(names: Iterable[str]) -> str:
    """Digest of a set of scenarios by their names, whatever their order."""
    return sha256("\n".join(sorted(names)).encode()).hexdigest()


def today() -> str:
    """The date, to stamp a record with."""
    return datetime.now(timezone.utc).date().isoformat()


def evidence_folders(tree: Path | None = None) -> tuple[Path, ...]:
    """Where records are looked for: the package's own, those of a patched tree's state, and the user's.

    Args:
        tree: the folder that a patched tree keeps its records in.
    """
    return (shipped_folder(), *((tree,) if tree is not None else ()), user_folder())


def shipped_folder() -> Path:
    """Where the package's own records are."""
    return Path(__file__).parents[1] / "_data" / "evidence"


def user_folder() -> Path:
    """Where a user's own runs are kept: beside the compiled kernels."""
    return cache_directory() / "evidence"


def keep(evidence: Evidence, folder: Path | None = None) -> Path:
    """Write a record.

    Raises:
        OSError: the folder cannot be written.
    """
    path = (folder or user_folder()) / evidence.place
    said = {"format": FORMAT, **codec.plain(evidence), "outcome": evidence.outcome}
    keep_file(path, codec.encode(said))
    return path


def evidence_of(text_sha256: str, folders: Sequence[Path] | None = None) -> tuple[Evidence, ...]:
    """What is recorded of a text; each run once, in the order of the folders."""
    return read_evidence(text_sha256, folders)[0]


def read_evidence(
    text_sha256: str, folders: Sequence[Path] | None = None
) -> tuple[tuple[Evidence, ...], tuple[NotBelieved, ...]]:
    """What is recorded of a text, and the records that are not believed.

    Never raises for what it finds on disk: no folder is no record.

    Args:
        text_sha256: digest of the kernel file.
        folders: where to look; default :func:`evidence_folders`.
    """
    found: dict[Evidence, None] = {}
    refused: list[NotBelieved] = []
    for folder in evidence_folders() if folders is None else folders:
        for path in sorted((folder / text_sha256).glob("*.json")):
            try:
                found[_read(path, text_sha256)] = None
            except _Damaged as damaged:
                refused.append(NotBelieved(path, str(damaged)))
    return tuple(found), tuple(refused)


class _Damaged(Exception):  # noqa: N818 - never leaves this module
    """Why a record is not believed."""


def _read(path: Path, text_sha256: str) -> Evidence:
    try:
        # What came with the package is believed as its code is.
        shipped = path.is_relative_to(shipped_folder())
        data = read_file(path, most=_LARGEST) if shipped else read_believed(path, _LARGEST)
        said = codec.parse(data, path, most_bytes=_LARGEST)
        if not isinstance(said, dict) or said.pop("format", None) != FORMAT:
            raise _Damaged(f"is not of format {FORMAT}")
        outcome = said.pop("outcome", None)
        evidence = codec.build(said, Evidence, path)
    except OSError as error:
        raise _Damaged(refuse(error)) from error
    except StoredError as error:
        raise _Damaged(error.detail) from error
    if evidence.failed > evidence.scenarios:
        raise _Damaged("its counts do not fit each other")
    if evidence.text_sha256 != text_sha256 or evidence.place != f"{text_sha256}/{path.name}":
        raise _Damaged("says it is about something else than its place does")
    if outcome != evidence.outcome:
        raise _Damaged("its outcome is not what its counts say")
    return evidence
