"""Builders of wheels and of images that are files: `docker save`, OCI layouts, layers. All contents are written here."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Member:
    """An entry of a layer as it is to be written, whatever `tarfile` thinks of it."""

    name: str
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    target: str = ""
    pax: dict[str, str] = field(default_factory=dict)

    def info(self) -> tarfile.TarInfo:
        made = tarfile.TarInfo(self.name)
        made.type, made.size, made.linkname = self.kind, len(self.data), self.target
        made.mode, made.mtime, made.pax_headers = 0o755, 1_700_000_000, self.pax
        return made


def folder(name: str) -> Member:
    return Member(name, kind=tarfile.DIRTYPE)


def link(name: str, target: str) -> Member:
    return Member(name, kind=tarfile.SYMTYPE, target=target)


def hard_link(name: str, target: str) -> Member:
    return Member(name, kind=tarfile.LNKTYPE, target=target)


def layer(members: Iterable[Member], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A layer's tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for member in members:
            archive.addfile(member.info(), io.BytesIO(member.data) if member.data else None)
    return out.getvalue()


def members_of(root: Path) -> list[Member]:
    """Everything in a folder, folders before what they hold."""
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found.append(link(name, str(path.readlink())))
        elif path.is_dir():
            found.append(folder(name))
        else:
            found.append(Member(name, path.read_bytes()))
    return found


def compressed(data: bytes, how: str) -> bytes:
    """A layer as a registry has it."""
    if how == "gzip":
        return gzip.compress(data, mtime=0)
    if how == "zstd":
        try:
            from compression import zstd  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            import zstandard

            return zstandard.ZstdCompressor().compress(data)  # type: ignore[no-any-return, unused-ignore]
        return zstd.compress(data)  # type: ignore[no-any-return, unused-ignore]
    return data


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config_of(layers: Sequence[bytes]) -> dict[str, Any]:
    """An image's configuration over layers that are not compressed."""
    return {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [*map(digest, layers)]}}


def urlsafe(data: bytes) -> str:
    """A digest as RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def docker_save(path: Path, layers: Sequence[bytes], how: str = "", **more: Any) -> Path:
    """An image as Docker before 25 saves it. ``more``: keys of the entry of manifest.json."""
    config = json.dumps(config_of(layers)).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    members = [Member(name, config)]
    places = []
    for number, data in enumerate(layers):
        places.append(f"{number:064x}/layer.tar")
        members += [folder(f"{number:064x}"), Member(places[-1], compressed(data, how))]
    manifest = [{"Config": name, "RepoTags": ["image:latest"], "Layers": places, **more}]
    members.append(Member("manifest.json", json.dumps(manifest).encode()))
    path.write_bytes(layer(members, tarfile.USTAR_FORMAT))
    return path


def oci_blobs(layers: Sequence[bytes], how: str = "") -> dict[str, bytes]:
    """An OCI layout, files by name."""
    files: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        files[f"blobs/sha256/{digest(data)[7:]}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(data), "size": len(data)}

    suffix = f"+{how}" if how else ""
    manifest = {
        "schemaVersion": 2,
        "config": blob(json.dumps(config_of(layers)).encode(), "config.v1+json"),
        "layers": [blob(compressed(data, how), f"layer.v1.tar{suffix}") for data in layers],
    }
    described = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    described["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [described]}).encode()
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    return files


def oci_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def oci_tar(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(layer([Member(name, data) for name, data in files.items()], tarfile.USTAR_FORMAT))
    return path


def wheel(path: Path, root: Path, more: Iterable[tuple[zipfile.ZipInfo | str, bytes]] = ()) -> Path:
    """A wheel of what a folder holds, a distribution's metadata among it."""
    files = {p.relative_to(root).as_posix(): p for p in sorted(root.rglob("*")) if p.is_file()}
    files = {n: p for n, p in files.items() if p.name not in ("INSTALLER", "direct_url.json", "RECORD")}
    (record,) = (f"{n.rpartition('/')[0]}/RECORD" for n in files if n.endswith(".dist-info/WHEEL"))
    rows = "".join(f"{name},sha256={urlsafe(p.read_bytes())},{p.stat().st_size}\n" for name, p in files.items())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            archive.write(file, name)
        archive.writestr(record, f"{rows}{record},,\n")
        for entry, data in more:
            archive.writestr(entry, data)
    return path
