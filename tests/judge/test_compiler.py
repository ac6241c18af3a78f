"""Faults that take a certain compiler: they decide where it is known which one there is, and nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from aiterfix.faults.base import Presence, Reach
from aiterfix.installation.given_path import find_path
from aiterfix.installation.view import View
from aiterfix.judge.compiler import compiler_in, compiler_loaded, compiler_notes
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import Judgement, LaunchFacts, Question
from aiterfix.judge.verdict import Verdict
from tests.faults.kernels import FIXED, SCORES, SEEN, kernel
from tests.kernels import SHIPPED

FAULT = "triton-3-5-1"
NOTHING = LaunchFacts()


def _triton(folder: Path, version: str, *metadata: str) -> None:
    (folder / "triton").mkdir(parents=True, exist_ok=True)
    (folder / "triton" / "__init__.py").write_text(f'"""isort:skip_file"""\n__version__ = \'{version}\'\n')
    for name in metadata:
        (folder / f"{name}.dist-info").mkdir()


@pytest.mark.parametrize(
    ("version", "metadata", "found"),
    [
        ("3.5.1", ["triton-3.5.1"], LaunchFacts(triton=30501, triton_published=1)),
        ("3.5.1", ["pytorch_triton_rocm-3.5.1"], LaunchFacts(triton=30501)),
        ("3.5.1", ["triton_rocm-3.5.1+rocm7.1", "triton-3.5.1"], LaunchFacts(triton=30501)),
        ("3.5.1", ["triton-3.5.1+gitab12"], LaunchFacts(triton=30501)),
        ("3.5.1+gitab12", ["triton-3.5.1"], LaunchFacts(triton=30501)),
        ("3.5.1", [], LaunchFacts(triton=30501)),
        ("3.10.0", ["triton-3.10.0"], LaunchFacts(triton=31000, triton_published=1)),
        ("unknown", ["triton-3.5.1"], NOTHING),
    ],
)
def test_which_triton_stands_in_a_folder(tmp_path: Path, version: str, metadata: list[str], found: LaunchFacts) -> None:
    _triton(tmp_path, version, *metadata)
    assert compiler_in(tmp_path, View()) == found


def test_no_triton_is_nothing_known(tmp_path: Path) -> None:
    assert compiler_in(tmp_path, View()) == NOTHING


def _judged(folder: Path, question: Question | None = None) -> Judgement:
    """A wheel with one kernel that nothing but its compiler can be at fault with."""
    kernels = folder / "aiter" / "ops" / "triton" / "gluon"
    kernels.mkdir(parents=True, exist_ok=True)
    (folder / "aiter" / "__init__.py").write_text("")
    (kernels / "pa_mqa_logits.py").write_bytes(kernel(FIXED + SCORES + SEEN))
    (installation,) = find_path(folder).installations
    return judge_installation(installation, SHIPPED, question)


def _answer(judgement: Judgement) -> tuple[Presence, Reach, bool]:
    (found,) = [a for a in judgement.answers() if a.fault.id == FAULT]
    return found.presence, found.reach, found.asked


def test_it_decides_where_triton_stands_beside(tmp_path: Path) -> None:
    _triton(tmp_path, "3.5.1", "triton-3.5.1")
    judgement = _judged(tmp_path)
    assert _answer(judgement) == (Presence.PRESENT, Reach.DEPENDS, True)
    assert judgement.verdict is Verdict.AFFECTED
    (answer,) = [a for a in judgement.answers() if a.fault.id == FAULT]
    assert answer.obstacle.startswith("no edit takes it out: another release of Triton does")
    reached = judgement.asking(judgement.question, LaunchFacts(preshuffle=1))
    assert _answer(reached) == (Presence.PRESENT, Reach.REACHED, True)
    spared = judgement.asking(judgement.question, LaunchFacts(preshuffle=0))
    assert _answer(spared)[1] is Reach.NOT_REACHED


def test_another_release_spares(tmp_path: Path) -> None:
    _triton(tmp_path, "3.6.0", "triton-3.6.0")
    judgement = _judged(tmp_path)
    assert _answer(judgement) == (Presence.ABSENT, Reach.NOT_REACHED, True)
    assert judgement.verdict is Verdict.CLEAN


@pytest.mark.parametrize("metadata", [None, "triton-3.5.1+rocm7.1"])
def test_it_is_listed_and_decides_nothing_where_that_is_not_known(tmp_path: Path, metadata: str | None) -> None:
    if metadata is not None:
        _triton(tmp_path, "3.5.1", metadata)
    judgement = _judged(tmp_path)
    assert _answer(judgement) == (Presence.PRESENT, Reach.DEPENDS, False)
    assert judgement.verdict is Verdict.CLEAN


def test_asked_for_by_name_it_is_unknown_there(tmp_path: Path) -> None:
    judgement = _judged(tmp_path, Question(frozenset({FAULT})))
    assert _answer(judgement) == (Presence.PRESENT, Reach.DEPENDS, True)
    assert judgement.verdict is Verdict.UNKNOWN


def test_the_text_alone_decides_nothing_about_it() -> None:
    assert FAULT not in SHIPPED.deciding
    assert SHIPPED.deciding_by_compiler == {FAULT}


def test_the_triton_that_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _triton(tmp_path, "3.5.1", "triton-3.5.1")
    module = ModuleType("triton")
    module.__version__ = "3.5.1"  # type: ignore[attr-defined]
    module.__file__ = str(tmp_path / "triton" / "__init__.py")
    monkeypatch.setitem(sys.modules, "triton", module)
    assert compiler_loaded().launch() == LaunchFacts(triton=30501, triton_published=1)
    module.__version__ = "3.6.0"  # type: ignore[attr-defined]
    assert compiler_loaded().launch() == LaunchFacts(triton=30600)
    monkeypatch.delitem(sys.modules, "triton")
    assert compiler_loaded().launch() == NOTHING


def test_a_run_says_where_its_compiler_is_at_fault() -> None:
    (note,) = compiler_notes("3.5.1", SHIPPED)
    assert note.startswith("known fault: triton-3-5-1, where this is that build: Triton 3.5 as published")
    assert compiler_notes("3.6.0", SHIPPED) == compiler_notes("", SHIPPED) == ()
