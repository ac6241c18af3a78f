"""A branch with one commit that takes one fault out, made in the object database alone.

The user's work tree, index, current branch and remotes are not touched: the tree is built in an index of its own in a
temporary folder, and one reference is created, in one atomic step, at the end.
"""

from __future__ import annotations

import ast
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aiterfix.errors import ActionNeededError, EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.faults.base import Fault, Presence
from aiterfix.faults.diagnosis import Unit
from aiterfix.faults.registry import Faults
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import JudgedText, Judgement, Question
from aiterfix.patching.mends import mends
from aiterfix.source.roles import KernelRoles
from aiterfix.upstream.evidence import read_evidence
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.launch_test import CHECKS, KNOWN, launch_test
from aiterfix.upstream.package import Packages
from aiterfix.upstream.proposal import ChangedFile, Proposal, propose
from aiterfix.upstream.regression import regression_test

_BOUND = "bound-column"
_BOUND_TEST = "test_pa_mqa_logits_column_bounds"
_TEST_FOLDERS = ("op_tests/triton_tests/attention", "op_tests/triton_tests", "op_tests", "tests")
_IDENT = re.compile(r"(?P<name>.*) <(?P<email>[^<>]*)> \d+ [+-]\d{4}")
_ABSENT = "0" * 40


class NothingToExportError(ActionNeededError):
    """The fault is in no kernel."""

    code = "nothing-to-export"


@dataclass(frozen=True)
class Export:
    """What was made.

    Attributes:
        branch: the new branch, without ``refs/heads/``.
        commit: its one commit.
        base: the commit it stands on.
        replaced: what the branch pointed to before; empty where it is new.
        test_path: the regression test in the tree; None without one.
        patch: the commit as a mail, for ``git am``.
    """

    fault: str
    branch: str
    commit: str
    base: str
    replaced: str
    files: tuple[ChangedFile, ...]
    test_path: str | None
    proposal: Proposal
    patch: bytes


def export(
    clone: Clone,
    revision: str,
    faults: Faults,
    *,
    fault: str = "column-bound",
    groups: Sequence[str] | None = None,
    branch: str | None = None,
    evidence: Sequence[Path] = (),
    with_test: bool = True,
    force: bool = False,
) -> Export:
    """Make the branch.

    Args:
        clone: where; only its object database and one reference are written.
        revision: what the patch stands on.
        groups: code paths whose kernels are changed; all by default.
        branch: the new branch; named after fault and base by default.
        evidence: reports of ``aiterfix validate`` on the files before or after.
        with_test: whether the commit adds a regression test, where there is one for this fault.
        force: replace a branch of that name.

    Raises:
        UsageError: the revision or fault names nothing, the branch exists or may not be so called, evidence is about
            another source.
        EnvironmentProblem: git has no name and address to sign off with.
        NotUnderstoodError: a kernel is not understood, or the fault cannot be taken out of one.
        NothingToExportError: the fault is in no kernel.
    """
    wanted = next((f for f in faults.judged if f.id == fault), None)
    if wanted is None:
        raise UsageError(f"no fault has the id {fault!r}", remedy=f"Known: {', '.join(f.id for f in faults.judged)}.")
    base = clone.resolve(revision)
    if base is None:
        raise UsageError(f"{revision!r} names no commit in {clone.path}", remedy="Fetch first, or name another --ref.")
    name = branch if branch is not None else f"aiterfix/{fault}-{base[:12]}"
    replaced = _check_branch(clone, name, force)
    sign_off = _sign_off(clone)
    made = _changes(clone, base, faults, wanted, groups)
    if not made.files:
        raise NothingToExportError(
            f"{revision} has no place where {wanted.title}: there is nothing to send",
            remedy="Name another --ref, or judge it with `aiterfix upstream scan --refs`.",
        )
    check = CHECKS.get(wanted.verb)
    tests = with_test and bool(made.kernels) and (check is not None or wanted.verb == _BOUND)
    test_path = _test_path(clone, base, check.file if check is not None else _BOUND_TEST) if tests else None
    before, after = ([getattr(f.mended, w).sha256 for f in made.files] for w in ("before", "after"))
    measured = read_evidence(evidence, fault, before, after)
    base_name = f"{base}" if base.startswith(revision) else f"`{revision}` ({base})"
    proposal = propose(wanted, made.files, base_name, measured, test_path)
    proposal = replace(proposal, message=f"{proposal.message}\n{sign_off}\n")
    contents = {f.path: (made.modes[f.path], f.mended.new) for f in made.files}
    if test_path is not None:
        text = launch_test(check, made.kernels, test_path) if check else regression_test(made.kernels, test_path)
        contents[test_path] = ("100644", text.encode())
    commit = _commit(clone, base, contents, proposal.message)
    zero = _ABSENT if len(base) == 40 else "0" * 64
    clone.output("update-ref", "-m", "aiterfix upstream export", f"refs/heads/{name}", commit, replaced or zero)
    return Export(fault, name, commit, base, replaced, made.files, test_path, proposal, _mail(clone, commit))


