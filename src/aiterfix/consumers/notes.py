"""Take note of calls that are of interest, and of where a kernel's wrapper goes out of sight."""

from __future__ import annotations

import ast

from aiterfix.consumers.core import Core
from aiterfix.consumers.records import Escape, Record
from aiterfix.consumers.state import Alternatives, Arguments, Frame, unite
from aiterfix.consumers.syntax import terminal
from aiterfix.consumers.values import EntryPoint, Imported, Local, Row, Sum, Table, Value, substitute

# Functions that look at a function without calling it.
_HARMLESS = frozenset(
    [
        "callable",
        "hasattr",
        "isinstance",
        "signature",
        "id",
        "repr",
        "str",
        "type",
        "print",
        "bool",
        "debug",
        "info",
        "warning",
        "error",
        "info_once",
        "warning_once",
        "debug_once",
        "exception",
        "getsource",
        "unwrap",
    ]
)


def harmless(node: ast.Call) -> bool:
    """Whether a call only looks at its arguments."""
    return terminal(node.func) in _HARMLESS


class Notes(Core):
    """Takes note."""

    def record_entry(self, entry: EntryPoint, node: ast.Call, arguments: Arguments, frame: Frame) -> None:
        """Note a call of an entry point."""
        bound = tuple((value,) for value in entry.arguments)
        keywords = {**{k: (v,) for k, v in entry.keywords}, **arguments.keywords}
        self._note(entry.name, node, Arguments((*bound, *arguments.positional), keywords, arguments.complete), frame)

    def _note(
        self,
        name: str,
        node: ast.Call,
        arguments: Arguments,
        frame: Frame,
        callee: str | None = None,
        on_object: bool = False,
    ) -> None:
        settled = Arguments(
            tuple(self.forced(v) for v in arguments.positional),
            {k: self.forced(v) for k, v in arguments.keywords.items()},
            arguments.complete,
        )
        facts = {k.atom: v for k, v in frame.state.facts.items() if isinstance(k, Sum) and k.atom is not None}
        if facts:
            settled = Arguments(
                tuple(unite(substitute(v, facts) for v in values) for values in settled.positional),
                {k: unite(substitute(v, facts) for v in values) for k, values in settled.keywords.items()},
                settled.complete,
            )
        self.records.append(
            Record(
                name,
                frame.source,
                node.lineno,
                frame.qualified,
                self.root,
                settled,
                not self._in_root(frame),
                self.supposed > 0,
                callee,
                on_object,
            )
        )

    def _in_root(self, frame: Frame) -> bool:
        """Whether a call stands in the function that is followed, or in one defined inside it."""
        if self.root is None or frame.function is None:
            return len(self.stack) <= 1
        identity = frame.function.identity
        return identity == self.root.identity or identity.startswith(self.root.identity + ".<locals>.")

    def note_watched(self, node: ast.Call, callee: Alternatives, arguments: Arguments, frame: Frame) -> None:
        """Note a call of a function that is watched for."""
        if not self.watched:
            return
        names = {terminal(node.func)} | {v.name for v in callee if isinstance(v, Imported)}
        called = [f for f, _ in map(self.function_of, callee) if f is not None]
        names |= {f.name for f in called}
        names |= {v.atom.text for v in callee if isinstance(v, Sum) and v.atom is not None and v.atom.kind == "class"}
        if terminal(node.func) == "__init__" and isinstance(node.func, ast.Attribute):
            names |= self._bases(node.func.value, frame)
        # A method of some object, or what is certainly another function of the same name.
        on_object = isinstance(node.func, ast.Attribute) and any(isinstance(v, (Sum, Local)) for v in callee)
        for name in sorted(names & self.watched):
            identity = next((f.identity for f in called if f.name == name), None)
            self._note(name, node, arguments, frame, identity, on_object)

    def _bases(self, node: ast.expr, frame: Frame) -> set[str]:
        """Classes that ``super().__init__`` may mean."""
        if not (isinstance(node, ast.Call) and terminal(node.func) == "super" and frame.function is not None):
            return set()
        owner = frame.source.classes.get(frame.function.class_name or "")
        return set() if owner is None else {terminal(base) for base in owner.bases}

    def escape(self, value: Value, line: int, frame: Frame, reason: str) -> None:
        """Note where an entry point goes out of sight."""
        inside = (
            value.items if isinstance(value, Row) else [v for _, v in value.items] if isinstance(value, Table) else []
        )
        for part in (value, *inside):
            if isinstance(part, EntryPoint):
                self.escapes.append(Escape(part.name, line, frame.qualified, reason))
