"""A kernel of one token a block and its wrapper, judged together: on disk, and as a process has loaded them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from aiterfix.cli.main import main
from aiterfix.family.own_kernel import OWN_MODULE
from aiterfix.faults.base import Diagnosis, Presence
from aiterfix.faults.diagnosis import TextDiagnosis, diagnose
from aiterfix.faults.mend import mend
from aiterfix.faults.registry import load_faults
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import Judgement
from aiterfix.judge.refusals import launches_in, launches_loaded, with_refusals
from aiterfix.patching.mends import mends
from aiterfix.source.kernel_launch import KernelLaunch
from tests.paged import ENTRY, FAULTS, PAGING, PLAIN, STAGE1, WRAPPER

KNOWN = load_faults()
MENDED = mend(WRAPPER, FAULTS, wanted=(PAGING,)).new
KERNELS = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"
LAUNCHER = "aiter/ops/triton/attention/pa_mqa_logits.py"


def judged(*wrappers: bytes) -> tuple[Presence, str]:
    """Presence in the kernel, and why it is not refused."""
    launches = [n for i, text in enumerate(wrappers) for n in launches_in(f"w{i}", text)]
    return of(with_refusals(PLAIN, diagnose(PLAIN, FAULTS), launches, KNOWN))


def of(diagnosis: TextDiagnosis) -> tuple[Presence, str]:
    unit = next(u for u in diagnosis.units if u.name == STAGE1)
    found = next(d for d in unit.diagnoses if d.fault == PAGING)
    return found.presence, found.obstacle


SHAPE = b"kv_cache_fp8.numel() != kv_cache_fp8.size(0) * kv_cache_fp8.size(-1)"
ASSERTED = WRAPPER.replace(b"    batch_size, next_n, heads, hidden_dim", b"    assert kv_cache_fp8.size(1) == 1\n    batch_size, next_n, heads, hidden_dim")  # fmt: skip
OPEN = [
    WRAPPER,
    ASSERTED,  # which is what it says, but no bound that is understood
    MENDED.replace(SHAPE, b"kv_cache_fp8.numel() > 1"),
    MENDED.replace(SHAPE, SHAPE + b" and max_model_len"),
    MENDED.replace(b"raise ValueError(", b"print("),
    MENDED.replace(b"    if " + SHAPE, b"    kv_cache_fp8 = kv_cache_fp8.view(-1, 132)\n    if " + SHAPE),
    MENDED + b"\n\nlaunch = _deepgemm_fp8_paged_mqa_logits_stage1\n",
    MENDED + b"\n\ndef other(*a):\n    _deepgemm_fp8_paged_mqa_logits_stage1[(1,)](*a)\n",
    MENDED + b"\n\ndef other(f):\n    f(_deepgemm_fp8_paged_mqa_logits_stage1)\n",
    MENDED + b"\n\ndef other(k, *a):\n    k._deepgemm_fp8_paged_mqa_logits_stage1[(1,)](*a)\n",
    MENDED + b"\n\ndef other(k, *a):\n    getattr(k, '_deepgemm_fp8_paged_mqa_logits_stage1')[(1,)](*a)\n",
    MENDED + b"\n\nfrom k import _deepgemm_fp8_paged_mqa_logits_stage1 as k\n\ndef other(*a):\n    k[(1,)](*a)\n",
    # It returns before it raises; goes on with another cache than the one that it looked at; is handed two.
    MENDED.replace(
        b"        raise ValueError(", b"        if weights:\n            return None\n        raise ValueError("
    ),
    MENDED.replace(
        b"    kv_cache_fp8, kv_cache_scale = ", b"    kv_cache_fp8 = weights\n    kv_cache_fp8, kv_cache_scale = "
    ),
    MENDED.replace(b"(q_fp8, kv_cache_fp8,", b"(q_fp8, kv_cache_fp8, kv_cache,"),
]


def test_a_kernel_is_refused_where_every_launch_is() -> None:
    assert judged(MENDED) == (Presence.REFUSED, "")
    assert judged(MENDED, MENDED) == (Presence.REFUSED, "")


@pytest.mark.parametrize("text", OPEN, ids=range(len(OPEN)))
def test_one_way_that_is_open_is_enough(text: bytes) -> None:
    assert judged(text)[0] is Presence.PRESENT and judged(MENDED, text)[0] is Presence.PRESENT
    launches = [*launches_in("w", MENDED), *launches_in("v", text)]
    unit = next(u for u in with_refusals(PLAIN, diagnose(PLAIN, FAULTS), launches, KNOWN).units if u.name == STAGE1)
    found = next(f for d in unit.diagnoses if d.fault == PAGING for f in d.findings)
    assert "launches it with blocks of any size" in found.message + found.obstacle
    # Where the entry is handed the cache by a name that is known, `apply` has it refuse.
    assert bool(found.obstacle) is any(end in text for end in (b"\nlaunch = ", b"def other("))


HANDED = [
    (b"        batch_size, next_n, heads, q_fp8,", b"        batch_size, 1, heads, q_fp8,"),
    (b"        batch_size, next_n, heads, q_fp8,", b"        next_n, batch_size, heads, q_fp8,"),
    (b"        batch_size, next_n, heads, q_fp8,", b"        batch_size, next_n, heads, q_fp8[1:],"),
    (b"batch_size, next_n, heads, hidden_dim =", b"next_n, batch_size, heads, hidden_dim ="),
    (b"batch_size, next_n, heads, hidden_dim =", b"*batch_size, next_n, heads, hidden_dim ="),
    (b"batch_size, next_n, heads, hidden_dim = q_fp8", b"batch_size, next_n, heads, hidden_dim = out_qk"),
    (b"    config = {", b"    if max_model_len:\n        next_n = 1\n    config = {"),
    (b"    config = {", b"    for next_n in (1, 2):\n        pass\n    config = {"),
    (b"    config = {", b"    q_fp8 = q_fp8.transpose(1, 2)\n    config = {"),
    (b"    config = {", b"    q_fp8.transpose_(1, 2)\n    config = {"),
    (b"q_fp8.stride(0), q_fp8.stride(1)", b"q_fp8.stride(1), q_fp8.stride(0)"),
    (b"weights.stride(0)", b"weights.stride(1)"),
    (b"kv_indices, weights,", b"kv_indices, q_fp8,"),
    (b"context_lens, kv_indices, weights,", b"kv_indices, context_lens, weights,"),
    (b"context_lens, kv_indices, weights,", b"context_lens + 1, kv_indices, weights,"),
    (b"kv_indices.shape[1]", b"kv_indices.shape[0]"),
    (b"    config = {", b"    weights.zero_()\n    config = {"),
    (b"    config = {", b"    weights[:] = 0\n    config = {"),
    (b"    config = {", b"    kv_indices.view(-1)[1:].zero_()\n    config = {"),
    (b"    config = {", b"    torch.neg(weights, out=weights)\n    config = {"),
    # Which of two functions of a name runs is not told.
    (b'"""Launches', b'if True:\n    def deepgemm_fp8_paged_mqa_logits_stage1(*a):\n        pass\n"""Launches'),
]
HANDED_TOO = [
    (b"        batch_size, next_n, heads, q_fp8,", b"        q_fp8.shape[0], q_fp8.size(1), heads, q_fp8,"),
    (b"batch_size, next_n, heads, hidden_dim = q_fp8.size()",
     b"batch_size, _, heads, hidden_dim = q_fp8.shape\n    next_n = q_fp8.size(1)"),
    (b"    config = {", b"    assert weights.shape[0] == batch_size * next_n\n    config = {"),
    (b"q_fp8.stride(0)", b"q_fp8.stride()[0]"),
    (b"    config = {", b"    out_qk.fill_(0)\n    config = {"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "presence"),
    [
        *((*change, Presence.UNKNOWN) for change in HANDED),
        *((*change, Presence.REFUSED) for change in HANDED_TOO),
    ],
)
def test_a_kernel_must_be_handed_what_its_entry_was(old: bytes, new: bytes, presence: Presence) -> None:
    text = MENDED.replace(old, new)
    assert text != MENDED and judged(text)[0] is presence
    # What is there for certain outranks what is not understood of a launch.
    assert judged(text, WRAPPER)[0] is Presence.PRESENT


def test_a_judgement_can_be_made_again_with_other_launches() -> None:
    refused = with_refusals(PLAIN, diagnose(PLAIN, FAULTS), launches_in("w", MENDED), KNOWN)
    assert with_refusals(PLAIN, refused, launches_in("w", MENDED), KNOWN) == refused
    again = with_refusals(PLAIN, refused, launches_in("w", WRAPPER), KNOWN)
    assert of(again)[0] is Presence.PRESENT
    assert again == with_refusals(PLAIN, diagnose(PLAIN, FAULTS), launches_in("w", WRAPPER), KNOWN)


SIZED = (
    PLAIN.replace(b"stride_k_seq", b"stride_k_block: tl.int64, stride_k_token")
    .replace(b"HiddenDim: tl.constexpr,", b"HiddenDim: tl.constexpr, KVBlockSize: tl.constexpr,")
    .replace(b"max_blk_len + column,", b"max_blk_len + column // KVBlockSize,")
    .replace(b"[:, None] * stride_k_block: tl.int64, stride_k_token",
             b"[:, None] * stride_k_block + (column % KVBlockSize)[:, None] * stride_k_token")
    .replace(b"tl.int64) * stride_scale_seq)", b"tl.int64) * stride_scale_seq + column % KVBlockSize)")
)  # fmt: skip
"""A stage1 kernel that is told the size of a block, and goes by it."""


@pytest.mark.parametrize(
    ("size", "presence"), [(b"block_size", Presence.ABSENT), (b"1", Presence.PRESENT), (b"heads", Presence.PRESENT)]
)
def test_a_kernel_that_goes_by_blocks_is_right_where_it_is_told_their_size(size: bytes, presence: Presence) -> None:
    wrapper = WRAPPER.replace(b"    kv_cache_fp8, kv_cache_scale = ", b"    _, block_size, _, _ = kv_cache_fp8.size()\n"
                              b"    kv_cache_fp8, kv_cache_scale = ")  # fmt: skip
    wrapper = wrapper.replace(b"kv_cache_fp8.stride(0),", b"kv_cache_fp8.stride(0), kv_cache_fp8.stride(1),")
    wrapper = wrapper.replace(b"max_model_len, **config", b"max_model_len, KVBlockSize=" + size + b", **config")
    known = load_faults()
    alone = diagnose(SIZED, known.judged)
    assert of(alone)[0] is Presence.ABSENT
    found, reason = of(with_refusals(SIZED, alone, launches_in("wrapper.py", wrapper), known))
    assert found is presence and reason == ""
    if presence is Presence.PRESENT:
        # Then a refusal is what takes it out.
        mended = mend(wrapper, FAULTS, wanted=(PAGING,)).new
        assert of(with_refusals(SIZED, alone, launches_in("wrapper.py", mended), known))[0] is Presence.ABSENT


def test_what_nothing_launches_is_present() -> None:
    assert judged() == (Presence.PRESENT, "nothing that launches it was found, which could refuse larger blocks")


@pytest.mark.parametrize("wrappers", [(), (MENDED,), *((text,) for text in OPEN), (MENDED, OPEN[-1])])
def test_a_record_says_the_same_as_reading_the_text_does(wrappers: tuple[bytes, ...]) -> None:
    """Which a process would wait for."""
    launches = [n for i, text in enumerate(wrappers) for n in launches_in(f"w{i}", text)]
    read = diagnose(PLAIN, FAULTS)
    recorded = replace(
        read,
        analysis=None,
        units=tuple(
            replace(u, diagnoses=tuple(Diagnosis(d.fault, (), d.presence) for d in u.diagnoses)) for u in read.units
        ),
    )

    def said(diagnosis: TextDiagnosis) -> list[Diagnosis]:
        settled = with_refusals(PLAIN, diagnosis, launches, KNOWN)
        return [d for u in settled.units for d in u.diagnoses if d.fault == PAGING]

    assert said(recorded) == said(read)
    assert all(d.findings[0].line for d in said(recorded)) and len(said(recorded)) == 2


REDUCING = PLAIN.replace(STAGE1.encode(), b"_deepgemm_fp8_paged_mqa_logits").replace(b"Out_buffer", b"OutLogits_buffer").replace(b" + head[:, None] * stride_out_heads", b"").replace(b"    stride_out_heads: tl.int64, ", b"    ")  # fmt: skip
LOOSE = [
    (b"    assert block_size == KVBlockSize\n", b""),
    (b"        assert KVBlockSize == 1\n", b""),
    (b"        assert KVBlockSize == 1\n", b"        assert KVBlockSize <= 1\n"),
    (b"    if max_model_len:\n        assert KVBlockSize == 1\n", b"    if max_model_len:\n        assert KVBlockSize == 1\n    if True:\n"),
    (b"    assert block_size == KVBlockSize\n", b"    assert block_size == KVBlockSize\n    KVBlockSize = 1\n"),
    (b"    assert block_size == KVBlockSize\n", b"    block_size = KVBlockSize\n    assert block_size == KVBlockSize\n"),
    (b"num_block, block_size, _, index_dim", b"block_size, num_block, _, index_dim"),
]  # fmt: skip


def test_the_wrappers_own_assert_refuses_too_and_nothing_less() -> None:
    def presence(wrapper: bytes) -> Presence:
        found = with_refusals(REDUCING, diagnose(REDUCING, FAULTS), launches_in("w", wrapper), KNOWN)
        unit = next(u for u in found.units if u.name == "_deepgemm_fp8_paged_mqa_logits")
        return next(d.presence for d in unit.diagnoses if d.fault == PAGING)

    assert presence(WRAPPER) is Presence.REFUSED
    for old, new in LOOSE:
        assert WRAPPER.count(old) == 1
        assert presence(WRAPPER.replace(old, new)) is Presence.PRESENT, new


# ---- on disk -----------------------------------------------------------------------------------------


def package(root: Path) -> Judgement:
    """A package of one wrapper with one entry, and the kernel that it launches."""
    module = KERNELS.removesuffix(".py").replace("/", ".")
    entry = WRAPPER[: WRAPPER.index(b"\n\ndef deepgemm_fp8_paged_mqa_logits(")].replace(
        b"from kernels import _deepgemm_fp8_paged_mqa_logits, ", f"from {module} import ".encode()
    )
    kernel = PLAIN[: PLAIN.index(b"\n\n@triton.jit\ndef _deepgemm_fp8_paged_mqa_logits_ragged_k")]
    for path, text in {KERNELS: kernel, LAUNCHER: entry}.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
        for folder in file.parents:
            if root in folder.parents:
                (folder / "__init__.py").touch()
    return judge_installation(find_path(root).installations[0], KNOWN)


def test_apply_edits_the_wrapper_and_the_kernel_counts_as_refused(tmp_path: Path) -> None:
    before = package(tmp_path)
    assert before.presence((PAGING,)) is Presence.PRESENT
    assert [a.obstacle for a in before.answers() if a.fault.id == PAGING] == [
        ""
    ]  # since `apply` has the wrapper refuse
    changes = {c.file.relative: c.mended for c in mends(before)}
    assert {s.fault for s in changes[LAUNCHER].steps} == {PAGING}
    for relative, change in changes.items():
        (tmp_path / relative).write_bytes(change.new)
    after = judge_installation(find_path(tmp_path).installations[0], KNOWN)
    stage1 = next(u for _, u in after.units if u.name == STAGE1)
    assert next(d.presence for d in stage1.diagnoses if d.fault == PAGING) is Presence.REFUSED
    message = next(f.message for d in stage1.diagnoses if d.fault == PAGING for f in d.findings)
    assert f"{ENTRY}() of {LAUNCHER} raises first" in message
    assert not any(s.fault == PAGING for c in mends(after) for s in c.mended.steps)


def test_a_report_says_that_the_mend_is_a_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def kind() -> tuple[str, str, bool]:
        main(["check", "--json", "--path", str(tmp_path)])
        (paging,) = [f for f in json.loads(capsys.readouterr().out)["faults"] if f["id"] == PAGING]
        return paging["presence"], paging["mend"]["kind"], paging["mend"]["available"]

    package(tmp_path)
    assert kind() == ("present", "refusal", True)
    assert main(["apply", "--path", str(tmp_path)]) == 0 and capsys.readouterr().out
    assert kind() == ("refused", "refusal", False)


def test_the_command_writes_the_wrapper_and_gives_it_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package(tmp_path)
    before = {path: (tmp_path / path).read_bytes() for path in (KERNELS, LAUNCHER)}
    assert main(["apply", "--require", "--path", str(tmp_path)]) == 0
    assert f"{LAUNCHER}: mended block-paging in 1 place" in capsys.readouterr().out
    assert b"raise ValueError" in (tmp_path / LAUNCHER).read_bytes()
    assert main(["check", "--path", str(tmp_path)]) == 0 and "refused" in capsys.readouterr().out
    assert main(["apply", "--path", str(tmp_path)]) == 0 and "nothing to do" in capsys.readouterr().out
    assert main(["revert", "--path", str(tmp_path)]) == 0
    assert {path: (tmp_path / path).read_bytes() for path in before} == before


# ---- in a process ------------------------------------------------------------------------------------

NAME = "aiterfix_tests_loaded_wrapper"


class Loader:
    """Says what a module was made from."""

    def __init__(self, text: bytes) -> None:
        self.text = text

    def get_source(self, name: str) -> str:
        return self.text.decode()


@pytest.fixture
def module() -> Iterator[ModuleType]:
    made = ModuleType(NAME)
    sys.modules[NAME] = made
    yield made
    del sys.modules[NAME]


def load(module: ModuleType, text: bytes) -> None:
    body = text.replace(b"from kernels import _deepgemm_fp8_paged_mqa_logits, _deepgemm_fp8_paged_mqa_logits_stage1\n", b"_deepgemm_fp8_paged_mqa_logits = _deepgemm_fp8_paged_mqa_logits_stage1 = None\n")  # fmt: skip
    exec(compile(body, "wrapper.py", "exec", dont_inherit=True), vars(module))


def loaded() -> Presence:
    return of(with_refusals(PLAIN, diagnose(PLAIN, FAULTS), launches_loaded([NAME]), KNOWN))[0]


def test_a_loaded_function_is_believed_where_it_is_that_of_its_text(module: ModuleType) -> None:
    load(module, MENDED)
    module.__loader__ = Loader(MENDED)  # type: ignore[assignment]
    assert loaded() is Presence.REFUSED
    load(module, WRAPPER)  # the file was patched after it had been imported
    assert loaded() is Presence.PRESENT


def test_a_loaded_wrapper_that_does_not_say_its_source_is_no_refusal(module: ModuleType) -> None:
    load(module, MENDED)
    module.__loader__ = None
    assert loaded() is Presence.PRESENT


def test_what_is_not_loaded_launches_nothing() -> None:
    assert launches_loaded([NAME]) == ()


def test_an_assertion_is_no_refusal_where_python_leaves_it_out(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(module, WRAPPER)
    module.__loader__ = Loader(WRAPPER)  # type: ignore[assignment]
    of_reducing = _about_blocks()
    assert [(launch.refused, launch.asserted) for launch in of_reducing] == [(True, True)]
    monkeypatch.setattr(sys, "flags", Optimised())
    of_reducing = _about_blocks()
    assert [launch.refused for launch in of_reducing] == [False]


def _about_blocks() -> list[KernelLaunch]:
    found = (n.launch for n in launches_loaded([NAME]) if not n.launch.about)
    return [launch for launch in found if launch.entry == "deepgemm_fp8_paged_mqa_logits"]


class Optimised:
    """Of ``sys.flags``, what is asked."""

    optimize = 1


def test_a_function_that_is_replaced_launches_nothing(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    load(module, WRAPPER)
    module.__loader__ = Loader(WRAPPER)  # type: ignore[assignment]
    assert loaded() is Presence.PRESENT
    own = ModuleType(OWN_MODULE)
    monkeypatch.setitem(sys.modules, OWN_MODULE, own)
    setattr(own, ENTRY, lambda *a: None)
    setattr(module, ENTRY, getattr(own, ENTRY))
    assert loaded() is Presence.REFUSED
    assert next(n.why for n in launches_loaded([NAME])).endswith("is replaced and launches it no more")


LAUNCHING = """\
from kernels import _deepgemm_fp8_paged_mqa_logits_stage1


