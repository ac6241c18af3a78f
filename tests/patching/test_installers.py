"""With real installers: what pip does to a patched installation."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aiterfix.patching.disk import apply, recover, revert
from aiterfix.patching.status import PatchState, read_status
from aiterfix.patching.tree import FileChange, PackageTree


def build_wheel(folder: Path, version: str, text: bytes) -> Path:
    """A wheel of an `aiter`-shaped package, by hand."""
    info = f"amd_aiter-{version}.dist-info"
    files = {
        "aiter/__init__.py": b"",
        "aiter/ops/__init__.py": b"",
        "aiter/ops/one.py": text,
        "aiter/ops/a,b.txt": b"a name that RECORD must quote\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: amd-aiter\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": b"[console_scripts]\naiter-script = aiter.ops.one:main\n",
    }
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        quoted = f'"{name}"' if "," in name else name
        record += f"{quoted},sha256={digest},{len(data)}\n"
    record += f"{info}/RECORD,,\n"
    path = folder / f"amd_aiter-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/RECORD", record)
    return path


class Environment:
    """A virtual environment with a pip to run in it."""

    def __init__(self, root: Path) -> None:
        venv.create(root, with_pip=False, symlinks=True)
        self.python = root / "bin" / "python"
        self.root = root
        self.site = next(root.glob("lib/python*/site-packages"))

    def pip(self, *arguments: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--no-cache-dir", "--no-input", "-q"]
        done = subprocess.run(
            [*pip, "--disable-pip-version-check", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def names(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}

    def package_tree(self, version: str) -> PackageTree:
        return PackageTree(self.site, self.site / "aiter", self.site / f"amd_aiter-{version}.dist-info", version)

    def patch(self, version: str) -> None:
        one = self.site / "aiter" / "ops" / "one.py"
        old = one.read_bytes()
        assert apply(
            self.package_tree(version), [FileChange(one, old, old + b"patched = True\n")], annotations={}
        ).changed

    def use(self) -> None:
        """Import it, which leaves bytecode."""
        subprocess.run([str(self.python), "-c", "import sys; sys.dont_write_bytecode = False; import aiter.ops.one"],
                       check=True)  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("installers") / "venv")


@pytest.fixture
def wheel(tmp_path: Path) -> Callable[[str], Path]:
    return lambda version: build_wheel(tmp_path, version, f"version = '{version}'\n".encode())


def test_uninstalling_leaves_nothing(environment: Environment, wheel: Callable[[str], Path]) -> None:
    empty = environment.names()
    environment.pip("install", "--no-deps", "--compile", str(wheel("1.0")))
    environment.patch("1.0")
    environment.use()
    assert read_status(environment.package_tree("1.0")).kind is PatchState.APPLIED
    environment.pip("uninstall", "-y", "amd-aiter")
    assert environment.names() == empty


def test_reverting_leaves_what_pip_installed(environment: Environment, wheel: Callable[[str], Path]) -> None:
    empty = environment.names()
    environment.pip("install", "--no-deps", "--compile", str(wheel("1.0")))
    installed = {name: (environment.root / name).read_bytes() for name in environment.names() - empty
                 if (environment.root / name).is_file()}  # fmt: skip
    names = environment.names()
    environment.patch("1.0")
    environment.use()
    revert(environment.package_tree("1.0"))
    assert environment.names() == names
    assert {name: (environment.root / name).read_bytes() for name in installed} == installed
    environment.pip("uninstall", "-y", "amd-aiter")
    assert environment.names() == empty


def test_upgrading_gives_an_unpatched_source(environment: Environment, wheel: Callable[[str], Path]) -> None:
    empty = environment.names()
    environment.pip("install", "--no-deps", str(wheel("1.0")))
    environment.patch("1.0")
    environment.pip("install", "--no-deps", str(wheel("2.0")))
    assert not list(environment.site.glob("amd_aiter-1.0*"))
    assert read_status(environment.package_tree("2.0")).kind is PatchState.NONE
    assert (environment.site / "aiter/ops/one.py").read_bytes() == b"version = '2.0'\n"
    environment.patch("2.0")
    revert(environment.package_tree("2.0"))
    assert (environment.site / "aiter/ops/one.py").read_bytes() == b"version = '2.0'\n"
    environment.pip("uninstall", "-y", "amd-aiter")
    assert environment.names() == empty


def test_reinstalling_the_same_version(environment: Environment, wheel: Callable[[str], Path]) -> None:
    empty = environment.names()
    environment.pip("install", "--no-deps", str(wheel("1.0")))
    environment.patch("1.0")
    environment.pip("install", "--no-deps", "--force-reinstall", str(wheel("1.0")))
    assert read_status(environment.package_tree("1.0")).kind is PatchState.NONE
    # What a killed run leaves is not in RECORD yet; a reinstallation must not be taken for patched.
    staging = next(environment.site.glob("amd_aiter-1.0.dist-info")) / "aiterfix.tmp"
    staging.mkdir(mode=0o700)
    (staging / "journal.json").write_bytes(b"{")
    assert read_status(environment.package_tree("1.0")).kind is PatchState.INTERRUPTED
    assert recover(environment.package_tree("1.0")) is not None
    environment.pip("uninstall", "-y", "amd-aiter")
    assert environment.names() == empty
