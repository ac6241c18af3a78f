"""A journal that carries the right digest and yet says what no run of ours says is refused, with its key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiterfix.patching.bytecode import Bytecode
from aiterfix.patching.failures import JournalError
from aiterfix.patching.journal import FORMAT, Entry, Journal, Phase, RecordChange, Version, decode, encode
from aiterfix.storage import codec

PLACE = Path("/somewhere/journal.json")
ONE = Version("1" * 64, 10, 1_600_000_000_123_456_789)
TWO = Version("2" * 64, 20)
CODE = Bytecode("ops/__pycache__/one.cpython-311.pyc", "3" * 64, 5, 0o644, 0, 1000, -1)
APPLIED = Journal(
    phase=Phase.APPLIED,
    version=None,
    annotations={"aiterfix": "0.1.0"},
    files=(Entry(("ops/one.py", "ops/alias.py"), ONE, TWO, TWO, (CODE,)),),
    record=RecordChange(ONE, TWO, TWO, ((b"a\xff,,", b"a\xff,x,1"),), b"\r\nrow,,\r\n"),
    absent_caches=("late/__pycache__",),
)
APPLYING = Journal(Phase.APPLYING, "1.0", {}, APPLIED.files, None, removed=(CODE,), previous=APPLIED)


def sealed(body: Any) -> bytes:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return json.dumps({"format": FORMAT, "sha256": hashlib.sha256(text.encode()).hexdigest(), "journal": body}).encode()


@pytest.mark.parametrize("journal", [APPLIED, APPLYING])
def test_round_trip(journal: Journal) -> None:
    assert decode(encode(journal), PLACE) == journal
    assert decode(sealed(codec.plain(journal)), PLACE) == journal


def test_the_format_on_disk() -> None:
    """What version 0.1.0 writes, and will have to read: not to be changed without another format number."""
    document = json.loads(encode(APPLYING))
    assert sorted(document) == ["format", "journal", "sha256"] and document["format"] == 1
    assert encode(APPLYING) == json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
    body = document["journal"]
    assert sorted(body) == [
        *("absent_caches", "annotations", "files", "phase", "previous", "record", "removed", "version")
    ]
    assert (body["phase"], body["version"], body["record"], body["absent_caches"]) == ("applying", "1.0", None, [])
    (file,) = body["files"]
    assert sorted(file) == ["before", "bytecode", "current", "names", "original"]
    assert file["names"] == ["ops/one.py", "ops/alias.py"]
    assert file["original"] == {"sha256": "1" * 64, "size": 10, "mtime_ns": 1_600_000_000_123_456_789}
    assert file["bytecode"] == body["removed"] == [vars(CODE)]
    record = body["previous"]["record"]
    assert sorted(record) == ["appended", "before", "current", "original", "replaced"]
    assert record["replaced"] == [["a\u00ff,,", "a\u00ff,x,1"]]
    assert record["appended"] == "\r\nrow,,\r\n"


def at(body: Any, *keys: Any, to: Any) -> None:
    for key in keys[:-1]:
        body = body[key]
    body[keys[-1]] = to


@pytest.mark.parametrize(
    ("keys", "to", "named"),
    [
        *(
            (("files", 0, "names", 0), name, "journal.files[0].names[0]")
            for name in ("", ".", "/etc/passwd", "../other.py", "ops/../../other.py", "a\0b", "\ud800", 1, None)
        ),
        (("files", 0, "names"), [], "journal.files[0].names"),
        (("files", 0, "bytecode", 0, "path"), "../../x.pyc", "journal.files[0].bytecode[0].path"),
        (("files", 0, "bytecode", 0, "mode"), 2**40, "journal.files[0].bytecode[0].mode"),
        (("files", 0, "bytecode", 0, "uid"), -1, "journal.files[0].bytecode[0].uid"),
        (("removed", 0, "path"), "/x.pyc", "journal.removed[0].path"),
        (("absent_caches",), ["../__pycache__"], "journal.absent_caches[0]"),
        (("previous", "files", 0, "names", 0), "../x", "journal.previous.files[0].names[0]"),
        (("files", 0, "current", "sha256"), "../../x", "journal.files[0].current.sha256"),
        (("files", 0, "current", "size"), True, "journal.files[0].current.size"),
        (("files", 0, "current", "size"), -1, "journal.files[0].current.size"),
        (("files", 0, "current", "mtime_ns"), 2**63, "journal.files[0].current.mtime_ns"),
        (("phase",), "done", "journal.phase"),
        (("annotations",), {"a": 1}, "journal.annotations.a"),
        (("previous", "record", "appended"), "\N{EURO SIGN}", "journal.previous.record.appended"),
        (("previous", "record", "replaced"), [["one"]], "journal.previous.record.replaced[0]"),
        (("unheard",), 1, "journal.unheard"),
    ],
)
def test_what_no_run_of_ours_says(keys: tuple[Any, ...], to: Any, named: str) -> None:
    body = codec.plain(APPLYING)
    at(body, *keys, to=to)
    with pytest.raises(JournalError) as refused:
        decode(sealed(body), PLACE)
    assert str(PLACE) in refused.value.what
    assert f"`{named}`" in refused.value.why


@pytest.mark.parametrize("damage", [lambda n: "[" * n + "]" * n, lambda n: "9" * n])
def test_depth_and_digits_end_in_a_refusal(damage: Callable[[int], str]) -> None:
    text = encode(APPLYING).decode().replace('"size": 10', f'"size": {damage(100_000)}')
    with pytest.raises(JournalError, match=r"nested deeper|holds a number of 100000 digits"):
        decode(text.encode(), PLACE)


@pytest.mark.parametrize("data", [b"[]", b"null", b"{}", b'{"format": 1}', b'{"format": 1, "sha256": "x"}'])
def test_what_is_no_journal(data: bytes) -> None:
    with pytest.raises(JournalError, match="is not a journal"):
        decode(data, PLACE)
