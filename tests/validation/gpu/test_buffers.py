from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aiterfix.family.portable import Portable
from aiterfix.family.signature import OUTPUT, KernelConfig
from aiterfix.validation.gpu.buffers import REDZONE, Buffers, make_buffers
from aiterfix.validation.scenarios import Scenario, inputs_of
from tests.validation.gpu.running import choose

torch = pytest.importorskip("torch")


def scenario(kernel: Portable = Portable.OWN) -> Scenario:
    return choose((kernel,), None, "quick", "*/h64-b64/empty/*")[0]


def made(*, fnuz: bool = False) -> Buffers:
    item = scenario()
    return make_buffers(item, inputs_of(item), torch, "cpu", fnuz=fnuz)


def test_untouched_buffers_report_nothing_and_hold_what_the_wrapper_takes() -> None:
    buffers = made()
    assert buffers.stores_outside() == ()
    assert buffers.cache.shape[1:] == (64, 1, 132) and buffers.q.dtype == torch.float8_e4m3fn
    assert buffers.output.shape == (8, 905)
    by_head = Scenario(Portable.STAGE1, KernelConfig(), "t", (300, 77), 2, 320, 0, 3)
    assert make_buffers(by_head, inputs_of(by_head), torch, "cpu", fnuz=False).output.shape == (64, 4, 320)


def test_blocks_in_front_of_those_used_are_as_redzones_and_watched_as_inputs_are() -> None:
    apart = Scenario(
        *(Portable.STAGE1, KernelConfig(), "t", (300, 77), 1, 320, 0, 3), block_stride=12544, first_block=9
    )
    buffers = make_buffers(apart, inputs_of(apart), torch, "cpu", fnuz=False)
    used = len(inputs_of(apart).keys)
    assert buffers.cache.shape == (9 + used, 64, 1, 196) and (buffers.cache[:9].view(torch.uint8) == 0xFF).all()
    assert buffers.table.min() >= 9 and buffers.stores_outside() == ()
    buffers.cache.view(-1)[5] = 0
    (access,) = buffers.stores_outside()
    assert (access.allocation, access.count) == ("KV_buffer", 1)
    assert all(b.tensor.data_ptr() - b.memory.data_ptr() == b.before >= REDZONE for b in buffers.all)


@pytest.mark.parametrize(
    ("name", "change", "first", "last"),
    [
        (OUTPUT, lambda b: b.memory[-REDZONE // 4 :][7:9].fill_(0), 7240 + 7, 7240 + 8),
        (OUTPUT, lambda b: b.memory[: REDZONE // 4][-1:].fill_(0), -1, -1),
        ("weights", lambda b: b.memory[b.before // 4 + b.tensor.numel()].fill_(0), 512, 512),
        ("weights", lambda b: b.tensor[1, 3].fill_(9.0), 67, 67),
        ("kv_indices", lambda b: b.memory[0].fill_(5), None, None),
        ("Q_buffer", lambda b: b.tensor.view(-1)[9:11].fill_(0x11), 9, 10),
    ],
)
def test_a_store_outside_or_into_an_input_is_seen_where_it_is(
    name: str, change: Callable[[Any], Any], first: int | None, last: int | None
) -> None:
    buffers = made()
    change(next(b for b in buffers.all if b.name == name))
    (seen,) = buffers.stores_outside()
    assert (seen.kind, seen.allocation) == ("store", name)
    if first is not None:
        assert (seen.first_element, seen.last_element) == (first, last)


def test_fnuz_bits_and_scales_give_the_same_logits() -> None:
    plain, other = made(), made(fnuz=True)
    assert other.q.dtype == torch.float8_e4m3fnuz
    assert torch.equal(other.q.float() * 2, plain.q.float())
    size = 64 * 128
    keys, halves = (b.cache.view(len(b.cache), -1)[:, :size].view(b.fp8).float() for b in (plain, other))
    scales, larger = (b.cache.view(len(b.cache), -1)[:, size:].view(torch.float32) for b in (plain, other))
    for wide, narrow, factor in ((keys, halves, 2.0), (larger, scales, 4.0)):
        assert torch.equal(torch.isnan(wide), torch.isnan(narrow)) and bool(torch.isnan(wide).any())
        assert torch.equal(torch.nan_to_num(wide), torch.nan_to_num(narrow) * factor)


def test_every_fp8_value_survives_the_change_of_format() -> None:
    from aiterfix.validation.gpu.buffers import _as_fnuz

    bits = np.arange(256, dtype=np.uint8)
    before = torch.from_numpy(bits).view(torch.float8_e4m3fn).float()
    after = torch.from_numpy(_as_fnuz(bits)).view(torch.float8_e4m3fnuz).float()
    assert torch.equal(torch.isnan(before), torch.isnan(after))
    assert torch.equal(torch.nan_to_num(before), torch.nan_to_num(after) * 2)
