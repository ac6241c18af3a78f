"""From a kernel's own parameter list to what the compiler must be told: argument types, attributes, options.

The wrapper of ``aiter`` (``_compile_deepgemm_fp8_paged_mqa_logits``) is the only caller of these kernels, and what it
passes to the compiler decides the code that comes out: 32-bit row strides and 64-bit ones overflow at other sizes.
Its facts are known by parameter name here (they are the same in every release but for the row stride), read from the
wrapper's text where that is at hand, and can be overridden. A parameter that is in no table ends in
:class:`~aiterfix.errors.NotUnderstoodError`: a guessed type would run something else than production does.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from aiterfix.errors import NotUnderstoodError, UsageError
from aiterfix.family import standins
from aiterfix.gfx950.request import ARCH, CompileRequest

STORE_STRIDE = "stride_out_batch"
OUTPUT = "OutLogits_buffer"
OUTPUT_BY_HEAD = "Out_buffer"
"""What stage1 kernels call theirs."""

StrideType = Literal["auto", "i32", "i64"]


class Kernel(str, Enum):
    """The kernels that can be compiled and run, by the names reports use."""

    BASE = "base"
    PRESHUFFLE = "preshuffle"
    PRESHUFFLE_VARCTX = "preshuffle_varctx"

    @property
    def function(self) -> str:
        """Name of the kernel's function in its file."""
        suffix = "" if self is Kernel.BASE else f"_{self.value}"
        return f"_gluon_deepgemm_fp8_paged_mqa_logits{suffix}"

    @property
    def preshuffled(self) -> bool:
        """Whether the KV cache is stored in 16x16 tiles."""
        return self is not Kernel.BASE


