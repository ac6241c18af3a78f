"""A branch made in the object database alone."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.faults.base import Presence
from aiterfix.faults.diagnosis import diagnose
from aiterfix.upstream.evidence import EvidenceError
from aiterfix.upstream.export import Export, NothingToExportError, export
from aiterfix.upstream.gitrepo import Clone
from tests.upstream_tools.conftest import Repository
from tests.upstream_tools.kernels import (
    ALONE,
    BOTH,
    FAULTS,
    FIXED,
    GLUON,
    HALF,
    LOWER,
    NONE,
    OTHER,
    PATH,
    PLAIN,
    PLAIN_PATH,
    STAGE1,
    UNPATCHED,
    UPPER,
    gluon,
)

SIGN_OFF = "Signed-off-by: Ann Author <ann@example.org>"


def make(repository: Repository, revision: str = "HEAD", **options: Any) -> Export:
    return export(Clone(repository.path), revision, FAULTS, **options)


def snapshot(path: Path) -> dict[str, tuple[int, bytes | str]]:
    """Every file of a work tree and its repository, but for objects, and who wrote it when."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for place in sorted(path.rglob("*")):
        relative = place.relative_to(path).as_posix()
        if relative.startswith(".git/objects/") or place.is_dir():
            continue
        status = place.lstat()
        found[relative] = (status.st_mtime_ns, str(place.readlink()) if place.is_symlink() else place.read_bytes())
    return found


def changes(repository: Repository, made: Export) -> list[str]:
    return repository.git("diff", "--name-only", made.base, made.commit).splitlines()


def test_one_commit_with_the_semantic_patch(repository: Repository) -> None:
    base = repository.commit({PATH: UNPATCHED, PLAIN_PATH: PLAIN, "README": "x\n"}, "v1")
    made = make(repository, "v1", branch="fix")
    assert repository.git("rev-list", f"{base}..fix").split() == [made.commit]
    assert repository.git("rev-parse", "fix^") == base == made.base
    test = "tests/test_pa_mqa_logits_column_bounds.py"
    assert changes(repository, made) == [PLAIN_PATH, PATH, test]
    for path in (PATH, PLAIN_PATH):
        text = repository.git("show", f"fix:{path}") + "\n"
        assert diagnose(text.encode(), FAULTS.judged).presence(ALONE) is Presence.ABSENT
    assert [(f.kernels, len(f.places)) for f in made.files] == [((STAGE1,), 1), ((GLUON,), 2)]


def test_commit_message(repository: Repository) -> None:
    repository.commit({PATH: HALF}, "v1")
    made = make(repository, branch="fix")
    message = repository.git("log", "-1", "--format=%B", "fix")
    lines = message.splitlines()
    assert lines[0] == made.proposal.subject == "pa_mqa_logits: bound every output store by max_model_len"
    assert lines[1] == ""
    assert lines[-1] == SIGN_OFF
    assert message.count("Signed-off-by") == 1
    assert max(len(line) for line in lines if "->" not in line) <= 72
    assert f"1 place is changed, in\n{GLUON}." in message
    digest = made.files[0].mended
    assert f"{PATH}: {digest.before.sha256} -> {digest.after.sha256}" in lines
    assert repository.git("log", "-1", "--format=%an %ae %cn %ce", "fix") == " ".join(
        ["Ann Author", "ann@example.org"] * 2
    )


def test_nothing_else_is_touched(repository: Repository) -> None:
    """Work tree, index, HEAD, other references, configuration, remotes: bytes and times as they were."""
    repository.commit({PATH: UNPATCHED, "other.txt": "one\n"}, "v1")
    repository.git("remote", "add", "origin", "https://example.org/x.git")
    repository.git("checkout", "-q", "-b", "work")
    (repository.path / "other.txt").write_text("changed, not staged\n")
    (repository.path / "staged.txt").write_text("staged\n")
    repository.git("add", "staged.txt")
    (repository.path / PATH).write_text("locally broken(\n")
    # A stale index would be refreshed by a command that looks at the work tree.
    os.utime(repository.path / ".gitignore" if (repository.path / ".gitignore").exists() else repository.path / PATH)
    before = snapshot(repository.path)
    make(repository, "v1", branch="fix")
    after = snapshot(repository.path)
    new = set(after) - set(before)
    assert new == {".git/refs/heads/fix", ".git/logs/refs/heads/fix"}
    assert {k: v for k, v in after.items() if k not in new} == before


