"""Launches on the real sources of eight releases, and on what `apply` makes of them, beside the oracle of addresses."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from aiterfix.cli.main import main
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.launched import Launchables, launchables
from tests.judge.addresses import RELEASES
from tests.judge.test_addresses import COUNT, compare, recorded, tried
from tests.kernels import SHIPPED
from tests.upstream.conftest import Clone


def on_disk(clone: Clone, release: str, folder: Path, *, patched: bool) -> Launchables:
    place = folder / release
    place.mkdir()
    ref = "HEAD" if release == "main" else release
    archive = clone.git("archive", ref, "aiter/__init__.py", "aiter/ops")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tree:
        tree.extractall(place, [m for m in tree.getmembers() if m.name.endswith(".py")], filter="data")
    if patched:
        assert main(["apply", "--path", str(place)]) == 0
    (installation,) = find_path(place).installations
    return launchables(judge_installation(installation, SHIPPED))


@pytest.mark.parametrize("patched", [False, True])
def test_what_goes_wrong_is_never_called_right(clone: Clone, tmp_path: Path, patched: bool) -> None:
    there = {release: on_disk(clone, release, tmp_path, patched=patched) for release in RELEASES}
    count, doubted = compare(tried(there, patched=patched))
    assert count > COUNT * 1.5 and doubted < count / 20
    for release in RELEASES[:-1]:
        real = {k.name: dict(k.presence) for k in there[release].kernels}
        known = {k.name: dict(k.presence) for k in recorded(release, patched=patched).kernels}
        harmless = {n: {f: p.harmless for f, p in found.items()} for n, found in real.items()}
        assert harmless == {n: {f: p.harmless for f, p in found.items() if f in real[n]} for n, found in known.items()}
