"""Virtual environments with pip, of which Python's own take seconds: what `ensurepip` installs is copied from one.

Run as ``python3`` by steps of examples, it makes those for which they say ``-m venv``, and passes on everything else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

RUN = Path(__file__)


def make_template(folder: Path) -> None:
    """One as Python makes it, to copy from."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)


def make(prefix: Path, template: Path, *, system_site_packages: bool = False) -> Path:
    """The same as ``python -m venv`` makes; returns its site-packages."""
    venv.EnvBuilder(symlinks=True, system_site_packages=system_site_packages).create(prefix)
    (source,) = template.glob("lib/python*/site-packages")
    site = prefix / source.relative_to(template)
    shutil.copytree(source, site, dirs_exist_ok=True)
    for script in template.glob("bin/pip*"):
        place = prefix / "bin" / script.name
        place.write_text(script.read_text().replace(str(template), str(prefix)))
        place.chmod(0o755)
    return site


def stand_in(template: Path) -> str:
    """The shell of a ``python3`` that does so."""
    return f'exec "{sys.executable}" -S "{RUN}" "{template}" "$@"'


def _main(template: str, *words: str) -> None:
    flag = "--system-site-packages"
    if words[:2] == ("-m", "venv") and len(places := [w for w in words[2:] if w != flag]) == 1:
        make(Path(places[0]), Path(template), system_site_packages=flag in words)
    else:
        real = str(Path(sys.executable).resolve())
        os.execv(real, [real, *words])


if __name__ == "__main__":
    _main(*sys.argv[1:])
