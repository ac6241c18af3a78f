from __future__ import annotations

import pytest

from aiterfix.cli.arguments import form_asked
from aiterfix.errors import UsageError

FORMS = ("text", "json", "markdown")


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        ({}, "text"),
        ({"json": False, "markdown": False, "other": True}, "text"),
        ({"markdown": True}, "markdown"),
        ({"format": "json", "json": True}, "json"),
    ],
)
def test_the_form_asked_for(asked: dict[str, object], form: str) -> None:
    assert form_asked(FORMS, asked) == form


def test_two_forms_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--json and --markdown cannot both be printed"):
        form_asked(FORMS, {"json": True, "markdown": True})
