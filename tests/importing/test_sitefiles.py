"""``aiterfix hook enable|disable|status`` in an environment of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.cli import main
from aiterfix.errors import AiterfixError, EnvironmentProblem
from aiterfix.importing import sitefiles
from aiterfix.importing.processes import facts_of
from aiterfix.importing.sitefiles import MODULE_NAME, PTH_NAME, START_NAME, Site, disable, enable, find_site, look
from aiterfix.patching import fsops
from tests.importing.world import SOURCE, WRAPPER, build

OTHER_ROWS = b'aiterfix/__init__.py,sha256=abc,1\r\n"with, comma.py",,\r\n../../../bin/aiterfix,sha256=xyz,2\r\n'


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An environment in which aiterfix is installed, by metadata and a path file."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    folders = [SOURCE]
    if sys.version_info < (3, 11):
        import tomli

        folders.append(Path(tomli.__file__).parents[1])
    (packages / "_aiterfix.pth").write_text("".join(f"{f}\n" for f in folders))
    info = packages / "aiterfix-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aiterfix\nVersion: 0.1.0\n")
    (info / "INSTALLER").write_text("pip\n")
    own = b"aiterfix-0.1.0.dist-info/METADATA,,\r\naiterfix-0.1.0.dist-info/INSTALLER,,\r\n"
    (info / "RECORD").write_bytes(OTHER_ROWS + own + b"aiterfix-0.1.0.dist-info/RECORD,,\r\n")
    return find_site(environment / "bin" / "python")


def valid(text: str) -> Any:
    """The one object that a command printed, held to the package's schema."""
    jsonschema = pytest.importorskip("jsonschema")
    body = json.loads(text)
    schema = Path(sitefiles.__file__).parents[1] / "schemas" / "hook.json"
    jsonschema.Draft202012Validator(json.loads(schema.read_text())).validate(body)
    return body


def ask(site: Site, script: str, **environment: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AITER"))}
    return subprocess.run(
        [str(site.executable), "-c", script],
        capture_output=True, text=True, env={**clean, **environment}, timeout=60, check=True,
    ).stdout  # fmt: skip


WAYS = "import aiterfix; print(aiterfix.status().ways)"


def test_the_site_is_that_of_the_interpreter(site: Site) -> None:
    assert site.version == sys.version_info[:2]
    assert site.folder.name == "site-packages"
    assert site.record.read_bytes().startswith(OTHER_ROWS)


def test_enabled_and_disabled(site: Site) -> None:
    before = site.record.read_bytes()
    assert ask(site, WAYS) == "()\n"
    assert enable(site) == (site.folder / PTH_NAME,)
    assert ask(site, WAYS) == "('pth',)\n"
    assert ask(site, WAYS, AITERFIX="off") == "()\n"
    assert look(site).enabled and look(site).recorded
    record = site.record.read_bytes()
    data = (site.folder / PTH_NAME).read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    assert record == before + b"%s,sha256=%s,%d\r\n" % (PTH_NAME.encode(), digest, len(data))
    assert enable(site) == ()
    assert site.record.read_bytes() == record
    assert disable(site) == (site.folder / PTH_NAME,)
    assert site.record.read_bytes() == before
    assert disable(site) == ()
    assert ask(site, WAYS) == "()\n"


def test_processes_of_the_interpreter_get_the_patched_kernel(site: Site, tmp_path: Path) -> None:
    build(site.folder, columns_alone=True)
    enable(site)
    script = tmp_path / "main.py"
    script.write_text(
        f"""
import multiprocessing
def child(queue):
    import {WRAPPER} as w
    queue.put(w.deepgemm_fp8_paged_mqa_logits())
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    print(queue.get(timeout=60))
    process.join()
"""
    )
    done = subprocess.run([str(site.executable), str(script)], capture_output=True, text=True, check=True, timeout=60)
    assert "(column < max_model_len)" in done.stdout


def test_pip_uninstall_removes_the_file(site: Site) -> None:
    enable(site)
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(site.executable), "uninstall", "--yes", "--quiet", "aiterfix"],
        check=True, capture_output=True, env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
    )  # fmt: skip
    assert not (site.folder / PTH_NAME).exists()
    assert not site.record.exists()


def test_python_3_15_gets_a_start_file_too(site: Site) -> None:
    newer = replace(site, version=(3, 15))
    names = (MODULE_NAME, START_NAME, PTH_NAME)
    assert enable(newer) == tuple(site.folder / n for n in names)
    module, _, name = (site.folder / START_NAME).read_text().strip().partition(":")
    script = f"import importlib; getattr(importlib.import_module({module!r}), {name!r})(); {WAYS}"
    (site.folder / PTH_NAME).rename(site.folder / "kept")
    assert ask(site, script) == "('pth',)\n"
    (site.folder / "kept").rename(site.folder / PTH_NAME)
    assert set(disable(newer)) == {site.folder / n for n in names}
    assert b"aiterfix-hook" not in site.record.read_bytes() and b"aiterfix_hook" not in site.record.read_bytes()


