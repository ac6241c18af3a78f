"""The digest of what decides a column: what leaves it as it is, what changes it, and where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiterfix.source.derivation import Derivation, Derivations
from aiterfix.source.guards import column_of
from aiterfix.source.sites import analyse
from tests.kernels import SPEC, Seen, module, seen

BODY = """\
row = tl.program_id(0)
done = tl.load(Data + row)
left = rows
while left > done:
    left = left - done
    if left == size:
        break
scale = tl.load(Data + row + 1)
value = scale * 2
for first in range(left, rows, size):
    other = value + first
    lanes = first + tl.arange(0, size, layout=gl.BlockedLayout([1], [64], [4], [0]))
    tl.store(Out + row * stride_row + lanes, other, mask=(lanes >= left) & (lanes < rows))
"""


def derivation(body: str = BODY, signature: str | None = None) -> Derivation | None:
    text = module(body) if signature is None else module(body, signature)
    (kernel,) = analyse(text, (SPEC,)).kernels
    (syntax,) = kernel.syntax
    column, _ = column_of(syntax.store.address, syntax.walk.output, syntax.walk.strides)
    return Derivations(syntax.walk, walrus=b":=" in text).of(syntax.store, column)


def changed(old: str, new: str) -> Derivation | None:
    assert old in BODY
    return derivation(BODY.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(lanes < rows))", "(lanes < rows) & (lanes < width))"),
        ("& (lanes < rows))", "& (lanes < width))"),
        ("Out + row * stride_row + lanes", "Out + lanes + row.to(tl.int64) * stride_row"),
        ("lanes, other,", "lanes, value * 3,"),
        ("scale * 2", "scale * 4 + done"),
        ("    other = value + first\n", "    other = value + first\n    other += 1\n"),
        ("scale = tl.load(Data + row + 1)\nvalue = scale * 2\n", "value = tl.load(Data + row + 2)\n"),
        ("[1], [64], [4], [0]", "[2], [64], [4], [0]"),
        ("left", "rest"),
        ("lanes", "columns"),
        ("tl.program_id(0)\n", "tl.program_id(0)  # of the row\n"),
    ],
)
def test_what_has_no_part_leaves_the_digest(old: str, new: str) -> None:
    before, after = derivation(), changed(old, new)
    assert before is not None and after is not None
    assert before.digest == after.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(lanes >= left) & ", ""),
        ("lanes >= left", "lanes > left"),
        ("lanes >= left", "first >= left"),
        ("(lanes >= left)", "~(lanes >= left)"),
        ("stride_row + lanes,", "stride_row + lanes - size,"),
        ("left = left - done", "left = left - size"),
        ("left > done", "left > size"),
        ("        break\n", "        left = done\n"),
        ("if left == size", "if left == done"),
        ("range(left,", "range(left - size,"),
        ("range(left, rows, size)", "range(left, rows, done)"),
        ("    tl.store(", "    lanes = lanes - size\n    tl.store("),
        ("for first", "left -= size\nfor first"),
        ("value = scale * 2\n", "value, left = scale * 2, left - 8\n"),
        ("tl.load(Data + row)\n", "tl.load(Data + row, mask=row > 3, other=-1)\n"),
        ("tl.store(", "if first > done:\n        tl.store("),
        ("left = rows\nwhile", "while"),
        ("scale", "left"),
    ],
)
def test_what_has_a_part_changes_the_digest(old: str, new: str) -> None:
    before, after = derivation(), changed(old, new)
    assert before is not None
    assert after is None or before.digest != after.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value = scale * 2", "value = (left := scale * 2)"),
        ("value = scale * 2", "value = scale * 2\nstarts = [left]\nleft = starts[0]"),
        ("value = scale * 2", "rows.start = 3"),
        ("left = rows", "left = rows + OFFSET"),
        ("value = scale * 2", "with tl.scope('x'):\n    left = left - 1"),
    ],
)
def test_what_is_not_followed_has_none(old: str, new: str) -> None:
    assert changed(old, new) is None


def test_parameters_and_functions_of_the_module_are_part_of_it() -> None:
    before = derivation()
    renamed = derivation(signature="Out, stride_row, stride_head, width, Data, rows=-8, size: tl.constexpr = 4")
    idle = derivation(signature="Out, stride_row, stride_head, width: tl.int64, Data, rows, size: tl.constexpr")
    assert before is not None and renamed is not None and idle is not None
    assert idle.digest == before.digest != renamed.digest
    digests = set()
    for body in ("return n - 1", "return n - 2"):
        text = f"@triton.jit\ndef start(n):\n    {body}\n".encode() + module(
            BODY.replace("left = rows", "left = start(rows)")
        )
        (kernel,) = analyse(b"import triton\n" + text, (SPEC,)).kernels
        syntax = kernel.syntax[0]
        column, _ = column_of(syntax.store.address, syntax.walk.output, syntax.walk.strides)
        found = Derivations(syntax.walk, walrus=False).of(syntax.store, column)
        assert found is not None
        digests.add(found.digest)
    assert len(digests) == 2


def test_a_known_column_is_not_negative() -> None:
    found = derivation()
    assert found is not None
    bounded = module(BODY.replace("lanes < rows", "lanes < width"))
    assert "negative-column" in [p.code for p in analyse(bounded, (SPEC,)).all_problems]
    known = replace(SPEC, known_columns=lambda: frozenset({found.digest}))
    assert seen(analyse(bounded, (known,))) is Seen.BOUNDED
    lowered = module(BODY.replace("lanes < rows", "lanes < width").replace("range(left", "range(left - size"))
    assert seen(analyse(lowered, (known,))) is Seen.UNKNOWN
