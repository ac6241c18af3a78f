"""The two 8-bit floats that caches are stored in, decoded by table.

``e4m3fn`` (OCP): sign, 4 exponent bits (bias 7), 3 mantissa bits; no infinities; NaN is 0x7f and 0xff; largest 448.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

NAN = 0x7F


_PIECE = 1 << 15


@cache
def e4m3fn_values() -> npt.NDArray[np.float32]:
    """The value of each of the 256 bit patterns, shape (256,)."""
    bits = np.arange(256)
    exponent, mantissa = bits >> 3 & 15, bits & 7
    magnitude = np.where(exponent == 0, np.ldexp(mantissa / 8.0, -6), np.ldexp(1.0 + mantissa / 8.0, exponent - 7))
    magnitude[bits & 0x7F == NAN] = np.nan
    values: npt.NDArray[np.float32] = np.where(bits >> 7 == 1, -magnitude, magnitude).astype(np.float32)
    values.flags.writeable = False
    return values


def decode_e4m3fn(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Values of e4m3fn bit patterns, of the same shape."""
    values, flat = np.empty(bits.shape, np.float32), bits.reshape(-1)
    out = values.reshape(-1)
    for start in range(
        0, flat.size, _PIECE
    ):  # at once, the indices alone would take eight times the memory of the bits
        part = slice(start, start + _PIECE)
        e4m3fn_values().take(flat[part], out=out[part], mode="clip")
    return values
