"""The contract of vLLM's and SGLang's plugin loaders, in our own words; the real ones are exercised elsewhere.

Both go through the entry points of a group, leave out what an allow-list in the environment does not name, load
the rest, then call each. A failure to load is logged. vLLM lets a plugin's exception through; SGLang logs it.
"""

from __future__ import annotations

VLLM = '''
import logging, os
from importlib.metadata import entry_points

logger = logging.getLogger("vllm.plugins")


def load(again=False):
    allowed = os.environ["VLLM_PLUGINS"].split(",") if "VLLM_PLUGINS" in os.environ else None
    chosen = []
    for point in entry_points(group="vllm.general_plugins"):
        if allowed is None or point.name in allowed:
            try:
                chosen.append(point.load())
            except Exception:
                logger.exception("Failed to load plugin %s", point.name)
    for plugin in chosen:
        plugin()


def logging_as_in_vllm():
    """Handlers for ``vllm`` alone, which does not propagate; the root logger is left as it is."""
    mine = logging.getLogger("vllm")
    mine.setLevel(logging.INFO)
    mine.propagate = False
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("VLLM %(levelname)s [%(name)s] %(message)s"))
    mine.addHandler(handler)
'''

SGLANG = """
import logging, os
from importlib.metadata import entry_points

logger = logging.getLogger("sglang.srt.plugins")


def load():
    text = os.environ.get("SGLANG_PLUGINS")
    allowed = {x.strip() for x in text.split(",") if x.strip()} if text else None
    for point in entry_points(group="sglang.srt.plugins"):
        if allowed is not None and point.name not in allowed:
            continue
        try:
            plugin = point.load()
            plugin()
        except Exception:
            logger.exception("Failed to execute general plugin: %s", point.name)
"""
