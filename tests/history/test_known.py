"""Released texts by digest: what is answered without reading them, and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from aiterfix.family.cases import ARGUMENTS
from aiterfix.faults.base import Diagnosis, Presence
from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.registry import Faults, load_faults
from aiterfix.history import known
from aiterfix.history.digests import kernels_of_release
from aiterfix.history.known import diagnosis_of
from aiterfix.history.record import FileRecord, RefRecord
from aiterfix.history.store import dump_texts, load_history, make_history, write_history
from aiterfix.judge.refusals import launches_in
from tests.upstream_tools.kernels import BOTH, FAULTS, FIXED, GLUON, HALF, LOWER, PLAIN, UNPATCHED, UPPER, gluon

# Its second store has a column that cannot be written down twice: it is unbounded, and no edit helps.
STUCK = gluon(UPPER, LOWER.replace("+ gl.arange", "+ surprise()"))
MOVED = gluon(UPPER).replace(GLUON, "_another_kernel")
TEXTS = {name: text.encode() for name, text in (
    ("unpatched", UNPATCHED), ("half", HALF), ("fixed", FIXED), ("both", gluon(BOTH)), ("plain", PLAIN),
    ("stuck", STUCK), ("moved", MOVED), ("broken", "def broken(:  # OutLogits_buffer\n"),
)}  # fmt: skip


def digest(name: str) -> str:
    return sha256(TEXTS[name]).hexdigest()


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """As if these texts were what every release has; called with changes to what is in the file."""
    files = tuple(
        FileRecord.of(f"aiter/{n}.py", True, diagnose(t, FAULTS.judged), FAULTS.judged) for n, t in TEXTS.items()
    )
    write_history(make_history([RefRecord("v1", "2026-01-01", "c" * 40, files)], FAULTS), tmp_path)
    text = (tmp_path / "texts.json").read_text()

    def use(**changes: Any) -> None:
        monkeypatch.setattr(known, "texts", lambda _digest: {**json.loads(text), **changes})

    use()
    return use


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("name", ["unpatched", "half", "fixed", "both", "plain"])
def test_a_released_text_is_not_read_again(name: str) -> None:
    found, read = diagnosis_of(digest(name), FAULTS), diagnose(TEXTS[name], FAULTS.judged)
    assert found is not None
    assert (found.sha256, found.problems, found.analysis) == (read.sha256, (), None)
    for unit, other in zip(found.units, read.units, strict=True):
        assert [(d.fault, d.presence, d.obstacle) for d in unit.diagnoses] == [
            (d.fault, d.presence, d.obstacle) for d in other.diagnoses
        ]
        assert replace(unit, diagnoses=()) == replace(other, diagnoses=())
        assert [d.findings for d in unit.diagnoses] == [()]


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("name", ["stuck", "moved", "broken"])
def test_what_needs_reasons_and_lines_is_read(name: str) -> None:
    assert diagnosis_of(digest(name), FAULTS) is None


@pytest.mark.usefixtures("shipped")
def test_other_texts_and_other_faults_are_read() -> None:
    assert diagnosis_of("0" * 64, FAULTS) is None
    assert diagnosis_of(digest("half"), Faults(())) is None
    (fault,) = FAULTS.judged
    assert diagnosis_of(digest("half"), Faults((fault, replace(fault, id="another")))) is None
    assert diagnosis_of(digest("half"), Faults((replace(fault, groups=fault.groups[:1]),))) is None


def test_a_fault_that_is_not_understood_is_read(shipped: Callable[..., None]) -> None:
    unit = ["k", "gluon", 1, [1, 0, 0, 0], ["unknown"]]
    shipped(texts={digest("half"): {"units": [unit]}})
    assert diagnosis_of(digest("half"), FAULTS) is None


@pytest.mark.parametrize(
    "unit", [[], ["k"], 5, ["k", "gluon", 1, [1, 0, 0, 0], ["fine"]], ["k", "gluon", 1, [1, 0, 0, 0], []], ["k", "gluon", 1, 0, ["absent"]]]
)  # fmt: skip
def test_damaged_facts_are_no_answer(shipped: Callable[..., None], unit: Any) -> None:
    shipped(texts={digest("fixed"): {"units": [unit]}})
    assert diagnosis_of(digest("fixed"), FAULTS) is None


def test_a_missing_file_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(known, "FILE", tmp_path / "none.json")
    assert diagnosis_of("0" * 64, FAULTS) is None
    assert kernels_of_release("0" * 64) == ()


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 99, b"[]", b"{}", b"[" * 200000, b'{"faults": 1' + b"0" * 5000 + b"}"]
)
def test_a_damaged_file_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "texts.json"
    file.write_bytes(content)
    monkeypatch.setattr(known, "FILE", file)
    assert diagnosis_of("0" * 64, FAULTS) is None
    assert kernels_of_release("0" * 64) == ()
    shipped_file = Path(known.__file__).with_name("texts.json").read_bytes()
    file.write_bytes(shipped_file[: len(shipped_file) // 2])
    some = next(iter(json.loads(shipped_file)["texts"]))
    assert diagnosis_of(some, load_faults()) is None, "half a file is not believed"


def test_a_line_says_what_the_whole_file_says() -> None:
    whole = json.loads(known.FILE.read_bytes())
    digests = [*whole["texts"], *(entry["sha256"] for entry in whole["mends"].values())]
    digests += [digest for sources, *_ in whole["wrappers"] for digest in sources.values()]
    assert len(digests) > 60
    for digest in dict.fromkeys(digests):
        found = known.texts(digest)
        assert {k: v for k, v in found.items() if not k.startswith(("texts", "mends", "wrappers", "launches"))} == {
            k: v for k, v in whole.items() if not k.startswith(("texts", "mends", "wrappers", "launches"))
        }
        assert found["texts"].get(digest) == whole["texts"].get(digest)
        assert found["mends"].get(digest) == whole["mends"].get(digest)
        assert found["launches"].get(digest) == whole["launches"].get(digest)
        assert [m for m in found["mends"].values() if m["sha256"] == digest] == [
            m for m in whole["mends"].values() if m["sha256"] == digest
        ]
        named = [w for w in whole["wrappers"] if digest in w[0].values()]
        assert [w for w in found["wrappers"] if digest in w[0].values()] == named
    assert known.texts("0" * 64)["texts"] == {}


def test_what_shipped_says_the_same_as_the_history() -> None:
    """Every released text: answered as recorded, or not at all."""
    faults = load_faults()
    files = {f.sha256: f for r in load_history().everything for f in r.files}
    for sha, file in files.items():
        found = diagnosis_of(sha, faults)
        understood = not file.problems and all(
            p is not Presence.UNKNOWN for k in file.kernels for p in k.by_text.values()
        )
        assert (found is not None) is (understood and not any(k.obstacle for k in file.kernels))
        if found is not None:
            for unit, kernel in zip(found.units, file.kernels, strict=True):
                assert {d.fault: d.presence for d in unit.diagnoses} == kernel.by_text
                assert (unit.name, unit.group, unit.line, unit.stores) == (
                    kernel.kernel, kernel.group, kernel.line, kernel.counts.total,
                )  # fmt: skip


WRAPPER = f"""
from aiter.ops.triton.gluon.pa_mqa_logits import {GLUON}


