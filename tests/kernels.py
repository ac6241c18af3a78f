"""Kernels written for tests, and the fix that declares them."""

from __future__ import annotations

from pathlib import Path

from aiterfix.fixes import Fix, KernelSpec

SPEC = KernelSpec(name="kernel", output="Out", strides=("stride_row", "stride_head"), bound="width")
FIX = Fix(
    id="test-fix",
    title="a fix for tests",
    path="test",
    superseded_by=None,
    modules=("sample.kernels",),
    wrappers=(),
    kernels=(SPEC,),
    entry=None,
    aot=None,
    upstream=(),
    file=Path("test-fix.toml"),
)

SIGNATURE = "Out, stride_row, stride_head, width, Data, rows, size: tl.constexpr"


def module(body: str, signature: str = SIGNATURE) -> bytes:
    """A module with one kernel of this body (indented by four blanks here)."""
    indented = "".join(f"    {line}\n" if line else "\n" for line in body.strip("\n").split("\n"))
    text = f"import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef kernel({signature}):\n{indented}"
    return text.encode()
