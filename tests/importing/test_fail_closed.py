"""A safety switch that is misspelt, or `require` with this package missing or damaged, lets no kernel module in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from aiterfix import startup
from aiterfix.importing import settings, sitefiles
from aiterfix.importing.intact import damage
from aiterfix.importing.settings import LOG_LEVELS, Mode
from aiterfix.patching.record import Listed, edit
from aiterfix.storage.digest import sha256_hex
from tests.importing.world import GLUON, SOURCE, STAGE1, WRAPPER, build

pytestmark = pytest.mark.xdist_group("installed")

# As an engine does: what is an ImportError means to it that aiter is not there.
TRY = f"""
import os, sys
print("started", flush=True)
try:
    import {WRAPPER} as w
except ImportError as error:
    print("ImportError", error)
except Exception as error:
    print(type(error).__name__, " ".join(str(error).split()))
else:
    print("patched" if "(column < max_model_len)" in w.deepgemm_fp8_paged_mqa_logits() else "unpatched")
"""
PLUGIN = "from aiterfix.importing.plugins import {0}; {0}()\n"


@dataclass(frozen=True)
class Place:
    """A site-packages with aiter and an installed aiterfix, that of an environment with the `.pth`."""

    site: Path
    python: Path

    def start(self, way: str, script: str = TRY, **environment: str) -> tuple[str, list[str], int]:
        """Last line of stdout, lines of stderr, status."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AITER", "VLLM", "SGLANG"))}
        by_path = {"PYTHONPATH": str(self.site)}
        if way == "sitecustomize":  # as `run` has it in its children
            by_path = {"PYTHONPATH": os.pathsep.join([f"{self.site}/aiterfix/importing/run_directory", str(self.site)])}
        command = {
            "pth": [str(self.python), "-c", script],
            "sitecustomize": [sys.executable, "-c", script],
            "run": [sys.executable, "-m", "aiterfix", "run", "--", sys.executable, "-c", script],
        }.get(way, [sys.executable, "-c", PLUGIN.format(way) + script])
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False,
            env={**kept, **({} if way == "pth" else by_path), **environment},
        )  # fmt: skip
        return (done.stdout.splitlines() or [""])[-1], done.stderr.splitlines(), done.returncode

    @contextmanager
    def without(self, name: str, content: bytes | None = None) -> Iterator[None]:
        """While this lasts, a part of the package is away, or holds something else."""
        path = self.site / "aiterfix" / name
        aside = self.site.parent / "aside"
        path.rename(aside)
        if content is not None:
            path.write_bytes(content)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            aside.rename(path)


def row(name: str, content: bytes) -> bytes:
    return edit(b"", (), [Listed(name, sha256_hex(content), len(content))])[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    environment = tmp_path_factory.mktemp("place") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    site = next(environment.glob("lib/python*/site-packages"))
    build(site, columns_alone=True)
    shutil.copytree(SOURCE / "aiterfix", site / "aiterfix", ignore=shutil.ignore_patterns("__pycache__"))
    for data in ("patches", "kernels"):  # as the wheel has them
        shutil.copytree(SOURCE.parent / data, site / "aiterfix" / "_data" / data)
    if sys.version_info < (3, 11):
        import tomli

        shutil.copytree(Path(tomli.__file__).parent, site / "tomli")
    info = site / "aiterfix-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aiterfix\nVersion: 0.1.0\n")
    files = [p for p in sorted((site / "aiterfix").rglob("*")) if p.is_file()]
    rows = [row(p.relative_to(site).as_posix(), p.read_bytes()).decode() for p in files]
    (info / "RECORD").write_text("".join(rows) + "aiterfix-0.1.0.dist-info/RECORD,,\n")
    (site / sitefiles.PTH_NAME).write_bytes(sitefiles.PTH_TEXT)
    return Place(site, environment / "bin" / "python")


@pytest.mark.parametrize("way", ["pth", "run", "vllm", "sglang"])
def test_a_misspelt_switch_is_one_line_and_stops_the_first_import(place: Place, way: str) -> None:
    for variable, value, said in (
        ("AITERFIX", "requir", "AITERFIX='requir' is none of auto, off, require"),
        ("AITERFIX_KERNEL", "yes", "AITERFIX_KERNEL='yes' is none of 0, 1, guard"),
    ):
        last, lines, status = place.start(way, **{variable: value})
        assert last == f"StoppedImportError aiterfix: {WRAPPER} is not imported: {said}"
        assert lines == [f"aiterfix: {said}: no kernel module of aiter will be imported until that is mended"]
        assert status == 0
    assert place.start(way) == ("patched", [], 0)


