"""The page of ``aiterfix validate --format html``: every launch that ran, and how far past its row it wrote."""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.report.html.page import Markup, document, element, table
from aiterfix.report.html.pictures import figure, key, picture_of
from aiterfix.report.types.validate import FaultPairReport, ScenarioReport, ValidateReport

_BAR = 160


def validate_page(report: ValidateReport, before: ValidateReport | None = None) -> str:
    """The page.

    Args:
        report: what was run; with ``--fault``, after the mend where there is one.
        before: with ``--fault`` and a mend, the runs before it.
    """
    word, colour = ("passed", "good") if report.passed else ("failed", "bad")
    pair = report.fault
    return document(
        f"aiterfix validate: {word if pair is None else pair.id}",
        element("h1", "aiterfix validate: ", element("span", word, class_=colour)) if pair is None else _pair(pair),
        [element("p", element("code", line)) for line in _ran(report)],
        _picture(pair),
        [*_runs("Before the mend", before), *_runs("After the mend", report)]
        if before is not None
        else _runs("Launches", report),
    )


def _ran(report: ValidateReport) -> list[str]:
    by = report.executed_by
    hardware = "" if by.hardware is None else f", {by.hardware.arch}, {by.hardware.runtime}"
    mended = [
        f"{s.path}  sha256 {s.sha256[:12] or '(prebuilt)'}" + (f", with {', '.join(s.mends)} mended" if s.mends else "")
        for s in report.sources
    ]
    return [
        *mended,
        f"run by {by.device}{hardware}, Triton {by.triton or '(unknown)'}, {report.suite} set, {report.seconds:.1f} s",
    ]


def _pair(pair: FaultPairReport) -> list[Markup]:
    said = f"{pair.before} before, {'nothing mends it' if pair.after == 'no mend' else f'{pair.after} after its mend'}"
    return [
        element("h1", element("code", pair.id), ": ", element("span", said, class_="good" if pair.shown else "bad")),
    ]


def _picture(pair: FaultPairReport | None) -> list[Markup]:
    picture = picture_of(pair.id) if pair is not None else None
    if picture is None or pair is None:
        return []
    return [element("h2", "What goes wrong where"), key(), figure(picture, refused=pair.after == "refused")]


def _runs(title: str, report: ValidateReport) -> list[Markup]:
    most = max((s.overshoot_columns for s in report.scenarios), default=0)
    head = (
        "launch",
        "outcome",
        "rows",
        "columns past the row",
        "elements past the output",
        "wrong logits",
        "largest error",
        "why",
    )
    parts = [
        element("h2", title),
        table(
            head,
            (_scenario(s, most) for s in report.scenarios),
            caption="Measured: what each launch wrote",
            class_="runs",
        ),
    ]
    refused = [n for n in report.not_run if n.refused]
    left = [n for n in report.not_run if not n.refused]
    for word, found in (("Refused by the wrapper", refused), ("Not run", left)):
        rows = [(f"{n.kernel} {n.config}", n.what, ", ".join(n.known_faults)) for n in found]
        parts += [element("h3", word), table(("kernel", "what", "known fault"), rows)] if rows else []
    if report.interrupted:
        parts.append(element("p", f"Interrupted: {report.interrupted} launches were left.", class_="bad"))
    return [*parts, *(element("p", note, class_="faint") for note in report.notes)]


def _scenario(run: ScenarioReport, most: int) -> Sequence[Markup | str]:
    why = run.fault or ", ".join(run.known_faults)
    where = "; ".join(run.wrong_at[:2])
    return (
        element("code", run.name),
        element("td", "passed" if run.passed else "FAILED", class_="absent" if run.passed else "present"),
        str(run.rows),
        element("td", _bar(run.overshoot_columns, most), f" {run.overshoot_columns}"),
        str(run.elements_past_last_row),
        f"{run.wrong_logits} of {run.visible_logits}",
        f"{run.largest_error:.1e}",
        "; ".join(part for part in (why, where) if part),
    )


def _bar(columns: int, most: int) -> Markup | None:
    """How many columns, beside the most of any launch."""
    if not columns:
        return None
    width = round(_BAR * columns / most, 1)
    return element(
        "svg",
        element("rect", x=0, y=2, width=width, height=8, class_="bar"),
        viewBox=f"0 0 {width} 12",
        width=width,
        height=12,
        aria_hidden="true",
    )
