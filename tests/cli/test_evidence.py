"""What recorded runs have shown: said by `apply` and `check`, carried along by a patched tree, and a reason not to mend."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.patching.annotations import noted_evidence
from aiterfix.patching.status import read_status
from aiterfix.storage.digest import sha256_hex
from aiterfix.validation.evidence import CALLED, Evidence, Outcome, keep, names_digest
from tests import paged
from tests.cli.conftest import Runner, contents
from tests.cli.sample import WRAPPER
from tests.faults import test_refusals
from tests.patching.test_other_version import GLUON, STAGE1, tree_at


@dataclass(frozen=True)
class Texts:
    """A file's text before and after `apply`, by their digests, and what is mended in it."""

    before: str
    after: str
    mends: tuple[str, ...]

    def runs(self, *, failed: int = 0, outcome: Outcome = "passed", **more: Any) -> tuple[Evidence, Evidence]:
        """A run of each."""
        faults: tuple[tuple[str, Outcome], ...] = tuple((fault, "failed") for fault in self.mends)
        ran = ("3.7.1", "emulator", "quick", 40, names_digest(["a"]))
        first = Evidence(self.before, self.before, (), *ran, 0, faults, "0.2.0", "2026-08-22")
        passed: tuple[tuple[str, Outcome], ...] = tuple((fault, outcome) for fault in self.mends)
        after = replace(first, text_sha256=self.after, mends=self.mends, failed=failed, faults=passed, **more)
        return first, after


@pytest.fixture
def called(tmp_path: Path) -> Path:
    """A tree whose wrapper must refuse two things: an output with heads, and blocks of several tokens."""
    plain, _ = paged.PLAIN.split(b"\n@triton.jit\ndef _deepgemm_fp8_paged_mqa_logits_ragged_k")
    function = paged.WRAPPER.decode().split("\n\n\n")[1]
    module = STAGE1.removesuffix(".py").replace("/", ".")
    scores = test_refusals.SIZED.replace(
        "from packaging", "import triton\nfrom triton.compiler import ASTSource\n\nfrom packaging"
    )
    wrapper = f"{scores}\n\nfrom {module} import {paged.STAGE1}\n\n\n{function}\n"
    files = {GLUON: test_refusals.KERNEL, STAGE1: plain, WRAPPER: wrapper.encode(), "aiter/__init__.py": b""}
    files["aiter/jit/utils/chip_info.py"] = b"def get_gfx():\n    return ''\n"
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text)
    return tmp_path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The user's own, as the commands are run."""
    return tmp_path / "cache" / "evidence"


def planned(run: Runner, sample: Path, *more: str) -> dict[str, Texts]:
    """What `apply` would write, by file."""
    (done,) = run("apply", "--path", sample, "--dry-run", "--json", *more).json("apply")["installations"]
    return {
        Path(f["path"]).relative_to(sample).as_posix(): Texts(
            f["sha256_before"], f["sha256_after"], tuple(sorted(e["fault"] for e in f["faults"]))
        )
        for f in done["files"]
    }


def mend_of(run: Runner, sample: Path, fault: str) -> Any:
    (found,) = [f for f in run("check", "--path", sample, "--json").json("check")["faults"] if f["id"] == fault]
    return found["mend"]


def said_by_apply(data: Any, fault: str) -> set[str]:
    return {e["shown"] for i in data["installations"] for f in i["files"] for e in f["faults"] if e["fault"] == fault}


def test_what_was_shown_goes_with_the_tree(run: Runner, sample: Path, store: Path) -> None:
    before = contents(sample)
    for texts in planned(run, sample).values():
        for record in texts.runs():
            keep(record, store)
    offered = mend_of(run, sample, "column-bound")
    assert (offered["shown"], offered["available"]) == ("shown", True)
    assert said_by_apply(run("apply", "--path", sample, "--json").json("apply"), "column-bound") == {"shown"}
    # Elsewhere, with another cache: the tree has along what is known of its texts.
    shutil.rmtree(store)
    assert mend_of(run, sample, "column-bound")["shown"] == "shown"
    report = run("check", "--path", sample, "--json").json("check")["installations"][0]
    (file,) = [f for f in report["files"] if f["path"].endswith(GLUON)]
    assert [(e["outcome"], e["scenarios"]) for e in file["evidence"]] == [("passed", 40)]
    assert {"id": "column-bound", "outcome": "passed"} in file["evidence"][0]["faults"]
    assert (
        "passed: 40 quick scenarios on emulator, Triton 3.7.1, 2026-08-22\n"
        in run("check", "--path", sample, "-v").text
    )
    run("revert", "--path", sample)
    assert contents(sample) == before
    assert mend_of(run, sample, "column-bound")["shown"] == "not shown"


