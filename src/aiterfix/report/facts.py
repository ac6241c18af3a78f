"""Frozen objects to plain JSON values. The shapes are held to the schemas in ``aiterfix/schemas``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aiterfix.assessment import Assessment, KernelFile
from aiterfix.installation import Discovery, Installation, Skipped
from aiterfix.places import patch_of
from aiterfix.provenance import Provenance, provenance
from aiterfix.source.sites import StoreSite
from aiterfix.verdict import Verdict

if TYPE_CHECKING:
    from aiterfix.consumers import Found
    from aiterfix.patching import State

Facts = dict[str, Any]


def check_facts(
    discovery: Discovery, assessments: Sequence[Assessment], verdict: Verdict, kernel: str, found: Sequence[Found]
) -> Facts:
    """The body of ``aiterfix check --json``, but for verdicts on pairs."""
    return {
        "verdict": verdict.value,
        "kernel": kernel,
        "searched": [str(p) for p in discovery.searched],
        "skipped": [skipped_facts(s) for s in discovery.skipped],
        "installations": [assessment_facts(a) for a in assessments],
        "consumers": [{"name": f.name, "version": f.version, "package": str(f.package)} for f in found],
    }


def skipped_facts(skipped: Skipped) -> Facts:
    """Something passed over, or that could not be read."""
    return {"path": str(skipped.path), "reason": skipped.reason, "doubt": skipped.doubt}


def installation_facts(installation: Installation) -> Facts:
    """Where and what an installation is."""
    return {
        "package": str(installation.package),
        "kind": installation.kind.value,
        "distribution": installation.distribution,
        "version": installation.version,
        "commit": installation.commit,
        "dist_info": str(installation.dist_info) if installation.dist_info else None,
        "found_by": installation.found_by,
        "shadowed": installation.shadowed,
    }


def assessment_facts(assessment: Assessment) -> Facts:
    """One installation and everything judged in it."""
    origins = provenance(assessment)
    return {
        **installation_facts(assessment.installation),
        "verdict": assessment.verdict.value,
        "patch": patch_facts(patch_of(assessment.installation)),
        "prebuilt": [
            {
                "fix": fix.id,
                "directory": str(p.directory),
                "code_objects": p.code_objects,
                "variable": p.variable,
                "value": p.value,
                "enabled": p.enabled,
            }
            for fix, p in assessment.prebuilt
        ],
        "unreadable": [skipped_facts(d) for d in assessment.doubts],
        "kernel_files": [file_facts(f, assessment, origins.get(f)) for f in assessment.files],
    }


def patch_facts(patch: State | None) -> Facts:
    """What aiterfix has done to an installation."""
    if patch is None:
        return {"state": "none", "detail": "", "version": None, "files": []}
    return {
        "state": patch.kind.value,
        "detail": patch.detail,
        "version": patch.version,
        "files": [{"path": str(f.path), "content": f.content.value} for f in patch.files],
    }


def file_facts(file: KernelFile, assessment: Assessment, origin: Provenance | None) -> Facts:
    """One kernel file; ``releases`` is null for one that aiterfix has patched."""
    return {
        "path": str(file.path),
        "sha256": file.analysis.sha256,
        "verdict": file.analysis.verdict.value,
        "asked": any(k.fix in assessment.asked for k in file.analysis.kernels),
        "releases": list(origin.releases) if origin is not None else None,
        "note": origin.note if origin is not None else "",
        "problems": [
            {"code": p.code, "message": p.message, "line": p.line, "kernel": p.kernel}
            for p in file.analysis.all_problems
        ],
        "sites": [site_facts(s) for s in file.analysis.sites],
    }


def site_facts(site: StoreSite) -> Facts:
    """One store."""
    return {
        "fix": site.fix,
        "kernel": site.kernel,
        "line": site.line,
        "end_line": site.end_line,
        "call": site.call,
        "column": site.column,
        "mask": site.mask,
        "bound": site.bound,
        "guard": site.guard.value,
        "findings": [{"code": f.code, "message": f.message} for f in site.findings],
        "obstacle": site.obstacle or None,
    }
