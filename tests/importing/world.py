"""A site-packages with an ``aiter`` of our own, a stand-in for Triton, and fresh processes that import them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from aiterfix.demo import write_sample
from aiterfix.faults.mend import mend
from aiterfix.faults.registry import load_faults

SOURCE = Path(__file__).parents[2] / "src"
GLUON = "aiter.ops.triton.gluon.pa_mqa_logits"
STAGE1 = "aiter.ops.triton._triton_kernels.attention.pa_mqa_logits"
WRAPPER = "aiter.ops.triton.attention.pa_mqa_logits"
OLD_WRAPPER = "aiter.ops.triton.pa_mqa_logits"
BASE = "_gluon_deepgemm_fp8_paged_mqa_logits"
UNGUARDED = "mask=column >= 0,"

# Reads its source when the decorator runs, through inspect, as Triton's does.
STANDIN = '''\
"""Stand-in for Triton: a decorator that reads the source of what it decorates."""
import inspect, re, textwrap


class Kernel:
    def __init__(self, fn):
        self.fn = fn
        self.raw_src, self.starting_line_number = inspect.getsourcelines(fn)
        text = textwrap.dedent("".join(self.raw_src))
        self.src = text[re.search(r"^def\\s+\\w+\\s*\\(", text, re.MULTILINE).start():]
        self.__module__ = fn.__module__
        self.__name__ = fn.__name__
        self.__qualname__ = fn.__qualname__

    def run(self):
        return self.src


def jit(fn=None, **options):
    return Kernel if fn is None else Kernel(fn)
'''
# A package with files: modules put into sys.modules by hand would be missing for a thread that comes too early.
STANDIN_PARTS = {
    "triton/language.py": "constexpr = int\nint64 = int\n",
    "triton/experimental/__init__.py": "",
    "triton/experimental/gluon/__init__.py": "from triton import jit\n",
    "triton/experimental/gluon/language.py": "constexpr = int\nint64 = int\n",
}

WRAPPER_SOURCE = '''\
"""Wrapper of our own, in the manner of the real one: kernels by name, compiled ones in a cache."""
from functools import lru_cache

from aiter.ops.triton._triton_kernels.attention.pa_mqa_logits import (
    _deepgemm_fp8_paged_mqa_logits,
    _deepgemm_fp8_paged_mqa_logits_stage1,
)
from aiter.ops.triton.gluon.pa_mqa_logits import (
    _gluon_deepgemm_fp8_paged_mqa_logits,
    _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle,
    _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle_varctx,
)


class Compiled:
    """What a compilation leaves: the text that went in, and the kernel it came from."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.text = self.hash = kernel.src


class triton:
    compile = Compiled


@lru_cache(maxsize=1024)
def _compile_deepgemm_fp8_paged_mqa_logits(Preshuffle=False):
    return triton.compile(
        _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle if Preshuffle else _gluon_deepgemm_fp8_paged_mqa_logits
    )


def deepgemm_fp8_paged_mqa_logits(Preshuffle=False):
    """The text of the kernel that would be launched."""
    kernel = _compile_deepgemm_fp8_paged_mqa_logits(Preshuffle)
    return kernel.hash
'''

# aiter redirects old module names with a finder of its own, which executes the wrapper twice.
REDIRECT = """\
import importlib, importlib.util, sys
from types import SimpleNamespace


def find_spec(fullname, path, target=None):
    if fullname == "aiter.ops.triton.pa_mqa_logits":
        sys.modules[fullname] = importlib.import_module("aiter.ops.triton.attention.pa_mqa_logits")
        return importlib.util.find_spec("aiter.ops.triton.attention.pa_mqa_logits")
    return None


sys.meta_path.insert(0, SimpleNamespace(find_spec=find_spec))
"""


@cache
def mended(text: bytes, but: str = "") -> bytes:
    """A text with every fault out, as `apply` would write it; with all but one out where one is named."""
    faults = load_faults()
    return mend(text, faults.judged, wanted=tuple(sorted(faults.deciding - {but})) if but else None).new


@dataclass(frozen=True)
class World:
    """A folder on ``sys.path`` of fresh processes.

    Attributes:
        python: what starts one.
    """

    site: Path
    python: tuple[str, ...] = (sys.executable, "-W", "error")

    def file(self, module: str) -> Path:
        """The file of a module."""
        return self.site / (module.replace(".", "/") + ".py")

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script in a fresh interpreter of ours; the test fails where the script does.

        Args:
            script: its text; indented text is dedented.
            environment: variables beside the ordinary ones.
        """
        done = self.attempt(script, **environment)
        assert done.returncode == 0, done.stderr + done.stdout
        return done

    def attempt(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script that may fail."""
        return subprocess.run(
            [*self.python, "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            env=self.environment(**environment),
            timeout=120,
            check=False,
        )

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a fresh process: aiterfix and the world on its path, no hook asked for."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AITER"))}
        return {**kept, "PYTHONPATH": os.pathsep.join([str(SOURCE), str(self.site)]), **more}

    def answer(self, script: str, **environment: str) -> Any:
        """The JSON that a script prints last."""
        return json.loads(self.run(script, **environment).stdout.splitlines()[-1])

    def files(self) -> Mapping[str, bytes]:
        """Every file and its content, to see that nothing is written."""
        return {str(p.relative_to(self.site)): p.read_bytes() for p in sorted(self.site.rglob("*")) if p.is_file()}


def build(
    site: Path, *, wrapper: str = WRAPPER_SOURCE, triton: str | None = STANDIN, columns_alone: bool = False
) -> World:
    """Lay out the sample package with our wrapper and redirection.

    Args:
        site: an existing empty folder.
        wrapper: source of the wrapper.
        triton: source of the stand-in; None for the real one.
        columns_alone: whether `column-bound` is to be the one fault of its kernels, so that each process mends one:
            most of what a process takes is the mending.
    """
    write_sample(site)
    world = World(site)
    for module in (GLUON, STAGE1) if columns_alone else ():
        world.file(module).write_bytes(mended(world.file(module).read_bytes(), "column-bound"))
    world.file(WRAPPER).write_text(wrapper)
    (site / "aiter/ops/triton/__init__.py").write_text(REDIRECT)
    if triton is not None:
        for name, text in {"triton/__init__.py": triton, **STANDIN_PARTS}.items():
            path = site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return world
