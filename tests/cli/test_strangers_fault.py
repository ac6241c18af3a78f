"""A fault that this package does not know, from a folder given with ``--fixes``: no code, one file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Runner

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
HEAD = "import triton\nimport triton.language as tl\n\n\n@triton.jit\n"
ROW = f"""\
{HEAD}def _far_scores(scores, stride_row, width, N: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * N + tl.arange(0, N)
    tl.store(scores + row * stride_row + column, 1.0, mask=column < width)
"""
COLUMN = ROW.replace(", mask=column < width", "")
GATHER = f"""\
{HEAD}def _far_scores(scores, stride_row, width, keys, stride_block, table, N: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * N + tl.arange(0, N)
    block = tl.load(table + column, mask=column < width, other=0)
    key = tl.load(keys + block * stride_block)
    tl.store(scores + row * stride_row + column, key, mask=column < width)
"""


def documented() -> str:
    """The fault file that CONTRIBUTING.md shows."""
    (text,) = re.findall(r"```toml\n(.*?)```", CONTRIBUTING.read_text(encoding="utf-8"), re.DOTALL)
    return str(text)


@pytest.mark.parametrize(
    ("verb", "kernel", "more", "before", "after"),
    [
        ("widen-row", ROW, "", "scores + row * stride_row", "scores + row.to(tl.int64) * stride_row"),
        ("bound-column", COLUMN, "", "+ column, 1.0)", "+ column, 1.0, mask=column < width)"),
        (
            "widen-gather",
            GATHER,
            'caches = ["keys"]\n',
            "keys + block * stride_block",
            "keys + block.to(tl.int64) * stride_block",
        ),
    ],
)
def test_check_finds_it_apply_mends_it_and_revert_puts_it_back(
    run: Runner,
    sample: Path,
    tmp_path: Path,
    verb: str,
    kernel: str,
    more: str,
    before: str,
    after: str,
) -> None:
    file = sample / "aiter/ops/scores.py"
    file.write_text(kernel)
    folder = tmp_path / "fixes"
    folder.mkdir()
    (folder / "far-scores.toml").write_text(documented().replace('verb = "widen-row"', f'verb = "{verb}"') + more)
    where = ("--path", sample, "--fixes", folder, "--fault", "far-scores")

    assert "far-scores" not in run("check", "--path", sample, "-v").text
    found = run("check", *where, "--json")
    assert found.status == 1
    data = found.json("check")
    assert data["verdict"] == "affected"
    (fault,) = [f for f in data["faults"] if f["id"] == "far-scores"]
    assert (fault["presence"], fault["decides"]) == ("present", True)
    (unit,) = [u for i in data["installations"] for f in i["files"] for u in f["units"] if u["name"] == "_far_scores"]
    assert [f["presence"] for f in unit["faults"] if f["id"] == "far-scores"] == ["present"]

    assert run("diff", *where).text.count("\n+") == 2  # the file's name, and one line
    assert run("apply", *where, "--require").status == 0
    assert file.read_text() == kernel.replace(before, after) != kernel
    again = run("apply", *where, "--require")
    assert again.status == 0 and file.read_text() == kernel.replace(before, after)
    clean = run("check", *where)
    assert clean.status == 0
    assert "verdict: clean: far-scores: absent" in clean.text

    assert run("revert", "--path", sample).status == 0
    assert file.read_text() == kernel


def test_it_decides_beside_the_package_s_own(run: Runner, sample: Path, tmp_path: Path) -> None:
    """Without ``--fault`` every deciding fault is asked about, the stranger's too; ``apply`` mends them together."""
    (sample / "aiter/ops/scores.py").write_text(ROW)
    folder = tmp_path / "fixes"
    folder.mkdir()
    (folder / "far-scores.toml").write_text(documented())
    assert "far-scores" in run("check", "--path", sample, "--fixes", folder).text.partition("verdict: affected")[2]
    assert run("apply", "--path", sample, "--fixes", folder, "--require").status == 0
    assert "row.to(tl.int64)" in (sample / "aiter/ops/scores.py").read_text()
    assert run("check", "--path", sample, "--fixes", folder).status == 0
