"""Tags judged by the source in them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from aiterfix.errors import UsageError
from aiterfix.faults.base import Fault, Presence, worst
from aiterfix.faults.diagnosis import TextDiagnosis, diagnose
from aiterfix.faults.registry import load_faults
from aiterfix.history.bounds import Bounds, BoundState, GuardCounts
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.verdict import Verdict
from aiterfix.source.search import needles
from aiterfix.upstream.gitrepo import Clone, CloneError
from aiterfix.upstream.scan import ScanResult, main_of, scan, shortest
from tests.upstream_tools.conftest import Repository
from tests.upstream_tools.kernels import (
    ALONE,
    BOTH,
    FAULTS,
    FIXED,
    GLUON,
    GLUON_BOUNDS,
    HALF,
    LOWER,
    NONE,
    OTHER,
    PATH,
    PLAIN,
    PLAIN_PATH,
    STAGE1,
    STAGE1_BOUNDS,
    UNPATCHED,
    UPPER,
    gluon,
)


def run(path: Path, *revisions: str) -> ScanResult:
    return scan(Clone(path), FAULTS, revisions)


def states(result: ScanResult, bounds: Bounds = GLUON_BOUNDS) -> dict[str, BoundState]:
    return {r.ref: r.state(bounds) for r in result.refs}


@pytest.mark.parametrize(
    ("text", "counts", "state"),
    [
        (UNPATCHED, GuardCounts(1, 1, 0, 0), BoundState.UNBOUNDED),
        (HALF, GuardCounts(0, 1, 1, 0), BoundState.PARTLY),
        (FIXED, GuardCounts(0, 0, 1, 1), BoundState.BOUNDED),
        (gluon(UPPER, NONE, LOWER, BOTH), GuardCounts(1, 1, 1, 1), BoundState.PARTLY),
        (gluon(OTHER), GuardCounts(1, 0, 0, 0), BoundState.UNBOUNDED),
        (gluon(UPPER).replace(GLUON, "_another_kernel"), GuardCounts(), BoundState.UNKNOWN),
        ("from aiter.kernels import " + GLUON + "\n", GuardCounts(), BoundState.NO_STORES),
        ("def broken(:  # OutLogits_buffer\n", GuardCounts(), BoundState.UNKNOWN),
    ],
)
def test_state_of_a_tree(repository: Repository, text: str, counts: GuardCounts, state: BoundState) -> None:
    repository.commit({PATH: text}, "v1")
    ref = run(repository.path).refs[0]
    assert (ref.counts(GLUON_BOUNDS), ref.state(GLUON_BOUNDS)) == (counts, state)


def test_a_kernel_is_found_by_name_wherever_it_stands(repository: Repository) -> None:
    repository.commit({"aiter/ops/somewhere/else/moved.py": HALF}, "v1")
    (ref,) = run(repository.path).refs
    assert [f.path for f in ref.files] == ["aiter/ops/somewhere/else/moved.py"]
    assert ref.state(GLUON_BOUNDS) is BoundState.PARTLY


def test_copies_outside_the_package_are_listed_and_do_not_count(repository: Repository) -> None:
    repository.commit({PATH: FIXED, "op_tests/reference.py": UNPATCHED}, "v1")
    (ref,) = run(repository.path).refs
    assert [(f.path, f.in_package, f.verdict(ALONE)) for f in ref.files] == [
        (PATH, True, Verdict.CLEAN),
        ("op_tests/reference.py", False, Verdict.AFFECTED),
    ]
    assert ref.state(GLUON_BOUNDS) is BoundState.BOUNDED
    assert ref.verdict(ALONE) is Verdict.CLEAN


def test_code_paths_are_judged_apart(repository: Repository) -> None:
    repository.commit({PATH: FIXED, PLAIN_PATH: PLAIN}, "v1")
    (ref,) = run(repository.path).refs
    assert ref.state(GLUON_BOUNDS) is BoundState.BOUNDED
    assert ref.state(STAGE1_BOUNDS) is BoundState.UNBOUNDED
    assert ref.verdict(ALONE) is Verdict.AFFECTED
    assert {k.kernel for f in ref.files for k in f.kernels} == {GLUON, STAGE1}


def test_every_judged_fault_is_recorded_for_every_kernel(repository: Repository) -> None:
    repository.commit({PATH: FIXED, PLAIN_PATH: PLAIN}, "v1")
    known = load_faults()
    (ref,) = scan(Clone(repository.path), known).refs
    for kernel in (k for f in ref.files for k in f.kernels):
        assert list(kernel.presence) == [f.id for f in known.judged]
    assert ref.presence(ALONE) is Presence.PRESENT
    assert ref.presence(ALONE, ["gluon"]) is Presence.ABSENT
    # What nobody looked for is not said to be absent.
    (alone,) = run(repository.path).refs
    assert alone.presence(["row-offset-32"]) is Presence.UNKNOWN
    assert alone.verdict(known.deciding) is Verdict.UNKNOWN


WRAPPER_PATH = "aiter/ops/triton/attention/pa_mqa_logits.py"
TAKES_ANY = f"""
from aiter.ops.triton.gluon.pa_mqa_logits import {GLUON}


