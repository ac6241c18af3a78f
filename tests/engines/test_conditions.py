"""Sizes that no source fixes: a verdict says within which it holds, and evaluates those that are stated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aiterfix.cli.main import main
from aiterfix.engines.pairing import Operator, within
from aiterfix.faults.base import Presence, Reach
from aiterfix.faults.registry import load_faults
from aiterfix.history import digests
from tests.engines import callers
from tests.engines.conftest import NAMES, Judge, only_call

WORDS = ("--max-model-len", 10048, "--block-size", 64)
CACHE = (1 << 31) - 2  # bytes


@pytest.fixture
def site(sample: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Taken for a release, and nothing in it mended yet."""
    monkeypatch.setattr(digests, "kernels_of_release", lambda _: NAMES)
    return Judge(sample, capsys)


def mend_all_but(site: Judge, *faults: str) -> None:
    others = sorted(load_faults().deciding - set(faults))
    assert main(["apply", "--path", str(site.site), *(w for f in others for w in ("--fault", f))]) in (0, 1)


def limits(data: Any) -> list[tuple[str, int, str]]:
    assert data["conditions"] == only_call(data)["conditions"]
    return [(c["fault"], c["at_most"], c["option"]) for c in data["conditions"]]


def test_cache_that_is_not_stated_is_a_condition(site: Judge) -> None:
    mend_all_but(site, "cache-offset-32", "column-bound")
    callers.workspace(site.site)
    data = site("vllm", *WORDS, status=0)
    assert data["pair_verdict"] == "safe"
    assert limits(data) == [("cache-offset-32", CACHE, "--kv-cache-bytes")]
    text = site.run("check", "--path", site.site, "--for", "vllm", *WORDS)[1]
    (line,) = (line for line in text.splitlines() if line.startswith("verdict on the pair"))
    assert line.startswith(f"verdict on the pair: safe while KV blocks x bytes between them stays at or under {CACHE} ")


def test_cache_that_is_stated_is_judged(site: Judge) -> None:
    mend_all_but(site, "cache-offset-32", "column-bound")
    callers.workspace(site.site)
    for size, status in ((CACHE, 0), (CACHE + 1, 1)):
        data = site("vllm", *WORDS, "--kv-cache-bytes", size, status=status)
        assert limits(data) == []
        assert (data["pair_verdict"] == "safe") is (status == 0)
        assert ("cache-offset-32" in only_call(data)["reason"]) is (status == 1)
    # vLLM's layers may share a cache: 2142 blocks of this stride are right, 2144 are not.
    stride = ("--kv-block-stride", 1002240)
    ((_, most, _),) = limits(site("vllm", *WORDS, *stride, status=0))
    assert most // 1002240 == 2143
    site("vllm", *WORDS, *stride, "--kv-cache-bytes", 2142 * 1002240, status=0)
    site("vllm", *WORDS, *stride, "--kv-cache-bytes", 2144 * 1002240, status=1)


def test_rows_that_are_not_stated_are_a_condition(site: Judge) -> None:
    mend_all_but(site, "row-offset-32", "column-bound")
    callers.workspace(site.site)
    ((fault, most, option),) = limits(site("vllm", "--max-model-len", 1 << 20, "--block-size", 64, status=0))
    assert (fault, most) == ("row-offset-32", 512)
    assert "--max-num-seqs" in option
    words = ("--max-model-len", 1 << 20, "--block-size", 64, "--max-num-seqs")
    assert limits(site("vllm", *words, 512, "--next-n", 1, status=0)) == []
    assert site("vllm", *words, 513, "--next-n", 1, status=1)["pair_verdict"] == "unsafe-until-apply"
    # More sequences than rows may be: whatever a sequence's rows.
    assert site("vllm", *words, 513, status=1)["pair_verdict"] == "unsafe-until-apply"


def test_two_sequences_are_no_size_worth_a_condition() -> None:
    (fault,) = (f for f in load_faults().judged if f.id == "empty-sequence-schedule")
    missing = frozenset({"rows", "next_n"})
    facts = {"preshuffle": 1, "schedule": 1}
    assert within(fault, Presence.PRESENT, facts, Operator(), missing) == (Reach.REACHED, None)
    unscheduled = within(fault, Presence.PRESENT, {"preshuffle": 1}, Operator(), frozenset({"schedule"}))
    assert unscheduled == (Reach.DEPENDS, None)


def test_of_a_fault_that_is_not_understood_the_kind_of_kernel_does_not_decide() -> None:
    (fault,) = (f for f in load_faults().judged if f.id == "empty-sequence-schedule")
    missing, facts = frozenset({"rows", "next_n"}), {"preshuffle": 0, "plain": 1, "schedule": 1}
    assert within(fault, Presence.PRESENT, facts, Operator(), missing)[0] is Reach.NOT_REACHED
    assert within(fault, Presence.UNKNOWN, facts, Operator(), missing)[0] is not Reach.NOT_REACHED


def test_a_block_size_that_is_not_known_is_no_condition(site: Judge) -> None:
    mend_all_but(site, "block-paging", "column-bound")
    ops = callers.BLOCKS.replace("Preshuffle=page_size > 1, ", "Preshuffle=False, ")
    callers.write_engine(site.site, "sglang", {"ops.py": ops, "model.py": callers.BLOCKS_CALLER})
    assert site("sglang", status=1)["pair_verdict"] == "depends"
    assert site("sglang", "--block-size", 64, status=1)["pair_verdict"] == "unsafe-until-apply"
    assert limits(site("sglang", "--block-size", 1, status=0)) == []
