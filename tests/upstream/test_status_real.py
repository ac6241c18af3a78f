"""What ships of pull requests' texts, judged again from the real clone."""

from __future__ import annotations

from pathlib import Path

from aiterfix.faults.registry import load_faults
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.judged import judge_commits
from aiterfix.upstream.pulls import load_last_known
from tests.upstream.conftest import Clone as RealClone


def test_what_shipped_is_what_the_judge_says(clone: RealClone) -> None:
    shipped = load_last_known()
    here = Clone(Path(clone.path))
    commits = [c for c in shipped.trees if here.resolve(c)]
    assert shipped.main in commits and len(commits) > 20
    judged = judge_commits(here, commits, load_faults())
    assert {c: judged[c] for c in commits} == {c: shipped.trees[c] for c in commits}
