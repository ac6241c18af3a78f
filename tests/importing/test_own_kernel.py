"""``AITERFIX_KERNEL=1``: aiter's function gives way to this project's own, where that is asked for and nowhere else."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.importing.world import GLUON, OLD_WRAPPER, STAGE1, STANDIN, WRAPPER, WRAPPER_SOURCE, World, build

pytestmark = pytest.mark.skipif(
    find_spec("triton") is None or find_spec("torch") is None, reason="torch or Triton is not installed"
)

ENTRY = "deepgemm_fp8_paged_mqa_logits"
OWN = "aiterfix_paged_mqa_logits"
PARAMETERS = (
    "q_fp8, kv_cache, weights, out_logits, context_lens, kv_indices, max_model_len, Preshuffle=False, KVBlockSize=1, "
    "ChunkK=256, TotalCuCount=None, WavePerEU=2, VarCtxSchedule=None"
)
CALLER = f"from {WRAPPER} import {ENTRY} as taken\n"
SAY = f"""
import {{wrapper}} as wrapper, caller
found = aiterfix.status()
print(json.dumps({{{{
    "wrapper": wrapper.{ENTRY}.__module__,
    "caller": caller.taken.__module__,
    "states": {{{{m.module: m.state.value for m in found.modules}}}},
    "reasons": {{{{m.module: m.reason for m in found.modules}}}},
    "safe": found.safe,
    "columns": aiterfix.required_padding(1000, 64).columns,
    "why": aiterfix.required_padding(1000, 64).reason,
}}}}))
"""
EARLY = "import json, sys\nimport aiterfix\naiterfix.install_hook()\n"
LATE = "import json, sys\nimport {wrapper}, caller\nimport aiterfix\naiterfix.install_hook()\n"
PREBUILT = {"AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS": "1"}


def wrapper_with(parameters: str) -> str:
    return WRAPPER_SOURCE.replace(f"def {ENTRY}(Preshuffle=False)", f"def {ENTRY}({parameters})")


@pytest.fixture
def real(tmp_path: Path) -> World:
    """A site-packages whose wrapper takes what the real one takes, with the real Triton and torch."""
    return lay_out(tmp_path, PARAMETERS, light=False)


@pytest.fixture
def light(tmp_path: Path) -> World:
    """The same with stand-ins, of which our kernel's module needs a decorator to be imported: the real ones take ten
    times as long, and who holds which function is no matter of theirs."""
    return lay_out(tmp_path, PARAMETERS)


def lay_out(folder: Path, parameters: str, *, light: bool = True) -> World:
    site = folder / "site"
    site.mkdir()
    world = build(site, wrapper=wrapper_with(parameters), triton=STANDIN if light else None, columns_alone=True)
    if light:
        (site / "torch.py").write_text("")
    (site / "caller.py").write_text(CALLER)
    return world


def answer(world: World, start: str = EARLY, wrapper: str = WRAPPER, **environment: str) -> Any:
    script = start.replace("{wrapper}", wrapper) + SAY.format(wrapper=wrapper)
    return world.answer(script, **environment)


@pytest.mark.parametrize("value", ["", "0"])
def test_never_unless_asked_for(light: World, value: str) -> None:
    found = answer(light, AITERFIX_KERNEL=value)
    assert found["wrapper"] == found["caller"] == WRAPPER
    assert found["states"] == {GLUON: "patched", STAGE1: "patched"}


@pytest.mark.parametrize("wrapper", [WRAPPER, OLD_WRAPPER])
@pytest.mark.parametrize("start", [EARLY, LATE])
def test_the_wrapper_and_who_took_its_function_call_ours(light: World, start: str, wrapper: str) -> None:
    found = answer(light, start, wrapper, AITERFIX_KERNEL="1")
    assert found["wrapper"] == found["caller"] == OWN
    assert found["states"][GLUON] == found["states"][STAGE1] == "patched"
    assert {found["states"].get(w, "replaced") for w in (WRAPPER, OLD_WRAPPER)} == {"replaced"}
    assert found["safe"] and found["columns"] == 0


def test_it_is_said(light: World) -> None:
    done = light.run(f"{EARLY}import {WRAPPER}", AITERFIX_KERNEL="1", AITERFIX_LOG="info")
    (line,) = [line for line in done.stderr.splitlines() if "replaced" in line]
    assert f"{WRAPPER}.{ENTRY}" in line and "AITERFIX_KERNEL=1" in line and "no AMD GPU" in line


@pytest.mark.parametrize("start", [EARLY, LATE])
def test_prebuilt_code_objects_no_longer_matter(light: World, start: str) -> None:
    found = answer(light, start, AITERFIX_KERNEL="1", AITERFIX="require", **PREBUILT)
    assert found["wrapper"] == found["caller"] == OWN
    assert found["states"] == {GLUON: "bypassed", STAGE1: "patched", WRAPPER: "replaced"}
    assert "AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS=1" in found["reasons"][GLUON]
    assert found["safe"] and found["columns"] == 0 and "AITERFIX_KERNEL=1" in found["why"]
    unasked = answer(light, start, **PREBUILT)
    assert unasked["states"][GLUON] == "unpatched" and not unasked["safe"] and unasked["columns"] == 255


def test_a_source_that_is_not_understood_no_longer_matters(light: World) -> None:
    path = light.file(GLUON)
    path.write_text(path.read_text().replace("ptr=OutLogits_buffer", "ptr=elsewhere(OutLogits_buffer)"))
    assert answer(light)["states"][GLUON] == "unpatched"
    found = answer(light, AITERFIX_KERNEL="1", AITERFIX="require")
    assert found["states"][GLUON] == "bypassed" and found["safe"] and found["columns"] == 0


def test_a_kernel_module_alone_is_not_bypassed(light: World) -> None:
    script = f"{EARLY}import {GLUON}\nprint(json.dumps({{m.module: m.state.value for m in aiterfix.status().modules}}))"
    assert light.answer(script, AITERFIX_KERNEL="1", **PREBUILT) == {GLUON: "unpatched"}
    done = light.attempt(script, AITERFIX_KERNEL="1", AITERFIX="require", **PREBUILT)
    assert done.returncode and "UnpatchedKernelError" in done.stderr


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        (PARAMETERS.replace("VarCtxSchedule=None", "Schedule=None"), "Schedule"),
        (PARAMETERS + ", Sink=None", "Sink"),
        (PARAMETERS.replace("kv_cache, weights", "weights, kv_cache"), "weights, kv_cache"),
        (PARAMETERS.replace("max_model_len,", "max_model_len=None,"), "max_model_len"),
        (PARAMETERS + ", **more", "**more"),
        (PARAMETERS.replace("KVBlockSize=1", "KVBlockSize=16"), "KVBlockSize=16"),
        (PARAMETERS.replace("Preshuffle=False", "Preshuffle=True"), "Preshuffle=True"),
    ],
)
def test_a_function_of_another_contract_stays(tmp_path: Path, parameters: str, named: str) -> None:
    world = lay_out(tmp_path, parameters)
    found = answer(world, AITERFIX_KERNEL="1")
    assert found["wrapper"] == found["caller"] == WRAPPER
    assert found["states"] == {GLUON: "patched", STAGE1: "patched", WRAPPER: "unpatched"}
    assert f"does not take {named} as it does" in found["reasons"][WRAPPER] and not found["safe"]


def test_a_function_that_stays_lets_no_kernel_be_bypassed(tmp_path: Path) -> None:
    world = lay_out(tmp_path, PARAMETERS + ", Sink=None")
    assert answer(world, AITERFIX_KERNEL="1", **PREBUILT)["states"][GLUON] == "unpatched"
    done = world.attempt(f"{EARLY}import {WRAPPER}", AITERFIX_KERNEL="1", AITERFIX="require")
    assert done.returncode and "UnpatchedKernelError" in done.stderr and "Sink" in done.stderr


def test_older_releases_have_fewer_parameters(tmp_path: Path) -> None:
    world = lay_out(tmp_path, PARAMETERS.replace(", VarCtxSchedule=None", "").replace("Count=None", "Count=256"))
    assert answer(world, AITERFIX_KERNEL="1")["wrapper"] == OWN


def test_a_function_held_where_it_cannot_be_replaced_is_told(light: World) -> None:
    (light.site / "caller.py").write_text(f"{CALLER}kept = [taken]\n")
    found = answer(light, LATE, AITERFIX_KERNEL="1")
    assert found["states"][WRAPPER] == "unpatched" and "still hold aiter's: list" in found["reasons"][WRAPPER]
    assert found["columns"] == 0, "the kernels that the list leads to are patched"


def test_asking_again_does_not_forget_who_holds_the_function(light: World) -> None:
    """Engines load plugins more than once."""
    (light.site / "caller.py").write_text(f"{CALLER}kept = [taken]\n")
    found = answer(light, f"{LATE}aiterfix.install_hook()\n", AITERFIX_KERNEL="1", **PREBUILT)
    assert found["states"][WRAPPER] == found["states"][GLUON] == "unpatched"
    assert "still hold aiter's: list" in found["reasons"][WRAPPER]
    assert found["columns"] == 255, "what the list leads to launches prebuilt code objects"
    freed = answer(light, f"{LATE}caller.kept.clear()\naiterfix.install_hook()\n", AITERFIX_KERNEL="1", **PREBUILT)
    assert freed["states"] == {GLUON: "bypassed", STAGE1: "patched", WRAPPER: "replaced"} and freed["columns"] == 0
    script = f"""
