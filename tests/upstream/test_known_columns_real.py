"""The recorded columns are those of the released kernels, and none of them is ever negative in the model."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")

from aiterfix.family.kernels import KNOWN_COLUMNS
from aiterfix.source.sites import analyse
from tests.source import model
from tests.upstream.conftest import Clone
from tests.upstream.known_columns import KERNELS, columns, texts, unproven, ways, with_lower_bounds_alone, written


def test_the_file_is_what_the_clone_makes(clone: Clone) -> None:
    """Regenerate it with ``python -m tests.upstream.known_columns CLONE``."""
    assert KNOWN_COLUMNS.read_text(encoding="ascii") == written(columns(clone) | ways(clone))


def test_no_recorded_column_is_negative_in_any_launch(clone: Clone) -> None:
    """Every text, its recorded stores with nothing but their lower comparisons as masks, over its launches."""
    seen: set[str] = set()
    for path, text in texts(clone):
        before = analyse(text, KERNELS)
        stores = list(unproven(before, text))
        # What decides a column stays the same whatever else the mask says: it is the same store that is run.
        bare = with_lower_bounds_alone(before, stores)
        again = {(s.kernel, s.ordinal): s for s in unproven(analyse(bare, KERNELS), bare)}
        names = model.File(bare).execute()
        for kernel in {s.kernel for s in stores}:
            lines = {}
            for s in (s for s in stores if s.kernel == kernel):
                bare_store = again[s.kernel, s.ordinal]
                assert bare_store.derivation is not None and s.derivation is not None
                assert bare_store.derivation.digest == s.derivation.digest
                lines[bare_store.syntax.node.lineno] = s.derivation.digest
            stored: set[int] = set()
            for launch in (*model.launches(kernel), model.huge(kernel)):
                run = model.launch(names[kernel], launch, keep=True)
                assert [o for o in run.outside if o.column < 0 and o.line in lines] == [], (path, kernel, launch)
                stored |= run.lines
            assert stored & set(lines), (path, kernel)
            seen |= {digest for line, digest in lines.items() if line in stored}
    never_run = columns(clone) - seen
    assert never_run == set()
