"""Facts about kernels beside the family: told of the releases that they are about, and of no others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from aiterfix.family.kernels import NOT_JUDGED
from aiterfix.history import siblings
from aiterfix.history.siblings import every_fact, facts_in_tree, facts_of
from aiterfix.history.versions import read_version

KINDS = [what for _, what in NOT_JUDGED]
PLAIN, GLUON = "plain-Triton prefill kernel (fp8_mqa_logits)", "Gluon prefill kernel (fp8_mqa_logits)"


def test_every_fact_is_of_known_form() -> None:
    facts = every_fact()
    assert len(facts) >= 5 and {PLAIN, GLUON} <= set(KINDS)
    for fact in facts:
        assert fact.kernel in KINDS or fact.kernel.startswith("top-k"), "as `check` calls the file"
        assert all(re.fullmatch(r"[\w-]+/[\w-]+#\d+", link) for link in fact.links)
        first = fact.releases.split()[0]
        assert read_version(first) is not None
        assert str(fact).endswith(")") and fact.releases in str(fact)


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("v0.1.6", []),
        ("v0.1.12.post2", ["96 KB of LDS", "rowStart"]),
        ("v0.1.13", ["96 KB of LDS"]),
        ("v0.1.16", ["96 KB of LDS", "2 GiB of logits", "Triton 3.6"]),
        ("v0.1.17", ["96 KB of LDS", "2 GiB of logits", "Triton 3.6"]),
        ("v0.1.18", ["2 GiB of logits", "Triton 3.6", "not been looked at"]),
        ("main", ["2 GiB of logits", "Triton 3.6", "not been looked at"]),
        ("archive/2.4", []),
    ],
)
def test_facts_by_release(ref: str, words: list[str]) -> None:
    found = facts_of(ref)
    assert len(found) == len(words)
    assert all(word in str(fact) for word, fact in zip(words, found, strict=True))


def test_facts_of_an_installation_are_about_what_is_there() -> None:
    both = facts_in_tree(["0.1.16+rocm7"], [PLAIN, GLUON], KINDS)
    assert [f.kernel for f in both] == [PLAIN, GLUON, GLUON]
    assert facts_in_tree(["0.1.16"], [PLAIN], KINDS) == both[:1]
    assert facts_in_tree(["v0.1.20", "v0.1.20.post1"], [PLAIN, GLUON], KINDS) == both[1:]
    assert facts_in_tree(["0.1.16"], [], KINDS) == ()
    # Of no known version: what is there counts, with the releases that it was told of beside it.
    assert facts_in_tree([], [PLAIN, GLUON], KINDS) == both
    (top,) = facts_in_tree(["0.1.12.post2"], [], KINDS)
    assert top.kernel.startswith("top-k")


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"facts": [{"kernel": "k"}]})])
def test_a_damaged_file_is_no_fact(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "siblings.json").write_text(text)
    monkeypatch.setattr("aiterfix.history.known.__file__", str(tmp_path / "known.py"))
    siblings._rows.cache_clear()
    try:
        assert every_fact() == facts_of("v0.1.16") == ()
    finally:
        siblings._rows.cache_clear()
