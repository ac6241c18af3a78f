"""A launch of a kernel, as it was found or recorded. Apart from `entries`, which finds them: every process with the
import hook loads this.
"""

from __future__ import annotations

import ast
from dataclasses import field

from aiterfix.storage.record import record


@record(frozen=True)
class KernelLaunch:
    """A place where a function launches a kernel, or hands it on.

    Attributes:
        kernel: its name.
        entry: the function; empty at module level.
        line: 1-based.
        told: whether the launch hands the size of a block on.
        refused: whether the function raises first where a block holds more than one token.
        asserted: whether that is an assertion, which Python leaves out where it optimises.
        function: the function's definition; None at module level, and where this was recorded.
        about: what it is asked about: the code of the finding that its refusal answers; empty for blocks.
        refusable: whether the function is handed, by a name that is known, what a refusal would have to test.
    """

    kernel: str
    entry: str
    line: int
    told: bool
    refused: bool
    asserted: bool = False
    function: ast.FunctionDef | None = field(repr=False, compare=False, default=None)
    about: str = ""
    refusable: bool = False
