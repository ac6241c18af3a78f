"""What is to be compiled: plain data, made by those who know the kernel. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ARCH = "gfx950"


@dataclass(frozen=True)
class CompileRequest:
    """Everything that decides a code object, but the Triton release.

    Attributes:
        source: the kernel file's text, bytes as on disk.
        filename: the name reports and line tables show; not opened.
        function: the kernel's function.
        signature: (parameter, Triton type) in order; ``constexpr`` for constants.
        constants: values of the constants.
        attributes: (parameter index, ((attribute, value), ...)).
        options: options of the AMD backend.
        language: ``gluon`` or ``triton``.
        stand_ins: a Python file, run where the compiler runs, whose ``install()`` answers what the source imports and
            the compiler's interpreter must not; it raises its own ``StandInUsedError`` where the source uses more of
            that than it knows. None for a source that needs nothing.
        label: configuration, for messages.
    """

    source: bytes = field(repr=False)
    filename: str
    function: str
    signature: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, int | str], ...]
    attributes: tuple[tuple[int, tuple[tuple[str, int], ...]], ...]
    options: tuple[tuple[str, int | str | tuple[int, ...]], ...]
    language: Literal["gluon", "triton"] = "gluon"
    stand_ins: Path | None = None
    label: str = ""
    arch: str = ARCH

    @property
    def arguments(self) -> tuple[tuple[str, str], ...]:
        """(name, type) of the arguments that a launch passes, in order."""
        return tuple((name, kind) for name, kind in self.signature if kind != "constexpr")
