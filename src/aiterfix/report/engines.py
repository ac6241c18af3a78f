"""Consumers and the verdicts on pairs, for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from aiterfix.engines.model import Known, RunTime, Setting, WidthKind
from aiterfix.engines.pairing import CallVerdict, Operator, Pair, PairVerdict, exit_code, tightest
from aiterfix.errors import ExitCode
from aiterfix.report.page import Page, Row
from aiterfix.report.steps import Steps
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


def pair_text(pairs: Sequence[Pair], verdict: PairVerdict, operator: Operator, steps: Steps) -> Page:
    """The report on pairs, below that on aiter."""
    lines: list[Row] = []
    for pair in pairs:
        consumer = pair.consumer
        lines.append(f"{consumer.name} {consumer.version or '(version not known)'}: {consumer.path}")
        lines += [f"  could not be read: {d.path}: {d.reason}" for d in consumer.doubts]
        if not consumer.calls:
            lines.append("  does not call the kernels")
        for judged in pair.calls:
            inside = f" in {judged.call.function}" if judged.call.function else ""
            lines.append(f"  {judged.call.file}:{judged.call.line}{inside}: {judged.verdict.value}")
            lines += [f"    {line}" for line in (judged.reason, *call_facts(judged, operator))]
        lines += [f"  {line}" for line in (left_out(pair),) if line]
        lines.append("")
    limits = [limit.text for limit in tightest(pairs)] if exit_code(verdict) is ExitCode.OK else []
    within = f" while {'; and while '.join(limits)}" if limits else ""
    lines.append(("verdict on the pair: ", colour(verdict.value, _COLOURS.get(verdict, "32")), within))
    if pairs:
        lines.append(f"next:    {pair_next(pairs, verdict, steps)}")
    return Page(lines)


def call_facts(judged: CallVerdict, operator: Operator) -> list[str]:
    """What a verdict on a call rests on, a line each: limits, evidence, what the call passes, where its width comes
    from, conditions."""
    call = judged.call
    lines = [
        *(f"while {limit.text}" for limit in judged.limits),
        *([f"evidence: {_EVIDENCE[judged.evidence]}"] if judged.evidence else []),
        f"padding {setting(call.padding)}; KVBlockSize {setting(call.kv_block_size)}; "
        f"ChunkK {setting(call.chunk_k)}; Preshuffle {setting(call.preshuffle)}; "
        f"WavePerEU {setting(call.wave_per_eu)}",
    ]
    places: dict[tuple[WidthKind, str], list[str]] = {}
    for width in call.widths:
        places.setdefault((width.kind, width.text), []).append(f"{width.file}:{width.line}")
    lines += [f"width: {_KINDS[kind]}: {text} ({', '.join(where)})" for (kind, text), where in places.items()]
    if judged.droppable:
        each = judged.bytes_back // judged.rows
        lines.append(
            f"{judged.droppable} padding columns may be dropped: {judged.bytes_back} bytes back for {judged.rows} "
            f"row{'' if judged.rows == 1 else 's'} ({each} each)"
        )
    if judged.lengths is not None and judged.lengths.above is not None:
        lines.append(judged.lengths.text)
    if operator.compress_ratio is not None and any(
        w.kind is WidthKind.FRACTION and w.value is None for w in call.widths
    ):
        lines.append(f"for a compress ratio of {operator.compress_ratio} (--compress-ratio)")
    return [*lines, *(f"condition: {condition}" for condition in call.conditions)]


def left_out(pair: Pair) -> str:
    """How many calls are not judged, and why; empty where all are."""
    others = len(pair.consumer.calls) - len(pair.calls)
    more = "1 more call" if others == 1 else f"{others} more calls"
    return f"not judged: {more} (other kernels: --kernel all; or not of --caller)" if others else ""


def stated(operator: Operator) -> str:
    """What the command line says of the deployment, and what it leaves open."""
    numbers = {f"--{f.name.replace('_', '-')}": getattr(operator, f.name) for f in fields(operator)}
    told = ", ".join(f"{option} {number}" for option, number in numbers.items() if number is not None)
    left = ", ".join(option for option, number in numbers.items() if number is None)
    return f"judged for {told}" + (f"; for any {left}" if left else "")


def setting(value: Setting) -> str:
    """An argument of a call, for people."""
    if isinstance(value, Known):
        return str(value.value)
    return f"at run time: {value.text}" if isinstance(value, RunTime) else "not understood"


def pair_next(pairs: Sequence[Pair], verdict: PairVerdict, steps: Steps) -> str:
    """What an operator does next about pairs, see `pair_text`."""
    lengths = [c.lengths for p in pairs for c in p.calls if c.lengths is not None]
    if verdict in (PairVerdict.UNSAFE, PairVerdict.SAFE_LENGTHS):
        return f"{steps.restart()}{f'; or else: {lengths[0].text}' if lengths else ''}"
    if verdict is PairVerdict.DEPENDS:
        return f"{steps.apply('')} where it offers a mend; else give what decides, or check it as named above"
    if verdict is PairVerdict.UNKNOWN:
        files = {c.call.file for p in pairs for c in p.calls if c.verdict is not PairVerdict.UNKNOWN}
        known = f"; or name the file that your model takes: --caller {min(files)}" if files else ""
        return f"{steps.makes('makes every caller safe')}; if aiter is not understood, keep 256 padding columns{known}"
    if verdict is PairVerdict.DROP_PADDING:
        return "nothing; the padding may go"
    if any(c.evidence in ("bound", "measured") for p in pairs for c in p.calls):
        return f"nothing for what was asked about here; {steps.makes('makes every length safe')}"
    return "nothing"
