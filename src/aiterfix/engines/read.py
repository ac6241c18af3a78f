"""An engine's calls of aiter's wrapper: every way to reach it, and what each call passes."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from aiterfix.engines import bounds
from aiterfix.engines.callers import Way
from aiterfix.engines.model import Call, Entry, Known, RunTime, Setting, Unknown, Width, WidthKind
from aiterfix.engines.package import FUNCTIONS, Package, Source, TooCommonError, text_of
from aiterfix.engines.trace import Tracer
from aiterfix.engines.uses import Site, Target, last
from aiterfix.engines.values import ANY, LENGTH, Frame, Nothing, Number, Tensor, Value, made, plus, role
from aiterfix.family.kernels import ENTRIES, ENTRY, NOT_JUDGED, WRAPPERS
from aiterfix.installation.target import Skipped
from aiterfix.source.tree import descend

_BY_HEAD = (Entry.STAGE1, Entry.STAGE1_RAGGED)
"""Logits of every head by itself: three axes."""
_SAID = ("max_model_len", "Preshuffle", "KVBlockSize", "ChunkK", "WavePerEU", "VarCtxSchedule")
_FIRST = "q=None, kv_cache=None, weights=None, {}=None, context_lens=None, kv_indices=None, max_model_len=None"
_SIGNATURES = {
    Entry.LOGITS: "Preshuffle=0, KVBlockSize=1, ChunkK=256, TotalCuCount=None, WavePerEU=2, VarCtxSchedule=None",
    Entry.STAGE1: "ChunkQ=64, ChunkK=256, TotalCuCount=None, WavePerEU=2, *, Preshuffle=0, KVBlockSize=1",
    Entry.RAGGED: "ChunkK=64, SplitKV=5, *, Preshuffle=0, KVBlockSize=1, WavePerEU=2",
    Entry.STAGE1_RAGGED: "*, ChunkK=64, Preshuffle=0, KVBlockSize=1, WavePerEU=2",
}
"""Of the wrapper's functions, after the first seven, the same in every release from v0.1.7.post3 on; after ``*`` what a
function does not take, as it would be in the others."""
_LEAST_BLOCK = 16  # multiples of less say nothing of whole blocks
_BLOCK = re.compile(
    r"(?:cache|kv|pool|pages?|blocks|buf(?:fer)?)\w*(?:\.\w+\(\))?(?:\.shape\[-?\d\]|\.size\(-?\d\))$"
    r"|(?<!\w)_?(?:(?:kv|cache|kernel|attn|indexer|index|self|c4|c128)_)*(?:block|page)_?size$|block_kv$"
)
_NEUTRAL = re.compile(
    "(?:self|cls|get|current|vllm|atom|server|args|config|model|runner|backend|forward|metadata|batch|layer|attn|attention"
    "|kernel|token|to|kv|k|fp|c|index(?:er|ed)?|(?:kv)?caches?|pool|pages?|blocks?|buf(?:fer)?|size|shape|[^a-z])+"
).fullmatch
"""How sources name a block size as the engine was told it; anything else is not what the operator said: with any other
word it may be that of another cache, such as one of a draft, of sliding windows or of states."""
_NAMED = re.compile(r"[-\w.\[\]()]+(?: (?:[*+]|//) [-\w.\[\]()]+)+")
_RELATED = re.compile(rb"\w*" + ENTRY.encode() + rb"\w*")
_FP4 = re.compile(rb"\b\w*(pa_mqa_logits_(?:mx)?fp4)\w*\b")
_MODULE = WRAPPERS[0].rpartition(".")[2]
_BEGINNINGS = ("'aiter", '"aiter', "deepgemm_", "pa_mqa_")
_WORKED_OUT = re.compile(
    rb"[\"'](?:deepgemm_(?:fp8_)?(?:paged_)?(?:mqa_)?|(?:[\w.]*\.)?pa_mqa_|aiter[\w.]*\.(?:pa_)?)[\"']"
    rb"|import_module\([^,()]*,\s*(?:package\s*=\s*)?[\"']aiter"
    rb"|(?:import_module|__import__)\(\s*(?:f[\"']aiter[^\"']*[{]|[\"']aiter[^\"']*[\"']\s*(?:[+%]|\.(?:format|join)))"
)
"""Strings that are the beginning of a name, and names that are put together."""


def read_calls(package: Path, image_root: Path | None = None) -> tuple[tuple[Call, ...], tuple[Skipped, ...]]:
    """Every call in a package, and what could not be read."""
    sources = Package(package, image_root)
    tracer = Tracer(sources)
    calls: dict[tuple[str, int, str], Call] = {}
    lost_all: list[Skipped] = []

    def lost(source: Source, node: ast.AST, entry: Entry, reason: str) -> None:
        where = source.function(node)
        call = _lost(source.relative, getattr(node, "lineno", 1), where.name if where else "", entry, reason)
        calls.setdefault((call.file, call.line, entry.value), call)

    try:
        for name in ENTRIES:
            entry = Entry(name)
            uses = tracer.callers.uses(Target(name))
            for _, sites in itertools.groupby(uses.sites, key=lambda s: s.call):
                site = list(sites)[-1]
                found = _call(tracer, site, entry)
                known = calls.get((found.file, found.line, name))
                if known not in (None, found):
                    reason = "two calls stand on one line"
                    found = _lost(found.file, found.line, found.function, entry, reason)
                calls[found.file, found.line, name] = found
            for escape in uses.escapes:
                lost(escape.source, escape.node, entry, f"{name} {escape.reason}")
        named = {word for _, _, line in sources.matches(ENTRY) for word in _RELATED.findall(line)}
        for name in sorted({word.decode() for word in named} - {*ENTRIES, f"{ENTRY}_schedule"}):
            reason = f"{name}, a kernel itself or its like, is used past the wrapper"
            for source in sources.sources(name):
                for node in source.mentions(name):
                    text = str(node.value) if isinstance(node, ast.Constant) else ""
                    if " " not in text or ("import" in text and sources.runs_text):
                        lost(source, node, Entry.KERNEL, reason)
        for escape in tracer.callers.uses(Target(_MODULE, module=True)).escapes:
            lost(escape.source, escape.node, Entry.LOGITS, f"the wrapper's module {escape.reason}")
        for path, line, _ in (m for text in _BEGINNINGS for m in sources.matches(text, _WORKED_OUT)):
            reason = "a module of aiter is imported by a name worked out"
            calls[path, line, ""] = _lost(path, line, "", Entry.LOGITS, reason)
        for path in (p for name in (_MODULE, *ENTRIES) for p in sources.settings(name)):
            calls[path, 1, ""] = _lost(path, 1, "", Entry.LOGITS, "a kernel, or its module, is named in settings")
    except (TooCommonError, RecursionError) as error:
        lost_all.append(Skipped(package, f"cannot be followed: {error}", True))
    for path, line, found_text in sources.matches("pa_mqa_logits_", _FP4):
        match = _FP4.search(found_text)
        if match is not None and (path, "fp4") not in {(f, e) for f, _, e in calls}:
            reason = f"calls {match[0].decode()}: {NOT_JUDGED[0][1]}, or its like"
            calls[path, line, "fp4"] = _lost(path, line, match[1].decode(), Entry.NOT_JUDGED, reason)
    ordered = sorted(calls.values(), key=lambda c: (c.file, c.line, c.entry.value))
    return tuple(ordered), (*lost_all, *sources.doubts)


def _lost(file: str, line: int, function: str, entry: Entry, reason: str) -> Call:
    unknown = Unknown(reason)
    width = Width(WidthKind.UNKNOWN, reason, file, line)
    return Call(file, line, function, entry, unknown, (width,), unknown, unknown, unknown, unknown, unknown)


def _call(tracer: Tracer, site: Site, entry: Entry) -> Call:
    source, call = site.source, site.call
    function = source.function(call)
    frame = Frame(source, function)
    tracer.begin()
    stated = Site(source, tracer.spread(source, call, function), site.bound)
    out = "out_qk" if entry in _BY_HEAD else "out_logits"
    given = tracer.callers.assigned(stated, _definition(entry, out)) or {}
    choices: list[tuple[Value, ...]] = []
    for name in (out, *_SAID):
        unsaid = tracer.other(call, frame, f"{name}, which is not stated plainly")
        choices.append(tracer.values(given[name], frame) if given.get(name) is not None else (unsaid,))
    combinations = list(itertools.islice(itertools.product(*choices), bounds.WAYS + 1))
    if len(combinations) > bounds.WAYS:
        where = function.name if function else ""
        return _lost(source.relative, call.lineno, where, entry, "too many paths lead to the call")
    ways = [
        w
        for c in combinations
        for w in tracer.callers.expand(c, source, call.lineno, done=lambda s: _settled(s, entry))
    ]
    ways = [w for w in ways if not isinstance(w.state[0], Nothing)] or ways  # without a tensor nothing is launched
    paddings = {_padding(w.state[0], w.state[1], entry) for w in ways}
    different = next((p for p in paddings if isinstance(p, Unknown)), Unknown("it depends on the path taken"))
    ranks = {w.state[0].rank if isinstance(w.state[0], Tensor) else None for w in ways}
    for name in dict.fromkeys(name for w in ways for name in _told_block(w, entry)):
        for text in tracer.attributes.written(name):
            tracer.condition(text, length=False)
    blocks, chunks, layouts, waves = ([w.state[i] for w in ways] for i in (3, 4, 2, 5))
    return Call(
        source.relative,
        call.lineno,
        function.name if function else "",
        entry,
        paddings.pop() if len(paddings) == 1 else different,
        tuple(dict.fromkeys(_width(w, entry) for w in ways)),
        _setting(blocks, block=True) if entry is not Entry.STAGE1 else RunTime("the cache's"),
        _setting(chunks),
        _setting(layouts),
        _setting(waves),
        Known(0) if all(isinstance(w.state[6], Nothing) for w in ways) else RunTime("a schedule"),
        ranks.pop() if len(ranks) == 1 else None,
        all(isinstance(b, Number) and p == made("many", (b,)) for b, p in zip(blocks, layouts, strict=True)),
        tuple(tracer.conditions),
        tuple(text for text, length in tracer.conditions.items() if not length),
        tuple(_instead(source, call)),
    )


@cache
def _definition(entry: Entry, out: str) -> ast.FunctionDef:
    """A function that takes what one of the wrapper's does, all of it with a value of its own."""
    rest = _SIGNATURES[entry] + ("" if entry is Entry.LOGITS else ", VarCtxSchedule=None")
    (found,) = ast.parse(f"def entry({_FIRST.format(out)}, {rest}, **others): ...").body
    assert isinstance(found, ast.FunctionDef)
    return found


