"""Writes the lists of ``docs/internals/emulator.md`` from the emulator's own code: ``python -m tests.gfx950.coverage``."""

from __future__ import annotations

import ast
from pathlib import Path

from aiterfix.gfx950 import decode, semantics

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "internals" / "emulator.md"
_BEGIN, _END = "<!-- made by python -m tests.gfx950.coverage -->", "<!-- end of what is made -->"


def _instructions() -> list[str]:
    lines = ["| format | modelled | not modelled |", "| --- | --- | --- |"]
    total = missing = 0
    for name, known in sorted(decode.mnemonics().items()):
        absent = sorted(m for m in known if semantics.group_of(m) == "unknown")
        total, missing = total + len(known), missing + len(absent)
        listed = ", ".join(f"`{m}`" for m in absent) or "–"
        lines.append(f"| {name} | {len(known) - len(absent)} of {len(known)} | {listed} |")
    return [
        f"{total - missing} of {total} instructions have a meaning; each of the others is an error that names it.",
        "",
        *lines,
    ]


def _refusals() -> list[str]:
    """What the code refuses of instructions that it has, in its own words."""
    lines = []
    for path in sorted((ROOT / "src" / "aiterfix" / "gfx950").glob("*.py")):
        said = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                if node.func.attr == "refuse":
                    said.add(_words(node.args[0]))
                elif node.func.attr == "only_zero":
                    said.add("one of the modifiers " + ", ".join(_words(a) for a in node.args))
        lines += [f"- `{path.stem}`: {text}" for text in sorted(said)]
    return lines


def _modes() -> list[str]:
    """What a kernel descriptor may ask for in vain."""
    tree = ast.parse((ROOT / "src" / "aiterfix" / "gfx950" / "kernel_descriptor.py").read_text())
    asked = [
        str(node.elts[2].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Tuple) and len(node.elts) == 3 and isinstance(node.elts[2], ast.Constant)
    ]
    return [f"- {what}" for what in asked]


def _words(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
    if isinstance(node, ast.Starred):
        return "…"
    return ast.unparse(node)


def made() -> str:
    """The part of the page that is made."""
    parts = ["### Instructions", "", *_instructions(), "", "### Of the others", "", *_refusals(), ""]
    parts += ["### What a kernel descriptor may not ask for", "", *_modes()]
    return "\n".join([_BEGIN, "", *parts, "", _END])


def kept(page: str) -> str:
    """The page with that part put in."""
    before, rest = page.split(_BEGIN)
    return before + made() + rest.split(_END)[1]


if __name__ == "__main__":
    PAGE.write_text(kept(PAGE.read_text()))
