"""The live guard: what is handed to the wrapper's functions, and what is done about it."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.importing.launching import EARLY, ENTRY, LATE, PARAMETERS, lay_out
from tests.importing.world import GLUON, STAGE1, WRAPPER, World

TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
NAME = f"{WRAPPER}.{ENTRY}"


@pytest.fixture
def faulty(tmp_path: Path) -> World:
    """Gluon kernels that cannot be patched."""
    return lay_out(tmp_path)


@pytest.fixture
def clean(tmp_path: Path) -> World:
    """All can be patched."""
    return lay_out(tmp_path, patchable=True)


def outcomes(world: World, calls: str, start: str = EARLY, **environment: str) -> Any:
    return world.answer(f"{start}{calls}\nprint(json.dumps(seen()))", **environment)


def warnings(world: World, calls: str, start: str = EARLY, **environment: str) -> list[str]:
    done = world.run(start + calls, AITERFIX_LOG="info", **environment)
    return [line for line in done.stderr.splitlines() if "a launch of" in line]


@pytest.mark.parametrize("start", [EARLY, LATE])
def test_a_launch_that_meets_a_fault_is_seen_and_made(faulty: World, start: str) -> None:
    text = faulty.answer(f"{start}print(json.dumps([logits(), seen()]))")
    assert "OutLogits_buffer" in text[0]
    ((entry, outcome, action, faults, facts),) = text[1]
    assert (entry, action) == (ENTRY, "launched")
    assert faults["column-bound"] == "reached" and faults["cache-offset-32"] == "not-reached"
    # What stays in a module that was imported before the hook is a doubt beside it.
    assert outcome == ("reached" if start is EARLY else "unknown")
    assert (facts["rows"], facts["next_n"], facts["heads"]) == (2, 1, 64)
    assert (facts["width"], facts["row_stride"], facts["padding"]) == (1000, 1000, 0)
    assert (facts["output_rank"], facts["output_inner"]) == (2, 1)
    assert (facts["kv_blocks"], facts["block_stride"], facts["kv_block_size"]) == (100, 64 * 132, 64)
    assert (facts["chunk_k"], facts["preshuffle"], facts["schedule"]) == (256, 1, 0)


def test_padding_of_the_rows_takes_a_store_up(faulty: World) -> None:
    found = outcomes(faulty, "logits(behind=23); logits(behind=255); logits(width=960, behind=256)")
    assert [f[1] for f in found] == ["reached", "not-reached", "not-reached"]
    assert [f[4]["padding"] for f in found] == [23, 255, 256]


def test_other_faults_are_told_by_their_numbers(faulty: World) -> None:
    calls = "logits(blocks=20000, stride=1002240, behind=256)"
    (found,) = outcomes(faulty, calls)
    assert found[3] == {"cache-offset-32": "reached", "column-bound": "not-reached"} and found[1] == "reached"
    (line,) = warnings(faulty, calls)
    assert f"{NAME} meets cache-offset-32: keys of blocks from 2143 on" in line and "block_stride 1002240" in line
    assert "It was launched all the same" in line and "AITERFIX_KERNEL=guard" in line and "aiterfix apply" in line


def test_one_line_a_fault_and_function(faulty: World) -> None:
    lines = warnings(faulty, "logits(); logits(width=1001); logits(blocks=20000, stride=1002240)")
    assert [line.split(" meets ")[1].split(":")[0] for line in lines] == ["column-bound", "cache-offset-32"]


def test_what_hangs_on_lengths_on_the_device_depends(faulty: World) -> None:
    path = faulty.file(WRAPPER)
    assert "varctx" in path.read_text()
    (found,) = outcomes(faulty, "logits(batch=3, behind=256, VarCtxSchedule=Tensor(1))")
    assert found[4]["schedule"] == 1
    # The sample's schedule kernel walks past empty sequences; what a launch of a real one meets: tests/judge.
    assert found[3].get("empty-sequence-schedule", "not-reached") == "not-reached"


def test_nothing_is_wrapped_where_no_fault_is_left(clean: World) -> None:
    script = f"""
