"""A wheel beside a wheel: installable, its RECORD right, every other byte as it was, the same wherever it is made."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aiterfix.demo import write_sample
from aiterfix.patching import fsops
from tests.cli.conftest import Runner, contents
from tests.cli.conftest import run as run
from tests.images import urlsafe, wheel
from tests.trees import write

OLD, NEW = "0.0.1+sample", "0.0.1+sample.aiterfix"
NAME = "amd_aiter-{}-py3-none-any.whl"
KERNEL = "aiter/ops/triton/gluon/pa_mqa_logits.py"
INFO = "amd_aiter-{}.dist-info"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    made = tmp_path / "site"
    made.mkdir()
    write_sample(made)
    write(made / "aiter/data.bin", bytes(range(256)) * 400)
    write(made / "amd_aiter-0.0.1+sample.data/scripts/tool", "#!python\n")
    return made


@pytest.fixture
def source(tmp_path: Path, site: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    return wheel(tmp_path / "wheels" / NAME.format(OLD), site)


def unpacked(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def record_is_right(files: dict[str, bytes]) -> None:
    (name,) = [n for n in files if n.endswith(".dist-info/RECORD")]
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(files[name].decode()))}
    assert rows.pop(name) == ["", ""]
    assert rows == {n: [f"sha256={urlsafe(d)}", str(len(d))] for n, d in files.items() if n != name}


def test_a_mended_wheel_stands_beside_its_source(run: Runner, source: Path) -> None:
    before = source.read_bytes()
    ran = run("apply", "--path", source, "--require")
    assert ran.status == 0, ran.err
    new = source.with_name(NAME.format(NEW))
    assert sorted(p.name for p in source.parent.iterdir()) == sorted([source.name, new.name])
    assert source.read_bytes() == before
    assert f"written:     {new}" in ran.text and f"its version is {NEW}" in ran.text
    old_files, files = unpacked(source), unpacked(new)
    record_is_right(files)
    renamed = {n.replace(OLD, NEW, 1) if not n.startswith("aiter/") else n: d for n, d in old_files.items()}
    changed = {n for n in files if files[n] != renamed[n]}
    assert list(files) == list(renamed), "the same order"
    kernels = {n for n in changed if n.startswith("aiter/")}
    assert changed == {*kernels, *(f"{INFO.format(NEW)}/{n}" for n in ("METADATA", "RECORD"))}
    assert all(n.endswith("pa_mqa_logits.py") for n in kernels) and kernels
    assert files[f"{INFO.format(NEW)}/METADATA"].count(f"Version: {NEW}\n".encode()) == 1
    with zipfile.ZipFile(source) as one, zipfile.ZipFile(new) as other:
        for a, b in zip(one.infolist(), other.infolist(), strict=True):
            assert (a.date_time, a.external_attr, a.create_system) == (b.date_time, b.external_attr, b.create_system)
    assert new.stat().st_mode == source.stat().st_mode
    assert run("check", "--path", new).status == 0
    assert run("check", "--path", source).status == 1


def test_it_is_the_tree_that_apply_leaves(run: Runner, source: Path, site: Path) -> None:
    assert run("apply", "--path", source).status == 0
    assert run("apply", "--path", site).status == 0
    made = unpacked(source.with_name(NAME.format(NEW)))
    left = contents(site)
    assert {n: d for n, d in made.items() if n.startswith("aiter/")} == {
        n: d for n, d in left.items() if n.startswith("aiter/")
    }


def test_the_same_wheel_comes_out_twice(run: Runner, source: Path, tmp_path: Path) -> None:
    assert run("apply", "--path", source).status == 0
    new = source.with_name(NAME.format(NEW))
    first = new.read_bytes()
    ran = run("apply", "--path", source)
    assert ran.status == 0 and "it was there already, byte for byte" in ran.text
    assert new.read_bytes() == first
    (tmp_path / "other").mkdir()
    assert run("apply", "--path", source, "--output", tmp_path / "other").status == 0
    assert (tmp_path / "other" / new.name).read_bytes() == first
    # What another would write there is not written over.
    new.write_bytes(first + b"\0")
    ran = run("apply", "--path", source)
    assert ran.status == 2 and "is another wheel" in ran.err
    assert new.read_bytes() == first + b"\0"
    assert sorted(p.name for p in source.parent.iterdir()) == sorted([source.name, new.name])


@pytest.mark.parametrize("label", [True, False])
def test_pip_installs_it(run: Runner, source: Path, tmp_path: Path, label: bool) -> None:
    (tmp_path / "out").mkdir()
    output = tmp_path / "out" / NAME.format(NEW if label else OLD)
    ran = run("apply", "--path", source, "--output", output)
    assert ran.status == 0
    assert ("pip leaves it as it is without --force-reinstall" in ran.text) is not label
    record_is_right(unpacked(output))
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--quiet"]
    words = [*pip, "--no-index", "--no-deps", "--no-compile", "--target", str(target)]
    wanted = [f"--find-links={output.parent}", "amd-aiter==0.0.1+sample"] if not label else [str(output)]
    done = subprocess.run([*words, *wanted], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    version = NEW if label else OLD
    assert (target / INFO.format(version) / "RECORD").is_file()
    ran = run("check", "--path", target)
    assert ran.status == 0 and f"amd-aiter {version}" in ran.text


def test_in_the_place_of_its_source_only_where_that_is_named(run: Runner, source: Path) -> None:
    before = source.read_bytes()
    ran = run("apply", "--path", source, "--output", source)
    assert ran.status == 0
    assert [p.name for p in source.parent.iterdir()] == [source.name]
    assert source.read_bytes() != before
    record_is_right(unpacked(source))
    assert run("check", "--path", source).status == 0
    ran = run("apply", "--path", source, "--output", source)
    assert ran.status == 0 and "no wheel was written" in ran.text


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("amd_aiter-9-py3-none-any.whl", "a wheel of this name would not be installed"),
        ("missing/" + NAME.format(NEW), "there is no folder"),
        ("out.whl", "Name it " + NAME.format(NEW)),
    ],
)
def test_names_that_no_installer_takes(run: Runner, source: Path, tmp_path: Path, output: str, said: str) -> None:
    before = contents(tmp_path)
    ran = run("apply", "--path", source, "--output", tmp_path / output)
    assert ran.status == 2 and said in ran.err
    assert contents(tmp_path) == before


def test_output_is_for_a_wheel_alone(run: Runner, source: Path, site: Path) -> None:
    ran = run("apply", "--path", site, "--output", source)
    assert ran.status == 2 and "--output is for a wheel" in ran.err
    ran = run("apply", "--path", site, "--path", source)
    assert ran.status == 2 and "a wheel is mended by itself" in ran.err
    ran = run("revert", "--path", source)
    assert ran.status == 2 and "which apply has left as it was" in ran.err


def test_a_dry_run_writes_nothing(run: Runner, source: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    ran = run("apply", "--path", source, "--dry-run")
    assert ran.status == 0 and "would mend" in ran.text
    assert contents(tmp_path) == before
    assert KERNEL in run("diff", "--path", source).text


def test_signatures_are_left_out_with_a_word(run: Runner, source: Path, site: Path) -> None:
    info = INFO.format(OLD)
    wheel(source, site, [(f"{info}/RECORD.jws", b"{}"), (f"{info}/RECORD.p7s", b"x")])
    ran = run("apply", "--path", source)
    assert ran.status == 0
    assert "RECORD.jws is left out" in ran.text and "RECORD.p7s is left out" in ran.text
    record_is_right(unpacked(source.with_name(NAME.format(NEW))))


def test_a_record_that_is_not_right_is_refused(run: Runner, source: Path, site: Path) -> None:
    info = INFO.format(OLD)
    whole = unpacked(source)
    right = whole[f"{info}/RECORD"]
    lines = right.splitlines(keepends=True)
    for record, said in (
        (b"".join(x for x in lines if KERNEL.encode() not in x), "RECORD states no digest of"),
        (right.replace(urlsafe(whole[KERNEL]).encode(), urlsafe(b"").encode()), "RECORD has another digest of"),
        (None, f"has no {info}/RECORD"),
    ):
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in whole.items():
                if name != f"{info}/RECORD":
                    archive.writestr(name, data)
                elif record is not None:
                    archive.writestr(name, record)
        ran = run("apply", "--path", source)
        assert ran.status == 3 and said in ran.err
        assert [p.name for p in source.parent.iterdir()] == [source.name]


def test_entries_of_any_make_are_copied(run: Runner, source: Path) -> None:
    """Streamed entries with sizes behind them, 64-bit fields, other methods, names beyond ASCII, a comment."""

    class Pipe(io.RawIOBase):
        def __init__(self, path: Path) -> None:
            self.file = path.open("wb")

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            return self.file.write(data)  # type: ignore[arg-type]

        def flush(self) -> None:
            self.file.flush()

    whole = unpacked(source)
    record = f"{INFO.format(OLD)}/RECORD"
    odd = "aiter/ä.txt"
    whole[record] = f"{odd},sha256={urlsafe(b'x')},1\n".encode() + whole[record]
    pipe = Pipe(source)
    with zipfile.ZipFile(pipe, "w") as archive:
        archive.comment = b"a comment"
        for number, (name, data) in enumerate({odd: b"x", **whole}.items()):
            entry = zipfile.ZipInfo(name, (2020, 2, 3, 4, 5, 6))
            entry.compress_type = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)[number % 3]
            with archive.open(entry, "w", force_zip64=number % 2 == 0) as file:
                file.write(data)
    pipe.close()
    pipe.file.close()
    assert run("apply", "--path", source).status == 0
    new = source.with_name(NAME.format(NEW))
    files = unpacked(new)
    record_is_right(files)
    assert files[odd] == b"x"
    with zipfile.ZipFile(new) as archive:
        assert archive.comment == b"a comment"
        assert {entry.date_time for entry in archive.infolist()} == {(2020, 2, 3, 4, 5, 6)}
    assert run("check", "--path", new).status == 0


@pytest.mark.parametrize("call", ["create", "fsync", "rename"])
def test_a_failure_leaves_nothing_behind(
    run: Runner, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before = contents(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(28, os.strerror(28), "somewhere")

    with monkeypatch.context() as patch:
        patch.setattr(fsops, call, fail)
        ran = run("apply", "--path", source)
    assert ran.status == 4 and "No space left while writing" in ran.err and "No wheel was written." in ran.err
    assert contents(tmp_path) == before


def test_metadata_with_the_line_ends_of_windows(run: Runner, tmp_path: Path, site: Path) -> None:
    metadata = site / INFO.format(OLD) / "METADATA"
    metadata.write_bytes(metadata.read_bytes().replace(b"\n", b"\r\n"))
    source = wheel(tmp_path / NAME.format(OLD), site)
    assert run("apply", "--path", source).status == 0
    files = unpacked(tmp_path / NAME.format(NEW))
    record_is_right(files)
    assert f"\r\nVersion: {NEW}\r\n".encode() in files[f"{INFO.format(NEW)}/METADATA"]


def test_a_table_of_contents_that_leads_nowhere(run: Runner, source: Path, tmp_path: Path) -> None:
    data = source.read_bytes()
    at = data.rindex(b"aiter/data.bin") - 46
    for offset in (7, len(data) - 3):
        source.write_bytes(data[: at + 42] + offset.to_bytes(4, "little") + data[at + 46 :])
        ran = run("apply", "--path", source)
        # Newer releases of Python look by themselves, whichever entry they come upon first.
        said = ("aiter/data.bin: no entry where the table of contents says", ": cannot be read: Overlapped entries: ")
        assert ran.status == 3 and any(text in ran.err for text in said), ran.err
        assert [p.name for p in source.parent.iterdir()] == [source.name]


def test_a_version_without_a_label_gets_one(run: Runner, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    write_sample(site)
    (site / INFO.format(OLD)).rename(site / INFO.format("0.0.1"))
    metadata = site / INFO.format("0.0.1") / "METADATA"
    metadata.write_text(metadata.read_text().replace(OLD, "0.0.1") + "\nVersion: of the description\n")
    source = wheel(tmp_path / NAME.format("0.0.1"), site)
    ran = run("apply", "--path", source)
    assert ran.status == 0 and "requirements ==0.0.1 take it" in ran.text
    new = tmp_path / NAME.format("0.0.1+aiterfix")
    files = unpacked(new)
    record_is_right(files)
    stated = files[f"{INFO.format('0.0.1+aiterfix')}/METADATA"]
    assert b"Version: 0.0.1+aiterfix\n" in stated and stated.endswith(b"\nVersion: of the description\n")
    ran = run("apply", "--path", new)
    assert ran.status == 0 and "nothing to do" in ran.text
