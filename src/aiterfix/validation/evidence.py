"""What runs of a text have shown, kept so that others can rely on it.

Readable by the core: standard library only. A store is one file of a line a record, in a folder: the package's own, and
the user's cache, which a user's own runs add to. A patched tree's journal holds such lines too. A line that is not
whole, is of another format, or whose numbers do not fit each other is not believed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from aiterfix.storage import codec
from aiterfix.storage.believed import keep as keep_file
from aiterfix.storage.believed import read_believed, refuse
from aiterfix.storage.codec import StoredError
from aiterfix.storage.held import read_file
from aiterfix.storage.readers import Count, Sha256
from aiterfix.validation.stores import LARGEST, NAME, evidence_folders, shipped_folder, user_folder

FORMAT = 2
_LARGEST_LINE = 1 << 16
CALLED = "CPU, launches recorded"
"""The device of a record about a wrapper: its functions were called, and the kernels that they launch were not run."""
Outcome = Literal["passed", "failed", "refused", "no code"]
"""What the scenarios of a fault came to: right logits; wrong ones; no launch, since the wrapper raises first; no code,
since the compiler gives none."""
Shown = Literal["shown", "not shown", "failed"]
"""Of a mend: a run failed before it and passed after it; none did; one failed after it that had not failed without."""


def _in_order(mends: tuple[str, ...]) -> tuple[str, ...]:
    if list(mends) != sorted(set(mends)):
        raise ValueError("not sorted, each once")
    return mends


def _known_suite(suite: str) -> str:
    if suite not in ("quick", "full"):
        raise ValueError("no suite")
    return suite


def _in_order_of_faults(faults: tuple[tuple[str, Outcome], ...]) -> tuple[tuple[str, Outcome], ...]:
    if list(faults) != sorted(set(faults)):
        raise ValueError("not sorted, each once")
    return faults


def _stated(text: str) -> str:
    if not text:
        raise ValueError("not stated")
    return text


_Text = Annotated[str, _stated]


@dataclass(frozen=True)
class Evidence:
    """One run of a whole suite over the kernels of one text.

    Attributes:
        text_sha256: digest of the text as it ran.
        original_sha256: digest of the text before it was mended; the same where nothing was.
        mends: ids of the faults that were mended in it for the run, sorted.
        triton: release that compiled it; of a wrapper, those that it was told of.
        device: what executed it: ``emulator``, the name of a GPU, or :data:`CALLED`.
        suite: ``quick`` or ``full``.
        scenarios: how many were run; 0 where the compiler gives no code for any of its kernels.
        names_sha256: digest of their names; see :func:`names_digest`.
        failed: how many did not pass that no known fault explains. There is no record where one could not be run.
        faults: of each fault that a scenario was there to show, what they came to.
        version: of this package.
        date: of the run, ``2026-08-22``.
        fp_fusion: whether the compiler made one instruction of a multiplication and an addition where a launch says
            nothing of it; None where that was not noted.
    """

    text_sha256: Sha256
    original_sha256: Sha256
    mends: Annotated[tuple[str, ...], _in_order]
    triton: _Text
    device: _Text
    suite: Annotated[str, _known_suite]
    scenarios: Count
    names_sha256: Sha256
    failed: Count
    faults: Annotated[tuple[tuple[str, Outcome], ...], _in_order_of_faults]
    version: _Text
    date: _Text
    fp_fusion: bool | None = None

    @property
    def outcome(self) -> Literal["passed", "failed"]:
        """Whether something ran and every scenario passed, those that show a known fault too."""
        return "failed" if self.failed or not self.scenarios or "failed" in dict(self.faults).values() else "passed"

    def of_fault(self, fault: str) -> Outcome | None:
        """What the scenarios of a fault came to; None where there was none."""
        return dict(self.faults).get(fault)

    @property
    def ran(self) -> tuple[object, ...]:
        """What ran it and how much: runs of two texts are compared where these are the same."""
        return (self.triton, self.fp_fusion, self.device, self.suite)

    @property
    def same(self) -> tuple[object, ...]:
        """What a later run has in common that replaces it."""
        return (self.original_sha256, self.mends, self.text_sha256, *self.ran)


def names_digest(names: Iterable[str]) -> str:
    """Digest of a set of scenarios by their names, whatever their order."""
    return sha256("\n".join(sorted(names)).encode()).hexdigest()


def today() -> str:
    """The date, to stamp a record with."""
    from datetime import datetime, timezone  # not where records are only read, as at a patched import

    return datetime.now(timezone.utc).date().isoformat()


def keep(evidence: Evidence, folder: Path | None = None) -> Path:
    """Add a record to a store; it replaces an earlier run of the same. What is damaged there is dropped.

    Raises:
        OSError: the folder cannot be written.
    """
    path = (folder or user_folder()) / NAME
    kept = {found.same: found for found in _read(path, b"")} | {evidence.same: evidence}
    keep_file(path, b"".join(_line(kept[same]) for same in sorted(kept, key=repr)))
    return path


def drop(folder: Path, but: Collection[str], made: Collection[Evidence] = ()) -> int:
    """Take out of a store the records of other texts than these, and those of the runs that were made now by another
    compiler; how many there were.

    Raises:
        OSError: the folder cannot be written.
    """
    records = _read(folder / NAME, b"")
    now = {e.same for e in made}
    again = {_but_compiler(e) for e in made}
    kept = [e for e in records if e.text_sha256 in but and (e.same in now or _but_compiler(e) not in again)]
    keep_file(folder / NAME, b"".join(map(_line, kept)))
    return len(records) - len(kept)


def _but_compiler(e: Evidence) -> tuple[object, ...]:
    return (e.original_sha256, e.mends, e.text_sha256, e.device, e.suite)


def lines_of(records: Iterable[Evidence]) -> str:
    """Records as a store holds them, each once: what a patched tree is given along."""
    return b"".join(_line(e) for e in dict.fromkeys(records)).decode()


def shown(fault: str, after: Collection[Evidence], before: Collection[Evidence]) -> Shown:
    """Whether runs show that a mend takes a fault out and harms nothing.

    A run that failed without the mend too, by no known fault, says nothing of it: the compiler may be to blame.

    Args:
        after: runs of the mended text.
        before: runs of the text that was mended.
    """
    blameless = {e.ran for e in before if e.failed}
    met = {e.ran for e in before if e.of_fault(fault) in ("failed", "no code")}
    runs = [e for e in after if fault in e.mends and e.ran not in blameless]
    if any(e.failed or e.of_fault(fault) == "failed" for e in runs):
        return "failed"
    # That a wrapper refuses is shown where it was called; of a kernel it was read.
    right = any(
        e.ran in met and (said == "passed" or (said == "refused" and e.device == CALLED))
        for e in runs
        for said in (e.of_fault(fault),)
    )
    return "shown" if right else "not shown"


def evidence_of(text_sha256: str, folders: Sequence[Path] | None = None, *, noted: str = "") -> tuple[Evidence, ...]:
    """What is recorded of a text as it stands; each run once, in the order of the folders."""
    return tuple(e for e in read_evidence(text_sha256, folders, noted=noted) if e.text_sha256 == text_sha256)


def read_evidence(text_sha256: str, folders: Sequence[Path] | None = None, *, noted: str = "") -> tuple[Evidence, ...]:
    """The records that name a text, as it ran or as it was before.

    Never raises for what it finds on disk: no folder is no record.

    Args:
        folders: where to look; default :func:`evidence_folders`.
        noted: records beside those, as :func:`lines_of` gives them.
    """
    digest = text_sha256.encode()
    stores = [_read(folder / NAME, digest) for folder in (evidence_folders() if folders is None else folders)]
    return tuple(dict.fromkeys(e for records in (*stores, _records(noted.encode(), digest)) for e in records))


def _line(evidence: Evidence) -> bytes:
    return codec.encode({"format": FORMAT, **codec.plain(evidence)}, indent=None).rstrip(b"\n") + b"\n"


def _read(path: Path, digest: bytes) -> list[Evidence]:
    """The records of a store whose line has a digest in it; the other lines are not looked at."""
    try:
        # What came with the package is believed as its code is.
        shipped = path.is_relative_to(shipped_folder())
        data = read_file(path, most=LARGEST) if shipped else read_believed(path, LARGEST)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []  # one that may not be read is another user's, as where HOME is root's: nothing to complain of
    except OSError as error:
        refuse(error)
        return []
    return _records(data, digest)


def _records(data: bytes, digest: bytes) -> list[Evidence]:
    found = [_believed(line) for line in data.split(b"\n") if line and digest in line]
    return [e for e in found if e is not None]


def _believed(line: bytes) -> Evidence | None:
    """A record; None for a line that is no record, or one that does not fit itself."""
    try:
        said = codec.parse(line, Path(NAME), most_bytes=_LARGEST_LINE)
        if not isinstance(said, dict) or said.pop("format", None) != FORMAT:
            return None
        e = codec.build(said, Evidence, Path(NAME))
    except StoredError:
        return None
    counted = e.failed <= e.scenarios and (e.scenarios or "no code" in dict(e.faults).values())
    return e if counted and (e.text_sha256 == e.original_sha256) != bool(e.mends) else None
