"""A cache that others can write is named once, with the remedy, and says nothing in a report."""

from __future__ import annotations

from pathlib import Path

from aiterfix.storage.digest import sha256_hex
from aiterfix.validation.evidence import Evidence, keep
from tests.cli.conftest import Runner
from tests.cli.sample import GLUON


def test_evidence_that_others_can_write(run: Runner, sample: Path, tmp_path: Path) -> None:
    digest = sha256_hex((sample / GLUON).read_bytes())
    ran_of = (digest, digest, (), "3.6.0", "emulator", "quick")
    run_of_it = Evidence(*ran_of, 36, "cd" * 32, 0, (), "0.1.0", "2026-08-22")
    file = keep(run_of_it, tmp_path / "cache" / "evidence")
    believed = run("check", "-v", "--path", sample)
    assert "passed: 36 quick scenarios" in believed.text and believed.err == ""
    file.parent.chmod(0o770)
    ran = run("check", "-v", "--path", sample)
    assert "quick scenarios" not in ran.text and ran.status == believed.status
    (line,) = ran.err.splitlines()
    assert line.startswith(f"aiterfix: not used: {file.parent} can be written by others") and "chmod go-w" in line
    assert run("check", "-v", "--path", sample, "--json").status == believed.status
