"""Lay the sample out as an installer would: package folder, ``.dist-info``, RECORD."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

SAMPLE_VERSION = "0.0.1+sample"
_SOURCE = Path(__file__).parent / "sample"


def write_sample(site_packages: Path) -> Path:
    """Write the sample package, "installed" as distribution ``amd-aiter``.

    Args:
        site_packages: an existing folder that has no ``aiter`` yet.

    Returns:
        The package folder.
    """
    names = []
    for source in sorted((_SOURCE / "aiter").rglob("*.py")):
        name = source.relative_to(_SOURCE)
        target = site_packages / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        names.append(name)
    info = Path(f"amd_aiter-{SAMPLE_VERSION}.dist-info")
    (site_packages / info).mkdir()
    metadata = {
        "METADATA": f"Metadata-Version: 2.1\nName: amd-aiter\nVersion: {SAMPLE_VERSION}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: aiterfix sample\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "INSTALLER": "aiterfix demo\n",
    }
    for name_, text in metadata.items():
        (site_packages / info / name_).write_text(text, encoding="utf-8")
        names.append(info / name_)
    rows = []
    for name in names:
        data = (site_packages / name).read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name.as_posix()},sha256={digest},{len(data)}\n")
    rows.append(f"{(info / 'RECORD').as_posix()},,\n")
    (site_packages / info / "RECORD").write_text("".join(rows), encoding="utf-8")
    return site_packages / "aiter"
