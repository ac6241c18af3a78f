from __future__ import annotations

from aiterfix.importing.targets import targets
from aiterfix.startup import MODULES, WRAPPERS


def test_the_finder_knows_the_modules_that_the_fix_files_declare() -> None:
    found = targets()
    assert set(found.modules) == MODULES
    assert set(found.wrappers) == WRAPPERS


def test_every_group_of_every_fault_has_modules_and_wrappers_to_stand_before() -> None:
    found = targets()
    groups = [g for f in found.known.judged for g in f.groups]
    assert len(found.known.judged) > 1 and len(set(groups)) > 1
    for group in groups:
        assert group.modules and group.wrappers
        assert all(group in found.modules[m] for m in group.modules)
        assert all(group in found.wrappers[w] for w in group.wrappers)
        assert {k.name for k in group.kernels} <= found.kernels
