"""Where import finds the modules of a package folder, from listings of folders alone: nothing is parsed."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

from aiterfix.installation.view import View
from aiterfix.storage.record import record

_ROOT = "aiter"
_COMPILED = (".so", ".pyd", ".pyc")


@record(frozen=True)
class NoSource:
    """What stands where a module's source should be.

    Attributes:
        reason: what it is, fit for "which is ...".
    """

    reason: str
    path: Path


class Modules:
    """The modules of a package folder by name.

    Attributes:
        asked: every question so far and its answer in words. A folder that gives the same answers is the same as far
            as anybody looked.
    """

    def __init__(self, folder: Path, view: View | None = None) -> None:
        self.asked: dict[str, str] = {}
        self._folder = folder
        self._view = view or View()
        self._listings: dict[Path, frozenset[str]] = {}

    def place(self, module: str) -> Path | NoSource | None:
        """The source file of a module, or what is there instead; None where there is nothing."""
        found = self._place(module)
        self.asked[module] = self._words(found)
        return found

    def has_folder(self, package: str) -> bool:
        """Whether there is a folder of this dotted name with anything in it."""
        found = bool(self._listing(self._folder.joinpath(*package.split(".")[1:])))
        self.asked[f"{package}.*"] = str(found)
        return found

    def answers(self, asked: Mapping[str, str]) -> bool:
        """Whether these questions have these answers here."""
        for question, answer in asked.items():
            if question.endswith(".*"):
                self.has_folder(question[:-2])
            else:
                self.place(question)
            if self.asked[question] != answer:
                return False
        return True

    def _words(self, place: Path | NoSource | None) -> str:
        if isinstance(place, NoSource):
            return f"{place.reason} {place.path.relative_to(self._folder).as_posix()}"
        return place.relative_to(self._folder).as_posix() if place is not None else ""

    def _place(self, module: str) -> Path | NoSource | None:
        parts = module.split(".")
        if parts[0] != _ROOT:
            return NoSource("part of another distribution", self._folder)
        folder = self._folder
        for part in parts[1:-1]:
            folder = folder / part
        last = parts[-1] if len(parts) > 1 else ""
        names = self._listing(folder)
        if last and last in names:
            inside = self._listing(folder / last)
            if any(n.startswith("__init__.") for n in inside):
                folder, last, names = folder / last, "__init__", inside
        last = last or "__init__"
        # Import's own order: extension modules, source, bytecode.
        compiled = sorted(n for n in names if n.startswith(f"{last}.") and n.endswith(_COMPILED))
        extension = [n for n in compiled if not n.endswith(".pyc")]
        if extension:
            return NoSource(f"compiled code, {extension[0]}", folder / extension[0])
        if f"{last}.py" in names:
            return folder / f"{last}.py"
        if f"{last}.pyc" in names:
            return NoSource(f"compiled code, {last}.pyc", folder / f"{last}.pyc")
        return None

    def _listing(self, folder: Path) -> frozenset[str]:
        if folder not in self._listings:
            try:
                self._listings[folder] = frozenset(self._view.names(folder))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    self._view.refuse(folder, error, doubt=True)
                self._listings[folder] = frozenset()
        return self._listings[folder]
