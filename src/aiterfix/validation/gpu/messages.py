"""What parent and child say to one another beside scenarios, results and errors of this package."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiterfix.validation.gpu.subjects import GpuSubject
from aiterfix.validation.report import Hardware, SourceFacts


@dataclass(frozen=True)
class Setup:
    """To the child, first: what to load and where to run it; no subject only asks for the hardware."""

    subject: GpuSubject | None
    device: str


@dataclass(frozen=True)
class Ready:
    """From the child: what it has loaded, and on what."""

    hardware: Hardware
    what: str = ""
    source: SourceFacts = field(default_factory=lambda: SourceFacts(""))
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Raised:
    """From the child: the launch raised something; ``usable`` is false where the device is lost to this process."""

    what: str
    usable: bool
