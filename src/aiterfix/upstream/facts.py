"""What `check`, `apply` and the hook need not find out again about releases: proven mends, and resolved wrappers."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from aiterfix.family.cases import ARGUMENTS
from aiterfix.faults.base import Presence
from aiterfix.faults.diagnosis import TextDiagnosis, diagnose
from aiterfix.faults.mend import Mended, mend
from aiterfix.faults.registry import Faults
from aiterfix.history.record import History, KernelRecord, MendRecord, RefRecord, WrapperRecord
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import resolution_of
from aiterfix.judge.refusals import launches_in
from aiterfix.source.kernel_launch import KernelLaunch
from aiterfix.source.search import may_define
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.trees import PACKAGE

_KERNELS = f"{PACKAGE}/ops/triton"
"""Where releases keep kernels and wrappers. A package that has others elsewhere is not recorded."""
_SHORTEST = 2
"""Bytes: shorter runs that the released text has too are written out."""


def with_mends(history: History, clone: Clone, faults: Faults, progress: Callable[[str], None]) -> History:
    """A history with the proven mend of each of its texts that every deciding fault can be taken out of, and with the
    packages whose wrappers are resolved.

    Raises:
        CloneError: git failed.
        ProofError: a mend did not come out as intended.
    """
    texts = dict(_texts(history, clone))
    launches = {digest: _launches(text) for digest, text in texts.items()}
    with_kernels = {f.sha256 for r in history.everything for f in r.files}
    results = {}
    for i, (digest, text) in enumerate(sorted(texts.items())):
        if digest not in with_kernels:
            continue
        progress(f"mends: text {i + 1} of {len(texts)}")
        before = diagnose(text, faults.judged)
        presence = [before.presence(faults.deciding), *(k.presence(faults.deciding) for k in before.units)]
        if presence[0].harmless or Presence.UNKNOWN in presence:
            continue
        result = mend(text, faults.judged, filename=digest, wanted=tuple(faults.deciding), diagnosis=before)
        if result.changed:  # what is left is for the wrapper to refuse
            results[digest] = result
    # Those of wrappers, which refuse, are found on the way through the packages.
    wrappers = tuple(_wrappers(history, clone, faults, results, progress))
    mends = {digest: mend_record(result, faults) for digest, result in results.items()}
    launches |= {result.after.sha256: _launches(result.new) for result in results.values()}
    return replace(history, mends=mends, wrappers=wrappers, launches=launches)


def _launches(text: bytes) -> tuple[KernelLaunch, ...]:
    """What a text launches. What it hands on is left out: no deciding fault is about that."""
    return tuple(replace(n.launch, function=None) for n in launches_in("", text) if n.launch.about != ARGUMENTS)


def _texts(history: History, clone: Clone) -> Iterator[tuple[str, bytes]]:
    wanted = {f.sha256: f"{r.commit}:{f.path}" for r in history.everything for f in r.files}
    wanted |= {w.sha256: f"{r.commit}:{w.path}" for r in history.everything for w in r.launchers}
    with clone.objects() as objects:
        for (digest, _), (_, blob) in zip(wanted.items(), list(objects.read(wanted.values())), strict=True):
            if blob is not None and sha256(blob.data).hexdigest() == digest:
                yield digest, blob.data


def mend_record(result: Mended, faults: Faults) -> MendRecord:
    """What is recorded of a proven mend."""
    analysis = result.after.analysis
    assert analysis is not None
    pairs = zip(result.after.units, analysis.kernels, strict=True)
    return MendRecord(
        result.after.sha256,
        tuple(parts(result.old, result.new)),
        tuple((s.fault, s.places) for s in result.steps),
        tuple(KernelRecord.of(unit, kernel, faults.judged) for unit, kernel in pairs),
    )


def parts(old: bytes, new: bytes) -> Iterator[tuple[int, int] | str]:
    """A text as ranges of another one, and what that does not have. No more of the other is written out than a word."""
    at = near = 0
    own = b""
    while at < len(new):
        start, length = _longest(old, new, at, near)
        if length < _SHORTEST:
            own += new[at : at + 1]
            at += 1
            continue
        if own:
            yield own.decode("latin-1")
            own = b""
        yield start, start + length
        at, near = at + length, start + length
    if own:
        yield own.decode("latin-1")


def _longest(old: bytes, new: bytes, at: int, near: int) -> tuple[int, int]:
    """The longest run of ``new`` from ``at`` on that ``old`` has, at ``near`` or after it, else anywhere."""
    best = (0, 0)
    for begin in (near, 0):
        start = old.find(new[at : at + _SHORTEST], begin)
        if start >= 0 and at + _SHORTEST <= len(new):
            length = _common(old, start, new, at)
            while (further := old.find(new[at : at + length + 1], start + 1)) >= 0 and at + length < len(new):
                start, length = further, _common(old, further, new, at)
            if length > best[1]:
                best = start, length
    return best


def _common(old: bytes, start: int, new: bytes, at: int) -> int:
    length = 0
    for step in (1 << 12, 1 << 6, 1):
        while (
            start + length + step <= len(old)
            and at + length + step <= len(new)
            and old[start + length : start + length + step] == new[at + length : at + length + step]
        ):
            length += step
    return length


def _wrappers(
    history: History, clone: Clone, faults: Faults, results: dict[str, Mended], progress: Callable[[str], None]
) -> Iterator[WrapperRecord]:
    seen = set()
    for i, ref in enumerate(history.everything):
        tree = clone.text("rev-parse", "--verify", "--quiet", f"{ref.commit}:{_KERNELS}", status=(0, 1, 128)).strip()
        if not tree or tree in seen:
            continue
        seen.add(tree)
        progress(f"wrappers: reference {i + 1} of {len(history.everything)}")
        for record in _of_reference(ref, clone, faults, results):
            words = repr(record)
            if words not in seen:
                seen.add(words)
                yield record


def _of_reference(ref: RefRecord, clone: Clone, faults: Faults, results: dict[str, Mended]) -> Iterator[WrapperRecord]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        with tarfile.open(
            fileobj=io.BytesIO(clone.output("archive", ref.commit, f":(glob){_KERNELS}/**/*.py"))
        ) as archive:
            archive.extractall(root, filter="data")
        start = root / PACKAGE / "__init__.py"
        start.touch()
        found = find_path(root).installations
        if len(found) != 1:
            return
        package = found[0].package
        read = {}
        for path in sorted(package.rglob("*.py")):
            text = path.read_bytes()
            if may_define(text, faults.kernels):
                read[path] = text, diagnose(text, faults.judged)
        released = wrapper_record(package, read, faults)
        if released is None or not any(d.units for _, d in read.values()):
            return
        yield released
        for path, (text, diagnosis) in read.items():
            result = results.get(diagnosis.sha256)
            if result is None and not diagnosis.units and not diagnosis.problems:
                # A wrapper, which may have to refuse something.
                result = mend(
                    text, faults.judged, filename=path.name, wanted=tuple(faults.deciding), diagnosis=diagnosis
                )
                if not result.changed:
                    continue
                results[diagnosis.sha256] = result
            if result is not None:
                path.write_bytes(result.new)
                read[path] = result.new, result.after
        mended = wrapper_record(package, read, faults)
        if mended is not None and mended != released:
            yield mended


def wrapper_record(
    package: Path, read: Mapping[Path, tuple[bytes, TextDiagnosis]], faults: Faults
) -> WrapperRecord | None:
    """The record of a package; None where a name leads nowhere, or a file outside its kernels' folder was looked at."""
    found = resolution_of(package, read, faults)
    inside = package.joinpath(*_KERNELS.split("/")[1:])
    others = {p for p in found.read if p not in read}
    problems = any(d.problems for _, d in read.values())
    if problems or found.doubts or not all(p.is_relative_to(inside) for p in others):
        return None
    return WrapperRecord(
        {p.relative_to(package).as_posix(): d.sha256 for p, (_, d) in read.items()},
        {p.relative_to(package).as_posix(): sha256(p.read_bytes()).hexdigest() for p in sorted(others)},
        dict(sorted(found.asked.items())),
    )
