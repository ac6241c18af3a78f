"""SARIF 2.1.0 (OASIS standard) for code scanning: one result a store without an upper bound, or a doubt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aiterfix._version import __version__
from aiterfix.assessment import Assessment

SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_RULES = {
    "unbounded-store": (
        "A store's column has no upper bound",
        "The store can write past the end of its output row: into the next row, or past the tensor.",
        "error",
    ),
    "other-expression": (
        "A mask bounds another expression than the column",
        "The mask compares the bound with an expression that is not the store's own column, so it does not count.",
        "warning",
    ),
    "not-understood": (
        "The kernel is not understood",
        "Nothing may be concluded about these stores. Unknown is never safe.",
        "error",
    ),
}


def sarif_log(assessments: Sequence[Assessment]) -> str:
    """A SARIF log of everything judged, as text.

    Artifact locations are relative to the folder that holds the package (``ROOT0``, ``ROOT1``, ...).
    """
    results: list[dict[str, Any]] = []
    roots: dict[str, Any] = {}
    for i, assessment in enumerate(assessments):
        base = f"ROOT{i}"
        roots[base] = {"uri": assessment.installation.root.resolve().as_uri().rstrip("/") + "/"}
        for file in assessment.files:
            where = (file.relative, base)
            for problem in file.analysis.all_problems:
                text = f"{problem.kernel}: {problem.message}" if problem.kernel else problem.message
                results.append(_result("not-understood", text, where, problem.line, problem.line))
            for site in file.analysis.sites:
                if not site.guard.bounded:
                    text = f"{site.kernel}: column `{site.column}` is not kept below {site.bound}"
                    results.append(_result("unbounded-store", text, where, site.line, site.end_line))
                for finding in site.findings:
                    text = f"{site.kernel}: {finding.message}"
                    results.append(_result("other-expression", text, where, site.line, site.end_line))
    driver = {
        "name": "aiterfix",
        "semanticVersion": __version__,
        "rules": [
            {
                "id": rule,
                "shortDescription": {"text": short},
                "fullDescription": {"text": full},
                "defaultConfiguration": {"level": level},
                "help": {"text": "Run `aiterfix apply`, or keep padding columns behind each output row."},
            }
            for rule, (short, full, level) in _RULES.items()
        ],
    }
    run: dict[str, Any] = {"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", "results": results}
    if roots:
        run["originalUriBaseIds"] = roots
    return json.dumps({"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(rule: str, text: str, where: tuple[str, str], line: int, end_line: int) -> dict[str, Any]:
    from urllib.parse import quote

    path, base = where
    return {
        "ruleId": rule,
        "ruleIndex": list(_RULES).index(rule),
        "level": _RULES[rule][2],
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(path), "uriBaseId": base},
                    "region": {"startLine": line, "endLine": end_line},
                }
            }
        ],
        "partialFingerprints": {"siteText/v1": f"{rule}:{path}:{text}"},
    }
