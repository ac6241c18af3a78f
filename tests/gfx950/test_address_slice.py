"""Runs that compute addresses only touch the same places as full runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("the decoder needs Python 3.11", allow_module_level=True)

from aiterfix.gfx950 import CodeObject, DeviceMemory, Launch, RunResult, run
from aiterfix.gfx950.address_slice import needed_for_addresses
from aiterfix.gfx950.launch import program_of
from aiterfix.gfx950.program import Program

SENTINEL = 0x5A


def _run(
    samples: Path, name: str, grid: int, values: dict[str, Any], **kwargs: Any
) -> tuple[RunResult, Any, CodeObject]:
    facts = json.loads((samples / f"{name}.json").read_text())
    code = CodeObject.from_path(samples / f"{name}.co").with_argument_names(facts["names"])
    memory = DeviceMemory()
    args = {k: memory.allocate(k, v) if isinstance(v, np.ndarray) else v for k, v in values.items()}
    result = run(code, memory, Launch((grid, 1, 1), (256, 1, 1), args, lds_bytes=facts["lds_bytes"]), **kwargs)
    return result, args["out"].array(), code


CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "add_unmasked": (2, {"x": np.ones(1500, np.float32), "y": np.ones(1500, np.float32),
                         "out": np.full(1500, SENTINEL, np.float32), "n": 1500, "scale": 2.0}),
    "product_f16": (1, {"a": np.ones((32, 64), np.float16), "b": np.ones((64, 64), np.float16),
                        "out": np.full((32, 64), SENTINEL, np.float32), "K": 64}),
    "collatz": (1, {"start": np.arange(1, 201, dtype=np.int32), "out": np.full(200, 0x5A5A5A5A, np.int32), "n": 200}),
    "buffer_copy": (2, {"x": np.ones(500, np.float32), "out": np.full(500, SENTINEL, np.float32), "n": 500,
                        "limit": 510}),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_same_places(samples: Path, name: str) -> None:
    grid, values = CASES[name]
    before = values["out"].reshape(-1).view(np.uint8)
    full, full_out, _ = _run(samples, name, grid, values)
    part, part_out, code = _run(samples, name, grid, values, addresses_only=True)
    assert part.violations == full.violations
    assert part.wave_instructions == full.wave_instructions
    touched = (full_out != before).reshape(-1, 4).any(axis=1)
    also = (part_out != before).reshape(-1, 4).any(axis=1)
    assert not (also & ~touched).any(), "nothing else was written"
    assert also.any()
    needed = needed_for_addresses(Program(code))
    left_out = [i.mnemonic for i in code.instructions if i.pc not in needed]
    if name == "product_f16":
        assert any(mnemonic.startswith("v_mfma") for mnemonic in left_out)
    if name == "add_unmasked":
        assert any("fma" in mnemonic or mnemonic.startswith("v_pk") for mnemonic in left_out)
    assert not any(m.startswith(("buffer_", "global_", "s_load", "s_cbranch", "ds_")) for m in left_out)


def test_both_forms_of_a_program_are_kept(samples: Path) -> None:
    _, _, code = _run(samples, "add_unmasked", *CASES["add_unmasked"])
    assert program_of(code) is program_of(code)
    assert program_of(code) is not program_of(code, addresses_only=True)
    assert program_of(code, addresses_only=True) is program_of(code, addresses_only=True)
