"""Lines that several processes put at the end of one file."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from aiterfix.storage.append import append_line
from aiterfix.storage.held import NotRegularError, TooLongError, UntrustedError


def test_a_file_is_made_for_its_owner_alone_and_grows(tmp_path: Path) -> None:
    file = tmp_path / "list"
    append_line(file, b"one\n")
    append_line(file, b"two\n")
    assert file.read_bytes() == b"one\ntwo\n" and file.stat().st_mode & 0o777 == 0o600


def test_threads_put_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "list"
    lines = [f"{n} {'x' * 500}\n".encode() for n in range(200)]

    def put(part: list[bytes]) -> None:
        for line in part:
            append_line(file, line)

    threads = [threading.Thread(target=put, args=(lines[n::8],)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(file.read_bytes().splitlines(keepends=True)) == sorted(lines)


@pytest.mark.parametrize("what", ["link", "hard link", "fifo", "folder", "dangling"])
def test_nothing_else_is_written_to(tmp_path: Path, what: str) -> None:
    file, other = tmp_path / "list", tmp_path / "other"
    other.write_text("kept\n")
    if what == "link":
        file.symlink_to(other)
    elif what == "dangling":
        file.symlink_to(tmp_path / "new")
    elif what == "hard link":
        file.hardlink_to(other)
    elif what == "fifo":
        os.mkfifo(file)
    else:
        file.mkdir()
    with pytest.raises(OSError):
        append_line(file, b"line\n")
    assert other.read_text() == "kept\n" and not (tmp_path / "new").exists()


def test_a_file_with_another_name_says_so(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("")
    (tmp_path / "other").hardlink_to(file)
    with pytest.raises(NotRegularError, match="more than one name"):
        append_line(file, b"line\n")


def test_a_full_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "list"
    append_line(file, b"12345\n", most=10)
    with pytest.raises(TooLongError):
        append_line(file, b"12345\n", most=10)
    assert file.read_bytes() == b"12345\n"


def test_a_file_of_another_user_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "list"
    append_line(file, b"one\n")
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(UntrustedError):
        append_line(file, b"two\n")
    assert file.read_bytes() == b"one\n"
