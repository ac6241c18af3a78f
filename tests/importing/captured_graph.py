"""The live guard inside a captured CUDA graph, over the plain-Triton kernels and the wrapper of an aiter tree.

Run by hand on a machine with a GPU, torch and Triton; aiter itself need not be importable::

    PYTHONPATH=src:. python -m tests.importing.captured_graph TREE

TREE holds ``aiter``. Its wrapper and kernel modules are imported from their files, unpatched, and stand-ins for all else
that they import of aiter. What is captured is the first call of its combination: the guard judges it while the stream
is being captured, with torch set to raise at any synchronisation. Prints one JSON object; exit status 0 where every
check in it holds. With ``--cpu`` nothing is captured, and TRITON_INTERPRET=1 has the kernels run on the CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import logging
import os
import sys
import timeit
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from aiterfix.family import standins
from aiterfix.family.kernels import ENTRY
from aiterfix.startup import FAMILY

WRAPPER = "aiter.ops.triton.attention.pa_mqa_logits"
SENTINEL = 12345.0
HEADS, HIDDEN, BATCH = 64, 128, 2


class Tree(standins.StandInFinder):
    """The family's modules from the files of a tree, and stand-ins for the rest of aiter."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See :meth:`importlib.abc.MetaPathFinder.find_spec`."""
        file = self.tree / (fullname.replace(".", "/") + ".py")
        if fullname in FAMILY and file.is_file():
            return importlib.util.spec_from_file_location(fullname, file)
        return super().find_spec(fullname, path, target)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """See :meth:`importlib.abc.Loader.create_module`."""
        module = super().create_module(spec)
        if spec.name in ("aiter", "aiter.dtypes"):
            kinds = types.SimpleNamespace(fp8=torch.float8_e4m3fn)
            module.__dict__.update({"dtypes": kinds, "fp8": torch.float8_e4m3fn})
        return module


