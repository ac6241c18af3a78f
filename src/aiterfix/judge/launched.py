"""What a launch of a public function meets: its facts against the faults of the kernels that it comes to.

The live guard and ``aiterfix check --launches`` show what this says, of a process's judgement or of an installation's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from enum import Enum

from aiterfix.errors import ExitCode
from aiterfix.family.entries import OTHER_GPU
from aiterfix.family.handed import kernels_of
from aiterfix.family.kernels import ENTRIES, ENTRY
from aiterfix.family.reads import named
from aiterfix.family.rounding import most_columns, rounded_to
from aiterfix.faults.base import Fault, Presence, Reach, worst
from aiterfix.faults.registry import Faults
from aiterfix.judge.judgement import Judgement, LaunchFacts
from aiterfix.storage.record import record

_ON_DEVICE = {"walk-past-empty": "context_lens"}
"""Verbs of faults that hang on lengths too, which stand on the device: what a launch hands over is not all."""

_FARTHEST = 1 << 31
"""Where offsets end: in bytes in a Gluon kernel, in elements in a plain one."""

_BY_HEAD = (f"{ENTRY}_stage1", f"{ENTRY}_stage1_ragged_k")
"""Functions whose output has heads before rows and columns."""


class Outcome(str, Enum):
    """What comes of a launch, over the faults that decide."""

    NOT_REACHED = "not-reached"
    """It meets none."""
    DEPENDS = "depends"
    """On facts that are not known."""
    REACHED = "reached"
    """It meets one."""
    UNKNOWN = "unknown"
    """What it comes to is not understood. Never to be taken for safe."""

    @property
    def exit_code(self) -> ExitCode:
        """The exit status that it makes."""
        return _EXIT[self]


_SEVERITY = tuple(Outcome)
_EXIT = {
    Outcome.NOT_REACHED: ExitCode.OK,
    Outcome.DEPENDS: ExitCode.ACTION,
    Outcome.REACHED: ExitCode.ACTION,
    Outcome.UNKNOWN: ExitCode.NOT_UNDERSTOOD,
}


def worst_outcome(outcomes: Iterable[Outcome]) -> Outcome:
    """What comes of several launches: every doubt outranks every answer."""
    return max(outcomes, key=_SEVERITY.index, default=Outcome.NOT_REACHED)


@record(frozen=True)
class Launch:
    """One combination of what a public function is handed.

    Attributes:
        gpu: architecture, as ``gfx950``; empty where it is not known.
    """

    entry: str
    facts: LaunchFacts
    gpu: str = ""


@record(frozen=True)
class Launchable:
    """A kernel that a launch may come to.

    Attributes:
        presence: of each fault that can be in it.
        released: whether its file is one of a release, so that its rounding of rows is known.
        where: the text that it stands in: path or module.
    """

    name: str
    plain: bool
    presence: tuple[tuple[str, Presence], ...]
    released: bool
    where: str


@record(frozen=True)
class Launchables:
    """All of a judgement that launches are held against.

    Attributes:
        kernels: those that something may launch.
        doubts: what keeps the answers from being certain, and about which text.
        prebuilt: whether prebuilt code objects run in the place of the Gluon kernels.
        compiler: the Triton that is known beside the kernels.
        deciding: ids of those that decide.
        by_compiler: ids of those that decide where it is known which Triton compiles a launch.
    """

    kernels: tuple[Launchable, ...]
    doubts: tuple[tuple[str, str], ...]
    prebuilt: bool
    compiler: LaunchFacts
    known: Faults
    deciding: frozenset[str]
    by_compiler: frozenset[str] = frozenset()

    def doubts_about(self, kernels: Collection[Launchable]) -> list[str]:
        """Doubts, but those about texts that none of these kernels stands in."""
        others = {k.where for k in self.kernels} - {k.where for k in kernels}
        return [said for where, said in self.doubts if where not in others]


@record(frozen=True)
class FaultOfLaunch:
    """One fault that is in what a launch comes to, or may be.

    Attributes:
        presence: in the kernels that the launch may come to.
        facts: names of the facts that would decide, where that is open.
        told: what happens, with the launch's numbers where they are known.
        decides: whether the outcome hangs on it.
    """

    fault: str
    presence: Presence
    reach: Reach
    facts: tuple[str, ...]
    told: str
    decides: bool


@record(frozen=True)
class LaunchJudgement:
    """Judgement on one launch.

    Attributes:
        launch: with the compiler that it was judged for.
        kernels: names of those that it may come to.
        faults: every fault that is in one of them, or is not understood.
        reason: why nothing certain can be said; empty where it can.
        remedy: what to hand over instead, where no kernel is made for what is handed over; empty elsewhere.
    """

    launch: Launch
    kernels: tuple[str, ...]
    faults: tuple[FaultOfLaunch, ...]
    reason: str = ""
    remedy: str = ""

    @property
    def outcome(self) -> Outcome:
        """What comes of it."""
        met = [f for f in self.faults if f.decides and f.reach is not Reach.NOT_REACHED]
        if self.reason or any(f.presence is Presence.UNKNOWN for f in met):
            return Outcome.UNKNOWN
        return worst_outcome(Outcome(f.reach.value) for f in met)

    def met(self, reach: Reach) -> tuple[FaultOfLaunch, ...]:
        """Deciding faults that are there and are met in this way."""
        known = (f for f in self.faults if f.decides and f.presence is not Presence.UNKNOWN)
        return tuple(f for f in known if f.reach is reach)

    @property
    def not_understood(self) -> tuple[FaultOfLaunch, ...]:
        """Deciding faults that may be there and, if so, may be met."""
        met = (f for f in self.faults if f.decides and f.reach is not Reach.NOT_REACHED)
        return tuple(f for f in met if f.presence is Presence.UNKNOWN)


def launchables(judgement: Judgement) -> Launchables:
    """What launches are held against, without the texts.

    Args:
        judgement: of an installation, or of what a process has loaded.
    """
    from aiterfix.history.digests import kernels_of_release

    plain = {g.name for g in judgement.known.groups if g.prebuilt is None}
    released = {t.sha256: bool(t.sha256) and bool(kernels_of_release(t.sha256)) for t in judgement.texts}
    kernels = tuple(
        Launchable(
            u.name, u.group in plain, tuple((d.fault, d.presence) for d in u.diagnoses), released[t.sha256], t.where
        )
        for t, u in judgement.units
        if u.stores or not u.presence(judgement.deciding).harmless
    )
    doubts = [(d.where, str(d)) for d in judgement.doubts]
    doubts += [("", f"{t.where}:{p.line}: {p.message}") for t in judgement.texts for p in t.diagnosis.problems]
    facts = judgement.launch
    compiler = LaunchFacts(triton=facts.triton, triton_published=facts.triton_published)
    return Launchables(
        tuple(dict.fromkeys(kernels)),
        tuple(doubts),
        bool(judgement.prebuilt_in_use),
        compiler,
        judgement.known,
        judgement.deciding,
        judgement.known.deciding_by_compiler - judgement.question.left_out
        if judgement.question.compiler
        else frozenset(),
    )


def judge_launch(there: Launchables, launch: Launch) -> LaunchJudgement:
    """Judge one launch.

    Args:
        there: from `launchables`.
        launch: what is handed over. A compiler that is known beside the kernels takes the place of its own.
    """
    facts = launch.facts
    if there.compiler.triton is not None:
        compiler = there.compiler
        facts = replace(facts, triton=compiler.triton, triton_published=compiler.triton_published)
    launch = replace(launch, facts=facts)
    names = kernels_of(launch.entry, facts.known(), launch.gpu) if launch.entry in ENTRIES else ()
    # In the order of names, whatever the order of files: two judgements on one tree are equal.
    found = [k for name in names for k in there.kernels if k.name == name]
    deciding = there.deciding | (there.by_compiler if facts.triton is not None else frozenset[str]())
    faults = tuple(_joined(f, found, facts, deciding) for f in there.known.judged if _is_there(f, found))
    reason, remedy = _misuse(launch, found) or (_reason(there, launch, names, found), "")
    return LaunchJudgement(launch, tuple(dict.fromkeys(k.name for k in found)), faults, reason, remedy)


def _reason(there: Launchables, launch: Launch, names: tuple[str, ...], found: Collection[Launchable]) -> str:
    """Why nothing certain can be said of a launch."""
    if launch.entry not in ENTRIES:
        return f"{launch.entry} is no function that is judged"
    if doubts := there.doubts_about(found):
        return "; ".join(doubts[:3])
    if not found:
        return f"no kernel that it launches was found ({', '.join(names)})"
    if not all(k.plain for k in found):
        if there.prebuilt:
            return "prebuilt code objects run in the place of the source"
        if launch.gpu == OTHER_GPU and launch.entry == ENTRY:
            return f"kernels for {OTHER_GPU} are not judged"
    return ""


def _misuse(launch: Launch, kernels: Iterable[Launchable]) -> tuple[str, str] | None:
    """Why a launch is wrong whatever faults its kernels have, for what it hands over, and what to hand over instead;
    None where nothing says so, or the function is not judged."""
    facts = launch.facts
    if launch.entry not in ENTRIES:
        return None
    if misfit := facts.misfit():
        return misfit, "Pass an output of whole rows, each of at least max_model_len columns that follow one another."
    if launch.entry in _BY_HEAD and facts.output_rank not in (None, 3):
        why = f"the output has {facts.output_rank} axes, and the kernel writes heads, rows and columns"
        return why, "Pass an output of heads, rows and columns."
    if launch.entry == ENTRY and facts.schedule == 1 and facts.preshuffle == 0:
        why = "a schedule is passed without Preshuffle, and no kernel that goes by one takes such a cache"
        return why, "Pass VarCtxSchedule=None, or a preshuffled cache and Preshuffle=True."
    gluon = not all(k.plain for k in kernels)
    if facts.output_bytes is not None and gluon:
        why = f"the output has elements of {facts.output_bytes} bytes, and Gluon kernels write float32"
        return why, "Pass an output of float32."
    return _misread(facts, gluon=gluon)


def _misread(facts: LaunchFacts, *, gluon: bool) -> tuple[str, str] | None:
    """The same of what is read."""
    if facts.misread:
        why = f"every kernel misreads the {named(facts.misread)}, as laid out"
        return why, "Pass contiguous inputs: one row of weights a query, one length a sequence, a cache of bytes."
    if facts.mistyped and gluon:
        why = f"Gluon kernels are compiled for another type of {named(facts.mistyped)}"
        return why, "Pass a query of fp8, weights of float32, lengths and a block table of int32."
    for name, elements, bytes_ in (
        ("query", facts.query_elements, 1),
        ("weights", facts.weights_elements, 4),
        ("block table", facts.table_elements, 4),
    ):
        if elements is not None and elements * (bytes_ if gluon else 1) > _FARTHEST:
            why = f"{elements} elements of the {name} are reached across, more than offsets of 32 bits address"
            return why, "Pass fewer sequences at a time."
    return None


def _is_there(fault: Fault, kernels: Iterable[Launchable]) -> bool:
    return any(not dict(k.presence).get(fault.id, Presence.ABSENT).harmless for k in kernels)


def _joined(
    fault: Fault, kernels: Collection[Launchable], facts: LaunchFacts, deciding: Collection[str]
) -> FaultOfLaunch:
    """One answer over the kernels that a launch may come to."""
    answers = []
    for k in kernels:
        present = dict(k.presence).get(fault.id, Presence.ABSENT)
        known = {**facts.known(), "plain": int(k.plain)}
        reach, missing = (Reach.NOT_REACHED, ()) if present.harmless else _reach(fault, present, k, known)
        answers.append((present, reach, missing, known))
    reaches = {reach for _, reach, _, _ in answers}
    missing = tuple(dict.fromkeys(m for _, _, names, _ in answers for m in names))
    reach = reaches.pop() if len(reaches) == 1 else Reach.DEPENDS
    if reach is Reach.DEPENDS and reaches:
        missing = (*missing, "kernel")  # which one runs
    met = ((fault.as_seen(p), known) for p, r, _, known in answers if r is not Reach.NOT_REACHED)
    told = next((seen.trigger.tell(known) for seen, known in met), "")
    return FaultOfLaunch(fault.id, worst(p for p, _, _, _ in answers), reach, missing, told, fault.id in deciding)


_NO_FACTS: tuple[str, ...] = ()


def _reach(
    fault: Fault, presence: Presence, kernel: Launchable, facts: Mapping[str, int]
) -> tuple[Reach, tuple[str, ...]]:
    """Whether a launch meets a fault in one kernel."""
    reach, missing = fault.reach(presence, facts)
    if fault.verb == "bound-column":
        return _columns(kernel, facts, reach, missing)
    if reach is Reach.REACHED and fault.verb in _ON_DEVICE:
        return Reach.DEPENDS, (_ON_DEVICE[fault.verb],)
    return reach, missing


def _columns(
    kernel: Launchable, facts: Mapping[str, int], reach: Reach, missing: tuple[str, ...]
) -> tuple[Reach, tuple[str, ...]]:
    """The same of stores past the end of a row, which its padding may take up."""
    chunk, block, padding = facts.get("chunk_k", 0), facts.get("kv_block_size", 0), facts.get("padding")
    if reach is Reach.DEPENDS or chunk < 1 or block < 1 or "width" not in facts:
        return reach, missing
    if padding is not None and padding >= most_columns(chunk, block):
        return Reach.NOT_REACHED, _NO_FACTS
    unit = rounded_to(kernel.name, chunk, block)
    past = -facts["width"] % unit if unit is not None else 0
    if past > max(padding or 0, 0):
        return (Reach.REACHED, _NO_FACTS) if padding is not None else (Reach.DEPENDS, ("padding",))
    # Of a source that is of no release it is not known how far it rounds.
    known = kernel.released and unit is not None
    return (Reach.NOT_REACHED, _NO_FACTS) if known else (Reach.DEPENDS, ("rounding",))