@pytest.mark.parametrize("way", ["pth", "vllm"])
def test_off_and_a_misspelt_log_level_stop_nothing(place: Place, way: str) -> None:
    assert place.start(way, AITERFIX="off", AITERFIX_KERNEL="yes") == ("unpatched", [], 0)
    last, lines, _ = place.start(way, AITERFIX_LOG="loud")
    assert last == "patched"
    (line,) = lines
    assert "AITERFIX_LOG='loud' is none of debug, info" in line


@pytest.mark.parametrize("way", ["vllm", "sglang"])
def test_a_plugin_that_comes_after_the_import_ends_the_process_for_a_misspelt_switch(place: Place, way: str) -> None:
    script = f"import {GLUON}\n" + PLUGIN.format(way) + "print('went on')"
    last, lines, status = place.start(
        "pth", f"import sys; sys.meta_path[:] = sys.meta_path[1:]\n{script}", AITERFIX="x"
    )
    assert last == "" and status in (1, 3)
    assert any("is imported already" in line for line in lines)


def test_an_import_is_stopped_by_the_value_that_holds_then(place: Place) -> None:
    later = TRY.replace('print("started"', 'os.environ["AITERFIX"] = "requird"; print("started"')
    assert place.start("pth", later)[0].startswith("StoppedImportError")


def test_require_without_the_package_is_one_line_and_stops_the_first_import(place: Place) -> None:
    with place.without(""):
        for value in ("require", "REQUIRE ", "requir"):
            last, lines, status = place.start("pth", AITERFIX=value)
            assert last.startswith(f"StoppedImportError aiterfix: {WRAPPER} is not imported: there is no import hook")
            (line,) = lines
            assert line.endswith(
                "its start-up file is here: ModuleNotFoundError: No module named 'aiterfix'; "
                "no kernel module of aiter will be imported"
            )
            assert status == 0
        other = "import json, aiter\nprint('other modules are none of its business')"
        assert place.start("pth", other, AITERFIX="require")[0] == "other modules are none of its business"
        for environment in ({}, {"AITERFIX": "auto"}, {"AITERFIX": "off"}, {"AITERFIX": ""}):
            assert place.start("pth", **environment) == ("unpatched", [], 0)
    with place.without("startup.py"):  # half of it
        assert place.start("pth") == ("unpatched", [], 0)
        assert place.start("pth", AITERFIX="require")[0].startswith("StoppedImportError")


def test_python_3_15_finds_its_module_where_the_package_is_gone(place: Place, tmp_path: Path) -> None:
    (tmp_path / sitefiles.MODULE_NAME).write_bytes(sitefiles.MODULE_TEXT)
    module, _, function = sitefiles.START_TEXT.decode().strip().partition(":")
    assert module + ".py" == sitefiles.MODULE_NAME
    script = f"import sys; sys.path.append({str(tmp_path)!r}); import {module}; {module}.{function}()\n{TRY}"
    with place.without(""):
        pth = place.site / sitefiles.PTH_NAME
        pth.rename(tmp_path / "pth")
        try:
            assert place.start("pth", script) == ("unpatched", [], 0)
            last, lines, _ = place.start("pth", script, AITERFIX="require")
        finally:
            (tmp_path / "pth").rename(pth)
    assert last.startswith("StoppedImportError") and len(lines) == 1


@pytest.mark.parametrize("way", ["pth", "run", "vllm", "sglang"])
@pytest.mark.parametrize("name", ["importing/loader.py", "importing/ledger.py", "source/rewrite.py"])
def test_require_with_a_damaged_package_is_one_line_and_stops_the_first_import(
    place: Place, way: str, name: str
) -> None:
    for content in (None, b"def broken(:\n"):
        with place.without(name, content):
            last, lines, status = place.start(way, AITERFIX="require")
        assert last.startswith("StoppedImportError aiterfix: " + WRAPPER), last
        (line,) = lines
        assert line.startswith(f"aiterfix: aiterfix is damaged: aiterfix/{name}")
        assert status == 0


@pytest.mark.parametrize("way", ["pth", "run"])
def test_a_start_that_is_damaged_itself(place: Place, way: str) -> None:
    with place.without("startup.py", b"def broken(:\n"):
        last, lines, status = place.start(way, AITERFIX="require")
        assert last.startswith(f"StoppedImportError aiterfix: {WRAPPER} is not imported: there is no import hook")
        assert len(lines) == 1 and "SyntaxError" in lines[0] and status == 0
        last, lines, status = place.start(way)
        assert last == "unpatched", "auto goes on"
        assert len(lines) == 1 and "SyntaxError" in lines[0] and status == 0
        assert place.start("pth", AITERFIX="off") == ("unpatched", [], 0)


