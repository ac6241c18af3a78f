"""Installed vLLM, SGLang and ATOM: what they pass to aiter's paged-MQA-logits kernels; never imported.

    find_consumers(discovery)   packages, where the search for aiter has looked
    read_consumer(found)        their calls of the wrapper's functions, and other ways to its kernels
    judge_pair(...)             what that means for one aiter installation and one operator

The rooms, in the order in which a call goes through them:

    bounds     how much is looked into, and said
    locate     finds the packages
    package    searches their files as text, and parses those that matter
    uses       every mention of a function: a call, another name for it, or not understood
    trace      what an expression can be; ``values`` are its numbers, ``tensors`` its rows and columns. It asks
    flow       which binding of a local name a use may see, and whether what it names is left alone,
    callers    who calls the function at hand, and with what,
    attributes what an attribute can be, of all that ``names`` finds stored under its name
    read       puts it together: one ``model.Call`` a call
    pairing    judges; ``needs`` asks `aiterfix.advice.padding` how many columns the installed kernels need

What is not read off plainly is unknown, with the reason; what may change what was read stands beside it as a condition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiterfix.engines.locate import CONSUMERS, Found, find_consumers

# `check` looks for engines always, and reads them only where it is asked to.
if TYPE_CHECKING:
    from aiterfix.engines.model import Consumer

__all__ = ["CONSUMERS", "Found", "find_consumers", "read_consumer"]


def read_consumer(found: Found) -> Consumer:
    """Read a consumer's calls from its source."""
    from aiterfix.engines.model import Consumer
    from aiterfix.engines.read import read_calls

    calls, doubts = read_calls(found.package, found.image_root)
    return Consumer(found.name, found.version, found.package, calls, doubts)
