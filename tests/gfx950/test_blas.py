"""The number of BLAS threads is what it was after a run."""

from __future__ import annotations

import numpy as np
import pytest

from aiterfix.gfx950 import blas


def test_threads_are_put_back() -> None:
    assert np.ones((2, 2)) @ np.ones(2) is not None
    switch = blas._switch()
    if switch is None:
        pytest.skip("numpy's BLAS is not an OpenBLAS that can be found in this process")
    get, set_ = switch
    before = get()
    set_(2)
    try:
        with blas.one_thread():
            assert get() == 1
            with blas.one_thread():
                assert get() == 1
            assert get() == 1
        assert get() == 2
        with pytest.raises(RuntimeError, match="inside"), blas.one_thread():
            raise RuntimeError("inside")
        assert get() == 2
    finally:
        set_(before)


def test_without_openblas_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_switch", lambda: None)
    with blas.one_thread():
        assert blas._running == 0
