"""Whether an engine loads the plugin: by metadata beside it, and by how each engine reads its variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiterfix.importing.allowlists import plugin_state
from aiterfix.installation.view import View
from tests.trees import write

POINTS = "[vllm.general_plugins]\naiterfix = x:vllm\n\n[sglang.srt.plugins]\naiterfix = x:sglang\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    write(tmp_path / "aiterfix-0.1.0.dist-info/entry_points.txt", POINTS)
    return tmp_path


@pytest.mark.parametrize(
    ("engine", "environment", "loaded", "why"),
    [
        ("vllm", {}, True, "VLLM_PLUGINS is unset"),
        ("vllm", {"VLLM_PLUGINS": "aiterfix"}, True, "VLLM_PLUGINS allows it"),
        ("vllm", {"VLLM_PLUGINS": "other,aiterfix"}, True, "VLLM_PLUGINS allows it"),
        ("vllm", {"VLLM_PLUGINS": "other"}, False, "VLLM_PLUGINS=other leaves aiterfix out"),
        # vLLM takes the names as they stand, and an empty value for no plugin.
        ("vllm", {"VLLM_PLUGINS": "other, aiterfix"}, False, "VLLM_PLUGINS=other, aiterfix leaves aiterfix out"),
        ("vllm", {"VLLM_PLUGINS": ""}, False, "VLLM_PLUGINS= leaves aiterfix out"),
        ("vllm", {"SGLANG_PLUGINS": "other"}, True, "VLLM_PLUGINS is unset"),
        ("sglang", {}, True, "SGLANG_PLUGINS is unset"),
        ("sglang", {"SGLANG_PLUGINS": ""}, True, "SGLANG_PLUGINS allows it"),
        ("sglang", {"SGLANG_PLUGINS": "other, aiterfix"}, True, "SGLANG_PLUGINS allows it"),
        ("sglang", {"SGLANG_PLUGINS": "other"}, False, "SGLANG_PLUGINS=other leaves aiterfix out"),
        ("sglang", {"SGLANG_PLUGINS": ","}, False, "SGLANG_PLUGINS=, leaves aiterfix out"),
        ("atom", {}, False, "atom loads no plugins of its own"),
    ],
)
def test_by_the_allow_list(site: Path, engine: str, environment: dict[str, str], loaded: bool, why: str) -> None:
    state = plugin_state(engine, [site], View(), environment)
    assert (state.loaded, state.why) == (loaded, why)


def test_by_the_metadata_beside_the_engine(site: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert plugin_state("vllm", [elsewhere], View(), {}).why == "aiterfix is not installed beside it"
    assert plugin_state("vllm", [elsewhere / "nowhere", elsewhere, site], View(), {}).loaded
    write(elsewhere / "aiterfix-0.0.1.dist-info/entry_points.txt", "[console_scripts]\naiterfix = x:main\n")
    assert not plugin_state("vllm", [elsewhere], View(), {}).loaded, "a version without plugins"
    write(elsewhere / "aiterfix_other-1.dist-info/entry_points.txt", POINTS)
    assert not plugin_state("vllm", [elsewhere], View(), {}).loaded


def test_the_groups_are_those_that_this_package_declares() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for group in ("vllm.general_plugins", "sglang.srt.plugins"):
        assert f'[project.entry-points."{group}"]\naiterfix = ' in text
