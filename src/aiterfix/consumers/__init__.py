"""Installed vLLM and SGLang: what they allocate for, and pass to, aiter's paged-MQA-logits kernels; never imported.

    find_consumers(discovery)   packages, where the search for aiter has looked
    read_consumer(found)        their calls of `deepgemm_fp8_paged_mqa_logits[_stage1]`, found by name, anywhere
    judge_pair(...)             what that means for one aiter installation and one operator

How a call is read: ``program`` parses, ``interpret`` follows the statements around a call with symbolic ``values``
(``expressions``, and ``tensors`` for shapes and strides), ``origins`` traces the width from caller to caller up to the
configuration, ``read`` puts it together. ``pairing`` judges; ``needs`` asks `aiterfix.padding` how many columns
the installed kernels need.
"""

from __future__ import annotations

from aiterfix.consumers.locate import CONSUMERS, Found, find_consumers
from aiterfix.consumers.model import Call, Consumer, Entry, Known, RunTime, Setting, Unknown, Width, WidthKind

__all__ = [
    "CONSUMERS",
    "Call",
    "Consumer",
    "Entry",
    "Found",
    "Known",
    "RunTime",
    "Setting",
    "Unknown",
    "Width",
    "WidthKind",
    "find_consumers",
    "read_consumer",
]


def read_consumer(found: Found) -> Consumer:
    """Read a consumer's calls from its source. Takes seconds on the real packages (thousands of files)."""
    from aiterfix.consumers.read import read_calls

    calls, doubts = read_calls(found.package, found.image_root)
    return Consumer(found.name, found.version, found.package, calls, doubts)
