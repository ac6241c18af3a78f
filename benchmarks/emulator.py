"""Speed of the gfx950 emulator: throughput, time by instruction group, cold start, peak memory. Run by hand.

Usage:
    python -m benchmarks emulator                 a kernel of this file: fp8 matrix products, ReLU, a weighted sum
    python -m benchmarks emulator KERNEL.hsaco    a preshuffled indexer kernel's (block size 64, 64 heads)
    python -m benchmarks emulator --tinygrad CLONE    also tinygrad's emulator, on the same launch: ratio and bits

Triton is only needed where no code object is passed (to compile the sample), clang (or what ``CC`` names) for a clone.
Figures are per wall second and per CPU second: on a busy machine only the latter mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aiterfix.gfx950 import CodeObject, DeviceMemory, Launch, RunResult, run
from aiterfix.gfx950.blocks import PRELOAD_ENTRY
from aiterfix.gfx950.launch import kernarg_of

GOAL, FLOOR = 5.0, 1.5
"""Million wave-instructions a second on two cores."""
PARAMETERS = (
    "batch_size", "next_n", "heads_num", "Q_buffer", "stride_q_batch", "stride_q_next_n", "stride_q_heads", "KV_buffer",
    "stride_k_seq", "scale_buffer", "stride_scale_seq", "context_len_ptr", "kv_indices", "weights", "stride_w_batch",
    "OutLogits_buffer", "stride_out_batch", "max_model_len", "max_block_len", "num_block", "SplitKV",
)  # fmt: skip

SAMPLE = """
import json, pathlib, sys
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def scores(q, keys, weights, out, length, HEADS: tl.constexpr, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    heads, inner, at = tl.arange(0, HEADS), tl.arange(0, SIZE), tl.arange(0, BLOCK)
    query = tl.load(q + heads[:, None] * SIZE + inner[None, :])
    weight = tl.load(weights + heads)
    total = tl.zeros((HEADS, BLOCK), tl.float32)
    for start in range(0, length, BLOCK):
        key = tl.load(keys + (start + at)[None, :] * SIZE + inner[:, None])
        total += tl.maximum(tl.dot(query, key), 0.0) * weight[:, None]
    tl.store(out + row * HEADS * BLOCK + heads[:, None] * BLOCK + at[None, :], total)


names = {"q": "*fp8e4nv", "keys": "*fp8e4nv", "weights": "*fp32", "out": "*fp32", "length": "i32"}
constants = {"HEADS": 64, "SIZE": 64, "BLOCK": 128}
signature = {**names, **dict.fromkeys(constants, "constexpr")}
aligned = {(number,): [["tt.divisibility", 16]] for number in range(len(names))}
source = ASTSource(fn=scores, signature=signature, constexprs=constants, attrs=aligned)
options = {"num_warps": 4, "matrix_instr_nonkdim": 16}
compiled = triton.compile(source, target=GPUTarget("hip", "gfx950", 64), options=options)
place = pathlib.Path(sys.argv[1])
place.with_suffix(".hsaco").write_bytes(compiled.asm["hsaco"])
place.with_suffix(".json").write_text(json.dumps({"lds": compiled.metadata.shared, "names": list(names)}))
"""


@dataclass(frozen=True)
class Workload:
    """A kernel, its memory and how it is launched."""

    code: CodeObject
    memory: DeviceMemory
    launch: Launch

    def __call__(self, **options: Any) -> RunResult:
        """Run it."""
        return run(self.code, self.memory, self.launch, **options)


def sample(directory: Path, workgroups: int) -> Workload:
    """Compile the kernel above and give it memory."""
    script, place = directory / "sample.py", directory / "sample"
    script.write_text(SAMPLE)
    subprocess.run([sys.executable, str(script), str(place)], check=True)
    facts = json.loads(place.with_suffix(".json").read_text())
    code = CodeObject.from_bytes(place.with_suffix(".hsaco").read_bytes()).with_argument_names(facts["names"])
    rng, length = np.random.default_rng(0), 1024
    memory = DeviceMemory()
    args: dict[str, Any] = {
        "q": memory.allocate("q", rng.integers(0, 256, (64, 64), dtype=np.uint8) & 0xBF),
        "keys": memory.allocate("keys", rng.integers(0, 256, (length, 64), dtype=np.uint8) & 0xBF),
        "weights": memory.allocate("weights", rng.standard_normal(64).astype(np.float32)),
        "out": memory.allocate("out", np.zeros((workgroups, 64, 128), np.float32)),
        "length": length,
    }
    return Workload(code, memory, Launch((workgroups, 1, 1), (256, 1, 1), args, lds_bytes=facts["lds"]))


def indexer(path: Path, workgroups: int, lds_bytes: int) -> Workload:
    """Give a paged-MQA-logits code object (preshuffled, block size 64, 64 heads) random fp8 data."""
    block, heads, size, length, split = 64, 64, 128, 4096, 8
    sequences = max(1, workgroups // (2 * split))
    code = CodeObject.from_bytes(path.read_bytes())
    given = len(code.kernarg) - 2
    names = [name for name in PARAMETERS if name != "num_block" or given == len(PARAMETERS)]
    code = code.with_argument_names(names)
    rng = np.random.default_rng(0)
    per_sequence = length // block
    total = sequences * per_sequence
    row = block * (size + 4)
    cache = rng.integers(0, 256, (total, row), dtype=np.uint8) & 0xBF
    cache[:, block * size :] = rng.uniform(0.1, 1, (total, block)).astype(np.float32).view(np.uint8).reshape(total, -1)
    memory = DeviceMemory()
    stored = memory.allocate("cache", cache)
    values: dict[str, Any] = {
        "batch_size": sequences, "next_n": 2, "heads_num": heads, "stride_q_batch": 2 * heads * size,
        "stride_q_next_n": heads * size, "stride_q_heads": size, "KV_buffer": stored, "stride_k_seq": row,
        "scale_buffer": stored.address + block * size, "stride_scale_seq": row // 4, "stride_w_batch": heads,
        "stride_out_batch": length, "max_model_len": length, "max_block_len": per_sequence, "num_block": total,
        "SplitKV": split,
        "Q_buffer": memory.allocate("q", rng.integers(0, 256, (sequences, 2, heads, size), dtype=np.uint8) & 0xBF),
        "context_len_ptr": memory.allocate("lengths", np.full(sequences, length, np.int32)),
        "kv_indices": memory.allocate("blocks", rng.permutation(total).astype(np.int32)),
        "weights": memory.allocate("weights", rng.standard_normal((2 * sequences, heads)).astype(np.float32)),
        "OutLogits_buffer": memory.allocate("out", np.zeros((2 * sequences, length), np.float32)),
    }  # fmt: skip
    args = {name: values[name] for name in names}
    return Workload(code, memory, Launch((sequences * 2 * split, 1, 1), (256, 1, 1), args, lds_bytes=lds_bytes))


def against_tinygrad(clone: Path, work: Workload, directory: Path) -> None:
    """The same launch on tinygrad's emulator and on ours, one thread each: processor time, and what differs."""
    code, launch = work.code, work.launch
    held = {str(number): allocation for number, allocation in enumerate(work.memory)}
    kernarg = kernarg_of(code, launch)[0].data.tobytes()
    pointers = []
    for argument in code.kernarg:
        value = int.from_bytes(kernarg[argument.offset : argument.offset + argument.size], "little")
        for name, allocation in held.items():
            if argument.size == 8 and allocation.address <= value < allocation.end:
                pointers.append((argument.offset, name, value - allocation.address))
    descriptor = code.descriptor
    wanted = launch.lds_bytes + code.lds_bytes
    enabled = sum(on << 7 + axis for axis, on in enumerate(descriptor.workgroup_ids))
    request: dict[str, Any] = {
        "memory": {name: allocation.data[: allocation.size].tobytes() for name, allocation in held.items()},
        "kernarg": kernarg, "pointers": pointers, "text": code.text,
        "entry": PRELOAD_ENTRY if descriptor.preload_length else 0,
        "preload_length": descriptor.preload_length, "preload_offset": descriptor.preload_offset,
        "grid": launch.grid, "block": launch.block, "scratch": code.scratch_bytes,
        "rsrc2": descriptor.user_sgprs << 1 | enabled | -(-wanted // 512) << 15,
    }  # fmt: skip
    asked, answered = directory / "request", directory / "answer"
    asked.write_bytes(pickle.dumps(request))
    child = Path(__file__).with_name("_tinygrad_emulator.py")
    subprocess.run([sys.executable, str(child), str(clone.resolve()), str(asked), str(answered)], check=True)
    theirs = pickle.loads(answered.read_bytes())
    spent = []
    for _ in range(2):
        started = time.process_time()
        result = work(threads=1)
        spent.append(time.process_time() - started)
    ours = spent[-1]  # the second run of either, which compiles and binds nothing
    print(
        f"\ntinygrad: {result.wave_instructions / theirs['seconds'] / 1e6:.3f} M per CPU second; "
        f"ours {result.wave_instructions / ours / 1e6:.2f}: {theirs['seconds'] / ours:.1f} times (goal 10)"
    )
    for name, allocation in held.items():
        mine = allocation.array(np.uint8)
        other = np.frombuffer(theirs["memory"][name], np.uint8)
        if not (mine == other).all():
            cells = mine.view(np.float32), other.view(np.float32)
            apart = np.abs(cells[0].astype(np.float64) - cells[1]).max() / np.abs(cells[0]).max()
            print(
                f"{allocation.name}: {(cells[0].view(np.uint32) != cells[1].view(np.uint32)).sum()} of {cells[0].size} "
                f"cells differ, by {apart:.1e} of the largest at most"
            )
        elif (other != np.frombuffer(request["memory"][name], np.uint8)).any():
            print(f"{allocation.name}: the same bits, which the launch wrote")


def measure(start: Workload, label: str, repeats: int, **options: Any) -> float:
    """Best of several runs, in million wave-instructions a second."""
    start(**options)
    best = best_cpu = 0.0
    for _ in range(repeats):
        before = time.process_time()
        result = start(**options)
        spent = time.process_time() - before
        best = max(best, result.wave_instructions / result.seconds / 1e6)
        best_cpu = max(best_cpu, result.wave_instructions / spent / 1e6)
    print(f"{label:42s} {best:6.2f} M/s wall   {best_cpu:6.2f} M per CPU second")
    return best


def cold_start(path: Path, lds_bytes: int) -> None:
    """A new interpreter from nothing to the first result, on 16 workgroups."""
    started = time.perf_counter()
    subprocess.run([sys.executable, __file__, str(path), "--lds", str(lds_bytes), "--once"], check=True)
    print(f"cold start to the first result: {time.perf_counter() - started:.2f} s (goal: under 2)")


def main(arguments: Sequence[str] = ()) -> int:
    """Measure and print; 0 unless the throughput is below the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("code_object", nargs="?", type=Path)
    parser.add_argument("--lds", type=int, default=8192, help="LDS bytes the kernel was compiled for (default 8192)")
    parser.add_argument("--tinygrad", type=Path, metavar="CLONE", help="compare with the emulator of this clone")
    parser.add_argument("--workgroups", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(list(arguments))
    with tempfile.TemporaryDirectory() as directory:
        if options.once:
            indexer(options.code_object, 16, options.lds)()
            return 0
        if options.code_object is None:
            start = sample(Path(directory), options.workgroups)
        else:
            start = indexer(options.code_object, options.workgroups, options.lds)
            cold_start(options.code_object, options.lds)
        if options.tinygrad:  # first, while memory is as it was before any launch: what one writes shows
            against_tinygrad(options.tinygrad, start, Path(directory))
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        best = max(measure(start, f"{threads} thread(s)", options.repeats, threads=threads) for threads in (1, 2))
        verdict = "meets the goal" if best >= GOAL else "above the floor" if best >= FLOOR else "below the floor"
        print(f"best {best:.2f} M/s: {verdict} (goal {GOAL}, floor {FLOOR})")
        result = start(threads=1, profile=True)
        print(f"\n{'group':32s} {'count':>10s} {'seconds':>8s} {'ns each':>8s}")
        for group, (count, seconds) in result.by_group.items():
            print(f"{group:32s} {count:10d} {seconds:8.3f} {seconds / count * 1e9:8.0f}")
        for mnemonic, (count, seconds) in list(result.by_opcode.items())[:12]:
            print(f"  {mnemonic:30s} {count:10d} {seconds:8.3f} {seconds / count * 1e9:8.0f}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\npeak memory {peak:.0f} MiB (goal: under 2048)")
    return 0 if best >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
