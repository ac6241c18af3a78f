"""Read a consumer's calls of the wrapper from its source: argument by argument, or why one is not understood."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from aiterfix.consumers.core import ENTRIES
from aiterfix.consumers.interpret import Interpreter
from aiterfix.consumers.model import Call, Entry, Known, RunTime, Setting, Unknown, Width, WidthKind
from aiterfix.consumers.origins import Context, Origins
from aiterfix.consumers.program import Program, Source
from aiterfix.consumers.records import Escape, Record
from aiterfix.consumers.state import Alternatives, Exhausted, unite
from aiterfix.consumers.syntax import terminal
from aiterfix.consumers.trees import walked
from aiterfix.consumers.values import (
    EntryPoint,
    Flag,
    Nothing,
    Sum,
    Tensor,
    Value,
    add,
    compare,
    describe,
    fresh,
    number,
)
from aiterfix.installation import Skipped

# Positional parameters of the wrapper's functions, and defaults; the same in every release from v0.1.7.post3 on.
_PARAMETERS = {
    Entry.LOGITS: [
        "q",
        "kv_cache",
        "weights",
        "out",
        "context_lens",
        "kv_indices",
        "max_model_len",
        "Preshuffle",
        "KVBlockSize",
        "ChunkK",
        "TotalCuCount",
        "WavePerEU",
        "VarCtxSchedule",
    ],
    Entry.STAGE1: [
        "q",
        "kv_cache",
        "weights",
        "out",
        "context_lens",
        "kv_indices",
        "max_model_len",
        "ChunkQ",
        "ChunkK",
        "TotalCuCount",
        "WavePerEU",
    ],
}
_KEYWORDS = {"out_logits": "out", "out_qk": "out"}
_DEFAULTS: dict[str, Value] = {
    "Preshuffle": Flag(False),
    "KVBlockSize": number(1),
    "ChunkK": number(256),
    "WavePerEU": number(2),
}
_MOST_COMBINATIONS = 64
_LEAST_TEXT = 3


def read_calls(package: Path, image_root: Path | None = None) -> tuple[tuple[Call, ...], tuple[Skipped, ...]]:
    """Every call in a package, and what could not be read."""
    program = Program(package, image_root)
    search = program.files_naming([Entry.LOGITS.value])
    doubts = [s for s in search.unreadable if s.doubt]
    origins = Origins(program)
    calls: list[Call] = []
    names: dict[Path, set[str]] = {path: set() for path in search.files}
    pending = list(search.files)
    while pending:
        path = pending.pop(0)
        source = program.source(path)
        if isinstance(source, Skipped):
            doubts.append(source)
            continue
        try:
            found, given = _of_source(program, origins, source, frozenset(names[path]))
            calls += found
            for name in sorted(given):
                for other in program.files_naming([name]).files:
                    if other not in names and _takes(program, other, source, name):
                        names[other] = {name}
                        pending.append(other)
        except RecursionError:
            doubts.append(Skipped(path, "is nested too deeply to follow", True))
    return tuple(sorted(calls, key=lambda c: (c.file, c.line, c.entry.value))), tuple(doubts)


def _takes(program: Program, path: Path, giver: Source, name: str) -> bool:
    """Whether a file may have a name from another one."""
    source = program.source(path)
    if isinstance(source, Skipped):
        return True
    module = giver.dotted.rpartition(".")[2]
    return source.imports.get(name, ("",))[0].rpartition(".")[2] == module or f"{module}.{name}".encode() in source.text


def _of_source(
    program: Program, origins: Origins, source: Source, names: frozenset[str]
) -> tuple[list[Call], set[str]]:
    """The calls in a file, and the names under which it gives the wrapper's functions to others.

    Args:
        program: the package.
        origins: traces widths.
        source: the file.
        names: under which others give them to it.
    """
    interpreter = Interpreter(program, names)
    lost: list[Escape] = []
    try:
        interpreter.follow_module(source)
    except Exhausted:
        lost.append(Escape(Entry.LOGITS.value, 1, "", "may be used in a module that is too large to follow"))
    for identity in sorted(interpreter.relevant(source)):
        function = source.functions[identity]
        if ".<locals>." in identity:
            continue  # followed where it is defined
        try:
            interpreter.follow(function)
        except Exhausted:
            lost.append(
                Escape(
                    Entry.LOGITS.value,
                    function.node.lineno,
                    function.qualified,
                    "is used in a function that is too large to follow",
                )
            )
    sites: dict[tuple[str, str, int], list[Record]] = {}
    for record in interpreter.records:
        if record.name in ENTRIES:
            sites.setdefault((record.name, record.source.relative, record.line), []).append(record)
    calls = [_call(origins, records) for records in sites.values()]
    known = {c.line for c in calls}
    for escape in dict.fromkeys((*interpreter.escapes, *lost)):
        if escape.reason == "is returned" and calls:
            continue  # and what it is returned to is followed
        if escape.line not in known:
            calls.append(_lost(source, escape))
            known.add(escape.line)
    sought = ENTRIES | {new for old, new in source.aliases if old in ENTRIES}
    for node in walked(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = terminal(node.func)
        if name in sought and node.lineno not in known:
            entry = name if name in ENTRIES else Entry.LOGITS.value
            calls.append(_lost(source, Escape(entry, node.lineno, "", "is called where nothing is followed")))
            known.add(node.lineno)
    given = {escape.function for escape in interpreter.escapes if escape.reason == "is returned"}
    given |= {
        name
        for name, values in interpreter.module_names(source).items()
        if name not in ENTRIES and any(isinstance(value, EntryPoint) for value in values)
    }
    return calls, {name.rpartition(".")[2] for name in given}


def _lost(source: Source, escape: Escape) -> Call:
    reason = f"{escape.name} {escape.reason} (line {escape.line}); how it is called from there is not followed"
    unknown = Unknown(reason)
    width = Width(WidthKind.UNKNOWN, reason, source.relative, escape.line)
    return Call(
        source.relative,
        escape.line,
        escape.function,
        Entry(escape.name),
        unknown,
        (width,),
        unknown,
        unknown,
        unknown,
        unknown,
    )


def _call(origins: Origins, records: Sequence[Record]) -> Call:
    # What a function does for callers that are not known says less than what its callers make it do.
    chosen = [r for r in records if not r.supposed] or list(records)
    alone = [r for r in chosen if not r.inlined]
    reached = [r for r in chosen if r.inlined]
    traced: list[tuple[Context, Width]] = []
    why: list[str] = []
    for record in alone or reached:
        for context in _contexts(record, why):
            traced += origins.trace(context)
    if alone and reached and all(map(origins.stays_inside, alone)) and any(_vague(c, w) for c, w in traced):
        inner = [t for r in reached for c in _contexts(r, why) for t in origins.trace(c)]
        if not any(_vague(c, w) for c, w in inner):
            traced = inner
    first = (alone or reached)[0]
    arguments = {name: unite(*(_bind(r)[name] for r in alone or reached)) for name in _DEFAULTS}
    widths = tuple(dict.fromkeys(w for _, w in traced))
    blocks = unite(c.block for c, _ in traced)
    return Call(
        first.source.relative,
        first.line,
        first.function,
        Entry(first.name),
        _padding([c for c, _ in traced], why),
        widths,
        _setting(blocks) if first.name == Entry.LOGITS.value else RunTime("the cache's"),
        _setting(arguments["ChunkK"]),
        _setting(arguments["Preshuffle"]),
        _setting(arguments["WavePerEU"]),
        all(map(_shuffled_by_block, alone or reached)),
    )


def _vague(context: Context, width: Width) -> bool:
    return context.gap is None or width.kind is WidthKind.UNKNOWN


def _bind(record: Record) -> dict[str, Alternatives]:
    """Arguments by name, with defaults; those that are not stated are unknown."""
    names = _PARAMETERS[Entry(record.name)]
    bound = dict(zip(names, record.arguments.positional, strict=False))
    bound.update((_KEYWORDS.get(k, k), v) for k, v in record.arguments.keywords.items())
    for name in ("out", "max_model_len", *_DEFAULTS):
        if name not in bound:
            default = _DEFAULTS.get(name)
            known = record.arguments.complete and default is not None
            bound[name] = (default,) if known and default is not None else (fresh(f"{name}, which is not stated"),)
    return bound


def _shuffled_by_block(record: Record) -> bool:
    """Whether ``Preshuffle`` says that a block has more than one token, on every path."""
    bound = _bind(record)
    by_block = {compare(">", block, number(1)) for block in bound["KVBlockSize"] if isinstance(block, Sum)}
    return all(value in by_block for value in bound["Preshuffle"])


def _contexts(record: Record, why: list[str]) -> Iterable[Context]:
    bound = _bind(record)
    # The stage1 kernels round to whole chunks, whatever the block.
    granule = "KVBlockSize" if record.name == Entry.LOGITS.value else "ChunkK"
    groups = [bound["out"], bound["max_model_len"], bound[granule]]
    if len(groups[0]) * len(groups[1]) * len(groups[2]) > _MOST_COMBINATIONS:
        why.append("too many paths lead to the call")
        groups = [(fresh("one of many"),) for _ in groups]
    for out, width, block in itertools.product(*groups):
        yield Context(_gap(out, width, why), width, block, record.root, record.source.relative, record.line)


def _gap(out: Value, width: Value, why: list[str]) -> Value | None:
    """Columns between the end of a row and the start of the next."""
    if isinstance(out, Nothing):
        return None
    if not isinstance(out, Tensor):
        # The tensor itself may be a parameter: `stride` is asked once the caller is known.
        why.append(f"how the logits tensor is made is not understood: {describe(out)}")
        return None
    if out.strides is None or len(out.shape) < 2:
        why.append(f"the row stride of the logits tensor is not understood: {out.why or describe(out)}")
        return None
    if out.strides[-1].constant != 1:
        why.append("the columns of the logits tensor do not lie side by side")
        return None
    if not isinstance(width, Sum):
        why.append(f"max_model_len is not understood: {describe(width)}")
        return None
    return add(out.strides[-2], width, -1)


def _padding(contexts: Sequence[Context], why: Sequence[str]) -> Known | Unknown:
    found: set[int] = set()
    for context in contexts:
        gap = context.gap
        if gap is None:
            return Unknown(why[0] if why else "the logits tensor is not understood")
        columns = gap.constant if isinstance(gap, Sum) else None
        if columns is None:
            return Unknown(f"the row stride exceeds the width by {describe(gap)}, which is no fixed number")
        if columns < 0:
            return Unknown(f"rows lie {-columns} columns closer together than they are wide")
        found.add(columns)
    if len(found) != 1:
        return Unknown("it depends on the path taken: " + " or ".join(str(n) for n in sorted(found)) + " columns")
    return Known(found.pop())


def _setting(values: Alternatives) -> Setting:
    settings = {_one_setting(value) for value in values}
    if len(settings) == 1:
        return settings.pop()
    if all(not isinstance(s, Unknown) for s in settings):
        texts = sorted(
            s.text if isinstance(s, RunTime) else str(s.value) for s in settings if not isinstance(s, Unknown)
        )
        return RunTime(" or ".join(texts), all(isinstance(s, RunTime) and s.plain for s in settings))
    return Unknown("several values, not all of them understood")


def _one_setting(value: Value) -> Setting:
    if isinstance(value, Flag):
        return RunTime(describe(value)) if value.value is None else Known(int(value.value))
    if isinstance(value, Sum):
        return RunTime(describe(value), _plain(value)) if value.constant is None else Known(value.constant)
    return Unknown(f"not a number: {describe(value)}")


def _plain(value: Sum) -> bool:
    """Whether a number is taken from somewhere as it is, and not worked out."""
    atom = value.atom
    worked_out = (" * ", " / ", " // ", " + ", " - ", " % ", " << ", " if ", " or ", " and ", "min(", "max(")
    return atom is not None and atom.kind != "pure" and not any(part in atom.text for part in worked_out)
