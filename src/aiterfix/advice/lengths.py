"""Which ``--max-model-len`` values need no more padding than there is, for an operator who can change nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LONGEST = 131072
"""Width up to which measurements are made, columns."""


@dataclass(frozen=True)
class Lengths:
    """Safe values of ``--max-model-len``.

    Attributes:
        step: every multiple of it is safe.
        below: the largest safe value not above the wanted one; None where none was given or there is none.
        above: the smallest safe value not below the wanted one; None where none was given.
        text: a sentence for people.
    """

    step: int
    below: int | None
    above: int | None
    text: str


def safe_lengths(
    columns_at: Callable[[int], int], wanted: int | None, period: int, padding: int = 0, scale: int = 1
) -> Lengths | None:
    """Lengths at which rows are not overshot, or by no more than their padding; None where no step has only such.

    Args:
        columns_at: padding columns needed at a width. What it says beyond what was measured depends on the width
            modulo ``period`` alone.
        wanted: the length that the operator would like, tokens.
        period: columns; of chunk and block the least common multiple.
        padding: columns that each row has.
        scale: by which the model divides the length: the width is ``length // scale``.
    """

    def enough(width: int) -> bool:
        return columns_at(width) <= padding

    start = LONGEST // period * period - period
    steps = (d for d in range(1, period + 1) if period % d == 0)
    step = next((d for d in steps if all(enough(start + more) for more in range(d, period + 1, d))), None)
    if step is None:
        return None
    what = f"multiples of {step * scale}" + (f" ({step} x compress ratio {scale})" if scale > 1 else "")
    if wanted is None:
        return Lengths(step * scale, None, None, f"--max-model-len is safe at {what}")
    # A multiple of the step is at most a step away.
    width = wanted // scale
    below = next((w * scale for w in range(width, max(0, width - step), -1) if enough(w)), None)
    up = -(-wanted // scale)
    above = next((w * scale for w in range(up, up + step + 1) if enough(w)), None)
    nearest = " or ".join(str(n) for n in dict.fromkeys((below, above)) if n is not None)
    return Lengths(step * scale, below, above, f"the nearest safe --max-model-len is {nearest} ({what})")
