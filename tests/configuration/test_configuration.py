"""Settings of a project: what they may say, and whose are believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aiterfix.configuration import ConfigurationError, Settings, ignored_by, parse_ignored, settings_in

IGNORE = '[ignore]\noutput-rank = "two axes"\n'
TABLE = '[project]\nname = "x"\n[tool.aiterfix.ignore]\noutput-rank = "two axes"\n'


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, []),
        ({"aiterfix.toml": IGNORE}, [("output-rank", "two axes")]),
        ({"pyproject.toml": TABLE}, [("output-rank", "two axes")]),
        ({"pyproject.toml": "[project]\nname = 'x'\n"}, []),
        # Not ours to complain of: it has no table of ours, whatever else is wrong in it.
        ({"pyproject.toml": "[project\n"}, []),
        ({"pyproject.toml": "# aiterfix\n[tool.other]\n", "aiterfix.toml": IGNORE}, [("output-rank", "two axes")]),
        ({"aiterfix.toml": ""}, []),
    ],
)
def test_what_settings_ignore(tmp_path: Path, files: dict[str, str], said: list[tuple[str, str]]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = settings_in(tmp_path).ignored
    assert [(i.fault, i.reason) for i in found] == said
    assert all(i.by in {str(tmp_path / name) for name in files} for i in found)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"aiterfix.toml": "[ignore\n"}, "aiterfix.toml: not TOML"),
        ({"aiterfix.toml": "[ignored]\nx = 'y'\n"}, "ignored: unknown key"),
        ({"aiterfix.toml": "[tool.aiterfix.ignore]\nx = 'y'\n"}, "tool: unknown key"),
        ({"aiterfix.toml": "ignore = ['x']\n"}, "ignore: must be a table"),
        ({"aiterfix.toml": "[ignore]\nx = true\n"}, "ignore.x: must be the reason"),
        ({"aiterfix.toml": "[ignore]\nx = ' '\n"}, "ignore.x: must be the reason"),
        ({"aiterfix.toml": "[ignore]\nx = '\xe9'\n"}, "not TOML"),
        ({"pyproject.toml": "[tool]\naiterfix = 3\n"}, "tool.aiterfix: must be a table"),
        ({"pyproject.toml": "[tool.aiterfix\n"}, "pyproject.toml: not TOML"),
        ({"pyproject.toml": TABLE, "aiterfix.toml": IGNORE}, "both have settings"),
    ],
)
def test_settings_that_do_not_say_what_they_must(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=said.replace(".", r"\.")) as caught:
        settings_in(tmp_path)
    assert caught.value.exit_code == 2 and caught.value.remedy


@pytest.mark.parametrize("name", ["aiterfix.toml", "pyproject.toml"])
@pytest.mark.parametrize("whose", ["file", "folder"])
def test_settings_that_others_may_write_turn_no_verdict(tmp_path: Path, name: str, whose: str) -> None:
    file = tmp_path / name
    file.write_text(IGNORE if name == "aiterfix.toml" else TABLE)
    assert [i.fault for i in settings_in(tmp_path).ignored] == ["output-rank"]
    (file if whose == "file" else tmp_path).chmod(0o777)
    found = settings_in(tmp_path)
    assert found.ignored == ()
    (said,) = found.refused
    assert f"not used: {file}: " in said and "can be written by others" in said and f"--config {file}" in said
    assert [i.fault for i in ignored_by(file)] == ["output-rank"], "a file that is named is trusted"
    if name == "pyproject.toml":
        file.write_text("[project]\nname = 'x'\n")
        assert settings_in(tmp_path) == Settings((), ())


def test_a_folder_of_everybodys_without_settings_has_none(tmp_path: Path) -> None:
    """Such as /tmp, or a folder of another user's, where a container's build may stand."""
    tmp_path.chmod(0o1777)
    assert settings_in(tmp_path) == Settings((), ())
    assert settings_in(tmp_path / "gone") == Settings((), ())
    if os.getuid() == 0:
        os.chown(tmp_path, 65534, 65534)
        assert settings_in(tmp_path) == Settings((), ())


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "aiterfix.toml")
    (said,) = settings_in(tmp_path).refused
    assert "is a FIFO" in said
    (tmp_path / "pyproject.toml").symlink_to(tmp_path / "aiterfix.toml")
    assert len(settings_in(tmp_path).refused) == 2
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ignored_by(tmp_path / "nowhere.toml")


def test_a_file_that_is_named_says_something(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    with pytest.raises(ConfigurationError, match="it has no table"):
        ignored_by(tmp_path / "pyproject.toml")
    (tmp_path / "any.toml").write_text(IGNORE)
    assert [i.fault for i in ignored_by(tmp_path / "any.toml")] == ["output-rank"]


@pytest.mark.parametrize("text", ["", "x", "=reason", "x=", "x= ", " =y"])
def test_an_option_without_id_or_reason_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be ID=REASON"):
        parse_ignored(text)


def test_a_reason_may_hold_any_sign() -> None:
    one = parse_ignored("column-bound=rows = 256, 'padded'")
    assert (one.fault, one.reason, one.by) == ("column-bound", "rows = 256, 'padded'", "--ignore")
