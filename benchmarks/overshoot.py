"""Processor time to establish an overshoot. Run: ``python -m benchmarks overshoot KERNEL_FILE [WIDTH ...]``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from aiterfix.family.signature import Kernel, KernelConfig, make_request
from aiterfix.gfx950.compile import Compiler
from aiterfix.overshoot.measure import LONGEST, IntegerPart

_BLOCKS = (16, 64, 128, 256)


def main(arguments: list[str]) -> int:
    """Measure and print."""
    if not arguments:
        print("overshoot needs a kernel file: python -m benchmarks overshoot KERNEL_FILE [WIDTH ...]")
        return 0
    text = Path(arguments[0]).read_bytes()
    with Compiler() as compiler:
        for width in [int(word) for word in arguments[1:]] or [1000, 8192, LONGEST]:
            for kernel in Kernel:
                for block in _BLOCKS if kernel.preshuffled else (1,):
                    config = KernelConfig(kv_block_size=block)
                    compiled = compiler.compile(make_request(text, arguments[0], kernel, config))
                    started = time.process_time()
                    found = IntegerPart(compiled, kernel, config).overshoot(width)
                    seconds = time.process_time() - started
                    print(
                        f"{kernel.value:18} block {block:3} width {width:6}: {found.columns:3} columns, "
                        f"{found.programs} programs, {seconds:.1f} s",
                        flush=True,
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