def test_the_files_of_0_1_0_are_replaced(site: Site) -> None:
    """They fail open where the package is gone."""
    before = site.record.read_bytes()
    newer = replace(site, version=(3, 15))
    for act in (enable, disable):
        rows = b""
        for name, text in sitefiles._FORMER:
            (site.folder / name).write_bytes(text)
            rows += sitefiles._row(name, text)
        site.record.write_bytes(before + rows)
        assert not look(newer).enabled and not look(newer).foreign
        act(newer)
        assert look(newer).enabled is (act is enable)
        assert look(newer).recorded and rows not in site.record.read_bytes()
        disable(newer)
        assert site.record.read_bytes() == before


def test_the_file_of_any_other_version_is_replaced(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """RECORD tells it from one that somebody changed."""
    before = site.record.read_bytes()
    text = b"import some_version_of; some_version_of.aiterfix()\n"
    for act in (enable, disable):
        (site.folder / PTH_NAME).write_bytes(text)
        site.record.write_bytes(before + sitefiles._row(PTH_NAME, text))
        state = look(site)
        assert (state.enabled, state.foreign, state.outdated) == (False, (), (site.folder / PTH_NAME,))
        assert main(["hook", "status", "--python", str(site.executable)]) == 1
        assert f"written by another version: {site.folder / PTH_NAME}" in capsys.readouterr().out
        act(site)
        state = look(site)
        assert (state.enabled, state.outdated, state.recorded) == (act is enable, (), True)
        disable(site)
        assert site.record.read_bytes() == before


@pytest.mark.parametrize("kind", ["fifo", "device", "link", "dangling", "folder", "sparse"])
@pytest.mark.parametrize("place", ["pth", "record"])
def test_what_is_no_plain_file_is_refused_at_once(site: Site, tmp_path: Path, kind: str, place: str) -> None:
    path = site.folder / PTH_NAME if place == "pth" else site.record
    enable(site)
    text = path.read_bytes()
    path.unlink()
    victim = tmp_path / "victim"
    if kind != "dangling":
        victim.write_bytes(text)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(1 << 42)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else victim)
    began = time.monotonic()
    if place == "record":  # no Python starts beside a `.pth` that is one of these
        assert find_site(site.executable) == site
    # A link to a file of the wanted content is no such file either.
    for act in (look, enable, disable):
        with pytest.raises(AiterfixError) as refused:
            act(site)
        assert str(path) in str(refused.value)
    assert time.monotonic() - began < 5
    assert not victim.exists() if kind == "dangling" else victim.read_bytes() == text
    assert os.path.lexists(path)


def test_a_file_that_somebody_changed_is_not_touched(site: Site) -> None:
    (site.folder / PTH_NAME).write_text("import os\n")
    before = site.record.read_bytes()
    for act in (enable, disable):
        with pytest.raises(AiterfixError, match="not as aiterfix wrote it"):
            act(site)
    assert (site.folder / PTH_NAME).read_text() == "import os\n"
    assert site.record.read_bytes() == before
    assert look(site).foreign == (site.folder / PTH_NAME,)


def test_read_only_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, to whom the mode bits say nothing.
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **k: not mode & os.W_OK and real(path, mode, **k))
    with pytest.raises(EnvironmentProblem, match="not writable") as caught:
        enable(site)
    assert not (site.folder / PTH_NAME).exists()
    # What fails is the hook's own file: the hook is no way out of it.
    assert "aiterfix run -- COMMAND" in caught.value.remedy and "import hook" not in caught.value.remedy


class Killed(BaseException):
    """Stands for SIGKILL: nothing below may catch it and tidy up."""


CALLS = ("create", "write", "fsync", "rename", "unlink", "sync_directory")


