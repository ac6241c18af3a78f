"""What the fault file of store bounds says of pull requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiterfix.faults.registry import FaultFileError, parse_fault
from aiterfix.history.bounds import removed
from aiterfix.source.guards import Guard
from tests.upstream_tools.kernels import GLUON_BOUNDS, STAGE1_BOUNDS

TEXT = GLUON_BOUNDS.fault.file.read_text(encoding="utf-8")


def test_the_pull_requests_that_are_followed() -> None:
    assert {(p.repository, p.number): removed(p) for p in GLUON_BOUNDS.upstream} == {
        ("ROCm/aiter", 2866): {Guard.NONE},
        ("ROCm/aiter", 3005): {Guard.NONE},
        ("ROCm/aiter", 4580): {Guard.NONE, Guard.LOWER},
        ("vllm-project/vllm", 40643): set(),
        ("vllm-project/vllm", 41856): set(),
    }
    # None of them is about the plain-Triton kernels.
    assert STAGE1_BOUNDS.upstream == ()


@pytest.mark.parametrize(
    "value", ['"none"', '["upper"]', '["both"]', '["none", "none"]', '["None"]', "[1]", '["none\\n"]']
)
def test_removes_names_guards_without_an_upper_bound(value: str) -> None:
    text = TEXT.replace('removes = ["none"]', f"removes = {value}", 1)
    assert text != TEXT
    with pytest.raises(FaultFileError, match="removes"):
        parse_fault(text.encode(), Path("x.toml"))