@pytest.mark.parametrize("name", ["importing/watching.py", "importing/kernels.py", "source/rewrite.py"])
def test_damage_that_keeps_the_size_is_found_at_the_import(place: Place, name: str) -> None:
    size = (place.site / "aiterfix" / name).stat().st_size
    with place.without(name, b"import no_such_module_anywhere".ljust(size)):
        last, lines, _ = place.start("pth", AITERFIX="require")
        assert last.startswith(("StoppedImportError", "UnpatchedKernelError")), last
        last, lines, _ = place.start("pth")
        assert last == "unpatched"
        assert lines and all("aiterfix" in line for line in lines)


FACTS = ("history/texts.json", "history/releases.json", "family/known_columns.txt", "_data/patches/column-bound.toml")


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("name", FACTS)
def test_damaged_facts_are_one_line_under_require_and_no_traceback_ever(
    place: Place, name: str, recorded: bool
) -> None:
    size = (place.site / "aiterfix" / name).stat().st_size
    record = place.site / "aiterfix-0.1.0.dist-info" / "RECORD"
    text = record.read_text()
    if not recorded:
        record.write_text("aiterfix-0.1.0.dist-info/RECORD,,\n")
    # Where RECORD has its size and digest, what the file holds is not read: gone, shorter, or of that size.
    contents = (None, b"", b"1" * size) + (() if recorded else (b"[" * 100_000, b"\xff" * size))
    try:
        for content in contents:
            with place.without(name, content):
                last, lines, status = place.start("pth", AITERFIX="require")
                if not recorded and name == "history/releases.json":
                    assert last == "patched", "the hook has no use for that one"
                else:
                    assert last.startswith("StoppedImportError aiterfix: " + WRAPPER), (content and content[:9], last)
                    (line,) = lines
                    assert line.startswith("aiterfix: aiterfix is damaged: ")
                assert status == 0
                last, lines, status = place.start("pth")
                assert last in ("patched", "unpatched") and status == 0
                assert last == "patched" or lines, "what goes unpatched is said"
                assert all(line.startswith(("aiterfix: ", f"{GLUON} runs", f"{STAGE1} runs")) for line in lines), lines
        with place.without(name, b"1" * size):
            assert place.start("pth", AITERFIX="off") == ("unpatched", [], 0)
    finally:
        record.write_text(text)


def test_a_record_that_is_no_file_is_not_waited_for(place: Place) -> None:
    record = place.site / "aiterfix-0.1.0.dist-info" / "RECORD"
    text = record.read_text()
    record.unlink()
    try:
        os.mkfifo(record)
        assert place.start("pth", AITERFIX="require") == ("patched", [], 0)
        record.unlink()
        record.symlink_to("/dev/zero")
        assert place.start("pth", AITERFIX="require") == ("patched", [], 0)
        record.unlink()
        with record.open("wb") as file:
            file.truncate(1 << 40)
        assert place.start("pth", AITERFIX="require") == ("patched", [], 0)
    finally:
        record.unlink()
        record.write_text(text)


def test_without_a_record_the_package_is_imported_to_see(place: Place) -> None:
    record = place.site / "aiterfix-0.1.0.dist-info" / "RECORD"
    text = record.read_text()
    record.write_text("aiterfix-0.1.0.dist-info/RECORD,,\n")
    try:
        assert place.start("pth", AITERFIX="require") == ("patched", [], 0)
        with place.without("importing/late.py"):
            last, lines, _ = place.start("pth", AITERFIX="require")
    finally:
        record.write_text(text)
    assert last.startswith("StoppedImportError") and len(lines) == 1 and "aiterfix.importing.late" in lines[0]


def test_what_is_whole_is_not_called_damaged(place: Place) -> None:
    assert damage(str(place.site / "aiterfix")) == ""
    assert place.start("pth", AITERFIX="require") == ("patched", [], 0)
    assert place.start("run", AITERFIX="require") == ("patched", [], 0)


