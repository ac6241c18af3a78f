"""Together with other import hooks, each in the manner of a real one, standing before ours and behind it."""

from __future__ import annotations

import pytest

from tests.importing.world import BASE, GLUON, STAGE1, UNGUARDED, WRAPPER, World

# As pytest's assertion rewriting: finder and loader in one; reads the file and compiles it by itself.
PYTEST = """
import importlib.machinery, importlib.util, sys
class Rewriter:
    def find_spec(self, name, path=None, target=None):
        if name != NAME: return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        return importlib.util.spec_from_file_location(name, spec.origin, loader=self)
    def create_module(self, spec): return None
    def exec_module(self, module):
        seen.append("rewritten")
        exec(compile(open(module.__spec__.origin).read(), module.__spec__.origin, "exec"), module.__dict__)
other = Rewriter()
"""
# As typeguard: a SourceFileLoader that instruments what it compiles, put into the spec of the path finder.
TYPEGUARD = """
import ast, importlib.machinery
class Instrumenting(importlib.machinery.SourceFileLoader):
    def source_to_code(self, data, path, *, _optimize=-1):
        tree = ast.parse(data)
        tree.body.append(ast.parse("INSTRUMENTED = True").body[0])
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)
    def exec_module(self, module):
        seen.append("instrumented")
        super().exec_module(module)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != NAME: return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        spec.loader = Instrumenting(spec.loader.name, spec.loader.path)
        return spec
other = Finder()
"""
# As wrapt: starts the whole search again, with a guard against itself, and notifies after the import.
WRAPT = """
import importlib.util
class Chained:
    def __init__(self, loader): self.loader = loader
    def create_module(self, spec): return self.loader.create_module(spec)
    def exec_module(self, module):
        self.loader.exec_module(module)
        seen.append("notified")
class Finder:
    busy = False
    def find_spec(self, name, path=None, target=None):
        if name != NAME or self.busy: return None
        self.busy = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.busy = False
        if spec is not None: spec.loader = Chained(spec.loader)
        return spec
other = Finder()
"""
# As an editable install: a mapping from package to folder.
EDITABLE = """
import importlib.util, os, sys
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != NAME: return None
        file = os.path.join(SITE, *name.split(".")) + ".py"
        seen.append("mapped")
        return importlib.util.spec_from_file_location(name, file)
other = Finder
"""
LAZY = """
import importlib.machinery, importlib.util
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != NAME: return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        spec.loader = importlib.util.LazyLoader(spec.loader)
        seen.append("lazy")
        return spec
other = Finder()
"""
HOOKS = {"pytest": PYTEST, "typeguard": TYPEGUARD, "wrapt": WRAPT, "editable": EDITABLE, "lazy": LAZY}


def script(hook: str, ours_first: bool, name: str, site: str) -> str:
    install = ["import aiterfix; aiterfix.install_hook()", "sys.meta_path.insert(0, other)"]
    if ours_first:
        install.reverse()  # whoever is inserted last stands first
    return f"""
import json, sys
NAME, SITE, seen = {name!r}, {site!r}, []
{HOOKS[hook]}
{install[0]}
{install[1]}
import {WRAPPER} as wrapper, {GLUON} as module
text = wrapper.deepgemm_fp8_paged_mqa_logits()
found = aiterfix.status()
print(json.dumps({{
    "text": text, "held": getattr(module, {BASE!r}).src, "seen": seen,
    "states": [m.state.value for m in found.modules], "instrumented": getattr(module, "INSTRUMENTED", False),
}}))
"""


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours-first", "theirs-first"])
@pytest.mark.parametrize("hook", HOOKS)
def test_the_kernel_module_is_patched_and_the_other_hook_does_its_work(
    world: World, hook: str, ours_first: bool
) -> None:
    found = world.answer(script(hook, ours_first, GLUON, str(world.site)))
    assert "(column < max_model_len)" in found["text"]
    assert found["text"] == found["held"]
    assert found["states"] == ["patched", "patched"]
    if hook != "pytest" or not ours_first:  # a loader that reads the file by itself cannot be kept: see docs
        assert found["seen"]
    if hook == "typeguard":
        assert found["instrumented"] is True


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours-first", "theirs-first"])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_on_the_wrapper_does_its_work(world: World, hook: str, ours_first: bool) -> None:
    found = world.answer(script(hook, ours_first, WRAPPER, str(world.site)))
    assert "(column < max_model_len)" in found["text"]
    assert found["states"] == ["patched", "patched"]
    assert found["seen"]


def test_a_finder_in_front_that_claims_everything_hides_aiter_from_us_and_status_says_so(world: World) -> None:
    text = script("pytest", False, GLUON, str(world.site)).replace(
        "if name != NAME: return None", "if name not in NAME: return None"
    )
    text = text.replace(f"NAME, SITE, seen = {GLUON!r}", f"NAME, SITE, seen = {[GLUON, WRAPPER, STAGE1]!r}")
    found = world.answer(text)
    assert UNGUARDED in found["text"]
    assert found["states"] == ["unpatched", "unpatched"]
    # A plugin that is loaded again, or another call, looks at what is there, and can still help.
    again = world.answer(text.replace("text = wrapper", "aiterfix.install_hook()\ntext = wrapper"))
    assert "(column < max_model_len)" in again["text"]
    # The wrapper was executed without us and refuses nothing: what its kernels cannot do is left.
    assert again["states"] == ["unpatched", "unpatched"]
