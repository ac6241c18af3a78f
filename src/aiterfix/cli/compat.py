"""``aiterfix compat``: what is known of a release, offline."""

from __future__ import annotations

import argparse
from functools import partial

from aiterfix.cli import output
from aiterfix.cli.arguments import add_json
from aiterfix.faults.registry import Faults, load_faults
from aiterfix.history.bounds import bounds_of
from aiterfix.history.compat import Compat, compat
from aiterfix.history.record import RefRecord
from aiterfix.report.formats import Format, Json, Text
from aiterfix.report.page import Page
from aiterfix.report.types.compat import CompatReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "version", metavar="VERSION", help="version number of amd-aiter, tag of ROCm/aiter, or commit that a tag names"
    )
    add_json(parser)


def execute(options: argparse.Namespace) -> int:
    """Look the version up."""
    answer, faults = compat(options.version), load_faults()
    formats: dict[str, Format[Compat]] = {
        "text": Text(partial(compat_text, faults=faults)),
        "json": Json(partial(CompatReport.of, faults=faults)),
    }
    output.show(options, formats, answer)
    return answer.verdict(faults.deciding).exit_code


def compat_text(answer: Compat, faults: Faults) -> Page:
    """For people."""
    if answer.release is None:
        lines = [f"{answer.asked}: not known, run `aiterfix check`: {answer.reason}."]
        if answer.closest is not None:
            verdict = answer.closest.verdict(faults.deciding).value
            lines.append(f"The release it is named after, {answer.closest.ref}, is {verdict}.")
    else:
        lines = [_heading(answer.asked, answer.release, faults), *_fault_lines(answer.release, faults)]
    if faults.not_judged:
        ids = ", ".join(f.id for f in faults.not_judged)
        lines.append(f"{len(faults.not_judged)} known faults are not judged yet: {ids}.")
    lines.append(
        f"Facts from the source of every tag up to {answer.newest[:10]}; `aiterfix check` reads what is there."
    )
    return Page(lines)


def _heading(asked: str, ref: RefRecord, faults: Faults) -> str:
    name = asked if asked in (ref.ref, ref.ref.removeprefix("v")) else f"{asked}, that is {ref.ref}"
    return f"{name} ({ref.date[:10]}, commit {ref.commit[:12]}): {ref.verdict(faults.deciding).value}"


def _fault_lines(ref: RefRecord, faults: Faults) -> list[str]:
    if not any(f.kernels or f.problems for f in ref.files) and not ref.doubts:
        return ["  holds none of the kernels"]
    lines = []
    for fault in faults.in_kernels:
        lines.append(f"  {fault.id}: {ref.presence((fault.id,)).value}")
        for bounds in bounds_of(faults):
            counts = ref.counts(bounds)
            if bounds.fault == fault and counts.total:
                lines.append(f"    {bounds.group.name}: {counts.bounded} of {counts.total} stores are bounded")
    others = ", ".join(f.id for f in faults.judged if f not in faults.in_kernels)
    lines += [f"  {others}: about the wrapper, which is not recorded; `aiterfix check` says"] if others else []
    lines += [f"  {f.path}  sha256 {f.sha256[:12]}" for f in ref.files if any(k.counts.total for k in f.kernels)]
    lines += [f"  not understood: {f.path}: {p}" for f in ref.files for p in f.problems]
    return lines + [f"  not understood: {d}" for d in ref.doubts]
