"""The advice: what decides it, and that doubt never gives fewer columns."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
import types
from dataclasses import replace
from pathlib import Path

import pytest

from aiterfix.advice import padding
from aiterfix.advice.padding import BY_NAME, HeldKernel, Question, advise, bound, required_padding
from aiterfix.cli.main import main
from aiterfix.faults.base import Diagnosis, Presence
from aiterfix.faults.diagnosis import TextDiagnosis, Unit, diagnose
from aiterfix.faults.mend import mend
from aiterfix.faults.registry import load_faults
from aiterfix.installation.aot import PrebuiltCodeObjects
from aiterfix.judge import process
from aiterfix.judge.judgement import COLUMN_BOUND, Doubt, JudgedText, Judgement, bounds_only
from aiterfix.overshoot import results
from aiterfix.source.walk import Problem
from tests import schemas
from tests.cli.conftest import Runner, run, sample  # noqa: F401 - fixtures

MODULE = "aiter.ops.triton.gluon.pa_mqa_logits"
GLUON = "aiter/ops/triton/gluon/pa_mqa_logits.py"


KNOWN = load_faults()
DIGEST = "d" * 64
RELEASED = "r" * 64


@pytest.fixture(autouse=True)
def releases(monkeypatch: pytest.MonkeyPatch) -> None:
    """One file is of a release, and has the three kernels."""
    names = tuple(BY_NAME.values())
    monkeypatch.setattr("aiterfix.history.digests.kernels_of_release", lambda sha: names if sha == RELEASED else ())


def unit(name: str, presence: Presence, stores: int = 2) -> Unit:
    # What is true of other faults is no matter of padding.
    faults = (Diagnosis(COLUMN_BOUND, (), presence), Diagnosis("row-offset-32", (), Presence.PRESENT))
    return Unit(name, "gluon", 1, faults, stores)


def judged(*units: Unit, released: bool = True, prebuilt: str = "", doubt: str = "") -> Judgement:
    digest = RELEASED if released else DIGEST
    texts = (JudgedText("file", "file", b"", TextDiagnosis(digest, units, ()), digest, Path("file")),) if units else ()
    objects = PrebuiltCodeObjects(Path("objects"), 0, 0, prebuilt, "1", ())
    return Judgement(
        None,
        KNOWN,
        bounds_only(KNOWN),
        texts,
        (Doubt("", doubt),) if doubt else (),
        (("gluon", objects),) if prebuilt else (),
    )


def holding(presence: Presence = Presence.PRESENT, *, released: bool = True, prebuilt: str = "") -> Judgement:
    return judged(*(unit(name, presence) for name in BY_NAME.values()), released=released, prebuilt=prebuilt)


@pytest.mark.parametrize("block", [1, 16, 32, 64, 128, 256, 512])
def test_bound_is_the_maximum_over_all_contexts(block: int) -> None:
    # The base kernel, for blocks of one token, ends where the context does.
    unit = block if block in (1, 16, 32, 64, 128) else 256
    for width in range(1, 600):
        answer = advise(Question(width, block), holding())
        assert answer.columns == max(-(-context // unit) * unit for context in range(1, width + 1)) - width
        assert (answer.evidence, answer.exact) == ("bound", False)


def test_stub_of_a_kernel_that_stores_nothing_does_not_count() -> None:
    (whole,) = holding().texts
    (stubs,) = judged(*(unit(name, Presence.ABSENT, stores=0) for name in BY_NAME.values()), released=False).texts
    assert advise(Question(1000, 64), replace(judged(), texts=(stubs, whole))).columns == 24
    # Nothing but stubs: what runs is prebuilt.
    assert advise(Question(1000, 64), replace(judged(), texts=(stubs,))).columns == 255


def test_bounded_is_zero_and_doubt_is_not() -> None:
    asked = Question(1024, 64)
    assert advise(asked, holding(Presence.ABSENT)).columns == 0
    assert advise(asked, holding()).columns == 0
    assert advise(asked, holding(Presence.ABSENT, prebuilt="X")).columns == 255
    assert advise(asked, holding(released=False)).columns == 255
    assert advise(asked, holding(Presence.UNKNOWN)).columns == 255
    bounded = holding(Presence.ABSENT)
    assert advise(asked, replace(bounded, doubts=(Doubt("", "two of them"),))).columns == 255
    problem = Problem("rebound", "its name is bound again", 3)
    (text,) = bounded.texts
    odd = replace(text, diagnosis=replace(text.diagnosis, problems=(problem,)))
    assert advise(asked, replace(bounded, texts=(odd,))).columns == 255
    assert advise(asked, judged()).columns == 255
    assert advise(replace(asked, chunk_k=512), holding(released=False)).columns == 511
    assert advise(replace(asked, kv_block_size=48), holding()).columns == 255
    base, preshuffle, schedule = BY_NAME.values()
    mixed = judged(unit(base, Presence.ABSENT), unit(preshuffle, Presence.ABSENT), unit(schedule, Presence.PRESENT))
    assert advise(Question(1000, 64), mixed).columns == 24


@pytest.mark.parametrize("presence", Presence)
def test_what_is_said_of_the_source_is_the_presence_of_unbounded_stores(presence: Presence) -> None:
    assert advise(Question(1024, 64), holding(presence)).presence is presence
    assert advise(Question(1024, 64), judged()).presence is Presence.UNKNOWN
    assert (advise(Question(1000, 64), holding(presence)).columns == 0) is presence.harmless


def test_stored_measurement_counts_for_its_own_question_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "triton", types.SimpleNamespace(__version__="9.9"))
    for kernel in ("preshuffle", "preshuffle_varctx"):
        path = results.store(results.Measured(RELEASED, kernel, 64, 256, 256, 1, 1000, "9.9", "c" * 64, 0, 1000, 5))
    asked = Question(1000, 256)
    assert (advise(asked, holding()).columns, advise(asked, holding()).evidence) == (0, "measured")
    for other in (replace(asked, heads=32), replace(asked, next_n=2), replace(asked, max_model_len=1001)):
        assert advise(other, holding()).evidence == "bound"
    path.write_text(path.read_text().replace('"max_model_len": 1000', '"max_model_len": 1024'))
    assert advise(asked, holding()).columns == 24
    path.write_text("{")
    assert advise(asked, holding()).columns == 24


@pytest.mark.parametrize(
    "content", [b"[" * 200_000, b'{"a":' * 100_000, b'{"columns": ' + b"9" * 5000 + b"}", b"\xff\0", b"", None]
)
def test_a_stored_file_that_cannot_be_read_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "triton", types.SimpleNamespace(__version__="9.9"))
    asked = Question(1000, 256)
    expected = advise(asked, holding())
    assert expected.evidence == "bound"
    for kernel in ("preshuffle", "preshuffle_varctx"):
        path = results.store(results.Measured(RELEASED, kernel, 64, 256, 256, 1, 1000, "9.9", "c" * 64, 0, 1000, 5))
        if content is not None:
            path.write_bytes(content)
        else:
            path.unlink()
            os.mkfifo(path)
    assert advise(asked, holding()) == expected
    path.unlink()
    path.mkdir()
    assert advise(asked, holding()) == expected
    path.rmdir()
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert advise(asked, holding()) == expected
    path.unlink()
    path.symlink_to("/dev/zero")
    assert advise(asked, holding()) == expected


def test_numbers_of_any_length_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padding, "_memory", None)
    assert required_padding(10**5000, 64).columns == 255
    assert required_padding(1000, 10**5000).columns == 10**5000 - 1


def old(folder: Path) -> None:
    """As if nothing had been changed there for an hour."""
    os.utime(folder, (time.time() - 3600,) * 2)


def test_where_there_is_no_aiter_that_is_remembered_until_there_is(
    sample: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty = tmp_path / "empty"
    late = tmp_path / "late"
    empty.mkdir()
    old(empty)
    monkeypatch.setattr(padding, "_memory", None)
    monkeypatch.setattr(sys, "path", [str(empty), str(late)])
    searches = []

    def search() -> process.OnDisk:
        searches.append(1)
        return process.judge_importable()

    monkeypatch.setattr(padding, "judge_importable", search)
    assert required_padding(1000, 64).columns == required_padding(1024, 64).columns == 255
    assert "not found" in required_padding(1000, 64).reason
    assert len(searches) == 1
    # Another path, and one whose folder comes to be, are looked at afresh.
    sys.path.append(str(tmp_path / "third"))
    required_padding(1000, 64)
    assert len(searches) == 2
    late.mkdir()
    required_padding(1000, 64)
    required_padding(1000, 64)
    assert len(searches) == 4, "a folder that was changed just now may change again within the same tick of the clock"
    old(late)
    required_padding(1000, 64)
    required_padding(1000, 64)
    assert len(searches) == 5
    # A namespace portion may be filled without a change to the folder that it is in.
    (late / "aiter").mkdir()
    old(late)
    required_padding(1000, 64)
    required_padding(1000, 64)
    assert len(searches) == 7
    (late / "aiter").rmdir()
    old(late)
    required_padding(1000, 64)
    shutil.copytree(sample / "aiter", empty / "aiter")
    installed = required_padding(1000, 64)
    assert "not found" not in installed.reason
    assert installed.presence is Presence.PRESENT


@pytest.mark.parametrize(
    "wrong",
    [{"max_model_len": 0}, {"kv_block_size": -1}, {"chunk_k": 1.5}, {"next_n": True}, {"kernel": "x"}, {"heads": "64"}],
)
def test_bad_arguments(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        required_padding(**{"max_model_len": 1000, "kv_block_size": 64, **wrong})  # type: ignore[arg-type]


def test_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(padding, "_memory", None)
    monkeypatch.setattr(padding, "loaded_kernels", fail)
    answer = required_padding(1024, 64)
    assert answer.columns == 255
    assert "RuntimeError" in answer.reason


class _Jit:
    def __init__(self, src: str) -> None:
        self.src = src
        self.__module__ = MODULE


def test_loaded_source_outranks_the_file(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Imported before `apply`: the file is bounded, what runs is not; and the other way round."""
    monkeypatch.setattr(padding, "_memory", None)
    monkeypatch.syspath_prepend(str(sample))
    before = (sample / GLUON).read_bytes()
    after = mend(before, KNOWN.judged, filename=GLUON).new
    assert required_padding(1024, 64).columns == 255
    (sample / GLUON).write_bytes(after)
    assert required_padding(1024, 64).columns == 0

    def module(text: bytes) -> types.ModuleType:
        made = types.ModuleType(MODULE)
        made.__dict__["gl"] = types.ModuleType("triton.experimental.gluon.language")
        parts = text.decode().split("@gluon.jit\n")[1:]
        for part in parts:
            made.__dict__[part.split("def ")[1].split("(")[0]] = _Jit("def " + part.split("def ", 1)[1])
        return made

    monkeypatch.setitem(sys.modules, MODULE, module(before))
    assert required_padding(1024, 64).columns == 255
    monkeypatch.setitem(sys.modules, MODULE, module(after))
    assert required_padding(1024, 64).columns == 0
    monkeypatch.setenv("AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS", "1")
    assert required_padding(1024, 64).columns == 255


