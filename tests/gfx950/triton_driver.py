"""A Triton driver whose GPU is the emulator: kernels are launched as anywhere, on CPU tensors, with no GPU.

    install()
    kernel[grid](x, out, n, BLOCK=256)
    launches                                # what each did

Needs torch, which launchers take tensors of.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import CodeObject, DeviceMemory, Launch, RunResult, run


@dataclass(frozen=True)
class Launched:
    """One launch: what it did, or why it could not be done."""

    kernel: str
    result: RunResult | None
    refused: str = ""


class RefusedError(Exception):
    """The emulator does not know something that the kernel needs."""


launches: list[Launched] = []
_code: dict[bytes, CodeObject] = {}


class _Launcher:
    def __init__(self, src: Any, metadata: Any) -> None:
        self.signature, self.metadata = src.signature, metadata

    def __call__(self, x: int, y: int, z: int, stream: Any, function: bytes, *rest: Any) -> None:
        """``rest``: four things of the launcher's own, then the kernel's arguments."""
        name = self.metadata.name
        try:
            if function not in _code:
                _code[function] = CodeObject.from_bytes(function)
            memory, values, back = self._arguments(rest[4:])
            # What Triton appends, scratch pointers, is null.
            taken = [a for a in _code[function].kernarg if not a.kind.startswith("hidden_")]
            values += [0] * (len(taken) - len(values))
            launch = Launch((x, y, z), (self.metadata.num_warps * 64, 1, 1), values, lds_bytes=self.metadata.shared)
            result = run(_code[function], memory, launch, step_limit=20_000_000)
        except NotUnderstoodError as error:
            launches.append(Launched(name, None, str(error).splitlines()[0]))
            raise RefusedError(f"{name}: {error}") from error
        for host, allocation in back:
            host[:] = allocation.data[: allocation.size]
        launches.append(Launched(name, result))

    def _arguments(self, given: tuple[Any, ...]) -> tuple[DeviceMemory, list[Any], list[tuple[Any, Any]]]:
        """Tensors of one storage share an allocation, as they share memory."""
        memory, placed = DeviceMemory(), {}
        values: list[Any] = []
        back = []
        for (name, kind), value in zip(self.signature.items(), given, strict=False):
            if kind == "constexpr":
                continue
            if not isinstance(kind, str):
                raise NotUnderstoodError(f"The argument {name} is a tuple.")
            if not kind.startswith("*"):
                values.append(float(value) if kind.startswith(("fp", "bf", "f")) else int(value))
                continue
            if value is None:
                values.append(None)
                continue
            storage = value.untyped_storage()
            start, size = storage.data_ptr(), storage.nbytes()
            if start not in placed:
                host = (
                    np.frombuffer((ctypes.c_uint8 * size).from_address(start), np.uint8)
                    if size
                    else np.zeros(1, np.uint8)
                )
                placed[start] = memory.allocate(name, host, element_size=value.element_size())
                back.append((host, placed[start]))
            values.append(placed[start].address + value.data_ptr() - start)
        return memory, values, back


class _Utils:
    def load_binary(self, name: str, kernel: bytes, shared: int, device: int) -> tuple[Any, ...]:
        """The code object is the function."""
        return (1, kernel, 0, 0, 1024)

    def get_device_properties(self, device: int) -> dict[str, int]:
        """What an MI350 has."""
        return {"max_shared_mem": 163840, "multiprocessor_count": 256, "warpSize": 64, "max_num_regs": 65536,
                "sm_clock_rate": 1, "mem_clock_rate": 1, "mem_bus_width": 1}  # fmt: skip


class Driver:
    """What Triton asks of a driver."""

    utils = _Utils()
    launcher_cls = _Launcher

    @classmethod
    def is_active(cls) -> bool:
        """Always."""
        return True

    def get_current_device(self) -> int:
        """The only one."""
        return 0

    def set_current_device(self, device: int) -> None:
        """There is one."""

    def get_current_stream(self, device: int) -> int:
        """Launches are done when they return."""
        return 0

    def get_current_target(self) -> Any:
        """What kernels are compiled for."""
        from triton.backends.compiler import GPUTarget

        return GPUTarget("hip", "gfx950", 64)

    def get_active_torch_device(self) -> Any:
        """Where tensors lie."""
        import torch

        return torch.device("cpu")

    def get_device_interface(self) -> Any:
        """torch's module of that device."""
        import torch

        return torch.cpu

    def get_benchmarker(self) -> Any:
        """Nothing is timed."""
        return lambda function, *args, **kwargs: 1.0

    def map_python_to_cpp_type(self, kind: str) -> str:
        """No launcher in C++ is made."""
        return kind


def install() -> None:
    """Make Triton of this process launch on the emulator; an autotuner takes its first configuration."""
    from triton.runtime import driver
    from triton.runtime.autotuner import Autotuner

    driver.set_active(Driver())

    def first(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.nargs = dict(zip(self.arg_names, args, strict=False))
        config = self.configs[0]
        if config.pre_hook is not None:
            config.pre_hook({**self.nargs, **kwargs, **config.all_kwargs()})
        return self.fn.run(*args, **kwargs, **config.all_kwargs())

    Autotuner.run = first
