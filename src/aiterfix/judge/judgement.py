"""The one judgement: commands, hook, advice and reports show this object, and none judges for itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.faults.base import COMPILER_FACTS, Fault, Presence, Reach, worst
from aiterfix.faults.diagnosis import TextDiagnosis, Unit
from aiterfix.faults.registry import Faults
from aiterfix.judge.verdict import Verdict, of_presence
from aiterfix.storage.record import record

if TYPE_CHECKING:
    from aiterfix.installation.aot import PrebuiltCodeObjects
    from aiterfix.installation.target import Installation

COLUMN_BOUND = "column-bound"
_NO_FACTS: tuple[str, ...] = ()


@record(frozen=True)
class LaunchFacts:
    """What a call passes, as far as it is known; the names that triggers go by.

    Attributes:
        rows: rows of the output.
        width: columns of a row, ``max_model_len``.
        row_stride: elements from one row to the next.
        kv_blocks: blocks of the cache.
        block_stride: bytes from one block to the next.
        kv_block_size: tokens of a block.
        chunk_k: ``ChunkK``, columns.
        next_n: rows of a sequence.
        heads: index heads.
        head_size: elements of a key, of one byte each; left out where that is 128.
        preshuffle: 1 where ``Preshuffle`` is true, else 0.
        plain: 1 for a plain-Triton kernel, 0 for a Gluon one.
        output_rank: axes of the output.
        output_inner: elements of all its axes but the first and the last together: 1 where it has two.
        output_bytes: of an element of the output; left out where that is 4.
        schedule: 1 where a schedule is passed (``VarCtxSchedule``), else 0.
        triton: Triton's release, as 30501 for 3.5.1.
        triton_published: 1 where that is the wheel that PyPI has; left out where it may be another build.
        padding: columns behind every row that are the output's own memory; negative where the rows themselves are
            longer than the room for them.
        column_stride: elements from one column of the output to the next; left out where that is 1.
        misread: inputs that are laid out otherwise than every kernel takes for granted, see `aiterfix.family.reads`: a
            sum of 1 for the query, 2 for weights, 4 for lengths, 8 for the block table, 16 for the cache; left out
            where there are none.
        mistyped: the same of inputs of another type than Gluon kernels take for granted.
        query_elements: from its start to the end of what is read of it; left out up to 2^29, as the next two are.
        weights_elements: the same of weights.
        table_elements: the same of the block table.
    """

    rows: int | None = None
    width: int | None = None
    row_stride: int | None = None
    kv_blocks: int | None = None
    block_stride: int | None = None
    kv_block_size: int | None = None
    chunk_k: int | None = None
    next_n: int | None = None
    heads: int | None = None
    head_size: int | None = None
    preshuffle: int | None = None
    plain: int | None = None
    output_rank: int | None = None
    output_inner: int | None = None
    output_bytes: int | None = None
    schedule: int | None = None
    triton: int | None = None
    triton_published: int | None = None
    padding: int | None = None
    column_stride: int | None = None
    misread: int | None = None
    mistyped: int | None = None
    query_elements: int | None = None
    weights_elements: int | None = None
    table_elements: int | None = None

    def known(self) -> Mapping[str, int]:
        """The facts that are known, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def misfit(self) -> str:
        """Why the output cannot hold what every kernel writes, whatever faults it has; empty where nothing says so."""
        if self.column_stride not in (None, 1):
            return f"columns of the output are {self.column_stride} elements apart, and every kernel takes them for 1"
        short = -(self.padding or 0)
        if None not in (self.rows, self.width, self.row_stride) and (self.rows or 0) > 1:
            short = max(short, (self.width or 0) - (self.row_stride or 0))
        return f"the output's memory is {short} columns too short for its rows" if short > 0 else ""

    def compiled_as(self, other: LaunchFacts) -> LaunchFacts:
        """The same, with the compiler of another launch where none is known."""
        if self.triton is not None:
            return self
        return replace(self, triton=other.triton, triton_published=other.triton_published)


@record(frozen=True)
class Ignored:
    """A fault that shall not decide, whatever else is asked.

    Attributes:
        reason: why not, as whoever ignores it says.
        by: where that is said: an option, or a file.
        asked: whether it would decide otherwise.
    """

    fault: str
    reason: str
    by: str
    asked: bool = True


