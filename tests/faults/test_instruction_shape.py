"""Matrix instructions that a compiler or a GPU does not have."""

from __future__ import annotations

import pytest

from tests.faults.kernels import FIXED, SCORES, SEEN, kernel, mended, presence, reasons
from tests.kernels import SHIPPED

FAULT = "instruction-shape"
PROBE = """
try:
    gl.amd.AMDMFMALayout(version=3, instr_shape=[16, 16], transposed=False, warps_per_cta=[1, 1])
    _two_sides = tl.constexpr(True)
except Exception:
    _two_sides = tl.constexpr(False)
"""


def _layout(shape: str, version: str = "CDNA_VERSION") -> str:
    made = f"gl.amd.AMDMFMALayout(version={version}, instr_shape={shape}, transposed=False, warps_per_cta=[1, 4])"
    return f"layout: gl.constexpr = {made}\n"


def _chosen(first: str, second: str, test: str = "_two_sides") -> str:
    return f"if {test}:\n    {first}else:\n    {second}"


def _text(layouts: str, top: str = PROBE) -> bytes:
    return kernel(layouts + FIXED + SCORES + SEEN, top=top)


@pytest.mark.parametrize(
    "layouts",
    [
        _layout("[16, 16, 32]"),
        _chosen(_layout("[16, 16]"), _layout("[16, 16, 32]")),
        "",
    ],
)
def test_what_every_compiler_takes_is_absent(layouts: str) -> None:
    assert presence(_text(layouts), FAULT) == "absent"


@pytest.mark.parametrize(
    ("layouts", "message"),
    [
        (_layout("[16, 16]"), "its shape has two sides; Triton 3.5 and later want three"),
        (_layout("[16, 16, 32]", "3"), "made for CDNA 3 (gfx942): it does not compile for gfx950"),
        (_layout("[16, 16, 32]", "4"), "made for CDNA 4 (gfx950): it does not compile for gfx942"),
        (_chosen(_layout("[16, 16, 32]"), _layout("[16, 16]")), "where Triton was found to want three"),
        (_chosen(_layout("[16, 16]"), _layout("[16, 16, 32]"), "next_n > 1"), "its shape has two sides"),
    ],
)
def test_what_does_not_compile_is_present_and_stays(layouts: str, message: str) -> None:
    text = _text(layouts)
    assert presence(text, FAULT) == "present"
    assert any(message in m for _, m in reasons(text, FAULT)), reasons(text, FAULT)
    result = mended(text, FAULT)
    assert not result.changed
    assert message in result.left((FAULT,))


def test_the_remedy_is_another_release_or_our_kernel() -> None:
    assert "aiter v0.1.12 or later" in SHIPPED.get(FAULT).remedy
    assert "AITERFIX_KERNEL=1" in SHIPPED.get(FAULT).remedy


@pytest.mark.parametrize(
    ("layouts", "top", "message"),
    [
        (_layout("shape"), PROBE, "is not written out"),
        (_layout("[16]"), PROBE, "has 1 sides"),
        (_layout("[16, 16, 32]", "2"), PROBE, "the version of CDNA that it is made for is not followed"),
        (
            "CDNA_VERSION = 3\n" + _layout("[16, 16, 32]"),
            PROBE,
            "the version of CDNA that it is made for is not followed",
        ),
        (
            "layout: gl.constexpr = other.AMDMFMALayout(version=3, instr_shape=[16, 16])\n",
            PROBE,
            "makes is not followed",
        ),
        ("o = gl.amd.cdna3.mfma(weights, weights, weights)\n", PROBE, "made in a way that is not followed"),
    ],
)
def test_what_is_not_followed_is_unknown(layouts: str, top: str, message: str) -> None:
    text = _text(layouts, top)
    assert presence(text, FAULT) == "unknown"
    assert any(message in m for _, m in reasons(text, FAULT)), reasons(text, FAULT)


@pytest.mark.parametrize("top", ["_two_sides = tl.constexpr(True)", PROBE + "_two_sides = tl.constexpr(wanted())"])
def test_a_name_that_does_not_say_what_triton_takes_is_no_choice(top: str) -> None:
    assert presence(_text(_chosen(_layout("[16, 16]"), _layout("[16, 16, 32]")), top), FAULT) == "present"
