"""Arguments of ``check`` that ask about a pair, and what answers them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from aiterfix.cli.arguments import positive
from aiterfix.engines import CONSUMERS, Found, find_consumers, read_consumer
from aiterfix.errors import EnvironmentProblem, ExitCode, UsageError
from aiterfix.installation.target import Discovery
from aiterfix.judge.judgement import Judgement
from aiterfix.judge.whole import Whole

# `check` without --for runs in container builds and does not pay for the rest.
if TYPE_CHECKING:
    from aiterfix.engines.needs import Needs
    from aiterfix.engines.pairing import Operator, Pair, PairVerdict


_NUMBERS = (
    *("max_model_len", "block_size", "max_num_seqs", "next_n", "compress_ratio", "heads"),
    *("kv_cache_bytes", "kv_block_stride", "ranks"),
)


_ALL = "auto"


class Judged(NamedTuple):
    """Verdicts on pairs; all but ``pairs`` are None where none was asked for."""

    pairs: tuple[Pair, ...]
    verdict: PairVerdict | None
    status: int | None
    operator: Operator | None


def add_consumer(parser: argparse.ArgumentParser) -> None:
    """``--for`` and what the operator says of their deployment."""
    group = parser.add_argument_group("the pair of aiter and the engine that calls it")
    group.add_argument(
        "--for",
        dest="consumers",
        action="append",
        choices=(*CONSUMERS, _ALL),
        help="judge this engine's calls too (auto: of every engine that is there); the exit code is the pair's; may be "
        "repeated",
    )
    group.add_argument("--max-model-len", type=positive, metavar="N", help="with --for: the length that is wanted")
    group.add_argument("--block-size", type=positive, metavar="B", help="with --for: tokens in a KV block")
    group.add_argument("--max-num-seqs", type=positive, metavar="S", help="with --for: sequences in a batch")
    group.add_argument(
        "--next-n", type=positive, metavar="R", help="with --for: rows a sequence, 1 + speculative tokens"
    )
    group.add_argument(
        "--kv-cache-bytes",
        type=positive,
        metavar="N",
        help="with --for: KV blocks x bytes between them, of the cache that the indexer reads",
    )
    group.add_argument(
        "--kv-block-stride", type=positive, metavar="N", help="with --for: bytes from one KV block to the next"
    )
    group.add_argument(
        "--compress-ratio",
        type=positive,
        metavar="C",
        help="with --for: by which the model divides the context that its indexer scores (1 in DeepSeek V3.2 and "
        "GLM-5; without it, every one counts)",
    )
    group.add_argument("--ranks", type=positive, metavar="R", help="with --for: ranks of decode context parallelism")
    group.add_argument("--heads", type=positive, metavar="H", help="with --for: index heads (default: 64)")
    group.add_argument(
        "--caller",
        metavar="TEXT",
        help="with --for: judge only calls in files whose path contains this, where your model takes no others",
    )


def found_consumers(options: argparse.Namespace, discoveries: Sequence[Discovery]) -> tuple[Found, ...]:
    """The engines installed where ``aiter`` was looked for, target by target."""
    found = [f for one in discoveries for f in find_consumers(one, first_only=not (options.path or options.root))]
    return tuple({f.package: f for f in found}.values())


def judge_pairs_of_each(options: argparse.Namespace, whole: Whole) -> Judged:
    """`judge_pairs` for each target by itself, since an engine is no pair with the aiter of another place; the worst
    decides."""
    parts = whole.parts or (whole,)
    each = [judge_pairs(options, found_consumers(options, [part.discovery]), part) for part in parts]
    verdicts = [j.verdict for j in each if j.verdict is not None]
    if len(each) == 1 or not verdicts:
        return each[0]
    from aiterfix.engines.pairing import PairVerdict, worst

    statuses = [j.status for j in each if j.status is not None]
    return Judged(
        tuple(p for j in each for p in j.pairs),
        worst(verdicts, empty=PairVerdict.UNKNOWN),
        max(statuses, key=_SEVERITY.index),
        each[0].operator,
    )


# Of exit statuses, as of verdicts: what could not be judged outranks what was.
_SEVERITY = (ExitCode.OK, ExitCode.ENVIRONMENT, ExitCode.ACTION, ExitCode.NOT_UNDERSTOOD)


def judge_pairs(options: argparse.Namespace, found: Sequence[Found], whole: Whole) -> Judged:
    """Judge the pairs that ``--for`` asks about.

    Raises:
        UsageError: numbers of a deployment without ``--for``.
        EnvironmentProblem: the engine is not installed here.
    """
    numbers = {name: getattr(options, name) for name in _NUMBERS if getattr(options, name) is not None}
    if not options.consumers:
        if numbers or options.caller is not None:
            given = "--" + next(iter(numbers), "caller").replace("_", "-")
            raise UsageError(
                f"{given} is about a pair", remedy=f"Say which engine: --for {' or --for '.join(CONSUMERS)}."
            )
        return Judged((), None, None, None)
    from aiterfix.engines.pairing import Operator, PairVerdict, judge_pair, worst
    from aiterfix.engines.pairing import exit_code as pair_exit_code

    operator = Operator(**numbers)
    everyone = _ALL in options.consumers
    wanted = [f for f in found if everyone or f.name in options.consumers]
    named = [name for name in dict.fromkeys(options.consumers) if name != _ALL]
    missing = [name for name in named if name not in {f.name for f in wanted}]
    if missing or not wanted:
        raise EnvironmentProblem(
            f"no {' and no '.join(missing or CONSUMERS)} is installed here",
            why="searched: " + ", ".join(str(p) for p in whole.discovery.searched),
            remedy="Name the environment that holds both with --path DIR or --python EXE.",
        )
    if options.fixes:
        raise UsageError("--fixes does not go with --for: only this package's own faults are advised on")
    consumers = [read_consumer(f) for f in wanted]
    if options.caller is not None and not any(options.caller in c.file for one in consumers for c in one.calls):
        raise UsageError(
            f"no call stands in a file whose path contains {options.caller!r}",
            why="calls: " + (", ".join(sorted({c.file for one in consumers for c in one.calls})) or "none"),
            remedy="Give --caller a part of one of these, or leave it out.",
        )
    # What another interpreter compiles with is not known here.
    measured = not (options.path or options.python or options.root)
    kernel = options.kernel or "auto"
    pairs = tuple(
        judge_pair(j, c, operator, _needs(j, operator, kernel, measured), kernel, options.caller)
        for c in consumers
        for j in whole.live
    )
    verdict = worst((p.verdict for p in pairs), empty=PairVerdict.UNKNOWN)
    if not whole.live:
        # There is nothing for the engine to call, or it could not be read.
        return Judged(pairs, verdict, int(whole.verdict.exit_code), operator)
    if whole.discovery.doubts:
        verdict = PairVerdict.UNKNOWN
    return Judged(pairs, verdict, int(pair_exit_code(verdict)), operator)


def _needs(judgement: Judgement, operator: Operator, kernel: str, measured: bool) -> Needs:
    from aiterfix.engines.needs import Needs

    return Needs(judgement, measured=measured, kernel=kernel, heads=operator.heads, next_n=operator.next_n or 1)
