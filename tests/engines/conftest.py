"""The command line as a process, shared with its own tests, and as a function, for one folder."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from aiterfix.cli.main import main
from aiterfix.demo import write_sample
from aiterfix.faults.registry import load_faults
from aiterfix.history import digests
from tests import schemas
from tests.cli.conftest import run, sample
from tests.conftest import once

__all__ = ["run", "sample"]
NAMES = ("_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle_varctx",)


class Judge:
    """Asks about one folder, in this process."""

    def __init__(self, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.site = site
        self._capsys = capsys

    def run(self, *words: object) -> tuple[int, str]:
        """Exit status and standard output."""
        self._capsys.readouterr()
        status = main([str(word) for word in words])
        return status, self._capsys.readouterr().out

    def __call__(self, engine: str, *words: object, status: int) -> Any:
        """The JSON of `check --for`, whose exit status must be as said, with and without ``--json``."""
        arguments = ["check", "--path", self.site, "--for", engine, *words]
        plain, text = self.run(*arguments)
        assert plain == status, text
        same, out = self.run(*arguments, "--json")
        assert same == status
        data = schemas.read(out, "check")
        assert f"verdict on the pair: {data['pair_verdict']}" in text
        assert text.count("\nnext: ") == 1, "one piece of advice"
        return data

    def apply(self) -> None:
        assert self.run("apply", "--path", self.site, "--require")[0] == 0


def leave_columns_alone(site: Path) -> None:
    """Take every fault out that decides, but the one that depends on how wide rows are."""
    others = sorted(load_faults().deciding - {"column-bound"})
    assert main(["apply", "--path", str(site), *(word for fault in others for word in ("--fault", fault))]) in (0, 1)


@pytest.fixture(scope="session")
def columns_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample of which every fault is mended but the columns', to copy."""
    with once(tmp_path_factory, "columns-alone") as (folder, there):
        if not there:
            folder.mkdir()
            write_sample(folder)
            leave_columns_alone(folder)
    return folder


@pytest.fixture
def judge(
    tmp_path: Path,
    columns_alone: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    remembered: None,
) -> Judge:
    """The sample taken for a release, as only of releases is it known how they round, with its columns alone unmended."""
    site = tmp_path / "site-packages"
    shutil.copytree(columns_alone, site)
    texts = [path.read_bytes() for path in (site / "aiter").rglob("pa_mqa_logits.py")]
    released = {hashlib.sha256(text).hexdigest() for text in texts}
    monkeypatch.setattr(digests, "kernels_of_release", lambda sha256: NAMES if sha256 in released else ())
    return Judge(site, capsys)


def only_call(data: Any) -> Any:
    (pair,) = data["pairs"]
    (call,) = pair["calls"]
    return call
