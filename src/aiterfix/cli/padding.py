"""``aiterfix padding``."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

from aiterfix.advice.lengths import Lengths, safe_lengths
from aiterfix.advice.padding import KERNELS, Advice, Question, advise, held_kernels
from aiterfix.cli import output
from aiterfix.cli.arguments import TEXT, add_output, form_asked, positive
from aiterfix.cli.steps import place_of, steps_at
from aiterfix.cli.target import Target, add_installation, targets_of
from aiterfix.errors import EnvironmentProblem, ExitCode, UsageError
from aiterfix.faults.base import Presence
from aiterfix.judge.judgement import Judgement
from aiterfix.judge.process import OnDisk, judge_importable
from aiterfix.overshoot.results import Measured
from aiterfix.report.html.padding import Need
from aiterfix.report.page import Page
from aiterfix.report.steps import Steps
from aiterfix.report.terminal import table
from aiterfix.report.types.common import Lengths as SafeLengths
from aiterfix.report.types.padding import PaddingReport, PaddingRow, PaddingTable
from aiterfix.validation.requirements import require_emulator, run_as

_LENGTHS = (1000, 1024, 2000, 2048, 4000, 4096, 8000, 8192, 32000, 32768, 65536, 100000, 131072)
_BLOCKS = (1, 16, 32, 64, 128, 256)

FORMATS = (TEXT, "json", "html")
EVIDENCE = {
    "guarded": "every store is bounded, by source",
    "measured": "measured for this source, configuration and Triton release",
    "bound": "a bound from the source, which no context length exceeds",
}

Answer = tuple[Question, Advice, Lengths | None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_installation(parser, several=False)
    parser.add_argument(
        "--max-model-len",
        action="append",
        type=positive,
        metavar="N",
        help="width of a row, tokens, as vLLM's option of that name; may be repeated with --table",
    )
    parser.add_argument(
        "--block-size",
        action="append",
        type=positive,
        metavar="N",
        help="tokens in a KV block, as vLLM's option of that name; may be repeated with --table",
    )
    parser.add_argument("--chunk-k", type=positive, default=256, metavar="N", help="columns of a chunk (default: 256)")
    parser.add_argument(
        "--next-n",
        type=positive,
        default=1,
        metavar="N",
        help="rows of a sequence, 1 + speculative tokens (default: 1)",
    )
    parser.add_argument("--heads", type=positive, default=64, metavar="N", help="index heads (default: 64)")
    parser.add_argument(
        "--kernel",
        choices=KERNELS,
        default="auto",
        help="which code path is asked about; auto: the one that consumers take on gfx942 and gfx950, that is Gluon "
        "where the release has it (default: auto)",
    )
    parser.add_argument("--require", action="store_true", help="exit with 1 where any padding is required")
    parser.add_argument("--table", action="store_true", help="a table of lengths and block sizes")
    add_output(parser, FORMATS)
    parser.add_argument(
        "--measure",
        action="store_true",
        help="establish it now: compile for gfx950, which runs the kernel file's top level, and run the integer part "
        "on a CPU",
    )


def execute(options: argparse.Namespace) -> int:
    """Say how many padding columns rows need."""
    form = form_asked(FORMATS, vars(options))
    if form == "html" and not options.table:
        raise UsageError("--format html is of a table", remedy="Add --table.")
    with output.into(options.output):
        return _execute(options, form)


def _execute(options: argparse.Namespace, form: str) -> int:
    (target,) = targets_of(options)
    target.require()
    questions = _questions(options)
    disk = judge_importable(target.path, target.python, target.root)
    if not disk.files:
        raise EnvironmentProblem(
            "no kernel of aiter was found",
            why="; ".join(map(str, disk.judgement.doubts)),
            remedy="Name the installation with --path DIR or --python EXE.",
        )
    measured = _measure(options, questions, disk) if options.measure else ()
    # What other interpreters compile with is not known here: only what this one measured counts for them.
    own = options.measure or target == Target()
    answers = [_answer(q, disk.judgement, measured=own) for q in questions]
    rows = tuple(_row(*answer) for answer in answers)
    source = ", ".join(t.where for t in disk.judgement.texts)
    if form == "html":
        from aiterfix.report.html.padding import padding_page

        evidence = tuple(dict.fromkeys(EVIDENCE[a.evidence] for _, a, _ in answers))
        output.write_escaped(padding_page(source, [_need(q, a) for q, a, _ in answers], evidence))
    elif form == "json":
        output.write_report(
            PaddingTable(source, measured, rows) if options.table else PaddingReport.of(source, measured, rows[0])
        )
    else:
        output.write(_table(rows) if options.table else _text(answers[0], measured, _steps(options, disk.judgement)))
    if any(a.presence is Presence.UNKNOWN for _, a, _ in answers):
        return ExitCode.NOT_UNDERSTOOD
    return ExitCode.ACTION if options.require and any(a.columns for _, a, _ in answers) else ExitCode.OK


def _questions(options: argparse.Namespace) -> list[Question]:
    lengths = options.max_model_len or (_LENGTHS if options.table else ())
    blocks = options.block_size or (_BLOCKS if options.table else ())
    if not options.table and (len(lengths) != 1 or len(blocks) != 1):
        raise UsageError("give --max-model-len and --block-size, once each", remedy="For several, add --table.")
    return [
        Question(n, b, options.chunk_k, None, options.next_n, options.heads, options.kernel)
        for n in lengths
        for b in blocks
    ]


def needs_of(judgement: Judgement, *, measured: bool) -> tuple[Need, ...]:
    """What every usual length and block size need with the kernels of an installation.

    Args:
        measured: whether what this interpreter measured counts for it.
    """
    asked = (Question(n, b) for n in _LENGTHS for b in _BLOCKS)
    return tuple(_need(q, advise(q, judgement, measured=measured)) for q in asked)


def _need(question: Question, advice: Advice) -> Need:
    understood = advice.presence is not Presence.UNKNOWN
    return Need(question.max_model_len, question.kv_block_size, advice.columns, advice.exact, understood)


def _answer(question: Question, judgement: Judgement, *, measured: bool) -> Answer:
    """The advice, and where columns are needed the nearest lengths at which none are."""
    advice = advise(question, judgement, measured=measured)
    if not advice.columns:
        return question, advice, None

    def columns_at(width: int) -> int:
        return advise(replace(question, max_model_len=width), judgement, measured=measured).columns

    period = math.lcm(question.chunk_k, question.kv_block_size)
    return question, advice, safe_lengths(columns_at, question.max_model_len, period)


def _measure(options: argparse.Namespace, questions: list[Question], disk: OnDisk) -> tuple[Measured, ...]:
    if options.python is not None:
        raise UsageError("--measure compiles with this interpreter's Triton: run it there instead of giving --python")
    require_emulator("padding --measure")
    from aiterfix.overshoot.certify import certify, files_of
    from aiterfix.validation.choice import wrapper_facts

    # The wrapper is there too, and is not run; nor are files of kernels that are not asked about.
    texts = disk.judgement.texts
    files = files_of({t.path: t.text for t in texts if t.path is not None}, options.kernel)
    guarded = {k.name for k in held_kernels(disk.judgement) if k.presence.harmless}
    owner = run_as(output.note, *files) if files else None
    wrapper = wrapper_facts(disk.judgement)
    return tuple(m for q in questions for m in certify(files, q, wrapper, owner, guarded))


def _row(q: Question, a: Advice, safe: Lengths | None) -> PaddingRow:
    return PaddingRow(
        max_model_len=q.max_model_len,
        block_size=q.kv_block_size,
        columns=a.columns,
        reason=a.reason,
        evidence=a.evidence,
        exact=a.exact,
        assumption=a.assumption,
        kernel=a.kernel,
        presence=a.presence,
        safe_max_model_len=None if safe is None else SafeLengths(safe.step, safe.below, safe.above),
    )


def _steps(options: argparse.Namespace, judgement: Judgement) -> Steps:
    return steps_at(options, [place_of(targets_of(options)[0], judgement)])


def _text(answer: Answer, measured: tuple[Measured, ...], steps: Steps) -> Page:
    _, advice, lengths = answer
    how = "exact" if advice.exact or not advice.columns else "at most"
    lines = [
        f"padding:  {advice.columns} columns ({how}; {advice.evidence})",
        f"reason:   {advice.reason}",
        f"assuming: {advice.assumption}",
        f"kernel:   {advice.kernel} ({advice.presence.value})",
    ]
    if advice.columns:
        safe = lengths.text if lengths is not None else "no --max-model-len is known to need no padding"
        lines.append(f"lengths:  {safe}")
    lines += [
        f"measured: {m.kernel}: {m.columns} columns, worst context {m.context_length}, "
        f"{m.programs} programs, Triton {m.triton}"
        for m in measured
    ]
    lines.append(f"next:     {_next(answer, steps)}")
    return Page(lines)


def _next(answer: Answer, steps: Steps) -> str:
    """What whoever runs a server with these kernels does about it."""
    question, advice, lengths = answer
    if advice.presence.harmless:
        return "nothing"
    if not advice.columns:
        return f"nothing at this length; {steps.makes('makes every length safe')}"
    safe = dict.fromkeys(n for n in (lengths.below, lengths.above) if n is not None) if lengths is not None else ()
    ways = [
        f"`{steps.apply()}`" if steps.written else steps.apply(),
        *([f"--max-model-len {' or '.join(map(str, safe))}"] if safe else []),
        f"rows of {question.max_model_len} + {advice.columns} columns in the caller",
    ]
    if advice.presence is Presence.UNKNOWN:
        return f"{ways[-1]}, until `aiterfix check{steps.arguments}` understands the kernels"
    return ", or ".join(ways)


def _table(rows: tuple[PaddingRow, ...]) -> Page:
    cells: list[tuple[str, ...]] = [("max-model-len", "block", "columns", "evidence", "presence")]
    for r in rows:
        shown = str(r.columns) if r.exact or not r.columns else f"<= {r.columns}"
        cells.append((str(r.max_model_len), str(r.block_size), shown, r.evidence, r.presence.value))
    return Page(table(cells))
