"""Which of a kernel's arguments decide where it stores."""

from __future__ import annotations

import pytest

from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.overshoot.launch import check_arguments
from tests.emulator import needs_emulator
from tests.overshoot.kernels import FAULTY, SOUND, integer_part

pytest.importorskip("triton")
pytestmark = needs_emulator


@pytest.mark.parametrize("kernel", list(Kernel))
@pytest.mark.parametrize("text", [SOUND, FAULTY], ids=["bounded", "unbounded"])
def test_what_decides(kernel: Kernel, text: bytes) -> None:
    part = integer_part(text, kernel, KernelConfig(heads=32, kv_block_size=64 if kernel.preshuffled else 1))
    names = set(check_arguments(part.part, part.kernel))
    split = "safe_chunks_per_cta_ptr" if kernel is Kernel.PRESHUFFLE_VARCTX else "SplitKV"
    assert {"batch_size", "next_n", "context_len_ptr", "OutLogits_buffer", "stride_out_batch", split} <= names
    # The width decides where it bounds the stores, and nowhere else.
    assert ("max_model_len" in names) == (text is SOUND)
    assert not names & {"Q_buffer", "KV_buffer", "kv_indices", "weights", "scale_buffer"}
