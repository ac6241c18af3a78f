"""Builders of ``aiter``-shaped trees: packages, metadata, environments, checkouts. All sources are written here."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GLUON_KERNEL = "_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle"
GLUON_MODULE = "ops/triton/gluon/pa_mqa_logits.py"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

# Whoever imports the package leaves a trace.
TELLTALE = "import pathlib\npathlib.Path(__file__).with_name('IMPORTED').touch()\n"

KERNEL_SOURCE = f"""\
from triton.experimental import gluon
from triton.experimental.gluon import language as gl


@gluon.jit
def {GLUON_KERNEL}(OutLogits_buffer, stride_out_batch, max_model_len):
    row = gl.program_id(0)
    col = gl.arange(0, 64)
    gl.amd.cdna3.buffer_store(col, ptr=OutLogits_buffer, offsets=row * stride_out_batch + col)
"""


def write(path: Path, text: str | bytes = "") -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def amd_package(
    root: Path,
    *,
    name: str = "aiter",
    version: str | None = None,
    init: bool = True,
    kernels: Mapping[str, str] | None = None,
) -> Path:
    """A package folder with the layout of AMD's; ``kernels`` maps module paths to sources."""
    package = root / name
    if init:
        write(package / "__init__.py", TELLTALE)
    for folder in ("ops", "ops/triton", "ops/triton/gluon", "jit"):
        write(package / folder / "__init__.py")
    for path, source in (kernels if kernels is not None else {GLUON_MODULE: KERNEL_SOURCE}).items():
        write(package / path, source)
    if version is not None:
        write(package / "_version.py", f"__version__ = '{version}'\n")
    return package


def unrelated_package(root: Path) -> Path:
    """A package of the same name that is about asynchronous iterators."""
    package = root / "aiter"
    write(package / "__init__.py", TELLTALE + "from .joined import joined\n")
    write(package / "joined.py", "async def joined(*sources):\n    for source in sources:\n        yield source\n")
    return package


def record_row(root: Path, file: Path) -> str:
    """A row of RECORD for a file."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
    return f"{file.relative_to(root).as_posix()},sha256={digest},{file.stat().st_size}"


def dist_info(
    site: Path,
    *,
    name: str = "amd-aiter",
    version: str = "0.1.20",
    files: Sequence[Path] | None = (),
    direct_url: Mapping[str, object] | None = None,
) -> Path:
    """Metadata as pip leaves it. ``files`` go into RECORD, a folder with all below; None: no RECORD."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    write(folder / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: other\n")
    write(folder / "INSTALLER", "pip\n")
    if direct_url is not None:
        write(folder / "direct_url.json", json.dumps(direct_url))
    if files is not None:
        whole = [folder, *files]
        listed = [file for place in whole for file in (sorted(place.rglob("*")) if place.is_dir() else [place])]
        rows = [record_row(site, file) for file in listed if file.is_file()]
        rows.append(f"{folder.name}/RECORD,,")
        write(folder / "RECORD", "\n".join(rows) + "\n")
    return folder


def wheel_install(site: Path, *, version: str = "0.1.20", **more: Mapping[str, object]) -> Path:
    """A package of AMD's as a wheel leaves it; returns the package folder."""
    package = amd_package(site, version=version)
    dist_info(site, version=version, files=[package], **more)  # type: ignore[arg-type]
    return package


