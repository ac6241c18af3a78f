"""Whose files of caches are believed: ours and root's, closed to others; whatever else stands there is named."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aiterfix.gfx950.cache import CodeObjectCache
from aiterfix.overshoot import results
from aiterfix.storage.believed import believed, keep, notices
from aiterfix.storage.files import cache_directory
from aiterfix.storage.held import UntrustedError
from aiterfix.upstream.cache import Cache, CacheEntry
from aiterfix.validation import evidence
from tests.gfx950.test_cache import KERNEL, KEY
from tests.overshoot.test_results import KEPT as MEASURED
from tests.validation.test_evidence import RUN, TEXT


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    notices()
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept_code() -> object:
    return CodeObjectCache().load(KEY)


def kept_measurement() -> object:
    return results.find(MEASURED)


def kept_evidence() -> object:
    return evidence.evidence_of(TEXT) or None


def kept_answer() -> object:
    return Cache(cache_directory() / "github").get("u", authenticated=False)


CACHES = {
    "code objects": (lambda: CodeObjectCache().store(KEY, KERNEL), kept_code),
    "measurements": (lambda: results.store(MEASURED), kept_measurement),
    "evidence": (lambda: evidence.keep(RUN), kept_evidence),
    "GitHub's answers": (
        lambda: Cache(cache_directory() / "github").put(CacheEntry("u", "", 1.0, {}), authenticated=False),
        kept_answer,
    ),
}


def to_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def to_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_socket(path: Path) -> None:
    path.unlink()
    short = path.parent / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(path.parent, os.O_PATH)
        listening.bind(f"/proc/self/fd/{here}/s")
        os.close(here)
    short.rename(path)


def to_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_sparse(path: Path) -> None:
    os.truncate(path, 40 << 30)


def to_writable(path: Path) -> None:
    path.chmod(0o620)


def to_writable_folder(path: Path) -> None:
    path.parent.chmod(0o777)


def to_theirs(path: Path) -> None:
    os.chown(path, 12345, 12345)


def to_their_folder(path: Path) -> None:
    os.chown(path.parent, 12345, 12345)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
BAD: list[object] = [
    to_link, to_fifo, to_socket, to_loop, to_folder, to_sparse, to_writable, to_writable_folder,
    pytest.param(to_theirs, marks=as_root), pytest.param(to_their_folder, marks=as_root),
]  # fmt: skip


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("spoil", BAD)
def test_a_cache_is_believed_where_nobody_else_can_write(
    own_cache: Path, cache: str, spoil: Callable[[Path], None]
) -> None:
    store, load = CACHES[cache]
    store()  # type: ignore[no-untyped-call]
    assert load() is not None
    assert notices() == []
    (file,) = (p for p in own_cache.rglob("*") if p.is_file())
    assert file.stat().st_mode & 0o077 == 0 and file.parent.stat().st_mode & 0o077 == 0
    spoil(file)
    memory, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert load() is None
    assert time.monotonic() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 100 << 10, "kilobytes"
    (line,) = notices()
    assert str(file) in line or str(file.parent) in line
    assert "remove it" in line, "the remedy"
    assert notices() == [], "said once"


def test_nothing_is_kept_where_others_can_write(tmp_path: Path) -> None:
    opened = tmp_path / "open"
    opened.mkdir()
    opened.chmod(0o777)
    for path in (opened / "file", opened / "new" / "file"):
        with pytest.raises(UntrustedError):
            keep(path, b"x")
    assert list(opened.iterdir()) == []
    opened.chmod(0o1777)  # as /tmp
    keep(opened / "new" / "deep" / "file", b"x")
    assert believed(opened / "new" / "deep" / "file") == b"x"
    with pytest.raises(UntrustedError):
        keep(opened / "file", b"x")


def test_no_link_below_is_followed_for_writing(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"as it was")
    keep(tmp_path / "cache" / "file", b"x")
    (tmp_path / "cache" / "file").unlink()
    (tmp_path / "cache" / "file").symlink_to(victim)
    keep(tmp_path / "cache" / "file", b"y")
    assert victim.read_bytes() == b"as it was" and believed(tmp_path / "cache" / "file") == b"y"
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["file"], "no temporary file is left"


def test_what_is_missing_is_no_notice(tmp_path: Path) -> None:
    assert believed(tmp_path / "no" / "file") is None
    (tmp_path / "file").touch()
    assert believed(tmp_path / "file" / "below") is None
    assert notices() == []


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "cache" / "entry"
    keep(target, b"old")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        keep(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]