logits()
import aiter.ops.triton.attention.pa_mqa_logits as wrapper
found = aiterfix.launches()
print(json.dumps([hasattr(wrapper.{ENTRY}, "__wrapped__"), found.watched, len(found.seen), found.not_watched,
                  [m for m in sys.modules if m in ("aiterfix.importing.guard", "aiterfix.judge.launched")]]))
"""
    wrapped, watched, seen, said, modules = clean.answer(EARLY + script)
    assert (wrapped, watched, seen, modules) == (False, [], 0, [])
    assert "torch.compile" in said and "graphs" in said


def test_what_was_decided_is_not_kept_past_the_kernels(faulty: World) -> None:
    """A later look at what is imported, as plugins and `install_hook` take one, judges anew."""
    script = """
logits()
import aiter.ops.triton.gluon.pa_mqa_logits as kernels, aiter.ops.triton.attention.pa_mqa_logits as wrapper
name = "_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle"
kernel = getattr(kernels, name)
other = type(kernel).__new__(type(kernel))
vars(other).update(vars(kernel), src=kernel.src.replace("ptr=OutLogits_buffer", "ptr=elsewhere(OutLogits_buffer)"))
setattr(kernels, name, other); setattr(wrapper, name, other)
logits()
before = seen()
aiterfix.install_hook()
logits()
print(json.dumps([[s[1] for s in before], [s[1] for s in seen()]]))
"""
    assert faulty.answer(EARLY + script) == [["reached"], ["unknown"]]


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        ("logits(out=Tensor(2, 900))", "Pass an output of whole rows"),
        ("logits(width=1024, out=Tensor(2, 1024, dtype=Kind(2)))", "Pass an output of float32"),
        ("logits(block=1, Preshuffle=False, VarCtxSchedule=Tensor(1))", "Pass VarCtxSchedule=None"),
    ],
)
def test_what_no_kernel_is_made_for_is_said_and_refused(faulty: World, call: str, remedy: str) -> None:
    """Patching takes none of it out, so it is not advised."""
    (line,) = [w for w in warnings(faulty, call) if "is not understood" in w]
    assert remedy in line and "aiterfix apply" not in line
    script = f"""
hook = aiterfix.install_hook(mode="require")
try:
    {call}
except Exception as e:
    print(json.dumps([type(e).__name__, str(e)]))
"""
    name, said = faulty.answer(EARLY + script)
    assert name == "FaultyLaunchError" and remedy in said


def test_the_function_keeps_its_signature_and_its_callers_arguments(faulty: World) -> None:
    script = f"""
import inspect
import aiter.ops.triton.attention.pa_mqa_logits as wrapper
print(json.dumps([str(inspect.signature(engine.taken)), engine.taken is wrapper.{ENTRY}, engine.taken.__name__,
                  engine.taken.__module__]))
"""
    for start in (EARLY, LATE):
        assert faulty.answer(start + script) == [f"({PARAMETERS})", True, ENTRY, WRAPPER]


def test_an_argument_that_the_function_does_not_take_is_its_own_error(faulty: World) -> None:
    script = """
for call in (lambda: engine.taken(1), lambda: logits(Sink=1)):
    try:
        call()
    except TypeError as error:
        print(json.dumps(str(error)))
"""
    done = faulty.run(EARLY + script)
    first, second = map(json.loads, done.stdout.splitlines())
    assert "missing 6 required positional arguments" in first and "unexpected keyword argument 'Sink'" in second


def test_what_still_leads_past_the_guard_is_told(faulty: World) -> None:
    held = "import engine\nengine.kept = [engine.taken]\n"
    found = faulty.answer(
        f"{held}{LATE}print(json.dumps([aiterfix.launches().unwatched, engine.kept[0] is engine.taken]))"
    )
    assert found == [[f"{NAME}, held by list"], False]
    assert faulty.answer(f"{LATE}print(json.dumps(aiterfix.launches().unwatched))") == []


def test_gpus_of_two_kinds_in_one_process(faulty: World) -> None:
    """What was decided for one says nothing of the other, whose kernels are not judged."""
    script = """
