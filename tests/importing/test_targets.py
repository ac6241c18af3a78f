from __future__ import annotations

from aiterfix.importing.targets import targets
from aiterfix.startup import MODULES, WRAPPERS


def test_the_finder_knows_the_modules_that_the_fix_files_declare() -> None:
    found = targets()
    assert set(found.modules) == MODULES
    assert set(found.wrappers) == WRAPPERS


def test_every_fix_has_modules_and_wrappers_to_stand_before() -> None:
    found = targets()
    for fix in found.fixes:
        assert all(fix in found.modules[m] for m in fix.modules)
        assert all(fix in found.wrappers[w] for w in fix.wrappers)
        assert {k.name for k in fix.kernels} <= found.kernels
