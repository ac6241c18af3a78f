"""Record the columns of upstream's kernels that no proof shows not to be negative, and say how the model sees them; and
how those kernels that load keys ahead of time come to the keys of each score.

``python -m tests.upstream.known_columns CLONE`` writes ``src/aiterfix/family/known_columns.txt``. A test over the clone
holds the file to what this makes, and every column in it to the model.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiterfix.family.kernels import KNOWN_COLUMNS
from aiterfix.family.paging import PAGING
from aiterfix.faults import block_paging, cache_offset, empty_sequence
from aiterfix.source.derivation import Derivation, derivations_of
from aiterfix.source.guards import column_of, is_positive, stays_positive
from aiterfix.source.locate import Edit, splice
from aiterfix.source.paging import follower_of
from aiterfix.source.sites import SiteSyntax, SourceAnalysis, analyse
from tests.kernels import SHIPPED
from tests.upstream.conftest import Clone

_HEADER = """\
# Columns of stores in kernels that ROCm/aiter released (every tag v0.*, and the newest commit of the clone) that are
# known not to be negative although no proof shows it: one digest a line of the statements that decide the column (see
# aiterfix.source.derivation). None of them was negative in any launch of the model that the tests run
# (tests/upstream/test_known_columns_real.py). And of kernels of any tag that load keys ahead of time, or count the blocks
# of a preshuffled cache: one digest of the statements that decide which keys the scores of each column are made from. The
# same of those kernels with the mends that change these statements. Written by: python -m tests.upstream.known_columns CLONE
"""


class _All(frozenset[str]):
    """Every digest."""

    def __contains__(self, _: object) -> bool:
        return True


KERNELS = tuple(replace(k, known_columns=lambda: _All({""})) for k in SHIPPED.kernels)
"""The declared kernels, as if everything were known of them: else nothing could be mended."""

Mend = Callable[[bytes, SourceAnalysis, str], tuple[list[Edit], Any]]
_OF_COLUMNS: tuple[Mend, ...] = (empty_sequence.MEND.edits,)
_OF_KEYS: tuple[Mend, ...] = (*_OF_COLUMNS, cache_offset.edits, block_paging.edits)
"""The mends that change the statements which decide these."""


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
                derivation = derivations_of(syntax.walk, walrus=b":=" in text).of(syntax.store, column)
                yield Unproven(site.kernel, site.ordinal, syntax, derivation)


def texts(clone: Clone, mends: Sequence[Mend] = _OF_COLUMNS) -> Iterator[tuple[str, bytes]]:
    """Every released text; and with any of some mends, where it has something to mend."""
    for path, text in clone.distinct():
        found = [(path, text)]
        for edits_of in mends:
            for name, before in tuple(found):
                edits, _ = edits_of(before, analyse(before, KERNELS), name)
                if edits:
                    found.append((f"{name}, {edits_of.__module__}", splice(before, edits)))
        yield from found


def columns(clone: Clone) -> set[str]:
    """The digest of every such store of each of these texts."""
    found = set()
    for path, text in texts(clone):
        for store in unproven(analyse(text, KERNELS), text):
            assert store.derivation is not None, (path, store.kernel, store.ordinal)
            found.add(store.derivation.digest)
    return found


def ways(clone: Clone) -> set[str]:
    """The digest of how scores come by their keys, of every kernel that must be known by it: of archived branches,
    which are judged too, as well."""
    found = set()
    for path, text in texts(Clone(clone.path, "*"), _OF_KEYS):
        for kernel in analyse(text, KERNELS).kernels:
            roles = PAGING[kernel.name]
            follower = follower_of(kernel, roles)
            if follower is not None and not follower.is_straight:
                derivations = derivations_of(follower.walk, walrus=b":=" in text)
                digest = derivations.keys([s.store for s in kernel.syntax], roles)
                assert digest is not None, (path, kernel.name)
                found.add(digest)
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
    clone_ = Clone(sys.argv[1])
    KNOWN_COLUMNS.write_text(written(columns(clone_) | ways(clone_)), encoding="ascii")
