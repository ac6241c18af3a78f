"""What a fault is, and what is said of one: the types that every fault module and every report share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path

from aiterfix.family.kernels import KernelGroup
from aiterfix.faults.condition import Condition, Phrase
from aiterfix.storage.record import record


class Presence(str, Enum):
    """Whether a fault is in a unit, by its source."""

    ABSENT = "absent"
    REFUSED = "refused"
    """Every public entry that can launch the unit raises first in the triggering case; counts as absent."""
    PRESENT = "present"
    UNKNOWN = "unknown"
    """Not understood; the findings say why. Never to be taken for absent."""

    @property
    def harmless(self) -> bool:
        """Whether no launch can meet the fault."""
        return self in (Presence.ABSENT, Presence.REFUSED)


_SEVERITY = tuple(Presence)

COMPILER_FACTS = frozenset({"triton", "triton_published"})
"""Launch facts that are about the compiler: what is installed beside the kernels tells them, or nothing does."""


def worst(parts: Iterable[Presence]) -> Presence:
    """Presence in a whole whose parts have these: a doubt outranks every answer; absent where there are no parts."""
    return max(parts, key=_SEVERITY.index, default=Presence.ABSENT)


class Consequence(str, Enum):
    """What a fault does to a launch that meets it."""

    WRONG = "wrong"
    """Logits are wrong or missing."""
    FOREIGN_MEMORY = "foreign-memory"
    """Memory that is not the launch's own is read or written; logits are wrong as well."""
    NO_RUN = "no-run"
    """It does not compile or launch."""
    UNREAD = "unread"
    """No known consumer reads what goes wrong."""

    @property
    def decides(self) -> bool:
        """Whether the fault decides verdict, exit code and `require`. The others do where ``--fault`` names them."""
        return self in (Consequence.WRONG, Consequence.FOREIGN_MEMORY)


class Reach(str, Enum):
    """Whether a launch meets a fault that is present."""

    NOT_REACHED = "not-reached"
    REACHED = "reached"
    DEPENDS = "depends"
    """On launch facts that are not known."""


_USUAL = {"head_size": 128}
"""What launch facts are where nothing else is said: they are told only of launches that differ."""


@record(frozen=True)
class Told:
    """What happens to a launch, with its numbers.

    Attributes:
        when: to which launches it happens.
        phrase: for people.
    """

    when: Condition
    phrase: Phrase


@record(frozen=True)
class Trigger:
    """When a present fault bites.

    Attributes:
        sentence: for people.
        condition: the same for programs, over the names of `LaunchFacts`.
        told: what a launch that meets it is told, the first that holds of it.
        where_unknown: the sentence where what is not understood may be wrong in every launch; empty where it is wrong
            where the fault bites.
    """

    sentence: str
    condition: Condition
    told: tuple[Told, ...] = ()
    where_unknown: str = ""

    def tell(self, facts: Mapping[str, int]) -> str:
        """When it bites, with a launch's numbers where they are known and it meets the fault."""
        facts = {**_USUAL, **facts}
        for t in self.told:
            filled = t.phrase.fill(facts) if t.when.evaluate(facts)[0] else None
            if filled is not None:
                return filled
        return self.sentence

    def reach(self, facts: Mapping[str, int]) -> tuple[Reach, tuple[str, ...]]:
        """Whether a launch with these facts meets the fault, and the facts that would decide where that is open."""
        met, missing = self.condition.evaluate({**_USUAL, **facts})
        if met is None:
            return Reach.DEPENDS, missing
        return (Reach.REACHED if met else Reach.NOT_REACHED), ()


@record(frozen=True)
class PullRequest:
    """A pull request that brought, or proposes, part of a fault's mend; or an issue that reports it.

    Attributes:
        repository: owner and name.
        number: of the pull request.
        role: what it does, one phrase.
        removes: for store bounds: guards that no store has once its change is in; by these, source tells whether a
            tree has it. Empty where it does not change the kernels.
        issue: whether it is an issue, which changes no text.
    """

    repository: str
    number: int
    role: str
    removes: tuple[str, ...] = ()
    issue: bool = False