import {WRAPPER}, caller, aiterfix
raised = 0
for _ in range(2):
    try:
        aiterfix.install_hook()
    except Exception as error:
        raised += type(error).__name__ == "UnpatchedKernelError"
print(raised)
"""
    assert light.answer(script, AITERFIX_KERNEL="1", AITERFIX="require") == 2


def test_what_the_garbage_collector_does_not_show_is_found(real: World) -> None:
    """vLLM and SGLang call `gc.freeze()`: what is frozen is no referrer of anything."""
    frozen = LATE.replace("import aiterfix\n", "import gc; gc.freeze()\nimport aiterfix\n")
    found = answer(real, frozen, AITERFIX_KERNEL="1")
    assert found["wrapper"] == found["caller"] == OWN and found["states"][WRAPPER] == "replaced"
    (real.site / "caller.py").write_text(f"{CALLER}kept = [taken]\n")
    found = answer(real, frozen, AITERFIX_KERNEL="1", **PREBUILT)
    assert found["states"][WRAPPER] == "unpatched" and found["columns"] == 255
    assert "the garbage collector does not show" in found["reasons"][WRAPPER]


def test_a_kernel_module_imported_before_the_wrapper_is_bypassed_with_it(light: World) -> None:
    found = answer(light, f"{EARLY}import {GLUON}\n", AITERFIX_KERNEL="1", **PREBUILT)
    assert found["states"] == {GLUON: "bypassed", STAGE1: "patched", WRAPPER: "replaced"} and found["safe"]


HALVES = f"""
import importlib, importlib.util, os, threading, warnings
import torch, triton
entered, go_on = threading.Event(), threading.Event()
ordinary = importlib.util.spec_from_file_location


