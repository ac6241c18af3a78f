"""Fault files: what loads, and which file and key an error names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiterfix.errors import ExitCode
from aiterfix.family.kernels import GROUPS
from aiterfix.faults.base import Consequence, Fault, NotJudged
from aiterfix.faults.registry import VERBS, FaultFileError, load_faults, parse_fault
from aiterfix.faults.verbs import BY_NAME

GOOD = """
schema = 2
id = "other-kernel"
title = "a store past its row in another kernel"
verb = "bound-column"
goes_wrong = "the next row is overwritten"
consequence = "wrong"

[trigger]
sentence = "wide rows"
condition = "width % 64 != 0"

[[groups]]
name = "other"
modules = ["pkg.mod"]
wrappers = []

[[groups.kernels]]
name = "my_kernel"
output = "Out"
strides = ["stride_row"]
bound = "width"
"""


def test_shipped_faults_load_under_their_files_names() -> None:
    faults = load_faults()
    assert [f.id for f in faults.judged] == [f.file.stem for f in faults.judged]
    assert faults.deciding_by_compiler == {"triton-3-5-1"}
    assert faults.deciding | faults.deciding_by_compiler == {f.id for f in faults.judged if f.consequence.decides}
    known = {"block-paging", "cache-offset-32", "column-bound", "ragged-causal-bound", "row-offset-32"}
    known |= {"empty-sequence-schedule", "output-rank"}
    assert known <= faults.deciding
    assert all(f.groups == GROUPS for f in faults.judged)
    assert faults.not_judged == ()
    names = [k.name for k in faults.kernels]
    assert len(names) == len(set(names)) == 8
    stage1 = next(k for k in faults.kernels if k.name == "_deepgemm_fp8_paged_mqa_logits_stage1")
    assert (stage1.group, stage1.strides) == ("stage1", ("stride_out_batch", "stride_out_heads"))


def test_every_verb_has_a_module() -> None:
    assert set(BY_NAME) == set(VERBS)


def test_a_fault_without_a_verb_is_known_and_not_judged() -> None:
    text = GOOD.replace('verb = "bound-column"\n', "").replace('condition = "width % 64 != 0"\n', "")
    fault = parse_fault(text.encode(), Path("x.toml"))
    assert fault == NotJudged("other-kernel", "a store past its row in another kernel")


def test_a_fault_of_another_kernel_brings_its_group() -> None:
    fault = parse_fault(GOOD.encode(), Path("x.toml"))
    assert isinstance(fault, Fault)
    assert (fault.consequence, [g.name for g in fault.groups]) == (Consequence.WRONG, ["other"])
    assert fault.groups[0].kernels[0].group == "other"
    assert fault.trigger.condition.names == {"width"}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("schema = 2", "schema = 1"), "schema"),
        (("schema = 2", "schema = 3"), "schema"),
        (("schema = 2", "schema = true"), "schema"),
        (('id = "other-kernel"', 'id = "Other Kernel"'), "id"),
        (('id = "other-kernel"', ""), "id"),
        (('title = "a store past its row in another kernel"', 'title = " "'), "title"),
        (('verb = "bound-column"', 'verb = "sed"'), "verb"),
        (('consequence = "wrong"', 'consequence = "bad"'), "consequence"),
        (('goes_wrong = "the next row is overwritten"', ""), "goes_wrong"),
        (('condition = "width % 64 != 0"', ""), "trigger.condition"),
        (('condition = "width % 64 != 0"', 'condition = "width.bit_length()"'), "trigger.condition"),
        (('condition = "width % 64 != 0"', 'condition = "width % 6.5"'), "trigger.condition"),
        (('sentence = "wide rows"', ""), "trigger.sentence"),
        (("[trigger]", "[trugger]"), "trugger"),
        (('name = "other"', 'name = "gluon"'), "groups[0].name"),
        (('modules = ["pkg.mod"]', 'modules = "pkg.mod"'), "groups[0].modules"),
        (('modules = ["pkg.mod"]', 'modules = ["pkg/mod"]'), "groups[0].modules"),
        (('modules = ["pkg.mod"]', 'modules = ["a", "a"]'), "groups[0].modules"),
        (('wrappers = []', 'wrappers = []\nsurprise = 1'), "groups[0].surprise"),
        (('name = "my_kernel"', 'name = "my-kernel"'), "groups[0].kernels[0].name"),
        (('output = "Out"', ""), "groups[0].kernels[0].output"),
        (('output = "Out"', 'output = 3'), "groups[0].kernels[0].output"),
        (('strides = ["stride_row"]', "strides = []"), "groups[0].kernels[0].strides"),
        (('strides = ["stride_row"]', 'strides = ["1x"]'), "groups[0].kernels[0].strides"),
        (('bound = "width"', 'bound = "Out"'), "groups[0].kernels[0].output"),
        (('bound = "width"', 'bound = "width"\nbond = 1'), "groups[0].kernels[0].bond"),
        (('bound = "width"', 'bound = "width"\n[groups.prebuilt]\ndirectory = "../x"\nenabled_by = "X"'),
         "groups[0].prebuilt.directory"),
        (('bound = "width"', 'bound = "width"\n[groups.prebuilt]\ndirectory = "x"\nenabled_by = "X Y"'),
         "groups[0].prebuilt.enabled_by"),
        (('bound = "width"', 'bound = "width"\n[[upstream]]\nrepository = "x"\nnumber = 1\nrole = "y"'),
         "upstream[0].repository"),
        (('bound = "width"', 'bound = "width"\n[[upstream]]\nrepository = "a/b"\nnumber = 1\nrole = "y"\nremoves = ["both"]'),
         "upstream[0].removes"),
        (("[[groups.kernels]]", "[groups.kernels]"), "groups[0].kernels"),
        (('bound = "width"', 'bound = "width"\ncaches = ["Out"]'), "groups[0].kernels[0].output"),
        (('bound = "width"', 'bound = "width"\ncaches = ["1x"]'), "groups[0].kernels[0].caches"),
        (('"bound-column"', '"widen-gather"'), "groups[0].kernels[0].caches"),
        (("[[groups]]", "[[trigger.told]]\ntext = 'x'\n[[groups]]"), "trigger.told[0].when"),
        (("[[groups]]", "[[trigger.told]]\nwhen = 'a +'\ntext = 'x'\n[[groups]]"), "trigger.told[0].when"),
        (("[[groups]]", "[[trigger.told]]\nwhen = 'a'\ntext = 'x {b'\n[[groups]]"), "trigger.told[0].text"),
        (("[[groups]]", "[[trigger.told]]\nwhen = 'a'\ntext = 'x {b.c}'\n[[groups]]"), "trigger.told[0].text"),
        (("[[groups]]", "[[trigger.told]]\nwhen = 'a'\ntext = 'x'\nelse = 'y'\n[[groups]]"), "trigger.told[0].else"),
    ],
)  # fmt: skip
def test_error_names_file_and_key(change: tuple[str, str], key: str) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(FaultFileError) as caught:
        parse_fault(text.encode(), Path("some/fault.toml"))
    assert caught.value.key == key
    assert str(caught.value).startswith(f"some/fault.toml: {key}: ")
    assert caught.value.exit_code is ExitCode.NOT_UNDERSTOOD


def test_caches_of_another_kernel() -> None:
    text = GOOD.replace("bound-column", "widen-gather").replace('bound = "width"', 'bound = "width"\ncaches = ["Keys"]')
    fault = parse_fault(text.encode(), Path("x.toml"))
    assert isinstance(fault, Fault)
    assert (fault.verb, fault.groups[0].kernels[0].caches) == ("widen-gather", ("Keys",))


def test_not_toml() -> None:
    for text in (b"schema = = 1", b"\xff", b"schema = " + b"1" * 5000, b"x = " + b"[" * 5000):
        with pytest.raises(FaultFileError, match="not TOML"):
            parse_fault(text, Path("x.toml"))


def test_no_kernels() -> None:
    with pytest.raises(FaultFileError, match="at least one kernel"):
        parse_fault(GOOD.split("[[groups.kernels]]")[0].encode(), Path("x.toml"))


def test_one_kernel_declared_twice_in_one_file() -> None:
    with pytest.raises(FaultFileError, match="declared twice"):
        parse_fault((GOOD + GOOD[GOOD.index("[[groups.kernels]]") :]).encode(), Path("x.toml"))


def test_clashes_between_files_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(FaultFileError, match="no fault files"):
        load_faults(tmp_path)
    (tmp_path / "a.toml").write_text(GOOD)
    assert [f.id for f in load_faults(tmp_path).judged] == ["other-kernel"]
    (tmp_path / "b.toml").write_text(GOOD)
    with pytest.raises(FaultFileError, match="already the id of"):
        load_faults(tmp_path)
    (tmp_path / "b.toml").write_text(GOOD.replace("other-kernel", "third").replace('"stride_row"', '"stride"'))
    with pytest.raises(FaultFileError, match="is another group in"):
        load_faults(tmp_path)
    (tmp_path / "b.toml").write_text(
        GOOD.replace("other-kernel", "third").replace('"stride_row"', '"stride"').replace('"other"', '"another"')
    )
    with pytest.raises(FaultFileError, match="is declared otherwise in"):
        load_faults(tmp_path)
    # Two faults of one kernel, declared alike, are what a second fault of one kernel is.
    (tmp_path / "b.toml").write_text(GOOD.replace("other-kernel", "third").replace("bound-column", "widen-row"))
    assert len(load_faults(tmp_path).kernels) == 1


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_load_or_raise_the_one_error(data: bytes) -> None:
    try:
        parse_fault(data + b"\n" + GOOD.encode(), Path("x.toml"))
    except FaultFileError as error:
        assert error.path == Path("x.toml")


@pytest.mark.parametrize("verb", ["bound-causal", "page-by-block"])
def test_a_verb_that_knows_the_familys_parameters_takes_no_other_kernels(verb: str) -> None:
    text = GOOD.replace('verb = "bound-column"', f'verb = "{verb}"')
    with pytest.raises(FaultFileError, match=r"groups: .*left out"):
        parse_fault(text.encode(), Path("x.toml"))
    assert "[[groups]]" in text
