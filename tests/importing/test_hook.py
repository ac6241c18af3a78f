"""The hook in fresh processes: what is imported, what people see of it, and what it leaves alone."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from tests.importing.world import BASE, GLUON, OLD_WRAPPER, SOURCE, STAGE1, UNGUARDED, WRAPPER, World, mended

TRIES = """
import json, sys
import aiterfix
hook = aiterfix.install_hook()
"""
SAY = """
import {wrapper} as wrapper
found = aiterfix.status()
print(json.dumps({{
    "text": wrapper.deepgemm_fp8_paged_mqa_logits(),
    "states": {{m.module: m.state.value for m in found.modules}},
    "reasons": {{m.module: m.reason for m in found.modules}},
    "safe": found.safe,
}}))
"""
BOUND = "(column < max_model_len)"


def test_without_the_hook_the_kernel_is_unguarded(world: World) -> None:
    found = world.answer(f"import json\nimport {WRAPPER} as w\nprint(json.dumps(w.deepgemm_fp8_paged_mqa_logits()))")
    assert UNGUARDED in found
    assert BOUND not in found


@pytest.mark.parametrize("wrapper", [WRAPPER, OLD_WRAPPER])
def test_the_wrapper_gets_the_patched_kernel_under_both_of_its_names(world: World, wrapper: str) -> None:
    found = world.answer(TRIES + SAY.format(wrapper=wrapper))
    assert UNGUARDED not in found["text"]
    assert BOUND in found["text"]
    assert found["states"] == {GLUON: "patched", STAGE1: "patched"}
    assert found["safe"] is True


def test_nothing_is_written_at_import(world: World) -> None:
    before = world.files()
    world.run(TRIES + f"import {WRAPPER}", PYTHONDONTWRITEBYTECODE="1")
    assert world.files() == before
    # With bytecode allowed, the patched modules alone leave none: theirs would be found by an unhooked process.
    world.run(TRIES + f"import {WRAPPER}")
    caches = {name for name in world.files() if name.endswith(".pyc")}
    assert any("triton/attention/__pycache__/pa_mqa_logits" in n for n in caches)
    assert not any(
        "gluon/__pycache__/pa_mqa_logits" in n or "_triton_kernels/attention/__pycache__/pa_mqa" in n for n in caches
    )


def test_everything_that_shows_source_shows_the_patched_text(world: World) -> None:
    with world.file(GLUON).open("a") as file:
        file.write("\n\ndef fails():\n    raise ValueError('here')  # the last line\n")
    found = world.answer(
        TRIES
        + f"""
import inspect, linecache, os, traceback, {GLUON} as m
kernel = getattr(m, {BASE!r})
try:
    m.fails()
except ValueError as error:
    trace = traceback.format_exc()
    frame = error.__traceback__.tb_next.tb_frame
linecache.checkcache()
linecache.clearcache()
print(json.dumps(dict(
    module=inspect.getsource(m), function=inspect.getsource(kernel.fn), frame=inspect.getsource(frame),
    code=inspect.getsource(kernel.fn.__code__), trace=trace, file=m.__file__, exists=os.path.exists(m.__file__),
    same=kernel.fn.__code__.co_filename == m.__file__, sourcefile=inspect.getsourcefile(kernel.fn),
    loader=m.__loader__.get_source(m.__name__), spec=m.__spec__.loader is m.__loader__, origin=m.__spec__.origin)))
"""
    )
    for text in (found["module"], found["function"], found["code"], found["loader"]):
        assert BOUND in text
        assert UNGUARDED not in text
    assert "raise ValueError('here')  # the last line" in found["trace"]
    assert found["frame"].startswith("def fails")
    assert (found["exists"], found["same"], found["spec"]) == (False, True, True)
    assert found["sourcefile"] == found["file"]
    assert Path(found["file"]).parent == world.file(GLUON).parent
    assert found["origin"] == str(world.file(GLUON))


def test_reload_keeps_the_patched_text_and_reads_the_file_anew(world: World) -> None:
    found = world.answer(
        TRIES
        + f"""
