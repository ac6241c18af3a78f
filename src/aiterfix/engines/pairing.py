"""The verdict on a pair: an ``aiter`` installation, and the calls that a consumer makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path

from aiterfix.advice.lengths import Lengths, safe_lengths
from aiterfix.advice.padding import ALL, AUTO, GLUON, STAGE1, Advice
from aiterfix.engines import bounds
from aiterfix.engines.model import Call, Consumer, Entry, Known, RunTime, Unknown, Width, WidthKind
from aiterfix.engines.needs import Configuration, Needs, configuration_of
from aiterfix.engines.values import of, role
from aiterfix.errors import ExitCode
from aiterfix.faults.base import Fault, Presence, Reach
from aiterfix.installation.view import View
from aiterfix.judge.judgement import COLUMN_BOUND, Judgement, LaunchFacts, Question
from aiterfix.storage.record import record

BYTES = 4  # float32


class PairVerdict(str, Enum):
    """Judgement on an ``aiter`` and one call, or a whole consumer."""

    NO_CALLS = "no-calls"
    """The consumer does not call the kernels (or none that was asked about)."""
    SAFE = "safe"
    """No judged fault is met, whatever length the operator chooses (or for the one that was given)."""
    DROP_PADDING = "padding-may-be-dropped"
    """Safe, and with more padding than is needed."""
    SAFE_LENGTHS = "safe-for-some-lengths"
    """Safe only where the width is a multiple of the block size."""
    DEPENDS = "depends"
    """A fault is present, and facts that were not given decide whether the call meets it."""
    UNSAFE = "unsafe-until-apply"
    """Rows are overshot at the length given, or may be at any; or another fault is met."""
    UNKNOWN = "unknown"
    """Not understood. Never to be treated as safe."""


_RANK = {verdict: rank for rank, verdict in enumerate(PairVerdict)}
_EXIT = {
    PairVerdict.NO_CALLS: ExitCode.OK,
    PairVerdict.SAFE: ExitCode.OK,
    PairVerdict.DROP_PADDING: ExitCode.OK,
    PairVerdict.SAFE_LENGTHS: ExitCode.ACTION,
    PairVerdict.DEPENDS: ExitCode.ACTION,
    PairVerdict.UNSAFE: ExitCode.ACTION,
    PairVerdict.UNKNOWN: ExitCode.NOT_UNDERSTOOD,
}


@record(frozen=True)
class Operator:
    """What the operator says of their own deployment.

    Attributes:
        max_model_len: ``--max-model-len``, tokens.
        block_size: KV block size, tokens.
        max_num_seqs: sequences in a batch.
        next_n: rows a sequence, 1 + speculative tokens; None where it is not given.
        kv_cache_bytes: KV blocks x bytes between them, of the cache that the kernels read.
        kv_block_stride: bytes from one KV block to the next.
        compress_ratio: by which the model divides the context that its indexer scores, 1 for DeepSeek V3.2 and GLM-5;
            None where it is not given, and then every one counts.
        heads: index heads; 64 for DeepSeek V3.2.
        ranks: of decode context parallelism.
    """

    max_model_len: int | None = None
    block_size: int | None = None
    max_num_seqs: int | None = None
    next_n: int | None = None
    compress_ratio: int | None = None
    heads: int = 64
    kv_cache_bytes: int | None = None
    kv_block_stride: int | None = None
    ranks: int | None = None

    @property
    def stated(self) -> dict[str, int]:
        """What is stated of the numbers that sources divide the length by."""
        numbers = {"ratio": self.compress_ratio, "ranks": self.ranks}
        return {name: number for name, number in numbers.items() if number is not None}

    @property
    def rows(self) -> int:
        """Rows of the logits tensor; 1 where the number of sequences is not given."""
        return (self.max_num_seqs or 1) * (self.next_n or 1)


@record(frozen=True)
class SizeLimit:
    """A size that no source fixes, and up to where a fault that is present is not met.

    Attributes:
        fault: its id.
        what: the size, for people.
        at_most: the largest value that is safe.
        option: by which an operator states it.
    """

    fault: str
    what: str
    at_most: int
    option: str

    @property
    def text(self) -> str:
        """For people, after "while"."""
        return f"{self.what} stays at or under {self.at_most} ({self.fault}); state it with {self.option}"


@record(frozen=True)
class CallVerdict:
    """Judgement on one call.

    Attributes:
        call: the call.
        verdict: the judgement.
        reason: why, one sentence.
        needed: padding columns needed at the length given, or at worst; None where not known.
        evidence: for ``needed``: "guarded", "measured" or "bound" (see `Advice`); None where not known.
        droppable: padding columns that may go.
        bytes_back: memory that gives back for ``rows`` rows.
        rows: see ``Operator.rows``.
        block_size: that the judgement is for; None where it is not known.
        lengths: ``--max-model-len`` values that are safe, where not all are.
        limits: sizes that were not stated, within which the verdict holds.
    """

    call: Call
    verdict: PairVerdict
    reason: str
    needed: int | None = None
    droppable: int = 0
    bytes_back: int = 0
    rows: int = 1
    block_size: int | None = None
    lengths: Lengths | None = None
    evidence: str | None = None
    limits: tuple[SizeLimit, ...] = ()


@record(frozen=True)
class Pair:
    """Judgement on an installation and a consumer: every call of kernels that were asked about."""

    judgement: Judgement
    consumer: Consumer
    calls: tuple[CallVerdict, ...]
    verdict: PairVerdict

    @property
    def installation(self) -> Path:
        """The package folder of ``aiter``."""
        assert self.judgement.installation is not None
        return self.judgement.installation.package


def tightest(pairs: Iterable[Pair]) -> tuple[SizeLimit, ...]:
    """Of every size that a verdict hangs on, the least of its limits."""
    found: dict[tuple[str, str], SizeLimit] = {}
    for limit in (one for pair in pairs for call in pair.calls for one in call.limits):
        key = limit.fault, limit.what
        found[key] = min(limit, found.get(key, limit), key=lambda one: one.at_most)
    return tuple(found.values())


def _rank(judged: CallVerdict) -> int:
    return _RANK[judged.verdict]


def exit_code(verdict: PairVerdict) -> ExitCode:
    """The exit status that a verdict on a pair makes."""
    return _EXIT[verdict]


def worst(verdicts: Iterable[PairVerdict], *, empty: PairVerdict) -> PairVerdict:
    """The verdict on a whole; every doubt outranks every answer."""
    return max(verdicts, key=_RANK.__getitem__, default=empty)


def judge_pair(
    judgement: Judgement,
    consumer: Consumer,
    operator: Operator,
    needs: Needs,
    kernel: str = AUTO,
    caller: str | None = None,
) -> Pair:
    """Judge a consumer's calls against an installation.

    Args:
        judgement: of the installation.
        consumer: as read from its source.
        operator: what is known of the deployment.
        needs: answers how many columns the installed kernels need.
        kernel: which code path is asked about; "auto" takes the calls that gfx942 and gfx950 make: of the wrapper's
            main function where the consumer calls it, else of stage1.
        caller: what a file's path must contain, where the operator says that no other call is made; None for all.
    """
    calls = [c for c in consumer.calls if caller is None or caller in c.file]
    main = {(c.file, c.function) for c in calls if c.entry is Entry.LOGITS}
    judged = []
    for call in calls:
        if call.entry is Entry.STAGE1:
            if (kernel == AUTO and (call.file, call.function) in main) or kernel not in (AUTO, ALL, STAGE1):
                continue
            groups = frozenset({STAGE1})
        elif call.entry is Entry.NOT_JUDGED and not _has_fp4(judgement, call.function):
            continue
        else:
            groups = _launched(judgement, kernel if call.entry is Entry.LOGITS else ALL)
        judged.append(_judge(call, judgement, groups, operator, needs))
    verdicts = [c.verdict for c in judged]
    if consumer.doubts:
        verdicts.append(PairVerdict.UNKNOWN)
    return Pair(judgement, consumer, tuple(judged), worst(verdicts, empty=PairVerdict.NO_CALLS))


def _launched(judgement: Judgement, kernel: str) -> frozenset[str]:
    """The code paths that the wrapper's main function launches: on gfx942 and gfx950 the Gluon kernels where the
    release has them, else the plain-Triton ones."""
    if kernel == ALL:
        return frozenset({GLUON, STAGE1})
    if kernel != AUTO:
        return frozenset({kernel})
    gluon = any(u.group == GLUON and (u.stores or not u.presence((COLUMN_BOUND,)).harmless) for _, u in judgement.units)
    return frozenset({GLUON if gluon else STAGE1})


def _has_fp4(judgement: Judgement, module: str) -> bool:
    """Whether this aiter has the kernels of a kind that is not judged: where it has none, no call leads to them."""
    if judgement.installation is None:
        return True
    view = View(judgement.installation.image_root)
    folders = view.walk(judgement.installation.package / "ops")
    if not view.exists(judgement.installation.package / "ops"):
        return bool(view.refused)
    return any(v.error or any(module in e.name and e.name.endswith(".py") for e in v.entries) for v in folders)


def _judge(call: Call, judgement: Judgement, groups: frozenset[str], operator: Operator, needs: Needs) -> CallVerdict:
    """Judge one call: its columns first, then every other fault that is present in what it launches."""
    if call.entry is Entry.NOT_JUDGED:
        return CallVerdict(call, PairVerdict.UNKNOWN, call.widths[0].text)
    bounds = judgement.asking(Question(frozenset({COLUMN_BOUND}), groups))
    found = _judge_columns(call, bounds, operator, needs)
    others = judgement.deciding - {COLUMN_BOUND}
    facts = _facts(call, groups, operator)
    worse, limits = _others(found, judgement.asking(Question(others, groups), facts), facts.known(), operator)
    found = max([found, *worse], key=_rank)
    if exit_code(found.verdict) is ExitCode.OK:
        return replace(found, limits=tuple(limits))
    other = f"; the engine runs its own {'; '.join(call.instead)} in its place" if call.instead else ""
    return replace(found, reason=found.reason + other)


def _facts(call: Call, groups: frozenset[str], operator: Operator) -> LaunchFacts:
    """What is known of the launch; the largest width is what faults of size depend on."""
    columns = [_width_in_columns(w, operator) for w in call.widths]
    known = [c for c in columns if c is not None]
    width = max(known) if known and len(known) == len(columns) and not call.conditions else None
    padding = call.padding.value if isinstance(call.padding, Known) else None
    stated = operator.max_num_seqs is not None and operator.next_n is not None
    stride, size = operator.kv_block_stride, operator.kv_cache_bytes
    return LaunchFacts(
        rows=operator.rows if stated else None,
        width=width,
        row_stride=width + padding if width is not None and padding is not None else None,
        kv_blocks=size // stride if size is not None and stride is not None else None,
        block_stride=stride,
        kv_block_size=_block(call, operator),
        chunk_k=call.chunk_k.value if isinstance(call.chunk_k, Known) else None,
        next_n=operator.next_n,
        heads=operator.heads,
        preshuffle=int(bool(call.preshuffle.value)) if isinstance(call.preshuffle, Known) else None,
        plain=int(groups == frozenset({STAGE1})),
        output_rank=call.rank,
        schedule=call.schedule.value if isinstance(call.schedule, Known) else None,
    )


def _others(
    found: CallVerdict, judgement: Judgement, facts: Mapping[str, int], operator: Operator
) -> tuple[list[CallVerdict], list[SizeLimit]]:
    """What the other faults make of a call, and the sizes up to which they are not met."""
    worse, limits = [], []
    for answer in judgement.answers():
        if not answer.asked or answer.presence.harmless:
            continue
        reach, limit = answer.reach, None
        if answer.presence is Presence.PRESENT and reach is Reach.DEPENDS:
            reach, limit = within(answer.fault, answer.presence, facts, operator, frozenset(answer.deciding_facts))
        bites = f"{answer.fault.id}: {answer.fault.goes_wrong}, where {answer.fault.trigger.sentence}"
        if limit is not None:
            limits.append(limit)
        elif answer.presence is Presence.UNKNOWN:
            worse.append(replace(found, verdict=PairVerdict.UNKNOWN, reason=f"{answer.fault.id} is not understood"))
        elif reach is Reach.REACHED:
            worse.append(replace(found, verdict=PairVerdict.UNSAFE, reason=f"this launch meets {bites}"))
        elif reach is Reach.DEPENDS:
            reason = f"{bites}; not known: {', '.join(answer.deciding_facts)}"
            worse.append(replace(found, verdict=PairVerdict.DEPENDS, reason=reason))
        if (limit is not None or reach is Reach.NOT_REACHED) and found.call.firm:
            worse.append(replace(found, verdict=PairVerdict.DEPENDS, reason=f"{bites}; and {found.call.firm[0]}"))
    return worse, limits


def within(
    fault: Fault, presence: Presence, facts: Mapping[str, int], operator: Operator, missing: frozenset[str]
) -> tuple[Reach, SizeLimit | None]:
    """Of a fault that hangs on facts that were not given: whether the least launch that is worth its while meets it,
    and else up to which size none does."""
    tokens, next_n, stride = facts.get("kv_block_size", 1), facts.get("next_n", 1), facts.get("block_stride")

    def cache(size: int) -> dict[str, int]:
        # A block takes 128 bytes a token and more, so the last one begins that much before the end, or earlier.
        apart = {"kv_blocks": size // stride} if stride else {"kv_blocks": size - tokens * 128 + 1, "block_stride": 1}
        return {**apart, "kv_block_size": tokens}

    sizes: tuple[tuple[str, Callable[[int], dict[str, int]], int, str], ...] = (
        ("KV blocks x bytes between them", cache, tokens * 128, "--kv-cache-bytes"),
        ("next_n (1 + speculative tokens)", lambda size: {"next_n": size}, 1, "--next-n"),
        (
            "rows (sequences x next_n)",
            lambda size: {"rows": size, "next_n": next_n},
            (operator.max_num_seqs or 2) * next_n,
            "--max-num-seqs and --next-n",
        ),
        (
            "rows x row stride, in elements,",
            lambda size: {"rows": size, "row_stride": 1, "width": 1},
            1,
            "--max-model-len, --max-num-seqs and --next-n",
        ),
    )
    for what, given, least, option in sizes:
        # A block size or a length alone is no size of a machine's.
        if not missing <= given(1).keys() or missing <= {"kv_block_size", "row_stride", "width"}:
            continue

        def met(size: int, given: Callable[[int], dict[str, int]] = given) -> Reach:
            return fault.reach(presence, {**facts, **given(size)})[0]

        if given is cache and operator.kv_cache_bytes is not None:
            return met(operator.kv_cache_bytes), None
        safe, unsafe = least, 1 << 62
        if met(safe) is not Reach.NOT_REACHED or met(unsafe) is Reach.NOT_REACHED:
            return met(safe), None
        while unsafe - safe > 1:
            middle = (safe + unsafe) // 2
            safe, unsafe = (middle, unsafe) if met(middle) is Reach.NOT_REACHED else (safe, middle)
        return Reach.DEPENDS, SizeLimit(fault.id, what, safe, option)
    return Reach.DEPENDS, None


def _judge_columns(call: Call, judgement: Judgement, operator: Operator, needs: Needs) -> CallVerdict:
    presence = Presence.UNKNOWN if judgement.prebuilt_in_use else judgement.presence((COLUMN_BOUND,))
    if presence.harmless:
        return _spare(call, operator, 0, "no store of the installed kernels can leave its row", "guarded")
    block = _block(call, operator)
    if presence is Presence.UNKNOWN:
        reason = "aiter itself is not understood, so the padding that is there must stay"
        return CallVerdict(call, PairVerdict.UNKNOWN, reason, block_size=block)
    if isinstance(call.padding, Unknown):
        reason = f"its row padding is not known: {call.padding.reason}"
        return CallVerdict(call, PairVerdict.UNKNOWN, reason, block_size=block)
    if not isinstance(call.chunk_k, Known) or call.chunk_k.value < 1:
        return CallVerdict(call, PairVerdict.UNKNOWN, f"ChunkK is not known: {_why(call.chunk_k)}", block_size=block)
    chunk = call.chunk_k.value
    case = _Case(call, call.padding.value, block, configuration_of(call, chunk, block), operator, needs)
    found = [_judge_width(case, w) for w in call.widths]
    # A width that is known to overshoot does so whatever the others are.
    return next((f for f in found if f.verdict is PairVerdict.UNSAFE), None) or max(found, key=_rank)


@record(frozen=True)
class _Case:
    call: Call
    padding: int
    block: int | None
    passes: Configuration
    operator: Operator
    needs: Needs

    def lengths(self, width: Width, wanted: int | None) -> Lengths | None:
        """Values of ``--max-model-len`` at which the padding that is there is enough."""
        scale = _scale(width, self.operator) or 1
        needed = self.needs.at
        return safe_lengths(
            lambda columns: needed(columns, self.passes).columns, wanted, self.passes.period, self.padding, scale
        )

    def spare(self, advice: Advice, reason: str) -> CallVerdict:
        """The padding that is there is enough."""
        return _spare(self.call, self.operator, advice.columns, reason, advice.evidence)

    def doubt(self, verdict: PairVerdict, reason: str, advice: Advice, lengths: Lengths | None = None) -> CallVerdict:
        """A judgement other than safe."""
        rows, evidence = self.operator.rows, advice.evidence
        return CallVerdict(self.call, verdict, reason, advice.columns, 0, 0, rows, self.block, lengths, evidence)


def _judge_width(case: _Case, width: Width) -> CallVerdict:
    if width.block is not None:
        case = replace(case, passes=replace(case.passes, block=width.block))
    worst_of_all = case.needs.most(case.passes)
    found = _judge_known_width(case, width, worst_of_all)
    doubts = case.call.conditions if worst_of_all.columns > case.padding else case.call.firm
    if not doubts or _rank(found) > _RANK[PairVerdict.DEPENDS]:
        return found
    left = len(doubts) - bounds.REASONS
    more = f", and {left} more" if left > 0 else ""
    reason = f"{found.reason}; but {'; '.join(doubts[: bounds.REASONS])}{more}"
    return replace(found, verdict=PairVerdict.DEPENDS, reason=reason, droppable=0, bytes_back=0)


def _judge_known_width(case: _Case, width: Width, worst_of_all: Advice) -> CallVerdict:
    operator, padding = case.operator, case.padding
    where = f"{width.text} ({width.file}:{width.line})"
    if worst_of_all.presence is Presence.UNKNOWN:
        # What answers for the columns saw something that the verdict by source did not.
        return case.doubt(PairVerdict.UNKNOWN, worst_of_all.reason, worst_of_all)
    if width.kind is WidthKind.MULTIPLE:
        return _judge_multiple(case, width, where)
    columns = _width_in_columns(width, operator)
    if columns is None:
        if worst_of_all.columns <= padding:
            return case.spare(worst_of_all, f"at any width: {worst_of_all.reason}")
        if width.kind is WidthKind.UNKNOWN:
            lengths = case.lengths(width, None)
            if lengths is not None and width.plain:
                reason = f"its width is {where}: check that it is a multiple of {lengths.step}, at which it is safe"
                return case.doubt(PairVerdict.DEPENDS, reason, worst_of_all)
            safe = f"; it is safe wherever that is a multiple of {lengths.step}" if lengths is not None else ""
            reason = f"what width reaches it is not understood: {where}{safe}"
            return case.doubt(PairVerdict.UNKNOWN, reason, worst_of_all)
        lengths = case.lengths(width, None)
        if lengths is not None and (width.kind is WidthKind.DERIVED or _scale(width, operator) is None):
            reason = f"its width is {where}: safe wherever that is a multiple of {lengths.step}; give "
            return case.doubt(PairVerdict.DEPENDS, reason + " and ".join(_not_said(width, operator)), worst_of_all)
        if lengths is None:
            reason = f"no width is safe: {worst_of_all.reason}"
            return case.doubt(PairVerdict.UNSAFE, reason, worst_of_all)
        hint = "" if case.block else f" at every block size; give --block-size ({_why(case.call.kv_block_size)})"
        return case.doubt(
            PairVerdict.SAFE_LENGTHS, f"{lengths.text}{hint}; its width is {where}", worst_of_all, lengths
        )
    advice = case.needs.at(columns, case.passes)
    if advice.columns <= padding:
        return case.spare(advice, f"at width {columns}: {advice.reason}")
    hint = "" if case.block else f"; its block size is decided at run time ({_why(case.call.kv_block_size)})"
    reason = f"at width {columns} a row has {padding} padding columns and needs {advice.columns}: {advice.reason}{hint}"
    chosen = width.kind in (WidthKind.OPERATOR, WidthKind.FRACTION)
    lengths = case.lengths(width, operator.max_model_len) if chosen else None
    return case.doubt(PairVerdict.UNSAFE, reason, advice, lengths)


def _judge_multiple(case: _Case, width: Width, where: str) -> CallVerdict:
    """Of a multiple of the block size: whatever the length, for every block size that there may be."""
    passes = case.passes
    found = [(b, case.needs.most(replace(passes, block=b), width.value or b)) for b in passes.blocks]
    block, advice = max(found, key=lambda pair: pair[1].columns)
    if advice.columns <= case.padding:
        return case.spare(advice, f"its width is always a multiple of the block size: {where}; {advice.reason}")
    safe = [str(b) for b, a in found if a.columns <= case.padding]
    hint = f"; it is safe at block sizes {', '.join(safe)} (--block-size)" if safe else ""
    reason = f"at a block size of {block}, whether {case.padding} padding columns are enough is not established{hint}"
    return case.doubt(PairVerdict.UNKNOWN, f"{reason}: {where}; {advice.reason}", advice)


def _scale(width: Width, operator: Operator) -> int | None:
    """By what the length is divided; None where nobody says."""
    return (width.value or operator.compress_ratio) if width.kind is WidthKind.FRACTION else 1


def _not_said(width: Width, operator: Operator) -> list[str]:
    """Options that would say how wide a row is."""
    said = ["--max-model-len"] if operator.max_model_len is None else []
    formula = width.formula.atoms if width.formula is not None else ()
    roles = {role(of(atom)) for atom in formula} | ({"ratio"} if width.kind is WidthKind.FRACTION else set())
    options = {"ratio": "--compress-ratio", "ranks": "--ranks"}
    return said + [option for name, option in options.items() if name in roles and name not in operator.stated]


def _width_in_columns(width: Width, operator: Operator) -> int | None:
    """The width, where what is stated decides it: at least 1."""
    if width.kind is WidthKind.FIXED:
        return width.value
    scale, length, columns = _scale(width, operator), operator.max_model_len, None
    if length is not None and scale is not None:
        if width.formula is not None:
            columns = width.formula.at(length, operator.stated)
        elif width.kind in (WidthKind.OPERATOR, WidthKind.FRACTION):
            columns = length // scale
    return columns if columns is not None and columns > 0 else None


def _block(call: Call, operator: Operator) -> int | None:
    if isinstance(call.kv_block_size, Known):
        return call.kv_block_size.value
    # What is worked out from the cache's block size, or replaces it, is not what the operator said.
    plain = isinstance(call.kv_block_size, RunTime) and call.kv_block_size.plain
    return operator.block_size if plain else None


def _spare(call: Call, operator: Operator, needed: int, reason: str, evidence: str) -> CallVerdict:
    block = _block(call, operator)
    spare = max(0, call.padding.value - needed) if isinstance(call.padding, Known) else 0
    verdict, rows = PairVerdict.DROP_PADDING if spare else PairVerdict.SAFE, operator.rows
    return CallVerdict(call, verdict, reason, needed, spare, rows * spare * BYTES, rows, block, evidence=evidence)


def _why(setting: Known | RunTime | Unknown) -> str:
    return setting.reason if isinstance(setting, Unknown) else str(getattr(setting, "text", ""))
