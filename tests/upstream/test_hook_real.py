"""The real kernels, imported through the real wrapper's own path and compiled by the wrapper's own function.

Everything else that the wrapper imports from ``aiter`` is stood in for: nothing here needs a GPU or compiled code.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import RUNS_HERE, WHY_NOT
from tests.importing.ttgir import stores
from tests.upstream.conftest import Clone

SOURCE = Path(__file__).parents[2] / "src"
FOLDER = "aiter/ops/triton"
FILES = (
    f"{FOLDER}/__init__.py",
    f"{FOLDER}/gluon/__init__.py",
    f"{FOLDER}/gluon/pa_mqa_logits.py",
    f"{FOLDER}/_triton_kernels/attention/__init__.py",
    f"{FOLDER}/_triton_kernels/attention/pa_mqa_logits.py",
    f"{FOLDER}/_triton_kernels/pa_mqa_logits.py",
    f"{FOLDER}/attention/__init__.py",
    f"{FOLDER}/attention/pa_mqa_logits.py",
    f"{FOLDER}/pa_mqa_logits.py",
)
WRAPPERS = ("aiter.ops.triton.attention.pa_mqa_logits", "aiter.ops.triton.pa_mqa_logits")

STANDIN = '''
import importlib.machinery, sys, types

VALUES = {"get_gfx": lambda *a: "gfx950", "get_arch": lambda *a: "gfx950", "get_cdna_version": lambda *a: 4,
          "get_num_sms": lambda *a: 256, "AITER_TRITON_CONFIGS_PATH": "/nonexistent"}


class Module(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return VALUES.get(name, types.SimpleNamespace)


class Finder:
    """Behind all others: a stand-in for every module of aiter that is not laid out."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] != "aiter" or name.split(".")[-1] in ("comms", "pa_mqa_logits"):
            return None
        return importlib.machinery.ModuleSpec(name, Finder, is_package=True)

    @staticmethod
    def create_module(spec):
        return Module(spec.name)

    @staticmethod
    def exec_module(module):
        pass