import importlib, pathlib, {GLUON} as m
path = pathlib.Path(m.__spec__.origin)
first = m.__file__
path.write_text(path.read_text() + "\\nADDED = 1\\n")
again = importlib.reload(m)
print(json.dumps([again is m, m.ADDED, first != m.__file__, getattr(m, {BASE!r}).src]))
"""
    )
    assert found[:3] == [True, 1, True]
    assert BOUND in found[3]


def test_a_reload_without_the_hook_is_not_reported_as_patched(world: World) -> None:
    found = world.answer(
        TRIES
        + f"""
import importlib, {GLUON} as m
hook.uninstall()
importlib.reload(m)
print(json.dumps([getattr(m, {BASE!r}).src, [x.state.value for x in aiterfix.status().modules]]))
"""
    )
    assert UNGUARDED in found[0]
    assert found[1] == ["unpatched"]


def test_functions_of_a_patched_module_pickle_by_reference(world: World) -> None:
    with world.file(GLUON).open("a") as file:
        file.write("\n\ndef twice(x):\n    return 2 * x\n")
    found = world.answer(
        TRIES + f"import pickle, {GLUON} as m\nf = pickle.loads(pickle.dumps(m.twice))\n"
        "print(json.dumps([f is m.twice, f(4)]))"
    )
    assert found == [True, 8]


def test_a_forked_child_has_the_hook(world: World) -> None:
    found = world.answer(
        TRIES
        + f"""
import os
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    import {WRAPPER} as wrapper
    os.write(w, wrapper.deepgemm_fp8_paged_mqa_logits().encode())
    os._exit(0)
os.close(w)
os.waitpid(pid, 0)
print(json.dumps(os.fdopen(r).read()))
"""
    )
    assert BOUND in found


def test_spawned_children_are_not_covered_by_a_call_and_that_is_said(world: World, tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        f"""
import json, multiprocessing, sys

def child(queue):
    import {WRAPPER} as wrapper
    queue.put(wrapper.deepgemm_fp8_paged_mqa_logits())

if __name__ == "__main__":
    import aiterfix
    if sys.argv[1] == "call":
        aiterfix.install_hook()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    text = queue.get(timeout=60)
    process.join()
    print(json.dumps([text, aiterfix.status().children]))
"""
    )
    text, children = world.answer(
        f"import runpy, sys; sys.argv[1:] = ['call']; runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    assert UNGUARDED in text
    assert "spawned ones are not" in children
    done = world.run(
        f"""
        from aiterfix.cli import main
        import sys
        main(["run", "--", sys.executable, {str(script)!r}, "run"])
        """
    )
    text, children = json.loads(done.stdout.splitlines()[-1])
    assert BOUND in text
    assert "covered by `aiterfix run`" in children


def test_clean_source_is_left_alone(world: World) -> None:
    for module in (GLUON, STAGE1):
        world.file(module).write_bytes(mended(world.file(module).read_bytes()))
    found = world.answer(
        TRIES
        + f"""
import {WRAPPER}, {GLUON} as m
print(json.dumps([m.__file__, type(m.__loader__).__name__, type(m.__spec__.loader).__name__,
                  [x.state.value for x in aiterfix.status().modules]]))
