from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from aiterfix.report.unified import unified_diff


@pytest.mark.parametrize("tool", [["git", "apply"], ["patch", "-p1", "-s"]], ids=["git", "patch"])
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.py", b"a\nb\n", b"a\nc\n"),
        ("a.py", b"a\nb", b"a\nc"),
        ("a.py", b"a\r\nb\r\n", b"a\r\nc\r\n"),
        ("a.py", b"# \xff\nb\n", b"# \xff\nc\n"),
        ("a.py", b"-- \xff\n++ \xfe\n", b"++ \xff\n-- \xfe\n"),
        ("sit\u00e9.py", b"a\n", b"b\n"),
        ("a b.py", b"a\n", b"b\n"),
        (os.fsdecode(b"k\xff.py"), b"a\n", b"b\n"),
        ('"a\\b".py', b"a\n", b"b\n"),
        ("a\tb\x1b[2J.py", b"a\n", b"b\n"),
        ("a.py\n@@ -1 +1 @@\n-a\n+c\n--- a-victim\n+++ b-victim", b"a\n", b"b\n"),
        ("\u202eyp.a", b"a\n", b"b\n"),
    ],
    ids=["plain", "no last newline", "CRLF", "not UTF-8", "like a header", "name", "blank", "name not UTF-8", "quotes",
         "control", "another patch", "direction"],
)  # fmt: skip
def test_a_diff_turns_one_into_the_other(tmp_path: Path, tool: list[str], name: str, old: bytes, new: bytes) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    file = tmp_path / name
    file.write_bytes(old)
    made = unified_diff(name, old, new)
    first, second, third = made.split(b"\n")[:3]
    assert (first[:4], second[:4], third[:2]) == (b"--- ", b"+++ ", b"@@")
    assert first.decode().rstrip("\t").isprintable(), "nothing that ends a line or commands a terminal"
    if name.isprintable() and not set(name) & set(' "\\'):
        assert (first, second) == (b"--- " + os.fsencode(f"a/{name}"), b"+++ " + os.fsencode(f"b/{name}"))
    subprocess.run(tool, input=made, cwd=tmp_path, check=True)
    assert file.read_bytes() == new


def test_nothing_to_change_is_no_diff() -> None:
    assert unified_diff("a.py", b"a\n", b"a\n") == b""