def test_hooks_and_drivers_of_the_repository_do_not_run(repository: Repository, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    hooks = repository.path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("reference-transaction", "post-commit", "commit-msg", "pre-commit", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> {mark}\n")
        (hooks / name).chmod(0o755)
    script = tmp_path / "driver"
    script.write_text(f"#!/bin/sh\necho driver >> {mark}\ncat\n")
    script.chmod(0o755)
    repository.commit({PATH: UNPATCHED, ".gitattributes": "*.py filter=loud diff=loud\n"}, "v1")
    mark.unlink(missing_ok=True)
    for key in ("filter.loud.clean", "filter.loud.smudge", "diff.loud.command", "diff.loud.textconv"):
        repository.git("config", key, str(script))
    repository.git("config", "core.fsmonitor", str(script))
    repository.git("config", "commit.gpgSign", "true")
    repository.git("config", "gpg.program", str(script))
    repository.git("config", "format.signOff", "true")
    made = make(repository, "v1", branch="fix")
    assert not mark.exists()
    assert made.patch.count(b"Signed-off-by") == 1
    assert f"diff --git a/{PATH} b/{PATH}".encode() in made.patch


def test_the_patch_applies_with_git_am(repository: Repository, tmp_path: Path) -> None:
    base = repository.commit({PATH: gluon(UPPER, NONE, LOWER, OTHER), PLAIN_PATH: PLAIN}, "v1")
    # The user's own taste in diffs must not make a patch that does not apply.
    for key, value in (
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("diff.context", "0"),
        ("format.attach", "true"),
        ("diff.algorithm", "patience"),
        ("color.ui", "always"),
        ("format.coverLetter", "true"),
        ("format.numbered", "true"),
    ):
        repository.git("config", key, value)
    made = make(repository, "v1", branch="fix")
    other = Repository(tmp_path / "other")
    other.git("fetch", "-q", str(repository.path), "v1")
    other.git("checkout", "-q", "FETCH_HEAD")
    other.git("am", data=made.patch)
    assert other.git("rev-parse", "HEAD^{tree}") == repository.git("rev-parse", "fix^{tree}")
    assert other.git("rev-parse", "HEAD^") == base
    assert other.git("log", "-1", "--format=%B") == repository.git("log", "-1", "--format=%B", "fix")


def test_file_mode_line_endings_and_odd_bytes_stay(repository: Repository) -> None:
    text = ("# \xe9\xfc\u4e2d\n" + HALF).replace("\n", "\r\n").rstrip("\r\n").encode()
    repository.git("config", "core.autocrlf", "true")
    repository.commit({PATH: HALF}, "v0")
    oid = repository.git("hash-object", "-w", "--no-filters", "--stdin", data=text)
    repository.git("update-index", "--cacheinfo", f"100755,{oid},{PATH}")
    repository.git("commit", "-q", "-m", "windows")
    made = make(repository, "HEAD", branch="fix")
    assert repository.git("ls-tree", "fix", PATH).startswith("100755 blob")
    blob = subprocess.run(
        ["git", "cat-file", "blob", f"fix:{PATH}"], cwd=repository.path, capture_output=True, check=True
    ).stdout
    assert blob == made.files[0].mended.new
    assert blob.count(b"\n") == blob.count(b"\r\n") > 10
    assert not blob.endswith(b"\n")


def test_names_that_exist_are_refused_unless_forced(repository: Repository) -> None:
    repository.commit({PATH: HALF}, "v1")
    repository.git("branch", "taken")
    old = repository.git("rev-parse", "taken")
    with pytest.raises(UsageError, match="exists"):
        make(repository, branch="taken")
    assert repository.git("rev-parse", "taken") == old
    made = make(repository, branch="taken", force=True)
    assert made.replaced == old
    assert repository.git("rev-parse", "taken") == made.commit


def test_current_branches_are_refused_even_if_forced(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: HALF}, "v1")
    repository.git("worktree", "add", "-q", "-b", "elsewhere", str(tmp_path / "linked"))
    for name in ("main", "elsewhere"):
        before = repository.git("rev-parse", name)
        with pytest.raises(UsageError, match="current branch"):
            make(repository, branch=name, force=True)
        assert repository.git("rev-parse", name) == before
    empty = Repository(tmp_path / "unborn")
    empty.git("fetch", "-q", str(repository.path), "main:other")
    with pytest.raises(UsageError, match="current branch"):
        make(empty, "other", branch="main")


@pytest.mark.parametrize("name", ["", "-x", "a..b", "a b", "x.lock", "/x", "x/", "@{", "a\x1bb", "HEAD~1"])
def test_names_that_git_does_not_allow(repository: Repository, name: str) -> None:
    repository.commit({PATH: HALF}, "v1")
    references = repository.git("for-each-ref")
    with pytest.raises(UsageError):
        make(repository, branch=name)
    assert repository.git("for-each-ref") == references


def test_a_name_below_an_existing_one(repository: Repository) -> None:
    repository.commit({PATH: HALF}, "v1")
    repository.git("branch", "fix")
    with pytest.raises(EnvironmentProblem, match="update-ref failed"):
        make(repository, branch="fix/it")


def test_the_default_name_tells_the_base(repository: Repository) -> None:
    base = repository.commit({PATH: HALF}, "v1")
    assert make(repository).branch == f"aiterfix/column-bound-{base[:12]}"


@pytest.mark.parametrize("key", ["user.name", "user.email"])
def test_no_identity_no_commit(repository: Repository, key: str) -> None:
    """Git would make one up from the machine's name: a sign-off must not be made up."""
    repository.commit({PATH: HALF}, "v1")
    repository.git("config", "--unset", key)
    with pytest.raises(EnvironmentProblem, match="sign the commit off") as error:
        make(repository, branch="fix")
    assert "git config user.name" in error.value.remedy
    assert repository.git("branch", "--list", "fix") == ""


def test_an_identity_of_another_language(repository: Repository) -> None:
    repository.commit({PATH: HALF}, "v1")
    repository.git("config", "user.name", "Zoë Ångström")
    make(repository, branch="fix")
    assert repository.git("log", "-1", "--format=%b", "fix").endswith("Signed-off-by: Zoë Ångström <ann@example.org>")


def test_nothing_to_send(repository: Repository) -> None:
    repository.commit({PATH: FIXED}, "v1")
    with pytest.raises(NothingToExportError):
        make(repository, branch="fix")
    assert repository.git("branch", "--list", "fix") == ""


@pytest.mark.parametrize(
    "text", [HALF.replace("+ gl.arange", "+ surprise(*args)"), f"def {GLUON}(:  # OutLogits_buffer\n"]
)
def test_what_is_not_understood_is_not_sent(repository: Repository, text: str) -> None:
    repository.commit({PATH: UNPATCHED, "aiter/second.py": text.replace(GLUON, GLUON + "_preshuffle")}, "v1")
    with pytest.raises(NotUnderstoodError):
        make(repository, branch="fix")
    assert repository.git("branch", "--list", "fix") == ""


def test_copies_outside_the_package_are_left_alone(repository: Repository) -> None:
    repository.commit({PATH: HALF, "op_tests/reference.py": UNPATCHED}, "v1")
    made = make(repository, branch="fix")
    assert changes(repository, made) == [PATH, "op_tests/test_pa_mqa_logits_column_bounds.py"]


def test_a_base_that_does_not_exist(repository: Repository) -> None:
    repository.commit({PATH: HALF}, "v1")
    with pytest.raises(UsageError, match="names no commit"):
        make(repository, "v9")


def test_a_bare_clone(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: HALF}, "v1")
    repository.git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    bare = Repository.__new__(Repository)
    bare.path, bare.clock = tmp_path / "bare", repository.clock
    bare.git("config", "user.name", "Ann Author")
    bare.git("config", "user.email", "ann@example.org")
    made = make(bare, "v1", branch="fix")
    assert bare.git("rev-parse", "fix") == made.commit
    assert not (tmp_path / "bare" / "index").exists()


