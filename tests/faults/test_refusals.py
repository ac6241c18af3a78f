"""Entries that refuse what their kernels cannot do: output-rank and small-chunk; and launch-arguments beside them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aiterfix.faults.base import Presence
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import Judgement
from tests.faults.kernels import FIXED, NAME, SCORES, SEEN, kernel, mended
from tests.kernels import SHIPPED

RANK, CHUNK, ARGUMENTS, PAGING = "output-rank", "small-chunk", "launch-arguments", "block-paging"
TILES = "tiles: gl.constexpr = ChunkK // 2 // 16 // 4\nlayout: gl.constexpr = gl.Layout(tiles_per_warp=[1, tiles])\n"
KERNEL = kernel(TILES + FIXED + SCORES + SEEN)

WRAPPER = f'''"""A wrapper."""
from packaging.version import Version

from aiter.jit.utils.chip_info import get_gfx
from aiter.ops.triton.gluon.pa_mqa_logits import {NAME}_preshuffle

triton_version = Version("3.6.0")


def _compile(ChunkK, Preshuffle):
    kernel = triton.compile(ASTSource(fn={NAME}_preshuffle, constexprs={{"ChunkK": ChunkK}}))
    return kernel


def deepgemm_fp8_paged_mqa_logits(q_fp8, kv_cache, weights, out_logits, max_model_len, Preshuffle=False, ChunkK=256):
    """Scores."""
    kernel = _compile(ChunkK=ChunkK, Preshuffle=Preshuffle)
    kernel[(1,)](
        1, 2, 3, q_fp8, 5, 6, 7, kv_cache, 9, 10, 11, 12, 13, weights, 15, out_logits, out_logits.stride(0),
        max_model_len, 19, 20, 21, ChunkK, 23, 24, 25
    )
'''


class Output:
    """A tensor, as far as the entries look at one."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def numel(self) -> int:
        product = 1
        for n in self.shape:
            product *= n
        return product

    def size(self, axis: int) -> int:
        return self.shape[axis]

    def stride(self, axis: int | None = None) -> Any:
        strides = [1]
        for n in reversed(self.shape[1:]):
            strides.insert(0, strides[0] * n)
        return tuple(strides) if axis is None else strides[axis]


def _called(text: bytes, gpu: str = "gfx950", **handed: Any) -> list[tuple[Any, ...]]:
    """Call a wrapper; the launches that it made."""
    launches: list[tuple[Any, ...]] = []

    class Kernel:
        def __getitem__(self, grid: object) -> Any:
            return lambda *arguments: launches.append(arguments)

    body = "\n".join(line for line in text.decode().splitlines() if not line.startswith(("from ", "triton_version")))
    triton = SimpleNamespace(compile=lambda _: Kernel())
    names: dict[str, Any] = {
        "triton": triton,
        "ASTSource": lambda **_: None,
        f"{NAME}_preshuffle": None,
        "get_gfx": lambda: gpu,
    }
    exec(compile(body, "wrapper", "exec"), names)
    given = {"q_fp8": SimpleNamespace(), "kv_cache": None, "weights": None, "max_model_len": 8, **handed}
    names["deepgemm_fp8_paged_mqa_logits"](**given)
    return launches


def _judged(folder: Path, wrapper: str | None, text: bytes = KERNEL) -> Judgement:
    triton = folder / "aiter" / "ops" / "triton"
    for name, content in (("gluon", text), ("attention", (wrapper or "").encode())):
        (triton / name).mkdir(parents=True)
        (triton / name / "pa_mqa_logits.py").write_bytes(content)
    chip = folder / "aiter" / "jit" / "utils"
    chip.mkdir(parents=True)
    (chip / "chip_info.py").write_text("def get_gfx():\n    return ''\n")
    (folder / "aiter" / "__init__.py").write_text("")
    (installation,) = find_path(folder).installations
    return judge_installation(installation, SHIPPED)


def _answer(judgement: Judgement, fault: str) -> tuple[Presence, str]:
    """In the one kernel; that a wrapper calls what this module does not have is a doubt of another kind."""
    ((_, unit),) = judgement.units
    (found,) = [d for d in unit.diagnoses if d.fault == fault]
    return found.presence, found.obstacle


