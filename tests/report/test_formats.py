from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from aiterfix.errors import UsageError
from aiterfix.report.document import Body
from aiterfix.report.formats import Format, Json, Text, choose
from aiterfix.report.page import Page


@dataclass(frozen=True)
class Number(Body):
    command = "demo"

    number: int


FORMATS: dict[str, Format[int]] = {
    "json": Json(Number),
    "markdown": Text(lambda n: Page([f"# {n}"])),
    "text": Text(lambda n: Page([f"{n} for people"])),
}


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({}, "3 for people\n"),
        ({"json": False, "markdown": False, "other": True}, "3 for people\n"),
        ({"markdown": True}, "# 3\n"),
    ],
)
def test_the_form_asked_for(asked: dict[str, object], shown: str) -> None:
    assert choose(FORMATS, asked).render(3) == shown


def test_json_is_the_commands_object() -> None:
    made = json.loads(choose(FORMATS, {"json": True}).render(3))
    assert (made["command"], made["number"], set(made)) == ("demo", 3, {"schema_version", "command", "number"})


def test_two_forms_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--json and --markdown cannot both be printed"):
        choose(FORMATS, {"json": True, "markdown": True})
