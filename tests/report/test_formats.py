from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from aiterfix.errors import UsageError
from aiterfix.report.document import Body
from aiterfix.report.formats import Format, Json, Text, choose


@dataclass(frozen=True)
class Number(Body):
    command = "demo"

    number: int


FORMATS: dict[str, Format[int]] = {
    "json": Json(Number),
    "sarif": Text(lambda n: f"sarif {n}\n"),
    "text": Text(lambda n: f"{n} for people\n"),
}


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({}, "3 for people\n"),
        ({"json": False, "sarif": False, "other": True}, "3 for people\n"),
        ({"sarif": True}, "sarif 3\n"),
    ],
)
def test_the_form_asked_for(asked: dict[str, object], shown: str) -> None:
    assert choose(FORMATS, asked).render(3) == shown


def test_json_is_the_commands_object() -> None:
    made = json.loads(choose(FORMATS, {"json": True}).render(3))
    assert (made["command"], made["number"], set(made)) == ("demo", 3, {"schema_version", "command", "number"})


def test_two_forms_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--json and --sarif cannot both be printed"):
        choose(FORMATS, {"json": True, "sarif": True})
