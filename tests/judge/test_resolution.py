"""From a wrapper's names to the kernels that run, over packages of our own with the real names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from aiterfix.faults.base import Presence
from aiterfix.faults.registry import load_faults
from aiterfix.installation.given_path import find_path
from aiterfix.installation.target import Installation
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import Judgement
from aiterfix.judge.resolution import Resolution, resolve
from aiterfix.judge.verdict import Verdict
from aiterfix.source.sites import analyse
from tests.trees import amd_package, write

FAULTS = load_faults()
K = "_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle"
KERNELS = "ops/triton/gluon/pa_mqa_logits.py"
WRAPPER = "ops/triton/attention/pa_mqa_logits.py"
HEAD = (
    "import triton\nfrom triton.experimental import gluon\nfrom triton.experimental.gluon import language as gl\n\n\n"
)


def kernel(mask: str = "col < max_model_len", name: str = K, output: str = "OutLogits_buffer") -> str:
    return f"""@gluon.jit
def {name}({output}, stride_out_batch, max_model_len):
    row = gl.program_id(0)
    col = gl.arange(0, 64)
    gl.amd.cdna3.buffer_store(col, ptr={output}, offsets=row * stride_out_batch + col, mask={mask})
"""


SAFE = HEAD + kernel()
UNSAFE = HEAD + kernel("col >= 0")
IMPORT = f"from aiter.ops.triton.gluon.pa_mqa_logits import {K}\n"
ENTRY = "def deepgemm_fp8_paged_mqa_logits(q_fp8, out_logits, max_model_len):\n"
LAUNCH = f"{ENTRY}    {K}[(1,)](out_logits, out_logits.stride(0), max_model_len)\n"


def install(root: Path, files: Mapping[str, str | bytes]) -> Installation:
    """A package with these files; a value of None in place of a default leaves it out."""
    kernels = {KERNELS: SAFE, WRAPPER: IMPORT + LAUNCH, **files}
    package = amd_package(root, kernels={})
    write(package / "ops/triton/attention/__init__.py")
    for path, text in kernels.items():
        if text:
            write(package / path, text)
    (installation,) = find_path(root).installations
    return installation


def judged(root: Path, files: Mapping[str, str | bytes]) -> Judgement:
    return judge_installation(install(root, files), FAULTS)


def bound(judgement: Judgement) -> Presence:
    """Whether a store passes the end of its row."""
    return judgement.presence(("column-bound",))


def resolved(root: Path, files: Mapping[str, str | bytes]) -> Resolution:
    installation = install(root, files)
    texts = {p: p.read_bytes() for p in sorted(installation.package.rglob("*.py"))}
    sources = {p: (t, analyse(t, FAULTS.kernels)) for p, t in texts.items() if b"mqa_logits" in t}
    return resolve(
        installation.package,
        {p: a.bindings for p, (_, a) in sources.items()},
        kernels=[k.name for k in FAULTS.kernels],
        modules=[m for g in FAULTS.groups for m in g.modules],
        wrappers=[w for g in FAULTS.groups for w in g.wrappers],
    )


def test_the_plain_wrapper_runs_its_kernel(tmp_path: Path) -> None:
    found = resolved(tmp_path, {})
    assert found.doubts == ()
    assert [(d.path.relative_to(tmp_path / "aiter").as_posix(), d.name, d.line) for d in found.running] == [
        (KERNELS, K, 7)
    ]


OTHER = "ops/triton/gluon/other.py"
HANDED = "(out_logits, out_logits.stride(0), max_model_len)"
MODULES = {
    "re-export": {WRAPPER: f"from aiter.ops.triton.gluon import {K}\n{LAUNCH}", "ops/triton/gluon/__init__.py": f"from .pa_mqa_logits import {K}\n"},
    "re-export under another name": {
        WRAPPER: f"from aiter.ops.triton.gluon import k as {K}\n{LAUNCH}",
        "ops/triton/gluon/__init__.py": f"from .pa_mqa_logits import {K} as k\n",
    },
    "relative": {WRAPPER: f"from ..gluon.pa_mqa_logits import {K}\n{LAUNCH}"},
    "relative module": {WRAPPER: f"from ..gluon import pa_mqa_logits as g\n{ENTRY}    g.{K}[(1,)]{HANDED}\n"},
    "module": {WRAPPER: f"import aiter.ops.triton.gluon.pa_mqa_logits as g\n{ENTRY}    g.{K}[(1,)]{HANDED}\n"},
    "dotted": {WRAPPER: f"import aiter.ops.triton.gluon.pa_mqa_logits\n{ENTRY}    aiter.ops.triton.gluon.pa_mqa_logits.{K}[(1,)]{HANDED}\n"},
    "moved": {KERNELS: "", "ops/triton/gluon/gfx950/a.py": SAFE, WRAPPER: f"from ..gluon.gfx950.a import {K}\n{LAUNCH}"},
    "in the wrapper": {KERNELS: "", WRAPPER: SAFE + LAUNCH},
    "star": {KERNELS: f"{SAFE}__all__ = ['{K}']\n", WRAPPER: f"from ..gluon.pa_mqa_logits import *\n{LAUNCH}"},
    "stars in a row": {
        KERNELS: f"{SAFE}__all__ = ['{K}']\n",
        OTHER: f"from .pa_mqa_logits import *\n__all__ = ['{K}']\n",
        WRAPPER: f"from ..gluon.other import *\n{LAUNCH}",
    },
    "a helper that stores": {
        KERNELS: HEAD
        + kernel().replace(
            "gl.amd.cdna3.buffer_store(col, ptr=OutLogits_buffer, offsets=row * stride_out_batch + col, ",
            "put(OutLogits_buffer + row * stride_out_batch + col, ",
        )
        + "\n\n@gluon.jit\ndef put(place, mask):\n    gl.store(place, 1, mask=mask)\n"
    },
    "inside the entry": {WRAPPER: f"{ENTRY}    from ..gluon.pa_mqa_logits import {K}\n    {K}[(1,)]{HANDED}\n"},
    "module inside the entry": {WRAPPER: f"{ENTRY}    from ..gluon import pa_mqa_logits as g\n    g.{K}[(1,)]{HANDED}\n"},
    "both branches": {
        OTHER: SAFE,
        WRAPPER: f"if fast:\n    {IMPORT}else:\n    from ..gluon.other import {K}\n{LAUNCH}",
    },
    "failed import": {WRAPPER: f"try:\n    {IMPORT}except ImportError:\n    {K} = None\n{LAUNCH}"},
    "chosen": {WRAPPER: f"{IMPORT}{ENTRY}    k = {K} if max_model_len else None\n    k[(1,)]{HANDED}\n"},
    "table": {WRAPPER: f"{IMPORT}TABLE = {{'a': {K}}}\n{ENTRY}    TABLE['a'][(1,)]{HANDED}\n"},
    "got from a table": {WRAPPER: f"{IMPORT}TABLE = {{'a': {K}}}\n{ENTRY}    TABLE.get('a', None)[(1,)]{HANDED}\n"},
    "alias": {WRAPPER: f"{IMPORT}run = {K}\n{ENTRY}    run[(1,)]{HANDED}\n"},
    "partial": {WRAPPER: f"import functools\n{IMPORT}{ENTRY}    k = functools.partial({K}, 1)\n    k[(1,)]{HANDED}\n"},
    "run": {WRAPPER: f"{IMPORT}{ENTRY}    {K}.run(out_logits, grid=(1,), warmup=False)\n"},
    "compiled": {
        WRAPPER: f"""import triton
