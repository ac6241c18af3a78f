"""``aiterfix cost``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.cli import output
from aiterfix.cli.arguments import positive
from aiterfix.cli.target import add_target, known_faults
from aiterfix.cli.validate import asked_by
from aiterfix.errors import ExitCode, NotUnderstoodError, UsageError
from aiterfix.report.page import Page
from aiterfix.report.terminal import table
from aiterfix.report.types.cost import CostReport, KernelReport
from aiterfix.storage.digest import sha256_hex
from aiterfix.validation.choice import kernel_texts, read
from aiterfix.validation.requirements import require_emulator, run_as

if TYPE_CHECKING:
    from aiterfix.family.portable import AnyKernel
    from aiterfix.family.signature import KernelConfig

_BLOCKS = (16, 64, 128, 256)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser, several=False)
    parser.add_argument("--source", type=Path, metavar="FILE", help="this kernel file instead of an installation's")
    parser.add_argument(
        "--kernel",
        choices=("gluon", "stage1"),
        default="gluon",
        help="Gluon kernels (default), or stage1 for the plain-Triton ones",
    )
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with this text instead of the mends")
    parser.add_argument(
        "--kv-block-size", action="append", type=positive, metavar="N", help="only this; may be repeated"
    )
    parser.add_argument("--heads", action="append", type=positive, metavar="N", help="may be repeated (default: 64)")
    parser.add_argument("--context", type=positive, default=8192, metavar="N", help="tokens (default: 8192)")
    parser.add_argument("--next-n", type=positive, default=1, metavar="N", help="rows of a sequence (default: 1)")


def execute(options: argparse.Namespace) -> int:
    """Compile a kernel file for gfx950 as it is, with each mend alone and with all that `apply` makes; run each on the
    emulator, and compare what they use and execute."""
    require_emulator("cost")
    from aiterfix.family.portable import find_portable
    from aiterfix.family.signature import find_kernels
    from aiterfix.validation.cost import Variant, measure, variants

    if options.source is not None and (options.path or options.root):
        raise UsageError("--source names the file: it goes with neither --path nor --root")
    find, what = (find_kernels, "Gluon") if options.kernel == "gluon" else (find_portable, "plain-Triton")
    texts = kernel_texts(asked_by(argparse.Namespace(**{**vars(options), "kernel": None})))
    files = [file for file in texts.before if find(file.text, file.filename)]
    if not files:
        raise NotUnderstoodError(f"there is no {what} kernel in what is to be compared")
    file = files[0]
    before, name = file.text, file.filename if options.source is None else file.shown
    known = known_faults(options)
    if options.against:
        others: tuple[Variant, ...] = (Variant((), read(options.against)),)
    else:
        others = variants(before, known.judged, name, known.deciding)
    results, triton = measure(
        before,
        others,
        name,
        _configs(options, find(before, name)),
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
    changing = {fault for v in others for fault in v.mends}
    report = CostReport(
        name,
        sha256_hex(before),
        triton,
        () if options.against else tuple(f.id for f in known.judged if f.id not in changing),
        options.context,
        options.next_n,
        dearer,
        tuple(map(KernelReport.of, results)),
    )
    if options.json:
        output.write_report(report)
    else:
        output.write(_text(report, same=all(v.text == before for v in others)))
    return ExitCode.ACTION if dearer else ExitCode.OK


def _configs(options: argparse.Namespace, kernels: Sequence[AnyKernel]) -> list[tuple[AnyKernel, KernelConfig]]:
    from aiterfix.family.portable import Portable, portable_configs
    from aiterfix.family.signature import KernelConfig
    from aiterfix.validation.scenarios import suits

    configs: list[tuple[AnyKernel, KernelConfig]] = []
    for kernel in kernels:
        if isinstance(kernel, Portable):
            # Chunks are what their wrappers take.
            (config, *_) = portable_configs(kernel, "quick")
            wanted = (
                replace(config, kv_block_size=block, heads=heads)
                for block in options.kv_block_size or (1,)
                for heads in options.heads or (64,)
            )
            configs += [(kernel, made) for made in wanted if suits(kernel, made)]
            continue
        blocks = options.kv_block_size or _BLOCKS
        for block in blocks if kernel.preshuffled else (1,):
            for heads in options.heads or (64,):
                configs.append((kernel, KernelConfig(heads=heads, kv_block_size=block)))
    return configs


def _text(report: CostReport, *, same: bool) -> Page:
    lines = [
        f"{report.source} (sha256 {report.sha256[:12]})",
        f"compiled for gfx950 by Triton {report.triton}, run on the emulator: context {report.context}, next_n "
        f"{report.next_n}",
    ]
    heads: tuple[str, ...] = (
        "mended",
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
    for r in report.kernels:
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
        rows.append((_mended(r), r.kernel, r.configuration, *cells, f"{more:+.2%}"))
    lines += table(rows)
    for r in report.kernels:
        what = " ".join(w for w in (_mended(r), r.kernel, f"{r.configuration}:") if w)
        changed = {
            g: r.after.executed.get(g, 0) - r.before.executed.get(g, 0)
            for g in sorted({*r.before.executed, *r.after.executed})
        }
        shown = ", ".join(f"{g} {n:+d}" for g, n in changed.items() if n)
        if len(r.mends) != 1:  # of each mend alone, --json has them
            lines.append(f"{what} executed by group: {shown or 'no difference'}")
        lines += [f"{what} DEARER: {reason}" for reason in r.dearer]
    together = {r.mends for r in report.kernels if len(r.mends) > 1}
    lines += [f"all: {', '.join(mends)}, as `aiterfix apply` mends them" for mends in together]
    if report.unaffected:
        lines.append(f"no edit of this file: {', '.join(report.unaffected)}")
    if same:
        lines.append("both texts are the same: nothing is mended in this file")
    return Page(lines)


def _mended(row: KernelReport) -> str:
    return "all" if len(row.mends) > 1 else "".join(row.mends)