"""
    )
    assert found == [str(world.file(GLUON)), "SourceFileLoader", "SourceFileLoader", ["clean", "clean"]]


def spoil(world: World, how: str) -> str:
    """Make the Gluon module one that cannot be patched; the words that say why."""
    path = world.file(GLUON)
    text = path.read_text()
    if how == "unknown":
        path.write_text(
            text.replace("column >= 0,", "column >= 0, **{},").replace(
                "gl.amd.cdna3.buffer_store(\n            value,",
                "gl.amd.cdna3.buffer_store(\n            *(value,),",
                1,
            )
        )
        return "not understood"
    if how == "form feed":
        path.write_text(text.replace("@gluon.jit", "\f\n@gluon.jit", 1))
        return "line separators"
    if how == "rebound":
        path.write_text(text + f"\n{BASE} = {BASE}\n")
        return "not understood"
    assert how == "prebuilt"
    return "AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS"


@pytest.mark.parametrize("how", ["unknown", "form feed", "rebound", "prebuilt"])
def test_what_cannot_be_patched_is_left_alone_and_said_once(world: World, how: str) -> None:
    words = spoil(world, how)
    variables = {"AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS": "1"} if how == "prebuilt" else {}
    done = world.run(
        TRIES + SAY.format(wrapper=WRAPPER) + f"import {OLD_WRAPPER}, importlib\naiterfix.install_hook()", **variables
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert UNGUARDED.split(",")[0] in found["text"]
    assert found["states"] == {GLUON: "unpatched", STAGE1: "patched"}
    assert words in found["reasons"][GLUON]
    assert found["safe"] is False
    assert done.stderr.count("runs unpatched") == 1, done.stderr
    assert "What to do:" in done.stderr
    assert "padding" in done.stderr


@pytest.mark.parametrize("how", ["unknown", "form feed", "rebound", "prebuilt"])
def test_require_raises_where_auto_would_warn(world: World, how: str) -> None:
    words = spoil(world, how)
    variables = {"AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS": "1"} if how == "prebuilt" else {}
    script = (
        TRIES
        + f"""
try:
    import {WRAPPER}
except ImportError:
    print(json.dumps("an ImportError would be taken for an absent aiter"))
except Exception as error:
    print(json.dumps([type(error).__name__, str(error), {WRAPPER!r} in sys.modules, {GLUON!r} in sys.modules]))
"""
    )
    name, text, *imported = world.answer(script, AITERFIX="require", **variables)
    assert name == "UnpatchedKernelError"
    assert words in text
    assert imported == [False, False]


def test_off_wins_over_everything(world: World) -> None:
    script = f"""
import json, sys, aiterfix
hook = aiterfix.install_hook(mode="require")
from aiterfix.importing.plugins import sglang, vllm
vllm(); sglang()
import {WRAPPER} as w
print(json.dumps([hook.active, aiterfix.status().standing, w.deepgemm_fp8_paged_mqa_logits()]))
"""
    active, standing, text = world.answer(script, AITERFIX="off")
    assert (active, standing) == (False, False)
    assert UNGUARDED in text


def test_uninstall_may_be_called_twice_and_spares_other_callers(world: World) -> None:
    found = world.answer(
        """
import json, sys, aiterfix
a, b = aiterfix.install_hook(), aiterfix.install_hook()
seen = [sum(type(f).__module__.startswith("aiterfix") for f in sys.meta_path)]
a.uninstall(); a.uninstall()
seen.append(aiterfix.status().standing)
b.uninstall()
seen.append(aiterfix.status().standing)
with aiterfix.install_hook() as c:
    seen.append(c.active)
seen.append(aiterfix.status().standing)
from aiterfix.importing.plugins import vllm
vllm(); vllm()
with aiterfix.install_hook(): pass
seen.append(aiterfix.status().ways)
print(json.dumps(seen))
"""
    )
    assert found == [1, True, False, True, False, ["vllm"]]


def test_zip_archives_are_left_alone_and_that_is_said(world: World, tmp_path: Path) -> None:
    archive = tmp_path / "aiter.zip"
    with zipfile.ZipFile(archive, "w") as z:
        for name, data in world.files().items():
            if name.startswith("aiter/"):
                z.writestr(name, data)
                if name.endswith("pa_mqa_logits.py"):
                    (world.site / name).unlink()
    import shutil

    shutil.rmtree(world.site / "aiter")
    script = (
        f"import sys; sys.path.insert(0, {str(archive)!r})\n"
        + TRIES
        + f"""
