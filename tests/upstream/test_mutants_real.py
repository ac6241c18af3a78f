"""Mutants of the newest release's Gluon file, run by the model, and the model's truth against what was measured."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("numpy")

from tests.kernels import SHIPPED, bound
from tests.source import model
from tests.source.model import Launch
from tests.source.mutate import Tally, judge, mutants
from tests.upstream.conftest import Clone

TAG = "v0.1.20.post1"
GLUON = "aiter/ops/triton/gluon/pa_mqa_logits.py"
PLAIN = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"
COUNT = int(os.environ.get("AITERFIX_MUTANTS", "600"))
"""How many mutants run; the tests' own number takes about a minute and a half of one core."""


def kernels_of(file: model.File) -> list[str]:
    """Kernels with a body; the plain-Triton file also has signatures of the Gluon ones."""
    names = [n for n in file.execute() if "paged_mqa_logits" in n and "schedule" not in n]
    return [n for n in names if b"gluon.jit" in file.text or "gluon" not in n]


def past_the_end(text: bytes, kernel: str, launch: Launch) -> dict[int, int]:
    run = model.launch(model.File(text).execute()[kernel], launch, keep=True)
    return model.columns_outside(run)


# Measured on gfx950 code and on a GPU: see docs/overshoot.md. Rows get the columns of their last block too many.
MEASURED = [
    (GLUON, "_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle", Launch("", 2048, (2048,), 2, 64, 4), 0),
    (GLUON, "_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle", Launch("", 2300, (2300,), 2, 64, 4), 4),
    (GLUON, "_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle", Launch("", 1000, (1000, 1000), 2, 64, 3), 24),
    (GLUON, "_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle", Launch("", 1000, (1000, 1000), 2, 256, 3), 0),
    (PLAIN, "_deepgemm_fp8_paged_mqa_logits_stage1", Launch("", 2048, (2048,), 2, 64, 5), 0),
    (PLAIN, "_deepgemm_fp8_paged_mqa_logits_stage1", Launch("", 1000, (1000, 1000), 2, 64, 5), 24),
    (PLAIN, "_deepgemm_fp8_paged_mqa_logits_stage1", Launch("", 300, (300, 300, 300), 2, 64, 5), 212),
    (PLAIN, "_deepgemm_fp8_paged_mqa_logits_stage1", Launch("", 1024, (1024, 1024), 2, 64, 5), 0),
]


@pytest.mark.parametrize(("path", "kernel", "launch", "columns"), MEASURED)
def test_the_model_agrees_with_what_was_measured(
    clone: Clone, path: str, kernel: str, launch: Launch, columns: int
) -> None:
    text = clone.git("show", f"{TAG}:{path}")
    heads = 2 if "stage1" in kernel else 1  # stage1 writes a row for each head
    rows = len(launch.contexts) * launch.next_n * heads
    found = past_the_end(text, kernel, launch)
    assert set(found.values()) == ({columns} if columns else set())
    assert len(found) == (rows if columns else 0)
    assert past_the_end(bound(text, SHIPPED.judged).new, kernel, launch) == {}


@pytest.mark.parametrize("path", [GLUON, PLAIN])
def test_mended_kernels_store_nowhere_else(clone: Clone, path: str) -> None:
    file = model.File(bound(clone.git("show", f"{TAG}:{path}"), SHIPPED.judged).new)
    names = file.execute()
    kernels = kernels_of(file)
    assert len(kernels) == (3 if path == GLUON else 4)
    for kernel in kernels:
        for launch in (*model.launches(kernel), model.huge(kernel)):
            run = model.launch(names[kernel], launch, keep=True)
            assert run.outside == []
            assert run.lanes


@pytest.fixture(scope="module")
def tally(clone: Clone) -> Tally:
    file = model.File(bound(clone.git("show", f"{TAG}:{GLUON}"), SHIPPED.judged).new)
    kernels = kernels_of(file)
    result = Tally()
    for mutant in mutants(file, kernels, COUNT):
        result.add(judge(file, mutant, SHIPPED.kernels, kernels))
    return result


def test_no_harmful_mutant_is_called_bounded(tally: Tally) -> None:
    harms = [o.harm for o in tally.outcomes]
    assert harms.count("end") > COUNT // 6 and "before" in harms, tally.summary()
    assert [(o.mutant.number, o.mutant.kinds, o.harm) for o in tally.missed] == []
