"""The paged-MQA-logits kernels: names, parameter roles, where releases keep them, and what launches them.

The one place that knows these names. ``patches/*.toml`` say what goes wrong in the kernels; a fault file of another
kernel (``--fixes``) brings a group of its own.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from aiterfix.source.roles import KernelRoles
from aiterfix.storage.record import record


@record(frozen=True)
class PrebuiltDirectory:
    """Prebuilt code objects that a source patch does not reach.

    Attributes:
        directory: relative to the folder that holds the package, with forward slashes.
        enabled_by: environment variable that switches them on.
    """

    directory: str
    enabled_by: str


@record(frozen=True)
class KernelGroup:
    """Kernels of one code path.

    Attributes:
        name: the path: "gluon", "stage1"; ``--kernel`` asks by it.
        kernels: name and parameter roles of each.
        modules: where the kernels stand in some release: where an import hook stands. `check` searches by name.
        wrappers: modules that import the kernels by name and keep compiled copies.
        entry: public function of the wrappers that launches these kernels, where this project has one to put in its
            place.
        prebuilt: code objects that replace the source.
    """

    name: str
    kernels: tuple[KernelRoles, ...]
    modules: tuple[str, ...]
    wrappers: tuple[str, ...]
    entry: str | None = None
    prebuilt: PrebuiltDirectory | None = None


WRAPPERS = ("aiter.ops.triton.attention.pa_mqa_logits", "aiter.ops.triton.pa_mqa_logits")
"""Where callers get the public functions: the module's place since v0.1.10, and its old name."""

ENTRY = "deepgemm_fp8_paged_mqa_logits"
"""The function that vLLM, SGLang and ATOM call on gfx942 and gfx950."""

ENTRIES = (ENTRY, f"{ENTRY}_stage1", f"{ENTRY}_ragged_k", f"{ENTRY}_stage1_ragged_k")
"""Every public function of the wrappers that scores tokens."""


CACHES = ("KV_buffer", "scale_buffer")
"""The kernels' parameters that point to the cache: its keys, and the scales behind those of each block."""

ARCHITECTURES = ("gfx942", "gfx950")
"""What is judged: statements that are compiled for others alone are not."""

BLOCK_SIZES = (16, 32, 64, 128, 256)
"""Tokens of a block that consumers use; the base kernel takes blocks of 1 too."""

CHUNK_K = 256
"""Columns of a chunk that consumers use."""

CONSTANTS = ("KVBlockSize", "ChunkK", "ARCH")
"""The constexpr parameters that decide which of a kernel's statements are compiled: tokens of a block, columns of a
chunk, architecture."""

KNOWN_COLUMNS = Path(__file__).with_name("known_columns.txt")


@cache
def known_columns() -> frozenset[str]:
    """Derivations of columns in released kernels that are known not to be negative; the file says how it is made."""
    lines = KNOWN_COLUMNS.read_text(encoding="ascii").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _roles(group: str, output: str, strides: tuple[str, ...], *names: str) -> tuple[KernelRoles, ...]:
    return tuple(KernelRoles(name, output, strides, "max_model_len", group, known_columns, CACHES) for name in names)


GLUON = KernelGroup(
    "gluon",
    # gfx942 and gfx950; since v0.1.16 gfx1250 too. The ragged one stands in a few old trees only.
    _roles(
        "gluon",
        "OutLogits_buffer",
        ("stride_out_batch",),
        f"_gluon_{ENTRY}",
        f"_gluon_{ENTRY}_preshuffle",
        f"_gluon_{ENTRY}_preshuffle_varctx",
        f"_gluon_{ENTRY}_ragged_k",
    ),
    ("aiter.ops.triton.gluon.pa_mqa_logits",),
    WRAPPERS,
    ENTRY,
    PrebuiltDirectory(
        "aiter/ops/triton/configs/paged_mqa_logits/aot",
        "AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS",
    ),
)

STAGE1 = KernelGroup(
    "stage1",
    # Plain Triton. The two stage1 kernels leave the sum over heads to their caller, so their output has heads.
    _roles(
        "stage1",
        "Out_buffer",
        ("stride_out_batch", "stride_out_heads"),
        f"_{ENTRY}_stage1",
        f"_{ENTRY}_stage1_ragged_k",
    )
    + _roles("stage1", "OutLogits_buffer", ("stride_out_batch",), f"_{ENTRY}", f"_{ENTRY}_ragged_k"),
    (
        "aiter.ops.triton._triton_kernels.attention.pa_mqa_logits",
        "aiter.ops.triton._triton_kernels.pa_mqa_logits",
    ),
    WRAPPERS,
)

GROUPS = (GLUON, STAGE1)

NOT_JUDGED = (
    (b"def flydsl_pa_mqa_logits_fp4", "FlyDSL fp4 paged kernels, which DeepSeek V4 paths of SGLang and ATOM call"),
    (b"def flydsl_fp8_mqa_logits", "FlyDSL prefill kernel (fp8_mqa_logits)"),
    (b"def _gluon_fp8_mqa_logits_kernel", "Gluon prefill kernel (fp8_mqa_logits)"),
    (b"def _fp8_mqa_logits_kernel", "plain-Triton prefill kernel (fp8_mqa_logits)"),
)
"""Kernels beside the family that nobody judges here: a definition by which a file is known, and what it is."""

SIBLING_MARK = b"mqa_logits"
"""What every such file has in it, for a quick search."""
