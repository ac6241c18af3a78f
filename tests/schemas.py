"""JSON that commands print, held to the schemas that the package has."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

import jsonschema
import pytest


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads(resources.files("aiterfix").joinpath(f"schemas/{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def read(text: str | bytes, schema: str) -> Any:
    """What a text says, which the named schema takes and every parser of JSON reads."""
    said = json.loads(text, parse_constant=pytest.fail)
    _validator(schema).validate(said)
    return said
