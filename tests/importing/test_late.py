"""aiter was imported before the hook stood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.importing.world import BASE, GLUON, OLD_WRAPPER, STAGE1, WRAPPER, World, build, mended

BOUND = "(column < max_model_len)"
EARLY = f"""
import json, sys
import {OLD_WRAPPER} as old, {WRAPPER} as wrapper
modules = [old, wrapper]
texts = [m.deepgemm_fp8_paged_mqa_logits() for m in modules]
import aiterfix
"""
AFTER = """
found = aiterfix.status()
print(json.dumps({
    "before": texts,
    "after": [m.deepgemm_fp8_paged_mqa_logits() for m in modules],
    "two": modules[0] is not modules[1],
    "modules": {m.module: [m.state.value, m.late, m.reason, m.mended] for m in found.modules},
    "safe": found.safe,
}))
"""


def test_names_are_rebound_and_compiled_kernels_dropped(full_world: World) -> None:
    done = full_world.run(EARLY + "aiterfix.install_hook()\n" + AFTER, AITERFIX_LOG="info")
    found = json.loads(done.stdout.splitlines()[-1])
    assert all(BOUND not in t for t in found["before"])
    assert all(BOUND in t for t in found["after"])
    # aiter's redirection executed the wrapper twice; both have the patched kernels.
    assert found["two"] is True
    assert found["safe"] is True
    state, late, _, places = found["modules"][GLUON]
    assert (state, late, places) == (
        "patched",
        True,
        [["block-paging", 2], ["cache-offset-32", 4], ["column-bound", 3], ["row-offset-32", 2]],
    )
    # One cache in each wrapper, emptied with the first of the two modules.
    assert sum("2 compiled kernels dropped" in m[2] for m in found["modules"].values()) == 1
    assert found["modules"][STAGE1][:2] == ["patched", True]
    assert done.stderr.count("aiterfix: INFO") == 1
    assert "after its import" in done.stderr


def test_what_is_shown_of_the_module_is_the_patched_text(world: World) -> None:
    script = (
        EARLY
        + f"""
aiterfix.install_hook()
import inspect, {GLUON} as m
print(json.dumps([inspect.getsource(m), inspect.getsource(getattr(m, {BASE!r}).fn), m.__file__]))
"""
    )
    module, function, file = world.answer(script)
    assert BOUND in module and BOUND in function
    assert not Path(file).exists()


def test_the_advice_knows_of_an_object_that_keeps_an_old_kernel(world: World) -> None:
    ask = "aiterfix.required_padding(1000, 64)"
    script = EARLY + f"aiterfix.install_hook()\nfound = {ask}\nprint(json.dumps([found.columns, found.reason]))\n"
    assert world.answer(script)[0] == 0
    with world.file(WRAPPER).open("a") as file:
        file.write("\nTABLE = {'base': [_gluon_deepgemm_fp8_paged_mqa_logits]}\n")
    columns, reason = world.answer(script)
    assert columns == 255 and "still hold the unpatched kernels: list" in reason


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_an_object_that_keeps_an_old_kernel_is_found(world: World, mode: str) -> None:
    script = (
        EARLY
        + """
TABLE = {'base': [wrapper._gluon_deepgemm_fp8_paged_mqa_logits]}
try:
    aiterfix.install_hook()
except Exception as error:
    print(json.dumps([type(error).__name__, str(error), aiterfix.status().standing]))
else:
"""
        + AFTER.replace("\n", "\n    ")
    )
    done = world.run(script, AITERFIX=mode)
    found = json.loads(done.stdout.splitlines()[-1])
    if mode == "require":
        assert found[0] == "UnpatchedKernelError"
        assert "still hold the unpatched kernels: list" in found[1]
        assert found[2] is False
        return
    assert found["modules"][GLUON][0] == "unpatched"
    assert "still hold the unpatched kernels: list" in found["modules"][GLUON][2]
    assert done.stderr.count("runs unpatched") == 1
    assert "start the process again" in done.stderr


def test_a_compiled_kernel_that_the_host_keeps_is_found(world: World) -> None:
    script = EARLY + "kept = wrapper._compile_deepgemm_fp8_paged_mqa_logits()\naiterfix.install_hook()\n" + AFTER
    found = json.loads(world.run(script).stdout.splitlines()[-1])
    assert found["modules"][GLUON][0] == "unpatched"
    assert found["safe"] is False


def test_a_file_that_was_changed_since_is_not_mixed_with_what_is_loaded(world: World) -> None:
    path = world.file(GLUON)
    script = (
        EARLY
        + f"""
