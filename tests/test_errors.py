"""What a remedy says to install is what pip can install, and stands in one place."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

import aiterfix
from aiterfix import errors
from aiterfix.errors import install_line

SOURCE = Path(aiterfix.__file__).parent


def test_no_other_place_says_how_to_install_this_package() -> None:
    said = [p for p in SOURCE.rglob("*.py") if "pip install aiterfix" in (text := p.read_text()) or "aiterfix[" in text]
    assert {p.relative_to(SOURCE).as_posix() for p in said} <= {"errors.py"}


class Noted:
    """A distribution whose installer noted this."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._text


@pytest.mark.parametrize(
    ("noted", "line"),
    [
        ({"url": "file:///", "dir_info": {}}, "pip install '/[validate]'"),
        (
            {"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'aiterfix[validate] @ git+https://host/x.git@abc'",
        ),
        (
            {"url": "https://host/aiterfix-1-py3-none-any.whl", "archive_info": {}},
            "pip install 'aiterfix[validate] @ https://host/aiterfix-1-py3-none-any.whl'",
        ),
    ],
)
def test_the_line_names_what_it_was_installed_from(
    monkeypatch: pytest.MonkeyPatch, noted: dict[str, object], line: str
) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: Noted(json.dumps(noted)))
    assert install_line("validate") == line


@pytest.mark.parametrize("noted", [None, "{", "[]", '{"url": "file:///not/there"}', '{"vcs_info": {"vcs": "git"}}'])
def test_where_that_is_not_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, noted: str | None) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: Noted(noted))
    assert install_line() == f"pip install {SOURCE.parents[1]}", "the checkout that this is"
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "site-packages/aiterfix/errors.py"))
    assert install_line("validate").startswith("pip install 'CHECKOUT[validate]' (CHECKOUT: a checkout of aiterfix")


def test_once_it_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_PUBLISHED", "aiterfix")
    assert install_line() == "pip install aiterfix"
    assert install_line("upstream") == "pip install 'aiterfix[upstream]'"
