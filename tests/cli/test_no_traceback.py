"""A traceback ends with 1, which a script takes for "affected": whatever is wrong, none is printed. As processes where
the process is what is about: a damaged package, memory, streams, interruptions; else an exception ends the test."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import aiterfix
from aiterfix.cli.main import main
from aiterfix.history import store
from tests.cli.conftest import Ran, Runner, environment
from tests.emulator import needs_emulator

PACKAGE = Path(aiterfix.__file__).parent


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this package, to damage; its folder is to be on the path."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "aiterfix", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("patches", "kernels"):
        if not (PACKAGE / "_data" / name).exists():
            shutil.copytree(PACKAGE.parents[1] / name, folder / "aiterfix" / "_data" / name)
    return folder


@pytest.fixture
def ours(copy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(copy, tmp_path / "ours"))


def start(words: list[str], tmp_path: Path, more: dict[str, str] | None = None, prefix: str = "") -> Ran:
    done = subprocess.run(
        ["bash", "-c", f'{prefix} exec "$0" -m aiterfix "$@"', sys.executable, *words],
        capture_output=True,
        env=environment(tmp_path / "cache", more),
        cwd="/",
        timeout=120,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode("utf-8", "backslashreplace"))


def assert_told(ran: Ran, *statuses: int) -> None:
    assert "Traceback" not in ran.err and "unexpected" not in ran.err, ran.err
    assert ran.status in statuses, ran.err


# the package's own files


def remove(path: Path) -> None:
    path.unlink()


def be_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def be_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def write(data: bytes) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        path.write_bytes(data)

    return act


def be_sparse(path: Path) -> None:
    os.truncate(path, 40 << 30)


DAMAGES = [
    remove, be_a_folder, be_a_fifo, be_sparse, write(b"{"), write(b"[]"), write(b"{}"), write(b"\xff\xfe\x00"),
    write(b'{"a":' * 200_000), write(b"9" * 5000),
    write(b'{"schema_version": 2, "refs": [[[]]], "texts": {"x": 3}, "faults": 3, "mends": [], "wrappers": 1}'),
    write(b'{"schema_version": 2, "refs": [{"files": 3}], "texts": [], "faults": [], "kernels": 7, "mends": {"a": 1}}'),
]  # fmt: skip


@pytest.mark.parametrize("name", ["releases.json", "texts.json"])
@pytest.mark.parametrize("damage", DAMAGES, ids=range(len(DAMAGES)))
def test_facts_that_are_damaged(
    run: Runner, facts: Path, sample: Path, name: str, damage: Callable[[Path], None]
) -> None:
    """What is installed can be judged without them, from its source; what only they can answer is an error. In this
    process, where a traceback is an exception that ends the test; as a process below."""
    damage(facts / name)
    ran = run("check", "--path", sample)
    assert_told(ran, 1)
    assert "verdict: affected" in ran.text
    asked = run("compat", "0.1.13")
    assert_told(asked, 3)
    assert name in asked.err and "Reinstall aiterfix" in asked.err


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the facts, which commands read in the place of the package's."""
    folder = tmp_path / "facts"
    folder.mkdir()
    for name in ("releases.json", "texts.json"):
        shutil.copy(PACKAGE / "history" / name, folder)
    monkeypatch.setattr(store, "SHIPPED", folder)
    store.load_history.cache_clear()
    yield folder
    store.load_history.cache_clear()


def test_facts_that_are_damaged_hinder_no_patch(ours: Path, sample: Path, tmp_path: Path) -> None:
    for name in ("releases.json", "texts.json"):
        (ours / "aiterfix/history" / name).write_bytes(b'{"texts": ' * 100_000)
    asked = start(["compat", "0.1.13"], tmp_path, {"PYTHONPATH": str(ours)})
    assert_told(asked, 3)
    assert "releases.json" in asked.err or "texts.json" in asked.err
    for words in ("apply --require", "check", "diff", "revert", "padding --max-model-len 1000 --block-size 64"):
        assert_told(start([*words.split(), "--path", str(sample)], tmp_path, {"PYTHONPATH": str(ours)}), 0)


