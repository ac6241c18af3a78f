"""How many padding columns a row needs: what this process holds decides. docs/padding.md has the argument.

Light: never imports torch, triton, numpy or `aiter`, and never raises but for bad arguments.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from aiterfix.family.kernels import ENTRY
from aiterfix.family.kernels import GLUON as GLUON_GROUP
from aiterfix.family.kernels import STAGE1 as STAGE1_GROUP
from aiterfix.family.own_kernel import in_force
from aiterfix.family.rounding import chunk_of, most_columns, rounded_to
from aiterfix.faults.base import Presence, worst
from aiterfix.faults.diagnosis import Unit
from aiterfix.importing.holders import keeps
from aiterfix.judge.judgement import COLUMN_BOUND, Doubt, Judgement
from aiterfix.judge.process import (
    NOT_FOUND,
    Loaded,
    OnDisk,
    judge_importable,
    judge_loaded,
    loaded_kernels,
    other_modules,
    prebuilt_variable,
    stamp,
)

AUTO, GLUON, STAGE1, ALL = "auto", GLUON_GROUP.name, STAGE1_GROUP.name, "all"
KERNELS = (AUTO, GLUON, STAGE1, ALL)
ASSUMPTION = "context_length <= max_model_len for every row"
_GLUON = "_gluon_deepgemm_fp8_paged_mqa_logits"
BY_NAME = {"base": _GLUON, "preshuffle": f"{_GLUON}_preshuffle", "preshuffle_varctx": f"{_GLUON}_preshuffle_varctx"}
_BY_HEAD = {"stage1": f"_{ENTRY}_stage1", "stage1_ragged_k": f"_{ENTRY}_stage1_ragged_k"}
"""Plain-Triton kernels that are measured, by the names that results are kept by."""
_REMEMBERED = 4096


@dataclass(frozen=True)
class Advice:
    """How many columns to allocate behind ``max_model_len``.

    Attributes:
        columns: float32 columns that each row needs beyond ``max_model_len``; 0 where none.
        reason: one sentence for people.
        evidence: "guarded" (every store is bounded, by source), "measured" (exact for this source, configuration and
            Triton release), or "bound" (no context length needs more).
        assumption: what must hold; past it no padding is enough.
        kernel: names of the kernels that the answer is about, joined by commas.
        presence: of unbounded stores in their source.
        exact: whether fewer columns would not do.
    """

    columns: int
    reason: str
    evidence: str
    assumption: str
    kernel: str
    presence: Presence
    exact: bool


@dataclass(frozen=True)
class Question:
    """Arguments of `required_padding`, checked.

    Raises:
        ValueError: an argument is none that a launch could have.
    """

    max_model_len: int
    kv_block_size: int
    chunk_k: int = 256
    preshuffle: bool | None = None
    next_n: int = 1
    heads: int = 64
    kernel: str = AUTO

    def __post_init__(self) -> None:
        for name in ("max_model_len", "kv_block_size", "chunk_k", "next_n", "heads"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"required_padding: {name} must be a whole number of at least 1, not {value!r}")
        if self.preshuffle not in (None, True, False):
            raise ValueError(f"required_padding: preshuffle must be True, False or None, not {self.preshuffle!r}")
        if self.kernel not in KERNELS:
            raise ValueError(f"required_padding: kernel must be one of {', '.join(KERNELS)}, not {self.kernel!r}")

    @property
    def gluon_kernels(self) -> tuple[str, ...]:
        """The Gluon kernels that these arguments select; with a schedule tensor or without one."""
        preshuffled = self.kv_block_size > 1 if self.preshuffle is None else self.preshuffle
        return (BY_NAME["preshuffle"], BY_NAME["preshuffle_varctx"]) if preshuffled else (BY_NAME["base"],)


@dataclass
class _Memory:
    """What this process has found out, replaced as a whole: readers take no lock."""

    loaded: Loaded
    modules: int
    elsewhere: tuple[str, ...]
    prebuilt: str
    disk: OnDisk | None
    judgement: Judgement
    without: tuple[object, ...] | None = None
    """The import path on which there is no ``aiter``; None where there is one, or its folders cannot tell."""
    answers: dict[tuple[object, ...], Advice] = field(default_factory=dict)


_lock = threading.Lock()
_memory: _Memory | None = None


def required_padding(
    max_model_len: int,
    kv_block_size: int,
    chunk_k: int = 256,
    preshuffle: bool | None = None,
    next_n: int = 1,
    heads: int = 64,
    kernel: str = AUTO,
) -> Advice:
    """How many columns a row of logits must have beyond ``max_model_len``, so that no store leaves it.

    Args:
        max_model_len: width of a row, columns.
        kv_block_size: tokens of a cache block (``KVBlockSize``).
        chunk_k: columns of a chunk (``ChunkK``).
        preshuffle: whether the cache is preshuffled; None: where the block has more than one token, as vLLM does.
        next_n: rows of a sequence.
        kernel: "auto" (the Gluon kernels that these arguments select, the plain-Triton ones where there are none),
            "gluon" (the same, never the plain ones), "stage1", or "all".

    Returns:
        the advice, for what this process has loaded, else for what it would load.

    Raises:
        ValueError: an argument is none that a launch could have.
    """
    question = (max_model_len, kv_block_size, chunk_k, preshuffle, next_n, heads, kernel)
    try:
        memory = _recall()
        answer = memory.answers.get(question) if memory is not None else None
    except Exception:  # noqa: BLE001 - advice must not break a server; what follows falls back to the bound
        memory = answer = None
    # 1 equals True and 1.0, and they are not all good arguments.
    if answer is not None and type(max_model_len) is type(kv_block_size) is int and preshuffle in (None, True, False):
        return answer
    asked = Question(*question)
    try:
        memory = memory or _find_out()
        answer = advise(asked, memory.judgement)
        if len(memory.answers) >= _REMEMBERED:
            memory.answers = {}
        # A measurement may be stored at any time; a bound is asked for anew only in another process.
        memory.answers[question] = answer
    except Exception as error:  # noqa: BLE001 - see above
        return _doubtful(asked, f"looking at the kernels failed ({type(error).__name__}: {error})")
    return answer


def forget() -> None:
    """Let go of the kernels that were judged; what is asked next is found out anew."""
    global _memory
    _memory = None


keeps(forget)


def _recall() -> _Memory | None:
    """What was found out, if it still holds: same kernel objects, or the same files on disk."""
    memory = _memory
    if memory is None or prebuilt_variable() != memory.prebuilt:
        return None
    if memory.disk is None and in_force() != memory.judgement.replaced:
        return None
    if len(sys.modules) != memory.modules:
        elsewhere = other_modules()
        if elsewhere != memory.elsewhere:
            return None
        memory.modules = len(sys.modules)
    if not loaded_kernels(memory.elsewhere).same(memory.loaded):
        return None
    if memory.disk is not None and not memory.disk.current() and (not memory.without or memory.without != _path()):
        return None
    return memory


_SETTLED_NS = 2_000_000_000
"""What was changed less than that before it was looked at may be changed once more with the same time: clocks of file
systems are coarse, up to two seconds."""


def _path() -> tuple[object, ...]:
    """The import path, and what changes when something is installed there: the state of its folders and archives."""
    entries = [entry for entry in sys.path if isinstance(entry, str)]
    return (id(sys.modules.get("aiter")), *((entry, stamp(entry or ".")) for entry in entries))


def _path_without() -> tuple[object, ...] | None:
    """The import path where no folder on it has anything that bears the name, and none was changed just now; else None.

    Where there is an ``aiter`` of some kind, files may be put into it without that the folder it is in is changed.
    """
    path, now = _path(), time.time_ns()
    for entry in sys.path:
        if not isinstance(entry, str) or any(os.path.lexists(os.path.join(entry, n)) for n in ("aiter", "aiter.py")):  # noqa: PTH118
            return None
        state = stamp(entry or ".")
        if state is not None and state[2] > now - _SETTLED_NS:
            return None
    return path


def _find_out() -> _Memory:
    global _memory
    with _lock:
        memory = _recall()
        if memory is not None:
            return memory
        modules, prebuilt = len(sys.modules), prebuilt_variable()
        elsewhere = other_modules()
        loaded = loaded_kernels(elsewhere)
        disk = without = None
        if loaded.objects:
            judgement = judge_loaded(loaded)
        else:
            before = _path_without()
            disk = judge_importable()
            judgement = disk.judgement
            # A doubt may hang on files elsewhere, such as the target of an editable install.
            without = before if not disk.files and judgement.doubts == (Doubt("", NOT_FOUND),) else None
        _memory = _Memory(loaded, modules, elsewhere, prebuilt, disk, judgement, without)
        return _memory


@dataclass(frozen=True)
class HeldKernel:
    """One kernel as this process has it, or would load it.

    Attributes:
        group: its code path: "gluon" or "stage1".
        presence: of unbounded stores.
        sha256: digest of its file; empty where what is loaded is not known to be a whole file's text.
        stores: how many stores it has; none in stubs, which prebuilt code objects are launched through.
    """

    name: str
    group: str
    presence: Presence
    sha256: str
    stores: int


def held_kernels(judgement: Judgement) -> tuple[HeldKernel, ...]:
    """The kernels of a judgement, as far as padding depends on them."""
    return tuple(
        HeldKernel(u.name, u.group, _presence(u), t.sha256, u.stores)
        for t in judgement.texts
        for u in t.diagnosis.units
    )


def _presence(unit: Unit) -> Presence:
    return unit.presence((COLUMN_BOUND,))


def advise(
    question: Question,
    judgement: Judgement,
    *,
    measured: bool = True,
    held: tuple[HeldKernel, ...] | None = None,
) -> Advice:
    """The answer for what is there.

    Args:
        judgement: of what is loaded or installed.
        measured: whether stored measurements count; without them, the bound.
        held: its kernels, for whoever asks many times.
    """
    if judgement.replaced and question.kernel in (AUTO, GLUON):
        reason = "AITERFIX_KERNEL=1: aiter's function is replaced by this project's kernel, whose stores are bounded"
        return Advice(0, reason, "guarded", ASSUMPTION, "paged_mqa_logits (aiterfix)", Presence.ABSENT, True)
    loaded = judgement.installation is None and all(t.path is None for t in judgement.texts) and bool(judgement.texts)
    kernels, missing = _asked(question, held or held_kernels(judgement), loaded=loaded)
    names = ", ".join(dict.fromkeys([*(k.name for k in kernels), *missing]))
    presence = worst(k.presence for k in kernels) if kernels else Presence.UNKNOWN
    what = "loaded kernel source" if loaded else "kernel source on disk"
    stage1_only = all(k.group == STAGE1 for k in kernels) and not missing
    doubts = [str(d) for d in judgement.doubts]
    doubts += [f"{t.where}:{p.line}: {p.message}" for t in judgement.texts for p in t.diagnosis.problems]
    if missing or doubts or not kernels:
        why = "; ".join(doubts) or f"not found: {', '.join(missing) or 'any kernel'}"
        return _doubtful(question, why, names)
    prebuilt = prebuilt_variable() or next((p.variable for _, p in judgement.prebuilt if p.enabled), "")
    if prebuilt and not stage1_only:
        return _doubtful(question, f"prebuilt code objects run instead of the source ({prebuilt}=1)", names)
    if presence.harmless:
        return Advice(0, f"every store is bounded in the {what}", "guarded", ASSUMPTION, names, presence, True)
    columns, exact, notes = 0, True, []
    for kernel in kernels:
        if kernel.presence.harmless:
            continue
        known = _measured(question, kernel) if measured else None
        if known is not None:
            columns = max(columns, known)
        else:
            exact = False
            limit, note = bound(question, kernel)
            columns = max(columns, limit)
            notes.append(note)
    unbounded = ", ".join(dict.fromkeys(k.name for k in kernels if not k.presence.harmless))
    how = "measured for every context length" if exact else "; ".join(dict.fromkeys(notes))
    if exact and any(k.group == STAGE1 and not k.presence.harmless for k in kernels):
        how += ", in the code that Triton makes for one batch size of each split"
    reason = f"{unbounded}: stores without an upper bound ({what}); {how}"
    return Advice(columns, reason, "measured" if exact else "bound", ASSUMPTION, names, presence, exact)


def _asked(question: Question, kernels: tuple[HeldKernel, ...], *, loaded: bool) -> tuple[list[HeldKernel], list[str]]:
    """The kernels that are asked about, and the names of those that ought to be there and are not."""
    storing = [k for k in kernels if k.stores or k.presence is Presence.UNKNOWN]
    if question.kernel == ALL:
        return storing, []
    stage1 = [k for k in storing if k.group == STAGE1]
    if question.kernel == STAGE1:
        return stage1, [] if stage1 else ["the plain-Triton kernels"]
    gluon = [k for k in storing if k.group == GLUON]
    if question.kernel == AUTO and not gluon and not loaded and stage1:
        return stage1, []
    chosen = [k for k in gluon if k.name in question.gluon_kernels]
    # Releases before the schedule kernel have the fixed one only; then there is none to be taken by a launch.
    have = {k.name for k in chosen}
    return chosen, [] if question.gluon_kernels[0] in have else [question.gluon_kernels[0]]


def bound(question: Question, held: HeldKernel) -> tuple[int, str]:
    """Columns that no context length up to ``max_model_len`` exceeds, and why.

    A released kernel rounds the end of a row up to a whole unit, a chunk or a block. The furthest that any context
    gets is then ``max_model_len`` rounded up. The base kernel counts its chunks back from the context's end: the
    same arithmetic in every release, whatever the block, and measured where it can be. Of other sources the rounding is
    not known.
    """
    chunk, block, width = chunk_of(held.name, question.chunk_k), question.kv_block_size, question.max_model_len
    if held.presence is not Presence.PRESENT or not _rounding_known(held):
        return _unknown(question), "this source is of no release that is known, so the largest rounding is assumed"
    unit = rounded_to(held.name, chunk, block)
    if unit is None:
        return _unknown(question), "block and chunk do not divide one another, so the largest rounding is assumed"
    if held.name == BY_NAME["base"]:
        return 0, "none is needed, as the last chunk of a row ends where its context does"
    name = "chunk" if unit == chunk else "block"
    columns = -width % unit
    if not columns:
        return 0, f"none is needed at {width}, a multiple of the {name} of {unit} columns that rows are rounded up to"
    return columns, f"at most {columns}, as rows are rounded up to a whole {name} of {unit} columns"


def _rounding_known(held: HeldKernel) -> bool:
    """Whether a kernel's file is released and built as the releases whose rounding was read: with the schedule kernel,
    which the first Gluon release has not."""
    from aiterfix.history.digests import kernels_of_release

    names = kernels_of_release(held.sha256) if held.sha256 else ()
    return bool(names) and (held.group != GLUON or any(name.endswith("_varctx") for name in names))


def _unknown(question: Question) -> int:
    return most_columns(question.chunk_k, question.kv_block_size)


def _doubtful(question: Question, why: str, names: str = "") -> Advice:
    columns = _unknown(question)
    return Advice(
        columns,
        f"{why}; so the largest rounding of any release is assumed",
        "bound",
        ASSUMPTION,
        names or ", ".join(question.gluon_kernels),
        Presence.UNKNOWN,
        False,
    )


def _measured(question: Question, held: HeldKernel) -> int | None:
    """What was stored for this question; None where there is nothing that can be read and believed."""
    try:
        return _stored(question, held)
    except Exception:  # noqa: BLE001 - what cannot be read is not there
        return None


def _stored(question: Question, held: HeldKernel) -> int | None:
    short = next((short for short, name in (BY_NAME | _BY_HEAD).items() if name == held.name), None)
    if short is None or not held.sha256:
        return None
    from aiterfix.overshoot import results

    q = question
    if not results.directory(held.sha256).is_dir():
        return None
    release = _triton()
    if not release:
        return None
    block = 1 if short in ("base", "stage1_ragged_k") else q.kv_block_size
    chunk = chunk_of(held.name, q.chunk_k)
    key = results.Key(held.sha256, short, q.heads, block, chunk, q.next_n, q.max_model_len, release)
    found = results.find(key)
    return found.columns if found is not None else None


def _triton() -> str:
    """The release of Triton that compiles here, without importing it; empty where that is not known."""
    loaded = getattr(sys.modules.get("triton"), "__version__", None)
    if isinstance(loaded, str):
        return loaded
    for entry in sys.path:
        try:
            found = sorted(Path(entry or ".").glob("triton-*.dist-info"))
        except OSError:
            continue
        if found:
            return found[0].name.removeprefix("triton-").removesuffix(".dist-info") if len(found) == 1 else ""
    return ""
