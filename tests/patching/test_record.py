"""RECORD: only our rows change, and taking back gives the same bytes."""

from __future__ import annotations

import base64
import csv
import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiterfix.patching.failures import RecordError
from aiterfix.patching.record import Listed, RecordEdit, edit, undo

DIGEST = hashlib.sha256(b"new").hexdigest()
HASH = "sha256=" + base64.urlsafe_b64encode(bytes.fromhex(DIGEST)).rstrip(b"=").decode()
ONE = Listed("aiter/one.py", DIGEST, 3)
JOURNAL = Listed("amd.dist-info/aiterfix/journal.json")

TABLE = [
    # (before, after), with one changed and one added file
    ("aiter/one.py,sha256=x,1\n", f"aiter/one.py,{HASH},3\namd.dist-info/aiterfix/journal.json,,\n"),
    ("aiter/one.py,sha256=x,1\r\n", f"aiter/one.py,{HASH},3\r\namd.dist-info/aiterfix/journal.json,,\r\n"),
    # no line ending at the end: there is none afterwards either
    ("a,,\naiter/one.py,sha256=x,1", f"a,,\naiter/one.py,{HASH},3\namd.dist-info/aiterfix/journal.json,,"),
    ("a,,\r\naiter/one.py,sha256=x,1", f"a,,\r\naiter/one.py,{HASH},3\r\namd.dist-info/aiterfix/journal.json,,"),
    # quoted though it need not be: stays quoted
    ('"aiter/one.py",sha256=x,1\n', f'"aiter/one.py",{HASH},3\namd.dist-info/aiterfix/journal.json,,\n'),
    # a row without a hash says nothing that could be wrong
    ("aiter/one.py,,\n", "aiter/one.py,,\namd.dist-info/aiterfix/journal.json,,\n"),
    # similar names are other files
    (
        "aiter/one.pyc,,\naiter/one.py.txt,sha256=x,1\nx/aiter/one.py,sha256=x,1\n",
        "aiter/one.pyc,,\naiter/one.py.txt,sha256=x,1\nx/aiter/one.py,sha256=x,1\n"
        "amd.dist-info/aiterfix/journal.json,,\n",
    ),
    # others' rows keep whatever they have: quotes, line endings inside of a field, odd spacing, blank rows
    (
        '"a,b",sha256=y, 7 \n\n"c\nd ""e""",,\r\n../../../bin/x,,\naiter/one.py,sha512=x,1\n',
        '"a,b",sha256=y, 7 \n\n"c\nd ""e""",,\r\n../../../bin/x,,\n'
        f"aiter/one.py,{HASH},3\namd.dist-info/aiterfix/journal.json,,\n",
    ),
    # twice the same path
    (
        "aiter/one.py,sha256=x,1\naiter/one.py,sha256=y,2\n",
        f"aiter/one.py,{HASH},3\naiter/one.py,{HASH},3\namd.dist-info/aiterfix/journal.json,,\n",
    ),
    ("", "amd.dist-info/aiterfix/journal.json,,\n"),
]


@pytest.mark.parametrize(("before", "after"), TABLE)
def test_table(before: str, after: str) -> None:
    result, change = edit(before.encode(), [ONE], [JOURNAL])
    assert result.decode() == after
    assert undo(result, change).decode() == before


def test_names_that_need_quotes_are_quoted() -> None:
    names = ["a,b.py", 'a"b.py', "ä.py", "a\nb.py"]
    before = io.StringIO()
    csv.writer(before).writerows([(name, "sha256=x", "1") for name in names])
    data = before.getvalue().encode()
    result, change = edit(data, [Listed(name, DIGEST, 3) for name in names], [Listed("new, file", DIGEST, 9)])
    rows = list(csv.reader(io.StringIO(result.decode(), newline="")))
    assert rows == [[name, HASH, "3"] for name in names] + [["new, file", HASH, "9"]]
    assert undo(result, change) == data


def test_names_that_are_not_utf8() -> None:
    data = b"caf\xe9.py,sha256=x,1\n\xff,,\n"
    result, change = edit(data, [Listed("caf\udce9.py", DIGEST, 3)], [])
    assert result == b"caf\xe9.py," + HASH.encode() + b",3\n\xff,,\n"
    assert undo(result, change) == data