import types
kinds = ["gfx950:sramecc+", "gfx1250"]
properties = lambda device: types.SimpleNamespace(gcnArchName=kinds[device.index])
sys.modules["torch"] = types.SimpleNamespace(
    cuda=types.SimpleNamespace(get_device_properties=properties), version=types.SimpleNamespace(hip="7.1"))
for gpu in (0, 1, 0, 1):
    out = Tensor(2, 1024, behind=256)
    out.gpu, out.device = gpu, types.SimpleNamespace(type="cuda", index=gpu)
    logits(width=1024, out=out)
print(json.dumps([[s.judgement.launch.gpu, s.judgement.outcome.value] for s in aiterfix.launches().seen]))
"""
    assert faulty.answer(EARLY + script) == [["gfx950", "not-reached"], ["gfx1250", "unknown"]]


COPIES = f"""
import gc, importlib, importlib.util, types
import {WRAPPER} as wrapper
text = importlib.util.find_spec("{WRAPPER}").origin
def executed_again():
    spec = importlib.util.spec_from_file_location("other", text)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
def copied(f):
    return types.FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, f.__closure__)
def unwatched():
    gc.collect()
    return sorted(aiterfix.launches().unwatched)
"""


def test_copies_that_the_guard_has_not_put_in_place_are_told(faulty: World) -> None:
    made = f"""
logits(width=1024)
assert not unwatched()  # what the guard itself keeps
other = executed_again()
namespace = {{"__name__": "elsewhere"}}
exec(compile(open(text).read(), text, "exec"), namespace)
inner = wrapper.{ENTRY}.__wrapped__
found = unwatched()
del other, namespace, inner
print(json.dumps([found, unwatched()]))
"""
    past = f"{ENTRY}, executed past the hook"
    held = f"{NAME}, held by dict"
    assert faulty.answer(EARLY + COPIES + made) == [[held, f"elsewhere.{past}", f"other.{past}"], []]


def test_what_was_taken_before_a_reload_or_copied_before_the_hook_is_told(faulty: World) -> None:
    taken = f"""
kept, copy = [wrapper.{ENTRY}], [copied(wrapper.{ENTRY})]
wrapper = importlib.reload(wrapper)
other = executed_again()
aiterfix.install_hook()
found = unwatched()
kept.clear(); copy.clear(); del other, engine.taken
print(json.dumps([found, unwatched()]))
"""
    first = LATE.replace("aiterfix.install_hook()\n", "")
    found, left = faulty.answer(first + COPIES + taken)
    assert found == [f"{NAME}, held by dict, list", f"{NAME}, held by list", f"other.{ENTRY}, executed past the hook"]
    assert left == []


def test_what_a_frozen_heap_may_hide_is_told_and_what_was_frozen_before_hides_nothing(faulty: World) -> None:
    """Python 3.12 starts with objects put aside."""
    tell = "print(json.dumps(aiterfix.launches().unwatched))"
    assert faulty.answer(f"import gc\ngc.freeze()\n{LATE}{tell}") == []
    frozen = LATE.replace("aiterfix.install_hook", "import gc; gc.freeze(); aiterfix.install_hook")
    assert faulty.answer(frozen + tell)[0] == f"{NAME}, held by what `gc.freeze()` hides, if anything"


def test_two_modules_of_two_names_are_one_function(faulty: World) -> None:
    script = f"""
import aiter.ops.triton.pa_mqa_logits as old, aiter.ops.triton.attention.pa_mqa_logits as new
logits(call=old.{ENTRY}); logits(call=new.{ENTRY}); logits()
print(json.dumps([len(seen()), hasattr(old.{ENTRY}, "__wrapped__"), hasattr(new.{ENTRY}, "__wrapped__"),
                  hasattr(old.{ENTRY}.__wrapped__, "__wrapped__")]))