@record(frozen=True)
class Question:
    """What is asked of an installation or process.

    Attributes:
        faults: ids of the faults that decide.
        groups: code paths whose kernels decide; None for all.
        compiler: whether faults that take a certain compiler decide too, where it is known which one there is.
        left_out: ids of faults that decide nothing, whatever else is asked.
        ignored: those of `left_out` for which a reason is given.
    """

    faults: frozenset[str]
    groups: frozenset[str] | None = None
    compiler: bool = False
    left_out: frozenset[str] = frozenset()
    ignored: tuple[Ignored, ...] = ()

    def covers(self, unit: Unit) -> bool:
        """Whether a unit decides."""
        return self.groups is None or unit.group in self.groups


@record(frozen=True)
class JudgedText:
    """One text of kernels: a file, or what a loaded kernel object was made from.

    Attributes:
        where: path or module name, for people.
        relative: a file's path from the folder that holds the package, with forward slashes; empty for loaded kernels.
        sha256: digest of the whole file that it is or comes from; empty where that is not known.
        path: the file; None for loaded kernels.
    """

    where: str
    relative: str
    text: bytes = field(repr=False)
    diagnosis: TextDiagnosis
    sha256: str
    path: Path | None = None


@record(frozen=True)
class Doubt:
    """Something that keeps an answer from being certain: what could not be read, or a name that leads nowhere.

    Attributes:
        where: path or module.
        line: 1-based; 0 where it is about no line.
    """

    where: str
    reason: str
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.where}:{self.line}" if self.line else self.where
        return f"{place}: {self.reason}" if place else self.reason


@record(frozen=True)
class FaultAnswer:
    """One fault in a whole installation or process.

    Attributes:
        presence: in the units asked about.
        reach: whether the launch that was asked about meets it.
        deciding_facts: names of the launch facts that would decide, where ``reach`` is open.
        obstacle: why no edit takes it out everywhere; empty where one does or none is needed.
        asked: whether it decides the verdict.
    """

    fault: Fault
    presence: Presence
    reach: Reach
    deciding_facts: tuple[str, ...]
    obstacle: str
    asked: bool

    @property
    def compiler_unknown(self) -> bool:
        """Whether it hangs on which compiler there is, and that is not known."""
        return not COMPILER_FACTS.isdisjoint(self.deciding_facts)


