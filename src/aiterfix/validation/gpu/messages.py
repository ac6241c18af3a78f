"""What parent and child say to one another beside scenarios and results."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiterfix.errors import AiterfixError, EnvironmentProblem, NotUnderstoodError
from aiterfix.validation.gpu.subjects import GpuSubject
from aiterfix.validation.interface import RefusedLaunchError
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
class Refused:
    """From the child: an error with its diagnosis."""

    what: str
    why: str
    remedy: str
    understood: bool
    refused: bool = False

    @classmethod
    def of(cls, error: AiterfixError) -> Refused:
        """An error as a message."""
        understood, refused = not isinstance(error, NotUnderstoodError), isinstance(error, RefusedLaunchError)
        return cls(error.what, error.why, error.remedy, understood, refused)

    def error(self) -> AiterfixError:
        """The error again."""
        kind: type[AiterfixError] = EnvironmentProblem if self.understood else NotUnderstoodError
        if self.refused:
            kind = RefusedLaunchError
        return kind(self.what, why=self.why, remedy=self.remedy)


@dataclass(frozen=True)
class Raised:
    """From the child: the launch raised something; ``usable`` is false where the device is lost to this process."""

    what: str
    usable: bool
