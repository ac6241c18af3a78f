"""Compile what is installed, establish its overshoot, keep the result."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.family.portable import AnyKernel, Portable, check_portable, find_portable
from aiterfix.family.rounding import chunk_of
from aiterfix.family.signature import (
    KernelConfig,
    WrapperFacts,
    find_kernels,
    make_request,
)
from aiterfix.family.splits import COMPUTE_UNITS, head_tiles, split_of
from aiterfix.gfx950.compile import Compiler
from aiterfix.gfx950.request import CompileRequest
from aiterfix.overshoot.launches import every_split
from aiterfix.overshoot.measure import IntegerPart
from aiterfix.overshoot.results import Measured, store
from aiterfix.storage.children import Owner
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.scenarios import Scenario
from aiterfix.validation.source import plain_request

if TYPE_CHECKING:
    from aiterfix.advice.padding import Question


_CACHE_BLOCKS = 1024
"""Of the cache that a launch is compiled for: no address that decides is in it."""


class Asked(NamedTuple):
    """A kernel to measure: what is compiled for each of the values of ``SplitKV`` that are compiled in; (None,) where
    it is an argument."""

    text: bytes
    kernel: AnyKernel
    config: KernelConfig
    requests: dict[tuple[int, ...] | None, CompileRequest]


def files_of(texts: Mapping[Path, bytes], asked: str) -> dict[Path, bytes]:
    """Those that define what is asked about, by :data:`aiterfix.advice.padding.KERNELS`."""
    gluon = {file: text for file, text in texts.items() if find_kernels(text, str(file))}
    plain = {file: text for file, text in texts.items() if find_portable(text, str(file))}
    return {"gluon": gluon, "stage1": plain, "all": gluon | plain}.get(asked) or (gluon or plain)


def certify(
    files: Mapping[Path, bytes],
    question: Question,
    wrapper: WrapperFacts | None = None,
    owner: Owner | None = None,
    guarded: Collection[str] = (),
) -> list[Measured]:
    """Measure and keep every kernel that a question selects, in the files that are installed.

    Args:
        files: their texts.
        question: which kernels, and what they are launched with.
        wrapper: what the module that launches the Gluon kernels says of argument types, where that is known.
        owner: whose rights the compiling process has, which runs the files' top level; None for this process's.
        guarded: plain-Triton kernels that are left out, as source shows that their stores are bounded.

    Raises:
        EnvironmentProblem: no such kernel, no Triton, or the cache cannot be written.
        NotUnderstoodError: where a kernel stores depends on more than integers.
    """
    asked = [*_gluon(files, question, wrapper)] if question.kernel != "stage1" else []
    if question.kernel in ("stage1", "all") or (question.kernel == "auto" and not asked):
        asked += plain(files, question, guarded)
    if not asked:
        raise EnvironmentProblem("none of the kernels asked about is installed here, or every store is bounded")
    with Compiler(owner=owner) as compiler:
        results = []
        for one in asked:
            result = measured(one, question, compiler)
            try:
                store(result)
            except OSError as error:
                raise EnvironmentProblem(f"the result cannot be kept: {error}") from error
            results.append(result)
    return results


def measured(asked: Asked, question: Question, compiler: Compiler) -> Measured:
    """Establish one, whatever was kept."""
    digests, found = [], []
    for splits, request in asked.requests.items():
        compiled = compiler.compile(request)
        digests.append(compiled.sha256)
        part = IntegerPart(compiled, asked.kernel, asked.config, splits)
        found.append(part.overshoot(question.max_model_len, question.next_n))
    worst = max(found, key=lambda one: (one.columns, one.context_length))
    return Measured(
        hashlib.sha256(asked.text).hexdigest(),
        asked.kernel.value,
        question.heads,
        asked.config.kv_block_size,
        asked.config.chunk_k,
        question.next_n,
        question.max_model_len,
        compiler.triton,
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest(),
        worst.columns,
        worst.context_length,
        sum(one.programs for one in found),
    )


def _gluon(files: Mapping[Path, bytes], question: Question, wrapper: WrapperFacts | None) -> Iterator[Asked]:
    for file, text in files.items():
        for kernel in find_kernels(text, str(file)):
            if kernel.function in question.gluon_kernels:
                block = question.kv_block_size if kernel.preshuffled else 1
                config = KernelConfig(question.heads, block, chunk_k=question.chunk_k)
                request = make_request(text, str(file), kernel, config, wrapper)
                yield Asked(text, kernel, config, {None: request})


def plain(files: Mapping[Path, bytes], question: Question, guarded: Collection[str]) -> Iterator[Asked]:
    """The plain-Triton kernels of files, ``SplitKV`` being compiled into them."""
    for file, text in files.items():
        source = KernelFile(text, str(file))
        for kernel in find_portable(text, str(file)):
            if kernel.function in guarded:
                continue
            if not kernel.by_head:
                raise NotUnderstoodError(
                    f"{kernel.function} is not measured, and source does not show that its stores are bounded",
                    remedy="leave --measure out (the bound is then the answer)",
                )
            config = KernelConfig(
                question.heads,
                1 if kernel.ragged else question.kv_block_size,
                aligned_cache=False,
                chunk_k=chunk_of(kernel.function, question.chunk_k),
            )
            check_portable(kernel, config)
            abreast = question.next_n * head_tiles(kernel, config)
            yield Asked(
                text,
                kernel,
                config,
                {
                    (splits,): plain_request(source, _scenario(kernel, config, question, splits), _CACHE_BLOCKS)[0]
                    for splits in every_split(kernel, 1, abreast, config.waves_per_eu)
                },
            )


def _scenario(kernel: Portable, config: KernelConfig, question: Question, splits: int) -> Scenario:
    """A launch of so many splits: of a batch that has them and is no multiple of 16, nor 1, where there is one; what
    Triton compiles for that assumes least."""
    width, next_n, heads = question.max_model_len, question.next_n, head_tiles(kernel, config)
    batches = [
        batch
        for batch in range(1, COMPUTE_UNITS + 2)
        if split_of(kernel, batch * next_n * heads, config.waves_per_eu) == splits
    ]
    batch = min(batches, key=lambda batch: (batch == 1, batch % 16 == 0, batch))
    # A stride of 1 would be compiled in, and here it must be free to be 0.
    gap, share = int(width == 1), heads * splits // config.waves_per_eu
    return Scenario(kernel, config, "overshoot", (width,) * batch, next_n, width, gap, share)