def checkout(root: Path, *, git: str | None = None, version: str | None = None) -> Path:
    """A source tree; returns the package folder. ``git``: ``branch``, ``packed``, ``detached`` or ``worktree``."""
    package = amd_package(root, version=version)
    write(root / "setup.py", "from setuptools import setup\nsetup(name='amd-aiter', packages=['aiter'])\n")
    folder = root / ".git"
    if git == "branch":
        write(folder / "HEAD", "ref: refs/heads/main\n")
        write(folder / "refs/heads/main", COMMIT + "\n")
    elif git == "packed":
        write(folder / "HEAD", "ref: refs/heads/main\n")
        write(
            folder / "packed-refs",
            f"# pack-refs with: peeled\n{'f' * 40} refs/heads/main2\n{COMMIT} refs/heads/main\n^{'e' * 40}\n",
        )
    elif git == "detached":
        write(folder / "HEAD", COMMIT + "\n")
    elif git == "worktree":
        shared = root.parent / "shared.git"
        write(folder, "gitdir: ../shared.git/worktrees/w\n")
        write(shared / "worktrees/w/HEAD", "ref: refs/heads/topic\n")
        write(shared / "worktrees/w/commondir", "../..\n")
        write(shared / "refs/heads/topic", COMMIT + "\n")
    return package


def finder_source(mapping: Mapping[str, str], namespaces: Mapping[str, Sequence[str]] | None = None) -> str:
    """A working editable finder with the tables that setuptools' have."""
    return f"""\
import sys
from importlib.util import spec_from_file_location
from pathlib import Path

MAPPING: dict[str, str] = {dict(mapping)!r}
NAMESPACES: dict[str, list[str]] = {dict(namespaces or {})!r}


class Finder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname in MAPPING:
            return spec_from_file_location(fullname, Path(MAPPING[fullname]) / "__init__.py")
        return None


def install():
    sys.meta_path.append(Finder)
"""


def editable_finder(site: Path, package: Path, *, version: str = "0.1.20") -> Path:
    """An editable install through a finder module; returns the finder."""
    module = f"__editable___amd_aiter_{version.replace('.', '_')}_finder"
    finder = write(site / f"{module}.py", finder_source({"aiter": str(package)}))
    pth = write(site / f"__editable__.amd_aiter-{version}.pth", f"import {module}; {module}.install()\n")
    url = {"url": package.parent.as_uri(), "dir_info": {"editable": True}}
    dist_info(site, version=version, files=[finder, pth], direct_url=url)
    return finder


def editable_path_line(site: Path, root: Path, *, version: str = "0.1.20", metadata: bool = True) -> Path:
    """An editable install through a path line; returns the ``.pth`` file."""
    pth = write(site / f"__editable__.amd_aiter-{version}.pth", f"{root}\n")
    if metadata:
        dist_info(site, version=version, files=[pth], direct_url={"url": root.as_uri(), "dir_info": {"editable": True}})
    return pth


def egg_link(site: Path, root: Path) -> None:
    """What ``setup.py develop`` leaves."""
    write(site / "amd-aiter.egg-link", f"{root}\n.")
    write(site / "easy-install.pth", f"{root}\n")
    write(root / "amd_aiter.egg-info/PKG-INFO", "Metadata-Version: 2.1\nName: amd-aiter\nVersion: 0.1.20\n")


def fake_venv(prefix: Path, *, python: str = "3.11", home: Path | None = None) -> Path:
    """The folders of a virtual environment, without an interpreter; returns its site-packages."""
    site = prefix / "lib" / f"python{python}" / "site-packages"
    site.mkdir(parents=True, exist_ok=True)
    system = f"home = {home}\ninclude-system-site-packages = true\n" if home is not None else "home = /usr/bin\n"
    write(prefix / "pyvenv.cfg", system)
    return site


@dataclass(frozen=True)
class RealEnvironment:
    """A virtual environment with a working interpreter and no packages."""

    prefix: Path
    site: Path
    python: Path

    def run(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run code in it."""
        return subprocess.run(
            [os.fspath(self.python), "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.prefix,
            env={**clean_environment(), **environment},
        )


def clean_environment() -> dict[str, str]:
    """This process's environment without what leads an interpreter to our own packages."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}


def real_venv(prefix: Path) -> RealEnvironment:
    """Make an environment for this test's Python version."""
    import venv

    venv.EnvBuilder(symlinks=True, with_pip=False).create(prefix)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return RealEnvironment(prefix, prefix / "lib" / version / "site-packages", prefix / "bin" / "python")
