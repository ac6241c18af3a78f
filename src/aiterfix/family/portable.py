"""The kernels that a GPU of any vendor can run: plain Triton, of ``aiter`` and of this project."""

from __future__ import annotations

import ast
from enum import Enum

from aiterfix.errors import UsageError
from aiterfix.family.signature import Kernel, KernelConfig, parse


class Portable(str, Enum):
    """Plain-Triton kernels, by the names reports use."""

    STAGE1 = "stage1"
    STAGE1_RAGGED = "stage1_ragged_k"
    REDUCING = "reducing"
    REDUCING_RAGGED = "reducing_ragged_k"
    OWN = "own"
    OWN_PRESHUFFLE = "own_preshuffle"

    @property
    def function(self) -> str:
        """Name of the kernel's function in its file; empty for this project's own, which is called as a function."""
        return {
            Portable.STAGE1: "_deepgemm_fp8_paged_mqa_logits_stage1",
            Portable.STAGE1_RAGGED: "_deepgemm_fp8_paged_mqa_logits_stage1_ragged_k",
            Portable.REDUCING: "_deepgemm_fp8_paged_mqa_logits",
            Portable.REDUCING_RAGGED: "_deepgemm_fp8_paged_mqa_logits_ragged_k",
        }.get(self, "")

    @property
    def own(self) -> bool:
        """Whether it is this project's."""
        return self in (Portable.OWN, Portable.OWN_PRESHUFFLE)

    @property
    def preshuffled(self) -> bool:
        """Whether the KV cache is stored in 16x16 tiles."""
        return self is Portable.OWN_PRESHUFFLE

    @property
    def by_head(self) -> bool:
        """Whether it stores one output a head, which its caller sums up."""
        return self in (Portable.STAGE1, Portable.STAGE1_RAGGED)

    @property
    def ragged(self) -> bool:
        """Whether lengths come as prefix sums and the block table as one list of tokens."""
        return self in (Portable.STAGE1_RAGGED, Portable.REDUCING_RAGGED)

    @property
    def head_tile(self) -> int:
        """Heads that a program of a stage1 kernel takes (``ChunkQ``); 0 for kernels that take all of them."""
        return {Portable.STAGE1: 64, Portable.STAGE1_RAGGED: 32}.get(self, 0)


AnyKernel = Kernel | Portable
SCHEDULE = "_deepgemm_fp8_paged_mqa_logits_varctx_schedule"
"""The kernel that decides how the schedule kernel's programs share the work; the wrapper runs it before."""


def find_portable(text: bytes, filename: str) -> tuple[Portable, ...]:
    """The plain-Triton kernels that a file defines with a body of their own, in the order of :class:`Portable`.

    Raises:
        NotUnderstoodError: the file does not parse.
    """
    defined = {node.name for node in parse(text, filename).body if isinstance(node, ast.FunctionDef)}
    return tuple(kernel for kernel in Portable if kernel.function and kernel.function in defined)


def defines(text: bytes, filename: str, function: str) -> bool:
    """Whether a file defines a function of this name."""
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in parse(text, filename).body)


_TOKENS = KernelConfig(kv_block_size=1, aligned_cache=False)
_RAGGED = KernelConfig(kv_block_size=1, aligned_cache=False, chunk_k=64)


def portable_configs(kernel: Portable, suite: str) -> tuple[KernelConfig, ...]:
    """The configurations that a suite runs a kernel in: what the wrappers of ``aiter`` use, chunks included."""
    quick: tuple[KernelConfig, ...]
    more: tuple[KernelConfig, ...] = ()
    if kernel.ragged:
        quick, more = (_RAGGED,), (KernelConfig(heads=32, kv_block_size=1, aligned_cache=False, chunk_k=64),)
    elif kernel is Portable.REDUCING:
        quick = (_TOKENS,)
        more = (KernelConfig(kv_block_size=1), *(KernelConfig(heads=heads, kv_block_size=1) for heads in (16, 32, 128)))
    elif kernel is Portable.STAGE1:
        quick = (_TOKENS,)
        more = (*(KernelConfig(kv_block_size=size) for size in (16, 64, 256)), KernelConfig(heads=128))
    elif kernel is Portable.OWN:
        quick = (KernelConfig(), _TOKENS)
        more = (
            KernelConfig(kv_block_size=1),
            *(KernelConfig(kv_block_size=size) for size in (16, 256, 512)),
            *(KernelConfig(heads=heads) for heads in (16, 32, 128)),
            KernelConfig(hidden=64),
        )
    else:
        quick = (KernelConfig(), KernelConfig(kv_block_size=256))
        more = (
            *(KernelConfig(kv_block_size=size) for size in (16, 32, 48, 128, 512)),
            *(KernelConfig(heads=heads) for heads in (16, 32, 128)),
            KernelConfig(hidden=64),
        )
    return quick if suite == "quick" else (*quick, *more)


def check_portable(kernel: Portable, config: KernelConfig) -> None:
    """Refuse a configuration that the kernel's wrapper refuses too.

    Raises:
        UsageError: naming the value and the rule.
    """
    if config.heads % (kernel.head_tile or 16) or (not kernel.by_head and config.heads not in (16, 32, 64, 128)):
        raise UsageError(f"{kernel.value} does not take {config.heads} heads")
    if config.kv_block_size != 1 and kernel.ragged:
        raise UsageError(f"{kernel.value} works on block size 1, not {config.kv_block_size}")
    if kernel.preshuffled and config.kv_block_size % 16:
        raise UsageError(f"preshuffled blocks are a multiple of 16 tokens, not {config.kv_block_size}")
