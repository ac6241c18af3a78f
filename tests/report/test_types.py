"""A report with every part filled in keeps to the schema of its types."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from aiterfix.engines.pairing import Operator, PairVerdict
from aiterfix.faults.base import Consequence, Presence, Reach
from aiterfix.installation.target import Kind, Skipped
from aiterfix.judge.verdict import Verdict
from aiterfix.patching.status import Content, PatchState
from aiterfix.report.document import dump
from aiterfix.report.schema import document
from aiterfix.report.types.check import (
    CheckReport,
    EngineReport,
    EvidenceOfFault,
    EvidenceReport,
    FaultPresence,
    FaultReport,
    FileReport,
    FindingReport,
    HookState,
    IgnoredReport,
    InstallationReport,
    KnownFault,
    MendReport,
    OtherKernel,
    PatchedFileReport,
    PatchReport,
    PrebuiltReport,
    ProblemReport,
    RunsReport,
    UnitReport,
)
from aiterfix.report.types.pairs import PairedCheckReport, PairsReport

MEND = MendReport("edit", available=True, shown="not shown", remedy="aiterfix apply")
FAULT = FaultReport(
    "a",
    "A fault",
    Consequence.WRONG,
    True,
    Presence.PRESENT,
    "rows past 2^31 bytes",
    Reach.DEPENDS,
    ("row stride",),
    MEND,
)
FINDING = FindingReport("a", 7, 9, Presence.PRESENT, "unbounded-store", "no upper bound", {"guard": "none"})
UNIT = UnitReport("kernel", 3, "kernel", "gluon", (FaultPresence("a", Presence.PRESENT),), (FINDING,))
PROBLEM = ProblemReport("loop", "not followed", 4, "kernel")
EVIDENCE = EvidenceReport(
    ("a",), "3.6.0", "emulator", "quick", 36, 12, "failed", (EvidenceOfFault("a", "passed"),), "2026-11-27"
)
ANOTHER = replace(EVIDENCE, outcome="shown")  # type: ignore[arg-type]
FILE = FileReport(Path("k.py"), "0" * 64, ("v1",), "", (PROBLEM,), (EVIDENCE,), (UNIT,))
INSTALLATION = InstallationReport(
    package=Path("/s/aiter"),
    kind=Kind.WHEEL,
    distribution="amd-aiter",
    version=None,
    commit=None,
    dist_info=None,
    found_by="named",
    shadowed=False,
    verdict=Verdict.AFFECTED,
    runs=RunsReport(Verdict.AFFECTED, Verdict.CLEAN, "hook"),
    patch=PatchReport(PatchState.APPLIED, "", "1", (PatchedFileReport(Path("k.py"), Content.PATCHED),)),
    prebuilt=(PrebuiltReport(("a",), Path("/s/aot"), 3, "AITER_X", None, False),),
    unreadable=(Skipped(Path("x.py"), "no permission", True),),
    faults=(FaultPresence("a", Presence.PRESENT),),
    files=(FILE,),
)
REPORT = CheckReport(
    verdict=Verdict.AFFECTED,
    asked=("a",),
    faults=(FAULT,),
    ignored=(IgnoredReport("c", "rows have 256 padding columns", "--ignore", Presence.PRESENT, False),),
    not_judged=(KnownFault("b", "Another"),),
    not_judged_kernels=(OtherKernel(Path("f.py"), "an fp4 kernel"),),
    facts=(),
    installations=(INSTALLATION,),
    hook=HookState(True, True, ".pth", ""),
    engines=(EngineReport("vllm", None, Path("/s/vllm")),),
    searched=(Path("/s"),),
    skipped=(),
)
VALIDATOR = jsonschema.Draft202012Validator(document("check", [CheckReport, PairedCheckReport]))


def test_a_full_report_keeps_to_its_schema() -> None:
    said = json.loads(dump(REPORT))
    VALIDATOR.validate(said)
    assert list(said)[2:] == [
        "verdict", "asked", "faults", "ignored", "not_judged", "not_judged_kernels", "facts", "installations", "hook", "engines",
        "searched",
        "skipped",
    ]  # fmt: skip
    (unit,) = said["installations"][0]["files"][0]["units"]
    assert unit["findings"][0]["details"] == {"guard": "none"}
    assert said["installations"][0]["patch"]["state"] == "applied"
    (run,) = said["installations"][0]["files"][0]["evidence"]
    assert (run["scenarios"], run["failed"], run["outcome"]) == (36, 12, "failed")


@pytest.mark.parametrize(
    "wrong",
    [
        replace(REPORT, verdict="safe"),  # type: ignore[arg-type]
        replace(REPORT, faults=(replace(FAULT, reach="maybe"),)),  # type: ignore[arg-type]
        replace(REPORT, installations=(replace(INSTALLATION, files=(replace(FILE, sha256="0"),)),)),
        replace(REPORT, installations=(replace(INSTALLATION, files=(replace(FILE, evidence=(ANOTHER,)),)),)),
    ],
)
def test_another_word_does_not(wrong: CheckReport) -> None:
    assert not VALIDATOR.is_valid(json.loads(dump(wrong)))


def test_pairs_are_added_to_it_as_they_were() -> None:
    pairs = PairsReport.of((), PairVerdict.UNKNOWN, Operator(max_model_len=1000))
    said = json.loads(dump(PairedCheckReport.with_pairs(REPORT, pairs)))
    VALIDATOR.validate(said)
    alone = json.loads(dump(REPORT))
    assert {k: said[k] for k in alone} == alone
    assert (said["pair_verdict"], said["pairs"], said["assumed"]["max_model_len"]) == ("unknown", [], 1000)
