"""An image that is a file or a folder of blobs: `docker save`, an OCI layout, or the tar of a root file system.

What the image states is checked: each blob against its digest and size, each layer's contents against the digest that
the configuration has of them. Nothing is unpacked to disk.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

from aiterfix.errors import UsageError
from aiterfix.installation.layers import Digest, Kept, read_layer, stack
from aiterfix.installation.streams import ArchiveError, Budget, Held, Part, Unpacked, shown
from aiterfix.installation.tar import Kind, tar_entries
from aiterfix.installation.tree import Folder, pieces_of
from aiterfix.installation.view import why
from aiterfix.storage.held import open_file

_MOST_JSON = 8 << 20
_MOST_LAYERS = 512  # Docker stops at 127
_MOST_INDEXES = 4  # an index in an index
_MOST_LINKS = 8
_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")
_HEX = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")
_NOT_AN_IMAGE = "application/vnd.oci.empty.v1+json"
_NAME_KEYS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


@dataclass
class Members:
    """The files of an archive by name."""

    find: Callable[[str], Part | None]
    top: frozenset[str] = frozenset()
    """Names at the top, folders among them; where it is cheap to know."""

    def part(self, name: str) -> Part:
        """A file.

        Raises:
            ArchiveError: it is missing.
        """
        found = self.find(name)
        if found is None:
            raise ArchiveError(name, "is missing")
        return found.again()

    def json(self, name: str, digest: Digest | None = None) -> Any:
        """A file's contents, parsed.

        Raises:
            ArchiveError: it is missing, not what is stated of it, or no JSON.
        """
        part = self.part(name)
        if part.size > _MOST_JSON:
            raise ArchiveError(name, f"has more than {_MOST_JSON} bytes")
        data = part.read()
        if data is None or len(data) != part.size:
            raise ArchiveError(name, "is cut off")
        if digest is not None and hashlib.new(digest.algorithm, data).hexdigest() != digest.value:
            raise ArchiveError(name, f"has not the {digest.algorithm} digest that is stated of it")
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ArchiveError(name, f"is no JSON: {error}") from error


class Described(NamedTuple):
    """A layer and what is stated of it."""

    name: str
    part: Part
    blob: Digest | None
    content: Digest | None


class Image(NamedTuple):
    """One image of an archive."""

    names: tuple[str, ...]
    config: str
    layers: tuple[Described, ...]


def members_of_tar(held: Held, budget: Budget) -> Members:
    """The files of a tar archive, which is not unpacked.

    Raises:
        ArchiveError: it is damaged or hostile.
    """
    parts: dict[str, Part | str] = {}
    top = set()
    for entry in tar_entries(Unpacked(held.whole(), "", budget), budget):
        name = "/".join(pieces_of(entry.name))
        top.add(name.partition("/")[0])
        if entry.kind is Kind.FOLDER:
            continue
        if name in parts:
            raise ArchiveError(entry.name, "stands there twice")
        if entry.kind is Kind.FILE:
            parts[name] = Part(held, entry.at, entry.size)
        elif entry.kind is Kind.LINK:
            # Docker before 25 wrote a layer once and linked the others of the same contents to it.
            home = name.rpartition("/")[0]
            parts[name] = _resolved(home, entry.target, entry.name)
        elif entry.kind is Kind.HARD_LINK:
            parts[name] = "/".join(pieces_of(entry.target))

    def find(name: str) -> Part | None:
        here = parts.get(name)
        for _ in range(_MOST_LINKS):
            if not isinstance(here, str):
                return here
            here = parts.get(here)
        raise ArchiveError(name, "links that lead round in a circle")

    return Members(find, frozenset(top))


def _resolved(home: str, target: str, entry: str) -> str:
    pieces = home.split("/") if home else []
    if target.startswith("/"):
        raise ArchiveError(entry, "a link out of the archive")
    for piece in target.split("/"):
        if piece == "..":
            if not pieces:
                raise ArchiveError(entry, "a link out of the archive")
            pieces.pop()
        elif piece not in ("", "."):
            pieces.append(piece)
    return "/".join(pieces)


def members_of_folder(root: Any) -> Members:
    """The files of an OCI layout that is a folder; no link leads out of it."""

    def find(name: str) -> Part | None:
        try:
            descriptor = open_file(root / name, root)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArchiveError(name, why(error)) from error
        return Held(descriptor, str(root / name)).whole()

    return Members(find)


def image_of(members: Members, budget: Budget) -> Folder:
    """The root file system of the image that an archive holds.

    Raises:
        UsageError: it holds several.
        ArchiveError: it is damaged, hostile, or not what it states.
    """
    image = _chosen(members)
    if len(image.layers) > _MOST_LAYERS:
        raise ArchiveError("", f"has more than {_MOST_LAYERS} layers")
    tree, kept = Folder(stated=True), Kept()
    for number, one in enumerate(image.layers):
        stack(tree, read_layer(number, one.part, one.name, budget, kept, one.blob, one.content), one.name)
    return tree


def root_file_system(held: Held, budget: Budget) -> Folder:
    """A tar archive that is a root file system itself, as `docker export` writes.

    Raises:
        ArchiveError: it is damaged or hostile.
    """
    return read_layer(0, held.whole(), held.name, budget, Kept(), None, None, whiteouts=False)


def _chosen(members: Members) -> Image:
    saved = _saved(members) if members.find("manifest.json") is not None else []
    laid_out = list(_laid_out(members)) if members.find("index.json") is not None else []
    images = {image.config: image for image in saved or laid_out}
    if len(images) > 1:
        named = [", ".join(i.names) or i.config[:19] for i in images.values()]
        raise UsageError(
            f"the archive holds {len(images)} images: {'; '.join(map(shown, named))}",
            remedy="Save one of them: docker save NAME, or skopeo copy oci:DIR:NAME docker-archive:FILE",
        )
    if not images:
        raise ArchiveError("", "no image is in it for linux")
    (image,) = images.values()
    if saved and laid_out and image.config not in {i.config for i in laid_out}:
        raise ArchiveError("", "manifest.json and index.json are about different images")
    return image


# docker save


def _saved(members: Members) -> list[Image]:
    images = []
    for one in _listed(members.json("manifest.json"), "manifest.json"):
        config, layers = one.get("Config"), one.get("Layers")
        if not isinstance(config, str) or not _strings(layers):
            raise ArchiveError("manifest.json", "names no configuration, or no layers")
        stated = _HEX.fullmatch(config)
        contents = _contents(members.json(config, Digest("sha256", stated[1]) if stated else None), config)
        if len(contents) != len(layers):
            raise ArchiveError(config, f"is about {len(contents)} layers, and manifest.json about {len(layers)}")
        described = [Described(n, members.part(n), None, c) for n, c in zip(layers, contents, strict=True)]
        names = one.get("RepoTags")
        images.append(Image(tuple(names) if _strings(names) else (), stated[1] if stated else config, tuple(described)))
    return images


def _contents(config: Any, name: str) -> list[Digest]:
    """Digests of layers without compression."""
    root = config.get("rootfs") if isinstance(config, dict) else None
    stated = root.get("diff_ids") if isinstance(root, dict) else None
    if not _strings(stated):
        raise ArchiveError(name, "states no digests of the layers' contents")
    return [_digest(text, name) for text in stated]


# OCI


def _laid_out(members: Members) -> Iterator[Image]:
    index = members.json("index.json")
    found = {d["digest"]: d for d in _manifests(members, index, "index.json", _MOST_INDEXES)}
    if len(found) > 1:
        found = {k: d for k, d in found.items() if _platform(d) in (None, ("linux", "amd64"))} or found
    for descriptor in found.values():
        yield _manifest(members, descriptor)


def _manifests(members: Members, index: Any, name: str, left: int) -> Iterator[dict[str, Any]]:
    """Descriptors of the manifests of images that an index leads to."""
    for one in _listed(index.get("manifests") if isinstance(index, dict) else None, name):
        digest = _digest(one.get("digest"), name)
        notes = one.get("annotations")
        if isinstance(notes, Mapping) and "vnd.docker.reference.type" in notes:
            continue  # what BuildKit attests of another manifest
        if left < _MOST_INDEXES and members.find(_blob(digest)) is None:
            continue  # another platform's, which was not saved
        whole = _blob_json(members, one, name)
        if isinstance(whole, dict) and "manifests" in whole:
            if not left:
                raise ArchiveError(_blob(digest), "an index in an index, too deep")
            for found in _manifests(members, whole, _blob(digest), left - 1):
                yield {**found, "annotations": found.get("annotations") or notes}
        else:
            yield dict(one)


def _platform(descriptor: Mapping[str, Any]) -> tuple[Any, Any] | None:
    stated = descriptor.get("platform")
    return (stated.get("os"), stated.get("architecture")) if isinstance(stated, dict) else None


def _manifest(members: Members, descriptor: Mapping[str, Any]) -> Image:
    name = _blob(_digest(descriptor["digest"], "index.json"))
    manifest = _blob_json(members, descriptor, "index.json")
    config = manifest.get("config") if isinstance(manifest, dict) else None
    if not isinstance(config, dict) or config.get("mediaType") == _NOT_AN_IMAGE:
        raise ArchiveError(name, "is the manifest of no image")
    layers = _listed(manifest.get("layers"), name)
    digest = _digest(config.get("digest"), name)
    contents = _contents(_blob_json(members, config, name), _blob(digest))
    if len(contents) != len(layers):
        raise ArchiveError(name, f"has {len(layers)} layers, and its configuration is about {len(contents)}")
    described = []
    for layer, content in zip(layers, contents, strict=True):
        if "encrypted" in str(layer.get("mediaType")):
            raise ArchiveError(name, "has an encrypted layer")
        blob = _digest(layer.get("digest"), name)
        part = _sized(members, layer, blob)
        described.append(Described(_blob(blob), part, blob, content))
    notes = descriptor.get("annotations")
    names = [notes[key] for key in _NAME_KEYS if key in notes][:1] if isinstance(notes, dict) else []
    return Image(tuple(map(str, names)), digest.value, tuple(described))


def _blob_json(members: Members, descriptor: Mapping[str, Any], name: str) -> Any:
    digest = _digest(descriptor.get("digest"), name)
    _sized(members, descriptor, digest)
    return members.json(_blob(digest), digest)


def _sized(members: Members, descriptor: Mapping[str, Any], digest: Digest) -> Part:
    part = members.part(_blob(digest))
    if part.size != descriptor.get("size"):
        raise ArchiveError(_blob(digest), f"has {part.size} bytes, and {descriptor.get('size')} are stated of it")
    return part


def _blob(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.value}"


def _digest(text: Any, name: str) -> Digest:
    match = _DIGEST.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ArchiveError(
            name, f"a digest that is none, or of another kind than sha256 and sha512: {ascii(text)[:100]}"
        )
    return Digest(match[1] or match[3], match[2] or match[4])


def _listed(value: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ArchiveError(name, "is not of the form that it has to be")
    return value


def _strings(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
