"""Validate a code object that was built elsewhere: one of ``aiter``'s AOT folders, or an entry of Triton's cache.

A source patch does not reach these; running them is the only way to judge them. The source they came from is not
known, so that nothing is recorded as evidence. What a code object says about itself decides how it is launched: its
kernel's name, the sizes and kinds of its arguments, and, for AOT folders, the folder's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aiterfix.errors import NotUnderstoodError, UsageError
from aiterfix.family.signature import ARGUMENT_TYPES, STORE_STRIDE, Kernel, KernelConfig, check_config
from aiterfix.gfx950 import CodeObject
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import load_prebuilt
from aiterfix.validation.emulator import EmulatedRun, Launched
from aiterfix.validation.execution import KernelCompiler, Launcher
from aiterfix.validation.report import Report, SourceFacts
from aiterfix.validation.scenarios import Scenario

_FOLDER = re.compile(r"_(\d+)x(\d+)x(\d+)_B(\d+)P([TF])W(\d+)(?:$|[./])")
_ORDER = (
    *("batch_size", "next_n", "heads_num", "Q_buffer", "stride_q_batch", "stride_q_next_n", "stride_q_heads"),
    *("KV_buffer", "stride_k_seq", "scale_buffer", "stride_scale_seq", "context_len_ptr", "kv_indices"),
    *("weights", "stride_w_batch", "OutLogits_buffer", STORE_STRIDE, "max_model_len", "max_block_len"),
)


def config_from_path(path: Path) -> KernelConfig | None:
    """The configuration that the name of an AOT folder states; None where the path states none."""
    found = _FOLDER.search(str(path))
    if found is None:
        return None
    heads, chunk, hidden, block, padded, waves = found.groups()
    return KernelConfig(
        heads=int(heads),
        kv_block_size=int(block),
        aligned_cache=padded == "T" or int(block) > 1,
        hidden=int(hidden),
        chunk_k=int(chunk),
        waves_per_eu=int(waves),
    )


def kernel_of(function: str) -> Kernel:
    """Which kernel a function's name is.

    Raises:
        NotUnderstoodError: none that is known.
    """
    for kernel in Kernel:
        if kernel.function == function:
            return kernel
    raise NotUnderstoodError(
        f"the code object holds {function}, which is no kernel that is known",
        why="looked for " + ", ".join(kernel.function for kernel in Kernel),
    )


def signature_of(kernel: Kernel, stated: Sequence[tuple[int, bool]], function: str) -> tuple[tuple[str, str], ...]:
    """Names and types of a code object's arguments, from their sizes and kinds.

    Releases differ in the width of the row stride and in whether there is a ``num_block``; exactly one combination
    must fit. Pointers after the signature are Triton's own.

    Args:
        stated: (bytes, is a pointer) of each argument in order, as the code object's metadata says.

    Raises:
        NotUnderstoodError: none fits, or more than one.
    """
    last = "safe_chunks_per_cta_ptr" if kernel is Kernel.PRESHUFFLE_VARCTX else "SplitKV"
    fitting = []
    for stride in ("i32", "i64"):
        for extra in ((), ("num_block",)):
            names = (*_ORDER, *extra, last)
            types = tuple((name, stride if name == STORE_STRIDE else ARGUMENT_TYPES[name]) for name in names)
            wanted = [(8 if kind.startswith("*") or kind == "i64" else 4, kind.startswith("*")) for _, kind in types]
            own = stated[len(wanted) :]
            if list(stated[: len(wanted)]) == wanted and len(own) <= 2 and all(pointer for _, pointer in own):
                fitting.append(types)
    if len(fitting) != 1:
        raise NotUnderstoodError(
            f"the arguments of {function} are not understood",
            why=f"{len(fitting)} of the signatures known have these sizes: {[size for size, _ in stated]}",
            remedy="validate the source that this code object was compiled from",
        )
    return fitting[0]


@dataclass(frozen=True)
class CodeObjectFile:
    """A ``.hsaco`` file; runs on the emulator.

    Attributes:
        compiled: the code object with its arguments.
    """

    path: Path
    kernel: Kernel
    config: KernelConfig
    compiled: CompiledKernel

    @classmethod
    def read(cls, path: Path, config: KernelConfig | None = None) -> CodeObjectFile:
        """Read a code object.

        Args:
            path: the file; Triton's ``.json`` must stand beside it.
            config: what it was compiled for; may be left out where the path is an AOT folder's.

        Raises:
            EnvironmentProblem: the file cannot be read.
            NotUnderstoodError: it is no gfx950 code object of a kernel that is known.
            UsageError: no configuration, or one that the kernel has no layout for.
        """
        loaded = load_prebuilt(path)
        kernel = kernel_of(loaded.function)
        chosen = config or config_from_path(path)
        if chosen is None:
            raise UsageError(
                f"{path} does not say what it was compiled for", remedy="pass the heads and the KV block size"
            )
        check_config(kernel, chosen)
        return cls(path, kernel, chosen, _with_arguments(loaded, kernel))

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """See :class:`aiterfix.validation.interface.Subject`."""
        return (self.kernel,)

    @property
    def calls(self) -> tuple[Scenario, ...]:
        """See :class:`aiterfix.validation.interface.Subject`."""
        return ()

    @property
    def configs(self) -> tuple[KernelConfig, ...]:
        """See :class:`aiterfix.validation.interface.Subject`."""
        return (self.config,)

    def emulated(self, compiler: KernelCompiler, launcher: Launcher) -> EmulatedRun:
        """See :class:`aiterfix.validation.emulator.EmulatedSubject`."""
        code = self.compiled
        ran = Report((SourceFacts(str(self.path)),), device=launcher.device, triton=code.triton)
        return EmulatedRun(ran, lambda scenario, inputs: Launched(code, launcher.launch(code, scenario, inputs)))


def _with_arguments(loaded: CompiledKernel, kernel: Kernel) -> CompiledKernel:
    code = CodeObject.from_bytes(loaded.code, kernel=loaded.function)
    stated = [(argument.size, argument.is_pointer) for argument in code.kernarg]
    return replace(loaded, arguments=signature_of(kernel, stated, loaded.function))
