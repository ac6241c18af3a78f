"""Arguments of ``check`` that ask about a pair, and what answers them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from aiterfix.assessment import Assessment, exit_code, overall
from aiterfix.cli.arguments import positive
from aiterfix.consumers import CONSUMERS, Found, find_consumers, read_consumer
from aiterfix.errors import EnvironmentProblem, UsageError
from aiterfix.installation import Discovery

# `check` without --for runs in container builds and does not pay for the rest.
if TYPE_CHECKING:
    from aiterfix.consumers.needs import Needs
    from aiterfix.consumers.pairing import Operator, Pair, PairVerdict


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
        "--for", dest="consumer", choices=CONSUMERS, help="judge this engine's calls too; the exit code is the pair's"
    )
    group.add_argument("--max-model-len", type=positive, metavar="N", help="with --for: the length that is wanted")
    group.add_argument("--block-size", type=positive, metavar="B", help="with --for: tokens in a KV block")
    group.add_argument("--max-num-seqs", type=positive, metavar="S", help="with --for: sequences in a batch")
    group.add_argument(
        "--next-n", type=positive, metavar="R", help="with --for: rows a sequence, 1 + speculative tokens (default: 1)"
    )
    group.add_argument(
        "--compress-ratio",
        type=positive,
        metavar="C",
        help="with --for: by which the model divides the context that its indexer scores (default: 1, as in DeepSeek "
        "V3.2 and GLM-5)",
    )
    group.add_argument("--heads", type=positive, metavar="H", help="with --for: index heads (default: 64)")
    group.add_argument(
        "--caller",
        metavar="TEXT",
        help="with --for: judge only calls in files whose path contains this, where your model takes no others",
    )


def found_consumers(options: argparse.Namespace, discovery: Discovery) -> tuple[Found, ...]:
    """The engines installed where ``aiter`` was looked for."""
    return find_consumers(discovery, first_only=options.path is None)


def judge_pairs(
    options: argparse.Namespace, found: Sequence[Found], discovery: Discovery, assessments: Sequence[Assessment]
) -> Judged:
    """Judge the pairs that ``--for`` asks about.

    Raises:
        UsageError: numbers of a deployment without ``--for``.
        EnvironmentProblem: the engine is not installed here.
    """
    numbers = {
        name: getattr(options, name)
        for name in ("max_model_len", "block_size", "max_num_seqs", "next_n", "compress_ratio", "heads")
        if getattr(options, name) is not None
    }
    if options.consumer is None:
        if numbers or options.caller is not None:
            given = "--" + next(iter(numbers), "caller").replace("_", "-")
            raise UsageError(
                f"{given} is about a pair", remedy=f"Say which engine: --for {' or --for '.join(CONSUMERS)}."
            )
        return Judged((), None, None, None)
    from aiterfix.consumers.pairing import Operator, PairVerdict, judge_pair, worst
    from aiterfix.consumers.pairing import exit_code as pair_exit_code

    operator = Operator(**numbers)
    wanted = [f for f in found if f.name == options.consumer]
    if not wanted:
        raise EnvironmentProblem(
            f"no {options.consumer} is installed here",
            why="searched: " + ", ".join(str(p) for p in discovery.searched),
            remedy="Name the environment that holds both with --path DIR or --python EXE.",
        )
    if options.fixes:
        raise UsageError("--fixes does not go with --for: only the kernels of this package's fixes are advised on")
    verdict = overall(discovery, assessments)
    live = [a for a in assessments if not a.installation.shadowed]
    consumers = [read_consumer(f) for f in wanted]
    if options.caller is not None and not any(options.caller in c.file for one in consumers for c in one.calls):
        raise UsageError(
            f"no call stands in a file whose path contains {options.caller!r}",
            why="calls: " + (", ".join(sorted({c.file for one in consumers for c in one.calls})) or "none"),
            remedy="Give --caller a part of one of these, or leave it out.",
        )
    # What another interpreter compiles with is not known here.
    measured = options.path is None and options.python is None
    pairs = tuple(
        judge_pair(a, c, operator, _needs(a, operator, options.kernel, measured), options.kernel, options.caller)
        for c in consumers
        for a in live
    )
    whole = worst((p.verdict for p in pairs), empty=PairVerdict.UNKNOWN)
    if not live:
        # There is nothing for the engine to call, or it could not be read.
        return Judged(pairs, whole, int(exit_code(verdict)), operator)
    if discovery.doubts:
        whole = PairVerdict.UNKNOWN
    return Judged(pairs, whole, int(pair_exit_code(whole)), operator)


def _needs(assessment: Assessment, operator: Operator, kernel: str, measured: bool) -> Needs:
    from aiterfix.consumers.needs import Needs
    from aiterfix.holding import read_disk

    holding = read_disk(assessment.installation.package).holding
    return Needs(holding, measured=measured, kernel=kernel, heads=operator.heads, next_n=operator.next_n)
