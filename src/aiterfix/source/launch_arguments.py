"""Whether a launch hands a kernel the parameters that it has: no more, no fewer, none by another name."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from aiterfix.source.branches import with_tests
from aiterfix.source.names import function_parameters, kept_parameters
from aiterfix.source.syntax import dictionary, last_name, string_keys

OPTIONS = frozenset(
    {"num_warps", "num_stages", "num_ctas", "waves_per_eu", "matrix_instr_nonkdim", "kpack", "grid", "warmup"}
)
"""What Triton takes beside a kernel's own parameters."""


@dataclass(frozen=True)
class Arguments:
    """What one launch hands on.

    Attributes:
        kernel: the kernel's name.
        entry: the function that launches it.
        line: 1-based.
        positional: how many arguments have no name; None where that is not known.
        names: of the others.
        compiled: whether a kernel is launched that was compiled before: it takes all of its parameters by place.
        spelled: what the arguments by place are, of those that are names; empty for others.
        by_name: the same of the others, by parameter.
        parameters: those of the entry.
        kept: such of them as hold what it was handed throughout.
    """

    kernel: str
    entry: str
    line: int
    positional: int | None
    names: tuple[str, ...] = ()
    compiled: bool = False
    spelled: tuple[str, ...] = ()
    by_name: tuple[tuple[str, str], ...] = ()
    parameters: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def hands(self, parameters: ast.arguments, name: str) -> bool:
        """Whether a parameter of a kernel is given what the entry was handed: by the same name, where it has that. A
        launch that gives it nothing is one that Triton refuses."""
        places = [p.arg for p in (*parameters.posonlyargs, *parameters.args)]
        if self.positional is None or name not in places:
            return False
        at = places.index(name)
        if at >= self.positional and name not in self.names:
            return True
        given = self.spelled[at] if at < self.positional else dict(self.by_name).get(name)
        return given in self.kept and (given == name or name not in self.parameters)

    def mismatch(self, parameters: ast.arguments) -> str | None:
        """How they differ from a kernel's parameters; empty where they do not, None where that is not known."""
        positional = [*parameters.posonlyargs, *parameters.args]
        if self.positional is None or parameters.vararg or parameters.kwarg or parameters.kwonlyargs:
            return None
        given = f"{self.positional} by place" + (f", {', '.join(self.names)} by name" if self.names else "")
        takes = f"it takes {len(positional)}"
        if self.compiled and (self.positional != len(positional) or self.names):
            return f"{given}: {takes}, all by place"
        if self.positional > len(positional):
            return f"{given}: {takes}"
        left = {p.arg for p in positional[self.positional :]}
        others = sorted(set(self.names) - left - OPTIONS)
        required = {p.arg for p in positional[: len(positional) - len(parameters.defaults)]}
        missing = sorted((required & left) - set(self.names))
        if others or missing:
            return f"{given}: {takes}, and " + "; ".join(
                f"{what} {', '.join(names)}" for what, names in (("not", others), ("also", missing)) if names
            )
        places = {p.arg: i for i, p in enumerate(positional)}
        for i, (name, p) in enumerate(zip(self.spelled, positional, strict=False)):
            # What a kernel was compiled with is not looked at again.
            fixed = self.compiled and p.annotation is not None and last_name(p.annotation) == "constexpr"
            if places.get(name, i) != i and not fixed:
                return f"{given}: {name} in the place of {p.arg}"
        return ""


def parameters_of(text: bytes, name: str) -> ast.arguments | None:
    """The parameters of a function of a text, without parsing the text; None where that is not plain."""
    found = list(re.finditer(rb"^def[ \t]+" + name.encode() + rb"[ \t]*\(", text, re.MULTILINE))
    if len(found) != 1:
        return None
    start, depth, at = found[0].start(), 0, found[0].end() - 1
    while at < len(text):
        byte = text[at : at + 1]
        if byte == b"#":
            at = text.find(b"\n", at)
        depth += (byte in b"([{") - (byte in b")]}") if byte else 0
        if not depth or at < 0:
            break
        at += 1
    try:
        function = ast.parse(text[start : at + 1] + b": pass").body[0]
    except (SyntaxError, ValueError, IndexError):
        return None
    return function.args if isinstance(function, ast.FunctionDef) else None


def handed_on(tree: ast.Module, kernels: Collection[str]) -> tuple[Arguments, ...]:
    """What every launch of some kernels hands on, by itself or of what a private function of the module compiled."""
    functions = [s for s in tree.body if isinstance(s, ast.FunctionDef) and s.name not in kernels]
    compiling = {f.name: {n.id for n in ast.walk(f) if isinstance(n, ast.Name)} & set(kernels) for f in functions}
    found = [a for f in functions for a in _launches(f, set(kernels), compiling)]
    return tuple(sorted(found, key=lambda a: (a.line, a.kernel)))


def _launches(function: ast.FunctionDef, kernels: set[str], compiling: dict[str, set[str]]) -> Iterator[Arguments]:
    compiled: dict[str, set[str]] = {}
    for s, tests in with_tests(function.body):
        if any(not holds and _is_version(test) for test, holds in tests):
            continue  # older compilers launch what was compiled before, through other definitions
        if isinstance(s, ast.Assign) and isinstance(s.value, ast.Call) and isinstance(s.value.func, ast.Name):
            for target in s.targets:
                if isinstance(target, ast.Name) and s.value.func.id.startswith("_"):
                    compiled[target.id] = compiling.get(s.value.func.id, set())
        for call in ast.walk(s):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Subscript)):
                continue
            launched = call.func.value
            if not isinstance(launched, ast.Name):
                continue
            if launched.id in kernels:
                yield _arguments(launched.id, function, call, compiled=False)
            for kernel in sorted(compiled.get(launched.id, ())):
                yield _arguments(kernel, function, call, compiled=True)


def _is_version(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and any(
        isinstance(n, ast.Name) and n.id == "triton_version" for n in ast.walk(test)
    )


def _arguments(kernel: str, function: ast.FunctionDef, call: ast.Call, *, compiled: bool) -> Arguments:
    names: list[str] = []
    by_name = tuple((k.arg, k.value.id) for k in call.keywords if k.arg is not None and isinstance(k.value, ast.Name))
    known = not any(isinstance(a, ast.Starred) for a in call.args)
    for k in call.keywords:
        more = [k.arg] if k.arg is not None else string_keys(dictionary(function, k.value))
        known = known and more is not None
        names += more or []
    spelled = tuple(a.id if isinstance(a, ast.Name) else "" for a in call.args)
    given = len(call.args) if known else None
    own, kept = tuple(function_parameters(function)), tuple(kept_parameters(function))
    return Arguments(kernel, function.name, call.lineno, given, tuple(names), compiled, spelled, by_name, own, kept)
