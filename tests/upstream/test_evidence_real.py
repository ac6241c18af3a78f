"""The shipped evidence is about the texts of every release, and about what their mends come to today."""

from __future__ import annotations

import json
from pathlib import Path

from aiterfix.errors import NotUnderstoodError
from aiterfix.validation import releases
from aiterfix.validation.evidence import evidence_of
from aiterfix.validation.stores import NAME, shipped_folder
from tests.kernels import SHIPPED
from tests.upstream.conftest import Clone
from tests.validation.test_evidence import NOT_RUN


def test_every_text_has_a_record_as_it_is_and_as_apply_writes_it_and_no_record_is_of_another(clone: Clone) -> None:
    lines = (shipped_folder() / NAME).read_text().splitlines()
    stale = {json.loads(line)["text_sha256"] for line in lines}
    missing, left_out = [], []
    for source in releases.runs(releases.clone_releases(Path(clone.path)), SHIPPED, [frozenset(), SHIPPED.deciding]):
        if isinstance(source, NotUnderstoodError):  # written for a newer Python than this
            left_out.append(source)
            continue
        for text in source.facts:
            stale.discard(text.sha256)
            ran = (text.original_sha256, tuple(sorted(text.mends or ())))
            if not any((e.original_sha256, e.mends) == ran for e in evidence_of(text.sha256, [shipped_folder()])):
                missing.append((text.path, *ran))
    assert {original[:12] for _, original, _ in missing} <= NOT_RUN
    assert left_out or not stale
    assert len(lines) > 50
