"""What a process has loaded, judged with the wrappers that it has loaded: as the same files are on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiterfix.cli.main import main
from tests.importing.launching import ENTRY, PARAMETERS, lay_out
from tests.importing.world import GLUON, STAGE1, WRAPPER

SAY = f"""
import json, sys
import {GLUON}, {STAGE1}, {WRAPPER}
import aiterfix
found = aiterfix.status()
print(json.dumps([found.verdict.value, found.safe, {{a.fault.id: a.presence.value for a in found.judgement.answers()}}]))
"""


@pytest.mark.parametrize("mended", [True, False])
def test_a_fault_of_the_wrapper_alone_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str], mended: bool) -> None:
    world = lay_out(tmp_path, patchable=True)
    path = world.file(WRAPPER)
    head = f"def {ENTRY}({PARAMETERS}):\n"
    path.write_text(path.read_text().replace(head, f"{head}    stride = out_logits.stride(0)\n"))
    without = [] if mended else ["--no-fault", "output-rank"]
    assert main(["apply", "--path", str(world.site), *without]) == 0
    capsys.readouterr()
    status = main(["check", "--json", "--path", str(world.site)])
    on_disk = json.loads(capsys.readouterr().out)
    verdict, safe, presence = world.answer(SAY)
    assert (status, verdict, safe) == ((0, "clean", True) if mended else (1, "affected", False))
    assert presence == {f["id"]: f["presence"] for f in on_disk["faults"]}
    assert presence["output-rank"] == ("refused" if mended else "present")