def _instead(source: Source, call: ast.Call) -> Iterator[str]:
    """What returns before a call is reached, with logits of another function."""
    below: ast.AST = call
    for above in source.above(call):
        for block in (getattr(above, "body", None), getattr(above, "orelse", None)):
            for one in block[: block.index(below)] if isinstance(block, list) and below in block else ():
                returned = (
                    [n.value for n in descend(one) if isinstance(n, ast.Return)] if isinstance(one, ast.If) else []
                )
                others = {last(value) for value in returned if isinstance(value, ast.Call)}
                if isinstance(one, ast.If) and any("logits" in name for name in others):
                    names = " or ".join(sorted(others))
                    yield f"{names} where {text_of(one.test)} ({source.relative}:{one.lineno})"
        below = above
        if isinstance(above, FUNCTIONS):
            return


def _settled(state: tuple[Value, ...], entry: Entry) -> bool:
    """Whether callers need not be asked."""
    block = state[3]
    if not isinstance(_padding(state[0], state[1], entry), Known) or not isinstance(state[1], Number):
        return False
    if not isinstance(block, Number) or isinstance(state[1].constant, int):
        return not isinstance(block, Number)
    asked = ("parameter", "field")
    open_block = any(a.kind in asked for a in block.atoms) and entry is Entry.LOGITS
    if block.constant is None and state[1].divisible_by(block):
        return True
    return not open_block and not any(a.kind in asked for a in state[1].atoms)