# The regression test that goes along.


def run_generated(
    folder: Path, repository: Repository, test_from: str, sources_from: str, test: str
) -> tuple[int, str]:
    """Run the generated test, from one commit, over the sources of another."""
    for revision, path in ((test_from, test), (sources_from, PATH), (sources_from, PLAIN_PATH)):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(repository.git("show", f"{revision}:{path}") + "\n")
    return run_tree(folder, test)


def run_tree(folder: Path, test: str) -> tuple[int, str]:
    """Run a test of a tree with pytest alone."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHONPATH"))}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(folder),
            test,
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_generated_test_passes_on_the_patch_and_fails_without(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: gluon(UPPER, NONE, LOWER, BOTH), PLAIN_PATH: PLAIN}, "v1")
    made = make(repository, branch="fix")
    assert made.test_path is not None
    status, output = run_generated(tmp_path / "after", repository, "fix", "fix", made.test_path)
    assert (status, "2 passed" in output) == (0, True), output
    status, output = run_generated(tmp_path / "before", repository, "fix", "v1", made.test_path)
    assert status == 1, output
    assert "2 failed" in output
    assert f"{GLUON}: stores without max_model_len as upper bound on lines" in output


def generated(kernels: list[tuple[str, Any]], folder: Path) -> dict[str, Any]:
    """The generated test as a module's namespace, standing in a tree at ``folder``."""
    from aiterfix.upstream.regression import regression_test

    place = folder / "tests" / "test_x.py"
    place.parent.mkdir(parents=True, exist_ok=True)
    text = regression_test(kernels, "tests/test_x.py")
    ast.parse(text)
    assert "aiterfix" not in text
    assert max(map(len, text.splitlines())) <= 88
    namespace: dict[str, Any] = {"__file__": str(place), "__name__": "generated"}
    exec(compile(text, str(place), "exec"), namespace)
    return namespace