def deepgemm_fp8_paged_mqa_logits(q_fp8, kv_cache_fp8, out_logits, max_model_len, ChunkK=256):
    {GLUON}[grid](out_logits, out_logits.stride(0), ChunkK=ChunkK)
"""
REFUSES = TAKES_ANY.replace(
    "    _gluon",
    "    if out_logits.numel() != out_logits.size(0) * out_logits.size(-1):\n"
    "        raise ValueError(out_logits.shape)\n    _gluon",
)


def test_a_wrapper_s_faults_are_those_that_check_finds(repository: Repository, tmp_path: Path) -> None:
    """By the same code: what a tag's record says is what `check` says of the tree."""
    known = load_faults()
    repository.commit({PATH: FIXED}, "v1")
    repository.commit({WRAPPER_PATH: TAKES_ANY}, "v2")
    repository.commit({WRAPPER_PATH: REFUSES, "op_tests/w.py": TAKES_ANY}, "v3")
    repository.commit({WRAPPER_PATH: TAKES_ANY, "aiter/ops/other.py": REFUSES.replace("def deepgemm", "def my")}, "v4")
    refs = scan(Clone(repository.path), known).refs
    assert [r.presence(["output-rank"]).value for r in refs] == ["absent", "present", "refused", "present"]
    assert [[w.path for w in r.launchers] for r in refs] == [
        [], [WRAPPER_PATH], [WRAPPER_PATH], ["aiter/ops/other.py", WRAPPER_PATH],
    ]  # fmt: skip
    for ref in refs:
        tree = tmp_path / ref.ref
        repository.git("worktree", "add", "-q", str(tree), ref.ref)
        (tree / "aiter" / "__init__.py").touch()
        (installation,) = find_path(tree).installations
        judgement = judge_installation(installation, known)
        assert {f.id: ref.presence((f.id,)) for f in known.judged} == {
            f.id: worst(u.presence((f.id,)) for _, u in judgement.units) for f in known.judged
        }


def test_a_text_alone_is_recorded_beside_what_its_package_makes_of_it(repository: Repository) -> None:
    known = load_faults()
    repository.commit({PATH: FIXED, WRAPPER_PATH: TAKES_ANY}, "v1")
    (ref,) = scan(Clone(repository.path), known).refs
    (kernel,) = (k for f in ref.files for k in f.kernels)
    assert (kernel.presence["output-rank"], kernel.by_text["output-rank"]) == (Presence.PRESENT, Presence.ABSENT)
    assert ref.having("output-rank") == 1
    other = {f: p for f, p in kernel.presence.items() if kernel.by_text[f] is not p}
    assert other == dict.fromkeys(["launch-arguments", "output-rank"], Presence.PRESENT)


