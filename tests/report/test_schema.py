"""Schemas made from types: what each kind of type becomes, and that the files checked in are these."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest

from aiterfix.cli.main import COMMANDS
from aiterfix.report.document import VERSIONS, Body, Limits, version_of
from aiterfix.report.schema import FOLDER, _Types, document, generated

AGAIN = "write them again: python -m aiterfix.report.schema"


class Colour(str, Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Part:
    """A part. More of it."""

    size: int


@dataclass(frozen=True)
class Whole:
    """A whole.

    Attributes:
        parts: what it is
            made of.
        name: as people say it.
    """

    parts: tuple[Part, ...]
    name: str


@dataclass(frozen=True)
class Larger(Whole):
    """A whole with more.

    Attributes:
        name: another word for it.
    """

    more: bool


class SampleBody(Body):
    command = "upstream scan"


@dataclass(frozen=True)
class One(SampleBody):
    """One kind."""

    a: int


@dataclass(frozen=True)
class Two(SampleBody):
    """Another kind."""

    b: str


def test_the_files_checked_in_are_those_made_from_the_types() -> None:
    made = generated()
    assert {p.name for p in FOLDER.iterdir()} == {*made}, AGAIN
    for name, text in made.items():
        assert (FOLDER / name).read_bytes().decode() == text, AGAIN


def test_every_command_that_prints_json_has_a_version_and_a_schema() -> None:
    assert set(VERSIONS) == set(COMMANDS) - {"run"}
    assert set(VERSIONS) == {p.stem.partition("-")[0] for p in FOLDER.iterdir()}


@pytest.mark.parametrize("name", sorted(generated()))
def test_they_are_schemas(name: str) -> None:
    import json

    schema = json.loads(generated()[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert not jsonschema.Draft202012Validator(schema).is_valid({})


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (bool, {"type": "boolean"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (Path, {"type": "string"}),
        (type(None), {"type": "null"}),
        (int | None, {"type": ["integer", "null"]}),
        (Colour, {"enum": ["red", "blue"]}),
        (Colour | None, {"enum": ["red", "blue", None]}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Literal["a"], {"const": "a"}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (tuple[str, ...] | None, {"type": ["array", "null"], "items": {"type": "string"}}),
        (list[Path], {"type": "array", "items": {"type": "string"}}),
        (Mapping[str, bool | None], {"type": "object", "additionalProperties": {"type": ["boolean", "null"]}}),
        (Annotated[int, Limits(minimum=1)], {"type": "integer", "minimum": 1}),
        (Annotated[int, Limits(minimum=1)] | None, {"type": ["integer", "null"], "minimum": 1}),
        (Annotated[str, Limits(enum=["x"])], {"enum": ["x"]}),
        (Part, {"$ref": "#/$defs/Part"}),
        (Part | None, {"anyOf": [{"$ref": "#/$defs/Part"}, {"type": "null"}]}),
    ],
)
def test_a_type_becomes(hint: Any, schema: dict[str, Any]) -> None:
    assert _Types().of(hint) == schema


@pytest.mark.parametrize("hint", [bytes, object, tuple[int, str], tuple[int], dict[int, str], set[int], complex])
def test_a_type_without_a_json_form_is_refused(hint: Any) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        _Types().of(hint)


def test_a_dataclass_becomes_an_object_of_exactly_its_fields_with_what_is_said_of_them() -> None:
    made = _Types()
    assert made.object(Larger) == {
        "description": "A whole with more",
        "type": "object",
        "additionalProperties": False,
        "required": ["parts", "name", "more"],
        "properties": {
            "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "description": "what it is made of"},
            "name": {"type": "string", "description": "another word for it"},
            "more": {"type": "boolean"},
        },
    }
    assert list(made.definitions) == ["Part"]
    assert made.definitions["Part"]["required"] == ["size"]


def test_two_types_of_one_name_are_refused() -> None:
    @dataclass(frozen=True)
    class Other:
        size: int

    Other.__name__ = "Part"
    made = _Types()
    made.of(Other)
    with pytest.raises(TypeError, match="both have a Part"):
        made.of(Part)


@pytest.mark.parametrize(
    ("body", "valid"),
    [
        ({"a": 1}, True),
        ({"b": "x"}, True),
        ({"a": 1, "b": "x"}, False),
        ({"a": 1, "c": 1}, False),
        ({"a": "1"}, False),
        ({}, False),
        ({"error": {"code": "c", "what": "w", "why": "", "remedy": "", "exit_code": 2}}, False),
    ],
)
def test_an_object_is_of_one_kind(body: dict[str, Any], valid: bool) -> None:
    schema = document("upstream scan", [One, Two])
    whole = {"schema_version": version_of("upstream"), "command": "upstream scan", **body}
    assert jsonschema.Draft202012Validator(schema).is_valid(whole) is valid


@pytest.mark.parametrize(("status", "valid"), [(0, False), (1, True), (4, True), (5, False)])
def test_an_error_stands_in_the_place_of_the_body(status: int, valid: bool) -> None:
    error = {"code": "c", "what": "w", "why": "", "remedy": "", "exit_code": status}
    whole = {"schema_version": version_of("upstream"), "command": "upstream", "error": error}
    assert jsonschema.Draft202012Validator(document("upstream scan", [One])).is_valid(whole) is valid


def test_a_command_that_runs_imports_neither_schemas_nor_what_makes_them(tmp_path: Path) -> None:
    script = (
        "import sys; from aiterfix.cli.main import main; status = main(['check', '--json', '--path', sys.argv[1]])\n"
        "bad = {'jsonschema', 'aiterfix.report.schema', 'aiterfix.report.types.pairs', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else status)"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (4, "")
