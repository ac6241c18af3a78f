"""What a patched import keeps of this process's memory. The figures are those of ``python -m benchmarks memory``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.memory import measure
from tests.importing.world import GLUON, STAGE1, WRAPPER, World

REPOSITORY = os.environ.get("AITERFIX_AITER_REPO", "")
RELEASE = "v0.1.20.post1"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/self/smaps_rollup is Linux's")
@pytest.mark.skipif(not REPOSITORY, reason="AITERFIX_AITER_REPO names no clone of aiter")
def test_what_a_patched_import_of_a_release_keeps(tmp_path: Path) -> None:
    for module in (GLUON, STAGE1, WRAPPER):
        name = module.replace(".", "/") + ".py"
        command = ["git", "-C", REPOSITORY, "show", f"{RELEASE}:{name}"]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    measure(tmp_path, "off", real=False)  # leaves bytecode of the modules
    off, hooked = (min(measure(tmp_path, mode, real=False)[0] for _ in range(3)) for mode in ("off", "auto"))
    assert off > 1000
    assert hooked - off < 3000, "KiB"  # 2,550 measured, 2,400 with torch; 2,000 is wanted


def test_an_import_keeps_neither_the_search_nor_two_copies_of_the_text(world: World) -> None:
    said = world.answer(
        f"""
        import gc, json, sys
        import {WRAPPER}
        loader = sys.modules[{GLUON!r}].__spec__.loader
        whole = loader.get_source({GLUON!r})
        again = compile(whole, loader.filename, "exec") == loader.get_code({GLUON!r})
        rooms = ("aiterfix.installation", "aiterfix.patching", "aiterfix.advice", "aiterfix.validation.evidence")
        print(json.dumps([
            [m for m in sys.modules if m.startswith(rooms)],
            loader.decision().text is None, again, "(column < max_model_len)" in whole,
        ]))
    """.replace("import gc, json, sys", "import gc, json, sys; from aiterfix.startup import start; start('pth')")
    )
    assert said == [[], True, True, True]
