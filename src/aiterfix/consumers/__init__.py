"""Installed vLLM and SGLang: what they allocate for, and pass to, aiter's paged-MQA-logits kernels; never imported.

    find_consumers(discovery)   packages, where the search for aiter has looked
    read_consumer(found)        their calls of `deepgemm_fp8_paged_mqa_logits[_stage1]`, found by name, anywhere
    judge_pair(...)             what that means for one aiter installation and one operator

The rooms, in the order in which a call goes through them:

    locate        finds the packages
    program       parses their files when asked; functions, classes, imports; ``syntax``: small questions about source
    interpret     follows functions with symbolic ``values``, and notes the calls of interest as ``records``; its parts:
        control       branches, loops, exceptions          assignments   names, attributes, items given a meaning
        functions     functions of the package entered     calls         a call as an expression, built-in functions
        expressions   literals, operators, conditions      subscripts    ``a.b`` and ``a[b]``; ``arithmetic``
        objects       globals, attributes, caches          notes         calls noted, wrappers that go out of sight
        tensors       what torch makes of shapes and strides
        state         what names mean at one point         core          what these parts expect of each other
    origins       traces the width from caller to caller, up to the configuration
    read          puts it together: one ``model.Call`` a call
    pairing       judges; ``needs`` asks `aiterfix.padding` how many columns the installed kernels need
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiterfix.consumers.locate import CONSUMERS, Found, find_consumers

# `check` looks for engines always, and reads them only where it is asked to.
if TYPE_CHECKING:
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
    from aiterfix.consumers.model import Consumer
    from aiterfix.consumers.read import read_calls

    calls, doubts = read_calls(found.package, found.image_root)
    return Consumer(found.name, found.version, found.package, calls, doubts)


def __getattr__(name: str) -> Any:
    if name in __all__:
        from aiterfix.consumers import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
