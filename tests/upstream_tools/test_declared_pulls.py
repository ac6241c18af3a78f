"""What fix files say of pull requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiterfix.fixes import FixFileError, load_fixes, parse_fix
from aiterfix.verdict import Guard

GLUON = next(f for f in load_fixes() if f.path == "gluon")
TEXT = GLUON.file.read_text(encoding="utf-8")


def test_the_pull_requests_that_are_followed() -> None:
    assert {(p.repository, p.number): p.removes for p in GLUON.upstream} == {
        ("ROCm/aiter", 2866): (Guard.NONE,),
        ("ROCm/aiter", 3005): (Guard.NONE,),
        ("ROCm/aiter", 4580): (Guard.NONE, Guard.LOWER),
        ("vllm-project/vllm", 40643): (),
        ("vllm-project/vllm", 41856): (),
    }


@pytest.mark.parametrize(
    "value", ['"none"', '["upper"]', '["both"]', '["none", "none"]', '["None"]', "[1]", '["none\\n"]']
)
def test_removes_names_guards_without_an_upper_bound(value: str) -> None:
    text = TEXT.replace('removes = ["none"]', f"removes = {value}", 1)
    assert text != TEXT
    with pytest.raises(FixFileError, match="removes"):
        parse_fix(text.encode(), Path("x.toml"))
