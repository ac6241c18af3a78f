"""Nothing of an inspected system is opened, listed or looked at but through `View`."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aiterfix
from tests.images import docker_save, layer, members_of
from tests.trees import clean_environment, editable_path_line, fake_venv, wheel_install, write

SOURCE = Path(aiterfix.__file__).parent
ROOMS = ("installation", "judge", "engines")
MODULES = [*sorted(p for room in ROOMS for p in (SOURCE / room).rglob("*.py")), SOURCE / "history/known.py"]
ALLOWED = {
    "installation/view.py": None,
    "installation/given_path.py": {"lexists", "isdir", "realpath"},  # what the user named, before there is a view
    "installation/forms.py": {"isdir", "isfile", "open_file"},  # the same
    "installation/archives.py": {"isdir", "stat"},  # the same
    "installation/images.py": {"open_file"},  # blobs of a layout, which no link leads out of
    "installation/streams.py": {"BufferedReader"},  # over a part of a file that is held
    "installation/wheels.py": {"ZipFile", "is_dir"},  # the same; of an entry
    "installation/interpreters.py": {"access", "realpath", "Popen"},  # this machine's interpreters
    "installation/search.py": {"ZipFile"},  # of a file that the view has opened
    "history/known.py": {"open", "open_file", "read_file"},  # a file of this package
    "engines/trace.py": {"owner"},  # the class of a function
    "installation/machine.py": {"access", "listdir", "read_file"},  # this machine: its driver, its folders
    "judge/api.py": {"exists"},  # what the caller named
    "judge/launch_list.py": {"read_file"},  # a list that the operator named
    "judge/process.py": {"stat"},  # what this process imports from
    "judge/compiler.py": {"listdir", "read_file"},  # the Triton that this process has loaded
}
"""Calls that a module may make, and why; None for all."""
OF_OS = {
    *("access", "chdir", "listdir", "lstat", "open", "readlink", "scandir", "stat", "walk", "fwalk"),
    *("exists", "getmtime", "getsize", "isdir", "isfile", "islink", "lexists", "realpath", "samefile"),
}
OF_PATHS = {
    *("exists", "expanduser", "glob", "group", "is_dir", "is_fifo", "is_file", "is_mount", "is_socket", "is_symlink"),
    *(
        "iterdir",
        "lstat",
        "owner",
        "read_bytes",
        "read_text",
        "readlink",
        "resolve",
        "rglob",
        "samefile",
        "stat",
        "touch",
    ),
}
OTHER = {"Popen", "read_file", "open_file", "FileIO", "ZipFile"}


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Calls that reach the file system by a name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in {"open", *OTHER}:
            yield node.lineno, function.id
        elif isinstance(function, ast.Attribute):
            owner = ast.unparse(function.value)
            of_os = owner.split(".")[0] == "os" and function.attr in OF_OS
            of_others = owner in ("io", "subprocess", "zipfile", "tokenize", "linecache") and function.attr != "BytesIO"
            of_paths = function.attr in OF_PATHS and not owner.endswith("view") and not _of_an_entry(node)
            if of_os or of_others or of_paths:
                yield node.lineno, function.attr


def _of_an_entry(call: ast.Call) -> bool:
    """Of `os.DirEntry`, which knows these from the listing; none that follows a link."""
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr == "is_symlink":
        return isinstance(call.func.value, ast.Name) and call.func.value.id == "entry"
    return any(k.arg == "follow_symlinks" and ast.unparse(k.value) == "False" for k in call.keywords)


@pytest.mark.parametrize("module", MODULES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_no_module_opens_anything_itself(module: Path) -> None:
    allowed = ALLOWED.get(module.relative_to(SOURCE).as_posix(), set())
    found = list(calls(ast.parse(module.read_bytes())))
    assert allowed is None or [(line, name) for line, name in found if name not in allowed] == []


@pytest.mark.parametrize(
    "text",
    [
        "open(path)",
        "os.open(path, 0)",
        "os.path.isfile(path)",
        "path.read_bytes()",
        "(package / 'ops').rglob('*')",
        "entry.is_dir()",
        "entry.is_file(follow_symlinks=True)",
        "zipfile.ZipFile(path)",
        "read_file(path)",
    ],
)
def test_the_search_for_such_calls_finds_them(text: str) -> None:
    assert list(calls(ast.parse(text)))


@pytest.mark.parametrize("text", ["view.exists(path)", "self._view.is_link(x)", "entry.is_dir(follow_symlinks=False)"])
def test_what_goes_through_the_view_is_none(text: str) -> None:
    assert not list(calls(ast.parse(text)))


_WATCHED = """
import json, os, sys
real_open = os.open
seen = set()
def note(path):
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if isinstance(path, (str, os.PathLike)) and os.path.isabs(path):
        seen.add(os.fspath(path))
