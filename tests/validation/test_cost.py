"""What the fix costs: occupancy arithmetic, and the command on kernels of our own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Runner, run  # noqa: F401 - a fixture

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="the decoder needs Python 3.11")
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

    same = run("cost", "--source", KERNELS, "--against", KERNELS, *words)
    assert same.status == 0
    assert "both texts are the same" in same.text
    assert "no difference" in same.text


def test_kernels_that_the_fix_does_not_understand(run: Runner) -> None:  # noqa: F811
    # These hand the output to a helper: what the fix would cost cannot be said, as there is none.
    assert run("cost", "--source", KERNELS).status == 3


def test_bad_input(run: Runner, tmp_path: Path) -> None:  # noqa: F811
    assert run("cost", "--source", tmp_path / "none.py").status == 4
    assert run("cost", "--source", KERNELS, "--context", "0").status == 2
    assert run("cost", "--source", KERNELS, "--path", tmp_path).status == 2
    assert run("cost", "--path", tmp_path, "--json").json("cost")["error"]["exit_code"] == 4
