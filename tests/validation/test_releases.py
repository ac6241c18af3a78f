"""The command that makes the package's evidence, on trees of sample kernels; what is run is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.portable import Portable
from aiterfix.family.signature import KernelConfig
from aiterfix.faults.registry import load_faults
from aiterfix.storage.digest import sha256_hex
from aiterfix.validation import releases
from aiterfix.validation.evidence import CALLED, Evidence, evidence_of, keep, names_digest, read_evidence
from aiterfix.validation.report import NotRun, Report, ScenarioResult
from aiterfix.validation.scenarios import CALLS_OF_FAULT, full_rows
from aiterfix.validation.selection import Selection
from aiterfix.validation.source import AiterSource
from tests.upstream_tools.conftest import Repository

PLAIN = (Path(__file__).parents[1] / "data" / "sample_plain.py").read_bytes()
KNOWN = load_faults()
HOME = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"


WRAPPER = "aiter/ops/triton/attention/pa_mqa_logits.py"


def tree(folder: Path, text: bytes = PLAIN, wrapper: bytes = b"") -> Path:
    for name, content in ((HOME, text), (WRAPPER, wrapper)):
        if content:
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(content)
    return folder


RECORD = Evidence(
    "aa" * 32, "aa" * 32, (), "3.6.0", "emulator", "quick", 1, names_digest(["a"]), 0, (), "0.2.0", "2026-08-22", True
)


def test_no_mend_and_all_each_alone_and_pairs() -> None:
    assert releases.mend_sets(KNOWN) == (frozenset(), KNOWN.deciding)
    sets = releases.mend_sets(KNOWN, alone=True)
    assert sets[0] == frozenset() and sets[-1] == KNOWN.deciding
    assert {wanted for wanted in sets if len(wanted) == 1} == {frozenset({fault}) for fault in KNOWN.deciding}
    assert {"column-bound", "row-offset-32"} in [set(wanted) for wanted in releases.mend_sets(KNOWN, pairs=True)]


def test_texts_that_trees_share_are_run_once(tmp_path: Path) -> None:
    trees = [tree(tmp_path / name) for name in ("one", "two")]
    sets = releases.mend_sets(KNOWN, alone=True)
    found = [s for s in releases.runs(map(releases.tree_release, trees), KNOWN, sets) if isinstance(s, AiterSource)]
    # No text has anything but the missing bound, so that other mends come to a text that was there before.
    assert [source.files[0].mends for source in found] == [(), ("column-bound",)]
    assert found[0].kernels == (Portable.STAGE1,) and found[0].files[0].text == PLAIN
    assert found[1].files[0].original_sha256 == sha256_hex(PLAIN)


def test_a_release_that_is_not_understood_is_named_and_leaves_the_others(tmp_path: Path) -> None:
    newer = tree(tmp_path / "newer", wrapper=b"type X = int\ndef f(:\n")
    found = list(releases.runs([releases.tree_release(newer), {HOME: PLAIN}], KNOWN, [frozenset()]))
    assert isinstance(found[0], NotUnderstoodError) and "does not parse" in found[0].what
    assert not isinstance(found[1], NotUnderstoodError) and found[1].files[0].text == PLAIN and len(found) == 2


def test_every_tag_of_a_clone_and_its_newest_commit_are_taken_unchecked_out(tmp_path: Path) -> None:
    pytest.importorskip("git")
    clone = Repository(tmp_path / "clone")
    other = PLAIN + b"# other\n"
    clone.commit({HOME: PLAIN, WRAPPER: b"x = 1\n", "aiter/unrelated.py": b"y = 2\n"}, "v0.1.1", "v0.1.2")
    clone.commit({"README": "nothing of ours"}, "v0.1.3")
    clone.commit({HOME: other})
    clone.git("checkout", "-q", "v0.1.1")
    clone.git("checkout", "-q", "-B", "old")
    clone.git("checkout", "-q", "main")
    (clone.path / HOME).write_bytes(b"not committed")
    found = list(releases.clone_releases(clone.path))
    assert found == [{HOME: PLAIN, WRAPPER: b"x = 1\n"}, {HOME: other, WRAPPER: b"x = 1\n"}]


fusion = [True]
"""Whether the compiler fuses."""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What would be run; a text fails by its known fault, and passes once that is mended."""
    mends: list[tuple[str, ...]] = []
    monkeypatch.setitem(globals(), "fusion", [True])

    class Made:
        def __init__(self, python: str | None = None, jobs: int = 1) -> None:
            pass

        @contextmanager
        def prepare(self, source: Any) -> Iterator[Any]:
            yield SimpleNamespace(report=lambda: SimpleNamespace(triton="3.6.0", fp_fusion=fusion[0]))

    def validate(source: Any, _: object, selection: Selection, **__: object) -> Report:
        (file,) = source.files
        mends.append(file.mends)
        wrappers = tuple(w.facts for w in source.called)
        if selection.pattern is not None:
            mends[-1] = ("calls",)
        name = full_rows(Portable.STAGE1, KernelConfig(kv_block_size=1, aligned_cache=False)).name
        known = () if file.mends else ("column-bound",)
        result = ScenarioResult(name, "stage1", "h64-b1-unaligned", bool(file.mends), 1, known_faults=known)
        refused = NotRun("stage1", "h64-b64", "raises", "", refused=True)
        call = ScenarioResult(CALLS_OF_FAULT["launch-arguments"][0].name, "stage1", "", True, 1)
        results = (result, call) if selection.pattern is None else (call,)
        return Report(
            (file.facts, *wrappers),
            "emulator",
            "3.6.0",
            selection.name,
            scenarios=results if wrappers else results[:1],
            not_run=(refused,),
            fp_fusion=fusion[0],
        )

    monkeypatch.setattr(releases, "Emulator", Made)
    monkeypatch.setattr(releases, "validate", validate)
    return mends