SPEC = next(k for k in FAULTS.kernels if k.name == GLUON)
COLUMN = "start + gl.arange(0, Chunk, layout=layout)"
STORE = "    gl.amd.cdna3.buffer_store(value, ptr={ptr}, offsets={offsets}, mask={mask})\n"


@pytest.mark.parametrize(
    ("body", "bounded"),
    [
        (UPPER, True),
        (BOTH, True),
        (NONE, False),
        (LOWER, False),
        (OTHER, False),
        (UPPER + NONE, False),
        *(
            (STORE.format(ptr="OutLogits_buffer", offsets=f"row * stride_out_batch + {COLUMN}", mask=mask), bounded)
            for mask, bounded in (
                (f"max_model_len > {COLUMN}", True),
                (f"{COLUMN} <= max_model_len - 1", True),
                (f"{COLUMN} + 1 <= max_model_len", True),
                ("gl.arange(0, Chunk, layout=layout) + start < max_model_len", True),
                (f"({COLUMN} >= 0) & ({COLUMN} < max_model_len)", True),
                (f"{COLUMN} <= max_model_len", False),
                (f"{COLUMN} < max_model_len + 1", False),
                (f"{COLUMN} - 1 < max_model_len", False),
                (f"({COLUMN} >= 0) | ({COLUMN} < max_model_len)", False),
                (f"{COLUMN} > max_model_len", False),
                (f"{COLUMN} != max_model_len", False),
                ("start < max_model_len", False),
                (f"row * stride_out_batch + {COLUMN} < max_model_len", False),
                ("None", False),
            )
        ),
        (
            f"    column = {COLUMN}\n    keep = column < max_model_len\n"
            + STORE.format(ptr="OutLogits_buffer + row * stride_out_batch", offsets="column", mask="keep"),
            True,
        ),
        (
            "    place = OutLogits_buffer + row * stride_out_batch\n"
            + STORE.format(ptr="place", offsets=COLUMN, mask=f"{COLUMN} >= 0"),
            False,
        ),
        # Assigned twice: which value it has is not known, so it stands for itself.
        (
            f"    column = {COLUMN}\n    column = column + Chunk\n"
            + STORE.format(
                ptr="OutLogits_buffer + row * stride_out_batch", offsets="column", mask="column < max_model_len"
            ),
            True,
        ),
        (
            f"    column = {COLUMN}\n    column = column + Chunk\n"
            + STORE.format(
                ptr="OutLogits_buffer + row * stride_out_batch", offsets="column", mask=f"{COLUMN} < max_model_len"
            ),
            False,
        ),
    ],
)
def test_what_the_generated_test_accepts(tmp_path: Path, body: str, bounded: bool) -> None:
    place = tmp_path / PATH
    place.parent.mkdir(parents=True)
    place.write_text(gluon(body))
    module = generated([(PATH, SPEC)], tmp_path)
    if bounded:
        module["test_every_store_is_bounded"](*module["KERNELS"][0])
    else:
        with pytest.raises(AssertionError, match="stores without max_model_len"):
            module["test_every_store_is_bounded"](*module["KERNELS"][0])


