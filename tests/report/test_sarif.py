"""SARIF of what commands seldom meet: names that are no UTF-8, what is about a whole file, doubts beside the kernels."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from aiterfix.faults.registry import load_faults
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import Doubt, Judgement
from aiterfix.judge.whole import Whole
from aiterfix.report.sarif import sarif_log
from tests.trees import GLUON_MODULE, KERNEL_SOURCE, amd_package

ODD = os.fsdecode(b"k\xff rnel.py")


def results(judgement: Judgement, discovery: Any) -> list[Any]:
    log = json.loads(sarif_log(Whole(discovery, (judgement,), (judgement,))))
    (run,) = log["runs"]
    found: list[Any] = run["results"]
    return found


def place(result: Any) -> tuple[str, int, int]:
    where = result["locations"][0]["physicalLocation"]
    return where["artifactLocation"]["uri"], where["region"]["startLine"], where["region"]["endLine"]


@pytest.fixture
def found(tmp_path: Path) -> Any:
    amd_package(tmp_path, kernels={GLUON_MODULE: KERNEL_SOURCE, f"ops/{ODD}": KERNEL_SOURCE})
    return find_path(tmp_path)


def test_a_name_that_is_no_utf_8_is_escaped_byte_by_byte(found: Any) -> None:
    (installation,) = found.installations
    judgement = judge_installation(installation, load_faults())
    uris = {place(r)[0] for r in results(judgement, found)}
    assert "aiter/ops/k%FF%20rnel.py" in uris
    assert {unquote_to_bytes(u) for u in uris} == {f"aiter/{GLUON_MODULE}".encode(), b"aiter/ops/k\xff rnel.py"}


def test_what_is_about_a_whole_file_stands_at_its_first_line(found: Any, tmp_path: Path) -> None:
    (installation,) = found.installations
    judgement = judge_installation(installation, load_faults())
    there = tmp_path / "aiter" / "ops" / "x.py"
    doubtful = replace(judgement, texts=(), doubts=(Doubt(str(there), "no permission"), Doubt("/else.py", "a link", 7)))
    assert [place(r) for r in results(doubtful, found)] == [("aiter/ops/x.py", 1, 1), ("/else.py", 7, 7)]
    assert {r["ruleId"] for r in results(doubtful, found)} == {"not-understood"}


def test_what_is_not_understood_is_told_from_what_is_there(tmp_path: Path) -> None:
    amd_package(tmp_path, kernels={GLUON_MODULE: KERNEL_SOURCE + "\ndef broken(:\n"})
    discovery = find_path(tmp_path)
    found = results(judge_installation(discovery.installations[0], load_faults()), discovery)
    assert {(r["ruleId"], r["level"]) for r in found} == {("not-understood", "error")}
    assert KERNEL_SOURCE.count("\n") + 2 in {place(r)[1] for r in found}
