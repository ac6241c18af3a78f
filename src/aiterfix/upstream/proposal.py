"""The commit message and the pull-request text: what the source says, what was measured, and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiterfix.faults.diagnosis import TextDiagnosis
from aiterfix.faults.mend import Mended
from aiterfix.history.bounds import Bounds, GuardCounts
from aiterfix.source.guards import Guard
from aiterfix.source.sites import StoreSite
from aiterfix.storage.text import printable
from aiterfix.upstream.evidence import RunReports

_MOST_ROWS = 40


@dataclass(frozen=True)
class ChangedFile:
    """One file that the patch changes.

    Attributes:
        path: in the tree.
        mended: the proven edit.
        groups: code paths whose kernels were asked for.
    """

    path: str
    mended: Mended
    groups: tuple[str, ...]

    @property
    def stores(self) -> tuple[StoreSite, ...]:
        """Every store of these kernels, as it is in the new text."""
        return self._sites(self.mended.after)

    @property
    def edited(self) -> tuple[StoreSite, ...]:
        """The stores that are changed, as they were."""
        old = self._sites(self.mended.before)
        return tuple(a for a, b in zip(old, self.stores, strict=True) if a.guard is not b.guard)

    def counts(self) -> dict[str, tuple[GuardCounts, GuardCounts]]:
        """Stores by kernel and guard, before and after."""
        both = [self._sites(self.mended.before), self.stores]
        names = dict.fromkeys(s.kernel for s in both[0])
        before, after = ({n: GuardCounts.of(s.guard for s in sites if s.kernel == n) for n in names} for sites in both)
        return {n: (before[n], after[n]) for n in names}

    def _sites(self, diagnosis: TextDiagnosis) -> tuple[StoreSite, ...]:
        assert diagnosis.analysis is not None
        return tuple(s for s in diagnosis.analysis.sites if s.group in self.groups)


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
    files: Sequence[ChangedFile], bounds: Sequence[Bounds], base: str, measured: RunReports, test_path: str | None
) -> Proposal:
    """Write both texts.

    Args:
        files: what is changed.
        bounds: what was asked for.
        base: the commit that the patch stands on, and its name.
        measured: what validation found; may be empty, and the text then says that nothing was measured.
        test_path: where the regression test is added; None without one.
    """
    stem = printable(files[0].path).rsplit("/", 1)[-1].removesuffix(".py") if len(files) == 1 else "paged MQA logits"
    names = sorted({s.bound for f in files for s in f.edited})
    bound = names[0] if len(names) == 1 else "the row's length"
    # No prefix in brackets: `git am` takes those off.
    subject = f"{stem}: bound every output store by {bound}"
    count = sum(len(f.edited) for f in files)
    plural = "store does" if count == 1 else "stores do"
    what = (
        f"{count} {plural} not bound the column from above. Where the columns that a program handles are rounded up "
        f"past {bound}, such a store writes into the next row, or past the tensor on the last one."
    )
    done = (
        f"Each gets the mask term `column < {bound}`, where `column` is the very expression of its own address. The "
        "values stored, and every store that was bounded already, are unchanged."
    )
    tested = f"{test_path} checks the structure of every output store, without a GPU." if test_path else ""
    message = "\n\n".join(_wrap(p) for p in (subject, what, done.replace("`", ""), tested) if p) + "\n"
    body = "\n".join(
        printable(row)  # of a Markdown text too, no name may end a line
        for row in [
            "## What",
            "",
            what,
            "",
            done,
            "",
            "## Stores, by how their column is bounded",
            "",
            *_site_table(files),
            "",
            f"Base: {base}.",
            "",
            "## Measured",
            "",
            *_measured(measured),
            *(["", "## Test", "", tested] if tested else []),
            *_related(bounds),
        ]
    )
    return Proposal(subject, message, body + "\n")


def _site_table(files: Sequence[ChangedFile]) -> list[str]:
    lines = ["| file | kernel | | none | lower | upper | both |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for f in files:
        for name, both in f.counts().items():
            for when, counts in zip(("before", "after"), both, strict=True):
                cells = " | ".join(str(counts.count(g)) for g in Guard)
                lines.append(f"| `{f.path}` | `{name}` | {when} | {cells} |")
    return lines


def _measured(measured: RunReports) -> list[str]:
    pairs = measured.pairs()
    if not measured.before and not measured.after:
        return ["Not measured: neither overshoot nor instruction counts were taken for this patch."]
    lines: list[str] = []
    for when, reports in (("Before", measured.before), ("After", measured.after)):
        for r in reports:
            worst = max((s.overshoot for s in r.scenarios.values()), default=0)
            outcome = "passed" if r.passed else "failed"
            lines.append(
                f"- {when} (sha256 {r.sha256[:12]}, {r.device}, Triton {r.triton}): {len(r.scenarios)} launches, "
                f"{outcome}, at most {worst} columns past the row."
            )
        if not reports:
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


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _related(bounds: Sequence[Bounds]) -> list[str]:
    pulls = list(dict.fromkeys((p.repository, p.number, p.role) for b in bounds for p in b.upstream))
    if not pulls:
        return []
    return ["", "## Related", "", *(f"- {repository}#{number}: {role}." for repository, number, role in pulls)]


def _wrap(text: str) -> str:
    import textwrap

    return textwrap.fill(text, 72, break_long_words=False, break_on_hyphens=False)
