"""JSON Schemas (draft 2020-12) of every command's ``--json``, made from the types in ``report/types``.

After a change of the types::

    python -m aiterfix.report.schema

writes ``aiterfix/schemas`` anew; a test fails where they differ. Nothing here is imported when a command runs.
"""

from __future__ import annotations

import inspect
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from aiterfix.report import types
from aiterfix.report.document import Body, ErrorReport, Limits, version_of

FOLDER = Path(__file__).parents[1] / "schemas"

Schema = dict[str, Any]

_SIMPLE = {bool: "boolean", int: "integer", float: "number", str: "string", NoneType: "null"}


def main() -> None:
    """Write every schema."""
    for name, text in generated().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


def generated() -> dict[str, str]:
    """Every schema by file name, as text."""
    commands: dict[str, list[type[Body]]] = {}
    for body in _bodies():
        commands.setdefault(body.command, []).append(body)
    return {
        f"{command.replace(' ', '-')}.json": _lay_out(document(command, bodies)) + "\n"
        for command, bodies in commands.items()
    }


def _bodies() -> Iterator[type[Body]]:
    for info in pkgutil.iter_modules(types.__path__):
        module = import_module(f"{types.__name__}.{info.name}")
        for value in vars(module).values():
            own = inspect.isclass(value) and value.__module__ == module.__name__
            if own and issubclass(value, Body) and hasattr(value, "command"):
                yield value


def document(command: str, bodies: Sequence[type[Body]]) -> Schema:
    """The schema of a command's objects: one of its bodies, or an error."""
    made = _Types()
    version: Schema = {"const": version_of(command)}
    objects = [made.object(body, {"schema_version": version, "command": {"const": command}}) for body in bodies]
    # An error may come before it is known which of several actions is meant.
    head: dict[str, Schema] = {"schema_version": version, "command": {"const": command.partition(" ")[0]}}
    failure = _object({**head, "error": made.of(ErrorReport)})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"aiterfix {command} --json",
        "oneOf": [*objects, failure],
        "$defs": dict(sorted(made.definitions.items())),
    }


class _Types:
    """Schemas of types; dataclasses become definitions."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._classes: dict[str, type] = {}

    def of(self, hint: Any) -> Schema:
        """The schema of one type.

        Raises:
            TypeError: it has no JSON form, or two dataclasses bear one name.
        """
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Annotated:
            more = next((m.keywords for m in arguments[1:] if isinstance(m, Limits)), {})
            return more if "enum" in more else {**self.of(arguments[0]), **more}
        if hint in _SIMPLE:
            return {"type": _SIMPLE[hint]}
        if origin is Literal:
            return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
        if origin in (Union, UnionType):
            return _either([self.of(a) for a in arguments])
        if origin in (tuple, list) and (origin is list or arguments[1:] == (...,)):
            return {"type": "array", "items": self.of(arguments[0])}
        if origin in (dict, Mapping) and arguments[0] is str:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if inspect.isclass(hint) and issubclass(hint, Enum):
            return {"enum": [e.value for e in hint]}
        if inspect.isclass(hint) and issubclass(hint, PurePath):
            return {"type": "string"}
        if inspect.isclass(hint) and is_dataclass(hint):
            return self._reference(hint)
        raise TypeError(f"{hint} has no JSON form")

    def object(self, cls: type, head: Mapping[str, Schema] | None = None) -> Schema:
        """The schema of a dataclass, with further keys in front."""
        hints = get_type_hints(cls, include_extras=True)
        said = _attributes(cls)
        properties = {
            f.name: {**self.of(hints[f.name]), **({"description": said[f.name]} if f.name in said else {})}
            for f in fields(cls)
        }
        return _object({**(head or {}), **properties}, inspect.getdoc(cls))

    def _reference(self, cls: type) -> Schema:
        name = cls.__name__
        if self._classes.setdefault(name, cls) is not cls:
            raise TypeError(f"{cls.__module__} and {self._classes[name].__module__} both have a {name}")
        if name not in self.definitions:
            self.definitions[name] = {}  # a type may hold itself
            self.definitions[name] = self.object(cls)
        return {"$ref": f"#/$defs/{name}"}


def _object(properties: Mapping[str, Schema], about: str | None = None) -> Schema:
    return {
        **({"description": about.partition("\n")[0].rstrip(".")} if about else {}),
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": dict(properties),
    }


def _lay_out(value: Any, indent: int = 0) -> str:
    """JSON text in which what fits on a line stands on one, so that a change shows as one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= 110 or not isinstance(value, (dict, list)):
        return flat
    inner = " " * (indent + 2)
    if isinstance(value, list):
        parts = [_lay_out(v, indent + 2) for v in value]
    else:
        parts = [f"{json.dumps(k)}: {_lay_out(v, indent + 2 + len(k) + 4)}" for k, v in value.items()]
    opened, closed = "[]" if isinstance(value, list) else "{}"
    return f"{opened}\n" + ",\n".join(inner + p for p in parts) + f"\n{' ' * indent}{closed}"


def _either(parts: list[Schema]) -> Schema:
    """A union: the shortest of its spellings."""
    null = {"type": "null"}
    others = [p for p in parts if p != null]
    if len(others) == 1 and null in parts:
        (part,) = others
        if "enum" in part:
            return {**part, "enum": [*part["enum"], None]}
        if isinstance(part.get("type"), str):
            return {**part, "type": [part["type"], "null"]}
    return {"anyOf": parts}


def _attributes(cls: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say of its fields, those of the nearest class first."""
    said: dict[str, str] = {}
    for base in cls.__mro__:
        _, _, section = (inspect.cleandoc(base.__doc__ or "")).partition("\nAttributes:\n")
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", section, re.MULTILINE):
            said.setdefault(name, " ".join(text.split()).rstrip("."))
    return said


if __name__ == "__main__":
    main()
