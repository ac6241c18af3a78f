from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aiterfix.validation.certificate import Certificate, certificate_directory, find, store

PASSED = Certificate(
    source_sha256="ab" * 32,
    kernel="preshuffle",
    config="h64-b64",
    heads=64,
    kv_block_size=64,
    chunk_k=256,
    out_stride="i64",
    triton="3.6.0+rocm7.git1",
    device="emulator",
    code_sha256="cd" * 32,
    suite="quick",
    scenarios=("preshuffle/h64-b64/full/x",),
    findings=("load-outside-allocation",),
    overshoot_columns=0,
    version="0.1",
    created=5.0,
)


def test_what_is_stored_is_found(tmp_path: Path) -> None:
    store(PASSED, tmp_path)
    newer = replace(PASSED, config="h32-b64", heads=32, created=6.0)
    store(newer, tmp_path)
    assert find(PASSED.source_sha256, tmp_path) == ((newer, PASSED), ())
    assert find("00" * 32, tmp_path) == ((), ())
    assert not list(tmp_path.rglob(".*"))


def test_a_quick_run_does_not_replace_a_full_one_of_the_same_code(tmp_path: Path) -> None:
    full = replace(PASSED, suite="full")
    store(full, tmp_path)
    store(PASSED, tmp_path)
    assert find(PASSED.source_sha256, tmp_path)[0] == (full,)
    other = replace(PASSED, code_sha256="ef" * 32)
    store(other, tmp_path)
    assert find(PASSED.source_sha256, tmp_path)[0] == (other,)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda said: said | {"format": 2}, "is not of format 1"),
        (lambda said: {k: v for k, v in said.items() if k != "heads"}, "lacks or misstates a field: 'heads'"),
        (lambda said: said | {"heads": "64"}, "lacks or misstates a field: heads is '64'"),
        (lambda said: said | {"heads": True}, "lacks or misstates a field: heads is True"),
        (lambda said: said | {"scenarios": [1]}, "something other than names"),
        (lambda said: said | {"source_sha256": "00" * 32}, "something else than its place"),
        (lambda said: said | {"kernel": "base"}, "something else than its place"),
        (lambda said: said | {"overshoot_columns": 3}, "records no passed run"),
        (lambda said: said | {"scenarios": []}, "records no passed run"),
        (lambda said: [said], "is not of format 1"),
    ],
)
def test_a_certificate_that_does_not_check_out_is_ignored_with_a_reason(
    damage: object, reason: str, tmp_path: Path
) -> None:
    path = store(PASSED, tmp_path)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))  # type: ignore[operator]
    certificates, ignored = find(PASSED.source_sha256, tmp_path)
    assert certificates == ()
    assert [item.path for item in ignored] == [path]
    assert reason in ignored[0].reason


def test_a_torn_certificate_is_ignored(tmp_path: Path) -> None:
    path = store(PASSED, tmp_path)
    path.write_bytes(path.read_bytes()[:40])
    assert find(PASSED.source_sha256, tmp_path)[1][0].reason == "is not JSON"
    path.unlink()
    path.mkdir()
    assert "cannot be read" in find(PASSED.source_sha256, tmp_path)[1][0].reason


def test_the_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "own"))
    assert certificate_directory() == tmp_path / "own" / "certificates"
    monkeypatch.delenv("AITERFIX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert certificate_directory() == tmp_path / "xdg" / "aiterfix" / "certificates"


def test_reading_certificates_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys, aiterfix.validation.certificate as c; c.find('0' * 64)\n"
        "print(sorted(set(sys.modules) & {'numpy', 'torch', 'triton', 'tinygrad', 'elftools', 'aiterfix.gfx950'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
