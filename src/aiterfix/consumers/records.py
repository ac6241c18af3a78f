"""Calls that are of interest, and places where a kernel's wrapper goes out of sight, as noted."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiterfix.consumers.program import Function, Source
from aiterfix.consumers.state import Arguments


@dataclass(frozen=True)
class Record:
    """A call that is of interest.

    Attributes:
        name: of the function called: an entry point's, or one that was watched for.
        source: the module that it stands in.
        line: its line.
        function: the function that it stands in.
        root: the function whose parameters the arguments are stated in.
        arguments: every value that each argument may have.
        bound: arguments that a ``partial`` put in front.
    """

    name: str
    source: Source = field(hash=False, compare=False)
    line: int
    function: str
    root: Function | None = field(hash=False, compare=False)
    arguments: Arguments = field(hash=False, compare=False)
    inlined: bool
    supposed: bool
    """Noted where an inner function is defined, before anything calls it."""
    callee: str | None = None
    """Identity of the function called, where it is known; otherwise the name is all that speaks for it."""
    on_object: bool = False
    """Called as a method of an object."""


@dataclass(frozen=True)
class Escape:
    """A place where an entry point goes out of sight."""

    name: str
    line: int
    function: str
    reason: str
