"""Released texts are judged and mended from the record: the same answers, nothing parsed, and no record is stretched."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.mend import mend
from aiterfix.faults.registry import Faults, load_faults
from aiterfix.history import known
from aiterfix.history.record import FileRecord, RefRecord
from aiterfix.history.store import dump_texts, load_history, make_history, write_history
from aiterfix.installation.given_path import find_path
from aiterfix.installation.target import Installation
from aiterfix.judge import disk
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import Judgement
from aiterfix.judge.verdict import Verdict
from aiterfix.patching.mends import mends
from aiterfix.upstream.facts import mend_record, parts, wrapper_record
from tests.importing.world import GLUON, STAGE1, WRAPPER, World, build

FAULTS = load_faults()


def installed(world: World) -> Installation:
    (found,) = find_path(world.site).installations
    return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    site = tmp_path / "site"
    site.mkdir()
    return build(site)


@pytest.fixture
def facts(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As if the sample were a release: what `upstream scan --write-history` would have recorded of it."""
    package = installed(world).package
    read = {
        p: (p.read_bytes(), diagnose(p.read_bytes(), FAULTS.judged)) for p in map(world.file, (GLUON, STAGE1, WRAPPER))
    }
    files = tuple(FileRecord.of(str(p), True, d, FAULTS.judged) for p, (_, d) in read.items() if d.units)
    history = make_history([RefRecord("v1", "2026-01-01", "c" * 40, files)], FAULTS)
    results = {d.sha256: mend(t, FAULTS.judged, diagnosis=d) for t, d in read.values() if d.units}
    released = wrapper_record(package, read, FAULTS)
    refusing = {d.sha256: mend(t, FAULTS.judged, diagnosis=d) for t, d in read.values() if not d.units}
    after = {
        p: ({**results, **refusing}[d.sha256].new, {**results, **refusing}[d.sha256].after)
        for p, (_, d) in read.items()
    }
    patched = wrapper_record(package, after, FAULTS)
    assert released is not None and patched is not None and released != patched
    recorded = {digest: mend_record(result, FAULTS) for digest, result in results.items()}
    history = replace(history, mends=recorded, wrappers=(released, patched))
    folder = tmp_path / "facts"
    folder.mkdir()
    write_history(history, folder)
    # What is written is what is read back.
    assert dump_texts(load_history(folder)) == dump_texts(history)
    data = json.loads((folder / "texts.json").read_text())
    monkeypatch.setattr(known, "texts", lambda _digest: data)
    return data