class InTwoHalves:
    def __init__(self, loader):
        self.loader = loader

    def exec_module(self, module):
        entered.set()
        go_on.wait(60)
        self.loader.exec_module(module)

    def __getattr__(self, name):
        return getattr(self.loader, name)


def slowly(name, *rest, **more):
    spec = ordinary(name, *rest, **more)
    if name == {OWN!r} and not entered.is_set():
        spec.loader = InTwoHalves(spec.loader)
    return spec


importlib.util.spec_from_file_location = slowly
"""


def test_threads_that_import_at_once_wait_for_the_kernel(light: World) -> None:
    (light.site / "aiter/ops/triton/__init__.py").write_text("")
    light.file(OLD_WRAPPER).write_text(wrapper_with(PARAMETERS))
    script = f"""
threads = [threading.Thread(target=importlib.import_module, args=(name,)) for name in ({WRAPPER!r}, {OLD_WRAPPER!r})]
threads[0].start()
entered.wait(60)
threads[1].start()
threads[1].join(1)
go_on.set()
[thread.join() for thread in threads]
print(json.dumps({{m.module: m.state.value for m in aiterfix.status().modules}}))
"""
    found = light.answer(EARLY + HALVES + script, AITERFIX_KERNEL="1")
    assert found[WRAPPER] == found[OLD_WRAPPER] == "replaced"


def test_a_child_forked_while_the_kernel_is_loaded_loads_it(light: World) -> None:
    script = f"""
thread = threading.Thread(target=importlib.import_module, args=({WRAPPER!r},))
thread.start()
entered.wait(60)
warnings.simplefilter("ignore")
pid = os.fork()
if not pid:
    try:
        from aiterfix.importing import substitute
        print(json.dumps(substitute._load().{ENTRY}.__module__), flush=True)
    finally:
        os._exit(0)
os.waitpid(pid, 0)
go_on.set()
thread.join()
"""
    assert light.answer(EARLY + HALVES + script, AITERFIX_KERNEL="1") == OWN


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_a_plugin_loaded_while_the_wrapper_is_imported_leaves_that_to_its_import(light: World, mode: str) -> None:
    path = light.file(WRAPPER)
    path.write_text(f"import aiterfix\naiterfix.install_hook()\n{path.read_text()}aiterfix.install_hook()\n")
    done = light.run(f"{EARLY}import {WRAPPER}", AITERFIX_KERNEL="1", AITERFIX=mode, **PREBUILT)
    assert "unpatched" not in done.stderr
    found = answer(light, AITERFIX_KERNEL="1", AITERFIX=mode, **PREBUILT)
    assert found["states"] == {GLUON: "bypassed", STAGE1: "patched", WRAPPER: "replaced"}


def test_off_outranks_it(light: World) -> None:
    found = answer(light, AITERFIX_KERNEL="1", AITERFIX="off")
    assert found["wrapper"] == found["caller"] == WRAPPER and found["states"][GLUON] == "unpatched"
    script = f"""
