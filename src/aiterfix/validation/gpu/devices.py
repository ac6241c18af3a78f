"""What GPU there is, what is known about it, and whether a run belongs on it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from aiterfix.errors import EnvironmentProblem
from aiterfix.validation.report import Hardware

GLUON_ARCHITECTURES = ("gfx942", "gfx950")
"""Where ``aiter`` takes its Gluon kernels."""

_KFD = Path("/dev/kfd")
_DRIVERS = (Path("/sys/module/amdgpu/version"), Path("/proc/driver/nvidia/version"))


def may_have_rocm_gpu(kfd: Path = _KFD) -> bool:
    """Whether ROCm could find a GPU at all; spares importing torch everywhere else."""
    return kfd.exists()


def runs_gluon(hardware: Hardware | None) -> bool:
    """Whether ``aiter``'s own Gluon kernels run on it."""
    return hardware is not None and hardware.kind == "rocm" and hardware.arch in GLUON_ARCHITECTURES


def probe(device: str, torch: Any) -> Hardware:
    """Name the device that torch gives; the child process asks, since asking may start a GPU runtime.

    Args:
        device: ``cuda`` (torch's word for ROCm too) or ``cpu``.

    Raises:
        EnvironmentProblem: torch sees no GPU.
    """
    triton = _triton_release()
    if device == "cpu":
        return Hardware(
            "cpu", "Triton's interpreter" if _interpreting() else "CPU", "", torch.__version__, triton, "", ""
        )
    if not torch.cuda.is_available():
        raise EnvironmentProblem(
            "torch sees no GPU",
            why=f"torch {torch.__version__}: torch.cuda.is_available() is false",
            remedy="run on the machine with the GPU, with the torch built for it, or use --device emulator",
        )
    facts = torch.cuda.get_device_properties(0)
    hip = getattr(torch.version, "hip", None)
    if hip:
        arch = str(facts.gcnArchName).partition(":")[0]
        return Hardware("rocm", facts.name, arch, torch.__version__, triton, f"ROCm {hip}", _driver())
    arch = f"sm_{facts.major}{facts.minor}"
    return Hardware("cuda", facts.name, arch, torch.__version__, triton, f"CUDA {torch.version.cuda}", _driver())


def dot_roundoff(hardware: Hardware, hidden: int) -> float:
    """Rounding of an fp8 matrix product beyond float32's, as a factor of ``sum|q||k|``; 0 where there is none.

    The fp8 matrix units of Hopper and Ada keep about 14 bits of a running sum (the DeepSeek-V3 report, section
    3.5.2) and add 32 products at a time.
    """
    reduced = hardware.kind == "cuda" and hardware.arch.startswith(("sm_8", "sm_9"))
    return hidden / 32 * 2.0**-13 if reduced else 0.0


def _triton_release() -> str:
    try:
        import triton
    except ImportError:
        return ""
    return str(triton.__version__)


def _interpreting() -> bool:
    try:
        from triton import knobs
    except ImportError:
        return False
    return bool(knobs.runtime.interpret)


def _driver(candidates: tuple[Path, ...] = _DRIVERS) -> str:
    """Release of the kernel driver, as the first of its files says; empty where none does."""
    for path in candidates:
        try:
            text = path.read_text().splitlines()[0]
        except (OSError, IndexError):
            continue
        release = re.search(r"\d+(?:\.\d+)+", text)
        return release.group() if release else text.strip()
    return ""