import {GLUON} as m
reasons = [x.reason for x in aiterfix.status().modules]
print(json.dumps([type(m.__loader__).__name__, reasons, getattr(m, {BASE!r}).src]))
"""
    )
    done = world.run(script)
    loader, reasons, text = json.loads(done.stdout.splitlines()[-1])
    assert loader == "zipimporter"
    assert "left alone" in reasons[0] and "aiter.zip" in reasons[0]
    assert UNGUARDED in text
    assert done.stderr.count("runs unpatched") == 1
    assert "UnpatchedKernelError" in world.attempt(script, AITERFIX="require").stderr


def test_a_module_that_is_a_namespace_package_is_left_alone_and_that_is_said(world: World) -> None:
    path = world.file(GLUON)
    path.unlink()
    path.with_suffix("").mkdir()
    script = (
        TRIES
        + f"""
try:
    import {WRAPPER}
except Exception as error:
    print(json.dumps(type(error).__name__))
aiterfix.install_hook()
"""
    )
    done = world.run(script)
    assert json.loads(done.stdout) == "ImportError"  # the host's own: there are no kernels in it
    assert done.stderr.count("namespace package") == 1
    assert world.answer(script + "", AITERFIX="require") == "UnpatchedKernelError"


def test_a_kernel_file_inside_a_namespace_package_is_patched(world: World) -> None:
    # Real releases have no __init__.py in _triton_kernels.
    (world.site / "aiter/ops/triton/_triton_kernels/__init__.py").unlink()
    found = world.answer(TRIES + SAY.format(wrapper=WRAPPER))
    assert found["states"][STAGE1] == "patched"


def test_bytecode_without_source_is_left_alone_and_that_is_said(world: World) -> None:
    import py_compile

    path = world.file(GLUON)
    path.write_text("VALUE = 3\n" + "".join(f"def {k}(OutLogits_buffer): return 0\n" for k in [BASE]))
    py_compile.compile(str(path), cfile=str(path.with_suffix(".pyc")))
    path.unlink()
    done = world.run(TRIES + f"import {GLUON} as m\nprint(m.VALUE)")
    assert done.stdout == "3\n"
    assert "not a source file" in done.stderr


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"# -*- coding: utf-8 -*-\r\n# \xc3\xa9\r\n"])
def test_line_endings_and_marks_survive(world: World, before: bytes) -> None:
    path = world.file(GLUON)
    text = path.read_bytes()
    path.write_bytes(before + (text.replace(b"\n", b"\r\n") if b"\r\n" in before else text))
    found = world.answer(TRIES + SAY.format(wrapper=WRAPPER))
    assert BOUND in found["text"]
    assert found["states"][GLUON] == "patched"


def test_an_error_in_the_module_itself_comes_through_unchanged(world: World) -> None:
    with world.file(GLUON).open("a") as file:
        file.write("\nimport no_such_module_anywhere\n")
    for mode in ("auto", "require"):
        found = world.answer(
            TRIES
            + f"""
try:
    import {WRAPPER}
except ModuleNotFoundError as error:
    print(json.dumps([error.name, {GLUON!r} in sys.modules, {WRAPPER!r} in sys.modules]))
""",
            AITERFIX=mode,
        )
        assert found == ["no_such_module_anywhere", False, False]


def test_threads_that_import_at_once_all_get_the_patched_kernel(world: World) -> None:
    found = world.answer(
        TRIES
        + f"""
import importlib, threading
barrier, texts, errors = threading.Barrier(16), [], []
names = [{WRAPPER!r}, {GLUON!r}, {STAGE1!r}, "json.tool"]
def work(name):
    try:
        barrier.wait()
        m = importlib.import_module(name)
        if hasattr(m, "deepgemm_fp8_paged_mqa_logits"):
            texts.append(m.deepgemm_fp8_paged_mqa_logits())
        elif hasattr(m, {BASE!r}):
            texts.append(getattr(m, {BASE!r}).src)
    except BaseException as error:
        errors.append(repr(error))