@pytest.mark.parametrize("act", ["enable", "disable"])
def test_killed_at_any_step_it_leaves_a_whole_state_and_the_next_run_finishes(
    site: Site, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = site.record.read_bytes()
    newer = replace(site, version=(3, 15))
    steps = 0
    while True:
        if act == "disable":
            enable(newer)
        steps += 1
        left = steps

        def counted(name: str) -> object:
            real = getattr(fsops, name)

            def call(*arguments: object, **keywords: object) -> object:
                nonlocal left
                left -= 1
                if left == 0:
                    raise Killed
                return real(*arguments, **keywords)

            return call

        killed = False
        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(fsops, name, counted(name))
            try:
                (enable if act == "enable" else disable)(newer)
            except Killed:
                killed = True
        # Whatever is there is whole, and known to RECORD.
        record = site.record.read_bytes()
        for name, text in sitefiles._ALL:
            path = site.folder / name
            if path.exists():
                assert path.read_bytes() == text
                assert name.encode() in record
        assert record.startswith(OTHER_ROWS)
        (enable if act == "enable" else disable)(newer)
        assert look(newer).enabled is (act == "enable")
        disable(newer)
        assert site.record.read_bytes() == original
        assert not list(site.folder.glob(".aiterfix*")) and not list(site.record.parent.glob(".*"))
        if not killed:
            break
    assert steps > 8


def test_an_interpreter_without_aiterfix_is_refused(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    with pytest.raises(EnvironmentProblem, match="has no installed aiterfix"):
        find_site(environment / "bin" / "python")
    with pytest.raises(EnvironmentProblem, match="does not answer as a Python interpreter"):
        find_site(Path("/bin/true"))


def test_the_command(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    python = ["--python", str(site.executable)]
    assert main(["hook", "status", *python]) == 1
    assert main(["hook", "enable", *python]) == 0
    assert "wrote" in capsys.readouterr().out
    assert main(["hook", "status", "--json", *python]) == 0
    body = valid(capsys.readouterr().out)
    assert (body["schema_version"], body["enabled"], body["listed_in_record"]) == (1, True, True)
    assert main(["hook", "disable", *python]) == 0
    capsys.readouterr()
    assert main(["hook", "status", *python]) == 1
    assert f"  enable it with: aiterfix hook enable {' '.join(python)}\n" in capsys.readouterr().out
    assert main(["hook", "enable", "--pid", "1"]) == 2
    capsys.readouterr()
    assert main(["hook", "status", "--json", "--python", "/bin/true"]) == 4
    assert valid(capsys.readouterr().out)["error"]["code"] == "environment"


def test_another_process_is_told_of_honestly(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "aiterfix", "run", "--", sys.executable, "-c", "print(1, flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "AITERFIX": "require"},
    )  # fmt: skip
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert main(["hook", "status", "--json", "--pid", str(child.pid)]) == 3
        body = valid(capsys.readouterr().out)
        assert body["command"] == "hook"
        assert body["started_by_run"] is True
        assert body["variables"]["AITERFIX"] == "require"
        assert body["patched"] is None
        assert "aiterfix.status()" in body["cannot_be_known"]
    finally:
        child.communicate(b"\n")
    assert main(["hook", "status", "--pid", str(child.pid)]) == 4


def no_answer(capsys: pytest.CaptureFixture[str], pid: int) -> str:
    """What the command says of a process of which it can say nothing; with exit code 4 and nothing on stdout."""
    assert main(["hook", "status", "--pid", str(pid)]) == 4
    out, said = capsys.readouterr()
    assert out == "" and f"process {pid} " in said
    assert main(["hook", "status", "--json", "--pid", str(pid)]) == 4
    assert valid(capsys.readouterr().out)["error"]["what"] in said
    return said


def test_a_process_that_is_no_python_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            said = no_answer(capsys, child.pid)
        finally:
            child.kill()
    assert "is no Python: it runs /" in said and "child" in said


def test_an_interpreter_of_any_name_is_a_python(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    (folder / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns").mkdir(parents=True)
    for ns in (folder / "ns", tmp_path / "self" / "ns"):
        (ns / "mnt").symlink_to("mnt:[1]")
    (folder / "environ").write_bytes(b"")
    (folder / "cmdline").write_bytes(b"server\0")
    (folder / "maps").write_text("00-01 r-xp 00000000 fe:00 1    /opt/x/server\n01-02 rw-p 0 0:0 0\n")
    (folder / "exe").symlink_to("/opt/x/server")
    with pytest.raises(EnvironmentProblem, match="process 7 is no Python: it runs /opt/x/server"):
        facts_of(7, tmp_path)
    for library in ("/opt/x/lib/libpython3.12.so.1.0", "/opt/x/lib/python3.12/lib-dynload/_heapq.cpython-312-x86.so"):
        (folder / "maps").write_text(f"00-01 r-xp 00000000 fe:00 1    {library}\n")
        assert facts_of(7, tmp_path).command == ("server",)
    (folder / "maps").write_text("")
    for name in ("python3.12", "pypy3", "python3.13t (deleted)"):
        (folder / "exe").unlink()
        (folder / "exe").symlink_to(f"/opt/x/{name}")
        assert facts_of(7, tmp_path).pid == 7


def test_a_process_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert "has ended" in no_answer(capsys, child.pid)
    assert "there is no process" in no_answer(capsys, child.pid)
    for pid in ("0", "-1"):
        assert main(["hook", "status", f"--pid={pid}"]) == 2
        assert "--pid" in capsys.readouterr().err


def test_a_process_that_may_not_be_read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == "environ":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    said = no_answer(capsys, os.getpid())
    assert "may not be looked at" in said and f"user {os.getuid()}" in said and "or as root" in said
