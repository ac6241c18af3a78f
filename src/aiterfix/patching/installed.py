"""From an installation that was found to the package tree that the disk transaction works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiterfix.installation.forms import FORMS
from aiterfix.patching.traces import any_trace

if TYPE_CHECKING:
    from aiterfix.installation.target import Installation
    from aiterfix.patching.status import PatchStatus
    from aiterfix.patching.tree import PackageTree


def package_tree(installation: Installation) -> PackageTree:
    """Where an installation's files, RECORD and our state are."""
    from aiterfix.patching.tree import PackageTree

    return PackageTree(
        installation.root,
        installation.package,
        installation.dist_info,
        installation.version,
        installation.image_root,
    )


def patch_status(installation: Installation) -> PatchStatus | None:
    """What aiterfix has done to an installation; None where there is no trace of it.

    Raises:
        OSError: our state is there and cannot be read.
    """
    if installation.image_root in FORMS:
        from aiterfix.installation.view import View
        from aiterfix.patching.status import status_in_archive

        return status_in_archive(package_tree(installation), View(installation.image_root))
    # The quick look has the host's eyes.
    if installation.image_root is None and not any_trace(
        installation.root, installation.package.name, installation.dist_info
    ):
        return None
    from aiterfix.patching.status import read_status

    return read_status(package_tree(installation))


def evidence_in(installation: Installation | None) -> str:
    """Records of runs that a patched installation carries along; empty where there are none that are believed.

    Raises:
        OSError: our state is there and cannot be read.
    """
    from aiterfix.patching.annotations import noted_evidence

    patch = patch_status(installation) if installation is not None else None
    return noted_evidence(patch.annotations) if patch is not None else ""
