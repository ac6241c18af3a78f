from __future__ import annotations

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.family.signature import Kernel, KernelConfig, make_request
from aiterfix.gfx950.cache import CodeObjectCache
from aiterfix.gfx950.compile import CompileError, Compiler, CompilerDiedError, last_words, load_prebuilt
from aiterfix.gfx950.request import CompileRequest

SOURCE = (Path(__file__).parents[1] / "data" / "sample_kernels.py").read_bytes()
NAME = "aiter/gluon/sample_kernels.py"


GLUON = {
    "triton/experimental/gluon/_runtime.py": "GluonASTSource = dict",
    "triton/experimental/gluon/language/amd/cdna3.py": "buffer_store = None",
    "triton/backends/compiler.py": "class GPUTarget:\n    def __init__(self, *a): pass\n",
}


def request(source: bytes = SOURCE) -> CompileRequest:
    return make_request(source, NAME, Kernel.PRESHUFFLE, KernelConfig())


STUB = replace(request(), source=f"def {request().function}(): pass\n".encode())


def a_python_with(tmp_path: Path, triton: str, *, gluon: bool = False) -> str:
    """An interpreter whose ``triton`` is what a test says it is."""
    files = {"triton/__init__.py": triton, **(GLUON if gluon else {})}
    modules = tmp_path / "modules"
    for name, text in files.items():
        path = modules / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{modules}" exec "{sys.executable}" "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def compiler(tmp_path: Path, python: str | None = None, timeout: float = 120) -> Compiler:
    return Compiler(python=python, cache=CodeObjectCache(tmp_path / "cache"), timeout=timeout)


def test_compiles_with_the_triton_that_is_installed(tmp_path: Path) -> None:
    triton = pytest.importorskip("triton", reason="needs Triton 3.6 or later")
    with compiler(tmp_path) as made:
        assert made.triton == triton.__version__
        kernel = made.compile(request())
        assert kernel.code.startswith(b"\x7fELF") and b"gfx950" in kernel.code
        assert NAME.rsplit("/", 1)[0].encode() in kernel.code, "the line table holds the reader's file name"
        assert str(tmp_path).encode() not in kernel.code
        assert "ttg.module" in kernel.ttgir or "module attributes" in kernel.ttgir
        assert (kernel.function, kernel.threads) == (Kernel.PRESHUFFLE.function, 256)
        assert kernel.arguments == request().arguments

        entry = made.cache.path(made.key(request()))
        entry.write_bytes(entry.read_bytes()[:-7])
        again = made.compile(request())
        assert again == kernel, "a damaged entry is compiled again"

        made.close_child()
        made._ask = None  # type: ignore[method-assign, assignment] # from here on only the cache can answer
        assert made.compile(request()) == kernel

        broken = request(SOURCE.replace(b"gl.maximum(dots", b"gl.no_such_function(dots"))
    with compiler(tmp_path) as made, pytest.raises(CompileError, match="refuses aiter/gluon/sample_kernels") as caught:
        made.compile(broken)
    assert "no_such_function" in caught.value.why
    assert f"with Triton {triton.__version__}" in caught.value.what and "h64-b64" in caught.value.what


def test_keys_tell_apart_what_compiles_differently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = a_python_with(tmp_path, "__version__ = '3.6.0'")
    with compiler(tmp_path, python) as made:
        keys = {
            made.key(request()),
            made.key(request(SOURCE + b"\n")),
            made.key(make_request(SOURCE, NAME, Kernel.PRESHUFFLE, KernelConfig(heads=32))),
            made.key(make_request(SOURCE, NAME, Kernel.PRESHUFFLE, KernelConfig(out_stride="i32"))),
        }
        monkeypatch.setenv("AMDGCN_USE_BUFFER_OPS", "0")
        keys.add(made.key(request()))
        assert len(keys) == 5
        monkeypatch.setenv("TRITON_CACHE_DIR", "/elsewhere")
        assert made.key(request()) in keys


