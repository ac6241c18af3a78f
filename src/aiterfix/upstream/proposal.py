"""The commit message and the pull-request text: what the source says, what was measured, and what was not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from aiterfix.faults.base import Fault
from aiterfix.faults.diagnosis import TextDiagnosis
from aiterfix.faults.mend import Mended
from aiterfix.history.bounds import GuardCounts
from aiterfix.source.guards import Guard
from aiterfix.source.sites import StoreSite
from aiterfix.storage.text import printable
from aiterfix.upstream.evidence import RunReport, RunReports

_MOST_ROWS = 40
_DONE = {
    "bound-column": (
        "bound every output store by {bound}",
        "Each store gets the mask term column < {bound}, where column is the very expression of its own address. The "
        "values stored, and every store that was bounded already, are unchanged.",
    ),
    "widen-row": (
        "compute a row's place in 64 bits",
        "The row is added to the output's pointer in 64 bits, as Triton keeps buffer offsets in 32.",
    ),
    "widen-gather": (
        "compute a KV block's place in 64 bits",
        "Every load from the cache that multiplies a block's number with a stride does so in 64 bits, and takes the "
        "whole address as a pointer: a buffer load's offset has 32 bits whatever the type in the source. Loads whose "
        "place fits are unchanged.",
    ),
    "bound-causal": (
        "bound each row by its own position",
        "Row i of next_n sees columns up to context_length - next_n + i, as in the kernels that have it right.",
    ),
    "page-by-block": (
        "look up blocks, not tokens",
        "A token's place is its block's, from the table at position // KVBlockSize, and its own in the block. "
        "Functions whose kernels are not told the block's size refuse blocks of several tokens.",
    ),
    "walk-past-empty": (
        "go on past empty sequences",
        "The search through the schedule ends with the batch, and no longer with the first length of 0.",
    ),
    "take-row-stride": (
        "refuse outputs whose rows it would not meet",
        "The function raises a ValueError for an output whose first stride is not its rows'.",
    ),
    "hide-unseen": (
        "mask columns that a row may not see",
        "Every stage's scores get the bound that the last one had.",
    ),
    "take-chunk": (
        "refuse a ChunkK that no warp has a tile of",
        "The function raises a ValueError where the compiler would end the process.",
    ),
}
"""What each verb's edit does: the end of a subject line, and a paragraph."""