def test_the_generated_test_notices_that_it_looks_at_nothing(tmp_path: Path) -> None:
    place = tmp_path / PATH
    place.parent.mkdir(parents=True)
    place.write_text(gluon("    pass\n"))
    module = generated([(PATH, SPEC)], tmp_path)
    with pytest.raises(AssertionError, match="looks at the wrong thing"):
        module["test_every_store_is_bounded"](*module["KERNELS"][0])
    place.write_text("")
    with pytest.raises(AssertionError, match="0 times"):
        module["test_every_store_is_bounded"](*module["KERNELS"][0])


def test_no_test_if_not_wanted_and_none_over_another_file(repository: Repository) -> None:
    name = "tests/test_pa_mqa_logits_column_bounds{}.py"
    repository.commit({PATH: HALF}, "v1")
    assert make(repository, branch="none", with_test=False).test_path is None
    assert changes(repository, make(repository, branch="a", with_test=False)) == [PATH]
    taken = {name.format(s): "x = 1\n" for s in ("", "_source")}
    repository.commit({**taken, "tests/test_other.py": "\n"}, "v2")
    assert make(repository, branch="b").test_path == name.format("_structure")
    repository.commit({name.format("_structure"): "x = 1\n"}, "v3")
    with pytest.raises(UsageError, match="exists in the tree"):
        make(repository, branch="c")


# RunReport.


def report(sha256: str, *launches: tuple[str, int, int, int], **changes: Any) -> dict[str, Any]:
    """What ``aiterfix validate --json`` prints, cut down to what is used here."""
    return {
        "schema_version": 2,
        "passed": all(overshoot == 0 for _, overshoot, _, _ in launches),
        "sources": [{"path": "x.py", "sha256": sha256}],
        "executed_by": {"device": "gfx950 emulator", "triton": "3.6.0"},
        "scenarios": [
            {
                "name": name,
                "kernel": "preshuffle",
                "config": "heads 64",
                "overshoot_columns": overshoot,
                "wrong_logits": wrong,
                "wave_instructions": count,
            }
            for name, overshoot, wrong, count in launches
        ],
        **changes,
    }


def digests(repository: Repository) -> tuple[str, str]:
    made = make(repository, branch="probe", force=True)
    return made.files[0].mended.before.sha256, made.files[0].mended.after.sha256


def write(folder: Path, *documents: Any) -> list[Path]:
    paths = []
    for number, document in enumerate(documents):
        paths.append(folder / f"evidence{number}.json")
        paths[-1].write_text(document if isinstance(document, str) else json.dumps(document))
    return paths


def test_without_evidence_the_text_says_so(repository: Repository) -> None:
    repository.commit({PATH: HALF}, "v1")
    body = make(repository, "v1", branch="fix").proposal.body
    assert "The very text of this patch was not measured: neither logits nor instruction counts." in body
    assert f"| `{PATH}` | `{GLUON}` | before | 0 | 1 | 1 | 0 |" in body
    assert f"| `{PATH}` | `{GLUON}` | after | 0 | 0 | 1 | 1 |" in body
    assert "ROCm/aiter#4580" in body