@pytest.fixture
def parsing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who analysed or resolved something."""
    seen: list[str] = []

    def told(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            seen.append(name)
            return real(*arguments)

        return call

    monkeypatch.setattr(disk, "diagnose", told("diagnose", diagnose))
    monkeypatch.setattr(disk, "resolution_of", told("resolve", disk.resolution_of))
    return seen


def said(judgement: Judgement) -> object:
    return (
        judgement.verdict,
        judgement.doubts,
        [(t.relative, t.sha256, t.diagnosis.problems) for t in judgement.texts],
        [
            (u.name, u.group, u.line, u.stores, [(d.fault, d.presence, d.obstacle) for d in u.diagnoses])
            for _, u in judgement.units
        ],
        [(a.fault.id, a.presence, a.reach, a.obstacle) for a in judgement.answers()],
    )


def both(world: World, faults: Faults = FAULTS) -> Judgement:
    """The judgement in short, which must be the one in full."""
    short = judge_installation(installed(world), faults, in_full=False)
    assert said(short) == said(judge_installation(installed(world), faults))
    return short


def test_a_release_is_judged_and_mended_without_being_parsed(facts: Any, world: World, parsing: list[str]) -> None:
    short = judge_installation(installed(world), FAULTS, in_full=False)
    assert short.verdict is Verdict.AFFECTED
    changes = mends(short)
    # Of wrappers, what they refuse is not recorded.
    assert parsing == [] and all(c.mended.before.analysis is None for c in changes if c.file.diagnosis.units)
    full = {c.file.relative: c.mended for c in mends(judge_installation(installed(world), FAULTS))}
    assert {c.file.relative: (c.mended.new, c.mended.steps) for c in changes} == {
        name: (m.new, m.steps) for name, m in full.items()
    }
    for c in changes:
        assert c.file.path is not None
        c.file.path.write_bytes(c.mended.new)
    del parsing[:]
    assert judge_installation(installed(world), FAULTS, in_full=False).verdict is Verdict.CLEAN
    assert parsing == []
    both(world)


def test_who_asks_for_findings_gets_them(facts: Any, world: World) -> None:
    full = judge_installation(installed(world), FAULTS)
    assert all(d.recorded is None for _, u in full.units for d in u.diagnoses)
    assert all(d.findings for _, u in full.units for d in u.diagnoses if d.fault in ("column-bound", "row-offset-32"))
    assert said(both(world)) == said(full)


def edited(world: World) -> None:
    path = world.file(GLUON)
    path.write_text(path.read_text() + "\n# edited\n")


def rebound(world: World) -> None:
    path = world.file(WRAPPER)
    path.write_text(path.read_text() + "\n_gluon_deepgemm_fp8_paged_mqa_logits = other\n")


def compiled(world: World) -> None:
    (world.file(GLUON).parent / "pa_mqa_logits.cpython-311-x86_64-linux-gnu.so").touch()


def redirected(world: World) -> None:
    path = world.site / "aiter/ops/triton/__init__.py"
    path.write_text(path.read_text() + "\n# another table\n")


def another(world: World) -> None:
    path = world.site / "aiter/extra.py"
    path.write_text(f"from {GLUON} import _gluon_deepgemm_fp8_paged_mqa_logits as k\nk = k()\n")


def moved(world: World) -> None:
    (world.site / "aiter/copy.py").write_bytes(world.file(GLUON).read_bytes())
    world.file(GLUON).unlink()


@pytest.mark.parametrize("change", [edited, rebound, compiled, redirected, another, moved])
def test_no_record_is_stretched(facts: Any, world: World, parsing: list[str], change: Callable[[World], None]) -> None:
    change(world)
    judge_installation(installed(world), FAULTS, in_full=False)
    # A file that no name was followed through is no matter.
    assert parsing or change is redirected
    found = both(world)
    if change in (rebound, compiled, moved):
        assert found.verdict is Verdict.UNKNOWN


def test_a_record_of_other_faults_or_a_wrong_one_is_not_believed(facts: Any, world: World, parsing: list[str]) -> None:
    short = judge_installation(installed(world), FAULTS, in_full=False)
    for text in short.texts:
        assert known.mended(text.text, text.diagnosis, FAULTS, ["column-bound"]) is None
        assert known.mended(b"#" + text.text, text.diagnosis, FAULTS, FAULTS.deciding) is None
        assert known.mended(text.text, text.diagnosis, Faults(FAULTS.judged[:1]), ["column-bound"]) is None
    for entry in facts["mends"].values():
        entry["parts"] = [[0, 10], *entry["parts"]]
    full = {c.file.relative: c.mended.new for c in mends(judge_installation(installed(world), FAULTS))}
    assert {c.file.relative: c.mended.new for c in mends(short)} == full
    facts["wrappers"] = [["damaged"]]
    assert both(world).verdict is Verdict.AFFECTED and "resolve" in parsing


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b""),
        (b"abc", b""),
        (b"", b"abc"),
        (b"one two three four", b"one two (three) four, one two three"),
        (b"caf\xc3\xa9 au lait" * 3, b"caf\xc3\xa9 au th\xe9 lait au lait"),
        (b"x" * 5000, b"x" * 4000 + b"y" + b"x" * 3000),
    ],
)
def test_a_text_is_put_together_again(old: bytes, new: bytes) -> None:
    found = list(parts(old, new))
    assert b"".join(p.encode("latin-1") if isinstance(p, str) else old[slice(*p)] for p in found) == new
    assert not any(isinstance(a, str) and isinstance(b, str) for a, b in pairwise(found))
