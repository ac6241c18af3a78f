"""One judge, fault by fault: of each of the twelve, in a tree that has it and in the same after ``apply``, every command,
report and process says the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aiterfix.faults.registry import load_faults
from tests import paged
from tests.faults.kernels import FIXED, NAME, SCORES, SEEN, kernel, walking
from tests.faults.test_refusals import KERNEL
from tests.faults.test_refusals import WRAPPER as REFUSING
from tests.importing.world import GLUON, STAGE1, WRAPPER, WRAPPER_SOURCE, World, build

# After `apply` the tree is that of before.
pytestmark = pytest.mark.xdist_group("agreement by fault")
FAULTS = load_faults()
COMPILING = REFUSING.replace(
    "from packaging", "import triton\nif not triton:\n    from triton.compiler import ASTSource\nfrom packaging"
)
"""With all that it names."""
IMPORTS = "from {} import (\n    {},\n)\n"
TWO_SIDES = (
    "layout: gl.constexpr = gl.amd.AMDMFMALayout(\n"
    "    version=CDNA_VERSION, instr_shape=[16, 16], transposed=False, warps_per_cta=[1, 4]\n)\n"
)


@dataclass(frozen=True)
class Tree:
    """A package of our own.

    Attributes:
        gluon: its Gluon kernels; the sample's by default.
        plain: its plain-Triton kernels; the sample's by default.
        wrapper: what launches them; the ordinary one by default.
        after: presence once `apply --fault` was run.
    """

    gluon: bytes | None = None
    plain: bytes | None = None
    wrapper: str | None = None
    after: str = "absent"


def launching(module: str, name: str) -> str:
    return IMPORTS.format(module, name)


TREES = {
    "block-paging": Tree(),
    "cache-offset-32": Tree(),
    "column-bound": Tree(),
    "row-offset-32": Tree(),
    "ragged-causal-bound": Tree(plain=paged.PLAIN, wrapper=launching(STAGE1, paged.RAGGED)),
    "empty-sequence-schedule": Tree(walking(), wrapper=launching(GLUON, f"{NAME}_preshuffle_varctx")),
    "hidden-columns": Tree(kernel(FIXED + SCORES), wrapper=launching(GLUON, f"{NAME}_preshuffle")),
    "instruction-shape": Tree(
        kernel(TWO_SIDES + FIXED + SCORES + SEEN), wrapper=launching(GLUON, f"{NAME}_preshuffle"), after="present"
    ),
    "output-rank": Tree(KERNEL, wrapper=COMPILING, after="refused"),
    "small-chunk": Tree(KERNEL, wrapper=COMPILING, after="refused"),
    "launch-arguments": Tree(KERNEL, wrapper=COMPILING.replace("24, 25\n", "24\n"), after="present"),
    "triton-3-5-1": Tree(KERNEL, wrapper=COMPILING, after="present"),
}
ASK = """\
import contextlib, io, json, sys
from aiterfix.cli.main import main


def ask(*words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        status = main([*words, "--path", SITE, "--fault", FAULT])
    return status, out.getvalue()


answers = {name: ask(*words) for name, words in {
    "text": ["check"], "json": ["check", "--json"], "sarif": ["check", "--sarif"], "dry": ["apply", "--json", "--dry-run"],
    "diff": ["diff", "--json"],
}.items()}
for module in MODULES:
    __import__(module)
import aiterfix

judgement = aiterfix.status().judgement
answers["loaded"] = {a.fault.id: a.presence.value for a in judgement.answers()}
print(json.dumps(answers))
"""


def laid_out(site: Path, tree: Tree) -> World:
    world = build(site, wrapper=WRAPPER_SOURCE if tree.wrapper is None else tree.wrapper)
    for module, text in ((GLUON, tree.gluon), (STAGE1, tree.plain)):
        if text is not None:
            world.file(module).write_bytes(text)
    chip = world.file("aiter.jit.utils.chip_info")
    chip.parent.mkdir(parents=True)
    chip.write_text("def get_gfx():\n    return ''\n")
    # Which Triton there is decides two of the faults: here the wheel that PyPI has, by its record.
    standin = site / "triton/__init__.py"
    standin.write_text(standin.read_text() + "\n__version__ = '3.5.1'\n")
    record = site / "triton-3.5.1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: triton\nVersion: 3.5.1\n")
    return world


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Any]:
    """What everybody says of a fault in its tree, before ``apply`` and after; each is asked once."""
    worlds: dict[str, World] = {}
    known: dict[tuple[str, bool], Any] = {}

    def ask(fault: str, applied: bool) -> Any:
        if (fault, applied) not in known:
            if applied:
                ask(fault, False)
                from aiterfix.cli.main import main

                main(["apply", "--path", str(worlds[fault].site), "--fault", fault])
            else:
                worlds[fault] = laid_out(tmp_path_factory.mktemp(fault), TREES[fault])
            modules = [m for m, t in ((GLUON, TREES[fault].gluon), (STAGE1, TREES[fault].plain)) if t is not None]
            names = f"SITE = {str(worlds[fault].site)!r}\nFAULT = {fault!r}\nMODULES = {[*modules, WRAPPER]!r}\n"
            known[fault, applied] = worlds[fault].answer(names + ASK)
        return known[fault, applied]

    return ask


def test_every_fault_has_its_tree() -> None:
    assert set(TREES) == {f.id for f in FAULTS.judged} and len(TREES) == 12


@pytest.mark.parametrize("fault", TREES)
@pytest.mark.parametrize("applied", [False, True], ids=["before", "after"])
def test_all_say_the_same(said: Callable[[str, bool], Any], fault: str, applied: bool) -> None:
    answers = said(fault, applied)
    expected = TREES[fault].after if applied else "present"
    data = json.loads(answers["json"][1])
    (found,) = [f for f in data["faults"] if f["id"] == fault]
    assert (found["presence"], found["decides"]) == (expected, True)
    assert data["verdict"] == ("affected" if expected == "present" else "clean")
    status = 1 if expected == "present" else 0
    assert [answers[k][0] for k in ("text", "json", "sarif")] == [status] * 3
    text = " ".join(answers["text"][1].split())
    assert f"verdict: {data['verdict']}: {fault}" in text
    units = [
        f["presence"]
        for i in data["installations"]
        for t in i["files"]
        for u in t["units"]
        for f in u["faults"]
        if f["id"] == fault
    ]
    assert expected in units and set(units) <= {expected, "absent"}
    results = json.loads(answers["sarif"][1])["runs"][0]["results"]
    errors = {r["ruleId"] for r in results if r["level"] == "error"}
    assert errors == ({fault} if expected == "present" else set())
    dry = json.loads(answers["dry"][1])
    assert dry["verdict"] == data["verdict"]
    changes = not applied and TREES[fault].after != "present"
    assert json.loads(answers["diff"][1])["changes"] is changes
    assert answers["loaded"][fault] == expected
