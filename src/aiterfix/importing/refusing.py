"""What launches the kernels of a module that is being imported: the wrappers as they run, or will run with the hook."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.importing.decision import launches_of, refuse
from aiterfix.importing.targets import targets

if TYPE_CHECKING:
    from aiterfix.judge.refusals import NamedLaunch


def launches_for(module: str, origin: str) -> tuple[NamedLaunch, ...]:
    """Every launch that a wrapper makes; of one that is not imported yet, as the hook will hand it on."""
    from aiterfix.judge.refusals import as_run_here, launches_loaded, loaded

    known = targets().known
    wrappers = tuple(targets().wrappers)
    here = [w for w in wrappers if loaded(w) is not None]
    found = list(launches_loaded(here, lambda where, text: launches_of(where, text, known)))
    parts = module.split(".")
    folder = Path(origin).parents[len(parts) - 2]
    for name in wrappers:
        place = _place(folder, name) if name not in here else None
        if place is not None:
            text = place.read_bytes()
            handed = refuse(text, known, str(place)).text
            found += map(as_run_here, launches_of(name, text if handed is None else handed, known))
    return tuple(found)


def _place(folder: Path, module: str) -> Path | None:
    """The source file of a module of a package; None where there is none, or something else comes first."""
    *parents, leaf = module.split(".")[1:]
    with contextlib.suppress(OSError):
        if not any(name.partition(".")[0] == leaf for name in os.listdir(folder.joinpath(*parents))):  # noqa: PTH208
            return None  # nearly always, of the old name; then what looks further is not loaded
    from aiterfix.judge.modules import Modules

    place = Modules(folder).place(module)
    return place if isinstance(place, Path) else None
