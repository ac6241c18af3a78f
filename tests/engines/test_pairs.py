"""`aiterfix check --for` as a process: verdicts on pairs, exit codes, JSON against the schema."""

from __future__ import annotations

import hashlib
import json
import sys
import types
from pathlib import Path

import pytest

from aiterfix.history import digests
from aiterfix.overshoot import results
from tests.cli.conftest import Runner
from tests.engines import callers
from tests.engines.conftest import Judge, only_call
from tests.engines.frames import ops, verdict
from tests.report.html import reading

GLUON = "aiter/ops/triton/gluon/pa_mqa_logits.py"


def test_exact_rows_are_safe_only_for_some_lengths(judge: Judge) -> None:
    callers.workspace(judge.site)
    data = judge("vllm", status=1)
    assert data["pair_verdict"] == "safe-for-some-lengths"
    assert data["engines"] == [{"name": "vllm", "version": "1.2.3", "package": str(judge.site / "vllm")}]
    assert only_call(data)["safe_max_model_len"] == {"step": 256, "below": None, "above": None}
    data = judge("vllm", "--block-size", 64, status=1)
    assert only_call(data)["safe_max_model_len"]["step"] == 64


def test_length_given_decides(judge: Judge) -> None:
    callers.workspace(judge.site)
    data = judge("vllm", "--block-size", 64, "--max-model-len", 10000, status=1)
    assert data["pair_verdict"] == "unsafe-until-apply"
    call = only_call(data)
    assert call["safe_max_model_len"] == {"step": 64, "below": 9984, "above": 10048}
    assert call["padding"]["value"] == 0
    assert call["columns_needed"] > 0
    assert judge("vllm", "--block-size", 64, "--max-model-len", 10048, status=0)["pair_verdict"] == "safe"
    # A multiple of the block that is none of the chunk helps only where the block size is known.
    assert judge("vllm", "--max-model-len", 10048, status=1)["pair_verdict"] == "unsafe-until-apply"
    # Blocks of 256 do not fit a stage of 128, so whole chunks are handled.
    assert only_call(judge("vllm", "--block-size", 256, "--max-model-len", 10048, status=1))["safe_max_model_len"] == {
        "step": 256,
        "below": 9984,
        "above": 10240,
    }


def test_the_text_says_what_an_operator_does(judge: Judge) -> None:
    callers.workspace(judge.site)
    words = ("check", "--path", judge.site, "--for", "vllm", "--block-size", 64, "--max-model-len")
    apply = f"aiterfix apply --path {judge.site}"
    nearest = "the nearest safe --max-model-len is 9984 or 10048 (multiples of 64)"
    unsafe = judge.run(*words, 10000)[1].splitlines()
    assert unsafe[-1] == f"next:    {apply}, then start the server again; or else: {nearest}"
    assert "    evidence: a bound from the source, not a measurement" in unsafe
    safe = judge.run(*words, 10048)[1]
    assert "none is needed at 10048, a multiple of the block of 64 columns that rows are rounded up to" in safe
    assert safe.splitlines()[-1] == f"next:    nothing for what was asked about here; {apply} makes every length safe"
    judge.apply()
    assert judge.run(*words, 10000)[1].splitlines()[-1] == "next:    nothing"


def test_every_form_shows_the_pair(judge: Judge) -> None:
    callers.workspace(judge.site)
    words = ("check", "--path", judge.site, "--for", "vllm", "--block-size", 64, "--max-model-len", 10000)
    verdict = "unsafe-until-apply"
    call = only_call(judge("vllm", "--block-size", 64, "--max-model-len", 10000, status=1))
    assert judge.run(*words, "-q")[1] == f"{verdict}\n"
    tree = reading.read(judge.run(*words, "--format", "html")[1])
    assert f"The pair: {verdict}" in [reading.text(h) for h in tree.iter("h2")]
    assert f"Next: aiterfix apply --path {judge.site}, then start the server again; or else: " in reading.text(tree)
    launch = reading.tables(tree)[-1]
    assert launch[0][:4] == ["call", "verdict", "padding", "KVBlockSize"]
    assert launch[1][:3] == [f"{call['file']}:{call['line']}", verdict, "0"]
    markdown = judge.run(*words, "--format", "markdown")[1]
    assert f"verdict on the pair: {verdict}" in markdown and markdown.count("```") == 2
    full = judge.run(*words, "-v")[1]
    assert full.index("verdict on the pair") < full.index(f"{GLUON}  sha256 "), "the answers first"


