"""What the analysis must be told of a kernel: which of its parameters mean what. It knows no kernel's name itself."""

from __future__ import annotations

from collections.abc import Callable

from aiterfix.storage.record import record


@record(frozen=True)
class KernelRoles:
    """One kernel and the roles of its parameters.

    Attributes:
        name: the kernel's function name; its identity, wherever the file has moved to.
        output: the parameter that points to the output.
        strides: every parameter that is a stride of the output, in elements (rows, heads).
        bound: the parameter that bounds a column, in elements; a column must be smaller.
        group: the code path that takes this kernel ("gluon", "stage1"); every place that tells paths apart goes by it.
        known_columns: the digests of derivations whose columns are known not to be negative (see
            `aiterfix.source.derivation`), read when first asked for.
    """

    name: str
    output: str
    strides: tuple[str, ...]
    bound: str
    group: str = ""
    known_columns: Callable[[], frozenset[str]] = frozenset
