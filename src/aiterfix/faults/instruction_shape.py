"""A matrix instruction named in a way that the compiler, or the GPU, does not have: the kernel does not compile."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from aiterfix.faults.base import Finding, Presence
from aiterfix.source.branches import Tests, with_tests
from aiterfix.source.names import bound_names, function_parameters, kept_parameters
from aiterfix.source.scope import is_triton
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.syntax import last_name
from aiterfix.source.tree import descend
from aiterfix.source.walk import KernelWalk

_LAYOUT = "AMDMFMALayout"
_GPU = {3: ("gfx942", "gfx950"), 4: ("gfx950", "gfx942")}
"""Version of CDNA: the GPU that has it, and the family's other one."""


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """One finding a layout of matrix instructions that is written out; none in kernels without any."""
    if not kernel.syntax:
        return ()
    walk = kernel.syntax[0].walk
    found = tuple(_finding(call, tests, walk) for call, tests in _layouts(walk))
    if not found and any(last_name(n.func) == "mfma" for n in walk.nodes if isinstance(n, ast.Call)):
        message = "the layout of its matrix instructions is made in a way that is not followed"
        return (_unknown(message, walk.function),)
    return found


def _layouts(walk: KernelWalk) -> Iterator[tuple[ast.Call, Tests]]:
    """Calls that make such a layout, each with the tests on its way and whether they hold."""
    for s, tests in with_tests(walk.function.body):
        for node in descend(s):
            if isinstance(node, ast.Call) and last_name(node.func) == _LAYOUT:
                yield node, tests


def _finding(call: ast.Call, tests: Tests, walk: KernelWalk) -> Finding:
    if not is_triton(walk.scope.dotted(call.func)):
        return _unknown(f"what {ast.unparse(call.func)}() makes is not followed", call)
    given = dict(zip(("version", "instr_shape"), call.args, strict=False))
    given |= {k.arg: k.value for k in call.keywords if k.arg is not None}
    version, shape = given.get("version"), given.get("instr_shape")
    if any(k.arg is None for k in call.keywords) or version is None or not isinstance(shape, (ast.List, ast.Tuple)):
        return _unknown("the shape of a matrix instruction is not written out", call)
    sides = len(shape.elts)
    if sides not in (2, 3) or any(isinstance(e, ast.Starred) for e in shape.elts):
        return _unknown(f"a matrix instruction has {sides} sides", call)
    if sides == 2:
        asked = [holds for test, holds in tests if _is_probe(test, walk)]
        if not asked:
            return _present("two-sided-shape", "its shape has two sides; Triton 3.5 and later want three", call)
        if not asked[-1]:
            return _present("two-sided-shape", "its shape has two sides where Triton was found to want three", call)
    if isinstance(version, ast.Constant) and isinstance(version.value, int) and version.value in _GPU:
        mine, other = _GPU[version.value]
        return _present("one-gpu", f"made for CDNA {version.value} ({mine}): it does not compile for {other}", call)
    if not isinstance(version, ast.Name) or version.id not in kept_parameters(walk.function):
        return _unknown("the version of CDNA that it is made for is not followed", call)
    line, end = call.lineno, call.end_lineno or call.lineno
    return Finding(
        "instruction", "three sides, or what Triton takes, and the GPU's own version", line, end, Presence.ABSENT
    )


def _is_probe(test: ast.expr, walk: KernelWalk) -> bool:
    """Whether a test is a truth of the module, which it sets to True and to False: by what Triton takes."""
    if not isinstance(test, ast.Name) or test.id in function_parameters(walk.function):
        return False
    if any(test.id in bound_names(s, walrus=True) for s in walk.function.body):
        return False
    values = set()
    for b in walk.scope.bound(test.id):
        made = b.value if isinstance(b, ast.Assign) else None
        if not (isinstance(made, ast.Call) and is_triton(walk.scope.dotted(made.func)) and len(made.args) == 1):
            return False
        values.add(made.args[0].value if isinstance(made.args[0], ast.Constant) else None)
    return values == {True, False}


def _present(code: str, message: str, call: ast.Call) -> Finding:
    return Finding(code, message, call.lineno, call.end_lineno or call.lineno, Presence.PRESENT)


def _unknown(message: str, node: ast.Call | ast.FunctionDef) -> Finding:
    line = node.lineno
    return Finding("instruction-shape", message, line, line, Presence.UNKNOWN, "it is not understood")
