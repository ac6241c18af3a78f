"""The page that says what is not modelled says what the code says."""

from __future__ import annotations

import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from tests.gfx950 import coverage


def test_the_page_is_what_the_code_says() -> None:
    page = coverage.PAGE.read_text()
    assert coverage.kept(page) == page, "run python -m tests.gfx950.coverage"


def test_the_lists_hold_what_is_known_to_be_missing() -> None:
    made = coverage.made()
    for said in ("`v_msad_u8`", "a swap with lanes that are off", "one of the modifiers idxen"):
        assert said in made
    assert "`ds_add_u32`" not in made
