"""The page of a validation: what was measured, launch by launch."""

from __future__ import annotations

from dataclasses import replace

from aiterfix.report.html.validate import validate_page
from aiterfix.report.types.validate import FaultPairReport, ValidateReport
from aiterfix.validation.report import NotRun, Report, ScenarioResult, SourceFacts
from tests.report.html.reading import read, tables, text

BAD = ScenarioResult(
    "preshuffle/h64-b64/full/n2-len1000", "preshuffle", "h64-b64", False, 8, 7996, 1e-6, 0.1, 168,
    ("0, 3: -inf, 1.5", "<b>"), 24, 24, 24, known_faults=("column-bound",),
)  # fmt: skip
GOOD = replace(
    BAD, passed=True, wrong_logits=0, wrong_at=(), overshoot_columns=0, elements_past_last_row=0, known_faults=()
)
BEFORE = Report((SourceFacts("k<ernels>.py", "a" * 64),), "emulator", "3.7.1", "scenario", scenarios=(BAD,))
AFTER = replace(
    BEFORE, sources=(SourceFacts("k<ernels>.py", "b" * 64, "a" * 64, ("column-bound",)),), scenarios=(GOOD,)
)


def test_one_run() -> None:
    tree = read(validate_page(ValidateReport.of(BEFORE)))
    assert text(tree.find(".//h1")) == "aiterfix validate: failed"  # type: ignore[arg-type]
    (rows,) = tables(tree)
    assert rows[1] == [
        BAD.name, "FAILED", "8", "24", "24", "168 of 7996", "1.0e-06", "column-bound; 0, 3: -inf, 1.5; <b>",
    ]  # fmt: skip
    assert len(tree.findall(".//table//rect")) == 1, "a bar as long as the most columns"
    assert "k<ernels>.py sha256 aaaaaaaaaaaa" in text(tree) and "run by emulator, Triton 3.7.1" in text(tree)
    good = read(validate_page(ValidateReport.of(replace(BEFORE, scenarios=(GOOD,)))))
    assert text(good.find(".//h1")) == "aiterfix validate: passed"  # type: ignore[arg-type]
    assert tables(good)[0][1][1] == "passed" and good.findall(".//table//rect") == []


def test_a_fault_before_its_mend_and_after() -> None:
    pair = FaultPairReport.of("column-bound", BEFORE, AFTER)
    page = validate_page(replace(ValidateReport.of(AFTER), fault=pair), ValidateReport.of(BEFORE))
    tree = read(page)
    assert text(tree.find(".//h1")) == "column-bound: fails before, passes after its mend"  # type: ignore[arg-type]
    assert [text(h) for h in tree.iter("h2")] == ["What goes wrong where", "Before the mend", "After the mend"]
    before, after = tables(tree)
    assert (before[1][1], after[1][1]) == ("FAILED", "passed")
    alone = replace(ValidateReport.of(BEFORE), fault=FaultPairReport.of("column-bound", BEFORE, None))
    assert "fails before, nothing mends it" in text(read(validate_page(alone)))


def test_what_did_not_run_is_named() -> None:
    report = replace(
        BEFORE,
        scenarios=(),
        not_run=(NotRun("base", "b64", "no code", "why"), NotRun("stage1", "b1", "refuses", "", refused=True)),
        interrupted=3,
        notes=("a note",),
    )
    said = text(read(validate_page(ValidateReport.of(report))))
    assert "Not run" in said and "base b64" in said and "Refused by the wrapper" in said
    assert "Interrupted: 3 launches were left." in said and "a note" in said
