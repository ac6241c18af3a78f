"""A sentence a pull request: its state beside what source says, so that neither is taken for the other.

"Merged" is read as mended, "closed" as refused, "open" as not yet there. None of that follows: a merged one may have
left the fault in some kernels, a closed one may have come in by another, and an open one may not mend it all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel
from aiterfix.faults.base import Fault, PullRequest
from aiterfix.history.record import RefRecord
from aiterfix.history.store import REPOSITORY
from aiterfix.upstream.judged import FaultInTree, JudgedTree, of_record
from aiterfix.upstream.pulls import PullState, called
from aiterfix.upstream.status import Origin, PullReport, StatusResult

_SHORT = {k.function: k.value for k in (*Kernel, *Portable) if k.function}
_FEW = 3
"""Kernels that are named."""
_ORIGINS = {
    Origin.GITHUB: "GitHub, {}",
    Origin.CACHE: "last known: GitHub, {}",
    Origin.PACKAGE: "last known: recorded with this version of aiterfix, {}",
    Origin.NOWHERE: "not known",
}


@dataclass(frozen=True)
class PullSentence:
    """What to know of one pull request, or issue, about one fault.

    Attributes:
        source: where its state comes from, and of when that is.
        head: the fault in its own text; None where that is not at hand.
        base: the fault in the text that it changes; None where that is not at hand.
    """

    request: PullRequest
    text: str
    source: str
    head: FaultInTree | None
    base: FaultInTree | None


@dataclass(frozen=True)
class FaultStory:
    """What to know of one fault upstream.

    Attributes:
        main: the fault in upstream's main branch; None where that is not at hand.
        newest: the newest release that was judged; None where facts do not tell of this fault.
        places: a sentence on main, on the newest release, and on each tree asked about.
        pulls: of each pull request.
    """

    fault: Fault
    main: FaultInTree | None
    newest: str | None
    places: tuple[str, ...]
    pulls: tuple[PullSentence, ...]


def story(
    fault: Fault,
    result: StatusResult,
    newest: RefRecord | None,
    trees: Sequence[tuple[str, RefRecord]] = (),
) -> FaultStory:
    """Tell of one fault.

    Args:
        newest: the newest release that was judged.
        trees: others that were asked about, by name.
    """
    main = result.main
    places = []
    if main is not None:
        places.append(f"main of {main.date[:10]} ({main.commit[:12]}) {_has(main, fault, len(_SHORT))}")
    told = None
    for name, record in ((newest.ref, newest), *trees) if newest is not None else trees:
        what = f"{name}{', the newest release known,' if record is newest else ''}"
        if record.commit in result.trees:
            places.append(f"{what} {_has(result.trees[record.commit], fault, len(_SHORT))}")
        elif (found := of_record(record, fault.id)) is not None:
            words = "is not understood" if record.doubts else _found(found, len(_SHORT))
            places.append(f"{what} {words}")
        else:
            continue
        told = name if record is newest else told
    pulls = tuple(_sentence(fault, result.of(request), main) for request in fault.upstream)
    return FaultStory(fault, main.of(fault.id) if main is not None else None, told, tuple(places), pulls)


def _sentence(fault: Fault, report: PullReport, main: JudgedTree | None) -> PullSentence:
    request = report.request
    parts = [f"{called(request)} {_state(report)}"]
    parts[0] += f" ({request.role})"
    if request.issue or request.repository != REPOSITORY:
        parts.append("an issue changes no text" if request.issue else "it changes the consumer, and no kernel of aiter")
    else:
        parts.append(_text(fault, report))
        if main is not None and (report.pull is None or report.pull.state is not PullState.OPEN):
            same = report.head is not None and report.head.faults.get(fault.id) == main.faults.get(fault.id)
            merged = report.pull is not None and report.pull.state is PullState.MERGED
            still = "still " if merged and not main.of(fault.id).gone else ""
            also = "also " if same and not still and report.head is not None and not report.head.doubt else ""
            parts.append(f"main {still or also}{_has(main, fault)}")
    of = [t.of(fault.id) if t is not None else None for t in (report.head, report.base)]
    return PullSentence(request, "; ".join(parts) + ".", _ORIGINS[report.origin].format(report.as_of), of[0], of[1])


def _state(report: PullReport) -> str:
    pull = report.pull
    what = "is an issue" if report.request.issue else "is a pull request"
    if pull is None:
        return f"{what} of which the state is not known"
    if report.request.issue:
        return f"{what}, {'open' if pull.state is PullState.OPEN else 'closed'}"
    day = f" on {pull.changed[:10]}" if pull.changed else ""
    if pull.state is PullState.MERGED:
        return f"was merged{day}"
    if pull.state is PullState.OPEN:
        return "is open"
    carried = f", but its commit is in {' and '.join(f'#{n}' for n in report.carried_by)}" if report.carried_by else ""
    return f"was closed without merge{day}{carried}"


def _text(fault: Fault, report: PullReport) -> str:
    """What its own text has of the fault, beside the text that it changes."""
    if report.head is None:
        return "its text is not at hand, so what it mends is not known"
    if report.head.doubt:
        return f"its text is not understood ({report.head.doubt})"
    after = report.head.of(fault.id)
    words = f"its text {_has(report.head, fault)}"
    if report.base is None or report.base.doubt:
        return words
    before = report.base.of(fault.id)
    if before == after:
        return (
            f"{words}, as the text that it changes" if not after.gone else f"{words}, nor has the text that it changes"
        )
    return f"{words}; the text that it changes {_has(report.base, fault)}"


def _has(tree: JudgedTree, fault: Fault, most: int = _FEW) -> str:
    if tree.doubt:
        return f"is not understood ({tree.doubt})"
    found = tree.of(fault.id)
    return f"has the fault in none of its {tree.kernels} kernels" if found.gone else _found(found, most)


def _found(found: FaultInTree, most: int) -> str:
    parts = [f"has the fault in {_kernels(found.present, most)}"] if found.present or not found.unknown else []
    parts += [f"is not understood in {_kernels(found.unknown, most)}"] if found.unknown else []
    places = f", {found.places} place{'' if found.places == 1 else 's'}" if found.places else ""
    return " and ".join(parts) + places


def _kernels(names: Sequence[str], most: int) -> str:
    listed = f" ({', '.join(_SHORT.get(n, n) for n in names)})" if 0 < len(names) <= most else ""
    return f"{len(names) or 'no'} kernel{'' if len(names) == 1 else 's'}{listed}"