def _check_branch(clone: Clone, name: str, force: bool) -> str:
    """What a branch points to; empty where it does not exist. Refuses names that must not be written."""
    if name.startswith("-") or not _valid(clone, name):
        raise UsageError(f"{name!r} is not a name that git allows for a branch", remedy="Choose another --branch.")
    checked_out = [
        line.removeprefix("branch ")
        for line in clone.text("worktree", "list", "--porcelain").splitlines()
        if line.startswith("branch ")
    ]
    head = clone.text("symbolic-ref", "--quiet", "HEAD", status=(0, 1, 128)).strip()
    if f"refs/heads/{name}" in (*checked_out, head):
        raise UsageError(f"{name!r} is a current branch of {clone.path}", remedy="Choose another --branch.")
    existing = clone.text("rev-parse", "--verify", "--quiet", f"refs/heads/{name}", status=(0, 1)).strip()
    if existing and not force:
        raise UsageError(
            f"the branch {name!r} exists in {clone.path}", remedy="Choose another --branch, or replace it with --force."
        )
    return existing


def _valid(clone: Clone, name: str) -> bool:
    try:
        clone.output("check-ref-format", f"refs/heads/{name}")
    except EnvironmentProblem:
        return False
    return True


def _sign_off(clone: Clone) -> str:
    """The sign-off, from git's own configuration.

    Raises:
        EnvironmentProblem: git has none. Nothing is guessed from the machine's name.
    """
    remedy = "Set both: git config user.name 'Your Name'; git config user.email you@example.com"
    sign_off = ""
    for variable in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
        try:
            ident = clone.text("-c", "user.useConfigOnly=true", "var", variable, environment=clone.identity()).strip()
        except EnvironmentProblem as error:
            raise EnvironmentProblem(
                "git has no name and address to sign the commit off with", why=error.why, remedy=remedy
            ) from error
        m = _IDENT.fullmatch(ident)
        if m is None or not m["name"].strip() or not m["email"].strip():
            raise EnvironmentProblem("git has no name and address to sign the commit off with", remedy=remedy)
        sign_off = f"Signed-off-by: {m['name']} <{m['email']}>"
    return sign_off


@dataclass(frozen=True)
class _Changes:
    """Files to change, their modes, and the kernels that a regression test looks at."""

    files: tuple[ChangedFile, ...]
    modes: Mapping[str, str]
    kernels: tuple[tuple[str, KernelRoles], ...]


def _changes(clone: Clone, base: str, faults: Faults, fault: Fault, groups: Sequence[str] | None) -> _Changes:
    """What `aiterfix apply --fault` would write, proven to take the fault out of all that was asked about."""
    question = Question(frozenset({fault.id}), None if groups is None else frozenset(groups))
    with clone.objects() as objects:
        packages = Packages(clone, objects, [base], faults)
        with packages.written(base) as package:
            if package.doubts:
                raise NotUnderstoodError(
                    f"not all of the package can be read: {package.doubts[0]}",
                    why=f"{len(package.doubts)} such places." if len(package.doubts) > 1 else "",
                    remedy="Use a full clone.",
                )
            if package.installation is None:
                return _Changes((), {}, ())
            before = judge_installation(package.installation, faults, question)
            changes = mends(before)
            for change in changes:
                assert change.file.path is not None
                change.file.path.write_bytes(change.mended.new)
            after = judge_installation(package.installation, faults, question) if changes else before
            _require_out(fault, after)
    files = tuple(ChangedFile(package.prefix + c.file.relative, c.mended, question.groups) for c in changes)
    modes = {}
    if files:
        listing = clone.output("ls-tree", "-z", "--full-tree", base, "--", *(f.path for f in files))
        for line in listing.split(b"\0"):
            if line:
                head, path = line.split(b"\t", 1)
                modes[os.fsdecode(path)] = head.split()[0].decode()
    roles = {k.name: k for k in faults.kernels}
    kernels = tuple(
        (package.prefix + t.relative, roles[u.name]) for t, u in before.units if _tested(fault, u, t, files)
    )
    return _Changes(files, modes, kernels)


