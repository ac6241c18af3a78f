"""The sentences that go with a verdict: what it means, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiterfix.assessment import Assessment
from aiterfix.installation import Discovery
from aiterfix.verdict import Verdict

if TYPE_CHECKING:
    from aiterfix.patching import State

REPORT_IT = "keep (or add) 256 padding columns in the caller, and report the file's digest to the aiterfix project"


def meaning(assessment: Assessment) -> str:
    """One sentence on an installation."""
    asked = [f.analysis.select(assessment.asked) for f in assessment.files]
    sites = [s for a in asked for s in a.sites]
    unbounded = sum(not s.guard.bounded for s in sites)
    if assessment.prebuilt_in_use:
        variable = assessment.prebuilt_in_use[0].variable
        return f"{variable}=1 makes prebuilt code objects run instead of the source: the source says nothing about them"
    if assessment.source_verdict is Verdict.UNKNOWN:
        return "not understood, so nothing may be concluded"
    if assessment.source_verdict is Verdict.VULNERABLE:
        return f"{unbounded} of {len(sites)} stores can reach past the end of a row"
    if assessment.source_verdict is Verdict.GUARDED:
        return f"all {len(sites)} stores are bounded by the width of a row"
    return "the package has none of the kernels"


def next_step(discovery: Discovery, assessments: Sequence[Assessment], verdict: Verdict, arguments: str) -> str:
    """What a person should do now.

    Args:
        discovery: what was searched.
        assessments: of everything found.
        verdict: on the whole.
        arguments: how the installation was named on the command line, to repeat it.
    """
    if verdict is Verdict.NOT_INSTALLED:
        return "name the installation with --path DIR or --python EXE, or install amd-aiter"
    if verdict is Verdict.UNKNOWN:
        if any(a.prebuilt_in_use for a in assessments):
            return "unset the variable so that the source is compiled, or keep 256 padding columns in the caller"
        if discovery.doubts and not any(a.source_verdict is Verdict.UNKNOWN for a in assessments):
            return "look at what could not be read (above), or name one installation with --path"
        if assessments and all(a.installation.shadowed for a in assessments):
            return "remove what shadows aiter (passed over, above), or name one installation with --path"
        return REPORT_IT
    if verdict is Verdict.VULNERABLE:
        return f"aiterfix apply{arguments}"
    return "nothing"


def patch_line(patch: State | None, arguments: str) -> str:
    """One line on what aiterfix itself has done to an installation; empty for nothing. ``arguments`` as above."""
    if patch is None or patch.kind.value == "none":
        return ""
    if patch.kind.value == "applied":
        applied = patch.annotations.get("aiterfix", "")
        by = f"by aiterfix {applied}" if applied else "by aiterfix"
        return f"patched on disk {by}; originals in {patch.state_dir}; undo with `aiterfix revert{arguments}`"
    if patch.kind.value == "interrupted":
        ways = " or ".join(f"`aiterfix {command}{arguments}`" for command in ("apply", "revert"))
        return f"an interrupted run left something behind: {patch.detail} (run {ways})"
    return f"{patch.kind.value}: {patch.detail}"
