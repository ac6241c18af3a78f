"""``aiterfix cost``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.cli import output
from aiterfix.cli.arguments import positive
from aiterfix.cli.target import add_target, known_faults
from aiterfix.cli.validate import asked_by
from aiterfix.errors import ExitCode, NotUnderstoodError, UsageError
from aiterfix.faults.mend import mend
from aiterfix.report.formats import Format, Json, Text
from aiterfix.report.page import Page
from aiterfix.report.terminal import table
from aiterfix.report.types.cost import CostReport, KernelReport
from aiterfix.validation.choice import kernel_texts, read
from aiterfix.validation.requirements import require_emulator, run_as

if TYPE_CHECKING:
    from aiterfix.family.signature import Kernel, KernelConfig

_BLOCKS = (16, 64, 128, 256)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser, several=False)
    parser.add_argument("--source", type=Path, metavar="FILE", help="this kernel file instead of an installation's")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with this text instead of the fix")
    parser.add_argument(
        "--kv-block-size", action="append", type=positive, metavar="N", help="only this; may be repeated"
    )
    parser.add_argument("--heads", action="append", type=positive, metavar="N", help="may be repeated (default: 64)")
    parser.add_argument("--context", type=positive, default=8192, metavar="N", help="tokens (default: 8192)")
    parser.add_argument("--next-n", type=positive, default=1, metavar="N", help="rows of a sequence (default: 1)")


def execute(options: argparse.Namespace) -> int:
    """Compile both texts for gfx950, run both on the emulator, and compare what they use and execute."""
    require_emulator("cost")
    from aiterfix.family.signature import find_kernels
    from aiterfix.validation.cost import measure

    if options.source is not None and (options.path or options.root):
        raise UsageError("--source names the file: it goes with neither --path nor --root")
    texts = kernel_texts(asked_by(options))
    files = [file for file in texts.before if find_kernels(file.text, file.filename)]
    if not files:
        raise NotUnderstoodError("there is no Gluon kernel in what is to be compared")
    file = files[0]
    before, name = file.text, file.filename if options.source is None else file.shown
    after = read(options.against) if options.against else mend(before, known_faults(options).judged, filename=name).new
    results = measure(
        before,
        after,
        name,
        _configs(options, find_kernels(before, name)),
        context=options.context,
        next_n=options.next_n,
        wrapper=texts.wrapper,
        python=str(options.python) if options.python else None,
        owner=run_as(
            output.note, *texts.places[texts.before.index(file) : texts.before.index(file) + 1], options.against
        ),
        progress=output.note if sys.stderr.isatty() else None,
    )
    dearer = any(r.dearer for r in results)
    report = CostReport(name, options.context, options.next_n, dearer, tuple(map(KernelReport.of, results)))
    formats: dict[str, Format[CostReport]] = {
        "text": Text(lambda r: _text(r.kernels, same=before == after)),
        "json": Json(lambda r: r),
    }
    output.show(options, formats, report)
    return ExitCode.ACTION if dearer else ExitCode.OK


def _configs(options: argparse.Namespace, kernels: tuple[Kernel, ...]) -> list[tuple[Kernel, KernelConfig]]:
    from aiterfix.family.signature import KernelConfig

    configs = []
    for kernel in kernels:
        blocks = options.kv_block_size or _BLOCKS
        for block in blocks if kernel.preshuffled else (1,):
            for heads in options.heads or (64,):
                configs.append((kernel, KernelConfig(heads=heads, kv_block_size=block)))
    return configs


def _text(results: tuple[KernelReport, ...], *, same: bool) -> Page:
    heads: tuple[str, ...] = (
        "kernel",
        "for",
        "VGPR",
        "SGPR",
        "spills",
        "LDS",
        "waves/SIMD",
        "code bytes",
        "executed",
        "more",
    )
    rows = [heads]
    for r in results:
        before, after = r.before, r.after
        pairs = (
            (before.vgprs + before.agprs, after.vgprs + after.agprs),
            (before.sgprs, after.sgprs),
            (before.vgpr_spills + before.sgpr_spills, after.vgpr_spills + after.sgpr_spills),
            (before.lds_bytes, after.lds_bytes),
            (before.occupancy, after.occupancy),
            (before.code_bytes, after.code_bytes),
            (before.executed_total, after.executed_total),
        )
        cells = [str(a) if a == b else f"{a} -> {b}" for a, b in pairs]
        more = (after.executed_total - before.executed_total) / before.executed_total
        rows.append((r.kernel.value, r.configuration, *cells, f"{more:+.2%}"))
    lines = table(rows)
    for r in results:
        changed = {
            g: r.after.executed.get(g, 0) - r.before.executed.get(g, 0)
            for g in sorted({*r.before.executed, *r.after.executed})
        }
        shown = ", ".join(f"{g} {n:+d}" for g, n in changed.items() if n)
        lines.append(f"{r.kernel.value} {r.configuration}: executed by group: {shown or 'no difference'}")
        lines += [f"{r.kernel.value} {r.configuration}: DEARER: {reason}" for reason in r.dearer]
    if same:
        lines.append("both texts are the same: every store is bounded already")
    return Page(lines)
