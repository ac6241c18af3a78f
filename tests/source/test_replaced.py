"""Functions that a text puts others in the place of."""

from __future__ import annotations

import pytest

from aiterfix.source.replaced import replaced_names

NAME = "deepgemm_fp8_paged_mqa_logits"
MODULE = "aiter.ops.triton.attention.pa_mqa_logits"
REPLACED = [
    f"m.{NAME} = fast",
    f"{MODULE}.{NAME} = fast",
    f"m.{NAME}, rest = fast, 1",
    f"m.{NAME}: object = fast",
    f"m.{NAME} += fast",
    f"del m.{NAME}",
    f"for m.{NAME} in [fast]: pass",
    f"with open(fast) as m.{NAME}: pass",
    f"m.{NAME}.__code__ = fast.__code__",
    f"m.{NAME}.fn.fn = fast",
    f"sys.modules['{MODULE}'].{NAME} = fast",
    f"setattr(m, '{NAME}', fast)",
    f"delattr(m, '{NAME}')",
    f"vars(m)['{NAME}'] = fast",
    f"m.__dict__['{NAME}'] = fast",
    f"del globals()['{NAME}']",
    f"m.__dict__.update({NAME}=fast)",
    f"vars(m).update({{'{NAME}': fast}})",
    f"wrapt.wrap_function_wrapper('{MODULE}', '{NAME}', fast)",
    f"mock.patch('{MODULE}.{NAME}', fast).start()",
    f"mock.patch.object(m, '{NAME}', fast).start()",
    f"mock.patch.multiple(m, {NAME}=fast).start()",
    f"vars(m).__setitem__('{NAME}', fast)",
    f"from m import {NAME}\n{NAME}.fn = fast",
    f"from m import {NAME} as run\nrun.__code__ = fast.__code__",
    f"from m import {NAME}\nsetattr({NAME}, 'fn', fast)",
    f"which = '{NAME}'\nsetattr(m, which, fast)",
    f"for which in ['{NAME}']:\n    setattr(m, which, fast)",
    f"def install(m):\n    m.{NAME} = fast",
]
LEFT = [
    f"from {MODULE} import {NAME}\nrun = {NAME}",
    f"m.{NAME}(*given)",
    f"run = getattr(m, '{NAME}')",
    f"TABLE = {{'{NAME}': fast}}\nTABLE['{NAME}'] = fast",
    f"register('{NAME}', fast)",
    f"def __init__(self):\n    self.{NAME} = fast",
    f"def {NAME}(*given): pass",
    f"m.{NAME}_other = fast",
    f"setattr(m, 'other', {NAME})",
    f"'{NAME}'\nsetattr(self, which, fast)",
    f"from m import {NAME} as run\nrun.warmup(*given)",
    f"'''A patch of {NAME}.'''",
    f"m.{NAME} = ",
]


@pytest.mark.parametrize(("text", "line"), [*((text, 2) for text in REPLACED), *((text, 0) for text in LEFT)])
def test_what_stands_in_the_place_of_a_function_is_seen_where_it_is_written(text: str, line: int) -> None:
    found = list(replaced_names(f"import m\n{text}\n".encode(), (NAME, "another")))
    assert found == ([(text.count("\n") + line, NAME)] if line else [])
