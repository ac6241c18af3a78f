"""Whether an engine loads this package as a plugin: its entry point, and the variable that restricts plugins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from aiterfix.installation.view import View
from aiterfix.storage.record import record

PLUGIN = "aiterfix"
GROUPS = {"vllm": ("vllm.general_plugins", "VLLM_PLUGINS"), "sglang": ("sglang.srt.plugins", "SGLANG_PLUGINS")}
"""Entry point group and allow-list, by engine. ATOM has neither."""


@record(frozen=True)
class PluginState:
    """What an engine's processes do about this package."""

    loaded: bool
    why: str


def plugin_state(engine: str, folders: Iterable[Path], view: View, environment: Mapping[str, str]) -> PluginState:
    """Whether an engine that is started here loads the plugin.

    Args:
        engine: ``vllm``, ``sglang`` or ``atom``.
        folders: the engine's import path.
        environment: that the engine is started with.
    """
    if engine not in GROUPS:
        return PluginState(False, f"{engine} loads no plugins of its own")
    group, variable = GROUPS[engine]
    if not any(_declares(folder, group, view) for folder in folders):
        return PluginState(False, "aiterfix is not installed beside it")
    stated = environment.get(variable)
    if not _allows(engine, stated):
        return PluginState(False, f"{variable}={stated} leaves aiterfix out")
    return PluginState(True, f"{variable} {'is unset' if stated is None else 'allows it'}")


def _allows(engine: str, stated: str | None) -> bool:
    """As each engine reads its variable: vLLM takes names as they stand, and an empty value for no plugin at all."""
    if stated is None:
        return True
    if engine == "vllm":
        return PLUGIN in stated.split(",")
    names = {name.strip() for name in stated.split(",")} - {""}
    return not stated or PLUGIN in names


def _declares(folder: Path, group: str, view: View) -> bool:
    """Whether metadata in a folder has the entry point."""
    try:
        names = view.names(folder)
    except OSError:
        return False
    for name in names:
        if name.startswith(f"{PLUGIN}-") and name.endswith(".dist-info"):
            text = view.text(folder / name / "entry_points.txt") or b""
            if f"[{group}]".encode() in text:
                return True
    return False