"""
    for start in (EARLY, LATE, f"import {WRAPPER}\n{LATE}", f"import aiter.ops.triton.pa_mqa_logits\n{LATE}"):
        assert faulty.answer(start + script) == [1, True, True, False]


def test_a_kernel_module_that_is_imported_after_its_wrapper_is_watched_for(tmp_path: Path) -> None:
    world = lay_out(tmp_path)
    wrapper = world.file(WRAPPER)
    text = wrapper.read_text()
    start = text.index(f"from {GLUON} import (")
    late = text[start : text.index(")\n", start) + 2]
    inside = "    global _gluon_deepgemm_fp8_paged_mqa_logits, _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle\n"
    inside += f"    from {GLUON} import _gluon_deepgemm_fp8_paged_mqa_logits\n"
    inside += f"    from {GLUON} import _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle\n"
    wrapper.write_text(text.replace(late, "").replace("@lru_cache", f"def first():\n{inside}\n\n@lru_cache"))
    script = f"import {WRAPPER} as wrapper; print(json.dumps([aiterfix.launches().watched, wrapper.first(), seen() or logits() and seen()]))"
    watched, _, found = world.answer(EARLY + script)
    assert watched == []
    assert [f[1] for f in found] == ["reached"]


REQUIRE = """
hook = aiterfix.install_hook(mode="require")
"""


def test_require_raises_before_the_launch_every_time_and_goes_with_the_mode(faulty: World) -> None:
    script = """
launched = []
engine.taken.__wrapped__.__globals__["_compile_deepgemm_fp8_paged_mqa_logits"] = lambda *a: launched.append(a) or type("K", (), {"hash": ""})
def attempt(**given):
    try:
        logits(**given)
    except Exception as error:
        return [type(error).__name__, type(error).__mro__[1].__name__, str(error)]
    return len(launched)
first = attempt()
hook = aiterfix.install_hook(mode="require")
refused = [attempt(), attempt(), attempt(behind=256)]
hook.uninstall()
print(json.dumps([first, refused, attempt(), [s[2] for s in seen()]]))
"""
    first, (one, two, spared), after, actions = faulty.answer(EARLY + script)
    assert first == 1 and spared == 2 and after == 3
    assert one == two and one[:2] == ["FaultyLaunchError", "AiterfixError"]
    assert "column-bound" in one[2] and "width 1000" in one[2] and "What to do:" in one[2]
    assert actions == ["launched", "launched"], "the last of them is what is in force"


@pytest.mark.parametrize("first", ["Whole(1000)", "1000.0", "1000"])
def test_a_number_of_another_type_decides_nothing_for_the_calls_behind_it(faulty: World, first: str) -> None:
    """Numbers of numpy and of Python are equal, and one key; a whole number is read whatever its type."""
    script = f"""
hook = aiterfix.install_hook(mode="require")
class Whole(int):
    pass
def attempt(width, **more):
    try:
        logits(width=width, out=Tensor(2, 1000), **more)
    except Exception as error:
        return type(error).__name__
    return "launched"
class Truth:  # as numpy's
    def __bool__(self):
        return True
    __and__ = __bool__
print(json.dumps([attempt({first}), attempt(1000), attempt(1000, Preshuffle=Truth()), attempt(1000, ChunkK={first}), attempt(1000)]))
"""
    found = faulty.answer(EARLY + script)
    refused = "FaultyLaunchError"
    assert found[1:3] == [refused] * 2 and found[4] == refused
    assert first == "1000.0" or found[0] == refused


def test_a_mode_that_is_asked_for_at_start_refuses_the_import_itself(faulty: World) -> None:
    done = faulty.attempt(EARLY + "logits()", AITERFIX="require")
    assert done.returncode and "UnpatchedKernelError" in done.stderr


BROKEN = """
from aiterfix.importing import guard
def broken(*_): raise ValueError("no such thing")
guard.facts_of = broken
"""


def test_a_fault_of_the_guard_never_becomes_the_hosts(faulty: World) -> None:
    for part in ("facts_of", "judge_launch", "judge_process", "seen.note", "log.emit", "ledger.once", "_gpu"):
        script = f"""
