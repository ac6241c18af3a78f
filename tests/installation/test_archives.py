"""Wheels and images that are files give the answer of the tree that they unpack to, and hostile ones none."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import stat
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tests.images
from aiterfix.cli.main import main
from aiterfix.demo import write_sample
from aiterfix.errors import install_line
from aiterfix.installation import layers, streams
from aiterfix.installation.given_path import find_image, find_path
from aiterfix.installation.view import View
from aiterfix.report.steps import dockerfile_line
from tests.cli.conftest import Runner, contents
from tests.emulator import needs_emulator
from tests.images import (
    Member,
    compressed,
    config_of,
    digest,
    docker_save,
    folder,
    hard_link,
    layer,
    link,
    members_of,
    oci_blobs,
    oci_folder,
    oci_tar,
    wheel,
)
from tests.trees import write

SITE = "opt/venv/lib/python3.12/site-packages"
KERNEL = f"{SITE}/aiter/ops/triton/gluon/pa_mqa_logits.py"
WHEEL = "amd_aiter-0.0.1+sample-py3-none-any.whl"
TOP = ("usr/bin", "etc", "var")


def _zstd_here() -> bool:
    try:
        compressed(b"", "zstd")
    except ImportError:
        return False
    return True


_NEEDS_ZSTD = pytest.mark.skipif(not _zstd_here(), reason="no zstd here")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image's root file system, unpacked."""
    made = tmp_path / "root"
    for name in (*TOP, SITE):
        (made / name).mkdir(parents=True)
    write_sample(made / SITE)
    return made


def saved(folder: Path, layers: list[bytes], how: str) -> dict[str, Path]:
    """An image in every form."""
    blobs = oci_blobs(layers, how)
    return {
        "docker save": docker_save(folder / "saved.tar", layers, how),
        "OCI folder": oci_folder(folder / "layout", blobs),
        "OCI tar": oci_tar(folder / "layout.tar", blobs),
    }


def answer(run: Runner, option: str, place: Path, *words: str) -> tuple[int, Any]:
    """Status and JSON of `check`, places told relative to the target."""
    ran = run("check", option, place, "--json", *words)
    told = json.loads(ran.out.decode().replace(str(place), "TARGET"))
    for fault in told["faults"]:  # an image that is a file is built anew, and not written to
        fault["mend"].pop("remedy")
    return ran.status, told


def mended(root: Path) -> None:
    for path in (root / SITE / "aiter").rglob("pa_mqa_logits.py"):
        path.write_text("def nothing():\n    pass\n")


def linked(root: Path) -> None:
    """The package behind a link, in a folder of another name; a link out of the image in it."""
    (root / "opt/elsewhere").mkdir()
    (root / SITE / "aiter").rename(root / "opt/elsewhere/library")
    (root / SITE / "aiter").symlink_to("/opt/elsewhere/library")
    (root / "opt/elsewhere/library/out.py").symlink_to("../" * 9 + "etc/passwd")


def editable(root: Path) -> None:
    """A checkout that a path line leads to."""
    (root / "app").mkdir()
    (root / SITE / "aiter").rename(root / "app/aiter")
    write(root / "app/setup.py", "")
    write(root / "app/.git/HEAD", "0123456789abcdef0123456789abcdef01234567\n")
    write(root / SITE / "__editable__.amd_aiter.pth", "/app\n")


def strange(root: Path) -> None:
    write(root / SITE / "aiter/ops/extra.py", "def f(:\n    _gluon_deepgemm_fp8_paged_mqa_logits\n")
    (root / SITE / "aiter/ops/gone.py").symlink_to("/mnt/missing.py")


def two(root: Path) -> None:
    other = root / "usr/lib/python3/dist-packages"
    other.mkdir(parents=True)
    write_sample(other)


def zipped(root: Path) -> None:
    """An archive on the import path, beside a package that does not hide it."""
    (root / "opt/more").mkdir()
    with zipfile.ZipFile(root / "opt/more/archive.zip", "w") as archive:
        archive.writestr("aiter/__init__.py", "")
        archive.writestr("aiter/ops/__init__.py", "")
    write(root / SITE / "more.pth", "/opt/more/archive.zip\n/opt/missing\n")


def based(root: Path) -> None:
    """An environment that takes aiter from its base, and Triton beside it."""
    base = root / "usr/lib/python3.12/dist-packages"
    base.mkdir(parents=True)
    (root / SITE / "aiter").rename(base / "aiter")
    for path in (root / SITE).glob("*.dist-info"):
        path.rename(base / path.name)
    write(root / "opt/venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = true\n")
    write(base / "triton/__init__.py", "__version__ = '3.5.1'\n")
    write(base / "triton-3.5.1.dist-info/METADATA", "Name: triton\nVersion: 3.5.1\n")


