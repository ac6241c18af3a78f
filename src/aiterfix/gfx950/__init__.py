"""gfx950 machine code on a CPU: read a code object, give it memory, run it, see what it touched.

    code = CodeObject.from_bytes(blob)
    code = code.with_argument_names(["x", "out", "n"])          # Triton's metadata carries no names
    memory = DeviceMemory()
    x = memory.allocate("x", array)                             # copies; .address, .array(dtype, shape) reads back
    out = memory.allocate("out", zeros)
    launch = Launch(grid=(256, 1, 1), block=(256, 1, 1), args={"x": x, "out": out, "n": 1000}, lds_bytes=8192)
    result = run(code, memory, launch)                          # .violations, .findings, .by_group, ...

``lds_bytes`` is the compiled kernel's ``metadata.shared``: Triton's code objects do not contain it. Arguments that
Triton appends (scratch pointers) are left out.

How it works. ``decode`` turns the machine code into records once; ``program`` cuts it into basic blocks and has the
semantics modules (one for each group of the ISA manual; ``semantics`` lists them) turn each
instruction into a function over arrays: a vector register is one contiguous array of all lanes of all waves at hand.
``machine`` moves groups of waves from block to block, splits them where they part and merges them where they meet.
``launch`` spreads batches of workgroups over threads.

What is modelled, and what is not:

- Registers, EXEC, SCC, VCC, M0, LDS, scratch, barriers, kernarg preload. Rounding to nearest even; denormals as the
  kernel descriptor says. What the descriptor or an instruction asks for beyond that is an error that names it.
- Memory order: loads and stores take effect when they are issued, in lockstep over the waves of a group; there are no
  caches and no timing. So a missing ``s_waitcnt`` never changes a result. Instead ``waits`` checks, over the executed
  part of the program, that every use of a load's result is covered by a wait, and reports what is not. ``lds_watch``
  finds races through LDS between waves of a workgroup, in the first workgroups of each batch; races through memory are
  not detected.
- An access outside every allocation is recorded and not performed: loads give 0, stores are dropped, dword by dword.
  A buffer access that the descriptor's ``num_records`` excludes is no violation: that is how masked lanes work.
- Findings: LDS and scratch out of range, LDS and registers never written, missing waits, LDS races, waves that end
  while others of their workgroup wait at a barrier. Compilers do read registers nobody wrote where the value does not
  matter (the unused half of a packed operation), so that finding alone is no proof of a fault.
- Matrix products sum in an order of their own; results differ from hardware in the last bits. Reciprocals, roots,
  ``v_exp``, ``v_log``, ``v_sin`` and ``v_cos`` are rounded correctly, where hardware may be 1 ulp off (doubles: more).
- ``docs/internals/emulator.md`` lists what is not modelled, made from this package, and what was assumed.

Needs numpy, pyelftools, tinygrad's decoder and Python 3.11 (extra ``validate``); importing this package alone needs
none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject as CodeObject
    from aiterfix.gfx950.code_object import KernelArgument as KernelArgument
    from aiterfix.gfx950.instruction import UnmodelledInstructionError as UnmodelledInstructionError
    from aiterfix.gfx950.launch import Launch as Launch
    from aiterfix.gfx950.launch import RunResult as RunResult
    from aiterfix.gfx950.launch import run as run
    from aiterfix.gfx950.memory import Allocation as Allocation
    from aiterfix.gfx950.memory import DeviceMemory as DeviceMemory

_HOMES = {
    "Allocation": "memory", "CodeObject": "code_object", "DeviceMemory": "memory", "KernelArgument": "code_object",
    "Launch": "launch", "RunResult": "launch", "UnmodelledInstructionError": "instruction", "run": "launch",
}  # fmt: skip
"""Public name to module; loaded when first asked for, so that importing the package stays cheap."""

__all__ = [
    "Allocation", "CodeObject", "DeviceMemory", "KernelArgument", "Launch", "RunResult", "UnmodelledInstructionError",
    "run",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        module = import_module(f"{__name__}.{_HOMES[name]}")
    except ImportError as error:
        if (error.name or "").startswith("aiterfix"):
            raise
        from aiterfix.errors import EnvironmentProblem, install_line

        raise EnvironmentProblem(
            f"The gfx950 emulator needs {error.name}, which could not be imported.",
            why=str(error),
            remedy=install_line("validate"),
        ) from error
    return getattr(module, name)