def test_whether_products_and_sums_are_fused_is_asked_of_triton_as_a_launch_asks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton", reason="needs Triton 3.6 or later")
    said = {}
    for value in ("1", "0"):
        monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", value)
        with compiler(tmp_path) as made:
            said[value] = (made.fp_fusion, made.key(request()), made.compile(request()).sha256)
    assert (said["1"][0], said["0"][0]) == (True, False)
    assert said["1"][1] != said["0"][1] and said["1"][2] != said["0"][2]


BACKEND = """
class Backend:
    def parse_options(self, given):
        assert given == {}
        return type("Options", (), {"enable_fp_fusion": FUSES})
def make_backend(target):
    return Backend()
"""


@pytest.mark.parametrize(("fuses", "said"), [("True", True), ("False", False), ("1 // 0", None)])
def test_builds_of_one_number_that_fuse_otherwise_have_other_keys(
    tmp_path: Path, fuses: str, said: bool | None
) -> None:
    python = a_python_with(tmp_path, "__version__ = '3.10.0'", gluon=True)
    with compiler(tmp_path, python) as made:
        assert made.fp_fusion is None  # there is no backend to ask
        before = made.key(request())
    (tmp_path / "modules/triton/compiler").mkdir()
    (tmp_path / "modules/triton/compiler/compiler.py").write_text(BACKEND.replace("FUSES", fuses))
    with compiler(tmp_path, python) as made:
        assert made.fp_fusion is said
        assert (made.key(request()) == before) is (said is None)


