"""Run a launch on the emulator of a tinygrad clone, in a process of its own: the clone is not the tinygrad of the pin.

Usage: python _tinygrad_emulator.py CLONE REQUEST ANSWER, both pickles that ``benchmarks.emulator`` writes and reads.
Needs what the clone needs to compile for a CPU (clang, or what ``CC`` names).
"""

import ctypes
import importlib
import pickle
import sys
import time
from pathlib import Path


def main() -> None:
    """Place memory and kernel arguments at host addresses, run twice (the first compiles), answer with the second."""
    clone, request, answer = sys.argv[1:]
    sys.path[:0] = [clone]
    run_asm = importlib.import_module("test.mockgpu.amd.emu").run_asm
    given = pickle.loads(Path(request).read_bytes())
    buffers = {name: ctypes.create_string_buffer(data, len(data) + 64) for name, data in given["memory"].items()}
    kernarg = bytearray(given["kernarg"])
    for offset, name, delta in given["pointers"]:
        kernarg[offset : offset + 8] = (ctypes.addressof(buffers[name]) + delta).to_bytes(8, "little")
    placed = ctypes.create_string_buffer(bytes(kernarg), len(kernarg))
    text = ctypes.create_string_buffer(given["text"], len(given["text"]) + 64)
    address = ctypes.addressof(placed)
    user = [address & 0xFFFF_FFFF, address >> 32]
    first = 4 * given["preload_offset"]
    user += [int.from_bytes(kernarg[k : k + 4], "little") for k in range(first, first + 4 * given["preload_length"], 4)]
    seconds = 0.0
    for _ in range(2):
        started = time.process_time()
        run_asm(
            ctypes.addressof(text) + given["entry"], len(given["text"]), *given["grid"], *given["block"], address,
            given["rsrc2"], given["scratch"], "cdna", user,
        )  # fmt: skip
        seconds = time.process_time() - started
    left = {name: buffer.raw[: len(given["memory"][name])] for name, buffer in buffers.items()}
    Path(answer).write_bytes(pickle.dumps({"seconds": seconds, "memory": left}))


if __name__ == "__main__":
    main()
