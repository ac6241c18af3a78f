"""One commit a fault: what it changes, what it says, and the regression test that goes along."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from aiterfix.errors import NotUnderstoodError, UsageError
from aiterfix.faults.base import Presence
from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.registry import load_faults
from aiterfix.upstream.export import Export, NothingToExportError, export
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.launch_test import CHECKS, launch_test
from tests import paged
from tests.upstream_tools.conftest import Repository
from tests.upstream_tools.kernels import PATH, PLAIN_PATH
from tests.upstream_tools.test_export import report, run_generated, snapshot, write

pytest.importorskip("numpy")
FAULTS = load_faults()
CASES = [
    ("ragged-causal-bound", PLAIN_PATH, (paged.RAGGED,), "4 failed", "4 passed"),
    ("cache-offset-32", PATH, (paged.BASE,), "1 failed, 4 skipped", "1 passed, 4 skipped"),
    ("block-paging", PATH, (paged.BASE,), "2 failed", "2 passed"),
]


@pytest.fixture
def tree(repository: Repository) -> Repository:
    repository.commit({PATH: paged.GLUON, PLAIN_PATH: paged.PLAIN, "op_tests/test_x.py": "\n"}, "v1")
    return repository


def make(repository: Repository, fault: str, **options: Any) -> Export:
    return export(Clone(repository.path), "v1", FAULTS, fault=fault, branch="fix", **options)


@pytest.mark.parametrize(("fault", "path", "kernels", "fails", "passes"), CASES, ids=[c[0] for c in CASES])
def test_one_commit_takes_one_fault_out_and_its_test_shows_it(
    tree: Repository, tmp_path: Path, fault: str, path: str, kernels: tuple[str, ...], fails: str, passes: str
) -> None:
    if fault == "block-paging":  # of kernels that are not told a block's size, their function refuses it: none is here
        tree.commit({PLAIN_PATH: "X = 1\n"})
        tree.git("tag", "-f", "v1")
    made = make(tree, fault)
    assert [(f.path, f.kernels) for f in made.files] == [(path, kernels)]
    assert made.test_path is not None and made.test_path.startswith("op_tests/test_pa_mqa_logits_")
    changed = tree.git("diff", "--name-only", "v1", "fix").splitlines()
    assert sorted(changed) == sorted([path, made.test_path])
    old, new = (diagnose((tree.git("show", f"{r}:{path}") + "\n").encode(), FAULTS.judged) for r in ("v1", "fix"))
    assert (old.presence((fault,)), new.presence((fault,))) == (Presence.PRESENT, Presence.ABSENT)
    others = [f.id for f in FAULTS.judged if f.id != fault]
    assert [new.presence((f,)) for f in others] == [old.presence((f,)) for f in others]
    for revision, status, words in (("v1", 1, fails), ("fix", 0, passes)):
        done = run_generated(tmp_path / revision, tree, "fix", revision, made.test_path)
        assert (done[0], words in done[1]) == (status, True), done[1]


def test_the_message_says_what_was_done_by_digests(tree: Repository) -> None:
    made = make(tree, "ragged-causal-bound")
    lines = tree.git("log", "-1", "--format=%B", "fix").splitlines()
    assert lines[0] == "pa_mqa_logits: bound each row by its own position"
    (file,) = made.files
    assert f"{PLAIN_PATH}: {file.mended.before.sha256} -> {file.mended.after.sha256}" in lines
    assert f"{made.test_path} checks this" in " ".join(lines)
    assert "The very text of this patch was not measured" in " ".join(lines)
    assert f"| `{PLAIN_PATH}` | `{paged.RAGGED}` | 1 |" in made.proposal.body
    assert "- ROCm/aiter#4293: " in made.proposal.body


def test_a_run_of_the_scenarios_is_told_before_and_after(tree: Repository, tmp_path: Path) -> None:
    (file,) = make(tree, "ragged-causal-bound").files
    pair = {"fault": {"id": "ragged-causal-bound", "before": "fails", "after": "passes", "shown": True}}
    files = write(tmp_path, report(file.mended.after.sha256, ("ragged", 0, 0, 10), **pair))
    made = make(tree, "ragged-causal-bound", evidence=files, force=True)
    said = "Triton 3.6.0): 1 launches, passed; what shows this fault: fails before the change, passes after it."
    assert said in made.proposal.body
    assert said in " ".join(made.proposal.message.split())
    assert "not measured" not in made.proposal.body
    # What is said of another fault is not said of this one.
    other = {"fault": {**pair["fault"], "id": "cache-offset-32"}}
    files = write(tmp_path, report(file.mended.after.sha256, ("ragged", 0, 0, 10), **other))
    assert "what shows" not in make(tree, "ragged-causal-bound", evidence=files, force=True).proposal.body


def test_a_report_on_both_texts_is_refused(tree: Repository, tmp_path: Path) -> None:
    (file,) = make(tree, "ragged-causal-bound").files
    both = report(file.mended.after.sha256, ("ragged", 0, 0, 10))
    both["sources"].append({"path": "y.py", "sha256": file.mended.before.sha256})
    with pytest.raises(UsageError, match="both texts"):
        make(tree, "ragged-causal-bound", evidence=write(tmp_path, both), force=True)


def test_nothing_of_the_clone_changes_but_the_branch(tree: Repository) -> None:
    before = snapshot(tree.path)
    make(tree, "cache-offset-32")
    after = snapshot(tree.path)
    new = {".git/refs/heads/fix", ".git/logs/refs/heads/fix"}
    assert set(after) - set(before) == new
    assert {k: v for k, v in after.items() if k not in new} == before


def test_a_fault_that_is_not_there_or_not_known(tree: Repository) -> None:
    with pytest.raises(NothingToExportError):
        make(tree, "launch-arguments")
    with pytest.raises(UsageError, match="no fault has the id"):
        make(tree, "unheard-of")
    assert tree.git("branch", "--list", "fix") == ""


def test_a_fault_that_stays_in_one_kernel_is_not_sent(tree: Repository) -> None:
    """Stage1 and the ragged kernel are not told a block's size, and no function that would refuse larger ones is here."""
    with pytest.raises(NotUnderstoodError, match="block-paging cannot be taken out"):
        make(tree, "block-paging")
    assert tree.git("branch", "--list", "fix") == ""