import os, {WRAPPER}
os.environ["AITERFIX"] = "off"
import {OLD_WRAPPER} as other
print(json.dumps(other.{ENTRY}.__module__))
"""
    assert light.answer(EARLY + script, AITERFIX_KERNEL="1") == WRAPPER


def test_a_reload_of_the_wrapper_is_replaced_again(light: World) -> None:
    again = f"{EARLY}import importlib, {WRAPPER} as w, caller\nimportlib.reload(w)\nimportlib.reload(caller)\n"
    found = answer(light, again, AITERFIX_KERNEL="1", **PREBUILT)
    assert found["wrapper"] == found["caller"] == OWN
    assert found["states"] == {GLUON: "bypassed", STAGE1: "patched", WRAPPER: "replaced"} and found["columns"] == 0


def test_a_reload_after_the_hook_is_gone_is_seen(light: World) -> None:
    start = f"""
import importlib, json, sys, aiterfix
hook = aiterfix.install_hook()
import {WRAPPER} as w, caller
hook.uninstall()
importlib.reload(w)
importlib.reload(caller)
"""
    found = answer(light, start, AITERFIX_KERNEL="1", **PREBUILT)
    assert found["wrapper"] == found["caller"] == WRAPPER
    assert found["states"][WRAPPER] == found["states"][GLUON] == "unpatched" and found["columns"] == 255


def test_without_torch_the_wrapper_stays(light: World) -> None:
    (light.site / "torch.py").write_text("raise ImportError('no torch in this test')\n")
    found = answer(light, AITERFIX_KERNEL="1", **PREBUILT)
    assert found["wrapper"] == WRAPPER
    assert found["states"] == {GLUON: "unpatched", STAGE1: "patched", WRAPPER: "unpatched"}
    assert "no torch in this test" in found["reasons"][WRAPPER]


def test_a_wrapper_that_fails_to_import_fails_as_without_us(light: World) -> None:
    with light.file(WRAPPER).open("a") as file:
        file.write("\nraise RuntimeError('its own')\n")
    done = light.attempt(f"{EARLY}import {WRAPPER}", AITERFIX_KERNEL="1", AITERFIX="require")
    assert "RuntimeError: its own" in done.stderr.splitlines()[-1]


def test_status_sees_that_the_function_was_put_back(light: World) -> None:
    script = f"""
import {WRAPPER} as wrapper, caller
wrapper.{ENTRY} = lambda *_: None
found = aiterfix.status()
print(json.dumps([{{m.module: m.state.value for m in found.modules}}, aiterfix.required_padding(1000, 64).columns]))
"""
    states, columns = light.answer(EARLY + script, AITERFIX_KERNEL="1", **PREBUILT)
    assert states == {GLUON: "unpatched", STAGE1: "patched", WRAPPER: "unpatched"}
    assert columns == 255


def test_a_call_through_the_wrapper_gives_logits(real: World) -> None:
    script = f"""
import torch
from triton.runtime import interpreter
patch = interpreter._patch_lang_tensor


def index_of_one_element(tensor, scope):
    patch(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda value: int(value.handle.data.item()))


interpreter._patch_lang_tensor = index_of_one_element  # NumPy 2.4 refuses what Triton's does
import {WRAPPER} as wrapper
torch.manual_seed(0)
block, blocks, width = 16, 5, 70
q = torch.randn(1, 2, 16, 64).to(torch.float8_e4m3fn)
keys = torch.randn(blocks, block, 64).to(torch.float8_e4m3fn)
scales = torch.rand(blocks, block) + 0.5
cache = torch.cat([keys.view(torch.uint8).reshape(blocks, -1), scales.view(torch.uint8).reshape(blocks, -1)], 1)
cache = cache.view(blocks, block, 1, 68)
weights = torch.randn(2, 16)
out = torch.full((2, width + 10), 7.0)
table = torch.tensor([[3, 1, 4, 0, 2]], dtype=torch.int32)
wrapper.{ENTRY}(q, cache, weights, out, torch.tensor([70], dtype=torch.int32), table, width, KVBlockSize=block)
k, s = keys[table[0].long()].reshape(-1, 64).float()[:width], scales[table[0].long()].reshape(-1)[:width]
expected = (torch.relu(q[0].float() @ k.T) * s * weights[:, :, None]).sum(1)
expected[0, width - 1:] = float("-inf")
print(json.dumps([torch.allclose(out[:, :width], expected, atol=1e-2), bool((out[:, width:] == 7).all())]))
"""
    assert real.answer(EARLY + script, AITERFIX_KERNEL="1", TRITON_INTERPRET="1") == [True, True]
