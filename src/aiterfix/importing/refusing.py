"""What launches the kernels of a module that is being imported: the wrappers as they run, or will run with the hook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.importing.decision import refuse
from aiterfix.importing.targets import targets

if TYPE_CHECKING:
    from aiterfix.judge.refusals import NamedLaunch


def launches_for(module: str, origin: str) -> tuple[NamedLaunch, ...]:
    """Every launch that a wrapper makes; of one that is not imported yet, as the hook will hand it on.

    Args:
        module: name of the kernel module.
        origin: its file.
    """
    from aiterfix.judge.modules import Modules
    from aiterfix.judge.refusals import as_run_here, launches_in, launches_loaded, loaded

    wrappers = tuple(targets().wrappers)
    here = [w for w in wrappers if loaded(w) is not None]
    found = list(launches_loaded(here))
    parts = module.split(".")
    folder = Path(origin).parents[len(parts) - 2]
    places = Modules(folder)
    for name in wrappers:
        place = places.place(name) if name not in here else None
        if isinstance(place, Path):
            text = place.read_bytes()
            handed = refuse(text, targets().known, str(place)).text
            found += map(as_run_here, launches_in(name, text if handed is None else handed))
    return tuple(found)
