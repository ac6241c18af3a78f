"""One judgement over everything that a search found: what is on disk, and what processes run of it."""

from __future__ import annotations

from collections.abc import Iterable

from aiterfix.faults.base import Presence, Reach, worst
from aiterfix.installation.target import Discovery
from aiterfix.judge.judgement import FaultAnswer, Judgement
from aiterfix.judge.verdict import Verdict
from aiterfix.judge.verdict import worst as worst_verdict
from aiterfix.storage.record import record


@record(frozen=True)
class HookOutlook:
    """Whether the import hook mends what processes of an interpreter load.

    Attributes:
        active: whether it starts in every process of the interpreter that was asked about.
        way: by what it starts; empty where it does not.
        detail: why not, or what that leaves open; for people.
    """

    active: bool
    way: str
    detail: str


NO_HOOK = HookOutlook(False, "", "not looked for")


@record(frozen=True)
class Whole:
    """Everything found, judged.

    Attributes:
        discovery: what was searched, found and passed over.
        on_disk: a judgement for each installation.
        running: the same for what processes run: other objects only where the hook is counted.
        hook: whether it is.
        parts: one a target, where several were named; each decides by itself.
    """

    discovery: Discovery
    on_disk: tuple[Judgement, ...]
    running: tuple[Judgement, ...]
    hook: HookOutlook = NO_HOOK
    parts: tuple[Whole, ...] = ()

    @property
    def live(self) -> tuple[Judgement, ...]:
        """Judgements of what import would take."""
        return tuple(j for j in self.running if not _shadowed(j))

    @property
    def verdict(self) -> Verdict:
        """The verdict on everything, as processes run it. Of several targets the worst, and one that holds no aiter
        outranks those that are clean: nobody named it to be passed over."""
        if not self.parts:
            return _overall(self.discovery, self.running)
        verdicts = [part.verdict for part in self.parts]
        left = [v for v in verdicts if v is not Verdict.CLEAN]
        answered = [v for v in left if v is not Verdict.NOT_INSTALLED]
        return worst_verdict(answered or left or verdicts, empty=Verdict.NOT_INSTALLED)

    def answers(self) -> tuple[FaultAnswer, ...]:
        """Every judged fault, over all that import would take."""
        return tuple(_joined(parts) for parts in zip(*(j.answers() for j in self.live), strict=True))


def _shadowed(judgement: Judgement) -> bool:
    return judgement.installation is not None and judgement.installation.shadowed


def _overall(discovery: Discovery, judgements: Iterable[Judgement]) -> Verdict:
    """Installations that another one shadows do not run, so they do not decide. A search that could not look everywhere
    leaves a doubt, whatever else it found."""
    judged = tuple(judgements)
    deciding = [j.verdict for j in judged if not _shadowed(j)]
    if discovery.doubts or (judged and not deciding):
        # Where everything is shadowed, import takes something that is not AMD's aiter, or not whole.
        return Verdict.UNKNOWN
    return worst_verdict(deciding, empty=Verdict.NOT_INSTALLED)


def _joined(parts: tuple[FaultAnswer, ...]) -> FaultAnswer:
    """One answer from those of several installations."""
    presence = worst(p.presence for p in parts)
    reach = next((r for r in (Reach.REACHED, Reach.DEPENDS) if any(p.reach is r for p in parts)), Reach.NOT_REACHED)
    facts = tuple(dict.fromkeys(f for p in parts for f in p.deciding_facts)) if reach is Reach.DEPENDS else ()
    obstacle = next((p.obstacle for p in parts if p.obstacle), "") if presence is not Presence.ABSENT else ""
    return FaultAnswer(parts[0].fault, presence, reach, facts, obstacle, parts[0].asked)
