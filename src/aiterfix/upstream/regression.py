"""A regression test to send along: plain pytest and `ast`, nothing of aiterfix, no GPU.

Written by this project. It compares every store's column with what its mask bounds, as sums of terms, so that it does
not care how the expressions are laid out or in which order they are written.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.source.roles import KernelRoles

_TEMPLATE = '''\
# SPDX-License-Identifier: MIT
"""Every store to the logits of these kernels must bound its column from above.

Columns are handled in whole stages and blocks. A store whose mask has no upper bound on
the column that it writes reaches into the next row. This test reads the source, so it
needs neither a GPU nor Triton.
"""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[{depth}]

# file, kernel, output, strides of the output, bound of a column
KERNELS = [
{rows}
]

# leading parameters of the functions that store
STORES = {{
    "store": ("pointer", "value", "mask"),
    "buffer_store": ("stored_value", "ptr", "offsets", "mask"),
}}


class Kernel:
    """One kernel's syntax; names assigned exactly once stand for their values."""

    def __init__(self, path, name):
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        found = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.FunctionDef) and n.name == name
        ]
        assert len(found) == 1, f"{{path}} defines {{name}} {{len(found)}} times"
        self.function = found[0]
        bound = Counter(
            n.id
            for n in ast.walk(self.function)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        )
        self.values = {{
            n.targets[0].id: n.value
            for n in ast.walk(self.function)
            if isinstance(n, ast.Assign)
            and len(n.targets) == 1
            and isinstance(n.targets[0], ast.Name)
            and bound[n.targets[0].id] == 1
        }}

    def resolve(self, node):
        while isinstance(node, ast.Name) and node.id in self.values:
            node = self.values[node.id]
        return node

    def terms(self, node, strides=(), sign=1):
        """A sum as {{term: coefficient}}, without terms that contain a stride.

        The constant stands under None.
        """
        node = self.resolve(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            total = Counter(self.terms(node.left, strides, sign))
            other = sign if isinstance(node.op, ast.Add) else -sign
            for term, coefficient in self.terms(node.right, strides, other).items():
                total[term] += coefficient
            return total
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return Counter({{None: sign * node.value}})
        if any(isinstance(n, ast.Name) and n.id in strides for n in ast.walk(node)):
            return Counter()
        return Counter({{ast.dump(node): sign}})

    def conjuncts(self, node):
        node = self.resolve(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd):
            return self.conjuncts(node.left) + self.conjuncts(node.right)
        return [node]

    def stores(self, output):
        """Calls that store to the output: (call, address, mask)."""
        for call in ast.walk(self.function):
            if not isinstance(call, ast.Call) or not isinstance(
                call.func, ast.Attribute
            ):
                continue
            if call.func.attr not in STORES:
                continue
            given = dict(zip(STORES[call.func.attr], call.args))
            given.update((k.arg, k.value) for k in call.keywords)
            pointer = given.get("ptr", given.get("pointer"))
            address = [n for n in (pointer, given.get("offsets")) if n is not None]
            if any(
                ast.dump(ast.Name(output, ast.Load())) in self.terms(n) for n in address
            ):
                yield call, address, given.get("mask")


def nonzero(total):
    return {{term: coefficient for term, coefficient in total.items() if coefficient}}


def bounds(kernel, comparison, column, bound):
    """Whether a comparison says that the column is smaller than the bound."""
    if not isinstance(comparison, ast.Compare) or len(comparison.ops) != 1:
        return False
    operator, small, large = (
        comparison.ops[0],
        comparison.left,
        comparison.comparators[0],
    )
    if isinstance(operator, (ast.Gt, ast.GtE)):
        small, large = large, small
    elif not isinstance(operator, (ast.Lt, ast.LtE)):
        return False
    slack = Counter(kernel.terms(large))
    slack.subtract(kernel.terms(small))
    slack.update(column)
    slack[ast.dump(ast.Name(bound, ast.Load()))] -= 1
    constant = slack.pop(None, 0) + isinstance(operator, (ast.LtE, ast.GtE))
    return not nonzero(slack) and constant <= 0


@pytest.mark.parametrize(
    "path, name, output, strides, bound", KERNELS, ids=[k[1] for k in KERNELS]
)
def test_every_store_is_bounded(path, name, output, strides, bound):
    kernel = Kernel(path, name)
    stores = list(kernel.stores(output))
    assert stores, (
        f"{{name}} has no store to {{output}}: this test looks at the wrong thing"
    )
    unbounded = []
    for call, address, mask in stores:
        column = Counter()
        for part in address:
            column.update(kernel.terms(part, strides))
        column[ast.dump(ast.Name(output, ast.Load()))] -= 1
        column = Counter(nonzero(column))
        if mask is None or not any(
            bounds(kernel, c, column, bound) for c in kernel.conjuncts(mask)
        ):
            unbounded.append(call.lineno)
    assert not unbounded, (
        f"{{path}}: {{name}}: stores without {{bound}} as upper bound on lines {{unbounded}}"
    )
'''


def regression_test(kernels: Sequence[tuple[str, KernelRoles]], test_path: str) -> str:
    """The test file's text.

    Args:
        kernels: path in the tree and declaration of each kernel.
        test_path: where the test will stand in the tree.
    """
    rows = "\n".join(
        "    (\n"
        + "".join(f"        {_quoted(word)},\n" for word in (path, k.name, k.output))
        + f"        ({', '.join(map(_quoted, k.strides))}{',' if len(k.strides) == 1 else ''}),\n"
        + f"        {_quoted(k.bound)},\n    ),"
        for path, k in kernels
    )
    return _TEMPLATE.format(depth=test_path.count("/"), rows=rows)


def _quoted(text: str) -> str:
    assert text.isprintable() and '"' not in text and "\\" not in text, text
    return f'"{text}"'
