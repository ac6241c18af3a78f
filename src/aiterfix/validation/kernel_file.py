"""A text that holds kernels, with what is known of it; for the emulator and for a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiterfix.family.portable import AnyKernel, find_portable
from aiterfix.family.signature import find_kernels
from aiterfix.faults.base import Presence
from aiterfix.storage.digest import sha256_hex
from aiterfix.validation.report import SourceFacts


@dataclass(frozen=True)
class KernelFile:
    """A text that defines kernels.

    Attributes:
        filename: its name, for line tables; not opened. It is part of what compiled kernels are kept by.
        shown: what reports call it, where that is more than ``filename``.
        mends: ids of the faults that were mended in the text; None where that is not known.
        original_sha256: digest of the text before that.
        presence: function to fault to whether source says that it has it.
    """

    text: bytes = field(repr=False)
    filename: str
    shown: str = ""
    mends: tuple[str, ...] | None = ()
    original_sha256: str = ""
    presence: Mapping[str, Mapping[str, Presence]] = field(default_factory=dict, repr=False)

    @property
    def kernels(self) -> tuple[AnyKernel, ...]:
        """The kernels that it defines."""
        return (*find_kernels(self.text, self.filename), *find_portable(self.text, self.filename))

    @property
    def facts(self) -> SourceFacts:
        """What a report says of it."""
        digest = sha256_hex(self.text)
        names = tuple(kernel.value for kernel in self.kernels)
        return SourceFacts(
            self.shown or self.filename, digest, self.original_sha256 or digest, self.mends, names, self.presence
        )