@pytest.mark.parametrize(
    "name", ["cli/output.py", "cli/main.py", "cli/check.py", "cli/__init__.py", "errors.py", "storage/text.py"]
)
@pytest.mark.parametrize("damage", [remove, write(b"def (\n"), write(b"raise RuntimeError('odd\\nverdict: clean')\n")])
def test_a_package_that_is_damaged(
    ours: Path, sample: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(ours / "aiterfix" / name)
    ran = start(["check", "--path", str(sample)], tmp_path, {"PYTHONPATH": str(ours)})
    assert ran.status in (3, 4) and "Traceback" not in ran.err
    assert "verdict: clean" not in ran.err.splitlines()


# fault files of others


FAULT_FILES = [
    b"schema = " + b"9" * 5000,
    b"schema = 0x" + b"f" * 5000,
    b"schema = -" + b"9" * 5000,
    b'schema = 2\nid = 0x' + b"f" * 5000,
    b"schema = " + b"[" * 100_000,
    b"schema" + b".a" * 100_000 + b" = 1",
    b"[" + b".".join([b"a"] * 100_000) + b"]",
    b"schema = " + b"{a = " * 20_000,
    b"\xff\xfe",
    b"schema = 2\nid = [1e400, nan, 1979-05-27T07:32:00Z]",
    b"schema = 2" + b"\n#" + b"x" * (4 << 20),
    b"",
    b"schema = true",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(FAULT_FILES)))
def test_fault_files_that_are_none(run: Runner, sample: Path, tmp_path: Path, number: int) -> None:
    folder = tmp_path / "fixes"
    folder.mkdir()
    (folder / "a.toml").write_bytes(FAULT_FILES[number])
    ran = run("check", "--path", sample, "--fixes", folder)
    assert_told(ran, 3)
    assert "a.toml" in ran.err and len(ran.err) < 1000


