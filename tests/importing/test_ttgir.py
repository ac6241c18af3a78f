from __future__ import annotations

import pytest

from tests.importing.ttgir import stores

HEAD = """
  tt.func public @k(%Out: !tt.ptr<f32>, %width: i32, %rows: i32) {
    %c = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32, #b>
    %w = tt.splat %width : i32 -> tensor<64xi32, #b>
    %r = tt.splat %rows : i32 -> tensor<64xi32, #b>
    %low = arith.cmpi sge, %c, %r : tensor<64xi32, #b>
    %up = arith.cmpi slt, %c, %w : tensor<64xi32, #b>
    %down = arith.cmpi slt, %w, %c : tensor<64xi32, #b>
    %other = arith.cmpi slt, %c, %r : tensor<64xi32, #b>
    %both = arith.andi %low, %up : tensor<64xi1, #b>
    %either = arith.ori %low, %up : tensor<64xi1, #b>
    %base = tt.addptr %Out, %rows : !tt.ptr<f32>, i32
    %p = tt.splat %Out : !tt.ptr<f32> -> tensor<64x!tt.ptr<f32>, #b>
    %elsewhere = tt.splat %Data : !tt.ptr<f32> -> tensor<64x!tt.ptr<f32>, #b>
"""


@pytest.mark.parametrize(
    ("store", "bounded"),
    [
        ("amdg.buffer_store %v, %Out[%c] : tensor<64xf32, #b>", [False]),
        ("amdg.buffer_store %v, %base[%c], %up : tensor<64xf32, #b>", [True]),
        ("amdgpu.buffer_store %v, %base[%c], %both : tensor<64xf32, #b>", [True]),
        ("amdg.buffer_store %v, %base[%c], %both stride = %rows : tensor<64xf32, #b>", [True]),
        ("amdg.buffer_store %v, %Out[%c] stride = %up : tensor<64xf32, #b>", [False]),
        ("amdg.buffer_store %v, %Out[%c], %low : tensor<64xf32, #b>", [False]),
        ("amdg.buffer_store %v, %Out[%c], %either : tensor<64xf32, #b>", [False]),
        ("amdg.buffer_store %v, %Out[%c], %down : tensor<64xf32, #b>", [False]),
        ("amdg.buffer_store %v, %Out[%c], %other : tensor<64xf32, #b>", [False]),
        ("tt.store %p, %v : tensor<64x!tt.ptr<f32>, #b>", [False]),
        ("tt.store %p, %v, %up : tensor<64x!tt.ptr<f32>, #b>", [True]),
        ("tt.store %elsewhere, %v : tensor<64x!tt.ptr<f32>, #b>", []),
    ],
)
def test_stores_to_the_output_and_their_bounds(store: str, bounded: list[bool]) -> None:
    assert [s.bounded for s in stores(f"{HEAD}    {store}\n", "Out", "width")] == bounded