def test_stored_measurement_counts_where_this_interpreter_is_asked(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that bounds these stores with blocks of 256 shows it by measurement only."""
    callers.workspace(judge.site)
    digest = hashlib.sha256((judge.site / GLUON).read_bytes()).hexdigest()
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "triton", types.SimpleNamespace(__version__="9.9"))
    for kernel in ("preshuffle", "preshuffle_varctx"):
        results.store(results.Measured(digest, kernel, 64, 256, 256, 1, 10000, "9.9", "c" * 64, 0, 10000, 5))
    monkeypatch.syspath_prepend(str(judge.site))
    words = ("--for", "vllm", "--block-size", 256, "--max-model-len", 10000)
    status, out = judge.run("check", *words, "--json")
    call = only_call(json.loads(out))
    assert (status, call["verdict"], call["evidence"]) == (0, "safe", "measured")
    # For other heads, and for what another interpreter compiles, the bound.
    assert judge.run("check", *words, "--heads", 32)[0] == 1
    assert only_call(judge(*words[1:], status=1))["evidence"] == "bound"


def test_unsafe_until_apply(judge: Judge) -> None:
    callers.workspace(judge.site)
    words = ("--block-size", 64, "--max-model-len", 10000)
    judge("vllm", *words, status=1)
    judge.apply()
    data = judge("vllm", *words, status=0)
    assert (data["pair_verdict"], only_call(data)["columns_needed"]) == ("safe", 0)
    assert judge("vllm", status=0)["pair_verdict"] == "safe"


def test_padding_may_be_dropped(judge: Judge) -> None:
    callers.padded(judge.site)
    rows = ("--max-num-seqs", 32, "--next-n", 2)
    # Unpatched: 10000 lies 48 columns below a multiple of the block; at no length are more than 63 needed.
    data = judge("vllm", "--max-model-len", 10000, *rows, status=0)
    call = only_call(data)
    assert (call["columns_needed"], call["columns_droppable"], call["evidence"]) == (48, 208, "bound")
    call = only_call(judge("vllm", *rows, status=0))
    assert (call["columns_needed"], call["columns_droppable"], call["bytes_back"]) == (63, 193, 64 * 193 * 4)
    judge.apply()
    data = judge("vllm", *rows, status=0)
    assert data["pair_verdict"] == "padding-may-be-dropped"
    call = only_call(data)
    assert (call["columns_needed"], call["columns_droppable"], call["rows"]) == (0, 256, 64)
    assert call["bytes_back"] == 64 * 256 * 4


def test_too_little_padding(judge: Judge) -> None:
    callers.padded(judge.site, padding=16)
    data = judge("vllm", "--max-model-len", 10000, status=1)
    assert data["pair_verdict"] == "unsafe-until-apply"
    assert only_call(data)["padding"] == {"known": True, "value": 16, "text": None}


def test_rows_of_whole_blocks_are_safe(judge: Judge) -> None:
    callers.blocks(judge.site)
    assert judge("sglang", status=0)["pair_verdict"] == "safe"
    assert judge("sglang", "--block-size", 64, "--max-model-len", 10001, status=0)["pair_verdict"] == "safe"
    # Blocks that do not divide a chunk: rounding up to chunks passes the last block.
    assert judge("sglang", "--block-size", 96, status=3)["pair_verdict"] == "unknown"


def test_blocks_of_one_token_take_the_base_kernel(judge: Judge) -> None:
    """Which ends a row where its context ends, whatever the width."""
    callers.blocks(judge.site, callers.TWO_PAGES)
    call = only_call(judge("sglang", status=0))
    assert (call["verdict"], call["columns_needed"], call["evidence"]) == ("safe", 0, "bound")


def test_source_of_no_release_has_no_safe_length(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "kernels_of_release", lambda _: ())
    callers.workspace(judge.site)
    data = judge("vllm", "--block-size", 64, "--max-model-len", 10048, status=1)
    assert data["pair_verdict"] == "unsafe-until-apply"
    assert only_call(data)["safe_max_model_len"] is None
    callers.blocks(judge.site)
    assert judge("sglang", "--block-size", 64, status=3)["pair_verdict"] == "unknown"
    judge.apply()
    assert judge("sglang", status=0)["pair_verdict"] == "safe"


def test_ragged_form(judge: Judge) -> None:
    """Judged as the kernels that take single tokens and chunks of 64."""
    ragged = (
        ops().replace("paged_mqa_logits", "paged_mqa_logits_ragged_k").replace(", Preshuffle=True, KVBlockSize=64", "")
    )
    for length, status, said in ((10048, 0, "safe"), (10050, 1, "unsafe-until-apply")):
        assert verdict(judge, {"ops": ragged}, ("--max-model-len", str(length))) == status
        assert judge("vllm", "--max-model-len", length, status=status)["pair_verdict"] == said


def test_unknown_caller(judge: Judge) -> None:
    callers.blocks(judge.site, callers.BLOCKS_CALLER.replace("tables.shape[1] * page_size", "metadata.longest"))
    data = judge("sglang", status=3)
    assert data["pair_verdict"] == "unknown"
    assert "metadata.longest" in only_call(data)["reason"]
    judge.apply()
    # Bounded kernels are safe for callers that are not understood.
    assert judge("sglang", status=0)["pair_verdict"] == "safe"


def test_a_width_of_parts_that_can_be_looked_up_is_a_condition(judge: Judge) -> None:
    """A property of an object whose class an assertion names."""
    callers.metadata(judge.site)
    call = only_call(judge("sglang", status=1))
    assert call["verdict"] == "depends"
    assert "self.page_size // 4 * self.table.shape[1]" in call["reason"]
    assert "check that it is a multiple of 64" in call["reason"]


def test_only_the_calls_that_a_model_takes(judge: Judge) -> None:
    callers.blocks(judge.site)
    odd = callers.BLOCKS_CALLER.replace("tables.shape[1] * page_size", "metadata.longest").replace(".ops", ".dense.ops")
    other = judge.site / "sglang" / "dense"
    for name, text in (("ops.py", callers.BLOCKS), ("model.py", odd)):
        other.mkdir(exist_ok=True)
        (other / name).write_text(callers.dedent(text))
    assert judge("sglang", status=3)["pair_verdict"] == "unknown"
    data = judge("sglang", "--caller", "sglang/ops", status=0)
    assert (data["pair_verdict"], only_call(data)["file"]) == ("safe", "sglang/ops.py")
    assert judge.run("check", "--path", judge.site, "--for", "sglang", "--caller", "nowhere")[0] == 2
    assert judge.run("check", "--path", judge.site, "--caller", "ops")[0] == 2


def test_unreadable_caller(judge: Judge) -> None:
    callers.write_engine(judge.site, "vllm", {"ops.py": "    deepgemm_fp8_paged_mqa_logits(\n"})
    data = judge("vllm", status=3)
    assert data["pair_verdict"] == "unknown"
    assert data["pairs"][0]["unreadable"]


def test_aiter_not_understood(judge: Judge) -> None:
    callers.padded(judge.site)
    kernels = judge.site / GLUON
    kernels.write_text(kernels.read_text() + "\n(\n")
    data = judge("vllm", "--max-model-len", 10048, status=3)
    assert (data["verdict"], data["pair_verdict"]) == ("unknown", "unknown")
    assert only_call(data)["columns_droppable"] == 0


def compressed(site: Path, expression: str) -> None:
    model = callers.OPERATOR.format(name="vllm").replace("vllm_config.model_config.max_model_len", expression)
    callers.write_engine(site, "vllm", {"ops.py": callers.WORKSPACE, "model.py": model})


def test_compressed_context(judge: Judge) -> None:
    compressed(judge.site, "vllm_config.model_config.max_model_len // vllm_config.ratio")
    words = ("--block-size", 64, "--max-model-len", 10048)
    # Whatever the ratio may be counts until it is said.
    call = only_call(judge("vllm", *words, status=1))
    assert (call["verdict"], "--compress-ratio" in call["reason"]) == ("depends", True)
    assert judge("vllm", *words, "--compress-ratio", 1, status=0)["pair_verdict"] == "safe"
    data = judge("vllm", *words, "--compress-ratio", 4, status=1)
    assert only_call(data)["safe_max_model_len"] == {"step": 256, "below": 9984, "above": 10240}


def test_ratio_that_the_source_states(judge: Judge) -> None:
    compressed(judge.site, "vllm_config.model_config.max_model_len // 4")
    data = judge("vllm", "--block-size", 64, "--max-model-len", 10048, status=1)
    assert data["pair_verdict"] == "unsafe-until-apply"
    assert only_call(data)["safe_max_model_len"]["step"] == 256


def test_fraction_rounded_up_is_not_taken_for_one_rounded_down(judge: Judge) -> None:
    """At 10241 the width is 2561, one more than a multiple of 64."""
    compressed(judge.site, "cdiv(vllm_config.model_config.max_model_len, 4)")
    words = ("--block-size", 64, "--max-model-len", 10241, "--compress-ratio", 4)
    assert judge("vllm", *words, status=3)["pair_verdict"] == "unknown"


def test_engine_that_does_not_call(judge: Judge) -> None:
    callers.write_engine(judge.site, "vllm", {"ops.py": "    x = 1\n"})
    assert judge("vllm", status=0)["pair_verdict"] == "no-calls"


def test_without_for_the_exit_code_is_aiters(run: Runner, sample: Path) -> None:
    callers.blocks(sample)
    ran = run("check", "--path", sample)
    assert ran.status == 1
    assert "sglang 1.2.3" in ran.text
    assert f"aiterfix check --for sglang --path {sample})" in ran.text
    data = run("check", "--path", sample, "--json").json("check")
    assert [c["name"] for c in data["engines"]] == ["sglang"]
    assert "pair_verdict" not in data


def test_for_auto_judges_every_engine_that_is_there(judge: Judge) -> None:
    assert judge.run("check", "--path", judge.site, "--for", "auto")[0] == 4
    callers.blocks(judge.site)
    callers.workspace(judge.site)
    data = judge("auto", "--block-size", 64, "--max-model-len", 10000, status=1)
    verdicts = {Path(pair["consumer"]).name: pair["verdict"] for pair in data["pairs"]}
    assert verdicts == {"sglang": "safe", "vllm": "unsafe-until-apply"}


def test_usage(run: Runner, sample: Path) -> None:
    missing = run("check", "--path", sample, "--for", "vllm")
    assert missing.status == 4
    assert "no vllm is installed here" in missing.err
    assert run("check", "--path", sample, "--for", "vllm", "--json").json("check")["error"]["exit_code"] == 4
    alone = run("check", "--path", sample, "--max-model-len", "4096")
    assert alone.status == 2
    assert "--for" in alone.err
    for words in (["--for", "other"], ["--for", "vllm", "--block-size", "0"], ["--for", "vllm", "--next-n", "x"]):
        refused = run("check", "--path", sample, *words)
        assert refused.status == 2
        assert words[-1] in refused.err
        assert "_positive" not in refused.err


def test_no_aiter_below_the_engine(run: Runner, tmp_path: Path) -> None:
    callers.workspace(tmp_path)
    ran = run("check", "--path", tmp_path, "--for", "vllm", "--json")
    assert ran.status == 4
    assert ran.json("check")["pair_verdict"] == "unknown"
