"""What the fix costs: occupancy arithmetic, and the command on kernels of our own."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path

import pytest

from tests import paged
from tests.cli.conftest import Runner, run  # noqa: F401 - a fixture
from tests.emulator import needs_emulator

pytestmark = needs_emulator
KERNELS = Path(__file__).parents[1] / "data" / "sample_kernels.py"


@pytest.mark.parametrize(
    ("registers", "lds", "waves", "expected"),
    [
        (0, 0, 4, 8),
        (64, 0, 4, 8),
        (65, 0, 4, 7),
        (128, 0, 4, 4),
        (129, 0, 4, 3),
        (168, 0, 4, 3),
        (176, 0, 4, 2),
        (256, 0, 4, 2),
        (257, 0, 4, 1),
        (512, 0, 4, 1),
        (128, 32768, 4, 4),
        (64, 32768, 4, 5),
        (64, 65536, 4, 2),
        (64, 163840, 8, 2),
    ],
)
def test_occupancy(registers: int, lds: int, waves: int, expected: int) -> None:
    from aiterfix.validation.cost import occupancy

    assert occupancy(registers, lds, waves) == expected


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton to compile")
def test_cost_of_the_fix(run: Runner, tmp_path: Path) -> None:  # noqa: F811
    bounded = KERNELS.read_text()
    unbounded = tmp_path / "unbounded.py"
    unbounded.write_text(bounded.replace("BOUND_STORES = tl.constexpr(True)", "BOUND_STORES = tl.constexpr(False)"))
    assert unbounded.read_text() != bounded
    words = ["--kv-block-size", "64", "--context", "512"]
    ran = run("cost", "--source", unbounded, "--against", KERNELS, *words, "--json")
    assert ran.status in (0, 1)
    facts = ran.json("cost")
    assert {k["kernel"] for k in facts["kernels"]} == {"base", "preshuffle", "preshuffle_varctx"}
    for kernel in facts["kernels"]:
        before, after = kernel["before"], kernel["after"]
        assert before["executed_total"] == sum(before["executed"].values()) > 0
        assert 0 < before["static_instructions"] * 4 <= before["code_bytes"]
        assert before["occupancy"] >= 1
        assert bool(kernel["dearer"]) is (
            after["occupancy"] < before["occupancy"] or after["vgpr_spills"] > before["vgpr_spills"]
        )
    # A mask on a store that had none can only add instructions.
    grew = [k["after"]["executed_total"] - k["before"]["executed_total"] for k in facts["kernels"]]
    assert any(g != 0 for g in grew)
    assert facts["dearer"] is any(k["dearer"] for k in facts["kernels"])
    assert ran.status == (1 if facts["dearer"] else 0)
    assert facts["triton"] == importlib.metadata.version("triton").split("+")[0]
    assert facts["sha256"] == hashlib.sha256(unbounded.read_bytes()).hexdigest()
    assert {tuple(k["mends"]) for k in facts["kernels"]} == {()}

    same = run("cost", "--source", KERNELS, "--against", KERNELS, *words)
    assert same.status == 0
    assert "both texts are the same" in same.text
    assert "no difference" in same.text


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton to compile")
def test_cost_of_a_plain_kernel_s_mends(run: Runner, tmp_path: Path) -> None:  # noqa: F811
    plain = KERNELS.with_name("sample_plain.py")
    ran = run("cost", "--source", plain, "--kernel", "stage1", "--context", "512", "--heads", "128", "--json")
    (kernel,) = ran.json("cost")["kernels"]
    assert (kernel["kernel"], kernel["configuration"]) == ("stage1", "h128-b1-unaligned")
    before, after = kernel["before"]["executed"], kernel["after"]["executed"]
    # The bound that it lacks is a comparison.
    assert after["vector compare and select"] > before["vector compare and select"]
    assert run("cost", "--source", plain).status == 3
    assert run("cost", "--source", plain, "--kernel", "own").status == 2


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton to compile")
def test_each_mend_alone_and_all_together(run: Runner, tmp_path: Path) -> None:  # noqa: F811
    """The base kernel of `tests.paged`: its store is bounded, its cache addresses and its paging are not right."""
    source = tmp_path / "kernels.py"
    text = paged.GLUON.replace(b"from aiter.ops.triton.gluon.pa_decode_gluon import get_cdna_version\n", b"")
    source.write_bytes(text.replace(b"tl.constexpr(get_cdna_version())", b"tl.constexpr(4)"))
    words = ["--heads", "64", "--context", "512"]
    ran = run("cost", "--source", source, *words, "--json")
    facts = ran.json("cost")
    rows = {tuple(k["mends"]): k for k in facts["kernels"]}
    assert set(rows) == {("block-paging",), ("cache-offset-32",), ("block-paging", "cache-offset-32")}
    assert len({str(k["before"]) for k in facts["kernels"]}) == 1
    # With each the code is another, and with both another again; by how much, and which way, is the compiler's affair:
    # 64-bit addresses take fewer instructions with Triton 3.9.0.
    executed = {m: k["after"]["executed_total"] - k["before"]["executed_total"] for m, k in rows.items()}
    assert len({0, *executed.values()}) == 4
    assert "column-bound" in facts["unaffected"] and "block-paging" not in facts["unaffected"]
    text_of = run("cost", "--source", source, *words).text
    first, second = text_of.splitlines()[:2]
    assert first == f"{source} (sha256 {facts['sha256'][:12]})"
    assert second.startswith(f"compiled for gfx950 by Triton {facts['triton']}, ")
    assert "\nall: block-paging, cache-offset-32, as `aiterfix apply` mends them\n" in text_of


def test_kernels_that_the_fix_does_not_understand(run: Runner) -> None:  # noqa: F811
    # These hand the output to a helper: what the fix would cost cannot be said, as there is none.
    assert run("cost", "--source", KERNELS).status == 3


def test_bad_input(run: Runner, tmp_path: Path) -> None:  # noqa: F811
    assert run("cost", "--source", tmp_path / "none.py").status == 4
    assert run("cost", "--source", KERNELS, "--context", "0").status == 2
    assert run("cost", "--source", KERNELS, "--path", tmp_path).status == 2
    assert run("cost", "--path", tmp_path, "--json").json("cost")["error"]["exit_code"] == 4