def test_the_main_branch_is_judged_as_it_is(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: UNPATCHED}, "v1")
    newest = repository.commit({PATH: FIXED})
    (main,) = main_of(Clone(repository.path), FAULTS)
    assert (main.ref, main.commit, main.verdict(ALONE)) == ("main", newest, Verdict.CLEAN)
    # Of a clone that somebody works in, the branch as it was fetched.
    repository.git("clone", "-q", repository.path.as_uri(), str(tmp_path / "fetched"))
    own = Repository(tmp_path / "fetched")
    own.commit({PATH: UNPATCHED})
    assert main_of(Clone(own.path), FAULTS)[0].commit == newest
    repository.git("branch", "-m", "main", "trunk")
    assert main_of(Clone(repository.path), FAULTS) == ()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python takes such f-strings")
def test_a_python_too_old_says_which_one_may_be_needed(repository: Repository) -> None:
    newer = FIXED + "\n\nsaid = f'{dict(a='b')}'\n"
    repository.commit({PATH: newer}, "v1")
    repository.commit({PATH: "def broken(:  # OutLogits_buffer\n"}, "v2")
    first, second = run(repository.path).refs
    assert first.verdict(ALONE) is second.verdict(ALONE) is Verdict.UNKNOWN
    line = newer.count("\n")
    assert [f.problems for f in first.files] == [(f"syntax at line {line}: Python 3.12 or later may be needed",)]
    assert [f.problems for f in second.files] == [("syntax at line 1",)]
    (problem,) = diagnose(newer.encode(), FAULTS.judged).problems
    assert problem.python == "3.12" and "run aiterfix with 3.12 or later" in problem.message


def test_source_decides_and_not_ancestry(repository: Repository) -> None:
    """A fix that was reverted is an ancestor and not there; one that was copied is there without being one."""
    repository.commit({PATH: UNPATCHED}, "v1")
    repository.commit({PATH: FIXED}, "v2")
    repository.commit({PATH: UNPATCHED}, "v3")
    repository.git("checkout", "-q", "-b", "branch", "v1")
    repository.commit({PATH: FIXED}, "v1.post1")
    assert states(run(repository.path)) == {
        "v1": BoundState.UNBOUNDED,
        "v2": BoundState.BOUNDED,
        "v3": BoundState.UNBOUNDED,
        "v1.post1": BoundState.BOUNDED,
    }