def test_threads_agree(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(padding, "_memory", None)
    monkeypatch.syspath_prepend(str(sample))
    reads = []

    def read() -> process.OnDisk:
        reads.append(threading.get_ident())
        return process.judge_importable()

    monkeypatch.setattr(padding, "judge_importable", read)
    barrier = threading.Barrier(8)
    answers = []

    def ask() -> None:
        barrier.wait()
        answers.append(required_padding(1000, 64))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert len(reads) == 1


def test_imports_nothing_heavy(sample: Path) -> None:  # noqa: F811
    code = (
        "import sys, aiterfix; aiterfix.required_padding(1000, 64)\n"
        "print([m for m in ('torch', 'triton', 'numpy', 'aiter') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=sample, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_command(run: Runner, sample: Path) -> None:  # noqa: F811
    words = ["padding", "--path", sample, "--max-model-len", "1024", "--block-size", "64"]
    assert "255 columns" in run(*words).text
    assert run(*words).status == 0
    assert run(*words, "--require").status == 1
    # Of a source of no release no length is known to be safe.
    assert "no --max-model-len is known to need no padding" in run(*words).text
    data = run(*words, "--json").json("padding")
    assert (data["columns"], data["safe_max_model_len"]) == (255, None)
    assert len(run(*words, "--table", "--block-size", "16", "--json").json("padding")["rows"]) == 2
    assert run("apply", "--path", sample).status == 0
    done = run(*words, "--require", "--json")
    assert done.status == 0
    assert done.json("padding")["evidence"] == "guarded"


def test_command_names_the_nearest_safe_lengths(
    sample: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The sample taken for a release."""
    known = {d.sha256: tuple(u.name for u in d.units) for d in [diagnose((sample / GLUON).read_bytes(), KNOWN.judged)]}
    monkeypatch.setattr("aiterfix.history.digests.kernels_of_release", lambda digest: known.get(digest, ()))
    words = ["padding", "--path", str(sample), "--block-size", "64", "--max-model-len"]
    assert main([*words, "10000"]) == 0
    assert "the nearest safe --max-model-len is 9984 or 10048 (multiples of 64)" in capsys.readouterr().out
    for length, safe in (
        ("10000", {"step": 64, "below": 9984, "above": 10048}),
        ("40", {"step": 64, "below": None, "above": 64}),
        ("10048", None),
    ):
        main([*words, length, "--json"])
        data = schemas.read(capsys.readouterr().out, "padding")
        assert (data["safe_max_model_len"], bool(data["columns"])) == (safe, safe is not None)


def test_command_refuses(run: Runner, sample: Path, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "empty").mkdir()
    for words, status in (
        (["--path", sample], 2),
        (["--path", sample, "--max-model-len", "0", "--block-size", "64"], 2),
        (["--path", tmp_path / "empty", "--max-model-len", "1000", "--block-size", "64"], 4),
    ):
        ran = run("padding", *words, "--json")
        assert ran.status == status
        assert ran.json("padding")["error"]["exit_code"] == status


@pytest.mark.parametrize("chunk", [256, 64, 32])
def test_the_ragged_form_has_a_chunk_of_its_own(chunk: int) -> None:
    """Its wrapper takes none; rounded up to a caller's chunk of 32 its row would seem to end 32 columns earlier."""
    held = HeldKernel("_deepgemm_fp8_paged_mqa_logits_stage1_ragged_k", "stage1", Presence.PRESENT, RELEASED, 1)
    assert bound(Question(340, 1, chunk_k=chunk), held)[0] == 384 - 340
