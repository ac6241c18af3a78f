from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiterfix.errors import NotUnderstoodError, UsageError
from aiterfix.family.signature import Kernel, KernelConfig, make_request
from aiterfix.gfx950.cache import CodeObjectCache
from aiterfix.gfx950.compile import Compiler
from aiterfix.validation.emulator import Emulator
from aiterfix.validation.pipeline import validate
from aiterfix.validation.prebuilt import CodeObjectFile, config_from_path, kernel_of, signature_of
from aiterfix.validation.selection import Selection
from tests.emulator import needs_emulator

SOURCE = (Path(__file__).parents[1] / "data" / "sample_kernels.py").read_bytes()
WIDE = {"i64"}


def stated(source: bytes, kernel: Kernel, stride: str, own: int = 2) -> tuple[list[tuple[int, bool]], dict[str, str]]:
    config = KernelConfig(kv_block_size=1 if kernel is Kernel.BASE else 64, out_stride=stride)  # type: ignore[arg-type]
    arguments = make_request(source, "k.py", kernel, config).arguments
    sizes = [(8 if kind.startswith("*") or kind in WIDE else 4, kind.startswith("*")) for _, kind in arguments]
    return sizes + [(8, True)] * own, dict(arguments)


@pytest.mark.parametrize("kernel", list(Kernel))
@pytest.mark.parametrize("stride", ["i32", "i64"])
@pytest.mark.parametrize("own", [0, 1, 2])
@pytest.mark.parametrize("source", [SOURCE, SOURCE.replace(b" num_block,", b"")], ids=["num_block", "older"])
def test_arguments_are_told_by_their_sizes(kernel: Kernel, stride: str, own: int, source: bytes) -> None:
    sizes, arguments = stated(source, kernel, stride, own)
    assert dict(signature_of(kernel, sizes, "f")) == arguments


def test_other_arguments_are_not_understood() -> None:
    sizes, _ = stated(SOURCE, Kernel.PRESHUFFLE, "i32")
    for wrong in (sizes[1:], [*sizes, (8, True)], [(8, False), *sizes[1:]], sizes[:-4]):
        with pytest.raises(NotUnderstoodError, match="not understood"):
            signature_of(Kernel.PRESHUFFLE, wrong, "f")


@pytest.mark.parametrize(
    ("path", "config"),
    [
        ("aot/paged_mqa_logits_preshuffle_64x256x128_B64PFW2/k.hsaco", KernelConfig()),
        ("paged_mqa_logits_32x256x128_B1PFW5", KernelConfig(32, 1, False, waves_per_eu=5)),
        ("paged_mqa_logits_32x256x128_B1PTW2", KernelConfig(32, 1, True)),
        ("cache/3f2a/kernel.hsaco", None),
    ],
)
def test_aot_folders_say_what_was_compiled(path: str, config: KernelConfig | None) -> None:
    assert config_from_path(Path(path)) == config


def test_a_function_tells_the_kernel() -> None:
    assert all(kernel_of(kernel.function) is kernel for kernel in Kernel)
    with pytest.raises(NotUnderstoodError, match="_some_gemm"):
        kernel_of("_some_gemm")


@needs_emulator
def test_a_prebuilt_kernel_runs_like_one_just_compiled(tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="needs Triton 3.6 or later")
    faulty = SOURCE.replace(b"BOUND_STORES = tl.constexpr(True)", b"BOUND_STORES = tl.constexpr(False)")
    with Compiler(cache=CodeObjectCache(tmp_path / "cache")) as compiler:
        kernel = compiler.compile(make_request(faulty, "k.py", Kernel.PRESHUFFLE, KernelConfig()))
    folder = tmp_path / "paged_mqa_logits_preshuffle_64x256x128_B64PFW2"
    folder.mkdir()
    path = folder / "kernel.hsaco"
    path.write_bytes(kernel.code)
    said = {"name": kernel.function, "shared": kernel.shared_bytes, "num_warps": 4, "triton_version": "3.6.0"}
    path.with_suffix(".json").write_text(json.dumps(said))
    report = validate(CodeObjectFile.read(path), Emulator(), Selection(pattern="*/full/*-len1000-*"))
    assert not report.passed and report.scenarios[0].overshoot_columns == 24
    assert (report.triton, report.sources[0].sha256) == ("3.6.0", "")
    moved = tmp_path / "kernel.hsaco"
    moved.write_bytes(kernel.code)
    moved.with_suffix(".json").write_text(json.dumps(said))
    with pytest.raises(UsageError, match="does not say what it was compiled for"):
        CodeObjectFile.read(moved)
