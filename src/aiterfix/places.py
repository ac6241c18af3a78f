"""From an installation that was found to the place that the disk transaction works on."""

from __future__ import annotations

from aiterfix.installation import Installation
from aiterfix.patching import Place


def place_of(installation: Installation) -> Place:
    """Where an installation's files, RECORD and our state are."""
    return Place(installation.root, installation.package, installation.dist_info, installation.version)
