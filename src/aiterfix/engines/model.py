"""What a consumer's source says about its calls of aiter's paged-MQA-logits kernels."""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from pathlib import Path

from aiterfix.engines.values import Number
from aiterfix.installation.target import Skipped
from aiterfix.storage.record import record


@record(frozen=True)
class Known:
    """A value that the source states."""

    value: int


@record(frozen=True)
class RunTime:
    """A value that is decided while the consumer runs, from what, and whether it is that as it stands."""

    text: str
    plain: bool = True


@record(frozen=True)
class Unknown:
    """A value that could not be established, and why."""

    reason: str


Setting = Known | RunTime | Unknown
"""Of an argument: stated, decided at run time, or not understood."""


class WidthKind(str, Enum):
    """What a consumer passes as ``max_model_len``: the width of a row as the kernel sees it."""

    OPERATOR = "operator"
    """The model's ``max_model_len`` as the operator chose it."""
    FRACTION = "fraction"
    """That, divided by a number of the model's (models that compress the indexer's context)."""
    MULTIPLE = "multiple"
    """A multiple of the KV block size, whatever the operator chose."""
    FIXED = "fixed"
    """A number that the source states."""
    DERIVED = "derived"
    """Worked out from what the operator chose, as ``formula`` says."""
    UNKNOWN = "unknown"


@record(frozen=True)
class Width:
    """One way in which a width comes to a call.

    Attributes:
        kind: what it is.
        text: the expression, or the reason why it is not understood.
        file: where the expression stands, relative to the folder that holds the package.
        line: its line.
        value: of a fixed width, in columns; of a fraction, the divisor where the source states it; of a multiple, of
            what number it is one, None where of the block size.
        block: ``KVBlockSize`` of the calls with this width, where the source states it.
        formula: of a derived one.
        plain: of an unknown one, whether it is made of attributes and shapes alone, which an operator can look up.
    """

    kind: WidthKind
    text: str
    file: str
    line: int
    value: int | None = None
    block: int | None = None
    formula: Number | None = field(default=None, repr=False)
    plain: bool = False


class Entry(str, Enum):
    """What fills a logits tensor: the functions of aiter's wrapper by their names, or something past them."""

    LOGITS = "deepgemm_fp8_paged_mqa_logits"
    STAGE1 = "deepgemm_fp8_paged_mqa_logits_stage1"
    RAGGED = "deepgemm_fp8_paged_mqa_logits_ragged_k"
    STAGE1_RAGGED = "deepgemm_fp8_paged_mqa_logits_stage1_ragged_k"
    KERNEL = "a kernel itself"
    NOT_JUDGED = "a kernel that is not judged"


@record(frozen=True)
class Call:
    """One call of the wrapper.

    Attributes:
        file: relative to the folder that holds the package, with forward slashes.
        line: 1-based; 0 where no line can be named.
        function: the function that it stands in; empty for the module's own level.
        entry: which function of the wrapper is called.
        padding: columns between the end of a row (its width) and the start of the next one.
        widths: every way in which a width is known to come to this call; never empty.
        kv_block_size: ``KVBlockSize``, tokens.
        chunk_k: ``ChunkK``, columns.
        preshuffle: ``Preshuffle``, 0 or 1.
        wave_per_eu: ``WavePerEU``.
        schedule: 0 where no ``VarCtxSchedule`` is passed.
        rank: axes of the logits tensor; None where that is not known.
        shuffled_by_block: whether ``Preshuffle`` is true exactly where a block has more than one token.
        conditions: what must not happen for the widths to be as they are.
        firm: of them, what may change more than the widths: the padding too, or what else is passed.
        instead: what the engine runs in its place, and where.
    """

    file: str
    line: int
    function: str
    entry: Entry
    padding: Known | Unknown
    widths: tuple[Width, ...]
    kv_block_size: Setting
    chunk_k: Setting
    preshuffle: Setting
    wave_per_eu: Setting
    schedule: Setting
    rank: int | None = None
    shuffled_by_block: bool = False
    conditions: tuple[str, ...] = ()
    firm: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()


@record(frozen=True)
class Consumer:
    """An installed vLLM, SGLang or ATOM.

    Attributes:
        name: ``vllm``, ``sglang`` or ``atom``.
        version: from its metadata, else None.
        path: the package folder.
        calls: by file and line.
        doubts: what of the package could not be read.
    """

    name: str
    version: str | None
    path: Path
    calls: tuple[Call, ...]
    doubts: tuple[Skipped, ...]
