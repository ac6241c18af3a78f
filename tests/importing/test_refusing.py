"""The hook hands on wrappers that refuse what their kernels cannot do, and judges kernels by the wrappers that run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.importing.world import OLD_WRAPPER, REDIRECT, STAGE1, WRAPPER, World
from tests.paged import ENTRY, PAGING, PLAIN
from tests.paged import WRAPPER as LAUNCHER

KERNEL = PLAIN[: PLAIN.index(b"\n\n@triton.jit\ndef _deepgemm_fp8_paged_mqa_logits_ragged_k")]
HOOKED = "import aiterfix\naiterfix.install_hook()\n"
CALL = f"""
import json
import {WRAPPER} as wrapper

class Tensor:
    def __init__(self, *shape):
        self.shape = shape
    def size(self, at=None):
        return self.shape if at is None else self.shape[at]
    def numel(self):
        count = 1
        for n in self.shape:
            count *= n
        return count
    def __getitem__(self, index):
        raise RuntimeError("it came past the refusal")

def call(*shape):
    try:
        wrapper.{ENTRY}(Tensor(1, 1, 64, 128), Tensor(*shape), None, None, None, None, 0)
    except Exception as error:
        return type(error).__name__, str(error)

found = aiterfix.status()
print(json.dumps({{
    "blocks": call(8, 64, 1, 132), "tokens": call(8, 1, 1, 132), "flat": call(8, 132),
    "states": {{m.module: [m.state.value, [f for f, _ in m.mended]] for m in found.modules}},
    "safe": found.safe, "file": wrapper.__file__,
    "presence": {{a.fault.id: a.presence.value for a in found.judgement.answers()}},
}}))
"""


@pytest.fixture
def one(world: World) -> World:
    """A world whose wrapper launches one kernel, which takes one token a block."""
    entry = LAUNCHER[: LAUNCHER.index(b"\n\ndef deepgemm_fp8_paged_mqa_logits(")]
    imports = f"from {STAGE1} import ".encode()
    world.file(WRAPPER).write_bytes(entry.replace(b"from kernels import _deepgemm_fp8_paged_mqa_logits, ", imports))
    world.file(STAGE1).write_bytes(KERNEL)
    return world


def test_the_refusal_raises_and_what_the_kernel_takes_goes_through(one: World) -> None:
    done = one.run(HOOKED + CALL, AITERFIX_LOG="info")
    found = json.loads(done.stdout.splitlines()[-1])
    kind, message = found["blocks"]
    assert kind == "ValueError" and "(8, 64, 1, 132)" in message and "one token a block" in message
    assert found["tokens"] == found["flat"] == ["RuntimeError", "it came past the refusal"]
    assert found["states"] == {WRAPPER: ["patched", [PAGING]], STAGE1: ["clean", []]}
    assert found["presence"][PAGING] == "refused" and found["safe"]
    assert f"{WRAPPER} (block-paging in 1 place" in done.stderr
    assert not Path(found["file"]).exists()  # nothing on disk has that text


def test_require_lets_it_in_and_off_leaves_it_alone(one: World) -> None:
    one.run(HOOKED + CALL, AITERFIX="require")
    text = one.file(WRAPPER).read_bytes()
    done = one.run("import aiterfix\naiterfix.install_hook()\n" + CALL, AITERFIX="off")
    assert json.loads(done.stdout.splitlines()[-1])["blocks"][0] == "RuntimeError"
    assert one.file(WRAPPER).read_bytes() == text


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_the_kernel_module_alone_is_judged_by_the_wrapper_that_will_come(one: World, mode: str) -> None:
    one.run(HOOKED + f"import {STAGE1}\n" + CALL, AITERFIX=mode)


def test_a_wrapper_that_was_there_before_the_hook_does_not_refuse(one: World) -> None:
    early = f"import {WRAPPER}\n"
    done = one.run(early + HOOKED + CALL)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["blocks"][0] == "RuntimeError"
    assert found["states"][STAGE1][0] == "unpatched" and not found["safe"]
    assert found["presence"][PAGING] == "unknown"  # as of whatever the hook came too late for
    assert "launches it with blocks of any size" in done.stderr
    refused = one.attempt(early + HOOKED, AITERFIX="require")
    assert refused.returncode and "UnpatchedKernelError" in refused.stderr


def test_a_wrapper_that_cannot_be_made_to_refuse_leaves_its_kernel_unpatched(one: World) -> None:
    text = one.file(WRAPPER).read_bytes()
    one.file(WRAPPER).write_bytes(text.replace(b"kv_cache_fp8", b"something"))
    done = one.run(HOOKED + CALL)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["states"][STAGE1][0] == "unpatched" and WRAPPER not in found["states"]
    assert found["presence"][PAGING] == "present" and "block-paging cannot be taken out" in done.stderr
    refused = one.attempt(HOOKED + f"import {WRAPPER}", AITERFIX="require")
    assert refused.returncode and "block-paging cannot be taken out" in refused.stderr


def test_both_copies_of_a_redirected_wrapper_refuse(one: World) -> None:
    script = HOOKED + REDIRECT + f"import {OLD_WRAPPER} as wrapper\n" + CALL
    found = json.loads(one.run(script).stdout.splitlines()[-1])
    assert found["blocks"][0] == "ValueError" and found["presence"][PAGING] == "refused"
    other = HOOKED + REDIRECT + f"import {WRAPPER}\n" + CALL.replace(f"import {WRAPPER} as", f"import {OLD_WRAPPER} as")
    assert json.loads(one.run(other).stdout.splitlines()[-1])["blocks"][0] == "ValueError"


def test_a_wrapper_that_refuses_on_disk_is_left_as_it_is(one: World) -> None:
    from aiterfix.faults.mend import mend
    from aiterfix.faults.registry import load_faults

    one.file(WRAPPER).write_bytes(mend(one.file(WRAPPER).read_bytes(), load_faults().judged).new)
    found = json.loads(one.run(HOOKED + CALL).stdout.splitlines()[-1])
    assert found["blocks"][0] == "ValueError" and found["safe"]
    assert found["states"] == {STAGE1: ["clean", []]} and found["file"] == str(one.file(WRAPPER))
    # Nor does it take the hook to see that.
    plain = json.loads(one.run("import aiterfix\n" + CALL).stdout.splitlines()[-1])
    assert plain["presence"][PAGING] == "refused" and plain["safe"]