def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir"):
        note(arguments[0])
def opened(path, flags, mode=0o777, *, dir_fd=None):
    descriptor = real_open(path, flags, mode, dir_fd=dir_fd)
    note(os.readlink(f"/proc/self/fd/{descriptor}"))
    return descriptor
os.open = opened
sys.addaudithook(watch)
from aiterfix.cli.main import main
status = main(sys.argv[2:])
sys.stdout.flush()
with open(sys.argv[1], "w") as file:
    json.dump(sorted(seen), file)
sys.exit(status)
"""


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("engine", [(), ("--for", "vllm", "--max-model-len", "1000")])
def test_an_image_is_read_without_opening_anything_beside_it(
    tmp_path: Path, engine: tuple[str, ...], packed: bool
) -> None:
    image, host = tmp_path / "image", tmp_path / "host"
    site = fake_venv(image / "opt/venv", python="3.12")
    package = wheel_install(site)
    for name in ("usr/bin", "etc", "var"):
        (image / name).mkdir(parents=True)
    elsewhere = wheel_install(fake_venv(host / "venv"))
    write(host / "vllm/__init__.py")
    up = "../" * 30
    (package / "absolute.py").symlink_to(elsewhere / "__init__.py")
    (package / "relative.py").symlink_to(up + str(elsewhere / "__init__.py").lstrip("/"))
    (package / "more").symlink_to(elsewhere / "ops")
    (site / "out").symlink_to(up + str(host).lstrip("/"))
    (site / "vllm").symlink_to(up + str(host / "vllm").lstrip("/"))
    (image / "opt/venv/lib/python3.13").mkdir()
    (image / "opt/venv/lib/python3.13/site-packages").symlink_to(up + str(elsewhere.parent).lstrip("/"))
    (site / "amd_aiter-9.dist-info").symlink_to(up + str(elsewhere.parent / "amd_aiter-0.1.20.dist-info").lstrip("/"))
    editable_path_line(site, host / "venv", metadata=False)
    write(site / "relative.pth", up + str(elsewhere.parent).lstrip("/") + "\nout/venv/lib/python3.11/site-packages\n")
    write(image / "opt/venv/pyvenv.cfg", f"home = {host}/bin\ninclude-system-site-packages = true\n")
    if packed:
        image = docker_save(tmp_path / "image.tar", [layer(members_of(image))], "gzip")
    log, cache = tmp_path / "log.json", tmp_path / "cache"
    ran = subprocess.run(
        [sys.executable, "-c", _WATCHED, str(log), "check", "--root", str(image), *engine],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**clean_environment(), "AITERFIX_CACHE": str(cache)},
    )
    assert ran.returncode == 3, ran.stderr
    for name in ("relative.py", "dist-info", "relative.pth", "python3.13/site-packages"):
        assert name in ran.stdout
    needed = [
        *(Path(p) for p in (sys.prefix, sys.base_prefix, *sys.path) if p),
        SOURCE,
        SOURCE.parents[1],
        image,
        Path("/proc"),
        Path(os.devnull),
        log,
    ]
    opened = [Path(p) for p in json.loads(log.read_text())]
    way = (cache, *cache.parents, *Path.cwd().parents)  # to what earlier runs have shown, and to settings
    assert [p for p in opened if not any(p.is_relative_to(n) for n in needed) and p not in way] == []
    assert any(p.is_relative_to(image) for p in opened)
