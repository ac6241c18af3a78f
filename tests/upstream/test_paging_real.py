"""block-paging and ragged-causal-bound over every released text: where they are, and that their mends hold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import pytest

from aiterfix.family.cases import SAID
from aiterfix.family.paging import UNTOLD
from aiterfix.faults.base import NO_SIZE, Presence
from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.mend import mend
from aiterfix.faults.verbs import BY_NAME, Verb
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import Judgement
from aiterfix.patching.mends import mends
from aiterfix.source.encoding import as_utf8
from tests.kernels import SHIPPED
from tests.upstream.conftest import Clone

FAULTS = SHIPPED.judged
IDS = tuple(f.id for f in FAULTS if BY_NAME[f.verb].edits is not Verb().edits)
"""Faults that some edit takes out."""
OURS = ("block-paging", "ragged-causal-bound")
ENTRY = "deepgemm_fp8_paged_mqa_logits"
BASE, STAGE1, REDUCING = f"_gluon_{ENTRY}", f"_{ENTRY}_stage1", f"_{ENTRY}"
RAGGED, STAGE1_RAGGED = f"_{ENTRY}_ragged_k", f"_{ENTRY}_stage1_ragged_k"
PRESHUFFLED = (f"_gluon_{ENTRY}_preshuffle", f"_gluon_{ENTRY}_preshuffle_varctx")

# (release, kernels) of block-paging before `apply`. The ragged kernels are not in the table that this came from: their
# wrappers take a cache of any shape and read one token of each block, as stage1's did.
OLD = {BASE: "present", STAGE1: "present", REDUCING: "refused", RAGGED: "present", STAGE1_RAGGED: "present"}
PAGING = {
    "v0.1.12.post2": OLD,
    "v0.1.13.post1": OLD,
    "v0.1.15.post3": OLD,
    "v0.1.18": OLD,
    "v0.1.20.post1": {**OLD, STAGE1: "absent"},
    "HEAD": {**OLD, STAGE1: "absent", REDUCING: "absent"},
}


def laid_out(clone: Clone, ref: str, root: Path) -> Judgement:
    files = {path: blob for (r, path), blob in (clone.kernel_files() | clone.wrappers()).items() if r == ref}
    assert len(files) == 3
    for path, blob in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(clone.blob(blob))
    (root / "aiter" / "__init__.py").touch()
    return judge(root)


def judge(root: Path) -> Judgement:
    return judge_installation(find_path(root).installations[0], SHIPPED)


def presence(judgement: Judgement, fault: str) -> Mapping[str, str]:
    return {u.name: d.presence.value for _, u in judgement.units for d in u.diagnoses if d.fault == fault and u.stores}


@pytest.mark.parametrize("ref", PAGING)
def test_presence_before_and_after_apply(clone: Clone, tmp_path: Path, ref: str) -> None:
    before = laid_out(clone, ref, tmp_path)
    assert presence(before, "block-paging") == PAGING[ref] | dict.fromkeys(PRESHUFFLED, "absent")
    causal = presence(before, "ragged-causal-bound")
    assert {k for k, p in causal.items() if p == "present"} == {RAGGED, STAGE1_RAGGED}
    assert set(causal.values()) == {"present", "absent"}
    for change in mends(before):
        assert change.file.path is not None
        change.file.path.write_bytes(change.mended.new)
    after = judge(tmp_path)
    expected = {k: "absent" if k == BASE or p == "absent" else "refused" for k, p in PAGING[ref].items()}
    assert presence(after, "block-paging") == expected | dict.fromkeys(PRESHUFFLED, "absent")
    assert set(presence(after, "ragged-causal-bound").values()) == {"absent"}
    assert not mends(after)


def test_every_finding_has_a_line_and_none_is_unknown(clone: Clone) -> None:
    kernels = 0
    for _, text in clone.distinct():
        for unit in diagnose(text, FAULTS).units:
            for diagnosis in unit.diagnoses:
                if diagnosis.fault in OURS and unit.stores:
                    kernels += 1
                    assert diagnosis.presence in (Presence.PRESENT, Presence.ABSENT), unit.name
                    assert all(f.line >= unit.line for f in diagnosis.findings)
                    assert diagnosis.findings
                    if unit.name in UNTOLD and diagnosis.fault == "block-paging":
                        # What a record of it is taken to say, see `aiterfix.judge.refusals`.
                        codes = {f.code for f in diagnosis.findings}
                        assert (codes == {NO_SIZE}) == (diagnosis.presence is Presence.PRESENT)
    assert kernels > 120


def test_mends_hold_alone_in_pairs_and_together(clone: Clone) -> None:
    done = 0
    for path, text in clone.distinct():
        before = diagnose(text, FAULTS)
        has = [i for i in IDS if not before.presence((i,)).harmless]
        for wanted in {*((i,) for i in has), *combinations(has, 2), tuple(has)}:
            if not set(wanted) & set(OURS):
                continue
            result = mend(text, FAULTS, filename=path, wanted=wanted, diagnosis=before)
            left = {
                f.code
                for u in result.after.units
                for d in u.diagnoses
                for f in d.findings
                if d.fault in wanted and not f.presence.harmless
            }
            assert left <= {NO_SIZE, *SAID}, (path, wanted)  # what an entry refuses
            as_utf8(result.new)
            done += 1
    assert done > 80


# What is called here: the wrapper, with everything around it recorded or replaced.
CALLS = """
import importlib.abc, importlib.machinery, inspect, json, sys, types
import torch