def _tested(fault: Fault, unit: Unit, text: JudgedText, files: Sequence[ChangedFile]) -> bool:
    """Whether a regression test looks at a kernel: at all that store, where it goes by stores; else at those that are
    changed, and of which it knows every parameter."""
    if fault.verb == _BOUND:
        return unit.stores > 0
    if not any(unit.name in f.kernels and f.mended.old == text.text for f in files):
        return False
    functions = (n for n in ast.walk(ast.parse(text.text)) if isinstance(n, ast.FunctionDef) and n.name == unit.name)
    return all(a.arg in KNOWN for f in functions for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs))


def _require_out(fault: Fault, after: Judgement) -> None:
    """Half a patch is none: the text says that the fault is out.

    Raises:
        NotUnderstoodError: it is still there.
    """
    for text, unit in after.units:
        for diagnosis in unit.diagnoses:
            if diagnosis.fault == fault.id and not diagnosis.presence.harmless:
                left = next(f for f in diagnosis.findings if not f.presence.harmless)
                what = "is not understood" if diagnosis.presence is Presence.UNKNOWN else "cannot be taken out"
                raise NotUnderstoodError(
                    f"{text.relative}: {unit.name}, line {left.line}: {fault.id} {what}",
                    why=left.obstacle or left.message,
                    remedy=fault.remedy or "Mend that place by hand, and export the rest from a commit that has it.",
                )


def _test_path(clone: Clone, base: str, name: str) -> str:
    """Where the test goes: beside the tests that the tree has; never over another file."""
    listing = clone.output("ls-tree", "-r", "-z", "--name-only", "--full-tree", base, "--", "op_tests", "tests")
    taken = {os.fsdecode(path) for path in listing.split(b"\0") if path}
    folders = {p.rsplit("/", 1)[0] for p in taken if p.endswith(".py")}
    home = next((t for t in _TEST_FOLDERS if any(f == t or f.startswith(f"{t}/") for f in folders)), "tests")
    for suffix in ("", "_source", "_structure"):
        path = f"{home}/{name}{suffix}.py"
        if path not in taken:
            return path
    raise UsageError(f"{path} exists in the tree", remedy="Leave the test out with --no-test.")


def _commit(clone: Clone, base: str, contents: dict[str, tuple[str, bytes]], message: str) -> str:
    """Write blobs, tree and commit; the index used is a temporary file of its own."""
    with tempfile.TemporaryDirectory(prefix="aiterfix-") as folder:
        own = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        clone.output("read-tree", base, environment=own)
        lines = []
        for path, (mode, text) in contents.items():
            oid = clone.feed(text, "hash-object", "-w", "--no-filters", "--stdin").strip()
            lines.append(f"{mode} {oid}\t".encode() + os.fsencode(path))
        clone.feed(b"\0".join(lines) + b"\0", "update-index", "-z", "--index-info", environment=own)
        tree = clone.text("write-tree", environment=own).strip()
    options = ("-c", "user.useConfigOnly=true", "-c", "commit.gpgSign=false")
    made = clone.feed(message.encode(), *options, "commit-tree", tree, "-p", base, environment=clone.identity())
    return made.strip()


def _mail(clone: Clone, commit: str) -> bytes:
    """The commit as ``git am`` takes it; drivers and signatures of the user's configuration left out."""
    return clone.output(
        "-c",
        "diff.noprefix=false",
        "-c",
        "diff.mnemonicPrefix=false",
        "format-patch",
        "-1",
        "--stdout",
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--unified=3",
        "--inter-hunk-context=0",
        "--no-signature",
        "--full-index",
        "--no-attach",
        "--no-thread",
        "--no-cover-letter",
        "--subject-prefix=PATCH",
        commit,
    )