def test_evidence_before_and_after(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: HALF}, "v1")
    old, new = digests(repository)
    files = write(
        tmp_path,
        report(new, ("tail", 0, 0, 1010), ("full", 0, 0, 2000)),
        report(old, ("full", 0, 0, 2000), ("tail", 24, 72, 1000), ("only before", 0, 0, 7)),
    )
    body = make(repository, branch="fix", evidence=files).proposal.body
    assert (
        f"- Before (sha256 {old[:12]}, gfx950 emulator, Triton 3.6.0): 3 launches, failed, 72 wrong logits, "
        "at most 24 columns past the row." in body
    )
    assert (
        f"- After (sha256 {new[:12]}, gfx950 emulator, Triton 3.6.0): 2 launches, passed, 0 wrong logits, "
        "at most 0 columns past the row." in body
    )
    assert body.index("| tail | 24 | 0 | 72 | 0 | 1000 | 1010 |") < body.index("| full | 0 | 0 | 0 | 0 | 2000 | 2000 |")
    assert "All 2: 3000 wave instructions before, 3010 after (+0.33%)." in body
    assert "not measured" not in body.lower()


def test_half_the_evidence_is_called_half(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: HALF}, "v1")
    _, new = digests(repository)
    body = make(repository, branch="fix", evidence=write(tmp_path, report(new, ("tail", 0, 0, 1010)))).proposal.body
    assert "- Before: not measured." in body
    assert "Instruction counts were not compared" in body


def test_runs_of_different_compilers_are_not_compared(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: HALF}, "v1")
    old, new = digests(repository)
    other = {"executed_by": {"device": "gfx950 emulator", "triton": "3.9.0"}}
    files = write(tmp_path, report(old, ("tail", 24, 72, 1000)), report(new, ("tail", 0, 0, 900), **other))
    body = make(repository, branch="fix", evidence=files).proposal.body
    assert "Instruction counts were not compared" in body


def test_evidence_about_another_source_is_refused(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: HALF}, "v1")
    for digest in ("0" * 64, ""):
        with pytest.raises(UsageError, match="another source"):
            make(repository, branch="fix", evidence=write(tmp_path, report(digest, ("tail", 0, 0, 1))))
    assert repository.git("branch", "--list", "fix") == ""


def test_what_is_no_report_is_refused(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: HALF}, "v1")
    old, _ = digests(repository)
    good = report(old, ("tail", 24, 72, 1000))
    bad: list[Any] = [
        "",
        "[]",
        "null",
        "[" * 100_000,
        {},
        {**good, "schema_version": 1},
        {**good, "passed": "yes"},
        {**good, "scenarios": {"a": 1}},
        {**good, "executed_by": None},
        {**good, "sources": [{"sha256": 5}]},
        {**good, "sources": None},
        {**good, "fault": {"id": "column-bound"}},
        {**good, "scenarios": [{**good["scenarios"][0], "overshoot_columns": -1}]},
        {**good, "scenarios": [{**good["scenarios"][0], "overshoot_columns": True}]},
        {**good, "scenarios": [{**good["scenarios"][0], "wave_instructions": 1.5}]},
    ]
    for document in bad:
        with pytest.raises(EvidenceError):
            make(repository, branch="fix", evidence=write(tmp_path, document))
    with pytest.raises(EnvironmentProblem, match="cannot be read"):
        make(repository, branch="fix", evidence=[tmp_path / "nowhere.json"])


def test_names_in_evidence_cannot_break_the_table(repository: Repository, tmp_path: Path) -> None:
    repository.commit({PATH: HALF}, "v1")
    old, new = digests(repository)
    name = "a | b\n# heading \x1b[2J"
    files = write(tmp_path, report(old, (name, 1, 1, 1)), report(new, (name, 0, 0, 1)))
    body = make(repository, branch="fix", evidence=files).proposal.body
    assert "| a \\| b\\n# heading \\x1b[2J | 1 | 0 | 1 | 0 | 1 | 1 |" in body