launched = []


class Recorder:
    def __init__(self, name):
        self.name = name
    def __getitem__(self, grid):
        def launch(*arguments, **constants):
            launched.append([self.name, constants.get("KVBlockSize")])
            return types.SimpleNamespace(hash="00" * 32)
        return launch


class Stub(types.ModuleType):
    __path__ = []
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "dtypes":
            return types.SimpleNamespace(fp8=torch.float8_e4m3fn)
        if name.startswith("get_"):
            return lambda *a: {"get_gfx": "gfx950", "get_num_sms": 80, "get_cdna_version": 4}[name]
        return Recorder(name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name.split(".")[0] == "aiter" else None
    def create_module(self, spec):
        return Stub(spec.name)
    def exec_module(self, module):
        pass


sys.meta_path.insert(0, Finder())
import aiter.ops.triton
wrapper = types.ModuleType("aiter.ops.triton.pa_mqa_logits")
wrapper.__package__ = "aiter.ops.triton"
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), vars(wrapper))
wrapper.enable_gluon_pa_mqa_logits = False


def call(entry, blocks):
    launched.clear()
    heads, hidden, width = 64, 128, 256
    cache = torch.zeros((8, blocks, 1, hidden + 4), dtype=torch.uint8)
    q = torch.zeros((1, 2, heads, hidden), dtype=torch.uint8)
    weights = torch.zeros((2, heads))
    out = torch.zeros((heads, 2, width) if "stage1" in entry else (2, width))
    lengths = torch.tensor([0, 5], dtype=torch.int32) if "ragged" in entry else torch.tensor([5], dtype=torch.int32)
    table = torch.zeros((1, 8), dtype=torch.int32)
    function = getattr(wrapper, entry)
    more = {"KVBlockSize": blocks} if "KVBlockSize" in inspect.signature(function).parameters else {}
    try:
        function(q, cache, weights, out, lengths, table, width, **more)
    except (ValueError, AssertionError) as error:
        return [type(error).__name__, str(error), list(launched)]
    except AttributeError as error:
        if not launched:
            raise
    return ["launched", "", list(launched)]


print(json.dumps({e: [call(e, b) for b in (1, 64)] for e in sys.argv[2:] if hasattr(wrapper, e)}))
"""
ENTRIES = (ENTRY, f"{ENTRY}_stage1", f"{ENTRY}_ragged_k", f"{ENTRY}_stage1_ragged_k")


def called(text: bytes, file: Path) -> dict[str, list[list[object]]]:
    file.write_bytes(text)
    done = subprocess.run(
        [sys.executable, "-c", CALLS, str(file), *ENTRIES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_real_wrappers_refuse_before_they_launch(clone: Clone, tmp_path: Path) -> None:
    """Every distinct wrapper, called on the CPU: what it launched with blocks of 64 before, it refuses afterwards."""
    pytest.importorskip("torch")
    pytest.importorskip("triton")
    texts = {blob: ref for (ref, _), blob in sorted(clone.wrappers().items())}
    refused = 0
    for blob, ref in texts.items():
        text = clone.blob(blob)
        result = mend(text, FAULTS, filename=ref)
        before, after = called(text, tmp_path / "w.py"), called(result.new, tmp_path / "w.py")
        assert before.keys() == after.keys() and len(before) == 4, ref
        for entry, (token, blocks) in before.items():
            again, now = after[entry]
            assert token == again and token[0] == "launched" and len(token[2]) == 1, (ref, entry, token)  # type: ignore[arg-type]
            if blocks[0] != "launched" or blocks[2][0][1] == 64:  # type: ignore[index]
                assert now == blocks, (ref, entry)  # asserted off, or told the size of a block
                continue
            refused += 1
            assert now[0] == "ValueError" and now[2] == [], (ref, entry, now)
            assert "(8, 64, 1, 132)" in str(now[1]) and "one token a block" in str(now[1])
    assert refused >= 20
