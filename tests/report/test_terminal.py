from __future__ import annotations

import io
import os
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from aiterfix.report import terminal
from aiterfix.report.page import line
from aiterfix.report.terminal import colour, hanging, redraws, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 99


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 30 columns."""
    # pytest puts a `sys.stdout` of its own in place between fixture and test
    monkeypatch.setattr(terminal, "sys", SimpleNamespace(stdout=Terminal()))
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((30, 10)))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize(
    ("rows", "right", "lines"),
    [
        ([("a", "b")], (), ["a  b"]),
        ([("name", "n"), ("x", "10")], (), ["name  n", "x     10"]),
        ([("name", "n"), ("x", "10")], (1,), ["name   n", "x     10"]),
        (
            [("a", "b", "c"), ("aa", "all that is left of the line")],
            (1, 2),
            ["a   b  c", "aa  all that is left of the line"],
        ),
        ([("a", ""), ("b", "")], (), ["a", "b"]),
    ],
)
def test_a_column_is_as_wide_as_its_widest_cell(
    rows: list[Sequence[str]], right: Sequence[int], lines: list[str]
) -> None:
    assert table(rows, right=right) == lines


def test_elsewhere_than_on_a_terminal_a_row_is_one_line() -> None:
    assert table([("x" * 300, "y" * 300)]) == ["x" * 300 + "  " + "y" * 300]


@pytest.mark.usefixtures("narrow")
def test_on_a_terminal_the_widest_column_is_broken_at_blanks() -> None:
    lines = table([("line", "message", "n"), ("12", "one two three four five six seven", "7")])
    assert lines == [
        "line  message                n",
        "12    one two three four     7",
        "      five six seven",
    ]
    assert all(len(line) <= 30 for line in lines)


@pytest.mark.usefixtures("narrow")
def test_nothing_is_lost_where_it_cannot_fit() -> None:
    rows = [tuple("abcdefghijklmnopqrstuvwxyz" for _ in range(5))]
    lines = table(rows)
    assert "".join("".join(lines).split()).count("m") == 5
    assert len(lines) == 3


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("NO_COLOR", "0"), ("TERM", "dumb")])
def test_colour_is_for_terminals_that_want_it(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert line((colour("x", "31"),)) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv(name, value)
    assert line((colour("x", "31"),)) == "x"


@pytest.mark.usefixtures("narrow")
def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    assert line((colour("x", "31"),)) == "\x1b[31mx\x1b[0m"


def test_elsewhere_there_is_no_colour_but_where_it_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(terminal, "sys", SimpleNamespace(stdout=io.StringIO()))
    assert line((colour("x", "31"),)) == "x"
    monkeypatch.setenv("FORCE_COLOR", "")
    assert line((colour("x", "31"),)) == "x"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert line((colour("x", "31"),)) == "\x1b[31mx\x1b[0m"
    monkeypatch.setattr(terminal, "sys", SimpleNamespace(stdout=terminal.Kept()))
    assert line((colour("x", "31"),)) == "x", "a file is no terminal, whoever forces it"
    monkeypatch.setattr(terminal, "sys", SimpleNamespace(stdout=io.StringIO()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert line((colour("x", "31"),)) == "x"


def test_a_line_is_written_over_on_a_terminal_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert redraws(Terminal()) and not redraws(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not redraws(Terminal())


@pytest.mark.usefixtures("narrow")
def test_text_behind_a_head_is_set_in() -> None:
    assert hanging("next:  ", "one two three four five six seven") == [
        "next:  one two three four five",
        "       six seven",
    ]


@pytest.mark.usefixtures("narrow")
def test_names_and_paths_are_not_broken() -> None:
    path = "/opt/venv/lib/python3.12/site-packages/aiter"
    assert hanging("aiter  ", f"in {path}: empty-sequence-schedule") == [
        "aiter  in",
        f"       {path}:",
        "       empty-sequence-schedule",
    ]
    assert table([("what",), ("a fault: empty-sequence-schedule",)]) == ["what", "a fault:", "empty-sequence-schedule"]


def test_text_behind_a_head_is_one_line_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "sys", SimpleNamespace(stdout=io.StringIO()))
    assert hanging("next:  ", "word " * 80 + "end") == ["next:  " + "word " * 80 + "end"]


@pytest.mark.usefixtures("narrow")
def test_a_table_that_is_set_in_fits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("line", "message"), ("12", "one two three four five six seven")]
    assert max(map(len, table(rows, indent=4))) <= 30
    # A terminal that does not say how wide it is answers 0.
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((0, 0)))
    assert table(rows, indent=4)[1] == "    12    one two three four five six seven"
