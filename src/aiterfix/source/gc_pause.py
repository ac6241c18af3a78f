"""Analysis without garbage collection in between."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection(*, last: bool = False) -> Iterator[None]:
    """Leave garbage be while this lasts.

    Syntax trees are many objects and no garbage: collections that they set off are a tenth of the time of `check`,
    and in a process that has torch, each walks a million other objects.

    Args:
        last: the process ends after it, so what there is then is not walked on the way out either.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if last:
            gc.freeze()
        gc.enable()
