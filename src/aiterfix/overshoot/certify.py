"""Compile what is installed, establish its overshoot, keep the result."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.family.kernels import GROUPS
from aiterfix.family.signature import KernelConfig, WrapperFacts, find_kernels, make_request, read_wrapper
from aiterfix.gfx950.compile import Compiler
from aiterfix.overshoot.measure import IntegerPart
from aiterfix.overshoot.stored import Measured, store
from aiterfix.storage.children import Owner

if TYPE_CHECKING:
    from aiterfix.advice.padding import Question
    from aiterfix.installation.view import View


def certify(files: Mapping[Path, bytes], question: Question, view: View, owner: Owner | None = None) -> list[Measured]:
    """Measure and keep every Gluon kernel that a question selects, in the files that are installed.

    Args:
        files: their texts.
        question: which kernels, and what they are launched with.
        view: how what stands beside them is read.
        owner: whose rights the compiling process has, which runs the files' top level; None for this process's.

    Raises:
        EnvironmentProblem: no such kernel, no Triton, or the cache cannot be written.
        NotUnderstoodError: where a kernel stores depends on more than integers, or it is a plain-Triton kernel.
    """
    if question.kernel in ("stage1", "all"):
        raise NotUnderstoodError(
            f"--measure does not go with --kernel {question.kernel}: the plain-Triton kernels are not measured",
            why="they run on GPUs that are no gfx950, and are specialised by Triton at each launch",
            remedy="leave --measure out (the bound is then the answer), or measure --kernel gluon",
        )
    results = []
    with Compiler(owner=owner) as compiler:
        for file, text in files.items():
            for kernel in find_kernels(text, str(file)):
                if kernel.function not in question.gluon_kernels:
                    continue
                block = question.kv_block_size if kernel.preshuffled else 1
                config = KernelConfig(question.heads, block, chunk_k=question.chunk_k)
                compiled = compiler.compile(make_request(text, str(file), kernel, config, _wrapper(file, view)))
                found = IntegerPart(compiled, kernel, config).overshoot(question.max_model_len, question.next_n)
                measured = Measured(
                    hashlib.sha256(text).hexdigest(),
                    kernel.value,
                    question.heads,
                    block,
                    question.chunk_k,
                    question.next_n,
                    question.max_model_len,
                    compiler.triton,
                    compiled.sha256,
                    found.columns,
                    found.context_length,
                    found.programs,
                )
                try:
                    store(measured)
                except OSError as error:
                    raise EnvironmentProblem(f"the result cannot be kept: {error}") from error
                results.append(measured)
    if not results:
        raise EnvironmentProblem("none of the Gluon kernels asked about is installed here")
    return results


def _wrapper(file: Path, view: View) -> WrapperFacts | None:
    """What the wrapper beside a kernel file says of argument types."""
    for group in GROUPS:
        for module in group.modules:
            parts = module.split(".")[1:]
            if file.with_suffix("").parts[-len(parts) :] != tuple(parts):
                continue
            package = file.parents[len(parts) - 1]
            for name in group.wrappers:
                path = package.joinpath(*name.split(".")[1:]).with_suffix(".py")
                text = view.text(path)
                facts = read_wrapper(text, str(path)) if text is not None else None
                if facts is not None:
                    return facts
    return None
