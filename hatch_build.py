"""What is known of this project only once it is published: its repository, and with it where links of the README lead.

An index shows the README by itself, where ``docs/images.md`` leads nowhere. With a repository such links are absolute,
at the tag of the version; without one only their words stay.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

REPOSITORY = ""
"""``https://HOST/OWNER/NAME``, the one place that says it; see docs/internals/releasing.md."""
UPSTREAM = "https://github.com/ROCm/aiter"
_LINK = re.compile(r"(?P<image>!?)\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)\)")


class Hook(MetadataHookInterface):
    """Adds the long description and the URLs."""

    def update(self, metadata: dict[str, Any]) -> None:
        """See hatchling."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        readme = described(text, REPOSITORY, metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
        metadata["urls"] = urls(REPOSITORY)


def urls(repository: str) -> dict[str, str]:
    """What an index shows beside the description."""
    own = {
        "Repository": repository,
        "Issues": f"{repository}/issues",
        "Documentation": f"{repository}/tree/main/docs",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
    }
    return {**(own if repository else {}), "aiter (what it judges)": UPSTREAM}


def described(readme: str, repository: str, version: str) -> str:
    """The README for a reader who has nothing else.

    Args:
        readme: as it stands in the repository.
        repository: its address; empty where there is none.
        version: whose tag links lead to.
    """

    def place(match: re.Match[str]) -> str:
        image, words, target = match["image"], match["words"], match["target"]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        if not repository:
            return "" if image else words
        kind = "raw" if image else "tree" if target.endswith("/") else "blob"
        return f"{image}[{words}]({repository}/{kind}/v{version}/{target})"

    return _LINK.sub(place, readme)