def test_each_distinct_file_is_analysed_once(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    import aiterfix.upstream.scan as module

    seen: list[bytes] = []

    def watched(text: bytes, faults: Sequence[Fault]) -> TextDiagnosis:
        seen.append(text)
        return diagnose(text, faults)

    monkeypatch.setattr(module, "diagnose", watched)
    for number in range(6):
        repository.commit({PATH: UNPATCHED if number < 3 else FIXED, f"aiter/{number}.py": "x = 1\n"}, f"v{number}")
    result = run(repository.path)
    assert len(result.refs) == 6
    assert sorted(seen) == sorted([UNPATCHED.encode(), FIXED.encode()])


def test_order_is_by_date_and_dates_are_those_of_annotated_tags(repository: Repository) -> None:
    repository.commit({PATH: UNPATCHED}, "v2")
    repository.commit({PATH: HALF}, "v1")
    repository.clock += 100 * 86400
    repository.git("tag", "-a", "-m", "late", "v0", "v2")
    result = run(repository.path)
    assert [r.ref for r in result.refs] == ["v2", "v1", "v0"]
    assert result.refs[2].commit == result.refs[0].commit
    assert (result.refs[2].when - result.refs[0].when).days == 100


def test_tags_of_tags_and_tags_of_no_commit(repository: Repository) -> None:
    repository.commit({PATH: FIXED}, "v1")
    repository.git("tag", "-a", "-m", "one", "one", "v1")
    repository.git("tag", "-a", "-m", "two", "two", "one")
    repository.git("tag", "tree", "v1^{tree}")
    result = run(repository.path)
    assert result.skipped == ("tree",)
    assert states(result) == dict.fromkeys(("v1", "one", "two"), BoundState.BOUNDED)


def test_revisions_patterns_and_branches(repository: Repository) -> None:
    repository.commit({PATH: UNPATCHED}, "v1.0", "v1.1")
    newest = repository.commit({PATH: FIXED}, "v2.0")
    assert set(states(run(repository.path, "v1.*"))) == {"v1.0", "v1.1"}
    assert set(states(run(repository.path, "refs/tags/v2.0", "main"))) == {"v2.0", "main"}
    (ref,) = run(repository.path, newest[:10]).refs
    assert ref.commit == newest
    assert ref.date.startswith("2023-")


@pytest.mark.parametrize("revision", ["nothing", "--all", "v9*", "a\nb", ""])
def test_a_revision_that_names_nothing(repository: Repository, revision: str) -> None:
    repository.commit({PATH: UNPATCHED}, "v1")
    with pytest.raises(UsageError, match="names no commit"):
        run(repository.path, revision)


def test_a_tag_wins_over_a_branch_of_the_same_name(repository: Repository) -> None:
    repository.commit({PATH: UNPATCHED}, "same")
    repository.git("checkout", "-q", "-b", "same")
    repository.commit({PATH: FIXED})
    assert states(run(repository.path, "same")) == {"same": BoundState.UNBOUNDED}


def test_a_repository_without_tags(repository: Repository) -> None:
    repository.commit({PATH: UNPATCHED})
    with pytest.raises(UsageError, match="no tags"):
        run(repository.path)


def test_not_a_repository(tmp_path: Path) -> None:
    with pytest.raises(CloneError, match="not a git repository"):
        Clone(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        Clone(tmp_path / "nowhere")


def test_bare_clones_and_linked_work_trees(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: HALF}, "v1")
    repository.git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    repository.git("worktree", "add", "-q", str(tmp_path / "linked"), "v1")
    for path in (repository.path, tmp_path / "bare", tmp_path / "linked"):
        assert states(run(path)) == {"v1": BoundState.PARTLY}
    # A clone that lost its configuration is still read.
    (tmp_path / "bare" / "config").unlink()
    assert states(run(tmp_path / "bare")) == {"v1": BoundState.PARTLY}


def test_a_shallow_clone_says_so(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: UNPATCHED}, "v1")
    repository.commit({PATH: FIXED}, "v2")
    url = repository.path.as_uri()
    repository.git("clone", "-q", "--depth", "1", "--branch", "v2", url, str(tmp_path / "shallow"))
    result = run(tmp_path / "shallow")
    assert result.shallow
    assert states(result) == {"v2": BoundState.BOUNDED}
    assert not run(repository.path).shallow


def test_a_partial_clone_says_so_is_never_safe_and_fetches_nothing(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: FIXED}, "v1")
    repository.git("config", "uploadpack.allowFilter", "true")
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    target = tmp_path / "partial"
    repository.git(
        "clone", "-q", "--no-checkout", "--filter=blob:none", repository.path.as_uri(), str(target)
    )  # fmt: skip
    before = sorted(p.name for p in (target / ".git" / "objects" / "pack").iterdir())
    result = run(target)
    assert result.partial
    assert states(result) == {"v1": BoundState.UNKNOWN}
    assert "not in this clone" in result.refs[0].doubts[0]
    assert sorted(p.name for p in (target / ".git" / "objects" / "pack").iterdir()) == before


