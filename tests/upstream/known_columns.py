"""Record the columns of upstream's kernels that no proof shows not to be negative, and say how the model sees them.

``python -m tests.upstream.known_columns CLONE`` writes ``src/aiterfix/family/known_columns.txt``. A test over the clone
holds the file to what this makes, and every column in it to the model.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from aiterfix.family.kernels import KNOWN_COLUMNS
from aiterfix.faults import empty_sequence
from aiterfix.source.derivation import Derivation, Derivations
from aiterfix.source.guards import column_of, is_positive, stays_positive
from aiterfix.source.locate import splice
from aiterfix.source.sites import SiteSyntax, SourceAnalysis, analyse
from tests.kernels import SHIPPED
from tests.upstream.conftest import Clone

_HEADER = """\
# Columns of stores in kernels that ROCm/aiter released (every tag v0.*, and the newest commit of the clone) that are
# known not to be negative although no proof shows it: one digest a line of the statements that decide the column (see
# aiterfix.source.derivation). None of them was negative in any launch of the model that the tests run
# (tests/upstream/test_known_columns_real.py). The same of those kernels once they pass empty sequences by, which changes
# how they come to their sequence, and so what decides their columns. Written by: python -m tests.upstream.known_columns CLONE
"""


KERNELS = tuple(replace(k, known_columns=frozenset) for k in SHIPPED.kernels)
"""The declared kernels, of which nothing is known beforehand."""


@dataclass(frozen=True)
class Unproven:
    """A store whose column no proof shows not to be negative."""

    kernel: str
    ordinal: int
    syntax: SiteSyntax
    derivation: Derivation | None


def unproven(analysis: SourceAnalysis, text: bytes) -> Iterator[Unproven]:
    """Every such store of a text."""
    for kernel in analysis.kernels:
        for site, syntax in zip(kernel.sites, kernel.syntax, strict=True):
            column, _ = column_of(syntax.store.address, syntax.walk.output, syntax.walk.strides)
            if not (is_positive(column, syntax.walk) or stays_positive(syntax.store, column, syntax.walk)):
                derivation = Derivations(syntax.walk, walrus=b":=" in text).of(syntax.store, column)
                yield Unproven(site.kernel, site.ordinal, syntax, derivation)


def texts(clone: Clone) -> Iterator[tuple[str, bytes]]:
    """Every released text; and with the one mend that changes what decides a column, where it has something to mend."""
    for path, text in clone.distinct():
        yield path, text
        edits, _ = empty_sequence.MEND.edits(text, analyse(text, KERNELS), path)
        if edits:
            yield f"{path}, passing empty sequences", splice(text, edits)


def digests(clone: Clone) -> set[str]:
    """The digest of every such store of each of these texts."""
    found = set()
    for path, text in texts(clone):
        for store in unproven(analyse(text, KERNELS), text):
            assert store.derivation is not None, (path, store.kernel, store.ordinal)
            found.add(store.derivation.digest)
    return found


def written(found: Iterable[str]) -> str:
    """The file's text."""
    return _HEADER + "".join(f"{digest}\n" for digest in sorted(found))


def with_lower_bounds_alone(analysis: SourceAnalysis, stores: Iterable[Unproven]) -> bytes:
    """A text in which nothing but the lower comparisons that are part of a derivation masks these stores."""
    for store in stores:
        assert store.derivation is not None
        call, mask = store.syntax.node, None
        for term in store.derivation.lower:
            mask = term if mask is None else ast.BinOp(mask, ast.BitAnd(), term)
        assert store.syntax.mask is None or any(k.value is store.syntax.mask for k in call.keywords)
        call.keywords = [k for k in call.keywords if k.arg != "mask"]
        if mask is not None:
            call.keywords.append(ast.keyword("mask", mask))
    assert analysis.tree is not None
    return ast.unparse(ast.fix_missing_locations(analysis.tree)).encode()


if __name__ == "__main__":
    KNOWN_COLUMNS.write_text(written(digests(Clone(sys.argv[1]))), encoding="ascii")
