"""Reading code objects: what is in them, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import CodeObject
from aiterfix.gfx950.kernel_descriptor import Denormals, KernelDescriptor
from aiterfix.gfx950.messagepack import MessagePackError, unpack


def test_contents(samples: Path) -> None:
    code = CodeObject.from_bytes((samples / "add_masked.co").read_bytes())
    assert code.name == "add_masked"
    assert code.kernels == ("add_masked",)
    assert [(a.offset, a.size) for a in code.kernarg[:5]] == [(0, 8), (8, 8), (16, 8), (24, 4), (28, 4)]
    assert [a.is_pointer for a in code.kernarg[:5]] == [True, True, True, False, False]
    assert all(a.is_pointer for a in code.kernarg[5:]), "what Triton appends"
    assert code.lds_bytes == 0
    assert code.workgroup_size == 256
    assert code.descriptor.kernarg_pointer
    assert code.descriptor.workgroup_ids == (True, False, False)
    assert code.descriptor.mode.denormals_32 is Denormals.KEEP
    assert code.instructions[-1].mnemonic == "s_endpgm"
    lines = {str(code.source_line(i.pc)) for i in code.instructions}
    assert any(line.startswith("compile_samples.py:") for line in lines)
    named = code.with_argument_names(["x", "y"])
    assert [a.name for a in named.kernarg[:3]] == ["x", "y", "arg2"]
    with pytest.raises(NotUnderstoodError, match="names were given"):
        code.with_argument_names(["a"] * 20)


@pytest.mark.parametrize("length", [0, 3, 40, 64, 1000, 3000, -200, -1])
def test_truncated(samples: Path, length: int) -> None:
    blob = (samples / "add_masked.co").read_bytes()[:length]
    with pytest.raises(NotUnderstoodError):
        CodeObject.from_bytes(blob)


def test_other_architecture_and_machine(samples: Path) -> None:
    blob = bytearray((samples / "add_masked.co").read_bytes())
    flags = struct.unpack_from("<I", blob, 48)[0]
    struct.pack_into("<I", blob, 48, flags & ~0xFF | 0x4C)
    with pytest.raises(NotUnderstoodError, match="gfx942, not gfx950"):
        CodeObject.from_bytes(bytes(blob))
    struct.pack_into("<H", blob, 18, 62)
    with pytest.raises(NotUnderstoodError, match="not for an AMD GPU"):
        CodeObject.from_bytes(bytes(blob))
    with pytest.raises(NotUnderstoodError):
        CodeObject.from_bytes(b"#!/bin/sh\n" * 100)


def test_missing_kernel(samples: Path) -> None:
    with pytest.raises(NotUnderstoodError, match="holds the kernels add_masked, not other"):
        CodeObject.from_bytes((samples / "add_masked.co").read_bytes(), kernel="other")


def test_no_metadata(samples: Path) -> None:
    blob = (samples / "add_masked.co").read_bytes().replace(b"AMDGPU\0", b"OTHERS\0")
    with pytest.raises(NotUnderstoodError, match="metadata note"):
        CodeObject.from_bytes(blob)


def test_every_modelled_descriptor_is_one_bit_from_a_refused_one(samples: Path) -> None:
    """Flip each bit of the descriptor's control words: the result is another description, or a refusal, never the same."""
    code = CodeObject.from_bytes((samples / "add_masked.co").read_bytes())
    blob = (samples / "add_masked.co").read_bytes()
    at = blob.index(struct.pack("<q", code.descriptor.entry_offset)) - 16
    raw = blob[at : at + 64]
    assert KernelDescriptor.from_bytes(raw, "k") == code.descriptor
    refused = 0
    # SGPR granule (bits 6 to 9 of RSRC1) says nothing on gfx9: every wave has all of them.
    silent = {48 * 8 + bit for bit in range(6, 10)}
    for bit in [*range(12 * 8, 16 * 8), *range(24 * 8, 64 * 8)]:
        if bit in silent:
            continue
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            other = KernelDescriptor.from_bytes(bytes(flipped), "k")
        except NotUnderstoodError as error:
            refused += 1
            assert "descriptor of kernel k asks for" in str(error)
        else:
            assert other != code.descriptor, f"bit {bit} has no effect"
    assert refused > 200
    with pytest.raises(NotUnderstoodError, match="63 bytes"):
        KernelDescriptor.from_bytes(raw[:63], "k")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x05", 5), (b"\xff", -1), (b"\xc0", None), (b"\xc3", True), (b"\xcd\x01\x02", 258), (b"\xd1\xff\xfe", -2),
        (b"\xcb" + struct.pack(">d", 1.5), 1.5), (b"\xa2hi", "hi"), (b"\xd9\x02hi", "hi"), (b"\xc4\x01\x00", b"\0"),
        (b"\x92\x01\x81\xa1a\x02", [1, {"a": 2}]), (b"\xdc\x00\x01\x07", [7]), (b"\xde\x00\x01\x01\x02", {1: 2}),
    ],
)  # fmt: skip
def test_message_pack(data: bytes, value: object) -> None:
    assert unpack(data) == value
    with pytest.raises(MessagePackError):
        unpack(data + b"\x00")
    with pytest.raises(MessagePackError):
        unpack(data[:-1])


def test_message_pack_extension() -> None:
    with pytest.raises(MessagePackError, match="0xc7"):
        unpack(b"\xc7\x01\x01\x00")
