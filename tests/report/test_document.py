from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from aiterfix.errors import ExitCode, UsageError
from aiterfix.report import document
from aiterfix.report.document import Body, ErrorReport, dump, encode, envelope, version_of


class Colour(str, Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    path: Path
    said: str | None


@dataclass(frozen=True)
class Outer(Body):
    command = "upstream scan"

    inner: tuple[Inner, ...]
    nothing: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("x", "x"),
        (Colour.RED, "red"),
        (ExitCode.USAGE, 2),
        (Path("/a/b"), "/a/b"),
        ((1, (2,)), [1, [2]]),
        ([Path("a")], ["a"]),
        ({"k": Colour.BLUE}, {"k": "blue"}),
        (Inner(Path("p"), None), {"path": "p", "said": None}),
    ],
)
def test_a_value_becomes(value: object, plain: Any) -> None:
    made = encode(value)
    assert made == plain
    assert type(made) is type(plain)
    assert json.loads(json.dumps(made)) == plain


@pytest.mark.parametrize("value", [{1}, b"x", object(), Inner, 1j])
def test_what_has_no_json_form_is_refused_and_not_made_up(value: object) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        encode(value)


def test_an_object_starts_with_its_version_and_command_and_leaves_nothing_out() -> None:
    made = json.loads(dump(Outer((Inner(Path("p"), None),))))
    assert list(made) == ["schema_version", "command", "inner", "nothing"]
    assert made["command"] == "upstream scan"
    assert made["inner"] == [{"path": "p", "said": None}]
    assert made["nothing"] == []


def test_versions_are_of_each_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(document.VERSIONS, "upstream", 7)
    assert version_of("upstream scan") == 7
    assert json.loads(dump(Outer(())))["schema_version"] == 7
    error = encode(ErrorReport.of(UsageError("a", remedy="b")))
    assert json.loads(envelope("upstream", {"error": error})) == {
        "schema_version": 7,
        "command": "upstream",
        "error": {"code": "usage", "what": "a", "why": "", "remedy": "b", "exit_code": 2},
    }
    assert version_of("no-such-command") == 1
