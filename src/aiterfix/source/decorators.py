"""What a decorator makes of a kernel: whether the text that stands below it is what runs. Knows Triton, no kernels."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

from aiterfix.source.bindings import ModuleBindings
from aiterfix.source.syntax import string_keys

_JIT = frozenset(
    {
        "triton.jit",
        "triton.runtime.jit",
        "triton.runtime.jit.jit",
        "triton.experimental.gluon.jit",
        "triton.experimental.gluon._runtime.jit",
    }
)
_AUTOTUNE = frozenset({"triton.autotune", "triton.runtime.autotune", "triton.runtime.autotuner.autotune"})
_HEURISTICS = frozenset({"triton.heuristics", "triton.runtime.heuristics", "triton.runtime.autotuner.heuristics"})
_CONFIG = frozenset({"triton.Config", "triton.runtime.Config", "triton.runtime.autotuner.Config"})


def is_jit(decorator: ast.expr, module: ModuleBindings) -> bool:
    """Whether a decorator is Triton's or Gluon's ``jit``, by what its name is bound to."""
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    found = module.dotted(target)
    return bool(found) and found <= _JIT


def named_jit(decorator: ast.expr) -> bool:
    """Whether a decorator is called ``jit``, whosever it is."""
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return getattr(target, "attr", getattr(target, "id", "")) == "jit"


def decorator_doubt(
    function: ast.FunctionDef | ast.AsyncFunctionDef, module: ModuleBindings, roles: Iterable[str]
) -> tuple[int, str] | None:
    """Line and reason why what a kernel's name means may be something else than its text; None where it is the text.

    Args:
        function: the kernel's definition.
        module: the bindings of its module.
        roles: parameters that a decorator must not set.
    """
    for d in function.decorator_list:
        reason = _decorator(d, module, frozenset(roles))
        if reason:
            return d.lineno, reason
    return None


def _decorator(d: ast.expr, module: ModuleBindings, roles: frozenset[str]) -> str:
    target = d.func if isinstance(d, ast.Call) else d
    found = module.dotted(target)
    spelt = ast.unparse(target)
    if found and found <= _JIT:
        if isinstance(d, ast.Call) and (d.args or any(k.arg in (None, "fn") for k in d.keywords)):
            return f"`{spelt}` is given more than options"
        return ""
    if found == {"builtins.staticmethod"}:
        return ""
    if isinstance(d, ast.Call) and found and found <= _HEURISTICS:
        given = [*d.args, *(k.value for k in d.keywords)]
        keys: Collection[str] | None = string_keys(given[0]) if len(given) == 1 else None
    elif isinstance(d, ast.Call) and found and found <= _AUTOTUNE:
        keys = _configured(d, module)
    else:
        return f"decorated by `{spelt}`, which is not known to leave the kernel as it is"
    if keys is None:
        return f"`{spelt}` sets parameters that cannot be read off"
    hit = sorted(roles.intersection(keys))
    return f"`{spelt}` sets {', '.join(hit)}" if hit else ""


def _configured(d: ast.Call, module: ModuleBindings) -> Collection[str] | None:
    """Parameters that the configurations of ``triton.autotune`` set; None where they are not all in sight."""
    if any(k.arg in (None, "pre_hook", "post_hook") for k in d.keywords):
        return None
    configs = next((k.value for k in d.keywords if k.arg == "configs"), d.args[0] if d.args else None)
    if isinstance(configs, ast.ListComp):
        parts = [configs.elt]
    elif isinstance(configs, (ast.List, ast.Tuple)):
        parts = configs.elts
    else:
        return None
    keys: set[str] = set()
    for part in parts:
        if not (isinstance(part, ast.Call) and (names := module.dotted(part.func)) and names <= _CONFIG):
            return None
        if any(k.arg in (None, "pre_hook", "ir_override") for k in part.keywords) or len(part.args) > 1:
            return None
        given = next((k.value for k in part.keywords if k.arg == "kwargs"), part.args[0] if part.args else None)
        found = string_keys(given) if given is not None else []
        if found is None:
            return None
        keys.update(found)
    return keys
