"""A branch with one commit that holds the semantic patch, made in the object database alone.

The user's work tree, index, current branch and remotes are not touched: the tree is built in an index of its own in a
temporary folder, and one reference is created, in one atomic step, at the end.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aiterfix.errors import ActionNeededError, EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.mend import mend
from aiterfix.faults.registry import Faults
from aiterfix.history.bounds import Bounds, bounds_of
from aiterfix.source.roles import KernelRoles
from aiterfix.source.search import needles
from aiterfix.upstream.evidence import read_evidence
from aiterfix.upstream.gitrepo import Clone, Objects
from aiterfix.upstream.proposal import ChangedFile, Proposal, propose
from aiterfix.upstream.regression import regression_test
from aiterfix.upstream.scan import shortest
from aiterfix.upstream.trees import Forest, in_package

_TEST_NAME = "test_pa_mqa_logits_column_bounds"
_TEST_FOLDERS = ("op_tests/triton_tests/attention", "op_tests/triton_tests", "op_tests", "tests")
_IDENT = re.compile(r"(?P<name>.*) <(?P<email>[^<>]*)> \d+ [+-]\d{4}")
_ABSENT = "0" * 40


class NothingToExportError(ActionNeededError):
    """Every store is bounded already."""

    code = "nothing-to-export"


@dataclass(frozen=True)
class Export:
    """What was made.

    Attributes:
        branch: the new branch, without ``refs/heads/``.
        commit: its one commit.
        base: the commit it stands on.
        replaced: what the branch pointed to before; empty where it is new.
        files: what was changed.
        test_path: the regression test in the tree; None without one.
        proposal: commit message and pull-request text.
        patch: the commit as a mail, for ``git am``.
    """

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
        faults: every fault to judge by; the stores are bounded.
        groups: code paths whose kernels are changed; all by default.
        branch: the new branch; named after the base by default.
        evidence: reports of ``aiterfix validate`` on the files before or after.
        with_test: whether the commit adds a regression test.
        force: replace a branch of that name.

    Raises:
        UsageError: the revision names nothing, the branch exists or may not be so called, evidence is about
            another source.
        EnvironmentProblem: git has no name and address to sign off with.
        NotUnderstoodError: a kernel is not understood, or one of its stores cannot be bounded.
        NothingToExportError: nothing is unbounded.
    """
    base = clone.resolve(revision)
    if base is None:
        raise UsageError(f"{revision!r} names no commit in {clone.path}", remedy="Fetch first, or name another --ref.")
    name = branch if branch is not None else f"aiterfix/store-bounds-{base[:12]}"
    replaced = _check_branch(clone, name, force)
    sign_off = _sign_off(clone)
    bounds = [b for b in bounds_of(faults) if groups is None or b.group.name in groups]
    with clone.objects() as objects:
        files, modes, kernels, taken = _changes(clone, objects, base, faults, bounds)
    if not files:
        raise NothingToExportError(
            f"{revision} has no store without an upper bound: there is nothing to send",
            remedy="Name another --ref, or judge it with `aiterfix upstream scan --refs`.",
        )
    test_path = _test_path(taken) if with_test else None
    measured = read_evidence(evidence, [f.mended.before.sha256 for f in files], [f.mended.after.sha256 for f in files])
    base_name = f"{base}" if base.startswith(revision) else f"`{revision}` ({base})"
    proposal = propose(files, bounds, base_name, measured, test_path)
    proposal = replace(proposal, message=f"{proposal.message}\n{sign_off}\n")
    contents = {f.path: (modes[f.path], f.mended.new) for f in files}
    if test_path is not None:
        contents[test_path] = ("100644", regression_test(kernels, test_path).encode())
    commit = _commit(clone, base, contents, proposal.message)
    zero = _ABSENT if len(base) == 40 else "0" * 64
    clone.output("update-ref", "-m", "aiterfix upstream export", f"refs/heads/{name}", commit, replaced or zero)
    return Export(name, commit, base, replaced, tuple(files), test_path, proposal, _mail(clone, commit))


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


def _changes(
    clone: Clone, objects: Objects, base: str, faults: Faults, bounds: Sequence[Bounds]
) -> tuple[list[ChangedFile], dict[str, str], list[tuple[str, KernelRoles]], set[str]]:
    """The files to change, their modes, every kernel that stores, and the tree's paths of interest."""
    forest = Forest(clone, objects, [base])
    words = [w.encode() for w in shortest(needles(faults.kernels))]
    blobs = forest.blobs()
    texts: dict[str, bytes] = {}
    missing: set[str] = set()
    for oid, blob in objects.read(blobs):
        if blob is None:
            missing.add(oid)
        elif any(w in blob.data for w in words):
            texts[oid] = blob.data
    found, doubts = forest.files(base, set(blobs))
    doubts += [f"{f.path} is not in this clone" for f in found if f.oid in missing and in_package(f.path)]
    if doubts:
        raise NotUnderstoodError(
            f"not all of the package can be read: {doubts[0]}",
            why=f"{len(doubts)} such places." if len(doubts) > 1 else "",
            remedy="Use a full clone.",
        )
    groups = tuple(b.group.name for b in bounds)
    wanted = [b.fault.id for b in bounds]
    files: list[ChangedFile] = []
    kernels: list[tuple[str, KernelRoles]] = []
    for source in found:
        if source.oid not in texts or not in_package(source.path):
            continue
        text = texts[source.oid]
        seen = diagnose(text, faults.judged)
        if not seen.units and not seen.problems:
            continue
        mended = mend(text, faults.judged, filename=source.path, wanted=wanted, groups=groups, diagnosis=seen)
        file = ChangedFile(source.path, mended, groups)
        left = next((s for s in file.stores if not s.guard.bounded), None)
        if left is not None:  # half a patch is none: the text and the test say that every store is bounded
            raise NotUnderstoodError(
                f"{source.path}: {left.kernel}: a store cannot be bounded: {left.obstacle}",
                remedy="Bound that store by hand, and export the rest from a commit that has it.",
            )
        storing = {s.kernel for s in file.stores}
        kernels += [(source.path, k) for b in bounds for k in b.group.kernels if k.name in storing]
        if mended.changed:
            files.append(file)
    modes = {}
    if files:
        listing = clone.output("ls-tree", "-z", "--full-tree", base, "--", *(f.path for f in files))
        for line in listing.split(b"\0"):
            if line:
                head, path = line.split(b"\t", 1)
                modes[os.fsdecode(path)] = head.split()[0].decode()
    return files, modes, kernels, {f.path for f in found}


def _test_path(taken: set[str]) -> str:
    """Where the test goes: beside the tests that the tree has; never over another file."""
    folders = {p.rsplit("/", 1)[0] for p in taken if "/" in p}
    home = next((t for t in _TEST_FOLDERS if any(f == t or f.startswith(f"{t}/") for f in folders)), "tests")
    for suffix in ("", "_source", "_structure"):
        path = f"{home}/{_TEST_NAME}{suffix}.py"
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