@record(frozen=True)
class Fault:
    """One way in which the kernels go wrong: what its file in ``patches/`` says.

    Attributes:
        id: stable name, also the file's.
        title: one line for people.
        verb: which detection and edit it takes, see `aiterfix.faults.verbs`.
        goes_wrong: what a launch that meets it gets, one sentence.
        consequence: the kind of that.
        trigger: when it bites.
        groups: the kernels that can have it, by code path.
        upstream: pull requests that brought or propose a mend.
        file: where this was read from.
        remedy: what to do where no edit ever takes it out; empty where one may.
    """

    id: str
    title: str
    verb: str
    goes_wrong: str
    consequence: Consequence
    trigger: Trigger
    groups: tuple[KernelGroup, ...]
    upstream: tuple[PullRequest, ...]
    file: Path
    remedy: str = ""

    def reach(self, presence: Presence, facts: Mapping[str, int]) -> tuple[Reach, tuple[str, ...]]:
        """Whether a launch with these facts meets the fault, and the facts that would decide where that is open.

        What is not understood may be in a kernel of any kind: then it is not the kind that keeps a launch from it.
        """
        if presence is Presence.UNKNOWN:
            if self.trigger.where_unknown:
                return Reach.REACHED, ()
            facts = {name: value for name, value in facts.items() if name not in ("preshuffle", "plain")}
        return self.trigger.reach(facts)

    def as_seen(self, presence: Presence) -> Fault:
        """The fault with the sentence of its trigger that is true of a kernel in which it is this."""
        other = self.trigger.where_unknown if presence is Presence.UNKNOWN else ""
        return replace(self, trigger=replace(self.trigger, sentence=other)) if other else self

    @property
    def by_compiler(self) -> bool:
        """Whether the compiler's release is part of its trigger: no text alone says that it bites, or does not."""
        return not COMPILER_FACTS.isdisjoint(self.trigger.condition.names)


@record(frozen=True)
class NotJudged:
    """A known fault that has no module yet, so that nothing is said of it.

    Attributes:
        id: its name.
        title: one line for people.
    """

    id: str
    title: str


@record(frozen=True)
class Finding:
    """What was seen at one place of a unit, for one fault.

    Attributes:
        code: stable machine name.
        message: one sentence for people.
        line: 1-based.
        end_line: 1-based.
        presence: what this place alone makes of the fault.
        obstacle: why the place cannot be edited; empty where it can, or need not be.
        details: what a table shows beside it (a store's call, column, mask, bound, guard), in order.
    """

    code: str
    message: str
    line: int
    end_line: int
    presence: Presence
    obstacle: str = ""
    details: tuple[tuple[str, str], ...] = ()


@record(frozen=True)
class Diagnosis:
    """One fault in one unit.

    Attributes:
        fault: the fault's id.
        findings: in source order.
        recorded: judgement on a released text that was not read again: then there are no findings.
    """

    fault: str
    findings: tuple[Finding, ...]
    recorded: Presence | None = None

    @property
    def presence(self) -> Presence:
        """Judgement on the unit."""
        if self.recorded is not None:
            return self.recorded
        return worst(f.presence for f in self.findings)

    @property
    def obstacle(self) -> str:
        """Why no edit takes the fault out of this unit; empty where one does, or none is needed."""
        return next((f.obstacle for f in self.findings if f.obstacle and not f.presence.harmless), "")


NO_SIZE = "takes-no-block-size"
"""Code of a finding about a kernel that is right with blocks of one token only: what launches it must refuse others."""


def takes_no_size(line: int) -> Finding:
    """That finding, as reading a text gives it and as a record does: about the kernel that is defined on a line."""
    message = "it is not told how large a block is, and reads one token of each"
    return Finding(NO_SIZE, message, line, line, Presence.PRESENT)
