"""Which ``--max-model-len`` values are safe on unpatched kernels, for an operator who can change neither."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lengths:
    """Safe values of ``--max-model-len``.

    Attributes:
        step: their common divisor: every multiple is safe.
        below: the largest safe value not above the wanted one; None where none was given or there is none.
        above: the smallest safe value not below the wanted one; None where none was given.
        text: a sentence for people.
    """

    step: int
    below: int | None
    above: int | None
    text: str


def safe_lengths(wanted: int | None, block: int, scale: int = 1) -> Lengths:
    """Multiples of the block size, at which rounding the range up to whole blocks adds nothing.

    Args:
        wanted: the length that the operator would like, tokens.
        block: columns to which the kernel rounds, at most.
        scale: by which the model divides the length.
    """
    step = block * scale
    what = f"multiples of {step}" + (f" ({block} x compress ratio {scale})" if scale > 1 else "")
    if wanted is None:
        return Lengths(step, None, None, f"--max-model-len is safe at {what}")
    below = wanted // step * step or None
    above = -(-wanted // step) * step
    nearest = f"{below} or {above}" if below is not None and below != above else str(above)
    return Lengths(step, below, above, f"the nearest safe --max-model-len is {nearest} ({what})")