def test_a_warning_of_the_compiler_s_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton 3.9.0 gives one where a launch says nothing of fusion."""
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    python = a_python_with(tmp_path, "__version__ = '3.9.0'", gluon=True)
    (tmp_path / "modules/triton/compiler").mkdir()
    warns = "import warnings\n" + BACKEND.replace("FUSES", "warnings.warn('the default will change') or True")
    (tmp_path / "modules/triton/compiler/compiler.py").write_text(warns)
    with compiler(tmp_path, python) as made:
        assert made.fp_fusion is True


def test_no_triton_says_what_to_install(tmp_path: Path) -> None:
    python = a_python_with(tmp_path, "raise ImportError('libamd is missing')")
    with compiler(tmp_path, python) as made, pytest.raises(EnvironmentProblem, match="no Triton in") as caught:
        made.compile(request())
    assert "libamd is missing" in caught.value.why and "pip install 'triton" in caught.value.remedy
    assert caught.value.exit_code == 4


def test_a_triton_without_gluon_says_so(tmp_path: Path) -> None:
    python = a_python_with(tmp_path, "__version__ = '3.2.0'")
    with compiler(tmp_path, python) as made, pytest.raises(EnvironmentProblem, match=r"3\.2\.0.* has no Gluon"):
        made.compile(request())


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    with compiler(tmp_path, str(tmp_path / "nowhere")) as made, pytest.raises(EnvironmentProblem, match="cannot run"):
        made.compile(request())


def test_an_interpreter_that_dies_at_once(tmp_path: Path) -> None:
    python = a_python_with(tmp_path, "import os; os.write(2, b'illegal instruction'); os.abort()")
    with compiler(tmp_path, python) as made, pytest.raises(EnvironmentProblem, match="SIGABRT") as caught:
        made.compile(request())
    assert "illegal instruction" in caught.value.why


def test_a_division_by_zero_in_the_compiler_is_kept_and_not_tried_again(tmp_path: Path) -> None:
    text = (
        "import os, signal\n__version__ = '9.9'\n"
        f"def compile(source, target, options):\n    open({str(tmp_path / 'tried')!r}, 'a').write('x')\n"
        "    os.kill(os.getpid(), signal.SIGFPE)\n"
    )
    python = a_python_with(tmp_path, text, gluon=True)
    for _ in range(2):
        with compiler(tmp_path, python) as made:
            with pytest.raises(CompilerDiedError, match="the compiler died on") as caught:
                made.compile(STUB)
            assert "signal 8, SIGFPE" in caught.value.why
    assert (tmp_path / "tried").read_text() == "x"


def test_a_compiler_that_aborts_becomes_an_error_and_the_next_request_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "import os\n__version__ = '9.9'\n"
        "def compile(source, target, options):\n"
        "    if 'ABORT' in os.environ.get('AITERFIX_TEST', ''):\n"
        "        os.write(2, b'Instructions.cpp:761: Assertion `x == y` failed.\\n#0 0x1 frame\\n')\n"
        "        os.abort()\n"
        "    raise ValueError('next')\n"
    )
    python = a_python_with(tmp_path, text, gluon=True)
    monkeypatch.setenv("AITERFIX_TEST", "ABORT")
    with compiler(tmp_path, python) as made:
        with pytest.raises(CompileError, match=r"the compiler died on aiter/gluon.*Triton 9\.9") as caught:
            made.compile(STUB)
        assert "signal 6, SIGABRT" in caught.value.why
        assert "Assertion `x == y` failed" in caught.value.why and "frame" not in caught.value.why
        monkeypatch.setenv("AITERFIX_TEST", "")
        with pytest.raises(CompileError, match="refuses") as second:
            made.compile(STUB)
        assert second.value.why.startswith("ValueError: next") and "Assertion" not in second.value.why


def test_a_compiler_that_never_answers_is_ended(tmp_path: Path) -> None:
    text = "import time\n__version__ = '9.9'\ndef compile(source, target, options):\n    time.sleep(60)\n"
    python = a_python_with(tmp_path, text, gluon=True)
    with compiler(tmp_path, python) as made:
        assert made.triton == "9.9"
        made.timeout = 1
        with pytest.raises(CompileError, match="died") as caught:
            made.compile(STUB)
    assert "SIGKILL" in caught.value.why


def test_a_kernel_file_that_uses_aiter_is_not_guessed_at(tmp_path: Path) -> None:
    python = a_python_with(tmp_path, "__version__ = '9.9'", gluon=True)
    text = b"from aiter.ops.helpers import tile_of\nWIDTH = tile_of(3)\n"
    with compiler(tmp_path, python) as made, pytest.raises(NotUnderstoodError, match="without importing") as caught:
        made.compile(replace(STUB, source=text))
    assert "aiter.ops.helpers.tile_of" in caught.value.why


def test_last_words_prefer_the_cause_to_the_stack() -> None:
    assert last_words("Stack dump:\n0. x\nfile.cpp:3: Assertion `a' failed.\n#1 frame\n#2 frame") == (
        "file.cpp:3: Assertion `a' failed."
    )
    assert last_words("one\n\n two \n") == "one\ntwo"
    assert last_words("") == "nothing"


def test_prebuilt_code_objects(tmp_path: Path) -> None:
    path = tmp_path / "k.hsaco"
    with pytest.raises(EnvironmentProblem, match="cannot read"):
        load_prebuilt(path)
    path.write_bytes(b"no elf")
    with pytest.raises(NotUnderstoodError, match="not an ELF"):
        load_prebuilt(path)
    path.write_bytes(b"\x7fELF...")
    with pytest.raises(NotUnderstoodError, match=r"k\.json beside it does not say how"):
        load_prebuilt(path)
    for beside in ("[" * 100_000, "[]", '{"name": "k", "shared": ' + "9" * 5000 + "}"):
        path.with_suffix(".json").write_text(beside)
        with pytest.raises(NotUnderstoodError, match=r"k\.json beside it does not say how"):
            load_prebuilt(path)
    path.with_suffix(".json").write_text(json.dumps({"name": "k", "shared": 8192, "num_warps": 4, "warp_size": 64}))
    kernel = load_prebuilt(path)
    assert (kernel.function, kernel.shared_bytes, kernel.threads) == ("k", 8192, 256)