import pathlib
path = pathlib.Path({str(path)!r})
path.write_text(path.read_text().replace("mask=column >= 0", "mask=(column >= 0) & (start >= 0)"))
aiterfix.install_hook()
"""
        + AFTER
    )
    done = world.run(script)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["after"] == found["before"]
    assert found["modules"][GLUON][0] == "unpatched"
    assert "changed since it was imported" in found["modules"][GLUON][2]
    assert found["modules"][STAGE1][0] == "patched"


def test_a_file_that_was_patched_on_disk_since_needs_a_restart(world: World) -> None:
    script = (
        EARLY
        + f"""
import pathlib
from aiterfix.faults.mend import mend
from aiterfix.faults.registry import load_faults
path = pathlib.Path({str(world.file(GLUON))!r})
path.write_bytes(mend(path.read_bytes(), load_faults().judged).new)
aiterfix.install_hook()
"""
        + AFTER
    )
    found = json.loads(world.run(script).stdout.splitlines()[-1])
    assert found["modules"][GLUON][0] == "unpatched"
    assert "has been changed since" in found["modules"][GLUON][2]


def test_a_module_that_fails_the_second_time_is_put_back(world: World) -> None:
    with world.file(GLUON).open("a") as file:
        file.write("\nimport sys\nassert not hasattr(sys, 'been_here')\nsys.been_here = True\n")
    script = EARLY + "aiterfix.install_hook()\n" + AFTER
    found = json.loads(world.run(script).stdout.splitlines()[-1])
    assert found["after"] == found["before"]
    assert found["modules"][GLUON][0] == "unpatched"
    assert "AssertionError" in found["modules"][GLUON][2]


def test_clean_kernels_need_nothing(world: World) -> None:
    for module in (GLUON, STAGE1):
        world.file(module).write_bytes(mended(world.file(module).read_bytes()))
    found = json.loads(world.run(EARLY + "aiterfix.install_hook()\n" + AFTER).stdout.splitlines()[-1])
    assert [m[0] for m in found["modules"].values()] == ["clean", "clean"]


def test_prebuilt_code_objects_are_reported(world: World) -> None:
    done = world.run(EARLY + "aiterfix.install_hook()\n" + AFTER, AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS="1")
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["modules"][GLUON][0] == "unpatched"
    assert "prebuilt code objects" in found["modules"][GLUON][2]


def test_kernels_from_a_module_of_another_name_are_patched_once_the_wrapper_has_them(tmp_path: Path) -> None:
    """Paths are no identity: upstream has moved these files before."""
    site = tmp_path / "site"
    site.mkdir()
    world = build(site)
    moved = "aiter.ops.triton._gluon_kernels.gfx950.attention.pa_mqa_logits"
    target = world.file(moved)
    target.parent.mkdir(parents=True)
    world.file(GLUON).rename(target)
    path = world.file(WRAPPER)
    path.write_text(path.read_text().replace(GLUON, moved))
    script = f"""
import json, aiterfix
aiterfix.install_hook()
import {WRAPPER} as w
print(json.dumps([w.deepgemm_fp8_paged_mqa_logits(), [[m.module, m.state.value] for m in aiterfix.status().modules]]))
"""
    text, modules = world.answer(script)
    assert BOUND in text
    assert [moved, "patched"] in modules


def test_having_asked_for_padding_is_no_holder(world: World) -> None:
    script = f"""
import json, {WRAPPER}, aiterfix
before = aiterfix.required_padding(1000, 64).columns
aiterfix.install_hook()
states = sorted({{m.state.value for m in aiterfix.status().modules}})
print(json.dumps([before, aiterfix.required_padding(1000, 64).columns, states]))
"""
    assert world.answer(script, AITERFIX="require") == [255, 0, ["patched"]]


def test_holders_that_a_frozen_heap_hides_count_as_unpatched(world: World) -> None:
    """Engines call `gc.freeze()` once they have started; what is frozen is no referrer of anything then."""
    (world.site / "holder.py").write_text(f"from {GLUON} import {BASE}\nkept = [{BASE}]\n")
    script = f"""
import gc, json, {WRAPPER}, holder
gc.freeze()
import aiterfix
aiterfix.install_hook()
print(json.dumps({{m.module: [m.state.value, m.reason] for m in aiterfix.status().modules}}))
"""
    state, reason = world.answer(script)[GLUON]
    assert state == "unpatched" and "gc.freeze()" in reason
