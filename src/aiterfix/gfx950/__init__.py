"""gfx950 machine code on a CPU: load a code object, give it memory, run it."""

from __future__ import annotations

from aiterfix.gfx950.code_object import CodeObject, KernelArgument
from aiterfix.gfx950.launch import Launch, RunResult, run
from aiterfix.gfx950.memory import Allocation, DeviceMemory

__all__ = ["Allocation", "CodeObject", "DeviceMemory", "KernelArgument", "Launch", "RunResult", "run"]