def test_what_no_run_has_shown_is_mended_and_called_so(run: Runner, sample: Path) -> None:
    assert mend_of(run, sample, "column-bound")["shown"] == "not shown"
    text = run("apply", "--path", sample, "--fault", "column-bound").text
    assert "not shown by recorded runs: column-bound" in text and "    shown by" not in text
    assert noted_evidence(read_status(tree_at(sample)).annotations) == ""
    assert mend_of(run, sample, "column-bound")["shown"] == "not shown"


def test_what_one_text_showed_is_not_said_of_the_other(run: Runner, sample: Path, store: Path) -> None:
    for record in planned(run, sample)[GLUON].runs():
        keep(record, store)
    assert mend_of(run, sample, "column-bound")["shown"] == "not shown"
    done = run("apply", "--path", sample, "--json").json("apply")
    assert said_by_apply(done, "column-bound") == {"shown", "not shown"}
    assert mend_of(run, sample, "column-bound")["shown"] == "not shown"


def test_a_mend_that_failed_is_not_offered(run: Runner, sample: Path, store: Path) -> None:
    before = contents(sample)
    texts = planned(run, sample, "--fault", "column-bound")[GLUON]
    for record in texts.runs(outcome="failed"):
        keep(record, store)
    words = ("--path", sample, "--fault", "column-bound")
    reason = "a recorded run of the mended text failed (quick set, emulator, Triton 3.7.1, 2026-08-22)"
    checked = run("check", *words, "--json").json("check")
    (mend,) = [f["mend"] for f in checked["faults"] if f["id"] == "column-bound"]
    assert mend == {"kind": "none", "available": False, "shown": "failed", "remedy": reason}
    assert GLUON not in run("diff", *words).text
    ran = run("apply", *words)
    assert ran.status == 1 and f"column-bound cannot be mended here: {reason}" in ran.text
    assert (sample / GLUON).read_bytes() == before[GLUON] and (sample / STAGE1).read_bytes() != before[STAGE1]


def test_a_run_that_fails_without_the_mend_too_says_nothing_of_it(run: Runner, sample: Path, store: Path) -> None:
    first, after = planned(run, sample, "--fault", "column-bound")[GLUON].runs(failed=24, outcome="failed")
    for record in (replace(first, failed=24), after):
        keep(record, store)
    words = ("--path", sample, "--fault", "column-bound")
    assert GLUON in run("diff", *words).text
    assert said_by_apply(run("apply", *words, "--json").json("apply"), "column-bound") == {"not shown"}


def test_a_store_that_others_can_write_is_not_believed(run: Runner, sample: Path, store: Path) -> None:
    for texts in planned(run, sample).values():
        for record in texts.runs():
            keep(record, store)
    assert mend_of(run, sample, "column-bound")["shown"] == "shown"
    store.chmod(0o777)
    ran = run("apply", "--path", sample, "--fault", "column-bound")
    assert "not shown by recorded runs: column-bound" in ran.text and "    shown by" not in ran.text
    assert f"not used: {store}" in ran.err


def test_what_wrappers_refuse_is_shown_by_their_calls(run: Runner, called: Path, store: Path) -> None:
    """The kernels have such a fault, and the wrapper's text the mend."""
    texts = planned(run, called)
    assert {"output-rank", "block-paging"} == set(texts[WRAPPER].mends)
    for path in (GLUON, STAGE1):
        digest = sha256_hex((called / path).read_bytes())
        keep(Texts(digest, digest, ()).runs()[0], store)
    assert texts.keys() == {WRAPPER} and mend_of(run, called, "output-rank")["shown"] == "not shown"
    for record in texts[WRAPPER].runs(outcome="refused"):  # of kernels: nothing was called
        keep(record, store)
    assert mend_of(run, called, "output-rank")["shown"] == "not shown"
    first, after = texts[WRAPPER].runs(outcome="refused")
    for record in (replace(first, device=CALLED), replace(after, device=CALLED)):
        keep(record, store)
    before = {fault: mend_of(run, called, fault) for fault in ("output-rank", "block-paging")}
    assert {fault: (m["kind"], m["shown"]) for fault, m in before.items()} == {
        "output-rank": ("refusal", "shown"),
        "block-paging": ("refusal", "shown"),
    }
    run("apply", "--path", called)
    for fault in before:
        assert mend_of(run, called, fault) == {**before[fault], "available": False, "remedy": ""}
