"""Compile kernels for gfx950 in a process of their own: one JSON request a line in, one JSON answer a line out.

Run by path under any interpreter that has Triton. Some source and Triton combinations end the process in an LLVM
assertion; the parent (``compile.py``) then knows which request was in flight. Standard library and Triton only, and
nothing of ``aiterfix``: the interpreter may be another environment's.
"""

import contextlib
import importlib
import io
import json
import linecache
import os
import runpy
import sys
import types
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - no pathlib before the path is cleaned


def _environment() -> dict[str, object]:
    """Triton's release, or why there is none that will do."""
    try:
        import triton
    except Exception as error:  # noqa: BLE001 - a broken installation raises anything
        return {"ok": False, "kind": "no-triton", "message": f"{type(error).__name__}: {error}"}
    version = str(triton.__version__)
    said = {"ok": True, "triton": version, "gluon": True, "fp_fusion": _fp_fusion(), "message": ""}
    try:
        importlib.import_module("triton.experimental.gluon._runtime").GluonASTSource  # noqa: B018 - presence is asked
        importlib.import_module("triton.experimental.gluon.language.amd.cdna3").buffer_store  # noqa: B018
    except Exception as error:  # noqa: BLE001 - see above
        return {**said, "gluon": False, "message": f"{type(error).__name__}: {error}"}
    return said


def _fp_fusion() -> "bool | None":
    """Whether a multiplication and an addition may become one instruction where a launch says nothing of it, asked of
    the backend as a launch asks it; None where it has no answer."""
    try:
        compiler = importlib.import_module("triton.backends.compiler")
        backend = importlib.import_module("triton.compiler.compiler").make_backend(
            compiler.GPUTarget("hip", "gfx950", 64)
        )
        return bool(backend.parse_options({}).enable_fp_fusion)
    except Exception:  # noqa: BLE001 - see above
        return None


def _load(text: str, filename: str) -> types.ModuleType:
    """The kernel file as a module. Its text is served from ``linecache``: Triton reads kernels with ``inspect``.

    The file name ends up in the code object's line table, so it is the reader's name and not a temporary one.
    """
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    module = types.ModuleType("aiterfix_kernel_source")
    module.__file__ = filename
    sys.modules[module.__name__] = module
    exec(compile(text, filename, "exec"), module.__dict__)
    return module


def _compile(request: dict[str, Any]) -> dict[str, object]:
    import triton
    from triton.backends.compiler import GPUTarget

    module = _load(request["source"], request["filename"])
    function = getattr(module, request["function"])
    if request["language"] == "gluon":
        from triton.experimental.gluon._runtime import GluonASTSource as Source
    else:
        from triton.compiler import ASTSource as Source
    source = Source(
        fn=function,
        signature=request["signature"],
        constexprs=request["constexprs"],
        attrs={(index,): attributes for index, attributes in request["attributes"]},
    )
    compiled = triton.compile(source, target=GPUTarget("hip", request["arch"], 64), options=request["options"])
    with open(request["output"], "wb") as handle:  # noqa: PTH123 - as above
        handle.write(compiled.asm["hsaco"])
    with open(request["output"] + ".ttgir", "w", encoding="utf-8") as handle:  # noqa: PTH123
        handle.write(str(compiled.asm["ttgir"]))
    metadata = {key: getattr(compiled.metadata, key, None) for key in ("name", "shared", "num_warps", "warp_size")}
    return {"ok": True, "metadata": metadata}


def _answer(request: dict[str, Any], refusals: dict[str, type[BaseException]]) -> dict[str, object]:
    """Compile; ``refusals`` holds what each file of stand-ins, installed once, raises where it knows too little."""
    try:
        stand_ins = request["stand_ins"]
        if stand_ins is not None and stand_ins not in refusals:
            offered = runpy.run_path(stand_ins)
            refusals[stand_ins] = offered["StandInUsedError"]
            offered["install"]()
        return _compile(request)
    except BaseException as error:  # noqa: BLE001 - the compiler raises anything, SystemExit too
        chain: list[str] = []
        seen: BaseException | None = error
        while seen is not None and len(chain) < 6:
            chain.append(f"{type(seen).__name__}: {seen}")
            if isinstance(seen, tuple(refusals.values())):
                return {"ok": False, "kind": "stand-in", "message": str(seen)}
            seen = seen.__cause__ or seen.__context__
        return {"ok": False, "kind": "compiler", "message": "\n".join(reversed(chain))}


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the compiler and the kernel file may print; answers have a channel of their own
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != HERE]  # noqa: PTH100
    refusals: dict[str, type[BaseException]] = {}

    def send(answer: dict[str, object]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    send(_environment())
    for line in sys.stdin:
        captured = io.StringIO()
        with contextlib.redirect_stdout(captured):
            answer = _answer(json.loads(line), refusals)
        send(answer)


if __name__ == "__main__":
    main()
