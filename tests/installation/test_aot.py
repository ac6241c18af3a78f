"""Prebuilt code objects: what is there, and whether it is in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiterfix.installation.aot import find_prebuilt
from tests.closing import close
from tests.trees import amd_package, write

FOLDER = "aiter/ops/triton/configs/paged_mqa_logits/aot"
VARIABLE = "AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS"


def test_absent(tmp_path: Path) -> None:
    found = find_prebuilt(amd_package(tmp_path), FOLDER, VARIABLE, {})
    assert (found.present, found.enabled, found.value) == (False, False, None)


@pytest.mark.parametrize("name", ["aiter", "source"])
def test_present(tmp_path: Path, name: str) -> None:
    package = amd_package(tmp_path, name=name)
    place = package.joinpath(*FOLDER.split("/")[1:])
    for configuration in ("preshuffle_64x256x128_B64P1W2", "base_64x256x128_B1P0W5"):
        write(place / configuration / "kernel.hsaco", b"\x7fELF")
        write(place / configuration / "kernel.json", "{}")
    write(place / "loose.txt")
    found = find_prebuilt(package, FOLDER, VARIABLE, {})
    assert found.present
    assert (found.code_objects, found.files) == (2, 5)


def test_empty_folders_are_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER / "configuration").mkdir(parents=True)
    assert not find_prebuilt(tmp_path / "aiter", FOLDER, VARIABLE, {}).present


@pytest.mark.parametrize(
    ("value", "enabled"), [("1", True), ("0", False), ("", False), ("true", False), ("01", False), (" 1", False)]
)
def test_enabled_is_what_aiter_compares(tmp_path: Path, value: str, enabled: bool) -> None:
    found = find_prebuilt(tmp_path / "aiter", FOLDER, VARIABLE, {VARIABLE: value})
    assert (found.enabled, found.value) == (enabled, value)


def test_environment_of_this_process_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    assert find_prebuilt(tmp_path / "aiter", FOLDER, VARIABLE).enabled


def test_linked_folder_counts_and_a_cycle_ends(tmp_path: Path) -> None:
    write(tmp_path / "store/config/kernel.hsaco")
    (tmp_path / "store/config/up").symlink_to("..")
    place = tmp_path / FOLDER
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "store")
    found = find_prebuilt(tmp_path / "aiter", FOLDER, VARIABLE, {})
    assert (found.files, found.code_objects) == (1, 1)


def test_what_cannot_be_listed_counts_as_present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    close(monkeypatch, tmp_path / FOLDER)
    found = find_prebuilt(tmp_path / "aiter", FOLDER, VARIABLE, {})
    assert found.present
    assert found.unreadable[0].doubt
