"""Where commands write: one object on stdout under ``--json``, text for people otherwise.

Text for people goes out as a `Page`, whose rows cannot hold a line end or an escape; everything else is JSON, or a
diff, which are safe by their own quoting. A report that cannot be written is never taken for one that was: whatever
stdout does, the command ends with `OutputError`, which says what was done by then.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from aiterfix.errors import AiterfixError, EnvironmentProblem
from aiterfix.report.document import Body, ErrorReport, dump, encode, envelope
from aiterfix.report.page import Page
from aiterfix.report.terminal import Kept
from aiterfix.storage.files import write_report as write_report_file

_lost: list[TextIO] = []
_done: list[str] = []


class OutputError(EnvironmentProblem):
    """stdout takes no more.

    Attributes:
        quiet: whether nobody needs to be told: a reader such as ``head`` has gone away and nothing was changed, or it
            was said before.
    """

    code = "output"

    def __init__(self, failure: Exception, *, again: bool) -> None:
        reason = getattr(failure, "strerror", None) or str(failure)
        done = "".join(f"{what}; " for what in _done)
        super().__init__(f"{done}the report could not be written to stdout: {reason}")
        self.quiet = again or (isinstance(failure, BrokenPipeError) and not _done)


class OutputFileError(EnvironmentProblem):
    """The file that was named for a report cannot be written."""

    code = "output"

    def __init__(self, path: Path, failure: Exception) -> None:
        super().__init__(
            f"the report could not be written to {path}",
            why=getattr(failure, "strerror", None) or str(failure),
            remedy="Name a file in a folder that exists and may be written, or leave out --output.",
        )


class _Closed(io.TextIOBase):
    """In the place of a stream that the process was started without."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Refused, as the system would."""
        raise OSError(errno.EBADF, "it is closed")


def prepare() -> None:
    """Make the standard streams fit to be written to. Whatever a path or a text holds, it can be encoded."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Otherwise the next file that is opened, such as a kernel's, would be what others take for stderr.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = _Closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")


def did(what: str) -> None:
    """Note something that has been changed, for the case that the report on it is not written, or not reached.

    Args:
        what: a clause, such as "two files were patched".
    """
    _done.append(what)


def begin() -> None:
    """Forget what an earlier command of this process did."""
    _done.clear()


def write(page: Page) -> None:
    """Text for people on stdout.

    Raises:
        OutputError: it cannot be written.
    """
    if not isinstance(page, Page):
        raise TypeError("only pages are written, whose rows are made printable")
    write_escaped(str(page))


def write_escaped(text: str) -> None:
    """JSON, or a page of `aiterfix.report.html`, on stdout: they hold names as escapes.

    Raises:
        OutputError: it cannot be written.
    """
    if text:
        _attempt(lambda: sys.stdout.write(text))


@contextmanager
def into(path: Path | None) -> Iterator[None]:
    """Have what is written inside go to a file, whole or not at all, in place of stdout.

    Args:
        path: the file; None, or ``-``, for stdout itself.

    Raises:
        OutputFileError: it cannot be written.
    """
    if path is None or str(path) == "-":
        yield
        return
    kept = Kept()
    with redirect_stdout(kept):
        yield
    try:
        write_report_file(path, kept.getvalue().encode("utf-8", "backslashreplace"))
    except (OSError, ValueError) as failure:
        raise OutputFileError(path, failure) from failure


def write_bytes(data: bytes) -> None:
    """Bytes on stdout as they are: diffs of files in any encoding.

    Raises:
        OutputError: they cannot be written.
    """

    def act() -> None:
        sys.stdout.flush()
        if isinstance(sys.stdout, _Closed):
            sys.stdout.write("")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    if data:
        _attempt(act)


def flush() -> None:
    """Bring what was written to its reader.

    Raises:
        OutputError: it cannot be written.
    """
    _attempt(sys.stdout.flush)


def _attempt(act: Any) -> None:
    again = any(stream is sys.stdout for stream in _lost)
    try:
        if again:
            raise OSError(errno.EIO, "it could not be written before")
        act()
    except (OSError, ValueError) as failure:  # ValueError: a stream that was closed
        if not again:
            _lost[:] = [sys.stdout]
            _discard(sys.stdout)
        raise OutputError(failure, again=again) from None


def _discard(stream: TextIO) -> None:
    """Have what a stream still holds go nowhere: Python would complain of it at exit, with a status of its own."""
    try:
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
    except (OSError, ValueError):
        return  # no stream of the system's


def note(*rows: str) -> None:
    """Lines for people on stderr. Where nobody can be told, the exit status speaks alone."""
    try:
        sys.stderr.write(str(Page(rows)))
        sys.stderr.flush()
    except (OSError, ValueError):
        _discard(sys.stderr)


def write_report(body: Body) -> None:
    """The one object of a command."""
    write_escaped(dump(body))


def write_error(command: str, error: AiterfixError, *, as_json: bool) -> None:
    """An error: an object on stdout under ``--json``, else text on stderr."""
    if isinstance(error, OutputError):
        if not error.quiet:
            note(*_error_rows(error))
        return
    if _done:
        error.what = f"{error.what.rstrip('.')}. Done before that: {'; '.join(_done)}."
    if as_json:
        write_escaped(envelope(command, {"error": encode(ErrorReport.of(error))}))
        flush()
    else:
        note(*_error_rows(error))


def _error_rows(error: AiterfixError) -> list[str]:
    """What, why and what to do, a row each. A compiler's last words keep their lines, set in so that none of them can
    be taken for one of ours."""
    rows = [f"aiterfix: error: {error.what}"]
    for name, text in (("Why", error.why), ("What to do", error.remedy)):
        first, *more = text.split("\n")
        rows += [f"{name}: {first}", *(f"  | {line}" for line in more)] if text else []
    return rows
