"""Searches of a package's text."""

from __future__ import annotations

import random
from pathlib import Path

from aiterfix.engines.package import Package

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