@dataclass(frozen=True)
class KernelConfig:
    """What a kernel is specialised for, as a wrapper call decides it.

    Attributes:
        heads: index heads of a row (``ChunkQ``).
        kv_block_size: tokens of a cache block; 1 for the base kernel.
        aligned_cache: whether the byte stride of a cache block is a multiple of 16 (``is_padded_mode``).
        hidden: elements of a key.
        chunk_k: columns of a chunk.
        waves_per_eu: occupancy hint of the wrapper's caller.
        out_stride: type of ``stride_out_batch``; ``auto`` is decided by the source.
    """

    heads: int = 64
    kv_block_size: int = 64
    aligned_cache: bool = True
    hidden: int = 128
    chunk_k: int = 256
    waves_per_eu: int = 2
    out_stride: StrideType = "auto"

    @property
    def block_bytes(self) -> int:
        """Bytes from one cache block to the next where they stand as close as they can: keys, scales, and for an
        aligned single token, padding up to 64.

        A block of 16 tokens or more is a multiple of 16 bytes anyway. One token is 132 bytes; the wrapper's aligned
        mode is a cache whose rows were padded, and 64 keeps the stride of the scales, in floats, a multiple of 16 too,
        as the wrapper's attributes promise.
        """
        tight = self.kv_block_size * (self.hidden + 4)
        return -(-tight // 64) * 64 if self.kv_block_size == 1 and self.aligned_cache else tight

    @property
    def name(self) -> str:
        """A short stable name, for scenario names and reports."""
        parts = [f"h{self.heads}", f"b{self.kv_block_size}"]
        if not self.aligned_cache:
            parts.append("unaligned")
        if self.hidden != 128:
            parts.append(f"d{self.hidden}")
        if self.chunk_k != 256:
            parts.append(f"c{self.chunk_k}")
        if self.waves_per_eu != 2:
            parts.append(f"w{self.waves_per_eu}")
        if self.out_stride != "auto":
            parts.append(self.out_stride)
        return "-".join(parts)


def check_config(kernel: Kernel, config: KernelConfig) -> None:
    """Refuse a configuration that the wrapper refuses too, or that the kernel has no layout for.

    Raises:
        UsageError: naming the value and the rule.
    """
    block = config.kv_block_size
    if kernel.preshuffled and (block < 16 or block % 16):
        raise UsageError(f"preshuffled kernels need a block size that is a multiple of 16, not {block}")
    if config.chunk_k % block and block % config.chunk_k:
        raise UsageError(f"block size {block} and chunk {config.chunk_k} do not divide one another")
    if config.heads not in (16, 32, 64, 128):
        raise UsageError(f"{config.heads} heads: the kernels are laid out for 16, 32, 64 or 128")


_FP8 = "*fp8e4nv"
ARGUMENT_TYPES = MappingProxyType(
    {
        **dict.fromkeys(
            (
                *("batch_size", "next_n", "heads_num", "stride_q_batch", "stride_q_next_n", "stride_q_heads"),
                *("stride_k_seq", "stride_scale_seq", "stride_w_batch", STORE_STRIDE),
                *("max_model_len", "max_block_len", "num_block", "SplitKV"),
            ),
            "i32",
        ),
        "Q_buffer": _FP8,
        "KV_buffer": _FP8,
        "scale_buffer": "*fp32",
        "context_len_ptr": "*i32",
        "kv_indices": "*i32",
        "weights": "*fp32",
        OUTPUT: "*fp32",
        "safe_chunks_per_cta_ptr": "*i32",
    }
)
CONSTANTS = ("ChunkQ", "ChunkK", "KVBlockSize", "HiddenDim", "CDNA_VERSION", "ARCH")

_DIVISIBLE = ("tt.divisibility", 16)
_NARROW = ("tt.pointer_range", 32)
_CACHE_ARGUMENTS = ("KV_buffer", "stride_k_seq", "scale_buffer", "stride_scale_seq")
_ATTRIBUTES = MappingProxyType(
    {
        "heads_num": (_DIVISIBLE,),
        "Q_buffer": (_DIVISIBLE, _NARROW),
        "stride_q_batch": (_DIVISIBLE,),
        "stride_q_next_n": (_DIVISIBLE,),
        "stride_q_heads": (_DIVISIBLE,),
        "context_len_ptr": (_NARROW,),
        "kv_indices": (_NARROW,),
        "weights": (_DIVISIBLE, _NARROW),
        "stride_w_batch": (_DIVISIBLE,),
    }
)


@dataclass(frozen=True)
class WrapperFacts:
    """What a wrapper's text says about argument types, where it says it.

    Attributes:
        types: parameter name -> type, from the dict literal of the signature.
        out_stride: type of the row stride.
        narrow_output: whether the output pointer carries ``tt.pointer_range``; None where the text does not say.
    """

    types: tuple[tuple[str, str], ...]
    out_stride: Literal["i32", "i64"]
    narrow_output: bool | None


@lru_cache(maxsize=16)
def parse(source: bytes, filename: str) -> ast.Module:
    """The syntax tree of a kernel file; not to be changed.

    Raises:
        NotUnderstoodError: the file is not Python.
    """
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise NotUnderstoodError(f"{filename} does not parse as Python", why=str(error)) from error


def find_kernels(source: bytes, filename: str) -> tuple[Kernel, ...]:
    """The kernels that a file defines under Gluon's decorator, in the order of :class:`Kernel`."""
    defined = {node.name: node for node in parse(source, filename).body if isinstance(node, ast.FunctionDef)}
    return tuple(kernel for kernel in Kernel if kernel.function in defined and _is_gluon(defined[kernel.function]))


def _is_gluon(function: ast.FunctionDef) -> bool:
    """Plain-Triton files carry functions of the same names as signatures for prebuilt code objects."""
    return any("gluon" in ast.unparse(decorator) for decorator in function.decorator_list)


def _function(tree: ast.Module, name: str, filename: str) -> ast.FunctionDef:
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if len(found) != 1:
        raise NotUnderstoodError(
            f"{filename} defines {name} {len(found)} times at top level",
            remedy="name a file that holds the kernel, or another kernel",
        )
    return found[0]


def read_wrapper(text: bytes, filename: str) -> WrapperFacts | None:
    """Facts from the wrapper's text; None where it holds no signature table for these kernels."""
    for node in ast.walk(parse(text, filename)):
        if not isinstance(node, ast.FunctionDef):
            continue
        tables = [part for part in ast.walk(node) if isinstance(part, ast.Dict)]
        for table in tables:
            types = {
                key.value: value.value
                for key, value in zip(table.keys, table.values, strict=True)
                if isinstance(key, ast.Constant)
                and isinstance(key.value, str)
                and isinstance(value, ast.Constant)
                and isinstance(value.value, str)
            }
            stride = types.get(STORE_STRIDE)
            if stride in ("i32", "i64"):
                return WrapperFacts(
                    tuple(types.items()), "i64" if stride == "i64" else "i32", _narrow_output(table, tables)
                )
    return None


def _narrow_output(signature: ast.Dict, tables: list[ast.Dict]) -> bool | None:
    names = [key.value if isinstance(key, ast.Constant) else None for key in signature.keys]
    index = names.index(OUTPUT) if OUTPUT in names else None
    for table in tables:
        keys = [
            key.elts[0].value
            for key in table.keys
            if isinstance(key, ast.Tuple) and len(key.elts) == 1 and isinstance(key.elts[0], ast.Constant)
        ]
        if not keys:
            continue
        if index not in keys:
            return False
        return "pointer_range" in ast.unparse(table.values[keys.index(index)])
    return None


def row_added_to_pointer(tree: ast.Module) -> bool:
    """Whether stores take their row from the pointer (in 64 bit, since aiter #4244) and not from the offsets.

    Asked of the whole file: a release changed all its kernels at once, and a store may stand in a helper.
    """
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        for keyword in call.keywords:
            names = {part.id for part in ast.walk(keyword.value) if isinstance(part, ast.Name)}
            if keyword.arg == "ptr" and {OUTPUT, STORE_STRIDE} <= names:
                return True
    return False


def make_request(
    source: bytes,
    filename: str,
    kernel: Kernel,
    config: KernelConfig,
    wrapper: WrapperFacts | None = None,
) -> CompileRequest:
    """What to tell the compiler for one kernel and configuration.

    Args:
        wrapper: facts from the wrapper's text; they outrank the tables, and ``config.out_stride`` outranks both.

    Raises:
        NotUnderstoodError: the file does not parse, lacks the kernel, or the kernel has an unknown parameter.
        UsageError: a configuration that the kernel has no layout for.
    """
    check_config(kernel, config)
    tree = parse(source, filename)
    function = _function(tree, kernel.function, filename)
    parameters = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    stated = dict(wrapper.types) if wrapper else {}
    unknown = [name for name in parameters if name not in ARGUMENT_TYPES and name not in CONSTANTS]
    if unknown or function.args.vararg or function.args.kwonlyargs or function.args.kwarg:
        raise NotUnderstoodError(
            f"{filename}: {kernel.function} has parameters that are not understood: {', '.join(unknown) or '*'}",
            why="what the wrapper passes there is not known, and a guess would run another kernel than production",
            remedy="use a newer aiterfix, or keep the padding",
        )
    missing = [name for name in ("ChunkQ", "ChunkK", "HiddenDim", OUTPUT, STORE_STRIDE) if name not in parameters]
    if missing:
        raise NotUnderstoodError(f"{filename}: {kernel.function} lacks the parameters {', '.join(missing)}")

    stride, narrow = _output_facts(tree, config, wrapper)
    values: dict[str, int | str] = {
        "ChunkQ": config.heads,
        "ChunkK": config.chunk_k,
        "KVBlockSize": config.kv_block_size,
        "HiddenDim": config.hidden,
        "CDNA_VERSION": 4,
        "ARCH": ARCH,
    }

    def kind(name: str) -> str:
        if name in CONSTANTS:
            return "constexpr"
        if name == STORE_STRIDE:
            return stride
        said = stated.get(name, ARGUMENT_TYPES[name])
        return said if not said.startswith("*fp8") else _FP8

    def attributes(name: str) -> tuple[tuple[str, int], ...]:
        if name in _CACHE_ARGUMENTS:
            return (_DIVISIBLE,) if config.aligned_cache else ()
        if name == OUTPUT:
            return (_NARROW,) if narrow else ()
        return _ATTRIBUTES.get(name, ())

    options: dict[str, int | str | tuple[int, ...]] = {
        "num_warps": 4,
        "waves_per_eu": config.waves_per_eu,
        "num_stages": 2,
        "num_ctas": 1,
        "cluster_dims": (1, 1, 1),
        "arch": ARCH,
        "backend_name": "hip",
        "warp_size": 64,
        "name": kernel.function,
    }
    return CompileRequest(
        source=source,
        filename=filename,
        function=kernel.function,
        signature=tuple((name, kind(name)) for name in parameters),
        constants=tuple((name, values[name]) for name in parameters if name in CONSTANTS),
        attributes=tuple((index, attributes(name)) for index, name in enumerate(parameters) if attributes(name)),
        options=tuple(options.items()),
        stand_ins=Path(standins.__file__),
        label=f"{config.name}, row stride {stride}",
    )


def _output_facts(
    tree: ast.Module, config: KernelConfig, wrapper: WrapperFacts | None
) -> tuple[Literal["i32", "i64"], bool]:
    """Type of the row stride, and whether the output pointer is declared to span less than 2 GiB."""
    if config.out_stride != "auto":
        return config.out_stride, config.out_stride == "i32"
    if wrapper is not None:
        narrow = wrapper.narrow_output
        return wrapper.out_stride, wrapper.out_stride == "i32" if narrow is None else narrow
    return ("i64", False) if row_added_to_pointer(tree) else ("i32", True)