def compiled(root: Path) -> None:
    write(root / SITE / "aiter/ops/triton/gluon/pa_mqa_logits.cpython-312-x86_64-linux-gnu.so", b"\x7fELF")
    write(root / SITE / "aiter/ops/triton/configs/paged_mqa_logits/aot/one/kernel.hsaco", b"x")


def patched(root: Path) -> None:
    """As `apply` leaves it, on disk."""
    assert main(["apply", "--root", str(root), "--require"]) == 0


def changed_since(root: Path) -> None:
    patched(root)
    (root / KERNEL).write_bytes((root / KERNEL).read_bytes() + b"\n# changed\n")


TREES: dict[str, Callable[[Path], None]] = {
    "as it is": lambda root: None,
    "without the kernels": mended,
    "behind a link": linked,
    "editable": editable,
    "not understood": strange,
    "two": two,
    "a zip archive on the path": zipped,
    "from a base": based,
    "compiled": compiled,
    "patched": patched,
    "changed since": changed_since,
    "none": lambda root: shutil.rmtree(root / SITE),
}


# How layers are compressed is settled before anything looks at what is in them: every tree once.
_EVERY_TREE = [*((tree, "gzip") for tree in TREES if tree != "as it is"), *(("as it is", how) for how in ("", "gzip"))]


@pytest.mark.parametrize(("tree", "how"), [*_EVERY_TREE, pytest.param("as it is", "zstd", marks=_NEEDS_ZSTD)])
def test_an_image_that_is_a_file_has_the_answer_of_its_tree(
    run: Runner, root: Path, tmp_path: Path, tree: str, how: str
) -> None:
    TREES[tree](root)
    told = answer(run, "--root", root)
    for form, place in saved(tmp_path, [layer(members_of(root))], how).items():
        assert answer(run, "--root", place) == told, form
        assert answer(run, "--path", place)[0] == told[0], form
    inside = answer(run, "--root", root, "--path", "/opt/venv") if (root / SITE).exists() else None
    if inside is not None:
        assert answer(run, "--root", tmp_path / "saved.tar", "--path", "/opt/venv") == inside


def test_what_docker_export_writes_is_a_root_file_system(run: Runner, root: Path, tmp_path: Path) -> None:
    members = [folder("./"), *(Member(f"./{m.name}", m.data, m.kind, m.target) for m in members_of(root))]
    members.append(Member("dev/null", kind=tarfile.CHRTYPE))
    members.append(Member(f"{SITE}/.wh.aiter"))  # only a layer's names take others away
    place = tmp_path / "exported.tar"
    place.write_bytes(layer(members, tarfile.GNU_FORMAT))
    assert answer(run, "--root", place) == answer(run, "--root", root)


def test_layers_are_stacked_as_a_runtime_stacks_them(run: Runner, root: Path, tmp_path: Path) -> None:
    kernel = (root / KERNEL).read_bytes()
    home, name = KERNEL.rsplit("/", 1)
    below = [
        *members_of(root),
        folder(f"{SITE}/aiter/old"),
        Member(f"{SITE}/aiter/old/more.py", b"(\n_gluon_deepgemm_fp8_paged_mqa_logits\n"),
        Member(f"{SITE}/aiter/ops/gone.py", b"(\n_gluon_deepgemm_fp8_paged_mqa_logits\n"),
        Member(f"{SITE}/aiter/file", b""),
    ]
    middle = [
        Member(f"{SITE}/aiter/ops/new.py", b"x = 1\n"),
        Member(f"{SITE}/aiter/ops/.wh.gone.py"),
        Member(f"{SITE}/aiter/ops/.wh.never_there"),
        Member(f"{SITE}/aiter/old/kept.py", b"y = 1\n"),
        Member(f"{SITE}/aiter/old/.wh..wh..opq"),  # after what it does not hide
        Member(f"{SITE}/aiter/.wh..wh.plnk"),
        folder(f"{SITE}/aiter/file"),
        Member(KERNEL, b"broken = (\n_gluon_deepgemm_fp8_paged_mqa_logits\n"),
    ]
    above = [
        Member(f"{home}/.wh.{name}"),
        Member(KERNEL, kernel),
        hard_link(f"{SITE}/aiter/ops/again.py", KERNEL),
    ]
    write(root / SITE / "aiter/ops/new.py", "x = 1\n")
    write(root / SITE / "aiter/old/kept.py", "y = 1\n")
    (root / SITE / "aiter/file").mkdir()
    write(root / SITE / "aiter/ops/again.py", kernel)
    told = answer(run, "--root", root)
    stacked = [layer(below), layer(middle, tarfile.GNU_FORMAT), layer(above)]
    for how in ("", "gzip"):
        for form, place in saved(tmp_path, stacked, how).items():
            assert answer(run, "--root", place) == told, form
    view = View(tmp_path / "layout.tar")
    assert sorted(view.names(tmp_path / "layout.tar" / SITE / "aiter/old")) == ["kept.py"]