def _findings(judgement: Judgement, fault: str) -> list[str]:
    return [f.message for _, u in judgement.units for d in u.diagnoses if d.fault == fault for f in d.findings]


@pytest.mark.parametrize(
    ("fault", "what"),
    [(RANK, "an output with more axes than rows and columns"), (CHUNK, "ChunkK below 128")],
)
def test_an_entry_that_lets_it_through_is_found_and_refuses_once_mended(tmp_path: Path, fault: str, what: str) -> None:
    before = _judged(tmp_path / "before", WRAPPER)
    assert _answer(before, fault) == (Presence.PRESENT, "")
    entry = "deepgemm_fp8_paged_mqa_logits() of aiter/ops/triton/attention/pa_mqa_logits.py"
    assert _findings(before, fault) == [f"{entry} lets {what} through"]
    new = mended(WRAPPER.encode(), fault).new
    after = _judged(tmp_path / "after", new.decode())
    assert _answer(after, fault)[0] is Presence.REFUSED
    assert _findings(after, fault) == [f"{entry} raises first for {what}"]
    assert not mended(new, fault).changed


@pytest.mark.parametrize("shape", [(64, 8, 16), (4, 2, 16), (16,), (2, 2, 2, 2)])
def test_the_refusal_names_what_was_given_and_what_it_takes(shape: tuple[int, ...]) -> None:
    handed: dict[str, Any] = {"out_logits": Output(*shape)}
    assert len(_called(WRAPPER.encode(), **handed)) == 1
    with pytest.raises(ValueError, match="takes an output of rows and columns") as raised:
        _called(mended(WRAPPER.encode(), RANK).new, **handed)
    assert f"shape {shape} with strides {Output(*shape).stride()}" in str(raised.value)
    assert "(aiterfix: output-rank)" in str(raised.value)


@pytest.mark.parametrize("shape", [(8, 16), (8, 1, 16), (0, 16), (1, 1)])
def test_an_output_whose_first_stride_is_its_rows_goes_through(shape: tuple[int, ...]) -> None:
    new = mended(WRAPPER.encode(), RANK, CHUNK).new
    assert [a[16] for a in _called(new, out_logits=Output(*shape))] == [Output(*shape).stride(0)]


@pytest.mark.parametrize(
    ("preshuffle", "chunk", "refused"),
    [(True, 64, True), (True, 127, True), (True, 128, False), (True, 256, False), (False, 64, False)],
)
def test_small_chunks_are_refused_with_preshuffle_alone(preshuffle: bool, chunk: int, refused: bool) -> None:
    new = mended(WRAPPER.encode(), CHUNK).new
    handed: dict[str, Any] = {"out_logits": Output(8, 16), "Preshuffle": preshuffle, "ChunkK": chunk}
    if not refused:
        assert len(_called(new, **handed)) == 1
        return
    with pytest.raises(ValueError, match=f"ChunkK of 128 or more with Preshuffle=True, and was handed {chunk}"):
        _called(new, **handed)


def test_a_gpu_whose_kernels_are_made_otherwise_is_let_through() -> None:
    text = WRAPPER.replace('    """Scores."""\n', '    if get_gfx() == "gfx1250":\n        weights = None\n').encode()
    new = mended(text, CHUNK).new
    handed: dict[str, Any] = {"out_logits": Output(8, 16), "Preshuffle": True, "ChunkK": 64}
    assert len(_called(new, "gfx1250", **handed)) == 1
    with pytest.raises(ValueError, match="small-chunk"):
        _called(new, "gfx950", **handed)


