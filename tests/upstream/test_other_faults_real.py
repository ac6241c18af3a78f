"""Faults of compilers, instructions, unseen scores, empty sequences and entries, over the released texts."""

from __future__ import annotations

import io
import itertools
import tarfile
from functools import cache
from pathlib import Path

import pytest

from aiterfix.faults.base import Presence, worst
from aiterfix.faults.diagnosis import TextDiagnosis, diagnose
from aiterfix.faults.mend import mend
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import judge_installation
from tests.kernels import SHIPPED
from tests.upstream.conftest import Clone

RELEASES = ("v0.1.12.post2", "v0.1.13.post1", "v0.1.15.post3", "v0.1.18", "v0.1.20.post1", "HEAD")
OURS = ("hidden-columns", "empty-sequence-schedule")
REFUSED = ("output-rank", "small-chunk")
BESIDE = ("column-bound", "row-offset-32")
LEFT = ("instruction-shape", "triton-3-5-1")
"""Faults that nothing but another release of something takes out."""


def _tree(clone: Clone, ref: str, folder: Path) -> Path:
    """The kernels and wrappers of a release."""
    with tarfile.open(fileobj=io.BytesIO(clone.git("archive", ref, ":(glob)aiter/ops/triton/**/*.py"))) as archive:
        archive.extractall(folder, filter="data")
    (folder / "aiter" / "__init__.py").touch()
    return folder


@cache
def _texts(clone: Clone) -> tuple[tuple[str, bytes, TextDiagnosis], ...]:
    return tuple((path, text, diagnose(text, SHIPPED.judged)) for path, text in clone.distinct())


@cache
def _presences(clone: Clone, ref: str, folder: Path) -> dict[str, Presence]:
    (installation,) = find_path(_tree(clone, ref, folder)).installations
    return {a.fault.id: a.presence for a in judge_installation(installation, SHIPPED).answers()}


@pytest.mark.parametrize("ref", RELEASES)
def test_presence_in_releases(clone: Clone, ref: str, tmp_path: Path) -> None:
    found = _presences(clone, ref, tmp_path)
    wanted = dict.fromkeys((*OURS, *REFUSED, "triton-3-5-1"), Presence.PRESENT)
    wanted |= dict.fromkeys(("instruction-shape", "launch-arguments"), Presence.ABSENT)
    assert {fault: found[fault] for fault in wanted} == wanted


@pytest.mark.parametrize(
    ("ref", "present"),
    [
        ("v0.1.10.post1", ["base", "preshuffle", "preshuffle_varctx"]),
        ("v0.1.11.post1", ["base", "preshuffle", "preshuffle_varctx"]),
        ("v0.1.12", []),
    ],
)
def test_which_kernels_do_not_compile(clone: Clone, ref: str, present: list[str]) -> None:
    """Of v0.1.11.post1 those with preshuffle compile for a gfx950 and not for a gfx942; their findings say so."""
    text = clone.git("show", f"{ref}:aiter/ops/triton/gluon/pa_mqa_logits.py")
    found = {}
    for unit in diagnose(text, SHIPPED.judged).units:
        (diagnosis,) = [d for d in unit.diagnoses if d.fault == "instruction-shape"]
        if diagnosis.presence is not Presence.ABSENT:
            assert diagnosis.presence is Presence.PRESENT
            found[unit.name.rpartition("mqa_logits")[2].removeprefix("_") or "base"] = diagnosis.findings
    assert list(found) == present
    if ref == "v0.1.11.post1":
        assert {f.code for f in found["base"]} == {"two-sided-shape"}
        assert {f.message for name in present[1:] for f in found[name]} == {
            "made for CDNA 4 (gfx950): it does not compile for gfx942"
        }


def test_the_one_commit_whose_wrapper_hands_on_too_little(clone: Clone, tmp_path: Path) -> None:
    commit = "d863d2f89028b397a4b4efa7a944b470bfdd3214"
    (installation,) = find_path(_tree(clone, commit, tmp_path)).installations
    judgement = judge_installation(installation, SHIPPED)
    found = [f for _, u in judgement.units for d in u.diagnoses if d.fault == "launch-arguments" for f in d.findings]
    messages = [f.message for f in found if f.presence is Presence.PRESENT]
    assert messages
    assert all(m.endswith("hands on 25 by place: it takes 26, all by place") for m in messages)


@pytest.mark.parametrize(
    "wanted",
    [*((fault,) for fault in OURS), *itertools.product(OURS, BESIDE), OURS, None],
    ids=lambda w: " and ".join(w) if w else "all",
)
def test_every_text_is_mended(clone: Clone, wanted: tuple[str, ...] | None) -> None:
    """Alone, in pairs with the stores' bounds and rows, together, and all."""
    seen = 0
    for path, text, before in _texts(clone):
        mine = [f for f in OURS if wanted is None or f in wanted]
        present = [f for f in mine if before.presence((f,)) is Presence.PRESENT]
        assert all(before.presence((f,)) is not Presence.UNKNOWN for f in mine), path
        if not present:
            continue
        seen += 1
        result = mend(text, SHIPPED.judged, filename=path, wanted=wanted, diagnosis=before)
        assert set(present) <= {s.fault for s in result.steps}, path
        assert worst(result.after.presence((f,)) for f in mine) is Presence.ABSENT, path
    assert seen >= 10


def test_every_wrapper_is_taught_to_refuse(clone: Clone) -> None:
    """Every distinct wrapper with an entry that reaches such kernels."""
    paths = ("aiter/ops/triton/attention/pa_mqa_logits.py", "aiter/ops/triton/pa_mqa_logits.py")
    texts = {}
    for ref in clone.refs():
        for path in paths:
            listed = clone.git("ls-tree", ref, path).split()
            if listed:
                texts[listed[2].decode()] = path
    refusing = 0
    for blob, path in texts.items():
        text = clone.blob(blob)
        if b"def deepgemm_fp8_paged_mqa_logits(" not in text:
            continue  # forwards to where the module is now
        result = mend(text, SHIPPED.judged, filename=path, wanted=REFUSED)
        wanted = {"output-rank"} | ({"small-chunk"} if b"Preshuffle" in text else set())
        assert {s.fault for s in result.steps} == wanted, path
        assert not mend(result.new, SHIPPED.judged, filename=path, wanted=REFUSED).changed
        refusing += 1
    assert refusing >= 8