def test_what_was_not_kept_is_decompressed_again(
    run: Runner,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    linked(root)
    told = answer(run, "--root", root)
    read: list[str] = []
    again = layers.Layer._again

    def noted(self: layers.Layer, *arguments: Any) -> bytes:
        read.append(self._name)
        return again(self, *arguments)

    monkeypatch.setattr(layers.Layer, "_again", noted)
    monkeypatch.setattr(layers.Kept.__init__, "__defaults__", (4000,))
    place = docker_save(tmp_path / "small.tar", [layer(members_of(root))], "gzip")
    assert answer(run, "--root", place) == told
    assert read, "more than 4000 bytes were asked for"
    monkeypatch.setattr(layers, "_MOST_READINGS", 0)
    place = docker_save(tmp_path / "none.tar", [layer(members_of(root))], "gzip")
    ran = run("check", "--root", place)
    assert ran.status == 3 and "was decompressed 0 times for others" in ran.text


def test_only_files_that_matter_are_held_in_memory(root: Path, tmp_path: Path) -> None:
    large = [Member(f"opt/model/{n}.bin", bytes([n]) * (3 << 20)) for n in range(40)]
    data = [layer([*members_of(root), folder("opt/model"), *large])]
    for form, place in saved(tmp_path, data, "gzip").items():
        tracemalloc.start()
        assert find_image(place).installations, form
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 12 << 20 and held < 4 << 20, (form, held, peak)


# hostile layers

BAD: dict[str, tuple[Callable[[], list[Member]], str]] = {
    "leads out": (lambda: [Member("../../etc/x", b"x")], "../../etc/x: a name that leads out"),
    "leads out in the middle": (lambda: [Member("usr/../../x", b"x")], "usr/../../x: a name that leads out"),
    "absolute": (lambda: [Member("/etc/x", b"x")], "/etc/x: an absolute name"),
    "twice": (lambda: [Member("etc/x", b"1"), Member("etc/x", b"2")], "etc/x: stands there twice"),
    "twice, by a dot": (lambda: [Member("etc/x", b"1"), Member("./etc//x", b"2")], "./etc//x: stands there twice"),
    "a folder and a file": (lambda: [folder("etc/x"), Member("etc/x", b"2")], "etc/x: stands there twice"),
    "below a file": (lambda: [Member("a", b"1"), Member("a/b", b"2")], "a/b: lies below a, which is a regular file"),
    "below a link out": (lambda: [link("a", "/"), Member("a/b", b"2")], "a/b: lies below a, which is a link"),
    "below a link of another layer": (lambda: [Member("lib/x", b"2")], "lib: has files of this layer below it, and is"),
    "a hard link to another layer": (lambda: [hard_link("x", KERNEL)], f"x: a hard link to {KERNEL}, which is no"),
    "a hard link out": (lambda: [hard_link("x", "../y")], "../y: a name that leads out"),
    "a hard link to itself": (lambda: [hard_link("x", "x")], "x: a hard link to x, which is no file"),
    "hard links in a circle": (lambda: [hard_link("x", "y"), hard_link("y", "x")], "x: a hard link to y"),
    "a hard link to a folder": (lambda: [folder("y"), hard_link("x", "y")], "x: a hard link to y, which is no file"),
    "surrogates": (lambda: [Member("etc/\udcff", b"x")], "a name that is no UTF-8"),
    "a NUL": (lambda: [Member("etc/x", b"x", pax={"path": "etc/x\0y"})], "a name with a NUL"),
    "too long": (lambda: [Member("etc/" + "x" * 256, b"x")], "a name too long"),
    "too deep": (lambda: [Member("x/" * 200 + "x", b"x")], "a name too long, or more than 128 folders deep"),
    "a link with a NUL": (lambda: [Member("a", kind=tarfile.SYMTYPE, target="b", pax={"linkpath": "b\0c"})], "a link"),
    "a link of a length": (lambda: [link("a", "x" * 5000)], "a: a link without a target, with a NUL in it, or"),
    "an unknown kind": (lambda: [Member("a", kind=b"Z")], "a: an entry of an unknown kind, 'Z'"),
    "a volume": (lambda: [Member("a", kind=b"M")], "a: an entry of an unknown kind, 'M'"),
    "takes away nothing": (lambda: [Member("etc/.wh.")], "etc/.wh.: takes away something that has no name"),
    "takes away the parent": (lambda: [Member("etc/.wh...")], "etc/.wh...: takes away something that has no name"),
    "a folder that takes away": (lambda: [Member("etc/.wh.x/y", b"")], "etc/.wh.x/y: a folder that is called"),
    "the root as a file": (lambda: [Member("./", kind=tarfile.SYMTYPE, target="/x")], "in the place of the root"),
}


@pytest.mark.parametrize("how", ["", "gzip"])
@pytest.mark.parametrize(("members", "said"), BAD.values(), ids=list(BAD))
def test_a_hostile_layer_is_named_and_nothing_is_concluded(
    run: Runner,
    root: Path,
    tmp_path: Path,
    members: Callable[[], list[Member]],
    said: str,
    how: str,
) -> None:
    mended(root)
    (root / "lib").symlink_to("usr/lib")
    good = layer(members_of(root))
    assert run("check", "--root", docker_save(tmp_path / "good.tar", [good], how)).status == 0
    for form, place in saved(tmp_path, [good, layer(members())], how).items():
        ran = run("check", "--root", place)
        assert ran.status == 3, form
        assert "verdict: unknown" in ran.text
        assert said in ran.text, form
        assert str(place) in ran.text


def corrupted(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d[: len(d) // 2], "cut off"),
        (lambda d: d[:700], "cut off"),
        (lambda d: d.rstrip(b"\0")[:-1] if d.rstrip(b"\0") else d, "cut off"),
        (lambda d: d[: len(d) // 1024 * 512], "cut off"),
        (lambda d: corrupted(d, 10), "a header whose sum is wrong"),
        (lambda d: d + layer([Member("etc/more", b"x")]), "goes on after the mark of its end"),
        (lambda d: d[:124] + b"zzzzzzzzzzz\0" + d[136:], "a header"),
    ],
)
def test_a_damaged_layer_is_named(
    run: Runner,
    root: Path,
    tmp_path: Path,
    change: Callable[[bytes], bytes],
    said: str,
) -> None:
    mended(root)
    data = change(layer(members_of(root), tarfile.USTAR_FORMAT))
    for form, place in saved(tmp_path, [data], "gzip").items():
        ran = run("check", "--root", place)
        assert (ran.status, said in ran.text) == (3, True), (form, ran.text)


@pytest.mark.parametrize("how", ["gzip", pytest.param("zstd", marks=_NEEDS_ZSTD)])
@pytest.mark.parametrize("cut", [1, 9, 4000])
def test_a_compressed_layer_that_is_cut_off(
    run: Runner, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, cut: int
) -> None:
    mended(root)
    data = layer(members_of(root))
    packed = compressed(data, how)
    monkeypatch.setattr(tests.images, "compressed", lambda data, how: packed[:-cut])
    for form, place in saved(tmp_path, [data], how).items():
        ran = run("check", "--root", place)
        assert ran.status == 3, form
        assert "cannot be decompressed" in ran.text or "cut off" in ran.text or "not what the image states" in ran.text


def test_digests_are_checked(run: Runner, root: Path, tmp_path: Path) -> None:
    mended(root)
    data = layer(members_of(root))
    swapped = layer([m for m in members_of(root) if not m.name.endswith("INSTALLER")])
    # A layer that is another one than the configuration says.
    config = json.dumps(config_of([data])).encode()
    manifest = [{"Config": f"{digest(config)[7:]}.json", "RepoTags": None, "Layers": ["layer.tar"]}]
    place = tmp_path / "saved.tar"

    def write_with(config: bytes, contents: bytes) -> None:
        members = [
            Member(f"{manifest[0]['Config']}", config),
            Member("layer.tar", contents),
            Member("manifest.json", json.dumps(manifest).encode()),
        ]
        place.write_bytes(layer(members))

    write_with(config, data)
    assert run("check", "--root", place).status == 0
    write_with(config, swapped)
    ran = run("check", "--root", place)
    assert ran.status == 3 and "layer.tar: is not what the image states" in ran.text
    write_with(json.dumps(config_of([swapped])).encode(), swapped)
    ran = run("check", "--root", place)
    assert ran.status == 3 and "has not the sha256 digest that is stated of it" in ran.text

    # Every blob of a layout, one byte changed or one less.
    blobs = oci_blobs([data], "gzip")
    assert run("check", "--root", oci_folder(tmp_path / "good", blobs)).status == 0
    for name in [n for n in blobs if n.startswith("blobs/")]:
        for number, change in enumerate((corrupted(blobs[name], len(blobs[name]) - 3), blobs[name][:-1], b"")):
            ran = run("check", "--root", oci_folder(tmp_path / f"{name[-6:]}{number}", {**blobs, name: change}))
            assert ran.status == 3 and name in ran.text, (name, number)
        ran = run(
            "check", "--root", oci_folder(tmp_path / f"{name[-6:]}x", {k: v for k, v in blobs.items() if k != name})
        )
        assert ran.status == 3 and "is missing" in ran.text


def test_a_layout_reads_nothing_outside_itself(run: Runner, root: Path, tmp_path: Path) -> None:
    blobs = oci_blobs([layer(members_of(root))])
    place = oci_folder(tmp_path / "layout", blobs)
    (name,) = [n for n in blobs if len(blobs[n]) > 10_000]
    (place / name).rename(tmp_path / "outside")
    (place / name).symlink_to(tmp_path / "outside")
    ran = run("check", "--root", place)
    assert ran.status == 3 and f"{name}: is missing" in ran.text, "an absolute link means a place inside"
    (place / name).unlink()
    (place / name).symlink_to("../../../../outside")
    ran = run("check", "--root", place)
    assert ran.status == 3 and f"{name}: a link leads out of" in ran.text
    (place / name).unlink()
    os.mkfifo(place / name)
    ran = run("check", "--root", place)
    assert ran.status == 3 and f"{name}: is a FIFO, not a regular file" in ran.text
    index = json.loads(blobs["index.json"])
    index["manifests"][0]["digest"] = "sha256:../../../etc/passwd"
    ran = run("check", "--root", oci_folder(tmp_path / "other", {**blobs, "index.json": json.dumps(index).encode()}))
    assert ran.status == 3 and "a digest that is none" in ran.text


def test_a_bomb_is_refused(run: Runner, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_ALWAYS", 1 << 20)
    mended(root)
    good = members_of(root)
    bomb = layer([*good, Member("opt/zeros", bytes(30 << 20))])
    for how in ("gzip", *(("zstd",) if _zstd_here() else ())):
        for form, place in saved(tmp_path, [bomb], how).items():
            ran = run("check", "--root", place)
            assert ran.status == 3 and "a decompression bomb" in ran.text, (form, how)
    monkeypatch.setattr(streams, "_ALWAYS", 1 << 30)
    monkeypatch.setattr(streams.Budget.__init__, "__defaults__", (20 << 20, 1000, 1 << 20))
    ran = run("check", "--root", docker_save(tmp_path / "large.tar", [bomb], "gzip"))
    assert ran.status == 3 and "unpacks to more than 0 GiB" in ran.text
    many = layer([*good, *(Member(f"opt/{n}") for n in range(1000))])
    ran = run("check", "--root", docker_save(tmp_path / "many.tar", [many], "gzip"))
    assert ran.status == 3 and "is entry number 1001: no more are read" in ran.text
    long = layer([*good, *(Member(f"opt/{n}/" + "x" * 200) for n in range(700)), link("y", "x" * 4000)])
    monkeypatch.setattr(streams.Budget.__init__, "__defaults__", (20 << 20, 5000, 1 << 17))
    ran = run("check", "--root", docker_save(tmp_path / "long.tar", [long], "gzip"))
    assert ran.status == 3 and "more bytes than are read" in ran.text


def test_long_headers_are_not_read_into_memory(run: Runner, root: Path, tmp_path: Path) -> None:
    data = layer([*members_of(root), Member("x", b"1", pax={"comment": "x" * (2 << 20)})])
    ran = run("check", "--root", docker_save(tmp_path / "saved.tar", [data], "gzip"))
    assert ran.status == 3 and "a header of more than 1048576 bytes" in ran.text


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (Member(KERNEL, kind=tarfile.FIFOTYPE), "is a FIFO, not a regular file"),
        (Member(KERNEL, kind=tarfile.CHRTYPE), "is a device, not a regular file"),
        (Member(KERNEL, kind=tarfile.BLKTYPE), "is a device, not a regular file"),
        (folder(KERNEL), "verdict: unknown"),
        (link(KERNEL, "pa_mqa_logits.py"), "a link that leads nowhere"),
        (link(KERNEL, "/../../etc/passwd"), "a link leads out of"),
        (link(KERNEL, "/proc/self/mem"), "a link that leads nowhere"),
        (Member(KERNEL, b"#" * ((4 << 20) + 1)), "has more than 4194304 bytes"),
        (Member(KERNEL, b"x" * 512, kind=tarfile.GNUTYPE_SPARSE), "is a sparse file"),
    ],
)
def test_in_the_place_of_a_source(run: Runner, root: Path, tmp_path: Path, member: Member, said: str) -> None:
    data = [layer([*(m for m in members_of(root) if m.name != KERNEL), member])]
    for form, place in saved(tmp_path, data, "gzip").items():
        ran = run("check", "--root", place)
        assert ran.status == 3 and said in ran.text, form


def test_several_images_in_one_file(run: Runner, root: Path, tmp_path: Path) -> None:
    one, other = oci_blobs([layer(members_of(root))]), oci_blobs([layer([folder("usr")])])
    index = json.loads(one["index.json"])
    index["manifests"] += json.loads(other["index.json"])["manifests"]
    both = {**other, **one, "index.json": json.dumps(index).encode()}
    ran = run("check", "--root", oci_folder(tmp_path / "both", both))
    assert ran.status == 2 and "holds 2 images" in ran.err and "docker save NAME" in ran.err
    # Platforms of one image: that of the machines with these GPUs; what BuildKit attests is no image.
    index["manifests"][0]["platform"] = {"os": "linux", "architecture": "amd64"}
    index["manifests"][1]["platform"] = {"os": "linux", "architecture": "arm64"}
    attested = {**index["manifests"][1], "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    index["manifests"].append(attested)
    both["index.json"] = json.dumps(index).encode()
    assert run("check", "--root", oci_folder(tmp_path / "platforms", both)).status == 1
    # An index in the index, with a platform that was not saved.
    inner = json.dumps({"manifests": [*index["manifests"], {**attested, "annotations": {}, "digest": digest(b"")}]})
    both[f"blobs/sha256/{digest(inner.encode())[7:]}"] = inner.encode()
    both["index.json"] = json.dumps({"manifests": [{"digest": digest(inner.encode()), "size": len(inner)}]}).encode()
    assert run("check", "--root", oci_folder(tmp_path / "nested", both)).status == 1
    # Docker's own file must be about the same image.
    config = next(n for n, d in other.items() if d.startswith(b'{"architecture"'))
    (data,) = (n for n, d in other.items() if d[257:262] == b"ustar")
    both["manifest.json"] = json.dumps([{"Config": config, "Layers": [data]}]).encode()
    ran = run("check", "--root", oci_tar(tmp_path / "differ.tar", both))
    assert ran.status == 3 and "different images" in ran.text


def test_layers_that_are_linked_to_one_another(run: Runner, root: Path, tmp_path: Path) -> None:
    data = layer(members_of(root))
    config = json.dumps(config_of([data, data])).encode()
    manifest = [{"Config": "config.json", "RepoTags": [], "Layers": ["a/layer.tar", "b/layer.tar"]}]
    members = [Member("config.json", config), Member("a/layer.tar", data), link("b/layer.tar", "../a/layer.tar")]
    members.append(Member("manifest.json", json.dumps(manifest).encode()))
    place = tmp_path / "saved.tar"
    place.write_bytes(layer(members))
    assert answer(run, "--root", place) == answer(run, "--root", root)
    members[2] = link("b/layer.tar", "../b/layer.tar")
    place.write_bytes(layer(members))
    ran = run("check", "--root", place)
    assert ran.status == 3 and "links that lead round in a circle" in ran.text
    members[2] = link("b/layer.tar", "../../layer.tar")
    place.write_bytes(layer(members))
    assert "a link out of the archive" in run("check", "--root", place).text


def test_without_zstd_the_remedy_is_named(
    run: Runner,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tests.images, "compressed", lambda data, how: b"\x28\xb5\x2f\xfd" + bytes(100))
    place = oci_folder(tmp_path / "layout", oci_blobs([layer(members_of(root))], "zstd"))
    for name in ("zstandard", "compression", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    ran = run("check", "--root", place)
    assert ran.status == 4 and "is compressed with zstd" in ran.err and install_line("zstd") in ran.err


def test_a_file_that_changes_meanwhile_is_not_believed(root: Path, tmp_path: Path) -> None:
    place = docker_save(tmp_path / "saved.tar", [layer(members_of(root))])
    (found,) = find_image(place).installations
    view = View(found.image_root)
    assert view.read(found.package / "__init__.py") is not None
    place.write_bytes(place.read_bytes() + bytes(512))
    with pytest.raises(streams.ArchiveError, match="changed while it was read"):
        view.read(found.package / "ops/triton/gluon/pa_mqa_logits.py")
    (found,) = find_image(place).installations
    assert View(found.image_root).read(found.package / "ops/triton/gluon/pa_mqa_logits.py")


@pytest.mark.parametrize("command", ["apply", "revert"])
def test_an_image_that_is_a_file_is_not_written_to(run: Runner, root: Path, tmp_path: Path, command: str) -> None:
    dockerfile = (Path(__file__).parents[2] / "examples/Dockerfile").read_text().splitlines()
    for place in saved(tmp_path, [layer(members_of(root))], "gzip").values():
        before = contents(tmp_path)
        for option in ("--root", "--path"):
            ran = run(command, option, place)
            assert ran.status == 2 and str(place) in ran.err
            assert contents(tmp_path) == before
        if command == "apply":
            assert dockerfile_line() in ran.err
        (line,) = [x for x in run("check", "--root", place).text.splitlines() if x.startswith("next:")]
        assert line.endswith(f"in its Dockerfile: {dockerfile_line()}") and dockerfile_line() in dockerfile


@needs_emulator
@pytest.mark.parametrize(
    "words",
    [("validate",), ("cost",), ("padding", "--max-model-len", "1000", "--block-size", "64", "--measure")],
)
def test_kernels_of_an_archive_are_not_run(run: Runner, root: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    pytest.importorskip("triton")
    for place in (wheel_of(root, tmp_path), docker_save(tmp_path / "saved.tar", [layer(members_of(root))])):
        ran = run(*words, "--path", place)
        assert ran.status == 2 and "are judged and not run" in ran.err and "Unpack it" in ran.err


def test_padding_is_told_of_an_archive(run: Runner, root: Path, tmp_path: Path) -> None:
    words = ("padding", "--max-model-len", "1000", "--block-size", "64", "--json")
    told = json.loads(run(*words, "--root", root).out)
    for place in (wheel_of(root, tmp_path), docker_save(tmp_path / "saved.tar", [layer(members_of(root))])):
        assert json.loads(run(*words, "--root", place).out)["columns"] == told["columns"] > 0


# wheels


def wheel_of(root: Path, tmp_path: Path, *more: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    return wheel(tmp_path / WHEEL, root / SITE, more)


@pytest.mark.parametrize("tree", [TREES["as it is"], TREES["without the kernels"]])
def test_a_wheel_has_the_answer_of_what_it_installs(
    run: Runner,
    root: Path,
    tmp_path: Path,
    tree: Callable[[Path], None],
) -> None:
    tree(root)
    told = answer(run, "--path", root / SITE) if (root / SITE).name != "site-packages" else None
    shutil.copytree(root / SITE, tmp_path / "installed")
    told = answer(run, "--path", tmp_path / "installed")
    for option in ("--path", "--root"):
        status, found = answer(run, option, wheel_of(root, tmp_path))
        assert status == told[0]
        assert [i["files"] for i in found["installations"]] == [i["files"] for i in told[1]["installations"]]
        assert found["verdict"] == told[1]["verdict"]
        assert [i["version"] for i in found["installations"]] == ["0.0.1+sample"]
        assert found["unreadable" if "unreadable" in found else "verdict"] == told[1].get(
            "unreadable", found["verdict"]
        )


def test_a_wheel_with_its_package_in_a_data_folder(run: Runner, root: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    info = "amd_aiter-0.0.1+sample.dist-info"
    shutil.copytree(root / SITE / info, made / info)
    shutil.copytree(root / SITE / "aiter", made / "amd_aiter-0.0.1+sample.data/platlib/aiter")
    assert run("check", "--path", wheel(tmp_path / WHEEL, made)).status == 1
    (made / "amd_aiter-0.0.1+sample.data/platlib").rename(made / "amd_aiter-0.0.1+sample.data/data")
    ran = run("check", "--path", wheel(tmp_path / WHEEL, made))
    assert ran.status == 3 and "outside site-packages" in ran.text


def _link_entry() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("aiter/link.py")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("../aiter/x.py", "../aiter/x.py: a name that leads out"),
        ("/aiter/x.py", "/aiter/x.py: an absolute name"),
        ("aiter\\x.py", "a name with a backslash"),
        ("aiter/__init__.py", "aiter/__init__.py: stands there twice"),
        ("aiter/./__init__.py", "aiter/./__init__.py: stands there twice"),
        ("aiter/__init__.py/x.py", "which is a regular file, not a folder"),
        ("x" * 300, "a name too long"),
        (_link_entry(), "aiter/link.py: is a link or special file"),
        ("other-1.dist-info/WHEEL", "no wheel: several *.dist-info/WHEEL in it"),
    ],
)
def test_a_hostile_wheel_is_named(
    run: Runner,
    root: Path,
    tmp_path: Path,
    entry: zipfile.ZipInfo | str,
    said: str,
) -> None:
    mended(root)
    assert run("check", "--path", wheel_of(root, tmp_path)).status == 0
    ran = run("check", "--path", wheel_of(root, tmp_path, (entry, b"x")))
    assert ran.status == 3 and said in ran.text


def test_a_wheel_with_a_nul_in_a_name(run: Runner, root: Path, tmp_path: Path) -> None:
    mended(root)
    place = wheel_of(root, tmp_path, ("aiter/x.pyZextra", b"x"))
    place.write_bytes(place.read_bytes().replace(b"aiter/x.pyZextra", b"aiter/x.py\0extra"))
    ran = run("check", "--path", place)
    assert ran.status == 3 and "a name with a NUL" in ran.text


def test_a_damaged_wheel_is_named(run: Runner, root: Path, tmp_path: Path) -> None:
    place = wheel_of(root, tmp_path)
    whole = place.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:100], b"", b"PK"):
        place.write_bytes(data)
        ran = run("check", "--path", place)
        assert ran.status == 3 and "no zip archive that can be read" in ran.text
    # A kernel's bytes that are not what its sum says.
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        entry = archive.getinfo("aiter/ops/triton/gluon/pa_mqa_logits.py")
    place.write_bytes(corrupted(whole, entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2))
    ran = run("check", "--path", place)
    assert ran.status == 3 and "pa_mqa_logits.py" in ran.text


def test_a_wheel_that_lies_about_a_size(run: Runner, root: Path, tmp_path: Path) -> None:
    mended(root)
    place = wheel_of(root, tmp_path, ("aiter/bomb.py", bytes(64 << 20)))
    ran = run("check", "--path", place)
    assert ran.status == 3 and "aiter/bomb.py: has more than 4194304 bytes" in ran.text
    data = place.read_bytes()
    at = data.rindex(b"aiter/bomb.py") - 46
    assert data[at : at + 4] == b"PK\1\2"
    place.write_bytes(data[: at + 24] + (1000).to_bytes(4, "little") + data[at + 28 :])
    ran = run("check", "--path", place)
    assert ran.status == 3 and "aiter/bomb.py" in ran.text


def test_archives_of_other_kinds(run: Runner, root: Path, tmp_path: Path) -> None:
    source = [Member("amd_aiter-1/PKG-INFO", b""), Member("amd_aiter-1/aiter/__init__.py", b"")]
    sdist = tmp_path / "amd_aiter-1.tar.gz"
    sdist.write_bytes(gzip.compress(layer(source)))
    for option in ("--path", "--root"):
        ran = run("check", option, sdist)
        assert ran.status == 2 and "A source distribution: unpack it" in ran.err
    plain = tmp_path / "amd_aiter-1.tar"
    plain.write_bytes(layer(source))
    ran = run("check", "--path", plain)
    assert ran.status == 2 and "a tar archive without an image in it" in ran.err
    whole = tmp_path / "image.tar.gz"
    whole.write_bytes(gzip.compress(docker_save(tmp_path / "image.tar", [layer(members_of(root))]).read_bytes()))
    ran = run("check", "--root", whole)
    assert ran.status == 2 and "decompress it" in ran.err
    archive = wheel(tmp_path / "sources.zip", root / SITE)
    ran = run("check", "--path", archive)
    assert ran.status == 2 and "by its name no wheel" in ran.err
    assert find_path(write(tmp_path / "kernel.py", "x = 1\n")).doubts, "any other file is what it was before"


def test_a_wheel_and_an_image_at_once(run: Runner, root: Path, tmp_path: Path) -> None:
    made = wheel_of(root, tmp_path)
    image = docker_save(tmp_path / "saved.tar", [layer(members_of(root))])
    assert run("check", "--root", root, "--root", image, "--root", made).status == 1
    ran = run("check", "--root", root, "--root", docker_save(tmp_path / "e.tar", [layer([folder("usr")])]))
    assert "no aiter is installed there" in ran.text