sys.meta_path.append(Finder)
'''

SCRIPT = """
import base64, importlib, inspect, json, sys
import standin
if {hook}:
    import aiterfix
    aiterfix.install_hook(mode="require")
wrapper = importlib.import_module({wrapper!r})
compile_ = wrapper._compile_deepgemm_fp8_paged_mqa_logits
known = inspect.signature(compile_).parameters
found = {{}}
for name, preshuffle, block, varying in (("base", False, 1, False), ("fixed", True, 64, False), ("varctx", True, 64, True)):
    wanted = dict(ChunkQ=64, ChunkK=256, Preshuffle=preshuffle, KVBlockSize=block, HiddenDim=128, is_padded_mode=True,
                  WavePerEU=2, VarCtxOpt=varying)
    if (preshuffle and "Preshuffle" not in known) or (varying and "VarCtxOpt" not in known):
        continue
    try:
        done = compile_(**{{k: v for k, v in wanted.items() if k in known}})
        facts = done.metadata
        found[name] = dict(
            ttgir=done.asm["ttgir"], code=base64.b64encode(done.asm["hsaco"]).decode(), name=facts.name,
            shared=facts.shared, threads=facts.num_warps * facts.warp_size,
            arguments=[[n, t] for n, t in done.src.signature.items() if t != "constexpr"])
    except Exception as error:
        found[name] = dict(error=repr(error).splitlines()[0])
kernels = {{n: k.src for n, k in vars(wrapper).items() if "deepgemm_fp8" in n and hasattr(k, "src")}}
states = []
if {hook}:
    states = [[m.module, m.state.value, dict(m.mended)] for m in aiterfix.status().modules]
print(json.dumps([found, kernels, states]))
"""


@dataclass(frozen=True)
class Release:
    """One combination of kernels and wrapper, by a tag that has it."""

    ref: str
    files: tuple[tuple[str, str], ...]

    @property
    def wrapper(self) -> str:
        names = dict(self.files)
        return next(w for w in WRAPPERS if w.replace(".", "/") + ".py" in names)


def releases(clone: Clone) -> list[Release]:
    """Each distinct combination once."""
    found: dict[tuple[tuple[str, str], ...], str] = {}
    for ref in clone.refs():
        listed = clone.git("ls-tree", "-r", ref, "--", FOLDER).decode().splitlines()
        blobs = {line.partition("\t")[2]: line.split()[2] for line in listed}
        files = tuple((f, blobs[f]) for f in FILES if f in blobs)
        if f"{FOLDER}/gluon/pa_mqa_logits.py" in blobs:
            key = tuple(f for f in files if not f[0].endswith("__init__.py"))
            if key not in {tuple(x for x in k if not x[0].endswith("__init__.py")) for k in found}:
                found[files] = ref
    return [Release(ref, files) for files, ref in found.items()]


def lay_out(clone: Clone, release: Release, site: Path) -> None:
    """As installed: the kernels, the wrapper, the package's own redirection of names; the rest stood in for."""
    for name, blob in release.files:
        target = site / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(clone.blob(blob))
    for folder in ("aiter", "aiter/ops"):
        (site / folder / "__init__.py").write_text("from types import SimpleNamespace\ndtypes = SimpleNamespace()\n")
    (site / "standin.py").write_text(STANDIN)


def compiled(site: Path, wrapper: str, cache: Path, *, hook: bool) -> Any:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AITER_", "TRITON"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(hook=hook, wrapper=wrapper)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={
            **environment,
            "PYTHONPATH": os.pathsep.join([str(SOURCE), str(site)]),
            "TRITON_CACHE_DIR": str(cache),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    if done.returncode < 0:
        return None
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def overshoot(which: str, found: dict[str, Any]) -> int:
    """Columns that a code object writes past its rows, by executing it with sentinels behind every row."""
    if not RUNS_HERE:
        pytest.skip(WHY_NOT)
    from aiterfix.family.signature import Kernel, KernelConfig
    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.validation.emulator import EmulatorLauncher
    from aiterfix.validation.scenarios import GAP, Scenario
    from tests.validation.launching import run_scenario

    kernel = {"base": Kernel.BASE, "fixed": Kernel.PRESHUFFLE, "varctx": Kernel.PRESHUFFLE_VARCTX}[which]
    config = KernelConfig(kv_block_size=1 if which == "base" else 64)
    splits = 40 if which == "varctx" else 3
    scenario = Scenario(kernel, config, "measured", (1000, 1000), 2, 1000, GAP, splits)
    code = CompiledKernel(
        base64.b64decode(found["code"]),
        found["ttgir"],
        found["name"],
        found["shared"],
        found["threads"],
        "",
        tuple((name, kind) for name, kind in found["arguments"]),
    )
    return run_scenario(scenario, code, EmulatorLauncher()).overshoot_columns


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(find_spec("triton") is None or find_spec("torch") is None, reason="needs Triton and torch")
def test_what_the_wrapper_compiles_is_bounded_with_the_hook_and_not_without(clone: Clone, tmp_path: Path) -> None:
    compiled_kernels = 0
    found = releases(clone)
    assert found
    for i, release in enumerate(found):
        site = tmp_path / str(i)
        lay_out(clone, release, site)
        before = {p: p.read_bytes() for p in site.rglob("*") if p.is_file()}
        names = [release.wrapper]
        if release.wrapper == WRAPPERS[0]:
            names.append(WRAPPERS[1])  # by the package's own redirection
        for name in names if i == len(found) - 1 else names[:1]:
            plain = compiled(site, name, tmp_path / "cache", hook=False)
            hooked = compiled(site, name, tmp_path / "cache", hook=True)
            assert {p: p.read_bytes() for p in site.rglob("*") if p.is_file()} == before
            if plain is None or hooked is None:
                continue  # this Triton aborts on this source
            where = f"{release.ref} {name}"
            assert {state for _, state, _ in hooked[2]} == {"patched"}, (where, hooked[2])
            unbounded = 0
            for kernel, result in hooked[0].items():
                if "error" in result:
                    assert "error" in plain[0][kernel], (where, kernel, result)
                    continue
                compiled_kernels += 1
                patched = stores(result["ttgir"], "OutLogits_buffer", "max_model_len")
                original = stores(plain[0][kernel]["ttgir"], "OutLogits_buffer", "max_model_len")
                assert len(patched) == len(original) > 0, (where, kernel)
                assert [s for s in patched if not s.bounded] == [], (where, kernel)
                unbounded += sum(not s.bounded for s in original)
                # The machine code that the wrapper would launch, executed: 1000 is 24 short of whole blocks of 64.
                overshoots = overshoot(kernel, plain[0][kernel]), overshoot(kernel, result)
                assert overshoots == (0 if kernel == "base" else 24, 0), (where, kernel)
            changed = [k for k, text in hooked[1].items() if text != plain[1][k]]
            assert changed, where
            if not all("error" in t for t in plain[0].values()):
                assert unbounded > 0, where
    assert compiled_kernels >= 18


SUBSTITUTED = """
import importlib, json
import standin
import aiterfix
aiterfix.install_hook()
wrapper = importlib.import_module({wrapper!r})
states = {{m.module: [m.state.value, m.reason] for m in aiterfix.status().modules}}
advice = aiterfix.required_padding(1000, 64)
print(json.dumps([wrapper.deepgemm_fp8_paged_mqa_logits.__module__, states, aiterfix.status().safe, advice.columns]))
"""


@pytest.mark.timeout(900)
@pytest.mark.skipif(find_spec("triton") is None or find_spec("torch") is None, reason="needs Triton and torch")
def test_our_own_kernel_takes_the_place_of_every_real_wrappers_function(clone: Clone, tmp_path: Path) -> None:
    for i, release in enumerate(releases(clone)):
        site = tmp_path / str(i)
        lay_out(clone, release, site)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AITER", "TRITON"))}
        environment |= {
            "PYTHONPATH": os.pathsep.join([str(SOURCE), str(site)]),
            "AITERFIX_KERNEL": "1",
            "AITERFIX": "require",
            "AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS": "1",
        }
        script = SUBSTITUTED.format(wrapper=release.wrapper)
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120, check=False
        )
        assert done.returncode == 0, (release.ref, done.stderr)
        module, states, safe, columns = json.loads(done.stdout.splitlines()[-1])
        assert module == "aiterfix_paged_mqa_logits", (release.ref, states)
        assert states[release.wrapper][0] == "replaced" and safe and columns == 0, (release.ref, states)
        assert {state for name, (state, _) in states.items() if ".gluon." in name} <= {"bypassed"}, (
            release.ref,
            states,
        )