def _told_block(way: Way, entry: Entry) -> list[str]:
    """The attribute that says how large blocks are, where that matters to the width."""
    width, block = way.state[1], way.state[3]
    if entry is not Entry.LOGITS or not isinstance(block, Number) or block.constant is not None:
        return []
    if isinstance(width, Number) and width.divisible_by(block):
        return []
    return [m[1] for a in block.atoms if a.kind == "other" and (m := re.search(r"\.(\w+)$", a.text))]


def _padding(out: Value, width: Value, entry: Entry) -> Known | Unknown:
    if not isinstance(out, Tensor):
        return Unknown(f"how the logits tensor is made is not understood: {_text(out)}")
    if out.rank != (3 if entry in _BY_HEAD else 2):
        return Unknown(f"the logits tensor has {out.rank} dimensions")
    gap = plus(out.stride, width, -1) if isinstance(width, Number) else None
    if gap is None or gap.constant is None:
        return Unknown(f"the row stride exceeds the width by {gap.text if gap else 'what is not known'}")
    if gap.constant < 0:
        return Unknown(f"rows lie {-gap.constant} columns closer together than they are wide")
    return Known(gap.constant)


def _width(way: Way, entry: Entry) -> Width:
    width, block = way.state[1], way.state[3]
    kind, value, formula = WidthKind.UNKNOWN, None, None
    text = _text(width)
    if isinstance(width, Number):
        atom = width.atom
        over = atom.parts[1] if atom is not None and atom.kind == "floor" and atom.parts[0] == LENGTH else None
        fixed = block.constant if isinstance(block, Number) and entry is Entry.LOGITS else None
        if (width.constant or 0) > 0:
            kind, value = WidthKind.FIXED, width.constant
        elif width == LENGTH:
            kind = WidthKind.OPERATOR
        elif over is not None and ((over.constant or 0) > 0 or role(over) == "ratio"):
            kind, value = WidthKind.FRACTION, over.constant
        elif isinstance(block, Number) and fixed is None and entry is Entry.LOGITS and width.divisible_by(block):
            kind = WidthKind.MULTIPLE
        elif width.multiple >= _LEAST_BLOCK or fixed == 1:
            kind, value = WidthKind.MULTIPLE, width.multiple
        elif width.at(1 << 20, ANY) is not None:
            kind, formula = WidthKind.DERIVED, width
    own = block.constant if isinstance(block, Number) and entry is Entry.LOGITS else None
    plain = kind is WidthKind.UNKNOWN and isinstance(width, Number) and _NAMED.fullmatch(text) is not None
    return Width(kind, text, way.source.relative, way.line, value, own, formula, plain)


def _setting(values: Iterable[Value], *, block: bool = False) -> Setting:
    settings: list[Setting] = []
    for value in values:
        if not isinstance(value, Number):
            said = f"not a number: {_text(value)}"
            settings.append(Unknown(said) if block else RunTime(said))
        elif value.constant is not None:
            settings.append(Known(value.constant))
        else:
            atom = value.atom
            text = atom.text if atom is not None and atom.kind in ("other", "parameter") else ""
            plain = _BLOCK.search(text) is not None and _NEUTRAL(text.lower()) is not None
            settings.append(RunTime(value.text, plain or not block))
    settings = list(dict.fromkeys(settings))
    if len(settings) == 1:
        return settings[0]
    if any(isinstance(s, Unknown) for s in settings):
        return Unknown("several values, not all of them understood")
    texts = [s.text if isinstance(s, RunTime) else str(s.value) for s in settings if not isinstance(s, Unknown)]
    return RunTime(" or ".join(sorted(texts)), all(isinstance(s, RunTime) and s.plain for s in settings))


def _text(value: Value) -> str:
    return value.text if isinstance(value, Number) else "a tensor" if isinstance(value, Tensor) else "no number"
