"""The command that makes the package's evidence, on trees of sample kernels; what is run is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aiterfix.family.portable import Portable
from aiterfix.family.signature import KernelConfig
from aiterfix.faults.registry import load_faults
from aiterfix.storage.digest import sha256_hex
from aiterfix.validation import releases
from aiterfix.validation.evidence import evidence_for, evidence_of
from aiterfix.validation.report import NotRun, Report, ScenarioResult
from aiterfix.validation.scenarios import full_rows

PLAIN = (Path(__file__).parents[1] / "data" / "sample_plain.py").read_bytes()
KNOWN = load_faults()
HOME = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"


def tree(folder: Path, text: bytes = PLAIN) -> Path:
    path = folder / HOME
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    return folder


def test_no_mend_and_all_each_alone_and_pairs() -> None:
    assert releases.mend_sets(KNOWN) == (frozenset(), KNOWN.deciding)
    sets = releases.mend_sets(KNOWN, alone=True)
    assert sets[0] == frozenset() and sets[-1] == KNOWN.deciding
    assert {wanted for wanted in sets if len(wanted) == 1} == {frozenset({fault}) for fault in KNOWN.deciding}
    assert {"column-bound", "row-offset-32"} in [set(wanted) for wanted in releases.mend_sets(KNOWN, pairs=True)]


def test_texts_that_trees_share_are_run_once(tmp_path: Path) -> None:
    trees = [tree(tmp_path / name) for name in ("one", "two")]
    sets = releases.mend_sets(KNOWN, alone=True)
    found = list(releases.runs(trees, KNOWN, sets))
    # No text has anything but the missing bound, so that other mends come to a text that was there before.
    assert [source.files[0].mends for source in found] == [(), ("column-bound",)]
    assert found[0].kernels == (Portable.STAGE1,) and found[0].files[0].text == PLAIN
    assert found[1].files[0].original_sha256 == sha256_hex(PLAIN)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What would be run; a text fails by its known fault, and passes once that is mended."""
    mends: list[tuple[str, ...]] = []

    class Made:
        def __init__(self, python: str | None = None) -> None:
            pass

        @contextmanager
        def prepare(self, source: Any) -> Iterator[Any]:
            yield SimpleNamespace(report=lambda: SimpleNamespace(triton="3.6.0"))

    def validate(source: Any, *_: object, **__: object) -> Report:
        (file,) = source.files
        mends.append(file.mends)
        name = full_rows(Portable.STAGE1, KernelConfig(kv_block_size=1, aligned_cache=False)).name
        known = () if file.mends else ("column-bound",)
        result = ScenarioResult(name, "stage1", "h64-b1-unaligned", bool(file.mends), 1, known_faults=known)
        refused = NotRun("stage1", "h64-b64", "raises", "", refused=True)
        return Report((file.facts,), "emulator", "3.6.0", "quick", scenarios=(result,), not_run=(refused,))

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
    (before,), (after,) = evidence_of(digest, store), evidence_for(digest, ["column-bound"], store)
    assert (before.of_fault("column-bound"), after.of_fault("column-bound")) == ("failed", "passed")
    assert before.of_fault("block-paging") == "refused" and before.failed == after.failed == 0
    assert releases.main(words) == 0 and len(ran) == 2
    assert capsys.readouterr().out.count("recorded already") == 2
    assert releases.main([*words, "--again"]) == 0 and len(ran) == 4