def deepgemm_fp8_paged_mqa_logits(q_fp8, kv_cache_fp8, out_logits, max_model_len, ChunkK=256):
    {GLUON}[grid](out_logits, out_logits.stride(0), ChunkK=ChunkK)
""".encode()


def test_a_released_wrapper_s_launches_are_not_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults, sha = load_faults(), sha256(WRAPPER).hexdigest()
    read = [n.launch for n in launches_in("w", WRAPPER) if n.launch.about != ARGUMENTS]
    assert {n.about for n in read} == {"first-stride"} and read[0].refusable and not read[0].refused
    history = replace(make_history([], faults), launches={sha: tuple(read)})
    write_history(history, tmp_path)
    monkeypatch.setattr(known, "FILE", tmp_path / "texts.json")
    found = known.launches_of(sha, "w", faults)
    assert found is not None and [n.launch for n in found] == read and {n.where for n in found} == {"w"}
    assert known.launches_of("0" * 64, "w", faults) is None
    assert known.launches_of(sha, "w", Faults(faults.judged[:1])) is None, "recorded for other faults"
    (tmp_path / "texts.json").write_text(dump_texts(history).replace("first-stride", 'first-stride", "more'))
    assert known.launches_of(sha, "w", faults) is None, "damaged"


def test_a_recorded_presence_needs_no_findings() -> None:
    assert [Diagnosis("f", (), p).presence for p in Presence] == list(Presence)
    assert Diagnosis("f", ()).presence is Presence.ABSENT
