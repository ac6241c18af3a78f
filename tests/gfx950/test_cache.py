from __future__ import annotations

from pathlib import Path

from aiterfix.gfx950.cache import CodeObjectCache, CompiledKernel, decode, encode

KERNEL = CompiledKernel(
    code=b"\x7fELF\n\x00binary",
    ttgir="module { } // \N{GREEK SMALL LETTER MU}\n",
    function="kernel",
    shared_bytes=8192,
    threads=256,
    triton="3.6.0",
    arguments=(("Q_buffer", "*fp8e4nv"), ("next_n", "i32")),
)
KEY = "ab" * 32
PLACE = Path("entry")


def test_an_entry_comes_back_whole(tmp_path: Path) -> None:
    cache = CodeObjectCache(tmp_path / "deep" / "code")
    assert cache.load(KEY) is None
    assert cache.store(KEY, KERNEL)
    assert cache.load(KEY) == KERNEL
    assert len(list(cache.path(KEY).parent.iterdir())) == 1


def test_every_truncation_and_every_flipped_byte_is_noticed() -> None:
    data = encode(KERNEL)
    assert decode(data, PLACE) == KERNEL
    for size in range(len(data)):
        assert decode(data[:size], PLACE) is None
    payload = data.index(b"\x7fELF")
    for at in range(payload, len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        assert decode(bytes(damaged), PLACE) is None


def test_an_unwritable_cache_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = CodeObjectCache(tmp_path / "file" / "code")
    assert not cache.store(KEY, KERNEL)
    assert cache.load(KEY) is None
