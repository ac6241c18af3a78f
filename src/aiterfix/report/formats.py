"""One interface for every form in which a command shows its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, Protocol, TypeVar

from aiterfix.errors import UsageError
from aiterfix.report.document import Body, dump
from aiterfix.report.page import Page
from aiterfix.storage.record import record

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Format(Protocol[T_contra]):
    """A form of a result."""

    def render(self, result: T_contra, /) -> str:
        """What is printed on stdout, the last line end included."""


@record(frozen=True)
class Text(Generic[T]):
    """A form for people: plain text, or Markdown.

    Attributes:
        page: makes its rows.
    """

    page: Callable[[T], Page]

    def render(self, result: T, /) -> str:
        """See `Format`."""
        return str(self.page(result))


@record(frozen=True)
class Json(Generic[T]):
    """The command's one JSON object.

    Attributes:
        body: makes the body that the command's types describe.
    """

    body: Callable[[T], Body]

    def render(self, result: T, /) -> str:
        """See `Format`."""
        return dump(self.body(result))


TEXT = "text"


def choose(formats: Mapping[str, Format[T]], asked: Mapping[str, object]) -> Format[T]:
    """The form that was asked for; text where none was. See `name_of`."""
    return formats[name_of(formats, asked)]


def name_of(formats: Iterable[str], asked: Mapping[str, object]) -> str:
    """Which form was asked for; text where none was.

    Args:
        formats: names of the options that ask for one (``json``), and of what ``format`` may be.
        asked: the command line's options by name.

    Raises:
        UsageError: two were asked for, and stdout holds one.
    """
    options = {name: f"--{name}" for name in formats if asked.get(name)}
    stated = asked.get("format")
    if isinstance(stated, str):
        options.setdefault(stated, f"--format {stated}")
    if len(options) > 1:
        raise UsageError(f"{' and '.join(options.values())} cannot both be printed", remedy="Give one of them.")
    return next(iter(options), TEXT)
