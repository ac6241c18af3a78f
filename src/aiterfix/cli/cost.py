"""``aiterfix cost``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiterfix.cli import output
from aiterfix.cli.arguments import positive
from aiterfix.cli.extra import require_emulator
from aiterfix.cli.target import add_target, assess_all, fixes_of, require_found
from aiterfix.errors import EnvironmentProblem, ExitCode, UsageError
from aiterfix.source.rewrite import rewrite

if TYPE_CHECKING:
    from aiterfix.cost import CodeCost, KernelCost
    from aiterfix.gfx950.signature import Kernel, KernelConfig

_BLOCKS = (16, 64, 128, 256)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
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
    from aiterfix.cost import measure
    from aiterfix.gfx950.signature import find_kernels

    before, name = _before(options)
    after = _read(options.against) if options.against else rewrite(before, fixes_of(options), filename=name).new
    configs = _configs(options, find_kernels(before, name))
    results = measure(
        before,
        after,
        name,
        configs,
        context=options.context,
        next_n=options.next_n,
        python=str(options.python) if options.python else None,
        progress=output.note if sys.stderr.isatty() else None,
    )
    dearer = any(r.dearer for r in results)
    if options.json:
        body = {"source": name, "context": options.context, "next_n": options.next_n}
        output.write_json("cost", {**body, "dearer": dearer, "kernels": [_facts(r) for r in results]})
    else:
        output.write(_text(results, same=before == after))
    return ExitCode.ACTION if dearer else ExitCode.OK


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(f"{path}: {error.strerror}", remedy="Name a file that can be read.") from error


def _before(options: argparse.Namespace) -> tuple[bytes, str]:
    """The text that is asked about, and what to call it."""
    from aiterfix.gfx950.signature import find_kernels

    if options.source is not None:
        if options.path is not None:
            raise UsageError("--source names the file: it does not go with --path")
        return _read(options.source), str(options.source)
    options.kernel = "all"
    discovery, assessments = assess_all(options)
    require_found(discovery, assessments)
    for assessment in assessments:
        for file in assessment.files:
            if not assessment.installation.shadowed and find_kernels(file.text, file.relative):
                return file.text, file.relative
    raise EnvironmentProblem("no Gluon kernels are installed here", remedy="Name a kernel file with --source FILE.")


def _configs(options: argparse.Namespace, kernels: tuple[Kernel, ...]) -> list[tuple[Kernel, KernelConfig]]:
    from aiterfix.gfx950.signature import KernelConfig

    configs = []
    for kernel in kernels:
        blocks = options.kv_block_size or _BLOCKS
        for block in blocks if kernel.preshuffled else (1,):
            for heads in options.heads or (64,):
                configs.append((kernel, KernelConfig(heads=heads, kv_block_size=block)))
    return configs


def _facts(result: KernelCost) -> dict[str, Any]:
    return {
        "kernel": result.kernel.value,
        "configuration": result.config.name,
        "before": _side(result.before),
        "after": _side(result.after),
        "dearer": list(result.dearer),
    }


def _side(cost: CodeCost) -> dict[str, Any]:
    names = ("vgprs", "agprs", "sgprs", "vgpr_spills", "sgpr_spills", "scratch_bytes", "lds_bytes", "occupancy")
    facts: dict[str, Any] = {n: getattr(cost, n) for n in (*names, "code_bytes", "static_instructions")}
    return {**facts, "executed": dict(cost.executed), "executed_total": cost.executed_total}


def _text(results: tuple[KernelCost, ...], *, same: bool) -> str:
    from aiterfix.report.text import table

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
        rows.append((r.kernel.value, r.config.name, *cells, f"{more:+.2%}"))
    lines = table(rows)
    for r in results:
        changed = {
            g: r.after.executed.get(g, 0) - r.before.executed.get(g, 0)
            for g in sorted({*r.before.executed, *r.after.executed})
        }
        shown = ", ".join(f"{g} {n:+d}" for g, n in changed.items() if n)
        lines.append(f"{r.kernel.value} {r.config.name}: executed by group: {shown or 'no difference'}")
        lines += [f"{r.kernel.value} {r.config.name}: DEARER: {reason}" for reason in r.dearer]
    if same:
        lines.append("both texts are the same: every store is bounded already")
    return "\n".join(lines) + "\n"
