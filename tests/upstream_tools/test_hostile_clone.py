"""A clone whose configuration means harm, and an environment that was left by somebody else: nothing is started."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from aiterfix.cli.main import main
from aiterfix.errors import EnvironmentProblem
from aiterfix.upstream import gitrepo
from aiterfix.upstream.export import export
from aiterfix.upstream.gitrepo import Clone
from tests.upstream_tools.conftest import Repository
from tests.upstream_tools.kernels import FAULTS, FIXED, HALF, PATH, UNPATCHED

COMMANDS = (
    "rev-parse", "for-each-ref", "cat-file", "show", "config", "merge-base", "ls-tree", "archive", "commit-tree", "var",
    "symbolic-ref", "hash-object", "update-ref", "format-patch", "worktree", "read-tree", "write-tree",
)  # fmt: skip


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "started"


@pytest.fixture
def script(tmp_path: Path, mark: Path) -> Path:
    """A program that leaves the mark."""
    place = tmp_path / "script"
    place.write_text(f'#!/bin/sh\necho "$0 $*" >> {mark}\nexit 1\n')
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    return place


@pytest.fixture
def hostile(repository: Repository, script: Path, mark: Path, tmp_path: Path) -> Repository:
    """A repository that has git start the script in every way that its own configuration offers; a blob is missing, so
    that git asks the promisor remote for it."""
    repository.commit({PATH: HALF}, "v1")
    repository.commit({PATH: UNPATCHED, "aiter/other.py": "_gluon_deepgemm_fp8_paged_mqa_logits = 1\n"}, "v2")
    blob = repository.git("rev-parse", "v2:aiter/other.py")
    (repository.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-index-change", "post-checkout", "pre-commit"):
        (hooks / name).symlink_to(script)
    (tmp_path / "outside").mkdir()
    more = "".join(f"\t{name} = !{script} alias\n" for name in COMMANDS)
    with (repository.path / ".git/config").open("a") as file:
        file.write(
            f"[core]\n\trepositoryformatversion = 1\n\tfsmonitor = {script}\n\thooksPath = {hooks}\n"
            f"\tsshCommand = {script}\n\tgitProxy = {script}\n\tpager = {script}\n\taskPass = {script}\n"
            f"\teditor = {script}\n\tworktree = {tmp_path / 'outside'}\n\talternateRefsCommand = {script}\n"
            f"[extensions]\n\tpartialClone = evil\n[alias]\n{more}"
            f'[remote "evil"]\n\turl = ext::{script} %S\n\tpromisor = true\n\tpartialclonefilter = blob:none\n'
            f"\tuploadpack = {script}\n\tproxy = {script}\n"
            f'[remote "local"]\n\turl = {repository.path}\n\tpromisor = true\n\tuploadpack = {script}\n'
            f'[remote "helper"]\n\turl = x\n\tvcs = evil\n\tpromisor = true\n'
            '[protocol]\n\tallow = always\n[protocol "ext"]\n\tallow = always\n[protocol "file"]\n\tallow = always\n'
            f"[credential]\n\thelper = !{script}\n[gpg]\n\tprogram = {script}\n[commit]\n\tgpgSign = true\n"
            f"[diff]\n\texternal = {script}\n[log]\n\tshowSignature = true\n"
        )
    helper = tmp_path / "bin" / "git-remote-evil"
    helper.parent.mkdir()
    helper.symlink_to(script)
    return repository


@pytest.mark.parametrize("words", ["scan", "scan --refs v1", "scan --refs v2", "status --offline --refs v1", "export"])
def test_nothing_is_started(
    hostile: Repository, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert main(["upstream", *words.split(), "--repo", str(hostile.path)]) in (0, 1, 3, 4)
    assert not mark.exists(), mark.read_text()


@pytest.mark.parametrize("version", ["this git", "one that has no switch for it"])
def test_nothing_is_fetched_for_an_object_that_is_missing(
    hostile: Repository, mark: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version != "this git":
        monkeypatch.delitem(gitrepo._ENVIRONMENT, "GIT_NO_LAZY_FETCH")
    clone = Clone(hostile.path)
    assert clone.partial
    with pytest.raises(EnvironmentProblem):
        clone.output("cat-file", "-p", "v2:aiter/other.py")
    assert not mark.exists(), mark.read_text()


def test_the_environment_starts_nothing_either(
    repository: Repository, script: Path, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({PATH: UNPATCHED}, "v1")
    trace = tmp_path / "trace"
    config = tmp_path / "config"
    config.write_text(f"[core]\n\tfsmonitor = {script}\n\tpager = {script}\n[alias]\n\tvar = !{script}\n")
    for name, value in {
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": str(script),
        "GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_SYSTEM": str(config), "GIT_CONFIG": str(config),
        "GIT_SSH_COMMAND": str(script), "GIT_EXTERNAL_DIFF": str(script), "GIT_PAGER": str(script),
        "GIT_TRACE": str(trace), "GIT_EXEC_PATH": str(tmp_path), "GIT_WORK_TREE": str(tmp_path), "GIT_EDITOR": str(script),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(tmp_path), "GIT_NAMESPACE": "x", "GIT_CEILING_DIRECTORIES": "/",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    made = export(Clone(repository.path), "v1", FAULTS, branch="fix")
    assert made.patch and not mark.exists() and not trace.exists()


def test_a_git_of_the_current_folder_is_not_run(
    repository: Repository, script: Path, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({PATH: FIXED}, "v1")
    (tmp_path / "git").symlink_to(script)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f":.:{os.environ['PATH']}")
    assert Clone(repository.path).resolve("v1")
    assert not mark.exists()


def test_who_the_user_is_may_stand_in_the_users_own_configuration(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({PATH: UNPATCHED}, "v1")
    for key in ("user.name", "user.email"):
        repository.git("config", "--unset", key)
    own = tmp_path / "own"
    own.write_text("[user]\n\tname = Ute User\n\temail = ute@example.org\n[core]\n\tfsmonitor = /bin/false\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(own))
    export(Clone(repository.path), "v1", FAULTS, branch="fix")
    said = repository.git("log", "-1", "--format=%an <%ae> %cn%n%B", "fix")
    assert said.startswith("Ute User <ute@example.org> Ute User\n")
    assert said.endswith("Signed-off-by: Ute User <ute@example.org>")


def test_a_linked_work_tree_and_a_bare_clone_are_found(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit({PATH: FIXED}, "v1")
    repository.git("worktree", "add", "-q", str(tmp_path / "linked"))
    linked = Clone(tmp_path / "linked")
    assert linked.resolve("HEAD") == commit and not linked.bare
    assert linked.common_dir.samefile(repository.path / ".git")
    repository.git("clone", "-q", "--bare", str(repository.path), str(tmp_path / "bare"))
    bare = Clone(tmp_path / "bare")
    assert bare.bare and bare.work_tree is None and bare.resolve("v1") == commit
    inside = repository.path / "aiter"
    with pytest.raises(EnvironmentProblem, match="is not a git repository"):
        Clone(inside)


def test_git_would_start_it(hostile: Repository, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without the care taken: the tests above can fail. A generic `protocol.allow=never` is not enough."""
    for name in ("GIT_NO_LAZY_FETCH", "GIT_ALLOW_PROTOCOL"):
        monkeypatch.delitem(gitrepo._ENVIRONMENT, name)
    with pytest.raises(EnvironmentProblem):
        Clone(hostile.path).output("cat-file", "-p", "v2:aiter/other.py")
    assert mark.exists()
    mark.unlink()
    hostile.git("cat-file", "-p", "v2:aiter/other.py", status=128)
    assert mark.exists()
