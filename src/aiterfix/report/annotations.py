"""What `aiterfix check` found as annotations of a GitHub workflow: one a fault and file, at its first place.

GitHub shows few annotations of a step, and one on every store would hide the next fault. The form is that of workflow
commands: ``::error file=…,line=…,title=…::message``.
"""

from __future__ import annotations

from pathlib import Path

from aiterfix.judge.verdict import Verdict
from aiterfix.judge.whole import Whole
from aiterfix.report.advice import meaning
from aiterfix.report.page import Page
from aiterfix.report.sarif import NOT_UNDERSTOOD, places


def check_annotations(whole: Whole, workspace: Path) -> Page:
    """The report of ``aiterfix check --format github``.

    Args:
        workspace: the checkout that the annotations are to be shown in.
    """
    found: dict[tuple[str, Path], list[tuple[int, str, bool]]] = {}
    for judgement in whole.live:
        assert judgement.installation is not None
        for place in places(judgement):
            path = judgement.installation.root / place.relative
            found.setdefault((place.rule, path), []).append((place.line, place.message, place.asked))
    rows = [_annotation(rule, path, seen, workspace) for (rule, path), seen in found.items()]
    rows += [_command("warning", "could not be read", f"{s.path}: {s.reason}") for s in whole.discovery.doubts]
    if whole.verdict is not Verdict.CLEAN and not rows:
        rows.append(_command("error", "aiterfix check", f"{whole.verdict.value}: {meaning(whole) or 'see the log'}"))
    return Page(rows)


def _annotation(rule: str, path: Path, seen: list[tuple[int, str, bool]], workspace: Path) -> str:
    asked = any(decides for _, _, decides in seen)
    level = "notice" if not asked else "warning" if rule == NOT_UNDERSTOOD else "error"
    line, message, _ = min(seen, key=lambda place: (not place[2], place[0]))
    more = f" (and {len(seen) - 1} more places in this file)" if len(seen) > 1 else ""
    if path.is_relative_to(workspace):
        return _command(level, rule, message + more, path.relative_to(workspace).as_posix(), max(line, 1))
    return _command(level, rule, f"{path}:{line}: {message}{more}")


def _command(level: str, title: str, message: str, file: str = "", line: int = 0) -> str:
    where = f"file={_escaped(file, ':,')},line={line}," if file else ""
    return f"::{level} {where}title={_escaped(title, ':,')}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    """Text as a workflow command has it: nothing in it ends the command or begins another."""
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" or c in more else c for c in text)
