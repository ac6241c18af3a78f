"""The hook's line on a Triton that makes wrong code of the kernels."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from aiterfix.importing import compilers

GLUON = "aiter.ops.triton.gluon.pa_mqa_logits"
KERNEL = "_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "_said", set())


def _loaded(monkeypatch: pytest.MonkeyPatch, folder: Path, version: str, metadata: str) -> None:
    (folder / "triton").mkdir()
    (folder / "triton" / "__init__.py").write_text(f'__version__ = "{version}"\n')
    (folder / metadata).mkdir()
    triton, module = ModuleType("triton"), ModuleType(GLUON)
    triton.__version__ = version  # type: ignore[attr-defined]
    triton.__file__ = str(folder / "triton" / "__init__.py")
    vars(module)[KERNEL] = object()
    monkeypatch.setitem(sys.modules, "triton", triton)
    monkeypatch.setitem(sys.modules, GLUON, module)


def test_it_is_said_once_and_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _loaded(monkeypatch, tmp_path, "3.5.1", "triton-3.5.1.dist-info")
    compilers.warn(GLUON)
    compilers.warn(GLUON)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("Triton 3.5 as published miscompiles the preshuffle kernels: bites where")
    assert record.getMessage().endswith("Use another release of Triton, or this project's kernel (AITERFIX_KERNEL=1).")


def test_another_build_of_that_release_is_a_doubt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _loaded(monkeypatch, tmp_path, "3.5.1", "pytorch_triton_rocm-3.5.1.dist-info")
    compilers.warn(GLUON)
    (record,) = caplog.records
    assert ", unless this is another build of it: bites where" in record.getMessage()


def test_nothing_is_said_of_other_releases_and_other_modules(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _loaded(monkeypatch, tmp_path, "3.5.1", "triton-3.5.1.dist-info")
    compilers.warn("aiter.ops.triton.attention.pa_mqa_logits")
    vars(sys.modules[GLUON]).clear()
    compilers.warn(GLUON)
    vars(sys.modules[GLUON])[KERNEL] = object()
    vars(sys.modules["triton"])["__version__"] = "3.6.0"
    compilers.warn(GLUON)
    monkeypatch.delitem(sys.modules, "triton")
    compilers.warn(GLUON)
    assert caplog.records == []
