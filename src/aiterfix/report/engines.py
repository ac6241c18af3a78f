"""Consumers and the verdicts on pairs, for people and programs."""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.engines.model import Known, RunTime, Setting, WidthKind
from aiterfix.engines.pairing import CallVerdict, Operator, Pair, PairVerdict, exit_code, tightest
from aiterfix.errors import ExitCode
from aiterfix.report.page import Page, Row
from aiterfix.report.terminal import colour

_COLOURS = {
    PairVerdict.UNKNOWN: "33;1",
    PairVerdict.UNSAFE: "31;1",
    PairVerdict.SAFE_LENGTHS: "31;1",
    PairVerdict.DEPENDS: "33;1",
}
_EVIDENCE = {
    "bound": "a bound from the source, not a measurement",
    "measured": "measured by running the compiled kernel",
    "guarded": "every store's mask",
}
_KINDS = {
    WidthKind.OPERATOR: "the operator's max_model_len",
    WidthKind.FRACTION: "the operator's max_model_len divided by the model's compress ratio",
    WidthKind.MULTIPLE: "always a multiple of the block size",
    WidthKind.FIXED: "a fixed number",
    WidthKind.DERIVED: "worked out from the operator's max_model_len",
    WidthKind.UNKNOWN: "not understood",
}


def pair_text(pairs: Sequence[Pair], verdict: PairVerdict, operator: Operator, arguments: str) -> Page:
    """The report on pairs, below that on aiter."""
    lines: list[Row] = []
    for pair in pairs:
        consumer = pair.consumer
        lines.append(f"{consumer.name} {consumer.version or '(version not known)'}: {consumer.path}")
        lines += [f"  could not be read: {d.path}: {d.reason}" for d in consumer.doubts]
        if not consumer.calls:
            lines.append("  does not call the kernels")
        for judged in pair.calls:
            lines += [f"  {line}" for line in _call(judged, operator)]
        others = len(consumer.calls) - len(pair.calls)
        if others:
            more = "1 more call" if others == 1 else f"{others} more calls"
            lines.append(f"  not judged: {more} (other kernels: --kernel all; or not of --caller)")
        lines.append("")
    limits = [limit.text for limit in tightest(pairs)] if exit_code(verdict) is ExitCode.OK else []
    within = f" while {'; and while '.join(limits)}" if limits else ""
    lines.append(("verdict on the pair: ", colour(verdict.value, _COLOURS.get(verdict, "32")), within))
    if pairs:
        lines.append(f"next:    {pair_next(pairs, verdict, arguments)}")
    return Page(lines)


def _call(judged: CallVerdict, operator: Operator) -> list[str]:
    call = judged.call
    inside = f" in {call.function}" if call.function else ""
    lines = [
        f"{call.file}:{call.line}{inside}: {judged.verdict.value}",
        f"  {judged.reason}",
        *(f"  while {limit.text}" for limit in judged.limits),
        *([f"  evidence: {_EVIDENCE[judged.evidence]}"] if judged.evidence else []),
        f"  padding {setting(call.padding)}; KVBlockSize {setting(call.kv_block_size)}; "
        f"ChunkK {setting(call.chunk_k)}; Preshuffle {setting(call.preshuffle)}; "
        f"WavePerEU {setting(call.wave_per_eu)}",
    ]
    places: dict[tuple[WidthKind, str], list[str]] = {}
    for width in call.widths:
        places.setdefault((width.kind, width.text), []).append(f"{width.file}:{width.line}")
    lines += [f"  width: {_KINDS[kind]}: {text} ({', '.join(where)})" for (kind, text), where in places.items()]
    if judged.droppable:
        each = judged.bytes_back // judged.rows
        lines.append(
            f"  {judged.droppable} padding columns may be dropped: {judged.bytes_back} bytes back for {judged.rows} "
            f"row{'' if judged.rows == 1 else 's'} ({each} each)"
        )
    if judged.lengths is not None and judged.lengths.above is not None:
        lines.append(f"  {judged.lengths.text}")
    if operator.compress_ratio is not None and any(
        w.kind is WidthKind.FRACTION and w.value is None for w in call.widths
    ):
        lines.append(f"  for a compress ratio of {operator.compress_ratio} (--compress-ratio)")
    lines += [f"  condition: {condition}" for condition in call.conditions]
    return lines


def setting(value: Setting) -> str:
    """An argument of a call, for people."""
    if isinstance(value, Known):
        return str(value.value)
    return f"at run time: {value.text}" if isinstance(value, RunTime) else "not understood"


def pair_next(pairs: Sequence[Pair], verdict: PairVerdict, arguments: str) -> str:
    """What an operator does next about pairs, see `pair_text`."""
    lengths = [c.lengths for p in pairs for c in p.calls if c.lengths is not None]
    if verdict in (PairVerdict.UNSAFE, PairVerdict.SAFE_LENGTHS):
        other = f"; or else: {lengths[0].text}" if lengths else ""
        return f"aiterfix apply{arguments}, then start the server again{other}"
    if verdict is PairVerdict.DEPENDS:
        return f"aiterfix apply{arguments} where it offers a mend; else give what decides, or check it as named above"
    if verdict is PairVerdict.UNKNOWN:
        files = {c.call.file for p in pairs for c in p.calls if c.verdict is not PairVerdict.UNKNOWN}
        known = f"; or name the file that your model takes: --caller {min(files)}" if files else ""
        return (
            f"aiterfix apply{arguments} makes every caller safe; if aiter is not understood, keep 256 padding columns"
            + known
        )
    if verdict is PairVerdict.DROP_PADDING:
        return "nothing; the padding may go"
    if any(c.evidence in ("bound", "measured") for p in pairs for c in p.calls):
        return f"nothing for what was asked about here; aiterfix apply{arguments} makes every length safe"
    return "nothing"
