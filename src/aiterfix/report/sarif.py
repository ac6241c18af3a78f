"""SARIF 2.1.0 (OASIS standard) for code scanning: one result a place where a fault is, or a doubt."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aiterfix._version import __version__
from aiterfix.faults.base import Finding, Presence
from aiterfix.judge.judgement import COLUMN_BOUND, Judgement
from aiterfix.judge.whole import Whole
from aiterfix.report.advice import REPORT_IT

SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

NOT_UNDERSTOOD = "not-understood"

_HELP = {
    NOT_UNDERSTOOD: f"{REPORT_IT[0].upper()}{REPORT_IT[1:]}.",
    # Columns behind a row help against stores past it, and against nothing else.
    COLUMN_BOUND: "Run `aiterfix apply`, or keep padding columns behind each output row.",
}


def sarif_log(whole: Whole) -> str:
    """A SARIF log of everything judged, as text: one rule a fault, one result a place where it is.

    Artifact locations are relative to the folder that holds the package (``ROOT0``, ``ROOT1``, ...).
    """
    results: list[dict[str, Any]] = []
    roots: dict[str, Any] = {}
    faults = next((j.known.judged for j in whole.on_disk), ())
    rules = [(f.id, f.title, f"{f.goes_wrong}; it bites where {f.trigger.sentence}") for f in faults]
    rules.append((NOT_UNDERSTOOD, "The kernel is not understood", "Nothing may be concluded. Unknown is never safe."))
    index = {rule: i for i, (rule, _, _) in enumerate(rules)}
    for i, judgement in enumerate(whole.on_disk):
        assert judgement.installation is not None
        base = f"ROOT{i}"
        roots[base] = {"uri": judgement.installation.root.resolve().as_uri().rstrip("/") + "/"}
        for rule, relative, line, end_line, text, asked in places(judgement):
            level = "error" if asked else "note"
            result = _result(rule, index[rule], level, text, (relative, base), line, end_line)
            if rule in (reasons := {i.fault: i.reason for i in judgement.question.ignored}):
                result["suppressions"] = [{"kind": "external", "justification": reasons[rule]}]
            results.append(result)
    driver = {
        "name": "aiterfix",
        "semanticVersion": __version__,
        "rules": [
            {
                "id": rule,
                "shortDescription": {"text": short},
                "fullDescription": {"text": full},
                "defaultConfiguration": {"level": "error"},
                "help": {"text": _HELP.get(rule, "Run `aiterfix apply`.")},
            }
            for rule, short, full in rules
        ],
    }
    run: dict[str, Any] = {"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", "results": results}
    if roots:
        run["originalUriBaseIds"] = roots
    return json.dumps({"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


class Place(NamedTuple):
    """Where something is that is not absent.

    Attributes:
        rule: the fault, or that something is not understood.
        relative: the file, from the folder that holds the package.
        line: 1-based; 0 for a whole file.
        asked: whether it decides.
    """

    rule: str
    relative: str
    line: int
    end_line: int
    message: str
    asked: bool


def places(judgement: Judgement) -> Iterator[Place]:
    """Everything that is not absent."""
    question = judgement.question
    for doubt in judgement.doubts:
        yield Place(NOT_UNDERSTOOD, _relative(doubt.where, judgement), doubt.line, doubt.line, doubt.reason, True)
    for text in judgement.texts:
        for problem in text.diagnosis.problems:
            yield Place(NOT_UNDERSTOOD, text.relative, problem.line, problem.line, problem.message, True)
        for unit in text.diagnosis.units:
            said = set()
            for diagnosis in unit.diagnoses:
                asked = question.covers(unit) and diagnosis.fault in question.faults
                for finding in diagnosis.findings:
                    if finding.presence.harmless:
                        continue
                    unknown = finding.presence is Presence.UNKNOWN
                    rule = NOT_UNDERSTOOD if unknown else diagnosis.fault
                    message = f"{unit.name}: {_message(finding)}"
                    if (rule, finding.line, message) not in said:  # what is not understood is so for every fault
                        said.add((rule, finding.line, message))
                        yield Place(rule, text.relative, finding.line, finding.end_line, message, asked)


def _message(finding: Finding) -> str:
    notes = [value for key, value in finding.details if key == "note"]
    return "; ".join([finding.message, *notes])


def _relative(where: str, judgement: Judgement) -> str:
    """A path below the folder that holds the package, as the other locations are."""
    assert judgement.installation is not None
    path, root = Path(where), judgement.installation.root
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else where


def _result(
    rule: str, index: int, level: str, text: str, where: tuple[str, str], line: int, end_line: int
) -> dict[str, Any]:
    from urllib.parse import quote

    path, base = where
    return {
        "ruleId": rule,
        "ruleIndex": index,
        "level": level,
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    # A name is bytes; those that are no UTF-8 are escaped like all others.
                    "artifactLocation": {"uri": quote(os.fsencode(path)), "uriBaseId": base},
                    # What is about a whole file has line 0, which SARIF has not.
                    "region": {"startLine": max(line, 1), "endLine": max(end_line, 1)},
                }
            }
        ],
        "partialFingerprints": {"siteText/v1": f"{rule}:{path}:{text}"},
    }
