from __future__ import annotations

from pathlib import Path

import pytest

from aiterfix.errors import NotUnderstoodError, UsageError
from aiterfix.family.signature import (
    Kernel,
    KernelConfig,
    WrapperFacts,
    find_kernels,
    make_request,
    read_wrapper,
)
from aiterfix.gfx950.request import CompileRequest

SOURCE = (Path(__file__).parents[1] / "data" / "sample_kernels.py").read_bytes()
ROW_IN_OFFSETS = SOURCE.replace(
    b"ptr=OutLogits_buffer + row.to(gl.int64) * stride_out_batch, offsets=column",
    b"ptr=OutLogits_buffer, offsets=row * stride_out_batch + column",
)
BASE = KernelConfig(kv_block_size=1, aligned_cache=False)

WRAPPER = b"""
def _compile(Preshuffle, VarCtx):
    fn_signature = {
        "batch_size": "i32",
        "next_n": "i32",
        "OutLogits_buffer": "*fp32",
        "stride_out_batch": "%s",
    }
    if VarCtx:
        fn_signature["safe_chunks_per_cta_ptr"] = "*i32"
    return Source(signature=fn_signature, attrs={(1,): [["tt.divisibility", 16]]%s})
"""


def request(source: bytes = SOURCE, kernel: Kernel = Kernel.PRESHUFFLE, **changes: object) -> CompileRequest:
    return make_request(source, "k.py", kernel, KernelConfig(**changes))  # type: ignore[arg-type]


def attributes(made: CompileRequest) -> dict[str, dict[str, int]]:
    return {made.signature[index][0]: dict(stated) for index, stated in made.attributes}


def test_finds_gluon_kernels_only() -> None:
    assert find_kernels(SOURCE, "k.py") == tuple(Kernel)
    plain = SOURCE.replace(b"@gluon.jit", b"@triton.jit")
    assert find_kernels(plain, "k.py") == ()


def test_arguments_follow_the_parameter_list() -> None:
    made = request(kv_block_size=128)
    assert [name for name, _ in made.arguments][:4] == ["batch_size", "next_n", "heads_num", "Q_buffer"]
    kinds = dict(made.signature)
    assert kinds["KV_buffer"] == kinds["Q_buffer"] == "*fp8e4nv"
    assert kinds["kv_indices"] == "*i32" and kinds["SplitKV"] == kinds["num_block"] == "i32"
    assert dict(made.constants) == {
        "ChunkQ": 64,
        "ChunkK": 256,
        "HiddenDim": 128,
        "KVBlockSize": 128,
        "CDNA_VERSION": 4,
        "ARCH": "gfx950",
    }
    assert dict(request(kernel=Kernel.PRESHUFFLE_VARCTX).signature)["safe_chunks_per_cta_ptr"] == "*i32"


def test_what_the_wrapper_leaves_to_triton_is_left_to_it() -> None:
    """As whether products and sums are fused: what it states, and no more."""
    options = dict(request().options)
    assert options.keys() == {
        *("num_warps", "waves_per_eu", "num_stages", "num_ctas", "cluster_dims", "arch", "backend_name", "warp_size"),
        "name",
    }


def test_a_parameter_that_a_release_lacks_is_left_out() -> None:
    older = SOURCE.replace(b" num_block,", b"").replace(b' ARCH: gl.constexpr = "gfx942",', b"")
    made = request(older)
    assert "num_block" not in dict(made.signature) and "ARCH" not in dict(made.constants)


def test_a_parameter_in_no_table_is_not_guessed() -> None:
    newer = SOURCE.replace(b"max_block_len, num_block,", b"max_block_len, num_block, sink_tokens,")
    with pytest.raises(NotUnderstoodError, match="sink_tokens") as caught:
        request(newer)
    assert caught.value.exit_code == 3


def test_row_stride_is_wide_where_the_row_stands_in_the_pointer() -> None:
    wide, narrow = request(), request(ROW_IN_OFFSETS)
    assert dict(wide.signature)["stride_out_batch"] == "i64"
    assert "OutLogits_buffer" not in attributes(wide)
    assert dict(narrow.signature)["stride_out_batch"] == "i32"
    assert attributes(narrow)["OutLogits_buffer"] == {"tt.pointer_range": 32}


