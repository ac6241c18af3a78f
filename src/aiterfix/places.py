"""From an installation that was found to the place that the disk transaction works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiterfix.patching.traces import any_trace

if TYPE_CHECKING:
    from aiterfix.installation import Installation
    from aiterfix.patching import Place, State


def place_of(installation: Installation) -> Place:
    """Where an installation's files, RECORD and our state are."""
    from aiterfix.patching.place import Place

    return Place(installation.root, installation.package, installation.dist_info, installation.version)


def patch_of(installation: Installation) -> State | None:
    """What aiterfix has done to an installation; None where there is no trace of it.

    Raises:
        OSError: our state is there and cannot be read.
    """
    if not any_trace(installation.root, installation.package.name, installation.dist_info):
        return None
    from aiterfix.patching.status import state

    return state(place_of(installation))
