from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aiterfix.errors import EnvironmentProblem
from aiterfix.validation.gpu import devices
from aiterfix.validation.report import Hardware

ROCM = Hardware("rocm", "AMD Instinct MI355X", "gfx950", "2.9", "3.6", "ROCm 7.0", "")
CUDA = Hardware("cuda", "NVIDIA H200", "sm_90", "2.11", "3.6", "CUDA 13.0", "580.1")


def torch(properties: Any = None, hip: str | None = None) -> Any:
    cuda = SimpleNamespace(is_available=lambda: properties is not None, get_device_properties=lambda _: properties)
    return SimpleNamespace(cuda=cuda, version=SimpleNamespace(hip=hip, cuda="13.0"), __version__="2.11.0")


def test_a_rocm_gpu_is_named_by_its_architecture_without_its_features() -> None:
    mi355x = SimpleNamespace(name="AMD Instinct MI355X", gcnArchName="gfx950:sramecc+:xnack-")
    found = devices.probe("cuda", torch(mi355x, hip="7.0.2"))
    assert (found.kind, found.arch, found.runtime, found.name) == (
        "rocm",
        "gfx950",
        "ROCm 7.0.2",
        "AMD Instinct MI355X",
    )
    assert devices.runs_gluon(found)


def test_an_nvidia_gpu_is_named_and_runs_no_gluon_kernel_of_aiter() -> None:
    found = devices.probe("cuda", torch(SimpleNamespace(name="NVIDIA H200", major=9, minor=0)))
    assert (found.kind, found.arch, found.runtime) == ("cuda", "sm_90", "CUDA 13.0")
    assert not devices.runs_gluon(found) and not devices.runs_gluon(None)


def test_no_gpu_is_an_environment_problem() -> None:
    with pytest.raises(EnvironmentProblem, match="sees no GPU"):
        devices.probe("cuda", torch())


def test_only_reduced_matrix_units_widen_the_bound() -> None:
    assert devices.dot_roundoff(CUDA, 128) == 4 * 2.0**-13
    assert devices.dot_roundoff(ROCM, 128) == 0
    assert devices.dot_roundoff(Hardware("cuda", "B200", "sm_100", "", "", "", ""), 128) == 0
    assert devices.dot_roundoff(Hardware("cpu", "", "", "", "", "", ""), 128) == 0


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("6.14.14\n", "6.14.14"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release\nGCC version:", "580.159.04"),
        ("", ""),
    ],
)
def test_the_driver_is_read_from_the_kernel(tmp_path: Path, text: str, release: str) -> None:
    said = tmp_path / "version"
    said.write_text(text)
    assert devices._driver((tmp_path / "absent", said)) == release


def test_without_the_kernel_interface_there_is_no_rocm_gpu(tmp_path: Path) -> None:
    assert not devices.may_have_rocm_gpu(tmp_path / "kfd")
    (tmp_path / "kfd").touch()
    assert devices.may_have_rocm_gpu(tmp_path / "kfd")