@record(frozen=True)
class Judgement:
    """Everything that is known of what is installed, or of what a process has loaded.

    Attributes:
        installation: where and what it is; None for a process.
        texts: kernels that are there, by path or module.
        doubts: what keeps the answers from being certain.
        prebuilt: code objects that stand in for the source of a code path, present or switched on, by its name.
        replaced: whether the function that launches the Gluon kernels is this project's own.
        siblings: kernel files beside the family that nobody judges: path and what they are.
        launch: what the call passes that was asked about.
        launchers: texts without kernels of their own that name some: wrappers, which may need a refusal.
    """

    installation: Installation | None
    known: Faults
    question: Question
    texts: tuple[JudgedText, ...]
    doubts: tuple[Doubt, ...]
    prebuilt: tuple[tuple[str, PrebuiltCodeObjects], ...] = ()
    replaced: bool = False
    siblings: tuple[tuple[str, str], ...] = ()
    launch: LaunchFacts = LaunchFacts()
    launchers: tuple[JudgedText, ...] = ()

    def __repr__(self) -> str:
        # All that it holds is a hundred thousand characters.
        place = self.installation.package if self.installation is not None else "this process"
        return f"<Judgement {self.verdict.value}: {place}>"

    @property
    def units(self) -> tuple[tuple[JudgedText, Unit], ...]:
        """Every kernel asked about that something may launch, with the text it stands in."""
        return tuple(
            (t, u)
            for t in self.texts
            for u in t.diagnosis.units
            if self.question.covers(u) and u.group not in self._bypassed
        )

    @property
    def _bypassed(self) -> frozenset[str]:
        """Code paths whose kernels nothing launches: the function that would is this project's own."""
        return frozenset(g.name for g in self.known.groups if g.entry is not None) if self.replaced else frozenset()

    @property
    def prebuilt_in_use(self) -> tuple[PrebuiltCodeObjects, ...]:
        """Prebuilt code objects that run instead of a source asked about."""
        groups = self.question.groups
        asked = ((g, p) for g, p in self.prebuilt if groups is None or g in groups)
        return tuple(p for g, p in asked if p.enabled and g not in self._bypassed)

    def presence(self, faults: Collection[str]) -> Presence:
        """Judgement by source over some faults, in the kernels asked about."""
        if self.doubts or any(t.diagnosis.problems and not self._launched_by_nothing(t) for t in self.texts):
            return Presence.UNKNOWN
        met = set(faults) - {f.id for f in self.known.judged if f.by_compiler and self._spared(f)}
        return worst(u.presence(met) for _, u in self.units)

    def _spared(self, fault: Fault) -> bool:
        """Whether the compiler that is known is none of those that a fault takes."""
        return fault.trigger.reach(self._compiler)[0] is Reach.NOT_REACHED

    def _compiler_unknown(self, fault: str) -> bool:
        """Whether a fault takes a certain compiler, and it is not known which one there is."""
        wanted = next((f for f in self.known.judged if f.id == fault and f.by_compiler), None)
        return wanted is not None and not COMPILER_FACTS.isdisjoint(wanted.trigger.reach(self._compiler)[1])

    @property
    def _compiler(self) -> Mapping[str, int]:
        return {name: value for name, value in self.launch.known().items() if name in COMPILER_FACTS}

    @property
    def deciding(self) -> frozenset[str]:
        """Ids of the faults that decide here: those asked about, and, where the question says so, those that take a
        certain compiler, if it is known which one there is."""
        by_compiler = self.known.deciding_by_compiler if self.question.compiler else frozenset[str]()
        asked = self.question.faults | {f for f in by_compiler if not self._compiler_unknown(f)}
        return asked - self.question.left_out

    def _launched_by_nothing(self, text: JudgedText) -> bool:
        units = text.diagnosis.units
        return bool(units) and all(u.group in self._bypassed for u in units)

    @property
    def source_verdict(self) -> Verdict:
        """Judgement by source alone, prebuilt code objects aside."""
        open_ones = {f for f in self.deciding if self._compiler_unknown(f)}
        if any(not self.presence((f,)).harmless for f in open_ones):
            return Verdict.UNKNOWN
        return of_presence(self.presence(self.deciding - open_ones))

    @property
    def verdict(self) -> Verdict:
        """The judgement: unknown where something runs that source says nothing about."""
        return Verdict.UNKNOWN if self.prebuilt_in_use else self.source_verdict

    def answers(self) -> tuple[FaultAnswer, ...]:
        """Every judged fault, those asked about first."""
        kept = self._not_offered()
        found = [self._answer(f, kept.get(f.id, "")) for f in self.known.judged]
        return tuple(sorted(found, key=lambda a: not a.asked))

    def _not_offered(self) -> Mapping[str, str]:
        from aiterfix.judge.shown import not_offered

        asked = self.question.faults
        there = (t for t in self.texts if any(u.presence(asked) is Presence.PRESENT for u in t.diagnosis.units))
        return {f: why for t in there for f, why in not_offered(t.sha256, asked).items()}

    def _answer(self, fault: Fault, not_offered: str) -> FaultAnswer:
        presence = self.presence((fault.id,))
        reach, facts = Reach.NOT_REACHED, _NO_FACTS
        if not presence.harmless:
            reach, facts = fault.reach(presence, self.launch.known())
        left = fault.remedy if presence is Presence.PRESENT else ""
        obstacles = [
            *(d.obstacle for _, u in self.units for d in u.diagnoses if d.fault == fault.id),
            not_offered,
            left,
        ]
        return FaultAnswer(
            fault.as_seen(presence),
            presence,
            reach,
            facts,
            next((o for o in obstacles if o), ""),
            fault.id in self.deciding,
        )

    def asking(self, question: Question, launch: LaunchFacts | None = None) -> Judgement:
        """The same evidence under another question."""
        return replace(
            self, question=question, launch=self.launch if launch is None else launch.compiled_as(self.launch)
        )


def everything(known: Faults, but: Iterable[str] = ()) -> Question:
    """The question that is asked where nobody asks for less: every fault that decides but those named, in every
    kernel."""
    left_out = frozenset(but)
    return Question(known.deciding - left_out, compiler=True, left_out=left_out)


def bounds_only(known: Faults, groups: Iterable[str] | None = None) -> Question:
    """What version 0.1 asked by ``--kernel``, and what padding depends on: store bounds alone."""
    faults = frozenset(f.id for f in known.judged if f.verb == "bound-column")
    return Question(faults, None if groups is None else frozenset(groups))