def test_bytes_outside_the_refusal_stay() -> None:
    text = WRAPPER.replace("\n", "\r\n").encode()
    new = mended(text, RANK).new
    start = text.index(b"    kernel = _compile(")
    assert new[:start] == text[:start]
    assert new.endswith(text[start:])
    assert b"\n" not in new.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # The refusal comes too late, is about something else, or what it asks about was changed before.
        ("    kernel = _compile", "    kernel = _compile(1, 2)\n    {test}\n    kernel = _compile"),
        ("    kernel = _compile", "    out_logits = weights\n    {test}\n    kernel = _compile"),
        ("    kernel = _compile", "    if weights:\n        {test}\n    kernel = _compile"),
        ("    kernel = _compile", "    if out_logits.numel() == 3: raise ValueError\n    kernel = _compile"),
    ],
)
def test_what_is_no_refusal_does_not_count(tmp_path: Path, old: str, new: str) -> None:
    test = "if out_logits.numel() != out_logits.size(0) * out_logits.size(-1): raise ValueError"
    wrapper = WRAPPER.replace(old, new.replace("{test}", test))
    assert _answer(_judged(tmp_path, wrapper), RANK)[0] is Presence.PRESENT


def test_an_entry_that_takes_the_rows_stride_is_right(tmp_path: Path) -> None:
    wrapper = WRAPPER.replace("out_logits.stride(0)", "out_logits.stride(-2)")
    assert _answer(_judged(tmp_path, wrapper), RANK)[0] is Presence.ABSENT
    assert not mended(wrapper.encode(), RANK).changed


@pytest.mark.parametrize(
    ("before", "stride"),
    [
        ("rows = out_logits.view(out_logits.shape)", "rows.stride(0)"),
        ("rows = out_logits", "rows.stride(-2)"),
        ("stride = out_logits.stride", "stride(0)"),
        ("pass", "type(out_logits).stride(out_logits, 0)"),
    ],
)
def test_a_stride_of_the_output_by_another_name_is_one(tmp_path: Path, before: str, stride: str) -> None:
    wrapper = WRAPPER.replace("    kernel = _comp", f"    {before}\n    kernel = _comp")
    wrapper = wrapper.replace("out_logits.stride(0)", stride)
    assert _answer(_judged(tmp_path, wrapper), RANK)[0] is Presence.PRESENT


def test_an_output_of_another_name_is_present_and_stays(tmp_path: Path) -> None:
    wrapper = WRAPPER.replace("out_logits", "scores")
    presence, obstacle = _answer(_judged(tmp_path, wrapper), RANK)
    assert presence is Presence.PRESENT
    assert obstacle.startswith("deepgemm_fp8_paged_mqa_logits of aiter/ops/triton/attention/pa_mqa_logits.py, line ")
    assert not mended(wrapper.encode(), RANK).changed


def test_where_nothing_launches_the_kernel_no_stride_is_taken(tmp_path: Path) -> None:
    assert _answer(_judged(tmp_path, None), RANK)[0] is Presence.ABSENT
    assert _answer(_judged(tmp_path / "other", None), CHUNK)[0] is Presence.PRESENT


@pytest.mark.parametrize(
    ("tiles", "presence"),
    [
        (TILES, Presence.PRESENT),
        (TILES.replace("// 16 // 4", "// 16"), Presence.ABSENT),
        (TILES.replace("tiles: gl.constexpr = ", "if next_n:\n    tiles = 1\nelse:\n    tiles = "), Presence.UNKNOWN),
        (TILES.replace("ChunkK", "heads_num"), Presence.UNKNOWN),
        ("", Presence.ABSENT),
        # The branch that makes the other number is not the one of the layout.
        ("OTHER: gl.constexpr = ARCH == 3\nif OTHER:\n    half: gl.constexpr = 16\nelse:\n    half: gl.constexpr = ChunkK // 2\n"
         "if OTHER:\n    layout = gl.Other()\nelse:\n    layout = gl.Layout(tiles_per_warp=[1, half // 16 // 4])\n", Presence.PRESENT),
    ],
)  # fmt: skip
def test_tiles_a_warp(tmp_path: Path, tiles: str, presence: Presence) -> None:
    judgement = _judged(tmp_path, None, kernel(tiles + FIXED + SCORES + SEEN))
    assert _answer(judgement, CHUNK)[0] is presence


def test_arguments_that_fit_are_no_fault(tmp_path: Path) -> None:
    assert _answer(_judged(tmp_path / "all", WRAPPER), ARGUMENTS)[0] is Presence.ABSENT
    old = "kernel = _compile(ChunkK=ChunkK, Preshuffle=Preshuffle)\n    kernel[(1,)]("
    direct = WRAPPER.replace(old, f"kernel = {NAME}_preshuffle[(1,)](").replace(" 24, 25\n", " 24\n")
    assert _answer(_judged(tmp_path / "default", direct), ARGUMENTS)[0] is Presence.ABSENT


