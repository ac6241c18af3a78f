"""Fix files: what loads, and which file and key an error names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiterfix.errors import ExitCode
from aiterfix.fixes import FixFileError, load_fixes, parse_fix

GOOD = """
schema = 1
id = "other-kernel"
title = "Bound another kernel"
path = "other"
modules = ["pkg.mod"]
wrappers = []

[[kernels]]
name = "my_kernel"
output = "Out"
strides = ["stride_row"]
bound = "width"
"""


def test_shipped_fixes_load_and_cover_the_declared_kernels() -> None:
    fixes = load_fixes()
    assert [f.id for f in fixes] == [f.file.stem for f in fixes]
    kernels = [k.name for f in fixes for k in f.kernels]
    assert len(kernels) == len(set(kernels)) == 7
    gluon = next(f for f in fixes if f.path == "gluon")
    assert gluon.kernel("_gluon_deepgemm_fp8_paged_mqa_logits") is gluon.kernels[0]
    assert gluon.kernel("nothing") is None
    stage1 = next(f for f in fixes if f.path == "stage1")
    assert stage1.kernels[0].strides == ("stride_out_batch", "stride_out_heads")
    assert stage1.superseded_by == "gluon"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("schema = 1", "schema = 2"), "schema"),
        (("schema = 1", "schema = true"), "schema"),
        (('id = "other-kernel"', 'id = "Other Kernel"'), "id"),
        (('id = "other-kernel"', ""), "id"),
        (('title = "Bound another kernel"', 'title = " "'), "title"),
        (('modules = ["pkg.mod"]', 'modules = "pkg.mod"'), "modules"),
        (('modules = ["pkg.mod"]', 'modules = ["pkg/mod"]'), "modules"),
        (('modules = ["pkg.mod"]', 'modules = ["a", "a"]'), "modules"),
        (('wrappers = []', 'wrappers = []\nsurprise = 1'), "surprise"),
        (('name = "my_kernel"', 'name = "my-kernel"'), "kernels[0].name"),
        (('output = "Out"', ""), "kernels[0].output"),
        (('output = "Out"', 'output = 3'), "kernels[0].output"),
        (('strides = ["stride_row"]', "strides = []"), "kernels[0].strides"),
        (('strides = ["stride_row"]', 'strides = ["1x"]'), "kernels[0].strides"),
        (('bound = "width"', 'bound = "Out"'), "kernels[0].output"),
        (('bound = "width"', 'bound = "width"\nbond = 1'), "kernels[0].bond"),
        (('bound = "width"', 'bound = "width"\n[aot]\ndirectory = "../x"\nenabled_by = "X"'), "aot.directory"),
        (('bound = "width"', 'bound = "width"\n[aot]\ndirectory = "x"\nenabled_by = "X Y"'), "aot.enabled_by"),
        (('bound = "width"', 'bound = "width"\n[[upstream]]\nrepository = "x"\nnumber = 1\nrole = "y"'),
         "upstream[0].repository"),
        (("[[kernels]]", "[kernels]"), "kernels"),
    ],
)  # fmt: skip
def test_error_names_file_and_key(change: tuple[str, str], key: str) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(FixFileError) as caught:
        parse_fix(text.encode(), Path("some/fix.toml"))
    assert caught.value.key == key
    assert str(caught.value).startswith(f"some/fix.toml: {key}: ")
    assert caught.value.exit_code is ExitCode.NOT_UNDERSTOOD


def test_not_toml() -> None:
    with pytest.raises(FixFileError, match="not TOML"):
        parse_fix(b"schema = = 1", Path("x.toml"))
    with pytest.raises(FixFileError, match="not TOML"):
        parse_fix(b"\xff", Path("x.toml"))


def test_no_kernels() -> None:
    with pytest.raises(FixFileError, match="at least one kernel"):
        parse_fix(GOOD.split("[[kernels]]")[0].encode(), Path("x.toml"))


def test_one_kernel_declared_twice_in_one_file() -> None:
    with pytest.raises(FixFileError, match="declared twice"):
        parse_fix((GOOD + GOOD[GOOD.index("[[kernels]]") :]).encode(), Path("x.toml"))


def test_clashes_between_files_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(FixFileError, match="no fix files"):
        load_fixes(tmp_path)
    (tmp_path / "a.toml").write_text(GOOD)
    assert [f.id for f in load_fixes(tmp_path)] == ["other-kernel"]
    (tmp_path / "b.toml").write_text(GOOD)
    with pytest.raises(FixFileError, match="already the id of"):
        load_fixes(tmp_path)
    (tmp_path / "b.toml").write_text(GOOD.replace("other-kernel", "third"))
    with pytest.raises(FixFileError, match="already declared by"):
        load_fixes(tmp_path)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_load_or_raise_the_one_error(data: bytes) -> None:
    try:
        parse_fix(data + b"\n" + GOOD.encode(), Path("x.toml"))
    except FixFileError as error:
        assert error.path == Path("x.toml")