@dataclass(frozen=True)
class ChangedFile:
    """One file that the patch changes.

    Attributes:
        path: in the tree.
        groups: code paths whose kernels were asked for; None for all.
    """

    path: str
    mended: Mended
    groups: Collection[str] | None = None

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Kernel, or function, and line of each place that is changed."""
        return tuple(place for step in self.mended.steps for place in step.places)

    @property
    def kernels(self) -> tuple[str, ...]:
        """Kernels, or functions, that are changed."""
        return tuple(dict.fromkeys(name for name, _ in self.places))

    def counts(self) -> dict[str, tuple[GuardCounts, GuardCounts]]:
        """Stores by kernel and guard, before and after."""
        both = [self._sites(self.mended.before), self._sites(self.mended.after)]
        names = dict.fromkeys(s.kernel for s in both[0])
        before, after = ({n: GuardCounts.of(s.guard for s in sites if s.kernel == n) for n in names} for sites in both)
        return {n: (before[n], after[n]) for n in names}

    @property
    def bound(self) -> str:
        """What columns of the edited stores are bounded by."""
        old, new = self._sites(self.mended.before), self._sites(self.mended.after)
        names = {a.bound for a, b in zip(old, new, strict=True) if a.guard is not b.guard}
        return names.pop() if len(names) == 1 else "the row's length"

    def _sites(self, diagnosis: TextDiagnosis) -> tuple[StoreSite, ...]:
        assert diagnosis.analysis is not None
        return tuple(s for s in diagnosis.analysis.sites if self.groups is None or s.group in self.groups)


@dataclass(frozen=True)
class Proposal:
    """Text for people upstream.

    Attributes:
        subject: first line of the commit message.
        message: all of it, sign-off not included.
        body: the pull request's description, Markdown.
    """

    subject: str
    message: str
    body: str


def propose(
    fault: Fault, files: Sequence[ChangedFile], base: str, measured: RunReports, test_path: str | None
) -> Proposal:
    """Write both texts.

    Args:
        base: the commit that the patch stands on, and its name.
        measured: what validation found; may be empty, and the text then says that nothing was measured.
        test_path: where the regression test is added; None without one.
    """
    stem = printable(files[0].path).rsplit("/", 1)[-1].removesuffix(".py")
    same = all(f.path.rsplit("/", 1)[-1] == files[0].path.rsplit("/", 1)[-1] for f in files)
    bounds = {f.bound for f in files} if fault.verb == "bound-column" else {""}
    bound = bounds.pop() if len(bounds) == 1 else "the row's length"
    end, done = (text.format(bound=bound) for text in _DONE[fault.verb])
    # No prefix in brackets: `git am` takes those off.
    subject = f"{stem if same else 'paged MQA logits'}: {end}"
    count = sum(len(f.places) for f in files)
    kernels = ", ".join(printable(k) for f in files for k in f.kernels)
    what = (
        f"{_sentence(fault.title)} It bites where {fault.trigger.sentence}. Then {fault.goes_wrong}. "
        f"{count} place{' is' if count == 1 else 's are'} changed, in {kernels}."
    )
    needs = "" if fault.verb == "bound-column" else ", only pytest and numpy"
    tested = (
        f"{test_path} checks this by the kernels' text. It needs neither a GPU nor Triton{needs}."
        if test_path
        else "No regression test goes with this."
    )
    digests = [f"{printable(f.path)}: {f.mended.before.sha256} -> {f.mended.after.sha256}" for f in files]
    evidence = _measured(measured, fault)
    paragraphs = [subject, *map(_wrap, (what, done, tested))]
    plain = [line.replace("`", "") for line in evidence if not line.startswith("|")]
    listed = [f"Base: {base.replace('`', '')}", "SHA-256 of each file, before -> after:", *digests]
    message = "\n\n".join([*paragraphs, "\n".join(listed), "\n".join(_wrap(p) for p in plain if p)]) + "\n"
    body = "\n".join(
        printable(row)  # of a Markdown text too, no name may end a line
        for row in [
            "## What",
            "",
            what,
            "",
            done,
            "",
            *(_site_table(files) if fault.verb == "bound-column" else _place_table(files)),
            "",
            f"Base: {base}.",
            "",
            "## Measured",
            "",
            *evidence,
            "",
            "## Test",
            "",
            tested,
            *_related(fault),
        ]
    )
    return Proposal(subject, message, body + "\n")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _place_table(files: Sequence[ChangedFile]) -> list[str]:
    lines = ["| file | kernel or function | places changed |", "| --- | --- | --- |"]
    for f in files:
        names = [name for name, _ in f.places]
        lines += [f"| `{f.path}` | `{k}` | {names.count(k)} |" for k in f.kernels]
    return lines


def _site_table(files: Sequence[ChangedFile]) -> list[str]:
    lines = [
        "Stores, by how their column is bounded:",
        "",
        "| file | kernel | | none | lower | upper | both |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for f in files:
        for name, both in f.counts().items():
            for when, counts in zip(("before", "after"), both, strict=True):
                cells = " | ".join(str(counts.count(g)) for g in Guard)
                lines.append(f"| `{f.path}` | `{name}` | {when} | {cells} |")
    return lines


def _measured(measured: RunReports, fault: Fault) -> list[str]:
    pairs = measured.pairs()
    lines = [
        f"- Recorded for the text before ({r.sha256[:12]}"
        + (f", with the mends of {', '.join(r.mends)}" if r.mends else ", as it is")
        + f"), {r.device}, Triton {r.triton}, {r.scenarios} scenarios: those of this fault {r.outcome}."
        for r in sorted(measured.recorded, key=lambda r: (r.sha256, r.mends))
    ]
    if not measured.before and not measured.after:
        return [*lines, "The very text of this patch was not measured: neither logits nor instruction counts."]
    for when, reports in (("Before", measured.before), ("After", measured.after)):
        lines += [f"- {when} ({_ran(r)}): {_came_to(r, fault)}" for r in reports]
        if not reports and not any(r.pair for r in measured.after):
            lines.append(f"- {when}: not measured.")
    if not pairs:
        return [*lines, "", "Instruction counts were not compared: no launch was run both before and after."]
    # The launches that show the fault first.
    ordered = sorted(pairs, key=lambda p: (-p[0].overshoot, p[0].name))
    lines += [
        "",
        "| launch | columns past the row: before | after | wrong logits: before | after "
        "| wave instructions: before | after |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for b, a in ordered[:_MOST_ROWS]:
        cells = (b.overshoot, a.overshoot, b.wrong, a.wrong, b.instructions, a.instructions)
        lines.append(f"| {_cell(b.name)} | " + " | ".join(str(c) for c in cells) + " |")
    if len(ordered) > _MOST_ROWS:
        lines += ["", f"{len(ordered) - _MOST_ROWS} further launches are left out of the table."]
    before, after = (sum(p[i].instructions for p in pairs) for i in (0, 1))
    if before:
        lines += [
            "",
            f"All {len(pairs)}: {before} wave instructions before, {after} after ({after / before - 1:+.2%}).",
        ]
    return lines


def _ran(report: RunReport) -> str:
    digests = ", ".join(d[:12] for d in report.sha256)
    return f"sha256 {digests}, {report.device}, Triton {report.triton}"


def _came_to(report: RunReport, fault: Fault) -> str:
    outcome = f"{len(report.scenarios)} launches, {'passed' if report.passed else 'failed'}"
    if report.pair is not None:
        before, after = report.pair
        return f"{outcome}; what shows this fault: {before} before the change, {after} after it."
    wrong = sum(s.wrong for s in report.scenarios.values())
    worst = max((s.overshoot for s in report.scenarios.values()), default=0)
    past = f", at most {worst} columns past the row" if fault.verb == "bound-column" else ""
    return f"{outcome}, {wrong} wrong logits{past}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _related(fault: Fault) -> list[str]:
    if not fault.upstream:
        return []
    return ["", "## Related", "", *(f"- {p.repository}#{p.number}: {p.role}." for p in fault.upstream)]


def _wrap(text: str) -> str:
    import textwrap

    return textwrap.fill(text, 72, break_long_words=False, break_on_hyphens=False)