def test_what_is_run_is_recorded_fault_by_fault_and_not_run_again(
    tmp_path: Path, ran: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tree(tmp_path / "tree")), "--out", str(tmp_path / "evidence")]
    assert releases.main(words) == 0
    assert ran == [(), ("column-bound",)]
    digest, store = sha256_hex(PLAIN), [tmp_path / "evidence"]
    (before,), (after,) = evidence_of(digest, store), [e for e in read_evidence(digest, store) if e.mends]
    assert (before.of_fault("column-bound"), after.of_fault("column-bound")) == ("failed", "passed")
    assert before.of_fault("block-paging") == "refused" and before.failed == after.failed == 0
    assert releases.main(words) == 0 and len(ran) == 2
    assert capsys.readouterr().out.count("recorded already") == 2
    assert releases.main([*words, "--again"]) == 0 and len(ran) == 4


def test_a_run_is_taken_up_where_it_was_and_what_another_compiler_did_does_not_count(
    tmp_path: Path, ran: list[tuple[str, ...]]
) -> None:
    store = tmp_path / "evidence"
    words = [str(tree(tmp_path / "tree")), "--out", str(store)]
    assert releases.main(words) == 0
    (kept,) = store.iterdir()
    lines = kept.read_text().splitlines(keepends=True)
    kept.write_text(lines[0])  # as after an end in the middle
    assert releases.main(words) == 0 and len(ran) == 3
    assert kept.read_text() == "".join(lines)
    fusion[0] = False
    assert releases.main(words) == 0 and len(ran) == 5
    assert {e.fp_fusion for e in evidence_of(sha256_hex(PLAIN), [store])} == {True, False}


def test_of_texts_that_are_recorded_a_new_wrapper_is_called_alone(tmp_path: Path, ran: list[tuple[str, ...]]) -> None:
    entry = f"def {Portable.STAGE1.function[1:]}(q_fp8):\n    {Portable.STAGE1.function}[(1,)](q_fp8)\n".encode()
    store = tmp_path / "evidence"
    first, second = tree(tmp_path / "first"), tree(tmp_path / "second", wrapper=entry)
    alone = tmp_path / "alone"
    assert releases.main([str(second), "--out", str(alone), "--calls"]) == 0
    assert ran == [("calls",)] and evidence_of(sha256_hex(PLAIN), [alone]) == ()
    ran.clear()
    assert releases.main([str(first), "--out", str(store)]) == 0
    assert ran == [(), ("column-bound",)]
    assert releases.main([str(first), str(second), "--out", str(store)]) == 0
    assert ran[2:] == [("calls",)]
    (found,) = evidence_of(sha256_hex(entry), [store])
    assert (found.device, found.suite, found.faults) == (CALLED, "quick", (("launch-arguments", "passed"),))


def test_of_several_files_those_that_are_recorded_are_not_run_again(tmp_path: Path) -> None:
    gluon = "aiter/ops/triton/gluon/pa_mqa_logits.py"
    other = (Path(__file__).parents[1] / "data" / "sample_kernels.py").read_bytes()
    source = releases.release_source({HOME: PLAIN, gluon: other}, KNOWN, frozenset())
    report = Report((), "emulator", "3.6.0", "quick", fp_fusion=True)
    assert releases.left_to_run(source, tmp_path, report, "quick") == (Selection(suite="quick"),)
    keep(replace(RECORD, text_sha256=sha256_hex(PLAIN), original_sha256=sha256_hex(PLAIN)), tmp_path)
    (left,) = releases.left_to_run(source, tmp_path, report, "quick")
    (file,) = [file for file in source.files if file.text == other]
    assert left == Selection(kernels=file.kernels, suite="quick") and Portable.STAGE1 not in file.kernels


def test_records_of_texts_that_are_none_of_these_are_dropped_where_asked(
    tmp_path: Path, ran: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tree(tmp_path / "tree")), "--out", str(tmp_path / "evidence")]
    keep(RECORD, tmp_path / "evidence")
    assert releases.main(words) == 0
    assert len(evidence_of(RECORD.text_sha256, [tmp_path / "evidence"])) == 1
    assert releases.main([*words, "--only"]) == 0
    assert "1 records of other texts and compilers dropped" in capsys.readouterr().out
    assert evidence_of(RECORD.text_sha256, [tmp_path / "evidence"]) == ()
    assert len(evidence_of(sha256_hex(PLAIN), [tmp_path / "evidence"])) == 1
