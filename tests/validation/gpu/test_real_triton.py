"""Triton kernels through the GPU path: under Triton's interpreter everywhere, and on a GPU where there is one."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.portable import Portable, find_portable
from aiterfix.family.signature import KernelConfig
from aiterfix.validation.gpu.executor import Gpu
from aiterfix.validation.gpu.plain import PlainKernels
from aiterfix.validation.gpu.subjects import OwnFunction
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.report import Report
from aiterfix.validation.scenarios import GAP, Scenario
from tests.kernels import SHIPPED, bound
from tests.validation.gpu.running import validate_gpu

pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.usefixtures("ready")

SAMPLE = (Path(__file__).parents[2] / "data" / "sample_plain.py").read_bytes()
PATCHED = bound(SAMPLE, SHIPPED.judged).new


def plain(text: bytes) -> PlainKernels:
    return PlainKernels(KernelFile(text, "sample_plain.py"))


def interpreted(subject: Any, kernel: Portable, scenario: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Report:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    return validate_gpu(subject, [kernel], scenario=scenario, device="cpu", **more)


def test_an_unbounded_kernel_overshoots_and_is_right_once_patched(
    subjects: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = "stage1/h64-b64/full/n2-len300*auto"
    faulty = interpreted(subjects.Interpreted(plain(SAMPLE)), Portable.STAGE1, chosen, monkeypatch)
    found = {s.name.split("-", 2)[2].removesuffix("-splitauto"): s for s in faulty.scenarios}
    assert [s.overshoot_columns for s in found.values()] == [212, 212]
    # The interpreter runs programs in order, so what is overwritten depends on the order of programs alone.
    assert found["len300-gap0"].wrong_logits > 0 and found["len300-gap385"].wrong_logits == 0
    assert faulty.hardware is not None and faulty.hardware.name == "Triton's interpreter"
    sound = interpreted(subjects.Interpreted(plain(PATCHED)), Portable.STAGE1, chosen, monkeypatch)
    assert sound.passed and len(sound.scenarios) == 2


@pytest.mark.parametrize(("kernel", "size"), [(Portable.OWN, 1), (Portable.OWN, 64), (Portable.OWN_PRESHUFFLE, 256)])
def test_our_own_kernel_is_right(
    subjects: ModuleType, monkeypatch: pytest.MonkeyPatch, kernel: Portable, size: int
) -> None:
    config = KernelConfig(kv_block_size=size, aligned_cache=size > 1)
    subject = subjects.Interpreted(OwnFunction(subjects.kernel_file()))
    report = interpreted(subject, kernel, "*/n2-len[35]*auto", monkeypatch, configs=[config])
    assert report.passed and len(report.scenarios) == 2
    assert not any(s.findings for s in report.scenarios), "columns that a row may not see are -inf"


def test_blocks_that_stand_apart_from_a_chosen_one_on(subjects: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a cache past 2 GiB, which this one is too small for."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    scenario = Scenario(
        *(Portable.STAGE1, KernelConfig(), "apart", (300, 77), 1, 320, GAP, 3), block_stride=8448 + 4096, first_block=9
    )
    with Gpu(device="cpu").prepare(subjects.Interpreted(plain(PATCHED))) as prepared:
        result = prepared.run(scenario)
        assert result.passed and result.visible_logits == 377, (result.fault, result.wrong_at)
        # A kernel that counts from the first block of the cache reads what nobody is to use.
        moved = PATCHED.replace(b"block[:, None] * stride_k_block", b"(block[:, None] - 9) * stride_k_block")
    with Gpu(device="cpu").prepare(subjects.Interpreted(plain(moved))) as prepared:
        assert moved != PATCHED and prepared.run(scenario).wrong_logits == 377


def test_the_kernels_of_a_file_are_those_it_defines() -> None:
    assert find_portable(SAMPLE, "sample_plain.py") == (Portable.STAGE1,)
    with pytest.raises(NotUnderstoodError, match="does not parse"):
        find_portable(b"def (", "broken.py")


def test_an_unknown_parameter_is_not_guessed(subjects: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SAMPLE.replace(b"    max_blk_len,\n", b"    max_blk_len,\n    novelty,\n", 1)
    with pytest.raises(NotUnderstoodError, match="novelty"):
        interpreted(subjects.Interpreted(plain(text)), Portable.STAGE1, "stage1/h64-b64/empty/n2-*", monkeypatch)


@pytest.mark.gpu
def test_on_a_gpu(has_cuda: bool, subjects: ModuleType) -> None:
    if not has_cuda:
        pytest.skip("torch sees no GPU here")
    own = validate_gpu(OwnFunction(subjects.kernel_file()), [Portable.OWN, Portable.OWN_PRESHUFFLE])
    assert own.passed
    faulty, sound = (
        validate_gpu(plain(text), [Portable.STAGE1], configs=[KernelConfig()]) for text in (SAMPLE, PATCHED)
    )
    found = {s.name: s.overshoot_columns for s in faulty.scenarios}
    assert found["stage1/h64-b64/full/n2-len300-gap385-splitauto"] == 212
    assert found["stage1/h64-b64/full/n2-len2048-gap385-splitauto"] == 0
    assert sound.passed and sound.overshoot_columns == 0