def test_objects_that_are_gone_are_doubts(repository: Repository) -> None:
    repository.commit({PATH: FIXED, "op_tests/x.py": "OutLogits_buffer = 1\n"}, "v1")
    for name, state in (("op_tests/x.py", BoundState.BOUNDED), (PATH, BoundState.UNKNOWN)):
        oid = repository.git("rev-parse", f"v1:{name}")
        (repository.path / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
        assert states(run(repository.path)) == {"v1": state}


def test_damaged_objects_neither_hang_nor_pass(repository: Repository) -> None:
    """Git complains about each on stderr: thousands of complaints must not fill the pipe."""
    files: dict[str, str | bytes | None] = {f"aiter/m{i}.py": f"x = {i}\n" for i in range(1500)}
    repository.commit({**files, PATH: FIXED}, "v1")
    for line in repository.git("ls-tree", "-r", "v1").splitlines():
        oid = line.split()[2]
        place = repository.path / ".git" / "objects" / oid[:2] / oid[2:]
        place.chmod(0o600)
        place.write_bytes(b"damaged")
    try:
        result = run(repository.path)
    except CloneError as error:
        assert "cat-file" in str(error)
    else:
        assert states(result) == {"v1": BoundState.UNKNOWN}


def test_a_missing_folder_is_a_doubt(repository: Repository) -> None:
    repository.commit({PATH: FIXED}, "v1")
    oid = repository.git("rev-parse", "v1:aiter/ops")
    (repository.path / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    (ref,) = run(repository.path).refs
    assert ref.verdict(ALONE) is Verdict.UNKNOWN
    assert ref.doubts == ("folder aiter/ops/ is not in this clone",)


def test_links_and_submodules_in_the_package_are_doubts(repository: Repository) -> None:
    commit = repository.commit({PATH: FIXED}, "v1")
    (repository.path / "aiter" / "linked.py").symlink_to("/somewhere.py")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},aiter/module")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},3rdparty/module")
    repository.git("add", "aiter/linked.py")
    repository.git("commit", "-q", "-m", "links")
    repository.git("tag", "v2")
    assert {r.ref: r.doubts for r in run(repository.path).refs} == {
        "v1": (),
        "v2": ("aiter/linked.py is a symbolic link", "aiter/module is a submodule"),
    }


def test_odd_names_and_bytes(repository: Repository) -> None:
    odd = "aiter/\x1b[31mred\n.py"
    repository.commit({odd: UNPATCHED, "aiter/latin.py": b"# OutLogits_buffer \xe9\n"}, "v1")
    (repository.path / "aiter").joinpath(b"\xff.py".decode("utf-8", "surrogateescape")).write_text(FIXED)
    repository.commit({}, "v2")
    first, second = run(repository.path).refs
    assert [f.path for f in first.files] == ["aiter/\\x1b[31mred\\n.py", "aiter/latin.py"]
    assert first.verdict(ALONE) is Verdict.UNKNOWN
    assert "aiter/\\xff.py" in [f.path for f in second.files]


def test_sha256_repositories(tmp_path: Path) -> None:
    done = subprocess.run(
        ["git", "init", "-q", "--object-format=sha256", str(tmp_path / "new")], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("this git knows no SHA-256 repositories")
    shutil.rmtree(tmp_path / "new")
    repository = Repository.__new__(Repository)
    repository.path, repository.clock = tmp_path / "new", 1_700_000_000
    repository.path.mkdir()
    repository.git("init", "-q", "-b", "main", "--object-format=sha256")
    repository.git("config", "user.name", "Ann Author")
    repository.git("config", "user.email", "ann@example.org")
    commit = repository.commit({PATH: HALF}, "v1")
    (ref,) = run(repository.path).refs
    assert (ref.commit, ref.state(GLUON_BOUNDS)) == (commit, BoundState.PARTLY)
    assert len(commit) == 64


def test_replacement_objects_do_not_deceive(repository: Repository) -> None:
    repository.commit({PATH: UNPATCHED}, "v1")
    old = repository.git("rev-parse", f"v1:{PATH}")
    new = repository.git("hash-object", "-w", "--stdin", data=FIXED.encode())
    repository.git("replace", old, new)
    assert states(run(repository.path)) == {"v1": BoundState.UNBOUNDED}


def test_an_environment_left_by_a_hook_does_not_redirect(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({PATH: HALF}, "v1")
    other = Repository(tmp_path / "other")
    other.commit({PATH: FIXED}, "v9")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.path / ".git" / "objects"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.path / ".git" / "index"))
    assert states(run(repository.path)) == {"v1": BoundState.PARTLY}


def test_the_words_searched_for_miss_nothing() -> None:
    words = needles(FAULTS.kernels)
    for word in words:
        assert any(s in word for s in shortest(words))


def test_many_files_pass_through_the_window(repository: Repository) -> None:
    files: dict[str, str | bytes | None] = {f"aiter/m{i}.py": f"x = {i}\n" * 4000 for i in range(700)}
    repository.commit({**files, PATH: FIXED}, "v1")
    result = run(repository.path)
    assert result.sources == 701
    assert states(result) == {"v1": BoundState.BOUNDED}
