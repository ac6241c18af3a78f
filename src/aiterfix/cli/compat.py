"""``aiterfix compat``: what is known of a release, offline."""

from __future__ import annotations

import argparse
from typing import Any

from aiterfix.cli import output
from aiterfix.cli.arguments import add_json
from aiterfix.errors import ExitCode
from aiterfix.history import Compat, RefRecord, compat, load_history
from aiterfix.verdict import Guard, Verdict

_EXIT = {
    Verdict.GUARDED: ExitCode.OK,
    Verdict.NOT_AFFECTED: ExitCode.OK,
    Verdict.VULNERABLE: ExitCode.ACTION,
    Verdict.UNKNOWN: ExitCode.NOT_UNDERSTOOD,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "version", metavar="VERSION", help="version number of amd-aiter, tag of ROCm/aiter, or commit that a tag names"
    )
    add_json(parser)


def execute(options: argparse.Namespace) -> int:
    """Look the version up."""
    answer = compat(options.version)
    if options.json:
        output.write_json("compat", compat_facts(answer))
    else:
        output.write(compat_text(answer))
    return _EXIT[answer.verdict]


def compat_facts(answer: Compat) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "asked": answer.asked,
        "known": answer.known,
        "verdict": answer.verdict.value,
        "release": _release(answer.release),
        "closest": _release(answer.closest),
        "reason": answer.reason,
        "facts_up_to": answer.newest,
    }


def _release(ref: RefRecord | None) -> dict[str, Any] | None:
    if ref is None:
        return None
    return {
        "ref": ref.ref,
        "date": ref.date,
        "commit": ref.commit,
        "verdict": ref.verdict.value,
        "fixes": [
            {
                "id": f,
                "state": ref.state(f).value,
                "stores": ref.counts(f).total,
                "bounded": ref.counts(f).bounded,
            }
            for f in load_history().fixes
        ],
        "files": [
            {
                "path": f.path,
                "sha256": f.sha256,
                "verdict": f.verdict.value,
                "sites": {k.kernel: {g.value: k.counts.count(g) for g in Guard} for k in f.kernels},
            }
            for f in ref.files
        ],
    }


def compat_text(answer: Compat) -> str:
    """For people."""
    shown = "".join(c if c.isprintable() else "?" for c in answer.asked)
    if answer.release is None:
        lines = [f"{shown}: not known, run `aiterfix check`: {answer.reason}."]
        if answer.closest is not None:
            lines.append(f"The release it is named after, {answer.closest.ref}, is {answer.closest.verdict.value}.")
    else:
        lines = [_heading(shown, answer.release), *_fix_lines(answer.release)]
    lines.append(
        f"Facts from the source of every tag up to {answer.newest[:10]}; `aiterfix check` reads what is there."
    )
    return "\n".join(lines) + "\n"


def _heading(asked: str, ref: RefRecord) -> str:
    name = asked if asked in (ref.ref, ref.ref.removeprefix("v")) else f"{asked}, that is {ref.ref}"
    return f"{name} ({ref.date[:10]}, commit {ref.commit[:12]}): {ref.verdict.value}"


def _fix_lines(ref: RefRecord) -> list[str]:
    lines = []
    for fix in load_history().fixes:
        counts = ref.counts(fix)
        if ref.state(fix).value == "unknown":
            lines.append(f"  {fix}: not understood")
        elif counts.total:
            lines.append(f"  {fix}: {counts.bounded} of {counts.total} stores are bounded")
            having = [f for f in ref.files if any(k.fix == fix and k.counts.total for k in f.kernels)]
            lines += [f"    {f.path}  sha256 {f.sha256[:12]}" for f in having]
    return lines or ["  holds none of the kernels"]
