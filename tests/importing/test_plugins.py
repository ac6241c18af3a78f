"""The entry points, loaded as vLLM and SGLang load them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.importing.hosts import SGLANG, VLLM
from tests.importing.world import GLUON, WRAPPER, World

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BOUND = "(column < max_model_len)"


@pytest.fixture
def installed(world: World) -> World:
    """The world with metadata of aiterfix that declares what pyproject.toml declares."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    info = world.site / "aiterfix-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aiterfix\nVersion: 0\n")
    groups = {g: p for g, p in project["entry-points"].items() if g in ("vllm.general_plugins", "sglang.srt.plugins")}
    assert len(groups) == 2
    (info / "entry_points.txt").write_text(
        "".join(f"[{g}]\n" + "".join(f"{n} = {v}\n" for n, v in points.items()) for g, points in groups.items())
    )
    (world.site / "vllm_like.py").write_text(VLLM)
    (world.site / "sglang_like.py").write_text(SGLANG)
    return world


IMPORT = f"""
import json, aiterfix, {WRAPPER} as w
found = aiterfix.status()
print(json.dumps([w.deepgemm_fp8_paged_mqa_logits(), list(found.ways), found.children, found.standing]))
"""


@pytest.mark.parametrize("host", ["vllm", "sglang"])
def test_the_plugin_puts_the_hook_in_place(installed: World, host: str) -> None:
    text, ways, children, _ = installed.answer(f"import {host}_like as h\nh.load()\nh.load()\n{IMPORT}")
    assert BOUND in text
    assert ways == [host]
    assert "load plugins themselves" in children


@pytest.mark.parametrize(("host", "variable"), [("vllm", "VLLM_PLUGINS"), ("sglang", "SGLANG_PLUGINS")])
@pytest.mark.parametrize(("names", "wanted"), [("other", False), ("other,aiterfix", True)])
def test_the_allow_list_of_the_host_is_respected(
    installed: World, host: str, variable: str, names: str, wanted: bool
) -> None:
    text, _, _, standing = installed.answer(f"import {host}_like as h\nh.load()\n{IMPORT}", **{variable: names})
    assert standing is wanted
    assert (BOUND in text) is wanted


def test_vllms_log_has_one_line(installed: World) -> None:
    done = installed.run(f"import vllm_like as h\nh.logging_as_in_vllm()\nh.load()\nh.load()\n{IMPORT}")
    lines = [line for line in done.stderr.splitlines() if line.startswith("VLLM INFO")]
    assert len(lines) == 1
    assert GLUON in lines[0] and "by vllm" in lines[0] and "[aiterfix]" in lines[0]


def test_a_warning_is_shown_in_vllms_log_once_and_nowhere_else(installed: World) -> None:
    done = installed.run(
        f"import vllm_like as h\nh.logging_as_in_vllm()\nh.load()\n{IMPORT}",
        AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS="1",
    )
    assert done.stderr.count("runs unpatched") == 1
    assert "VLLM WARNING [aiterfix]" in done.stderr


STUBBORN = f"import {WRAPPER} as w; kept = [w._gluon_deepgemm_fp8_paged_mqa_logits]"


def test_require_ends_vllms_process_by_an_exception(installed: World) -> None:
    done = installed.attempt(f"{STUBBORN}\nimport vllm_like as h\nh.load()\nprint('went on')", AITERFIX="require")
    assert done.returncode == 1
    assert "UnpatchedKernelError" in done.stderr
    assert "went on" not in done.stdout


@pytest.mark.parametrize("thread", [False, True])
def test_require_ends_sglangs_process_although_its_loader_swallows_exceptions(installed: World, thread: bool) -> None:
    load = "import threading; t = threading.Thread(target=h.load); t.start(); t.join()" if thread else "h.load()"
    script = f"{STUBBORN}\nimport sglang_like as h\n{load}\nprint('went on', flush=True)"
    done = installed.attempt(script, AITERFIX="require")
    assert done.returncode == 3
    assert "AITERFIX=require forbids that" in done.stderr
    assert "went on" not in done.stdout
    assert "went on" in installed.run(script).stdout
