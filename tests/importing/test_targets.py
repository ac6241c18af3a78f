from __future__ import annotations

from aiterfix.importing.startup import PREFIX
from aiterfix.importing.targets import targets


def test_the_finder_lets_every_declared_module_through_its_first_comparison() -> None:
    found = targets()
    names = [*found.modules, *found.wrappers]
    assert len(names) >= 5
    assert [n for n in names if not n.startswith(PREFIX)] == []


def test_every_fix_has_modules_and_wrappers_to_stand_before() -> None:
    found = targets()
    for fix in found.fixes:
        assert all(fix in found.modules[m] for m in fix.modules)
        assert all(fix in found.wrappers[w] for w in fix.wrappers)
        assert {k.name for k in fix.kernels} <= found.kernels