@pytest.mark.parametrize(
    ("old", "new", "presence", "message"),
    [
        (" 24, 25\n", " 24\n", Presence.PRESENT, "hands on 24 by place: it takes 25, all by place"),
        (" 24, 25\n", " 24, 25, 26\n", Presence.PRESENT, "hands on 26 by place: it takes 25, all by place"),
        (" 24, 25\n", " 24, CDNA_VERSION=25\n", Presence.PRESENT, "24 by place, CDNA_VERSION by name: it takes 25, all by place"),
        (" 24, 25\n", " *weights\n", Presence.UNKNOWN, "is not understood"),
        (" 24, 25\n", " 24, 25, **weights\n", Presence.UNKNOWN, "is not understood"),
        ("kernel = _compile(ChunkK=ChunkK, Preshuffle=Preshuffle)\n    kernel[(1,)]", f"kernel = {NAME}_preshuffle[(1,)]", Presence.ABSENT, ""),
        ("kernel = _compile(ChunkK=ChunkK, Preshuffle=Preshuffle)\n    kernel[(1,)](\n        1,", f"kernel = {NAME}_preshuffle[(1,)](\n       ", Presence.PRESENT, "weights in the place of kv_indices"),
        ("13, weights, 15,", "weights, 13, 15,", Presence.PRESENT, "weights in the place of kv_indices"),
        ("max_model_len, 19, 20", "19, max_model_len, 20", Presence.PRESENT, "max_model_len in the place of max_block_len"),
        ("ChunkK, 23, 24, 25", "23, ChunkK, 24, 25", Presence.ABSENT, ""),
        ("kernel = _compile(ChunkK=ChunkK, Preshuffle=Preshuffle)\n    kernel[(1,)](\n        1, 2, 3,", f"kernel = {NAME}_preshuffle[(1,)](\n       ", Presence.PRESENT, "and also HiddenDim"),
    ],
)  # fmt: skip
def test_arguments_that_do_not(tmp_path: Path, old: str, new: str, presence: Presence, message: str) -> None:
    assert old in WRAPPER
    wrapper = WRAPPER.replace(old, new)
    judgement = _judged(tmp_path, wrapper)
    assert _answer(judgement, ARGUMENTS)[0] is presence, _findings(judgement, ARGUMENTS)
    assert not message or all(message in m for m in _findings(judgement, ARGUMENTS)), _findings(judgement, ARGUMENTS)


def test_a_dictionary_of_keywords_that_is_written_out_is_read(tmp_path: Path) -> None:
    old = "kernel = _compile(ChunkK=ChunkK, Preshuffle=Preshuffle)\n    kernel[(1,)]("
    direct = WRAPPER.replace(old, f"more = {{'num_warps': 4, 'HiddenDim': 128}}\n    kernel = {NAME}_preshuffle[(1,)](")
    right = direct.replace("ChunkK, 23, 24, 25\n", "ChunkK, **more\n")
    assert _answer(_judged(tmp_path / "right", right), ARGUMENTS)[0] is Presence.ABSENT
    wrong = right.replace("HiddenDim", "HiddenDims")
    judgement = _judged(tmp_path / "wrong", wrong)
    assert _answer(judgement, ARGUMENTS)[0] is Presence.PRESENT
    assert "not HiddenDims; also HiddenDim" in _findings(judgement, ARGUMENTS)[0]


@pytest.mark.parametrize(
    ("wrapper", "presence"),
    [
        (f"from aiter.ops.triton.gluon.pa_mqa_logits import {NAME}_preshuffle\nKERNELS = ({NAME}_preshuffle,)\n", Presence.ABSENT),
        (f"from aiter.ops.triton.gluon.pa_mqa_logits import {NAME}_preshuffle\nlaunch({NAME}_preshuffle, out.stride(0))\n", Presence.PRESENT),
        (f"from aiter.ops.triton.gluon.pa_mqa_logits import {NAME}_preshuffle\n\n\ndef _launch(out):\n    {NAME}_preshuffle[1](out.stride(0))\n", Presence.PRESENT),
    ],
)  # fmt: skip
def test_a_kernel_that_is_used_by_no_function_that_is_known(tmp_path: Path, wrapper: str, presence: Presence) -> None:
    assert _answer(_judged(tmp_path, wrapper), RANK)[0] is presence


