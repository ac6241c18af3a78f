"""Trees that aiterfix 0.1.0 patched, with the wheel built from its commit, are checked, patched further and reverted."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from aiterfix.demo import write_sample
from aiterfix.patching.annotations import RENAMED, make_notes, noted_evidence, noted_faults, noted_version
from aiterfix.patching.disk import apply, revert
from aiterfix.patching.journal import NAME, decode, encode
from aiterfix.patching.status import PatchState, read_status
from aiterfix.patching.tree import FileChange, PackageTree
from tests.cli.conftest import contents

# Its wheel is built once.
pytestmark = pytest.mark.xdist_group("other version")
ROOT = Path(__file__).parents[2]
COMMIT = "0488708"
GLUON = "aiter/ops/triton/gluon/pa_mqa_logits.py"
STAGE1 = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"
TIME = 1_600_000_000_000_000_000


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """aiterfix 0.1.0, unpacked: a folder for PYTHONPATH."""
    missing = [name for name in ("hatchling", "pip") if importlib.util.find_spec(name) is None]
    missing += [] if shutil.which("git") else ["git"]
    if missing:
        pytest.skip(f"{missing[0]} is not installed: aiterfix 0.1.0 cannot be built")
    archived = subprocess.run(["git", "-C", ROOT, "archive", COMMIT], capture_output=True, check=False)
    if archived.returncode != 0:
        pytest.skip(f"git history has no {COMMIT} (aiterfix 0.1.0): {archived.stderr.decode().strip()}")
    folder = tmp_path_factory.mktemp("0.1.0")
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(folder / "source", filter="data")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*build, "--wheel-dir", folder, folder / "source"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("aiterfix-0.1.0-*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    write_sample(folder)
    return folder


def python(path: Path | None, *words: str | Path) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AITER", "PYTHON"))}
    environment = kept | {"PYTHONDONTWRITEBYTECODE": "1"} | ({} if path is None else {"PYTHONPATH": str(path)})
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, check=False)


def aiterfix(old: Path | None, *words: str | Path, statuses: tuple[int, ...] = (0,)) -> str:
    """Run a command of 0.1.0, or of this version for None; what it printed."""
    done = python(old, "-m", "aiterfix", *words)
    assert done.returncode in statuses, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def tree_at(site: Path) -> PackageTree:
    (info,) = site.glob("*.dist-info")
    return PackageTree(site, site / "aiter", info, "0.0.1+sample")


def patched_by(old: Path, site: Path) -> dict[str, bytes]:
    """Have 0.1.0 bound the Gluon kernels' stores; what was there before."""
    before = contents(site)
    assert python(old, "-c", "import aiterfix; print(aiterfix.__version__)").stdout == "0.1.0\n"
    aiterfix(old, "apply", "--path", site, "--kernel", "gluon")
    after = contents(site)
    assert {n for n in before if before[n] != after[n] and n.endswith(".py")} == {GLUON}
    return before


def changed(path: Path, site: Path) -> None:
    """Change a file as a mend of this version would."""
    text = path.read_bytes()
    apply(tree_at(site), [FileChange(path, text, text + b"# another mend\n")], annotations={"more": "1"})
    assert path.read_bytes() != text


def test_checked_patched_further_and_reverted(old: Path, site: Path) -> None:
    before = patched_by(old, site)
    # What verdict the sample gets is not the question here.
    assert "patched on disk by aiterfix 0.1.0" in aiterfix(None, "check", "--path", site, statuses=(0, 1, 3))
    aiterfix(None, "apply", "--path", site, statuses=(0, 1, 3))
    assert (site / STAGE1).read_bytes() != before[STAGE1]
    text = aiterfix(None, "check", "--path", site, statuses=(0, 1, 3))
    assert "patched on disk by aiterfix" in text and "undo with" in text
    aiterfix(None, "revert", "--path", site)
    assert contents(site) == before


def test_a_second_change_of_the_same_file_keeps_the_first_original(old: Path, site: Path) -> None:
    before = patched_by(old, site)
    changed(site / GLUON, site)
    status = read_status(tree_at(site))
    assert (status.kind, status.annotations["more"]) == (PatchState.APPLIED, "1")
    assert revert(tree_at(site)).restored == (site / GLUON,)
    assert contents(site) == before


@pytest.mark.parametrize("same_file", [True, False])
def test_0_1_0_reverts_what_was_patched_further(old: Path, site: Path, same_file: bool) -> None:
    before = patched_by(old, site)
    changed(site / (GLUON if same_file else STAGE1), site)
    aiterfix(old, "revert", "--path", site)
    assert contents(site) == before