from functools import lru_cache
if True:
    from triton.experimental.gluon._runtime import GluonASTSource as ASTSource
else:
    from triton.compiler import ASTSource
{IMPORT}
@lru_cache(maxsize=None)
def _build(preshuffle):
    fn = {K} if preshuffle else {K}
    src = ASTSource(fn=fn, signature={{}})
    with quiet(fn.fn.__name__):
        kernel = triton.compile(src, target=None)
    return kernel

def deepgemm_fp8_paged_mqa_logits(q_fp8, out_logits, max_model_len):
    kernel = _build(True)
    kernel[(1,)]{HANDED}
    return kernel.hash
"""
    },
    "given to a helper": {
        WRAPPER: f"{IMPORT}def launch(k, out, n):\n    k[(1,)](out, n)\n{ENTRY}    launch({K}, out_logits, max_model_len)\n"
    },
    "returned": {WRAPPER: f"{IMPORT}def pick():\n    return {K}\n{ENTRY}    pick()[(1,)]{HANDED}\n"},
    "entry from elsewhere": {
        WRAPPER: "from aiter.ops.triton.impl import deepgemm_fp8_paged_mqa_logits\n",
        "ops/triton/impl.py": IMPORT + LAUNCH,
    },
    "entry hands on": {
        WRAPPER: f"from ..impl import run\n{ENTRY}    return run(q_fp8, out_logits, max_model_len)\n",
        "ops/triton/impl.py": f"{IMPORT}def run(q, dst, n):\n    {K}[(1,)](dst, n)\n",
    },
    "redirected": {
        "ops/triton/__init__.py": "MAP = {'pa_mqa_logits': 'here.logits'}\n",
        WRAPPER: "",
        "ops/triton/here/logits.py": IMPORT + LAUNCH,
    },
    "tensor methods": {WRAPPER: f"import torch\n{IMPORT}{ENTRY}    out_logits.fill_(0)\n    torch.zeros_like(out_logits)\n    assert len(out_logits)\n    {K}[(1,)]{HANDED}\n"},
}  # fmt: skip

NOT_FOLLOWED = frozenset(
    {
        "re-export under another name",
        "chosen",
        "table",
        "got from a table",
        "alias",
        "partial",
        "run",
        "given to a helper",
    }
    | {"failed import", "returned", "entry hands on"}
)
"""It is known which kernel is launched, but not what it is handed."""


@pytest.mark.parametrize("how", MODULES)
def test_a_kernel_is_found_wherever_it_is_taken_from(how: str, tmp_path: Path) -> None:
    found = resolved(tmp_path, MODULES[how])
    assert found.doubts == ()
    assert {d.name for d in found.running} == {K}
    assert (len(found.running) == 2) is (how == "both branches")
    presence = Presence.UNKNOWN if how in NOT_FOLLOWED else Presence.ABSENT
    assert bound(judge_installation(find_path(tmp_path).installations[0], FAULTS)) is presence


@pytest.mark.parametrize("how", MODULES)
def test_the_same_with_an_unbounded_kernel_is_vulnerable(how: str, tmp_path: Path) -> None:
    files = {
        p: t.replace("mask=col < max_model_len", "mask=col >= 0") for p, t in {KERNELS: SAFE, **MODULES[how]}.items()
    }
    assert bound(judged(tmp_path, files)) is Presence.PRESENT


@pytest.mark.parametrize(
    "files",
    [
        {KERNELS: "", WRAPPER: SAFE + LAUNCH},
        {KERNELS: SAFE + LAUNCH, WRAPPER: "from aiter.ops.triton.gluon.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits\n"},
    ],
)  # fmt: skip
def test_a_launch_beside_the_kernel_is_looked_at(files: Mapping[str, str], tmp_path: Path) -> None:
    assert bound(judged(tmp_path / "right", files)) is Presence.ABSENT
    wider = {
        path: text.replace(".stride(0), max_model_len", ".stride(0), max_model_len + 1") for path, text in files.items()
    }
    assert bound(judged(tmp_path / "wider", wider)) is Presence.UNKNOWN


FOREIGN = kernel("col >= 0", "run_logits", "Dst").replace("stride_out_batch", "s").replace("max_model_len", "n")
NOWHERE: dict[str, tuple[dict[str, str | bytes], str, int]] = {
    # what: the files, and where the first doubt stands
    "another distribution": ({WRAPPER: f"from aiter_kernels.pa import {K}\n{LAUNCH}"}, WRAPPER, 1),
    "a module that is not there": ({WRAPPER: f"from aiter._generated.pa import {K}\n{LAUNCH}"}, WRAPPER, 1),
    "a name that is not there": ({WRAPPER: f"from ..gluon import {K}\n{LAUNCH}"}, WRAPPER, 1),
    "only in a factory": (
        {KERNELS: HEAD + "def make():\n    " + kernel().replace("\n", "\n    ") + f"\n    return {K}\n"},
        WRAPPER,
        1,
    ),
    "only in a class": ({KERNELS: HEAD + "class A:\n    " + kernel().replace("\n", "\n    ") + "\n"}, WRAPPER, 1),
    "another distribution's star": ({WRAPPER: f"from aiter_kernels import *\n{LAUNCH}"}, WRAPPER, 1),
    "a star after it": ({WRAPPER: f"{IMPORT}from aiter_kernels import *\n{LAUNCH}"}, WRAPPER, 2),
    "a star of nothing": ({WRAPPER: f"from ..gluon.gone import *\n{LAUNCH}"}, WRAPPER, 1),
    "a star without it": ({WRAPPER: f"from ..gluon.pa_mqa_logits import *\n{LAUNCH}"}, WRAPPER, 3),
    "one branch elsewhere": (
        {WRAPPER: f"try:\n    from aiter_kernels import {K}\nexcept ImportError:\n    {IMPORT}{LAUNCH}"},
        WRAPPER,
        2,
    ),
    "one branch elsewhere, last": (
        {WRAPPER: f"try:\n    {IMPORT}except ImportError:\n    from aiter_kernels import {K}\n{LAUNCH}"},
        WRAPPER,
        4,
    ),
    "bound anew": ({WRAPPER: f"{IMPORT}{K} = make()\n{LAUNCH}"}, WRAPPER, 2),
    "wrapped": ({WRAPPER: f"{IMPORT}import fast\n{K} = fast.wrap({K})\n{LAUNCH}"}, WRAPPER, 3),
    "unpacked": ({WRAPPER: f"{IMPORT}{K}, other = make()\n{LAUNCH}"}, WRAPPER, 2),
    "looped": ({WRAPPER: f"{IMPORT}for {K} in make():\n    pass\n{LAUNCH}"}, WRAPPER, 2),
    "with": ({WRAPPER: f"{IMPORT}with make() as {K}:\n    pass\n{LAUNCH}"}, WRAPPER, 2),
    "class": ({WRAPPER: f"{IMPORT}class {K}:\n    pass\n{LAUNCH}"}, WRAPPER, 2),
    "through global": ({WRAPPER: f"{IMPORT}def f():\n    global {K}\n    {K} = make()\n{LAUNCH}"}, WRAPPER, 3),
    "through globals": ({WRAPPER: f"{IMPORT}globals()['{K}'] = make()\n{LAUNCH}"}, WRAPPER, 2),
    "through a computed name": ({WRAPPER: f"{IMPORT}globals()[name] = make()\n{LAUNCH}"}, WRAPPER, 2),
    "text": ({WRAPPER: f"{IMPORT}exec(text)\n{LAUNCH}"}, WRAPPER, 2),
    "its function": ({WRAPPER: f"{IMPORT}{K}.fn = other\n{LAUNCH}"}, WRAPPER, 2),
    "set from elsewhere": (
        {"ops/fast.py": f"import aiter.ops.triton.gluon.pa_mqa_logits as g\ng.{K} = make()\n"},
        "ops/fast.py",
        2,
    ),
    "set on the wrapper from elsewhere": (
        {"ops/fast.py": f"import aiter.ops.triton.attention.pa_mqa_logits as w\nsetattr(w, '{K}', make())\n"},
        "ops/fast.py",
        2,
    ),
    "a kernel file that runs text": ({KERNELS: "exec(open('k.txt').read())\n"}, KERNELS, 1),
    "a kernel file that runs text beside": ({KERNELS: f"{SAFE}exec(open('k.txt').read())\n"}, KERNELS, 11),
    "a kernel file of another name that runs text": (
        {KERNELS: "", OTHER: "exec(open('k.txt').read())\n", WRAPPER: f"from ..gluon.other import {K}\n{LAUNCH}"},
        OTHER,
        1,
    ),
    "a kernel of other names in the family's module": (
        {KERNELS: HEAD + FOREIGN, WRAPPER: ""},
        KERNELS,
        7,
    ),
    "a kernel of other names beside the known one": ({KERNELS: f"{SAFE}{FOREIGN}"}, KERNELS, 12),
    "a family's module that takes all from elsewhere": (
        {KERNELS: "from aiter_kernels import *\n", WRAPPER: ""},
        KERNELS,
        1,
    ),
    "a family's module that takes all from strangers": (
        {KERNELS: "from .other import *\n", OTHER: HEAD + FOREIGN, WRAPPER: ""},
        OTHER,
        7,
    ),
    "a family's module made on demand": ({KERNELS: "def __getattr__(name):\n    return make(name)\n", WRAPPER: ""}, KERNELS, 1),
    "a family's module that is replaced": (
        {KERNELS: "import sys\nsys.modules[__name__] = make()\n", WRAPPER: ""},
        KERNELS,
        2,
    ),
    "a second wrapper": (
        {"ops/second.py": f"from fast import go\n{ENTRY}    go(out_logits)  # {K}\n"},
        "ops/second.py",
        1,
    ),
    "a lazy module": ({KERNELS: f"{SAFE}".replace(K, "k") + "def __getattr__(name):\n    return k\n"}, WRAPPER, 1),
    "a circle": (
        {KERNELS: f"from .other import {K}\n", OTHER: f"from .pa_mqa_logits import {K}\n"},
        OTHER,
        1,
    ),
    "a file that does not parse": ({KERNELS: "", OTHER: "def (\n", WRAPPER: f"from ..gluon.other import k as {K}\n{LAUNCH}"}, OTHER, 1),
    "a wrapper that does not parse": ({WRAPPER: "def (\n"}, WRAPPER, 1),
    "a kernel of another name": (
        {OTHER: HEAD + FOREIGN, WRAPPER: f"from ..gluon.other import run_logits\n{ENTRY}    run_logits[(1,)]{HANDED}\n"},
        OTHER,
        7,
    ),
    "a kernel of another name, under the known one": (
        {OTHER: HEAD + FOREIGN, WRAPPER: f"from ..gluon.other import run_logits as {K}\n{LAUNCH}"},
        OTHER,
        7,
    ),
    "a kernel of another name, compiled": (
        {
            OTHER: HEAD + FOREIGN,
            WRAPPER: "import triton\nfrom triton.compiler import ASTSource\nfrom ..gluon.other import run_logits\n"
            f"def build():\n    return triton.compile(ASTSource(fn=run_logits))\n{ENTRY}    build()[(1,)]{HANDED}\n",
        },
        OTHER,
        7,
    ),
    "a kernel of another name, in a table": (
        {
            OTHER: HEAD + FOREIGN,
            WRAPPER: f"{IMPORT}from ..gluon.other import run_logits\nT = {{1: {K}, 2: run_logits}}\n{ENTRY}    T[2][(1,)]{HANDED}\n",
        },
        OTHER,
        7,
    ),
    "a kernel of another name, in the wrapper": (
        {WRAPPER: HEAD + FOREIGN + f"{ENTRY}    run_logits[(1,)]{HANDED}\n"},
        WRAPPER,
        7,
    ),
    "a kernel of another name, through a method": (
        {OTHER: HEAD + FOREIGN, WRAPPER: f"from ..gluon.other import run_logits\n{ENTRY}    run_logits.run(out_logits, grid=(1,))\n"},
        OTHER,
        7,
    ),
    "a kernel of another name, one level down": (
        {
            OTHER: HEAD + FOREIGN + "def go(dst, n):\n    run_logits[(1,)](dst, n)\n",
            WRAPPER: f"from ..gluon.other import go\n{ENTRY}    go(out_logits, max_model_len)\n",
        },
        OTHER,
        7,
    ),
    "the schedule's kernel handed the logits": (
        {
            OTHER: HEAD + FOREIGN.replace("run_logits", "_deepgemm_fp8_paged_mqa_logits_varctx_schedule"),
            WRAPPER: "from ..gluon.other import _deepgemm_fp8_paged_mqa_logits_varctx_schedule as s\n"
            f"{ENTRY}    s[(1,)]{HANDED}\n",
        },
        OTHER,
        7,
    ),
    "chosen by a function": ({WRAPPER: f"from fast import pick\n{ENTRY}    pick()[(1,)]{HANDED}\n"}, WRAPPER, 3),
    "chosen by getattr": (
        {WRAPPER: f"from ..gluon import pa_mqa_logits as g\n{ENTRY}    getattr(g, name)[(1,)]{HANDED}\n"},
        WRAPPER,
        3,
    ),
    "chosen by import_module": (
        {WRAPPER: f"import importlib\n{ENTRY}    importlib.import_module(name).k[(1,)]{HANDED}\n"},
        WRAPPER,
        3,
    ),
    "an unknown parameter": ({WRAPPER: "def launch(k, out_logits):\n    k[(1,)](out_logits)\n"}, WRAPPER, 2),
    "an attribute": ({WRAPPER: "class A:\n    def go(self, out_logits):\n        self.k[(1,)](out_logits)\n"}, WRAPPER, 3),
    "torch's registry": ({WRAPPER: f"import torch\n{ENTRY}    torch.ops.aiter.logits(out_logits)\n"}, WRAPPER, 3),
    "a function from elsewhere": ({WRAPPER: f"from fast import go\n{ENTRY}    go(q_fp8, out_logits)\n"}, WRAPPER, 1),
    "a function with unpacked arguments": (
        {WRAPPER: f"import fast\n{ENTRY}    args = (q_fp8, out_logits)\n    fast.go(*args)\n"},
        WRAPPER,
        4,
    ),
    "a function with a dictionary": (
        {WRAPPER: f"import fast\n{ENTRY}    args = {{'o': out_logits.view(-1)}}\n    fast.go(**args)\n"},
        WRAPPER,
        4,
    ),
    "a function one level down": (
        {WRAPPER: f"import fast\ndef go(x, dst):\n    fast.run(dst)\n{ENTRY}    go(q_fp8, dst=out_logits)\n"},
        WRAPPER,
        3,
    ),
    "an object that holds the logits": (
        {WRAPPER: f"import fast\n{ENTRY}    s = fast.State()\n    s.out = out_logits\n    s.go()\n"},
        WRAPPER,
        3,
    ),
    "an object that is handed on": (
        {WRAPPER: f"import fast\n{ENTRY}    s = {{}}\n    s['out'] = out_logits\n    fast.go(s)\n"},
        WRAPPER,
        5,
    ),
    "a list that is handed on": (
        {WRAPPER: f"import fast\n{ENTRY}    s = []\n    s.append(out_logits)\n    fast.go(*s)\n"},
        WRAPPER,
        5,
    ),
    "a loop": ({WRAPPER: f"import fast\n{ENTRY}    for o in zip([out_logits]):\n        fast.go(*o)\n"}, WRAPPER, 4),
    "a default": ({WRAPPER: f"import fast\n{ENTRY}    def go(o=out_logits):\n        fast.go(o)\n    go()\n"}, WRAPPER, 4),
    "map": ({WRAPPER: f"import fast\n{ENTRY}    list(map(fast.go, [out_logits]))\n"}, WRAPPER, 3),
    "a function that torch calls": (
        {WRAPPER: f"import fast\nimport torch\n{ENTRY}    torch.func.run(fast.go, out_logits)\n"},
        WRAPPER,
        4,
    ),
    "torch's checkpoint": (
        {WRAPPER: f"import torch\nfrom torch.utils.checkpoint import checkpoint\n{ENTRY}    checkpoint(q_fp8, out_logits)\n"},
        WRAPPER,
        2,
    ),
    "a global": (
        {WRAPPER: f"{IMPORT}import fast\nkept = None\n{ENTRY}    global kept\n    kept = out_logits\n    fast.go()\n"},
        WRAPPER,
        5,
    ),
    "every argument": (
        {WRAPPER: "import fast\ndef deepgemm_fp8_paged_mqa_logits(*args, **more):\n    return fast.go(*args, **more)\n"},
        WRAPPER,
        3,
    ),
    "an output of another name": (
        {WRAPPER: "import fast\ndef deepgemm_fp8_paged_mqa_logits(q, dst):\n    return fast.go(q, dst)\n"},
        WRAPPER,
        3,
    ),
    "a function compiled on the spot": (
        {
            OTHER: HEAD + FOREIGN.replace("@gluon.jit\n", ""),
            WRAPPER: "from triton.experimental import gluon\nfrom ..gluon.other import run_logits\n"
            f"fast = gluon.jit(run_logits)\n{ENTRY}    fast[(1,)]{HANDED}\n",
        },
        OTHER,
        6,
    ),
    "a function compiled by another": (
        {
            OTHER: "from fast import jit\n" + HEAD + FOREIGN.replace("@gluon.jit", "@jit"),
            WRAPPER: f"from ..gluon.other import run_logits\n{ENTRY}    run_logits[(1,)]{HANDED}\n",
        },
        OTHER,
        8,
    ),
    "a function with another's decorator": (
        {
            OTHER: "from fast import compiled\n" + HEAD + FOREIGN.replace("@gluon.jit", "@compiled"),
            WRAPPER: f"from ..gluon.other import run_logits\n{ENTRY}    run_logits[(1,)]{HANDED}\n",
        },
        OTHER,
        7,
    ),
    "a class of its own": (
        {WRAPPER: f"{IMPORT}class Op:\n    apply = make()\n{ENTRY}    Op.apply(out_logits)\n"},
        WRAPPER,
        2,
    ),
    "a lambda": (
        {OTHER: HEAD + FOREIGN, WRAPPER: f"from ..gluon.other import run_logits\ngo = lambda o: run_logits[(1,)](o)\n{ENTRY}    go(out_logits)\n"},
        WRAPPER,
        2,
    ),
    "names set from a list": (
        {"ops/fast.py": f"import aiter.ops.triton.gluon.pa_mqa_logits as g\nfor n in ('{K}',):\n    setattr(g, n, make())\n"},
        "ops/fast.py",
        3,
    ),
    "an entry from elsewhere": ({WRAPPER: "from fast import deepgemm_fp8_paged_mqa_logits\n"}, WRAPPER, 1),
    "an entry bound anew": ({WRAPPER: f"{IMPORT}{LAUNCH}deepgemm_fp8_paged_mqa_logits = wrap()\n"}, WRAPPER, 4),
    "an entry with a decorator": ({WRAPPER: f"{IMPORT}from fast import swap\n@swap\n{LAUNCH}"}, WRAPPER, 3),
    "an entry made on demand": ({WRAPPER: "def __getattr__(name):\n    return make(name)\n"}, WRAPPER, 1),
    "entries through a star": ({WRAPPER: "from fast import *\n"}, WRAPPER, 1),
}  # fmt: skip


@pytest.mark.parametrize("how", NOWHERE)
def test_what_leads_nowhere_is_unknown_with_its_place(how: str, tmp_path: Path) -> None:
    files, path, line = NOWHERE[how]
    assessment = judged(tmp_path, files)
    assert bound(assessment) is Presence.UNKNOWN
    seen = [(f.relative.removeprefix("aiter/"), p.line) for f in assessment.texts for p in f.diagnosis.problems]
    assert (path, line) in seen


COMPILED: dict[str, dict[str, str | bytes]] = {
    "extension alone": {KERNELS: "", "ops/triton/gluon/pa_mqa_logits.cpython-312-x86_64-linux-gnu.so": b"\x7fELF"},
    "extension beside the source": {"ops/triton/gluon/pa_mqa_logits.abi3.so": b"\x7fELF"},
    "plain extension beside the source": {"ops/triton/gluon/pa_mqa_logits.so": b"\x7fELF"},
    "bytecode alone": {KERNELS: "", "ops/triton/gluon/pa_mqa_logits.pyc": b"\x00"},
    "template alone": {KERNELS: "", "ops/triton/gluon/pa_mqa_logits.pyx": SAFE, "ops/triton/gluon/pa_mqa_logits.py.in": SAFE},
    "package before the source": {"ops/triton/gluon/pa_mqa_logits/__init__.py": "x = 1\n"},
    "compiled package": {"ops/triton/gluon/pa_mqa_logits/__init__.so": b"\x7fELF"},
    "wrapper": {WRAPPER: "", "ops/triton/attention/pa_mqa_logits.so": b"\x7fELF"},
    "wrapper beside the source": {"ops/triton/attention/pa_mqa_logits.so": b"\x7fELF"},
    "kernels with no wrapper": {WRAPPER: "", "ops/triton/gluon/pa_mqa_logits.so": b"\x7fELF"},
}  # fmt: skip


@pytest.mark.parametrize("how", COMPILED)
def test_compiled_code_and_templates_are_unknown(how: str, tmp_path: Path) -> None:
    assert bound(judged(tmp_path, COMPILED[how])) is Presence.UNKNOWN


def test_an_extra_kernel_file_is_among_those_that_run(tmp_path: Path) -> None:
    extra = {
        OTHER: UNSAFE,
        WRAPPER: f"{IMPORT}from ..gluon.other import {K} as fast\n{LAUNCH.replace(K + '[', 'fast[')}",
    }
    found = resolved(tmp_path, extra)
    assert found.doubts == ()
    assert tmp_path / "aiter" / OTHER in {d.path for d in found.running}
    assert bound(judge_installation(find_path(tmp_path).installations[0], FAULTS)) is Presence.PRESENT


def test_a_kernel_file_that_nothing_imports_is_counted_and_does_not_run(tmp_path: Path) -> None:
    found = resolved(tmp_path, {OTHER: UNSAFE})
    assert {d.path for d in found.running} == {tmp_path / "aiter" / KERNELS}
    assert bound(judge_installation(find_path(tmp_path).installations[0], FAULTS)) is Presence.PRESENT


def test_a_package_without_the_wrapper_is_judged_by_its_kernels(tmp_path: Path) -> None:
    assert bound(judged(tmp_path, {WRAPPER: ""})) is Presence.ABSENT


def test_the_schedules_kernel_is_no_member_of_the_family(tmp_path: Path) -> None:
    name = "_deepgemm_fp8_paged_mqa_logits_varctx_schedule"
    schedule = f"@triton.jit\ndef {name}(n, safe, count):\n    gl.store(safe, n)\n"
    wrapper = f"from ..gluon.other import {name}\ndef deepgemm_fp8_paged_mqa_logits_schedule(n, max_model_len):\n    safe = make()\n    {name}[(4,)](n, safe, 2)\n    return safe\n"
    found = resolved(tmp_path, {OTHER: HEAD + schedule, WRAPPER: IMPORT + LAUNCH + wrapper})
    assert found.doubts == ()
    assert {d.name for d in found.running} == {K}


def test_names_in_another_spelling_are_found_in_the_package(tmp_path: Path) -> None:
    odd = UNSAFE.replace("logits_preshuffle", "logit\u017f_preshuffle").replace("OutLogits", "OutLogit\u017f")
    assert bound(judged(tmp_path, {KERNELS: odd})) is Presence.PRESENT


@pytest.mark.parametrize("codec", ["raw_unicode_escape", "utf-7", "unicode-escape"])
def test_an_encoding_that_hides_names_is_looked_into(codec: str, tmp_path: Path) -> None:
    text = f"# -*- coding: {codec} -*-\n{UNSAFE}".replace("mqa_", "mqa\\u005f").replace(
        "OutLogits_", "OutLogits\\u005f"
    )
    if codec == "utf-7":
        text = text.replace("\\u005f", "+AF8-")
    assert b"mqa_logits" not in text.encode()
    assert bound(judged(tmp_path, {KERNELS: "", OTHER: text, WRAPPER: ""})) in (Presence.PRESENT, Presence.UNKNOWN)


@pytest.mark.parametrize("name", ["deepgemm_fp8_paged_mqa_logits", K])
def test_an_entry_or_kernel_that_another_file_replaces_is_in_doubt(name: str, tmp_path: Path) -> None:
    module = "attention" if name != K else "gluon"
    patch = f"from aiter.ops.triton.{module} import pa_mqa_logits\n\npa_mqa_logits.{name} = print\n"
    judgement = judged(tmp_path, {"patch.py": patch})
    assert judgement.verdict is Verdict.UNKNOWN
    assert (str(tmp_path / "aiter/patch.py"), 3) in [(d.where, d.line) for d in judgement.doubts]
    assert judged(tmp_path / "kept", {"patch.py": patch.replace(" = print", "")}).doubts == ()