@pytest.mark.parametrize("damage", [be_a_folder, be_a_fifo, be_sparse])
def test_fault_files_that_are_no_files(sample: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = tmp_path / "fixes"
    folder.mkdir()
    (folder / "a.toml").touch()
    damage(folder / "a.toml")
    ran = start(["check", "--path", str(sample), "--fixes", str(folder)], tmp_path, prefix="ulimit -v 4000000;")
    assert_told(ran, 3)
    assert "a.toml" in ran.err


def test_a_condition_of_an_odd_depth(run: Runner, sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fixes"
    folder.mkdir()
    text = (PACKAGE.parents[1] / "patches" / "row-offset-32.toml").read_text()
    for condition in (
        "(" * 2000 + "a" + ")" * 2000,
        "not " * 2000 + "a",
        "1" * 5000 + " < a",
    ):
        lines = [
            f'condition = "{condition}"' if line.startswith("condition") else line.replace("row-offset-32", "other")
            for line in text.splitlines()
        ]
        (folder / "a.toml").write_text("\n".join(lines))
        ran = run("check", "--path", sample, "--fixes", folder)
        assert "Traceback" not in ran.err and "unexpected" not in ran.err, ran.err[-300:]


# files named on the command line


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"a":' * 200_000, b"9" * 5000, b"null", b"\xff", b"{}"])
def test_evidence_that_is_none(run: Runner, tmp_path: Path, data: bytes) -> None:
    clone = tmp_path / "clone"
    from tests.upstream_tools.conftest import Repository
    from tests.upstream_tools.kernels import PATH, UNPATCHED

    Repository(clone).commit({PATH: UNPATCHED}, "v1")
    (tmp_path / "evidence.json").write_bytes(data)
    ran = run("upstream", "export", "--repo", clone, "--evidence", tmp_path / "evidence.json")
    assert_told(ran, 3)
    assert "evidence.json" in ran.err


@needs_emulator
@pytest.mark.parametrize("option", ["--source", "--hsaco"])
@pytest.mark.parametrize("damage", [be_a_folder, be_a_fifo, be_sparse, write(b"(" * 100_000), write(b"\x00")])
def test_kernel_files_that_are_none(tmp_path: Path, option: str, damage: Callable[[Path], None]) -> None:
    file = tmp_path / "kernel.py"
    file.touch()
    damage(file)
    ran = start(["validate", option, str(file), "--device", "emulator"], tmp_path, prefix="ulimit -v 8000000;")
    assert_told(ran, 3, 4)
    assert "kernel.py" in ran.err


# streams


CODINGS = ["utf-8:strict", "ascii:strict", "latin-1:strict", "utf-16"]
ON_ODD = (("check -v", 1), ("diff", 0), ("apply", 0), ("check", 0), ("revert", 0), ("check --json", 1))


@pytest.fixture
def odd(tmp_path: Path, sample: Path) -> Path:
    place = tmp_path / os.fsdecode(b"odd-\xff\xfe-\xc3\xa9-\xe2\x98\x83")
    sample.rename(place)
    return place


@pytest.mark.parametrize("coding", CODINGS)
def test_odd_paths_on_a_strict_stream(odd: Path, monkeypatch: pytest.MonkeyPatch, coding: str) -> None:
    """Streams as an interpreter makes them of ``PYTHONIOENCODING``; one that fails raises here."""
    encoding, _, errors = coding.partition(":")
    for words, status in (*ON_ODD, ("check", 1)):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors or "strict") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        assert main([*words.split(), "--path", str(odd)]) == status
        for stream in streams:
            stream.flush()
        said = streams[0].buffer.getvalue()
        assert said if words != "diff" else said.startswith(b"--- a/")


@pytest.mark.parametrize("coding", CODINGS)
def test_odd_paths_on_a_strict_stream_of_a_process(odd: Path, tmp_path: Path, coding: str) -> None:
    for words, status in (("check -v", 1), ("diff", 0)):
        assert_told(start([*words.split(), "--path", str(odd)], tmp_path, {"PYTHONIOENCODING": coding}), status)
    assert_told(start(["check", "--path", str(odd / "none")], tmp_path, {"PYTHONIOENCODING": coding}), 2)


def test_state_that_cannot_be_read(run: Runner, sample: Path, tmp_path: Path) -> None:
    assert run("apply", "--path", sample).status == 0
    (state,) = (p for p in sample.rglob("*aiterfix*") if p.is_dir())
    for damage in (be_a_fifo, be_a_folder, be_sparse, write(b"[" * 100_000), write(b"9" * 5000), write(b"\xff")):
        for file in [p for p in state.iterdir() if p.suffix == ".json"]:
            kept = file.read_bytes()
            damage(file)
            for words in ("check", "apply", "revert", "diff"):
                if damage is be_sparse:  # read whole, it would be too much for the process
                    ran = start([words, "--path", str(sample)], tmp_path, prefix="ulimit -v 4000000;")
                else:
                    ran = run(words, "--path", sample)
                assert "Traceback" not in ran.err and "unexpected" not in ran.err, ran.err
                assert ran.status in (0, 3, 4), (words, damage, ran.err)
            if file.is_dir():
                file.rmdir()
            else:
                file.unlink()
            file.write_bytes(kept)


# interruptions


def test_too_little_memory_is_the_environment(sample: Path, tmp_path: Path) -> None:
    (sample / "aiter/big.py").write_text("x = [" + "1, " * 3_000_000 + "]\n_gluon_deepgemm_fp8_paged_mqa_logits = 1\n")
    for kilobytes in (60_000, 90_000, 120_000, 200_000):
        ran = start(["check", "--path", str(sample)], tmp_path, prefix=f"ulimit -v {kilobytes};")
        assert ran.status != 0
        if ran.status == 1:
            assert "verdict: affected" in ran.text
        assert "Traceback" not in ran.err or ran.status != 1


def test_an_interruption_is_no_answer(tmp_path: Path, sample: Path) -> None:
    waiting = tmp_path / "python"
    waiting.write_text("#!/bin/sh\nexec sleep 60\n")
    waiting.chmod(0o755)
    child = subprocess.Popen(
        [sys.executable, "-m", "aiterfix", "check", "--python", str(waiting)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path / "cache", None), cwd="/",
    )  # fmt: skip
    time.sleep(2)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode not in (0, 1) and b"Traceback" not in err and out == b""