from aiterfix.importing import guard
guard._there.clear()
def broken(*_, **__): raise ValueError("no such thing")
guard.{part} = broken
print(json.dumps(["OutLogits_buffer" in logits(), "OutLogits_buffer" in logits()]))
"""
        done = faulty.run(EARLY + script)
        assert json.loads(done.stdout.splitlines()[-1]) == [True, True], part


def test_a_fault_of_the_guard_is_said_once_and_stops_a_launch_under_require(faulty: World) -> None:
    lines = warnings(faulty, f"{BROKEN}logits(); logits(width=7)")
    assert len(lines) == 1 and "was not judged: ValueError: no such thing" in lines[0]
    done = faulty.attempt(EARLY + BROKEN + REQUIRE + "logits()")
    assert done.returncode and "FaultyLaunchError" in done.stderr and "the guard failed" in done.stderr


def test_at_most_4096_combinations_are_kept_and_the_rest_is_counted(faulty: World) -> None:
    script = """
for width in range(1000, 5200):
    logits(width=width)
found = aiterfix.launches()
logits(width=1000); logits(width=5199)
print(json.dumps([len(found.seen), found.dropped, len(aiterfix.launches().seen)]))
"""
    assert faulty.answer(EARLY + script) == [4096, 104, 4096]


def test_threads_and_forked_children(faulty: World) -> None:
    script = """