def test_no_test_where_a_kernel_has_a_parameter_that_it_does_not_know(tree: Repository) -> None:
    odd = paged.PLAIN.replace(b"prefix_sum_context_lens, kv_indices", b"prefix_sum_context_lens, odd, kv_indices")
    assert odd != paged.PLAIN
    tree.commit({PLAIN_PATH: odd})
    tree.git("tag", "-f", "v1")
    made = make(tree, "ragged-causal-bound")
    assert made.test_path is None
    assert "No regression test goes with this." in made.proposal.body


@pytest.mark.parametrize("verb", CHECKS)
def test_the_tests_are_in_upstreams_style(verb: str) -> None:
    text = launch_test(CHECKS[verb], [(PATH, k) for k in FAULTS.kernels], "op_tests/x/test_y.py")
    ast.parse(text)
    assert "aiterfix" not in text and "@" not in text.replace("@pytest", "").replace("@property", "")
    assert max(map(len, text.splitlines())) <= 88
    assert "parents[2]" in text


def test_the_json_names_the_fault(tree: Repository, capfd: pytest.CaptureFixture[str]) -> None:
    from aiterfix.cli import main

    words = ["upstream", "export", "--repo", str(tree.path), "--fault", "ragged-causal-bound", "--json"]
    assert main(words) == 0
    body = json.loads(capfd.readouterr().out)
    assert body["fault"] == "ragged-causal-bound"
    assert body["branch"] == f"aiterfix/ragged-causal-bound-{body['base'][:12]}"
    assert body["files"][0]["kernels"] == [paged.RAGGED]