class Portable:
    """A kernel without the one option that only ROCm's backend knows; for all else the kernel."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.__module__ = kernel.fn.__module__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kernel, name)

    def __getitem__(self, grid: Any) -> Callable[..., Any]:
        def launch(*given: Any, **named: Any) -> Any:
            named.pop("waves_per_eu", None)
            return self.kernel[grid](*given, **named)

        return launch


def wrapper_of(tree: Path) -> types.ModuleType:
    """The wrapper of a tree, with kernels that any backend takes."""
    sys.meta_path.insert(0, Tree(tree))
    wrapper = importlib.import_module(WRAPPER)
    for name, value in list(vars(wrapper).items()):
        if name.startswith("_deepgemm") and hasattr(value, "src"):
            setattr(wrapper, name, Portable(value))
    return wrapper


def cache_of(blocks: int, block: int, device: str) -> Any:
    """Keys of small fp8 numbers, and a scale of 0.5 for each token; random but the same in every run."""
    made = torch.Generator().manual_seed(7)
    flat = torch.zeros(blocks, block * (HIDDEN + 4), dtype=torch.uint8)
    flat[:, : block * HIDDEN] = torch.randint(0, 0x50, (blocks, block * HIDDEN), generator=made, dtype=torch.uint8)
    flat[:, block * HIDDEN :] = torch.tensor([0.5]).view(torch.uint8).repeat(blocks, block)
    return flat.view(blocks, block, 1, HIDDEN + 4).to(device)


class Case:
    """Arguments of one launch, and the memory of its output, which has room for stores past the last row."""

    def __init__(self, shape: tuple[int, ...], width: int, block: int, device: str, *, shuffled: bool) -> None:
        made = torch.Generator().manual_seed(3)
        q = torch.randint(0, 0x50, (BATCH, 1, HEADS, HIDDEN), generator=made, dtype=torch.uint8)
        blocks = -(-width // block)
        elements = 1
        for n in shape:
            elements *= n
        self.memory = torch.full((elements + 4096,), SENTINEL, device=device)
        self.lengths = torch.tensor([width, width - 7], dtype=torch.int32, device=device)
        table = torch.arange(BATCH * blocks, dtype=torch.int32).view(BATCH, blocks).to(device)
        self.given: tuple[Any, ...] = (
            q.to(device).view(torch.float8_e4m3fn),
            cache_of(BATCH * blocks, block, device),
            torch.rand(BATCH, HEADS, generator=made).to(device),
            self.memory[:elements].view(shape),
            self.lengths,
            table,
            width,
        )
        self.named: dict[str, Any] = {"Preshuffle": True, "KVBlockSize": block} if shuffled else {}
        if device == "cpu":
            self.named["TotalCuCount"] = 2  # programs run one after another there

    def run(self, function: Callable[..., Any]) -> Any:
        """Launch it on a fresh output; all of its memory, as bits."""
        self.memory.fill_(SENTINEL)
        function(*self.given, **self.named)
        return self.memory.view(torch.int32).clone()


def captured(case: Case, watched: Callable[..., Any], bare: Callable[..., Any], *, cpu: bool) -> dict[str, Any]:
    """Capture one launch through the guard, replay it, and compare with the function itself."""
    from aiterfix.importing import seen

    expected = case.run(bare)  # compiles too, which no capture allows
    # Where rows overlap, which program writes last is left to the GPU.
    same = all(torch.equal(case.run(bare), expected) for _ in range(5))
    before = len(seen.launches().seen)
    found: dict[str, Any] = {}
    case.memory.fill_(SENTINEL)
    if cpu:
        watched(*case.given, **case.named)
        replays = [case.memory.view(torch.int32).clone()]
    else:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            counts = torch.cuda.memory_stats().get("allocation.all.allocated", 0)
            torch.cuda.set_sync_debug_mode("error")
            try:
                watched(*case.given, **case.named)
            finally:
                torch.cuda.set_sync_debug_mode("default")
            found["allocations"] = torch.cuda.memory_stats().get("allocation.all.allocated", 0) - counts
        replays = []
        for _ in range(3):
            case.memory.fill_(SENTINEL)
            graph.replay()
            torch.cuda.synchronize()
            replays.append(case.memory.view(torch.int32).clone())
        case.lengths -= 100
        case.memory.fill_(SENTINEL)
        graph.replay()
        torch.cuda.synchronize()
        found["replay_with_other_lengths_equals_eager"] = torch.equal(
            case.memory.view(torch.int32).clone(), case.run(bare)
        )
        case.lengths += 100
    listed = seen.launches().seen
    written = int((replays[0][case.given[3].numel() :] != torch.tensor(SENTINEL).view(torch.int32).item()).sum())
    found |= {
        "eager_launches_are_equal": same,
        "replays_equal_eager": [torch.equal(r, expected) for r in replays],
        "columns_written_behind_the_output": written,
        "judged_while_captured": len(listed) - before,
    }
    last = listed[-1]
    return found | {
        "entry": last.judgement.launch.entry,
        "facts": dict(last.judgement.launch.facts.known()),
        "gpu": last.judgement.launch.gpu,
        "kernels": last.judgement.kernels,
        "outcome": last.judgement.outcome.value,
        "reason": last.judgement.reason,
        "faults": {f.fault: [f.reach.value, *f.facts] for f in last.judgement.faults if f.decides},
        "action": last.action.value,
    }


def microseconds(signature: inspect.Signature, case: Case) -> dict[str, float]:
    """What the guard adds to a call after the first of its combination, host time, least of many short loops."""
    from aiterfix.importing import guard

    names = ", ".join(str(p.replace(annotation=p.empty)) for p in signature.parameters.values())
    made: dict[str, Any] = {}
    exec(f"def {ENTRY}({names}):\n    return None", made)
    bare = made[ENTRY]
    watched = guard._Watch("timing", ENTRY, bare).function
    taken = [
        min(timeit.repeat(lambda f=f: f(*case.given, **case.named), number=500, repeat=200)) / 500 * 1e6  # type: ignore[misc]
        for f in (bare, watched)
    ]
    return {"bare": round(taken[0], 3), "watched": round(taken[1], 3), "more": round(taken[1] - taken[0], 3)}


class Lines(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(record.getMessage())


def main(arguments: Sequence[str]) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args(arguments)
    device = "cpu" if options.cpu else "cuda"
    os.environ.pop("AITERFIX_KERNEL", None)
    kept = Lines()
    logging.getLogger("aiterfix").addHandler(kept)
    logging.getLogger("aiterfix").propagate = False
    wrapper = wrapper_of(options.tree.resolve())
    from aiterfix.importing import guard, seen, substitute

    stage1 = f"{ENTRY}_stage1"
    bare, theirs = getattr(wrapper, stage1), getattr(wrapper, ENTRY)
    # By their own names, since every namespace that holds a function is given the watched one.
    functions = [bare, theirs]
    guard.stand(wrapper)
    bare, theirs = (getattr(f, "__wrapped__", f) for f in functions)
    report: dict[str, Any] = {
        "tree": str(options.tree),
        "torch": torch.__version__,
        "triton": importlib.import_module("triton").__version__,
        "device": device if options.cpu else torch.cuda.get_device_name(),
        "watched": list(seen.launches().watched),
    }
    by_head = getattr(wrapper, stage1)
    cases = {
        "stage1, width 1000": Case((HEADS, BATCH, 1000), 1000, 1, device, shuffled=False),
        "stage1, width 1024": Case((HEADS, BATCH, 1024), 1024, 1, device, shuffled=False),
    }
    report["captured"] = {n: captured(c, by_head, bare, cpu=options.cpu) for n, c in cases.items()}
    # The main function has no kernel that this GPU could run: this project's takes what meets a fault.
    os.environ["AITERFIX_KERNEL"] = "guard"
    ours = substitute.own_function(ENTRY, theirs)
    main_case = Case((BATCH, 1000), 1000, 64, device, shuffled=True)
    report["captured"]["main function, width 1000, AITERFIX_KERNEL=guard"] = captured(
        main_case, getattr(wrapper, ENTRY), ours, cpu=options.cpu
    )
    report["said"] = list(kept.lines)
    os.environ["AITERFIX_KERNEL"] = "0"
    report["microseconds"] = microseconds(inspect.signature(theirs), main_case)
    one, two, three = report["captured"].values()
    report["checks"] = {
        "every replay equals an eager launch, where these equal one another": all(
            all(c["replays_equal_eager"]) for c in (one, two, three) if c["eager_launches_are_equal"]
        ),
        "which they do where no store leaves its row": two["eager_launches_are_equal"]
        and three["eager_launches_are_equal"],
        "each was judged once, while it was captured": [c["judged_while_captured"] for c in (one, two, three)]
        == [1] * 3,
        "nothing was allocated": all(c.get("allocations", 0) == 0 for c in (one, two)),
        "width 1000 meets column-bound": one["outcome"] == "reached" and one["faults"]["column-bound"] == ["reached"],
        "and writes behind its output": one["columns_written_behind_the_output"] > 0,
        "width 1024 meets none": two["outcome"] == "not-reached" and two["columns_written_behind_the_output"] == 0,
        "this project's kernel took the main function's": three["action"] == "own-kernel",
        "and stays in its output": three["columns_written_behind_the_output"] == 0,
    }
    sys.stdout.write(json.dumps(report, indent=1, default=list) + "\n")
    return 0 if all(report["checks"].values()) else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