@pytest.mark.parametrize("source", [SOURCE, ROW_IN_OFFSETS])
@pytest.mark.parametrize("kind", ["i32", "i64"])
def test_row_stride_can_be_stated(source: bytes, kind: str) -> None:
    made = request(source, out_stride=kind)
    assert dict(made.signature)["stride_out_batch"] == kind
    assert ("OutLogits_buffer" in attributes(made)) == (kind == "i32")


@pytest.mark.parametrize(
    ("kind", "more", "narrow"),
    [
        (b"i64", b"", False),
        (b"i32", b', (2,): [["tt.pointer_range", 32]]', True),
        (b"i32", b', (2,): [["tt.divisibility", 16]]', False),
    ],
)
def test_the_wrapper_s_text_outranks_the_source(kind: bytes, more: bytes, narrow: bool) -> None:
    facts = read_wrapper(WRAPPER % (kind, more), "w.py")
    assert facts is not None
    assert (facts.out_stride, facts.narrow_output) == (kind.decode(), narrow)
    made = make_request(ROW_IN_OFFSETS, "k.py", Kernel.PRESHUFFLE, KernelConfig(), facts)
    assert dict(made.signature)["stride_out_batch"] == kind.decode()
    assert ("OutLogits_buffer" in attributes(made)) is narrow


def test_other_text_is_no_wrapper() -> None:
    assert read_wrapper(b'def f():\n    return {"stride_out_batch": 4}\n', "w.py") is None


def test_a_wrapper_that_says_nothing_of_the_pointer_leaves_it_to_the_stride() -> None:
    facts = WrapperFacts((), "i32", None)
    made = make_request(SOURCE, "k.py", Kernel.PRESHUFFLE, KernelConfig(), facts)
    assert "OutLogits_buffer" in attributes(made)


def test_alignment_of_the_cache_is_an_attribute() -> None:
    aligned = attributes(make_request(SOURCE, "k.py", Kernel.BASE, KernelConfig(kv_block_size=1)))
    unaligned = attributes(make_request(SOURCE, "k.py", Kernel.BASE, BASE))
    for name in ("KV_buffer", "stride_k_seq", "scale_buffer", "stride_scale_seq"):
        assert aligned[name] == {"tt.divisibility": 16}
        assert name not in unaligned
    assert unaligned["Q_buffer"] == {"tt.divisibility": 16, "tt.pointer_range": 32}


@pytest.mark.parametrize(
    ("kernel", "config", "message"),
    [
        (Kernel.BASE, KernelConfig(kv_block_size=96), "do not divide"),
        (Kernel.PRESHUFFLE, BASE, "multiple of 16"),
        (Kernel.PRESHUFFLE, KernelConfig(kv_block_size=96), "do not divide"),
        (Kernel.PRESHUFFLE, KernelConfig(heads=12), "12 heads"),
    ],
)
def test_configurations_without_a_layout_are_refused(kernel: Kernel, config: KernelConfig, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_request(SOURCE, "k.py", kernel, config)


def test_a_missing_or_doubled_kernel_is_not_understood() -> None:
    doubled = SOURCE + b"\n@gluon.jit\ndef _gluon_deepgemm_fp8_paged_mqa_logits():\n    pass\n"
    with pytest.raises(NotUnderstoodError, match="2 times"):
        make_request(doubled, "k.py", Kernel.BASE, BASE)
    with pytest.raises(NotUnderstoodError, match="0 times"):
        make_request(b"x = 1\n", "k.py", Kernel.BASE, BASE)


def test_names_of_configurations_tell_them_apart() -> None:
    assert KernelConfig().name == "h64-b64"
    assert BASE.name == "h64-b1-unaligned"
    assert KernelConfig(heads=32, kv_block_size=256, out_stride="i32", waves_per_eu=1).name == "h32-b256-w1-i32"
