from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from aiterfix.demo import write_sample
from aiterfix.fixes import load_fixes
from aiterfix.importing import decision
from aiterfix.importing.decision import State, decide, proven_results, unlike_linecache
from aiterfix.source import rewrite as rewriting
from aiterfix.source.proof import prove


@pytest.fixture
def text(tmp_path: Path) -> bytes:
    return (write_sample(tmp_path) / "ops/triton/gluon/pa_mqa_logits.py").read_bytes()


def test_a_recorded_result_is_the_proven_one_and_a_wrong_record_is_not_believed(
    text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proven = decide(text, load_fixes(), "file")
    assert proven.state is State.PATCHED
    table = tmp_path / "proven.tsv"
    monkeypatch.setattr(decision, "PROVEN", table)
    proofs = []

    def counted(*arguments: Any) -> None:
        proofs.append(1)
        prove(*arguments)

    monkeypatch.setattr(rewriting, "prove", counted)
    table.write_text(f"# head\n{proven.before}\t{proven.after}\n")
    assert decide(text, load_fixes(), "file") == proven
    assert proofs == []
    table.write_text(f"{proven.before}\t{hashlib.sha256(b'other').hexdigest()}\n")
    assert decide(text, load_fixes(), "file") == proven
    assert proofs == [1]
    table.unlink()
    assert decide(text, load_fixes(), "file") == proven


def test_the_table_is_in_the_package_and_well_formed() -> None:
    table = proven_results()
    assert len(table) > 10
    for before, after in table.items():
        assert before != after
        assert len(bytes.fromhex(before)) == len(bytes.fromhex(after)) == 32


@pytest.mark.parametrize(
    ("text", "unlike"),
    [
        (b"a\nb\n", False),
        (b"a\r\nb\rc", False),
        (b"", False),
        (b"\n", False),
        (b"a\x0c\nb", True),
        ("# \u2028\n".encode(), True),
        ("# \x85\n".encode(), True),
        (b"# \x0b\n", True),
    ],
)
def test_lines_that_linecache_would_number_otherwise(text: bytes, unlike: bool) -> None:
    assert unlike_linecache(text) is unlike