SIZED = (
    WRAPPER.replace("_compile(ChunkK, Preshuffle)", "_compile(ChunkK, Preshuffle, KVBlockSize, ChunkQ, HiddenDim)")
    .replace('{"ChunkK": ChunkK}', '{"ChunkK": ChunkK, "KVBlockSize": KVBlockSize, "ChunkQ": ChunkQ, "HiddenDim": HiddenDim}')
    .replace("Preshuffle=False, ChunkK=256", "Preshuffle=False, KVBlockSize=1, ChunkK=256")
    .replace("    kernel = _compile(", "    _, block_size, _, _ = kv_cache.size()\n    assert block_size == KVBlockSize\n    kernel = _compile(ChunkQ=q_fp8.shape[2], HiddenDim=q_fp8.shape[3], KVBlockSize=KVBlockSize, ")
    .replace("weights, out_logits, max", "weights, out_logits, context_lens, kv_indices, max")
    .replace("        1, 2, 3, ", "        q_fp8.shape[0], q_fp8.shape[1], q_fp8.shape[2], ")
    .replace("q_fp8, 5, 6, 7,", "q_fp8, q_fp8.stride(0), q_fp8.stride(1), q_fp8.stride(2),")
    .replace("12, 13, weights, 15,", "context_lens, kv_indices, weights, weights.stride(0),")
    .replace("max_model_len, 19,", "max_model_len, kv_indices.size(1),")
)  # fmt: skip
"""What it compiles is told the size of a block."""


def test_a_kernel_that_is_compiled_for_the_size_of_the_blocks_goes_by_it(tmp_path: Path) -> None:
    assert _answer(_judged(tmp_path / "given", SIZED), PAGING)[0] is Presence.ABSENT
    taken = SIZED.replace("KVBlockSize=KVBlockSize, C", "KVBlockSize=block_size, C")
    assert _answer(_judged(tmp_path / "taken", taken), PAGING)[0] is Presence.ABSENT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ChunkQ=q_fp8.shape[2]", "ChunkQ=q_fp8.shape[2] // 2"),
        ("ChunkQ=q_fp8.shape[2]", "ChunkQ=32"),
        ("HiddenDim=q_fp8.shape[3]", "HiddenDim=q_fp8.shape[2]"),
        ('"ChunkQ": ChunkQ', '"ChunkQ": ChunkK'),
        ('"HiddenDim": HiddenDim', '"Other": HiddenDim'),
    ],
)
def test_a_kernel_that_is_compiled_for_fewer_heads_or_elements_is_not_understood(
    tmp_path: Path, old: str, new: str
) -> None:
    assert old in SIZED
    assert _answer(_judged(tmp_path, SIZED.replace(old, new)), PAGING)[0] is Presence.UNKNOWN


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("KVBlockSize=KVBlockSize, C", "KVBlockSize=KVBlockSize * 2, C"),
        ("KVBlockSize=KVBlockSize, C", "KVBlockSize=1, C"),
        ("KVBlockSize=KVBlockSize, C", "KVBlockSize=ChunkK, C"),
        ('"KVBlockSize": KVBlockSize', '"KVBlockSize": 16'),
        ('"KVBlockSize": KVBlockSize', '"KVBlockSize": ChunkK'),
        ("constexprs=", "constexprs=None, more="),
        ("    kernel = triton", "    KVBlockSize = 16\n    kernel = triton"),
        ("    assert block_size == KVBlockSize\n", ""),
        ("    assert block_size == KVBlockSize\n", "    assert block_size == KVBlockSize\n    KVBlockSize = 16\n"),
    ],
)
def test_a_kernel_that_is_compiled_for_another_size_is_not_understood(tmp_path: Path, old: str, new: str) -> None:
    assert old in SIZED
    assert _answer(_judged(tmp_path, SIZED.replace(old, new)), PAGING)[0] is Presence.UNKNOWN
