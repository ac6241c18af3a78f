"""Searches of a package's text."""

from __future__ import annotations

import random
import re
import sysconfig
from pathlib import Path

from aiterfix.engines.package import Package, Source

WORDS = ("aiter", "aiter_ops", "rocm_aiter", "page_size", "page", "width", "my_page_width", "_size")


def test_what_was_sought_before_makes_no_difference(tmp_path: Path) -> None:
    chosen = random.Random(3)
    package = tmp_path / "vllm"
    package.mkdir()
    texts = {f"m{i}.py": " = ".join(chosen.choices(WORDS, k=3)) for i in range(20)}
    for name, text in texts.items():
        (package / name).write_text(text)
    searched = Package(package)
    for word in chosen.choices(WORDS, k=40):
        found = {path for path, _ in searched.files(word)}
        assert found == {f"vllm/{name}" for name, text in texts.items() if word in text}


LIBRARY = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


def test_a_module_read_in_pieces_binds_what_it_binds_as_a_whole() -> None:
    assert len(LIBRARY) > 100
    for file in LIBRARY[::3]:
        text = file.read_bytes()
        pieces = Source("m", "m.py", text)
        whole = Source(
            "m", "m.py", text + b'\n# """'
        )  # an odd number of quotes: nothing is taken for the end of a piece
        for word in sorted({*re.findall(r"\w+", text.decode("utf-8", "replace"))}):
            got, wanted = (
                [(type(b.node), getattr(b.node, "lineno", 0), b.item) for b in source.bound(source.tree, word)]
                for source in (pieces, whole)
            )
            assert got == wanted, (file, word)