def test_the_start_knows_what_the_settings_know(monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in (*(m.value for m in Mode), "", " Auto ", "requir", "1", "on"):
        for kernel in ("", "0", "1", "guard", "yes", "2", "Guard"):
            monkeypatch.setenv("AITERFIX", mode)
            monkeypatch.setenv("AITERFIX_KERNEL", kernel)
            said = settings.read()
            assert said.stopped is bool(startup.misspelt())
            assert said.mode is Mode.REQUIRE or not said.stopped
    monkeypatch.setenv("AITERFIX", "auto")
    monkeypatch.setenv("AITERFIX_KERNEL", "")
    for level in (*LOG_LEVELS, "loud"):
        monkeypatch.setenv("AITERFIX_LOG", level)
        assert not settings.read().stopped


def test_the_start_up_file_stands_before_every_module_of_the_family() -> None:
    """It cannot ask which they are, where the package is gone."""
    assert startup.FAMILY
    assert all(name.startswith("aiter.") and name.endswith(".pa_mqa_logits") for name in startup.FAMILY)


# what the hook says


def forging(text: str) -> bytes:
    """A module whose failure would write a line of its own choice, in red."""
    return f"raise RuntimeError({text!r})".encode()


FORGED = "no\n\x1b[31maiterfix: all is well\x1b[0m\u2028\u202e\x85end"


@pytest.mark.parametrize("way", ["pth", "run", "vllm"])
def test_no_line_at_start_can_be_forged(place: Place, way: str) -> None:
    for name, mode in (("startup.py", "require"), ("startup.py", "auto"), ("importing/intact.py", "require")):
        if way != "pth" and name == "startup.py":
            continue  # nothing of ours begins without it, by these ways
        with place.without(name, forging(FORGED)):
            _, lines, _ = place.start(way, AITERFIX=mode)
        (line,) = lines
        assert "RuntimeError: no" in line and "end" in line
        assert line.isprintable(), ascii(line)
    with place.without("importing/watching.py", forging(FORGED)):
        last, lines, _ = place.start(way)
    assert last == "unpatched" and len(lines) >= 1
    assert all(line.isprintable() and line.startswith("aiterfix: ") for line in lines), lines


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_no_line_of_an_import_can_be_forged(place: Place, mode: str) -> None:
    with place.without(
        "importing/kernels.py", b"def kernels_in(*_):\n    " + forging(FORGED) + b"\ncomes_from = kernels_in\n"
    ):
        record = place.site / "aiterfix-0.1.0.dist-info" / "RECORD"
        text = record.read_text()
        record.write_text("aiterfix-0.1.0.dist-info/RECORD,,\n")
        try:
            last, lines, _ = place.start("pth", AITERFIX=mode, AITERFIX_LOG="warning")
        finally:
            record.write_text(text)
    # What is left unpatched is watched: of its launches the guard has a line of its own.
    said = [line for line in lines if "a launch of" not in line] if mode == "auto" else [last]
    assert said and all("RuntimeError: no" in line for line in said), said
    assert all(line.isprintable() for line in [last, *lines])
    assert all(line.startswith("aiterfix: ") for line in lines)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("", None),
        ("__init__.py", None),
        ("__init__.py", b"def broken(:\n"),
        ("startup.py", None),
        ("startup.py", b"def broken(:\n"),
        ("startup.py", b"raise SystemError\n"),
        ("importing/__init__.py", None),
        ("importing/api.py", b"def broken(:\n"),
        ("importing/intact.py", None),
        ("storage", None),
        ("history/texts.json", b"\0"),
    ],
)
def test_off_is_silent_whatever_is_damaged(place: Place, name: str, content: bytes | None) -> None:
    wrong = {"AITERFIX": "off", "AITERFIX_KERNEL": "yes", "AITERFIX_LOG": "loud"}
    with place.without(name, content):
        assert place.start("pth", **wrong) == ("unpatched", [], 0)
        if name:
            assert place.start("sitecustomize", **wrong) == ("unpatched", [], 0)


# what the host's own failures leave


@pytest.mark.parametrize("mode", ["auto", "require"])
@pytest.mark.parametrize("module", [GLUON, STAGE1])
def test_a_missing_dependency_is_the_hosts_and_nothing_false_is_said(place: Place, mode: str, module: str) -> None:
    path = place.site / (module.replace(".", "/") + ".py")
    text = path.read_text()
    script = TRY + "import aiterfix\nprint(w if 'w' in globals() else [m.module for m in aiterfix.status().modules])\n"
    script += f"print(error_text, [m for m in sys.modules if m == {module!r}])"
    script = script.replace(
        "except ImportError as error:", "except ImportError as error:\n    error_text = repr(error)"
    )
    for damage_ in ("\nimport torch_that_is_not_there\n", "\nraise ImportError('libhip.so: cannot open')\n"):
        for kernel in ("0", "1"):
            path.write_text(text + damage_)
            try:
                last, lines, status = place.start(
                    "pth", script, AITERFIX=mode, AITERFIX_LOG="debug", AITERFIX_KERNEL=kernel
                )
            finally:
                path.write_text(text)
            assert status == 0, lines
            assert last.startswith(("ModuleNotFoundError(\"No module named 'torch_that", "ImportError('libhip.so"))
            assert last.endswith("[]")
            assert not [line for line in lines if module in line], lines


def test_a_kernel_that_is_not_understood_and_fails_to_import_is_not_said_to_run(place: Place) -> None:
    path = place.site / (GLUON.replace(".", "/") + ".py")
    text = path.read_text()
    path.write_text(text + "\n# \u2028\nimport torch_that_is_not_there\n")
    try:
        last, lines, _ = place.start("pth", AITERFIX_LOG="debug")
    finally:
        path.write_text(text)
    assert last == "ImportError No module named 'torch_that_is_not_there'"
    assert not [line for line in lines if GLUON in line]
