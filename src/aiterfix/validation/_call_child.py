"""Call a wrapper's public functions with tensors on the CPU, and note what they launch: one JSON request in, one answer
out.

Run by path under any interpreter that has torch. The wrapper's text is executed as it stands; of what it imports,
``torch`` is real, and ``aiter`` and ``triton`` are stand-ins: kernels note what they are handed and run nothing.
Standard library and torch only, and nothing of ``aiterfix``.
"""

import importlib.abc
import importlib.machinery
import inspect
import json
import os
import runpy
import sys
import types
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - no pathlib before the path is cleaned
HEADS, HIDDEN = 64, 128
KERNEL = "mqa_logits"
"""What is in every kernel's name."""

launched: list[dict[str, Any]] = []


class Kernel:
    """A kernel that notes its launches; ``compiled`` where it takes all of its parameters by place."""

    def __init__(self, name: str, compiled: bool = False) -> None:
        self.name, self.compiled, self.fn, self.__name__ = name, compiled, self, name
        self.hash = "00" * 32

    def __getitem__(self, grid: object) -> Any:
        def launch(*arguments: object, **named: object) -> "Kernel":
            noted = {"kernel": self.name, "compiled": self.compiled, "arguments": [_told(a) for a in arguments]}
            launched.append(noted | {"named": {name: _told(value) for name, value in named.items()}})
            return self

        return launch


def _told(value: object) -> object:
    return value if isinstance(value, (int, str)) else None


class Anything:
    """Stands for whatever of Triton a wrapper names; a call of it gives another."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()

    def __call__(self, *arguments: object, **named: object) -> Any:
        return Anything()


class Source:
    """What a wrapper makes to have a kernel compiled."""

    def __init__(self, fn: Any = None, *others: object, **named: object) -> None:
        self.fn = fn


def compile_(src: Any, *others: object, **named: object) -> Kernel:
    """In the place of ``triton.compile``."""
    return Kernel(getattr(src.fn, "name", ""), compiled=True)


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers imports of ``aiter`` and ``triton``.

    Args:
        triton: release that the wrapper is told.
        known: what ``aiter``'s helpers return, by name.
        unknown: makes what stands for everything else of it, and says so when it is used.
    """

    def __init__(self, triton: str, known: dict[str, Any], unknown: Any) -> None:
        import torch

        own = {"dtypes": types.SimpleNamespace(fp8=torch.float8_e4m3fn), **known}
        shared = {"__version__": triton, "compile": compile_, "ASTSource": Source, "GluonASTSource": Source}

        class Module(types.ModuleType):
            def __getattr__(self, name: str) -> Any:
                of_triton = self.__name__.partition(".")[0] == "triton"
                if of_triton and name in shared:
                    return shared[name]
                if name.startswith("__"):
                    raise AttributeError(name)
                if of_triton:
                    return Anything()
                if KERNEL in name and name.startswith("_"):
                    return Kernel(name)
                return own[name] if name in own else unknown(f"{self.__name__}.{name}")

        self.module = Module

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """See :class:`importlib.abc.MetaPathFinder`."""
        named = name.partition(".")[0] in ("aiter", "triton")
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if named else None

    def create_module(self, spec: Any) -> Any:
        """See :class:`importlib.abc.Loader`."""
        return self.module(spec.name)

    def exec_module(self, module: Any) -> None:
        """Nothing to run."""


def load(text: str, filename: str, triton: str, stand_ins: str) -> dict[str, Any]:
    """The names of a wrapper that was told this release of Triton."""
    for name in [n for n in sys.modules if n.partition(".")[0] in ("aiter", "triton")]:
        del sys.modules[name]
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, StandIns)]
    offered = runpy.run_path(stand_ins)
    sys.meta_path.insert(0, StandIns(triton, offered["KNOWN"], offered["StandIn"]))
    name = filename.removesuffix(".py").replace("/", ".")
    module = types.ModuleType(name)
    module.__package__ = name.rpartition(".")[0]
    importlib.import_module(module.__package__)
    exec(compile(text, filename, "exec"), module.__dict__)
    return module.__dict__


def call(names: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """One call of an entry: what was launched, or what it raised before."""
    import torch

    launched.clear()
    function, width, rows = names[asked["entry"]], asked["width"], asked["rows"]
    size = asked["block"]
    q = torch.zeros((1, rows, HEADS, HIDDEN), dtype=torch.uint8)
    cache = torch.zeros((8, size, 1, HIDDEN + 4), dtype=torch.uint8)
    weights, output = torch.zeros((rows, HEADS)), torch.zeros(asked["output"])
    lengths = torch.tensor([0, 5] if asked["ragged"] else [5], dtype=torch.int32)
    table = torch.zeros((1, 8), dtype=torch.int32)
    more = dict(asked["named"])
    if asked["schedule"]:
        more["VarCtxSchedule"] = torch.zeros(1, dtype=torch.int32)
    takes = inspect.signature(function).parameters
    if "KVBlockSize" in takes:
        more["KVBlockSize"] = size
    # Up to v0.1.6 scales came beside the keys, and the width of the table by itself.
    scales = [cache[..., HIDDEN:]] if "kv_cache_scale" in takes else []
    columns = [table.size(1)] if "max_block_len" in takes else []
    raised = ""
    try:
        function(q, cache, *scales, weights, output, lengths, table, width, *columns, **more)
    except Exception as error:  # noqa: BLE001 - what it raises is the answer
        if not launched:  # behind the launch, what is not there is ours
            raised = f"{type(error).__name__}: {error}"
    return {"raised": raised, "launched": list(launched)}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Every call that was asked for."""
    try:
        import torch

        torch.float8_e4m3fn  # noqa: B018 - presence is asked
    except Exception as error:  # noqa: BLE001 - a broken installation raises anything
        return {"ok": False, "kind": "no-torch", "message": f"{type(error).__name__}: {error}"}
    said: dict[str, Any] = {}
    loaded: dict[str, dict[str, Any]] = {}
    try:
        for name, asked in request["calls"].items():
            triton = asked["triton"]
            if triton not in loaded:
                loaded[triton] = load(request["text"], request["filename"], triton, request["stand_ins"])
            said[name] = call(loaded[triton], asked)
    except BaseException as error:  # noqa: BLE001 - a wrapper's text may raise anything, SystemExit too
        return {"ok": False, "kind": "wrapper", "message": f"{type(error).__name__}: {error}"}
    return {"ok": True, "torch": str(torch.__version__), "calls": said}


def main() -> None:
    """Answer the request on stdin."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a wrapper may print; the answer has a channel of its own
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != HERE]  # noqa: PTH100
    answers.write(json.dumps(answer(json.loads(sys.stdin.read()))))
    answers.flush()
    os._exit(0)  # taking torch apart takes half a second, and a wrapper's own endings are not asked about


if __name__ == "__main__":
    main()
