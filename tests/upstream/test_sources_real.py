"""Analysis, apply and revert over every tagged release of the real kernels."""

from __future__ import annotations

import ast
import csv
import random
from collections import Counter
from pathlib import Path

from aiterfix.errors import AiterfixError
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.verdict import Verdict
from aiterfix.patching.disk import apply, revert
from aiterfix.patching.installed import package_tree
from aiterfix.patching.mends import mends
from aiterfix.patching.tree import FileChange
from aiterfix.source.proof import same_tree
from aiterfix.source.rewrite import bound_edits
from aiterfix.source.sites import analyse
from tests.kernels import SHIPPED, Seen, bound, seen
from tests.upstream.conftest import Clone

KERNELS, FAULTS = SHIPPED.kernels, SHIPPED.judged


def test_counts_of_guards(clone: Clone) -> None:
    with Path(__file__).with_name("store_sites.tsv").open() as file:
        rows = list(csv.DictReader((ln for ln in file if not ln.startswith("#")), delimiter="\t"))
    recorded = {(r["sha256_12"], r["kernel"]): [int(r[g]) for g in ("none", "lower", "upper", "both")] for r in rows}
    counted = {}
    for _, text in clone.distinct():
        analysis = analyse(text, KERNELS)
        assert not analysis.all_problems
        for kernel in analysis.kernels:
            guards = Counter(s.guard.value for s in kernel.sites)
            if kernel.sites:
                key = (analysis.sha256[:12], kernel.name)
                counted[key] = [guards[g] for g in ("none", "lower", "upper", "both")]
    assert counted == recorded


def test_apply_and_revert_every_release(clone: Clone, tmp_path: Path) -> None:
    """Every tag's kernel files and wrappers laid out as a package: apply ends clean of every judged fault, again is a no-op, revert is exact."""
    by_ref: dict[str, dict[str, bytes]] = {}
    for (ref, path), blob in (clone.kernel_files() | clone.wrappers()).items():
        by_ref.setdefault(ref, {})[path] = clone.blob(blob)
    files = 0
    done: set[frozenset[tuple[str, bytes]]] = set()
    for ref, texts in by_ref.items():
        files += len(texts)
        key = frozenset(texts.items())
        if key in done:
            continue
        done.add(key)
        root = tmp_path / ref.replace("/", "_")
        for path, text in texts.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(text)
        (root / "aiter" / "__init__.py").touch()
        (installation,) = find_path(root).installations
        tree = package_tree(installation)
        before = judge_installation(installation, SHIPPED)
        assert before.verdict is Verdict.AFFECTED
        changes = [
            FileChange(c.file.path, c.mended.old, c.mended.new) for c in mends(before) if c.file.path is not None
        ]
        apply(tree, changes, annotations={})
        after = judge_installation(installation, SHIPPED)
        assert after.verdict is Verdict.CLEAN
        assert mends(after) == ()
        revert(tree)
        assert {p: (root / p).read_bytes() for p in texts} == texts
        assert not list(root.glob(".aiterfix*"))
    assert len(by_ref) >= 55  # 54 tags with kernel files when this was written, and the newest commit
    assert files >= 103


def test_rewrite_changes_masks_only(clone: Clone) -> None:
    for path, text in clone.distinct():
        result = bound(text, FAULTS, filename=path)
        assert result.changed
        edits, _ = bound_edits(text, analyse(text, KERNELS), path)
        sites = {(s.kernel, s.ordinal): s for s in analyse(text, KERNELS).sites}
        after = analyse(result.new, KERNELS)
        assert all(s.guard.bounded for s in after.sites)
        assert {(s.kernel, s.ordinal) for s in after.sites} == set(sites)
        # The edits are insertions of whole lines or at the end of a mask: taking them out gives the old bytes.
        out, shift = bytearray(result.new), 0
        for edit in edits:
            start = edit.span.start + shift
            assert out[start : start + len(edit.text)] == edit.text
            shift += len(edit.text) - (edit.span.end - edit.span.start)
        kept, position = [], 0
        for edit in edits:
            kept.append(text[position : edit.span.start])
            position = edit.span.end
        kept.append(text[position:])
        assert b"".join(kept) == text  # nothing was removed
        assert not same_tree(ast.parse(text), ast.parse(result.new))


def test_mutated_real_sources_never_crash(clone: Clone) -> None:
    rng = random.Random(20260901)
    texts = [text for _, text in clone.distinct()]
    outcomes: Counter[str] = Counter()
    for _ in range(60):
        data = bytearray(rng.choice(texts))
        for _ in range(rng.randrange(1, 8)):
            i = rng.randrange(len(data))
            choice = rng.randrange(4)
            if choice == 0:
                del data[i : i + rng.randrange(1, 40)]
            elif choice == 1:
                j = rng.randrange(len(data))
                data[i:i] = data[j : j + rng.randrange(1, 200)]
            elif choice == 2:
                words = (b"OutLogits_buffer", b"max_model_len", b"stride_out_batch", b"gl.arange(0, 4)", b"(", b"# ")
                data[i:i] = rng.choice(words)
            else:
                lines = bytes(data).split(b"\n")
                a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[a], lines[b] = lines[b], lines[a]
                data = bytearray(b"\n".join(lines))
        mutated = bytes(data)
        analysis = analyse(mutated, KERNELS)
        outcomes[seen(analysis).value] += 1
        try:
            result = bound(mutated, FAULTS)
        except AiterfixError:
            assert seen(analysis) is Seen.UNKNOWN
            continue
        assert seen(result.after.analysis) in (Seen.BOUNDED, Seen.NO_STORES)
        assert bound(result.new, FAULTS).new == result.new
    assert outcomes["unknown"] and outcomes["unbounded"]