def test_what_this_version_patched_0_1_0_patches_further_and_reverts(old: Path, site: Path) -> None:
    before = contents(site)
    changed(site / GLUON, site)
    aiterfix(old, "apply", "--path", site)
    assert (site / STAGE1).read_bytes() != before[STAGE1]
    aiterfix(None, "revert", "--path", site)
    assert contents(site) == before


def test_0_1_0_reverts_a_tree_that_has_evidence_along(old: Path, site: Path) -> None:
    before, text = contents(site), (site / GLUON).read_bytes()
    notes = make_notes("9", ["column-bound"], '{"format": 2}\n')
    apply(tree_at(site), [FileChange(site / GLUON, text, text + b"# a mend\n")], annotations=notes)
    aiterfix(old, "apply", "--path", site)
    assert noted_evidence(read_status(tree_at(site)).annotations) == '{"format": 2}\n'
    aiterfix(old, "revert", "--path", site)
    assert contents(site) == before


def test_the_ids_of_0_1_0_are_read_as_those_of_today(old: Path, site: Path) -> None:
    patched_by(old, site)
    aiterfix(old, "apply", "--path", site)
    noted = read_status(tree_at(site)).annotations
    assert set(noted["fixes"].split(",")) == set(RENAMED)
    assert (noted_version(noted), noted_faults(noted)) == ("0.1.0", ("column-bound",))
    both = {**noted, **make_notes("9", ("row-offset-32", "unheard-of"))}
    assert (noted_version(both), noted_faults(both)) == ("9", ("column-bound", "row-offset-32", "unheard-of"))
    assert (noted_version({}), noted_faults({})) == ("", ())


# Every journal that two changes and the way back write, one JSON text a journal: applying, applied, reverting.
_JOURNALS = """
import os, sys
from importlib import import_module
from pathlib import Path
try:
    from aiterfix.patching import FileChange, apply, revert
except ImportError:
    from aiterfix.patching.disk import apply, revert
    from aiterfix.patching.tree import FileChange
root, writer, where, name = Path(sys.argv[1]), import_module(sys.argv[2]), sys.argv[3], sys.argv[4]
(info,) = root.glob("*.dist-info")
tree = getattr(import_module(where), name)(root, root / "aiter", info, "1.0")
out, real = [], writer.encode
writer.encode = lambda journal: out.append(real(journal)) or out[-1]
for number, names in enumerate((("one", "two"), ("two", "three"))):
    files = [root / "aiter" / f"{name}.py" for name in names]
    changes = [FileChange(path, path.read_bytes(), path.read_bytes() + b"more\\n") for path in files]
    apply(tree, changes, annotations={f"note {number}": "\\u00e4\\u20ac"})
    for path in (*files, info / "RECORD"):
        os.utime(path, ns=(TIME, TIME))
revert(tree)
sys.stdout.buffer.write(b"\\0".join(out))
""".replace("TIME", str(TIME))


def test_journals_have_the_bytes_that_0_1_0_writes(old: Path, tmp_path: Path) -> None:
    written = []
    now = ("aiterfix.patching.state_dir", "aiterfix.patching.tree", "PackageTree")
    for version, names in ((old, ("aiterfix.patching.storage", "aiterfix.patching.place", "Place")), (None, now)):
        root = tmp_path / ("new" if version is None else "old")
        (root / "aiter" / "__pycache__").mkdir(parents=True)
        (root / "amd_aiter-1.0.dist-info").mkdir()
        for name in ("one.py", "two.py", "three.py", "__pycache__/two.cpython-311.pyc"):
            (root / "aiter" / name).write_bytes(name.encode())
        rows = "".join(f"aiter/{name}.py,sha256=x\u00e4,3\r\n" for name in ("one", "two"))
        (root / "amd_aiter-1.0.dist-info" / "RECORD").write_bytes(rows.encode())
        for path in root.rglob("*"):
            os.utime(path, ns=(TIME, TIME))
        done = python(version, "-c", _JOURNALS, root, *names)
        assert done.returncode == 0, done.stderr
        written.append([text.encode() for text in done.stdout.split("\0")])
    assert written[0] == written[1]
    assert [decode(data, Path(NAME)).phase.value for data in written[0]] == [
        *("applying", "applied", "applying", "applied", "reverting")
    ]
    assert [encode(decode(data, Path(NAME))) for data in written[0]] == written[0]
    assert decode(written[0][2], Path(NAME)).previous == decode(written[0][1], Path(NAME))
