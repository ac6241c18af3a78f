"""One judge: whatever asks about a tree gets the same answer, whether it is text, JSON, SARIF, padding, a pair, the
hook's foresight or what a process has loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiterfix.cli.main import main
from tests.importing.world import GLUON, STAGE1, WRAPPER, WRAPPER_SOURCE, World, build

# Each tree is asked once, for several tests.
pytestmark = pytest.mark.xdist_group("agreement")
AOT = "AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS"
ENGINE = """\
import torch
from aiter.ops.triton.attention.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits


def score(q, cache, weights, lengths, tables, max_model_len: int):
    out = torch.empty((q.shape[0] * q.shape[1], max_model_len), dtype=torch.float32)
    deepgemm_fp8_paged_mqa_logits(
        q, cache, weights, out, lengths, tables, max_model_len, ChunkK=256, Preshuffle=True, KVBlockSize=64
    )
    return out


def model(vllm_config, q, cache, weights, lengths, tables):
    return score(q, cache, weights, lengths, tables, vllm_config.model_config.max_model_len)
"""
ASK = """\
import contextlib, io, json, sys
from pathlib import Path
from aiterfix.cli.main import main

site = Path(sys.argv[1] if len(sys.argv) > 1 else SITE)


def ask(*words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        status = main([*words])
    return status, out.getvalue()


answers = {}
for name, words in {
    "text": ["check"], "full": ["check", "-v"], "word": ["check", "-q"], "markdown": ["check", "--format", "markdown"],
    "json": ["check", "--json"], "sarif": ["check", "--sarif"],
    "padding": ["padding", "--json", "--kernel", "all", "--max-model-len", "1000", "--block-size", "64"],
    "required": ["padding", "--json", "--require", "--kernel", "all", "--max-model-len", "1000", "--block-size", "64"],
    "pair": ["check", "--json", "--for", "vllm", "--kernel", "all", "--max-model-len", "1000", "--block-size", "64"],
    "dry": ["apply", "--json", "--dry-run"],
}.items():
    answers[name] = ask(*words, "--path", str(site))
import aiterfix

answers["program"] = aiterfix.check(site).verdict.value
answers["loaded"] = None
if LOAD:
    for module in MODULES:
        __import__(module)
    status = aiterfix.status()
    answers["loaded"] = [status.verdict.value, status.safe]
    answers["witness"] = [m.state.value for m in status.modules]
    advice = aiterfix.required_padding(1000, 64, kernel="all")
    answers["advice"] = [advice.columns, advice.presence.value]
print(json.dumps(answers))
"""


def released(world: World) -> dict[str, str]:
    return {}


def patched(world: World) -> dict[str, str]:
    assert main(["apply", "--path", str(world.site)]) == 0
    return {}


def gluon_alone(world: World) -> dict[str, str]:
    assert main(["apply", "--path", str(world.site), "--kernel", "gluon"]) == 0
    return {}


def one_fault(world: World) -> dict[str, str]:
    assert main(["apply", "--path", str(world.site), "--fault", "column-bound"]) == 0
    return {}


def other_file(world: World) -> dict[str, str]:
    """Patched, and then the wrapper takes a kernel from another file, which has the old text."""
    old = world.file(GLUON).read_bytes()
    patched(world)
    world.file("aiter.ops.triton.gluon.other").write_bytes(old)
    wrapper = world.file(WRAPPER)
    wrapper.write_text(
        wrapper.read_text().replace("aiter.ops.triton.gluon.pa_mqa_logits", "aiter.ops.triton.gluon.other")
    )
    return {}


def prebuilt(world: World) -> dict[str, str]:
    folder = world.site / "aiter/ops/triton/configs/paged_mqa_logits/aot/one"
    folder.mkdir(parents=True)
    (folder / "k.hsaco").write_bytes(b"\x7fELF")
    return {}


def prebuilt_in_use(world: World) -> dict[str, str]:
    return {**prebuilt(world), AOT: "1"}


def patched_prebuilt_in_use(world: World) -> dict[str, str]:
    patched(world)
    return prebuilt_in_use(world)


def not_understood(world: World) -> dict[str, str]:
    text = world.file(GLUON).read_text()
    world.file(GLUON).write_text(
        text.replace(
            "    gl.amd.cdna3.buffer_store(", "    elsewhere(OutLogits_buffer)\n    gl.amd.cdna3.buffer_store(", 1
        )
    )
    return {}


TREES: list[Callable[[World], dict[str, str]]] = [
    *(released, patched, gluon_alone, one_fault, other_file),
    *(prebuilt, prebuilt_in_use, patched_prebuilt_in_use, not_understood),
]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """What everybody says of a tree; each tree is asked once."""
    known: dict[str, Any] = {}

    def of(name: str) -> Any:
        if name not in known:
            site = tmp_path_factory.mktemp(name)
            world = build(site)
            (site / "vllm").mkdir()
            (site / "vllm/__init__.py").write_text("")
            (site / "vllm/ops.py").write_text(ENGINE)
            environment = next(t for t in TREES if t.__name__ == name)(world)
            modules = [GLUON, STAGE1, WRAPPER]
            script = f"SITE = {str(site)!r}\nLOAD = True\nMODULES = {modules!r}\n{ASK}"
            known[name] = world.answer(script, **environment)
        return known[name]

    return of


VERDICTS = {0: "clean", 1: "affected", 3: "unknown", 4: "not-installed"}
EXPECTED = {
    "released": "affected",
    "patched": "clean",
    "gluon_alone": "affected",
    "one_fault": "affected",
    "other_file": "affected",
    "prebuilt": "affected",
    "prebuilt_in_use": "unknown",
    "patched_prebuilt_in_use": "unknown",
    "not_understood": "unknown",
}


def test_the_wrapper_of_the_matrix_is_one_that_is_understood() -> None:
    assert "import (" in WRAPPER_SOURCE


@pytest.mark.parametrize("name", [t.__name__ for t in TREES])
def test_check_says_one_thing_in_every_form(answered: Callable[[str], Any], name: str) -> None:
    answers = answered(name)
    status, text = answers["text"]
    data = json.loads(answers["json"][1])
    assert data["verdict"] == VERDICTS[status] == VERDICTS[answers["json"][0]] == EXPECTED[name]
    assert f"verdict: {data['verdict']}" in text
    assert answers["program"] == data["verdict"]
    assert answers["word"] == [status, f"{data['verdict']}\n"]
    assert answers["markdown"][0] == answers["full"][0] == status
    assert answers["markdown"][1].startswith(f"## aiterfix check: {data['verdict']}\n")
    full, cells = " ".join(answers["full"][1].split()), answers["markdown"][1].splitlines()
    (installation,) = data["installations"]
    assert installation["verdict"] == data["verdict"]
    # A file's row says what the whole says: present in one unit is present in all.
    for fault in data["faults"]:
        units = [
            f["presence"]
            for i in data["installations"]
            for t in i["files"]
            for u in t["units"]
            for f in u["faults"]
            if f["id"] == fault["id"]
        ]
        assert (fault["presence"] == "absent") == all(p == "absent" for p in units)
        # In full every fault has its word; in short, those that are there are named.
        decides = "yes" if fault["decides"] else "no"
        assert f" {fault['id']} {fault['presence']} {decides} {fault['title']}" in full
        assert any(c.startswith(f"| `{fault['id']}` | {fault['presence']} | {decides} |") for c in cells)
        assert fault["id"] in text or fault["presence"] in ("absent", "refused") or data["verdict"] == "unknown"
        listed = f"\n  {fault['id']} " in text
        assert listed == (fault["decides"] and fault["presence"] == "present")
        assert not listed or fault["trigger"] in text
    results = json.loads(answers["sarif"][1])["runs"][0]["results"]
    source_clean = all(f["presence"] == "absent" for f in data["faults"] if f["decides"])
    assert answers["sarif"][0] == status
    assert any(r["level"] == "error" for r in results) != source_clean
    dry = json.loads(answers["dry"][1])
    if name == "not_understood":  # nothing is written where it is not known what
        assert (answers["dry"][0], dry["error"]["code"]) == (3, "source-not-understood")
    else:
        assert dry["verdict"] == data["verdict"]


@pytest.mark.parametrize("name", [t.__name__ for t in TREES])
def test_padding_and_the_pair_see_what_check_sees(answered: Callable[[str], Any], name: str) -> None:
    answers = answered(name)
    data = json.loads(answers["json"][1])
    bounds = next(f["presence"] for f in data["faults"] if f["id"] == "column-bound")
    padding = json.loads(answers["padding"][1])
    in_use = any(p["enabled"] for i in data["installations"] for p in i["prebuilt"])
    assert padding["presence"] == ("unknown" if in_use else bounds)
    assert (padding["columns"] == 0) == (padding["presence"] == "absent")
    assert answers["padding"][0] == (3 if padding["presence"] == "unknown" else 0)
    assert answers["required"][0] == (3 if padding["presence"] == "unknown" else 1 if padding["columns"] else 0)
    pair = json.loads(answers["pair"][1])["pair_verdict"]
    assert (pair == "safe") == (padding["presence"] == "absent")
    assert (pair == "unknown") == (padding["presence"] == "unknown")


@pytest.mark.parametrize("name", [t.__name__ for t in TREES if t is not not_understood])
def test_a_process_that_has_loaded_the_tree_says_the_same(answered: Callable[[str], Any], name: str) -> None:
    answers = answered(name)
    data = json.loads(answers["json"][1])
    verdict, safe = answers["loaded"]
    assert verdict == data["verdict"]
    assert safe == (verdict == "clean")
    padding = json.loads(answers["padding"][1])
    assert answers["advice"] == [padding["columns"], padding["presence"]]
    if verdict == "affected":
        assert "unpatched" in answers["witness"]
    if verdict == "clean":
        assert set(answers["witness"]) == {"clean"}


def test_two_installations_are_one_judgement_each_and_the_worst_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    one, other = build(tmp_path / "one"), build(tmp_path / "two")
    patched(other)
    capsys.readouterr()
    for order in ((one, other), (other, one)):
        words = [w for world in order for w in ("--path", str(world.site))]
        assert main(["check", "--json", *words]) == 1
        data = json.loads(capsys.readouterr().out)
        assert [i["verdict"] for i in data["installations"]] == [
            EXPECTED["patched"] if w is other else "affected" for w in order
        ]
        assert data["verdict"] == "affected"


def test_what_the_hook_will_do_is_what_it_does(tmp_path: Path) -> None:
    """`as_processes_run` foretells what a process with the hook has loaded."""
    world = build(tmp_path)
    script = """\
        import json
        from pathlib import Path
        from aiterfix.importing import foresight
        from aiterfix.installation.given_path import find_path
        from aiterfix.judge.disk import judge_installation
        from aiterfix.judge.process import known_faults, judge_process
        from aiterfix.judge.whole import HookOutlook, Whole
        import aiterfix

        foresight._outlook = lambda python: HookOutlook(True, ".pth", "")
        found = find_path(Path(SITE))
        disk = tuple(judge_installation(i, known_faults()) for i in found.installations)
        foretold = foresight.as_processes_run(Whole(found, disk, disk), None)
        aiterfix.install_hook()
        import aiter.ops.triton.attention.pa_mqa_logits
        print(json.dumps([Whole(found, disk, disk).verdict.value, foretold.verdict.value, aiterfix.status().verdict.value]))
        """
    import textwrap

    answer = world.answer(f"SITE = {str(tmp_path)!r}\n" + textwrap.dedent(script))
    assert answer == ["affected", "clean", "clean"]