threads = [threading.Thread(target=work, args=(names[i % 4],)) for i in range(16)]
[t.start() for t in threads]
[t.join() for t in threads]
print(json.dumps([len(texts), sum({BOUND!r} in t for t in texts), errors]))
""",
    )
    assert found == [8, 8, []]


def test_sixteen_processes_that_start_together(world: World) -> None:
    import subprocess

    script = TRIES + f"import {WRAPPER} as w; print({BOUND!r} in w.deepgemm_fp8_paged_mqa_logits())"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=world.environment()
        )
        for _ in range(16)
    ]
    results = [p.communicate(timeout=120) for p in started]
    assert [(out, err) for out, err in results] == [(b"True\n", b"")] * 16


def test_the_process_says_in_one_line_what_it_patched(full_world: World) -> None:
    script = "import logging; logging.basicConfig(level=logging.INFO)\n" + TRIES + f"import {WRAPPER}, {OLD_WRAPPER}"
    lines = [x for x in full_world.run(script).stderr.splitlines() if x.startswith("INFO:aiterfix:")]
    assert len(lines) == 1
    assert (
        GLUON in lines[0] and STAGE1 in lines[0] and "column-bound in 3 places, row-offset-32 in 2 places" in lines[0]
    )


def test_another_thread_s_wrapper_does_not_keep_a_thread_from_saying_what_it_patched(world: World) -> None:
    file = world.file(WRAPPER)
    file.write_text("import builtins\nbuiltins.entered.set()\nbuiltins.go_on.wait(60)\n" + file.read_text())
    script = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        + TRIES
        + f"""
import builtins, importlib, os, threading, warnings
from aiterfix.importing import ledger
builtins.entered, builtins.go_on = threading.Event(), threading.Event()
thread = threading.Thread(target=importlib.import_module, args=({WRAPPER!r},))
thread.start()
assert builtins.entered.wait(60)
importlib.import_module({GLUON!r})
print("the other thread goes on", file=sys.stderr, flush=True)
warnings.simplefilter("ignore")  # that a process with threads forks
if os.fork() == 0:
    os._exit(ledger.at_work())  # the child has this thread only
assert os.wait()[1] == 0
builtins.go_on.set()
thread.join()
"""
    )
    lines = [x for x in world.run(script).stderr.splitlines() if x]
    assert len(lines) == 3 and lines[1] == "the other thread goes on"
    assert GLUON in lines[0] and STAGE1 not in lines[0]
    assert STAGE1 in lines[2] and GLUON not in lines[2]


def test_nothing_is_said_of_other_modules_and_unrelated_aiter(tmp_path: Path) -> None:
    # PyPI's other `aiter`, of asynchronous iterators.
    site = tmp_path / "site"
    (site / "aiter").mkdir(parents=True)
    (site / "aiter/__init__.py").write_text("from aiter.tools import one\n")
    (site / "aiter/tools.py").write_text("one = 1\n")
    done = World(site).run(
        TRIES
        + "import aiter\nprint(sorted(m for m in sys.modules if m.startswith('aiterfix.source.')), aiterfix.status().modules)",
        AITERFIX_LOG="debug",
    )
    # No part of the analysis: kernels are declared by their roles.
    assert (done.stdout, done.stderr) == ("['aiterfix.source.roles'] ()\n", "")


def test_status_judges_what_was_imported_without_the_hook(world: World) -> None:
    found = world.answer(
        f"""
import json, aiterfix, {GLUON}
s = aiterfix.status()
print(json.dumps([s.standing, [(m.module, m.state.value, m.reason) for m in s.modules], s.safe]))
"""
    )
    assert found == [False, [[GLUON, "unpatched", "imported without the hook"]], False]


def test_the_start_imports_nothing_but_itself() -> None:
    """What runs at every interpreter start: two small modules of ours, no other."""
    import subprocess

    done = subprocess.run(
        [
            sys.executable, "-I", "-S", "-c",
            f"import sys; sys.path.append({str(SOURCE)!r}); before = set(sys.modules); import os\n"
            "before |= set(sys.modules)\n"
            "from aiterfix.startup import start_from_site; start_from_site()\n"
            "print(sorted(set(sys.modules) - before))",
        ],
        capture_output=True, text=True, check=True,
        env={k: v for k, v in os.environ.items() if k != "AITERFIX"},
    )  # fmt: skip
    assert done.stdout.strip() == "['aiterfix', 'aiterfix.startup']"
