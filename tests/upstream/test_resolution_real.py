"""Every tagged release: each kernel that a real wrapper launches is found, and no name is left in doubt."""

from __future__ import annotations

from pathlib import Path

from aiterfix.installation.given_path import find_path
from aiterfix.judge.resolution import resolve
from aiterfix.source.sites import SourceAnalysis, analyse
from tests.kernels import SHIPPED
from tests.upstream.conftest import Clone

DECLARED = {k.name for k in SHIPPED.kernels}


def test_every_wrapper_resolves(clone: Clone, tmp_path: Path) -> None:
    analysed: dict[str, tuple[bytes, SourceAnalysis]] = {}
    done: dict[tuple[tuple[str, str], ...], str] = {}
    for ref in clone.refs():
        listed = clone.git("ls-tree", "-r", ref, "--", "aiter/ops/triton").decode().splitlines()
        files = {
            path: blob
            for mode_type_blob, path in (line.split("\t") for line in listed)
            for blob in [mode_type_blob.split()[2]]
            if path.endswith("/pa_mqa_logits.py") or path == "aiter/ops/triton/__init__.py"
        }
        if len(files) < 2 or tuple(files.items()) in done:
            continue
        done[tuple(files.items())] = ref
        root = tmp_path / ref
        sources = {}
        for path, blob in files.items():
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(clone.blob(blob))
            if blob not in analysed:
                text = clone.blob(blob)
                analysed[blob] = text, analyse(text, SHIPPED.kernels)
            if path.endswith("/pa_mqa_logits.py"):
                sources[place] = analysed[blob]
        (root / "aiter/__init__.py").touch()
        (installation,) = find_path(root).installations
        found = resolve(
            installation.package,
            {p: a.bindings for p, (_, a) in sources.items()},
            kernels=[k.name for k in SHIPPED.kernels],
            modules=[m for g in SHIPPED.groups for m in g.modules],
            wrappers=[w for g in SHIPPED.groups for w in g.wrappers],
        )
        assert found.doubts == (), ref
        defined = {(p, k.name, k.line) for p, (_, a) in sources.items() for k in a.kernels}
        running = {(d.path, d.name, d.line) for d in found.running}
        # What is defined and does not run: named, so that a wrapper that stops using a kernel is noticed.
        idle = {(p.relative_to(root).parts[3], name) for p, name, _ in defined - running}
        assert running <= defined and {name for _, name, _ in running} <= DECLARED
        assert not idle, (ref, idle)
    assert len(done) >= 16  # distinct sets of files when this was written