@pytest.mark.parametrize("data", [b'"open,,\n', b'a,,\n"x"y,,\n', b'a,"'])
def test_a_damaged_record_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError, match="at line"):
        edit(data, [ONE], [])


def test_rows_that_others_added_since_stay() -> None:
    before = b"aiter/one.py,sha256=x,1\nb,,"
    result, change = edit(before, [ONE], [JOURNAL])
    assert undo(result + b"\nlater,,\n", change) == b"aiter/one.py,sha256=x,1\nb,,\nlater,,\n"


def test_rows_that_others_changed_since_stay() -> None:
    result, change = edit(b"aiter/one.py,sha256=x,1\n", [ONE], [JOURNAL])
    changed = result.replace(HASH.encode(), b"sha256=theirs")
    assert undo(changed, change) == b"aiter/one.py,sha256=theirs,3\n"


def test_undoing_on_a_record_without_our_rows_changes_nothing() -> None:
    _, change = edit(b"aiter/one.py,sha256=x,1\n", [ONE], [JOURNAL])
    fresh = b"aiter/one.py,sha256=z,8\nother,,\n"
    assert undo(fresh, change) == fresh
    assert undo(fresh, RecordEdit()) == fresh


FIELDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from(',"\r\n'), min_size=1, max_size=12
) | st.sampled_from(["../../../bin/x", "aiter/a,b.py", "aiter/__pycache__/one.cpython-311.pyc"])


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, list[list[str]]]:
    """RECORD as a CSV writer makes it, with any line ending, mixed too, and perhaps none at the end."""
    rows = draw(
        st.lists(
            st.tuples(FIELDS, st.sampled_from(["", "sha256=abc", "md5=x"]), st.sampled_from(["", "12"])), max_size=8
        )
    )
    out = b""
    for row in rows:
        text = io.StringIO()
        # The writer quotes the characters of its own line ending only.
        writer = csv.writer(text, quoting=csv.QUOTE_ALL) if draw(st.booleans()) else csv.writer(text)
        writer.writerow(row)
        out += text.getvalue().removesuffix("\r\n").encode() + draw(st.sampled_from([b"\n", b"\r\n"]))
    if draw(st.booleans()):
        out = out.removesuffix(b"\n").removesuffix(b"\r")
    return out, [list(row) for row in rows]


@given(written(), st.data())
def test_round_trip(record: tuple[bytes, list[list[str]]], data: st.DataObject) -> None:
    text, rows = record
    paths = data.draw(st.lists(st.sampled_from([row[0] for row in rows]), unique=True)) if rows else []
    paths += data.draw(st.lists(FIELDS, max_size=2))
    changed = [Listed(path, DIGEST, 3) for path in dict.fromkeys(paths)]
    added = [Listed("amd.dist-info/aiterfix/journal.json"), Listed("amd.dist-info/aiterfix/a,b", DIGEST, 5)]
    result, change = edit(text, changed, added)
    assert undo(result, change) == text
    read = list(csv.reader(io.StringIO(result.decode(), newline="")))
    expected = [[row[0], HASH, "3"] if row[0] in paths and row[1] else row for row in rows]
    expected += [[added[0].path, "", ""], [added[1].path, HASH, "5"]]
    assert read == expected
    # Rows that are not ours keep their bytes: with the changed ones cut out, both texts start alike.
    if not any(row[0] in paths and row[1] for row in rows):
        assert result.startswith(text)


@given(written(), written())
def test_undo_never_fails_on_another_record(one: tuple[bytes, object], other: tuple[bytes, object]) -> None:
    _, change = edit(one[0], [ONE], [JOURNAL])
    assert undo(other[0], change) == other[0]


@pytest.mark.parametrize("quoted", [False, True])
def test_a_large_record_comes_back_whole(quoted: bool) -> None:
    lines = [f"aiter/jit/some/long/folder/file_{i}.hpp,sha256={'x' * 43},{i}\r\n" for i in range(15_000)]
    lines += ['"aiter/a,b",,\r\n'] if quoted else []
    data = ("".join(lines) + "aiter/one.py,sha256=x,1\r\n").encode()
    result, change = edit(data, [ONE], [JOURNAL])
    assert result.count(b"\n") == data.count(b"\n") + 1
    assert undo(result, change) == data
