"""Which statements a kernel is compiled with."""

from __future__ import annotations

import ast

import pytest

from aiterfix.source.constants import Constant
from aiterfix.source.specialised import compiled_statements


def reached(body: str, **constants: Constant) -> set[str]:
    """The names of the functions that are called in what is compiled."""
    indented = "".join(f"    {line}\n" for line in body.split("\n"))
    (function,) = ast.parse(f"def kernel():\n{indented}").body
    assert isinstance(function, ast.FunctionDef)
    statements = compiled_statements(function, constants)
    calls = (s.value for s in statements if isinstance(s, ast.Expr))
    return {ast.unparse(c.func) for c in calls if isinstance(c, ast.Call)}


@pytest.mark.parametrize(
    ("body", "constants", "names"),
    [
        ("if a == 64:\n    x()\nelse:\n    y()", {"a": 64}, {"x"}),
        ("if a == 64:\n    x()\nelse:\n    y()", {"a": 32}, {"y"}),
        ("if a == 64:\n    x()\nelse:\n    y()", {}, {"x", "y"}),
        ("if a == 'gfx950':\n    x()\nelif a == 'gfx942':\n    y()", {"a": "gfx942"}, {"y"}),
        ("half = a // 2\nwhole = half % b == 0\nif whole:\n    x()\nelse:\n    y()", {"a": 256, "b": 64}, {"x"}),
        ("half = a // 2\nwhole: t = half % b == 0\nif whole:\n    x()\nelse:\n    y()", {"a": 256, "b": 256}, {"y"}),
        ("if not (a > 3 and b):\n    x()", {"a": 2}, {"x"}),
        ("if a > 3 or b:\n    x()\nelse:\n    y()", {"a": 4}, {"x"}),
        ("if a > 3 or b:\n    x()\nelse:\n    y()", {"a": 2}, {"x", "y"}),
        ("c = 1 if a else 2\nif c == 1:\n    x()", {"a": 0}, set()),
        ("if -a < -3:\n    x()", {"a": 4}, {"x"}),
        # What is not known leaves both in.
        ("if a // b:\n    x()\nelse:\n    y()", {"a": 4, "b": 0}, {"x", "y"}),
        ("if a:\n    c = 1\nelse:\n    c = 2\nif c == 1:\n    x()\nelse:\n    y()", {}, {"x", "y"}),
        ("if a:\n    c = 1\nelse:\n    c = 1\nif c == 1:\n    x()\nelse:\n    y()", {}, {"x"}),
        ("c = f()\nif c == 1:\n    x()\nelse:\n    y()", {"c": 1}, {"x", "y"}),
        ("a += 1\nif a == 1:\n    x()\nelse:\n    y()", {"a": 1}, {"x", "y"}),
        ("for i in range(3):\n    if a == 1:\n        x()\n    else:\n        y()\n    a = 2", {"a": 1}, {"x", "y"}),
        ("while a == 1:\n    x()\n    a = 2\nif a == 1:\n    y()", {"a": 1}, {"x", "y"}),
        ("for a in range(3):\n    pass\nif a == 1:\n    x()\nelse:\n    y()", {"a": 1}, {"x", "y"}),
        ("if (a := f()):\n    pass\nif a == 1:\n    x()\nelse:\n    y()", {"a": 1}, {"x", "y"}),
        ("try:\n    x()\nexcept E:\n    y()", {}, {"x", "y"}),
        ("match a:\n    case 1:\n        x()", {"a": 2}, {"x"}),
        ("with c:\n    x()", {}, {"x"}),
        ("if a < 'x':\n    x()\nelse:\n    y()", {"a": 1}, {"x", "y"}),
        # Nothing behind a return.
        ("if a == 1:\n    return\nx()", {"a": 1}, {"x"}),
        ("return\nx()", {}, set()),
    ],
)  # fmt: skip
def test_reached(body: str, constants: dict[str, Constant], names: set[str]) -> None:
    assert reached(body, **constants) == names
