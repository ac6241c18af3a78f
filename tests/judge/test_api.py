"""``aiterfix.check``: one judgement for programs; what it cannot answer for one installation it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

import aiterfix
from aiterfix.demo import write_sample
from aiterfix.errors import EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.judge.verdict import Verdict


def site(folder: Path) -> Path:
    folder.mkdir()
    write_sample(folder)
    return folder


def test_it_judges_what_stands_there(tmp_path: Path) -> None:
    judged = aiterfix.check(site(tmp_path / "site"))
    assert judged.verdict is Verdict.AFFECTED
    assert judged.installation is not None and judged.installation.package == tmp_path / "site" / "aiter"
    assert {a.fault.id for a in judged.answers() if a.presence.value == "present"} >= {"column-bound"}
    assert repr(judged) == f"<Judgement affected: {tmp_path / 'site' / 'aiter'}>"


def test_it_takes_text_too(tmp_path: Path) -> None:
    assert aiterfix.check(str(site(tmp_path / "site"))).verdict is Verdict.AFFECTED


def test_what_it_refuses(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        aiterfix.check(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EnvironmentProblem, match="no aiter is installed here"):
        aiterfix.check(tmp_path / "empty")


def test_a_package_that_leads_nowhere_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/aiter").symlink_to(tmp_path / "gone")
    with pytest.raises(NotUnderstoodError):
        aiterfix.check(tmp_path / "site")


def test_several_are_not_one(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / f"prefix/lib/python3.1{number}/site-packages"
        folder.mkdir(parents=True)
        write_sample(folder)
    with pytest.raises(UsageError, match="there are several"):
        aiterfix.check(tmp_path / "prefix")