def deepgemm_fp8_paged_mqa_logits_stage1(q_fp8, kv_cache_fp8, weights, out_qk, context_lens, kv_indices, max_model_len):
    {before}
    _deepgemm_fp8_paged_mqa_logits_stage1[(1,)](
        1, 1, 1, q_fp8, 1, 1, 1, kv_cache_fp8, 1, kv_cache_fp8, 1, context_lens, kv_indices, weights, 1, out_qk, out_qk.stride(0), out_qk.stride(1),
        {handed} ChunkQ=16, ChunkK=256, HiddenDim=128
    )
"""
BY_NAME = "max_model_len={}, max_blk_len=1,"


def judged_bound(text: str) -> TextDiagnosis:
    return with_refusals(PLAIN, diagnose(PLAIN, FAULTS), launches_in("w", text.encode()), KNOWN)


def presence_of_bound(found: TextDiagnosis) -> Presence:
    unit = next(u for u in found.units if u.name == STAGE1)
    return next(d.presence for d in unit.diagnoses if d.fault == "column-bound")


@pytest.mark.parametrize("handed", ["max_model_len, 1,", BY_NAME.format("max_model_len")])
def test_a_bound_is_one_where_the_kernel_is_handed_the_width(handed: str) -> None:
    text = LAUNCHING.format(before="pass", handed=handed)
    assert presence_of_bound(judged_bound(text)) is Presence.ABSENT
    inner = text.replace("max_model_len):", "n):").replace(handed, handed.replace("max_model_len,", "n,"))
    assert presence_of_bound(judged_bound(inner.replace("=max_model_len", "=n"))) is Presence.ABSENT


@pytest.mark.parametrize(
    ("before", "handed"),
    [
        ("pass", "max_model_len + 1, 1,"),
        ("pass", "context_lens, 1,"),
        ("pass", "2048, 1,"),
        ("pass", BY_NAME.format("max_model_len + 1")),
        ("pass", BY_NAME.format("context_lens")),
        ("pass", "*(max_model_len, 1),"),
        ("max_model_len = max_model_len + 1", "max_model_len, 1,"),
        ("max_model_len += 1", "max_model_len, 1,"),
        ("for max_model_len in (1, 2): pass", "max_model_len, 1,"),
        ("width = max_model_len * 2", "width, 1,"),
        # In place: the rows that it has then are no longer those that it was handed.
        ("out_qk.t_()", "max_model_len, 1,"),
        ("out_qk.unsqueeze_(0)", "max_model_len, 1,"),
        ("out_qk.data = out_qk.data.t()", "max_model_len, 1,"),
        ("torch.Tensor.swapaxes_(out_qk, 0, 1)", "max_model_len, 1,"),
        ("turn(out_qk)", "max_model_len, 1,"),
        ("turn(rows=out_qk)", "max_model_len, 1,"),
        ("same = out_qk; same.t_()", "max_model_len, 1,"),
        ("for same in [out_qk]: same.t_()", "max_model_len, 1,"),
        ("(same := out_qk).t_()", "max_model_len, 1,"),
        ("getattr(out_qk, 't_')()", "max_model_len, 1,"),
    ],
)
def test_a_bound_by_another_width_is_not_understood(before: str, handed: str) -> None:
    text = LAUNCHING.format(before=before, handed=handed)
    assert presence_of_bound(judged_bound(text)) is Presence.UNKNOWN
    launches = launches_in("w", LAUNCHING.format(before="pass", handed="max_model_len, 1,").encode())
    again = with_refusals(PLAIN, judged_bound(text), launches, KNOWN)
    assert presence_of_bound(again) is Presence.ABSENT


LAUNCH = "_deepgemm_fp8_paged_mqa_logits_stage1[(1,)]("
IMPORT = "from kernels import _deepgemm_fp8_paged_mqa_logits_stage1\n"
HEAD = "def deepgemm_fp8_paged_mqa_logits_stage1(q_fp8, kv_cache_fp8, weights, out_qk, context_lens, kv_indices, max_model_len):\n"
WIDER = LAUNCHING.format(before="pass", handed="max_model_len + 1, 1,")


def by(launch: str, *more: tuple[str, str]) -> str:
    """The launch with another width, written another way."""
    text = WIDER.replace(LAUNCH, launch)
    for old, new in more:
        assert old in text, old
        text = text.replace(old, new)
    return text


ROUTES = {
    "a local name": by("k[(1,)](", ("    pass", f"    k = {STAGE1}")),
    "a name of the module": by("KERNEL[(1,)](", (IMPORT, f"{IMPORT}KERNEL = {STAGE1}\n")),
    "imported by another name": by("k[(1,)](", (IMPORT, IMPORT.replace("\n", " as k\n"))),
    "imported by another name for others": by("launch(", (IMPORT, IMPORT.replace("\n", " as k\nfrom others import launch\n"))),
    "an attribute of a module": by(f"kernels.{LAUNCH}", (IMPORT, "import kernels\n")),
    "looked up": by(f'getattr(kernels, "{STAGE1}")[(1,)](', (IMPORT, "import kernels\n")),
    "a parameter's default": by("k[(1,)](", ("max_model_len):", f"max_model_len, k={STAGE1}):")),
    "a choice": by(f"({STAGE1} if q_fp8 else {STAGE1})[(1,)]("),
    "a dictionary": by("KERNELS[1][(1,)](", (IMPORT, f"{IMPORT}KERNELS = {{1: {STAGE1}}}\n")),
    "partial": by(f"functools.partial({STAGE1}[(1,)])("),
    "run": by(f"{STAGE1}.run("),
    "a launcher that is kept": by("go(", ("    pass", f"    go = {STAGE1}[(1,)]")),
    "an attribute of self": by(
        "self.k[(1,)](", (HEAD, "class Scores:\n    def __init__(self):\n        self.k = " + STAGE1 + "\n\n" + HEAD)
    ),
    "a method": by(LAUNCH, ("\n\ndef deepgemm", "\n\nclass Scores:\n  def deepgemm")),
    "wrapped": by(LAUNCH, ("+ 1", ""), (IMPORT, f"{IMPORT}{STAGE1} = tuned({STAGE1})\n")),
    "another of its name": by(LAUNCH, ("+ 1", ""), (IMPORT, f"from kernels import tuned\n{STAGE1} = tuned\n")),
    "an async function": by(LAUNCH, ("\ndef deepgemm", "\nasync def deepgemm")),
    "a function in a branch": by(LAUNCH, ("\n\ndef deepgemm", "\n\nif IMPORT:\n  def deepgemm")),
    "a handler": by(LAUNCH, ("    pass\n    ", "    try:\n        pass\n    except ValueError: ")),
    "a test": by(f"if {LAUNCH}", ("128\n    )", "128\n    ): pass")),
    "a function inside": by(
        f"def go(max_model_len): return {LAUNCH}", ("len + 1", "len"), ("128\n    )", "128\n    )\n    go(max_model_len + 1)")
    ),
    "a lambda": by(f"go = lambda max_model_len: {LAUNCH}", ("len + 1", "len")),
    "another function of the module": by(
        LAUNCH,
        ("+ 1", ""),
        (HEAD, HEAD + "    _launch(q_fp8, kv_cache_fp8, weights, out_qk, context_lens, kv_indices, max_model_len + 1)\n\n\n"
         + HEAD.replace("deepgemm_fp8_paged_mqa_logits_stage1(", "_launch(")),
    ),
    "a function that turns its rows": by(
        LAUNCH, ("+ 1", ""), ("    pass", "    _turn(out_qk)"), (HEAD, "def _turn(rows):\n    rows.t_()\n\n\n" + HEAD)
    ),
    "a function that gives it back": by(
        LAUNCH, ("+ 1", ""), ("    pass", "    _same(out_qk).t_()"), (HEAD, "def _same(x):\n    return x\n\n\n" + HEAD)
    ),
    "a function for other modules": by(LAUNCH, ("+ 1", ""), ("def deepgemm_fp8_paged_mqa_logits_stage1", "def launch")),
    "a decorator": by(LAUNCH, ("+ 1", ""), ("\ndef deepgemm", "\n@wider\ndef deepgemm")),
    "the function put in another's place": by(LAUNCH, ("+ 1", "")) + "\n\ndeepgemm_fp8_paged_mqa_logits_stage1 = wider(deepgemm_fp8_paged_mqa_logits_stage1)\n",
    "an older compiler's": by(LAUNCH, ("    pass\n    ", "    if triton_version >= Version('9'): pass\n    else: ")),
}  # fmt: skip


@pytest.mark.parametrize("text", ROUTES.values(), ids=ROUTES)
def test_a_bound_is_not_understood_where_a_launch_is_not_followed(text: str) -> None:
    assert presence_of_bound(judged_bound(text)) is Presence.UNKNOWN
    straight = launches_in("v", LAUNCHING.format(before="pass", handed="max_model_len, 1,").encode())
    both = with_refusals(PLAIN, diagnose(PLAIN, FAULTS), [*straight, *launches_in("w", text.encode())], KNOWN)
    assert presence_of_bound(both) is Presence.UNKNOWN


INNER = by(
    LAUNCH,
    ("+ 1", ""),
    (HEAD, HEAD + "    _launch(q_fp8, kv_cache_fp8, weights, out_qk, context_lens, kv_indices, n=max_model_len)\n\n\n"
     + HEAD.replace("deepgemm_fp8_paged_mqa_logits_stage1(", "_launch(").replace("max_model_len", "n")),
    ("        max_model_len ,", "        n,"),
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        by("k[(1,)](", (IMPORT, IMPORT.replace("\n", " as k\n")), ("+ 1", "")),
        by(f"kernels.{LAUNCH}", (IMPORT, "import kernels\n"), ("+ 1", "")),
        by(LAUNCH, ("+ 1", "")) + f"\n\n__all__ = ['{STAGE1}']\n",
        INNER,
        by(LAUNCH, ("+ 1", ""), ("out_qk.stride(0)", "out_qk.stride()[0]")),
        *(
            by(LAUNCH, ("+ 1", ""), ("    pass", f"    {before}"))
            for before in (
                "out_qk.fill_(0)",
                "out_qk[:, 0] = 0",
                "assert out_qk.dim() == 2 and len(out_qk)",
                "print(f'{out_qk}', torch.isnan(out_qk))",
            )
        ),
        by(
            LAUNCH,
            ("+ 1", ""),
            ("    pass", "    _see(out_qk)"),
            (HEAD, "def _see(x):\n    assert x.dim()\n\n\n" + HEAD),
        ),
    ],
)
def test_a_launch_that_is_followed_hands_on_the_width(text: str) -> None:
    assert presence_of_bound(judged_bound(text)) is Presence.ABSENT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("out_qk,", "out_qk[:, 1:],"),
        ("out_qk,", "weights,"),
        ("out_qk.stride(0)", "out_qk.stride(1)"),
        ("out_qk.stride(1)", "2 * out_qk.stride(1)"),
        ("out_qk.stride(1)", "max_model_len"),
        ("out_qk.stride(1)", "weights.stride(1)"),
    ],
)
def test_a_bound_of_other_rows_than_those_of_the_output_is_not_understood(old: str, new: str) -> None:
    head, call = LAUNCHING.format(before="pass", handed="max_model_len, 1,").split("    pass\n")
    assert old in call
    assert presence_of_bound(judged_bound(head + call.replace(old, new, 1))) is Presence.UNKNOWN


@pytest.mark.parametrize(
    "before",
    ["out_qk = out_qk[:, :8]", "out_qk, _ = weights, 1", "def up():\n        nonlocal max_model_len\n        max_model_len += 1\n    up()"],
)  # fmt: skip
def test_a_bound_where_the_output_or_the_width_is_set_anew_is_not_understood(before: str) -> None:
    text = LAUNCHING.format(before=before, handed="max_model_len, 1,")
    assert presence_of_bound(judged_bound(text)) is Presence.UNKNOWN


@pytest.mark.parametrize(
    ("width", "presence"),
    [("max_model_len", Presence.ABSENT), ("max_model_len + 1", Presence.UNKNOWN), ("MAX", Presence.UNKNOWN)],
)
def test_a_width_that_a_dictionary_hands_on_is_seen(width: str, presence: Presence) -> None:
    before = f'rows = {{"max_model_len": {width}, "max_blk_len": 1}}'
    assert presence_of_bound(judged_bound(LAUNCHING.format(before=before, handed="**rows,"))) is presence