import os, threading
from aiterfix.importing import seen as registry
threads = [threading.Thread(target=lambda: [logits(width=w) for w in range(1000, 1100)]) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
registry._registry.lock.acquire()
pid = os.fork()
if not pid:
    try:
        logits(width=3000)
        found = aiterfix.launches()
        print(json.dumps([len(found.seen), len({s.pid for s in found.seen})]), flush=True)
    finally:
        os._exit(0)
os.waitpid(pid, 0)
registry._registry.lock.release()
print(json.dumps([len(aiterfix.launches().seen)]))
"""
    done = faulty.run("import warnings; warnings.simplefilter('ignore')\n" + EARLY + script)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[101, 2], [100]]


def test_status_tells_what_was_seen(faulty: World) -> None:
    script = """
logits()
found = aiterfix.status().launches
print(json.dumps([found == aiterfix.launches(), found.watched, found.dropped, found.not_watched, len(found.seen)]))
"""
    same, watched, dropped, said, seen = faulty.answer(EARLY + script)
    assert same and watched == [NAME] and (dropped, seen) == (0, 1) and "not watched" in said


@pytest.mark.parametrize("way", ["clean", "faulty"])
def test_a_list_is_recorded_whatever_is_left(request: pytest.FixtureRequest, way: str, tmp_path: Path) -> None:
    world: World = request.getfixturevalue(way)
    file = tmp_path / "list.jsonl"
    script = "logits(); logits(); logits(width=1024); by_head()\nprint(json.dumps(aiterfix.launches().watched))"
    watched = world.answer(EARLY + script, AITERFIX_RECORD=str(file))
    assert watched == [NAME, f"{NAME}_stage1"]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["launch"]["entry"] for line in lines] == [ENTRY, ENTRY, f"{ENTRY}_stage1"]
    assert lines[0]["launch"]["facts"]["width"] == 1000 and lines[0]["module"] == WRAPPER
    assert lines[0]["outcome"] == ("reached" if way == "faulty" else "not-reached")
    assert file.stat().st_mode & 0o777 == 0o600
    world.answer(EARLY + script, AITERFIX_RECORD=str(file))
    assert len(file.read_text().splitlines()) == 6, "each process adds its own"


def test_a_list_that_cannot_be_written_is_said_once(clean: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("kept\n")
    link = tmp_path / "link"
    link.symlink_to(other)
    for place, why in ((link, "not recorded"), (tmp_path / "missing/list", "not recorded"), (tmp_path, "not recorded")):
        done = clean.run(EARLY + "logits(); logits(width=7)", AITERFIX_RECORD=str(place), AITERFIX_LOG="info")
        (line,) = [line for line in done.stderr.splitlines() if "AITERFIX_RECORD" in line]
        assert why in line and str(place) in line
    assert other.read_text() == "kept\n"


def test_off_watches_nothing(faulty: World, tmp_path: Path) -> None:
    file = tmp_path / "list"
    script = f"{EARLY}logits()\nprint(json.dumps([aiterfix.launches().watched, seen()]))"
    assert faulty.answer(script, AITERFIX="off", AITERFIX_RECORD=str(file)) == [[], []]
    assert not file.exists()


# ---- this project's kernel for some launches ------------------------------------------------------

OWN = """
from aiterfix.importing import substitute
ours = []
def own(q_fp8, kv_cache, weights, out_logits, context_lens, kv_indices, max_model_len, Preshuffle=False, KVBlockSize=1,
        ChunkK=256, TotalCuCount=None, WavePerEU=2, VarCtxSchedule=None):
    ours.append(max_model_len)
    return "ours"
substitute._load = lambda: type("module", (), {"deepgemm_fp8_paged_mqa_logits": staticmethod(own)})
"""


def test_our_kernel_takes_what_is_not_shown_to_be_right(faulty: World) -> None:
    script = f"""{OWN}
found = [logits() == "ours", logits() == "ours", logits(behind=256) == "ours", logits(width=1024) == "ours"]
print(json.dumps([found, ours, seen()]))
"""
    found, ours, seen = faulty.answer(EARLY + script, AITERFIX_KERNEL="guard")
    assert found == [True, True, False, True] and ours == [1000, 1000, 1024]
    assert [s[1:3] for s in seen] == [["reached", "own-kernel"], ["not-reached", "launched"], ["depends", "own-kernel"]]
    (line,) = warnings(faulty, f"{OWN}logits()", AITERFIX_KERNEL="guard")
    assert "AITERFIX_KERNEL=guard" in line and "no AMD GPU" in line
    assert [s[2] for s in outcomes(faulty, f"{OWN}logits()", AITERFIX_KERNEL="0")] == ["launched"]


def test_our_kernel_that_does_not_take_all_is_said(tmp_path: Path) -> None:
    world = lay_out(tmp_path, PARAMETERS + ", Sink=None")
    done = world.run(EARLY + OWN + "assert logits() != 'ours'", AITERFIX_KERNEL="guard", AITERFIX_LOG="info")
    (line,) = [line for line in done.stderr.splitlines() if "cannot be carried out" in line]
    assert NAME in line and "does not take Sink" in line


@TORCH
def test_our_kernel_itself_takes_the_call(tmp_path: Path) -> None:
    """What it does not take it refuses, as in the place of all calls."""
    pytest.importorskip("triton", reason="the kernel needs it")
    script = f"""{WITH_TORCH}
for width, behind in ((1000, 0), (1000, 256)):
    try:
        engine.taken(*tensors(width, behind), width, Preshuffle=True, KVBlockSize=64)
        print(json.dumps(""))
    except ValueError as error:
        print(json.dumps(str(error)))
print(json.dumps([s.action.value for s in aiterfix.launches().seen]))
"""
    world = lay_out(tmp_path, triton=True)
    path = world.file(WRAPPER)
    path.write_text(path.read_text() + SIMPLE)
    refused, made, actions = map(json.loads, world.run(script, AITERFIX_KERNEL="guard").stdout.splitlines())
    assert "q_fp8 must be fp8" in refused and made == "" and actions == ["own-kernel", "launched"]


def test_what_no_kernel_is_made_for_our_kernel_is_not_asked(faulty: World) -> None:
    """It would end the host by an exception."""
    script = f"{EARLY}{OWN}found = logits(out=Tensor(2, 900)) == 'ours'\nprint(json.dumps([found, seen()]))"
    found, ((_, outcome, action, _, _),) = faulty.answer(script, AITERFIX_KERNEL="guard")
    assert (found, outcome, action) == (False, "unknown", "launched")


def test_our_kernel_takes_a_launch_that_could_not_be_judged(faulty: World) -> None:
    assert faulty.answer(f"{EARLY}{OWN}{BROKEN}print(json.dumps(logits()))", AITERFIX_KERNEL="guard") == "ours"


@pytest.mark.parametrize("value", ["Guard", "gaurd", "guard,1", "2"])
def test_a_misspelt_value_does_not_fail_open(faulty: World, value: str) -> None:
    done = faulty.attempt(f"import aiterfix; aiterfix.install_hook()\nimport {WRAPPER}", AITERFIX_KERNEL=value)
    assert done.returncode and "StoppedImportError" in done.stderr and "none of 0, 1, guard" in done.stderr


# ---- with torch -----------------------------------------------------------------------------------

WITH_TORCH = f"""
import json, sys, torch, aiterfix
aiterfix.install_hook()
import engine
import {WRAPPER} as wrapper
def tensors(width=1000, behind=0):
    q, cache = torch.zeros(2, 1, 64, 128, dtype=torch.uint8), torch.zeros(8, 64, 1, 132, dtype=torch.uint8)
    lengths, table = torch.zeros(2, dtype=torch.int32), torch.zeros(2, 16, dtype=torch.int32)
    return q, cache, torch.zeros(2, 64), torch.zeros(2, width + behind)[:, :width], lengths, table
"""
COMPILED = """
def f(*a):
    engine.taken(*a, 1000, Preshuffle=True, KVBlockSize=64)
    return a[3] + 1
compiled = torch.compile(f, fullgraph=True, backend="eager")
made = compiled(*tensors())
before = len(aiterfix.launches().seen)
engine.taken(*tensors(), 1000, Preshuffle=True, KVBlockSize=64)
@torch.library.custom_op("engine::score", mutates_args=("out",))
def score(q: torch.Tensor, cache: torch.Tensor, weights: torch.Tensor, out: torch.Tensor, lengths: torch.Tensor,
          table: torch.Tensor) -> None:
    engine.taken(q, cache, weights, out, lengths, table, 999, Preshuffle=True, KVBlockSize=64)
score.register_fake(lambda *a: None)
def g(*a):
    score(*a)
    return a[3] + 1
again = torch.compile(g, fullgraph=True, backend="eager")(*tensors())
print(json.dumps([float(made[0, 0]), before, float(again[0, 0]),
                  [s.judgement.launch.facts.width for s in aiterfix.launches().seen]]))
"""
SIMPLE = f"""

def {ENTRY}({PARAMETERS}):
    out_logits.add_(2)
"""


@TORCH
def test_while_dynamo_traces_the_function_alone_is_called(tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="dynamo looks into Triton where it finds one")
    world = lay_out(tmp_path, triton=True)
    path = world.file(WRAPPER)
    path.write_text(path.read_text() + SIMPLE)
    script = "import warnings; warnings.simplefilter('ignore')\n" + WITH_TORCH + COMPILED
    # A custom operator makes a call, which is watched.
    assert world.answer(script) == [3.0, 0, 3.0, [1000, 999]]


@TORCH
def test_tensors_of_torch(faulty: World, torch_python: str) -> None:
    script = f"""{WITH_TORCH}
call = lambda *a, **k: engine.taken(*a, Preshuffle=True, KVBlockSize=64, **k)
call(*tensors(), 1000)
call(*tensors(behind=256), max_model_len=1000)
q, cache, weights, _, lengths, table = tensors()
# Strides of a padded row, and memory that ends with its last column.
tight = torch.empty_strided((2, 1000), (1256, 1))
call(q, cache, weights, tight, lengths, table, 1000)
call(q, cache, weights, torch.zeros(64, 2, 1000), lengths, table, 1000)
call(q, cache[:, :, :, :132].to(torch.int32)[::2], weights, tight, lengths, table, 1000)
print(json.dumps([[s.judgement.outcome.value, s.judgement.launch.facts.padding, s.judgement.launch.facts.output_inner,
                   s.judgement.launch.facts.block_stride, s.judgement.launch.gpu] for s in aiterfix.launches().seen]))
"""
    assert replace(faulty, python=(torch_python,)).answer(script) == [
        ["reached", 0, 1, 64 * 132, ""],
        ["not-reached", 256, 1, 64 * 132, ""],
        ["reached", 0, 1, 64 * 132, ""],
        ["depends", None, 2, 64 * 132, ""],
        ["unknown", 0, 1, 2 * 64 * 132 * 4, ""],  # such a cache is taken apart by its bytes
    ]


@TORCH
def test_inputs_are_part_of_what_a_call_is_looked_up_by(faulty: World, torch_python: str) -> None:
    """Each of these agrees with the first call in everything else."""
    script = f"""{WITH_TORCH}
q, cache, weights, out, lengths, table = tensors(behind=256)
call = lambda **k: engine.taken(**{{**dict(q_fp8=q, kv_cache=cache, weights=weights, out_logits=out, context_lens=lengths,
                                           kv_indices=table, max_model_len=1000), **k}}, Preshuffle=True, KVBlockSize=64)
call()
call(kv_indices=torch.zeros(2, 32, dtype=torch.int32)[:, :16])
call(kv_indices=table.long())
call(context_lens=torch.zeros(4, dtype=torch.int32)[::2])
call(context_lens=lengths.long())
call(weights=torch.zeros(64, 2).t())
call(weights=weights.half())
call(q_fp8=torch.zeros(2, 1, 64, 256, dtype=torch.uint8)[..., ::2])
call(q_fp8=q.half())
call(kv_indices=torch.empty(2, 1 << 28, dtype=torch.int32, device="meta"))
call(kv_indices=torch.empty(2, (1 << 28) + 1, dtype=torch.int32, device="meta"))
print(json.dumps([[s.judgement.outcome.value, s.judgement.launch.facts.misread, s.judgement.launch.facts.mistyped,
                   s.judgement.launch.facts.table_elements] for s in aiterfix.launches().seen]))
"""
    assert replace(faulty, python=(torch_python,)).answer(script) == [
        ["not-reached", None, None, None],
        ["unknown", 8, None, None],
        ["unknown", None, 8, None],
        ["unknown", 4, None, None],
        ["unknown", None, 4, None],
        ["unknown", 2, None, None],
        ["unknown", None, 2, None],
        ["unknown", 1, None, None],
        ["unknown", None, 1, None],
        ["unknown", None, None, (1 << 29) + 2],
    ]


@TORCH
def test_a_tensor_in_the_place_of_a_number_is_not_held_on_to(faulty: World, torch_python: str) -> None:
    script = f"""{WITH_TORCH}
import gc, weakref
width = torch.tensor(1000)
for _ in range(2):
    engine.taken(*tensors(), width, Preshuffle=True, KVBlockSize=64)
gone = weakref.ref(width)
del width
gc.collect()
(seen,) = aiterfix.launches().seen
print(json.dumps([gone() is None, seen.judgement.outcome.value, seen.judgement.launch.facts.width]))
"""
    assert replace(faulty, python=(torch_python,)).answer(script) == [True, "depends", None]


def test_stage1_is_watched_by_its_own_layout(tmp_path: Path) -> None:
    world = lay_out(tmp_path, patchable=True)
    path = world.file(STAGE1)
    path.write_text(path.read_text() + "\f\n")
    calls = "by_head(); by_head(width=1024, behind=256); by_head(block=64, width=1024, behind=256); logits()"
    found = outcomes(world, calls)
    assert [f[0] for f in found] == [f"{ENTRY}_stage1"] * 3 + [ENTRY]
    # The module has the main function's plain kernel too, which preshuffled caches never come to.
    assert [f[1] for f in found] == ["reached", "not-reached", "not-reached", "not-reached"]
    assert found[0][4]["heads"] == 64 and found[0][4]["row_stride"] == 1000 and found[1][4]["padding"] == 256
    assert [f[4]["kv_block_size"] for f in found[1:3]] == [1, 64]
