"""What names are bound to, and what decorators make of a kernel."""

from __future__ import annotations

import ast

import pytest

from aiterfix.source.bindings import How, ModuleBindings
from aiterfix.source.decorators import decorator_doubt, is_jit
from aiterfix.source.search import may_define
from aiterfix.source.sites import analyse
from tests.kernels import KERNELS, SIGNATURE, Seen, module, seen

BODY = "row = tl.program_id(0)\ncol = tl.arange(0, size)\ntl.store(Out + row * stride_row + col, 1.0, mask=col < width)"
SAFE = module(BODY)
UNSAFE = module(BODY.replace("col < width", "col >= 0"))


def bindings(text: str) -> ModuleBindings:
    return ModuleBindings(ast.parse(text), text.encode())


def codes(text: bytes) -> set[str]:
    return {p.code for p in analyse(text, KERNELS).all_problems}


def test_the_kernel_alone_is_judged_by_its_store() -> None:
    assert seen(analyse(SAFE, KERNELS)) is Seen.BOUNDED
    assert seen(analyse(UNSAFE, KERNELS)) is Seen.UNBOUNDED


@pytest.mark.parametrize(
    "after",
    [
        "kernel = make()",
        "kernel = triton.jit(kernel)",
        "kernel: object = make()",
        "kernel += 1",
        "kernel, other = make()",
        "(other, (kernel, third)) = make()",
        "*kernel, other = make()",
        "for *kernel, x in make():\n    pass",
        "with make() as [*kernel, x]:\n    pass",
        "[other, kernel] = make()",
        "a = kernel = make()",
        "for kernel in (make(),):\n    pass",
        "for a, kernel in make():\n    pass",
        "if fast:\n    for kernel in make():\n        break",
        "with make() as kernel:\n    pass",
        "with make() as (a, kernel):\n    pass",
        "try:\n    pass\nexcept Exception as kernel:\n    pass",
        "try:\n    pass\nfinally:\n    kernel = make()",
        "while fast:\n    kernel = make()\nelse:\n    pass",
        "match make():\n    case [kernel, *_]:\n        pass",
        "match make():\n    case {'k': 1, **kernel}:\n        pass",
        "match make():\n    case _:\n        kernel = make()",
        "class kernel:\n    pass",
        "if fast:\n    class kernel:\n        pass",
        "import kernel",
        "import fast.kernels as kernel",
        "from fast import kernel",
        "from fast import other as kernel",
        "from . import kernel",
        "try:\n    from fast import kernel\nexcept ImportError:\n    pass",
        "from fast import *",
        "from .fast import *",
        "if (kernel := make()):\n    pass",
        "print(kernel := make())",
        "x = [kernel := a for a in make()]",
        "def f(x=(kernel := make())):\n    pass",
        "del kernel",
        "from .tools import replace\nreplace(kernel)",
        "from .tools import replace\nif 1:\n    replace(with_=None, this=kernel)",
        "globals()['kernel'] = make()",
        "globals()[name] = make()",
        "globals()['ker' + 'nel'] = make()",
        "vars()['kernel'] = make()",
        "locals()['kernel'] = make()",
        "globals().update(kernel=make())",
        "globals().update({'kernel': make()})",
        "globals().update(table)",
        "globals().update(**table)",
        "globals().setdefault('kernel', make())",
        "globals().__setitem__('kernel', make())",
        "globals().pop('kernel')",
        "globals() .__ior__(table)",
        "del globals()['kernel']",
        "install(globals())",
        "g = globals()",
        "g = globals\ng()['kernel'] = make()",
        "import sys\nsetattr(sys.modules[__name__], 'kernel', make())",
        "import sys\nsetattr(sys.modules[__name__], name, make())",
        "import sys\nsys.modules[__name__].kernel = make()",
        "import sys\nsys.modules[__name__].__dict__['kernel'] = make()",
        "import sys\nsys.modules[__name__] = make()",
        "import sys\nme = sys.modules[__name__]\nme.kernel = make()",
        "import sys\nme = sys.modules[__name__]\nme.a, me.kernel = make()",
        "import sys\nfor sys.modules[__name__].kernel in make():\n    pass",
        "import builtins\nbuiltins.exec(text)",
        "exec(text)",
        "exec('kernel = make()')",
        "eval(text)",
        "run = exec\nrun(text)",
        "kernel.fn = other",
        "kernel.fn.__code__ = other",
        "kernel.src += 'x'",
        "setattr(kernel, 'fn', other)",
        "object.__setattr__(kernel, 'fn', other)",
        "for k in [kernel]:\n    k.src += 'x'",
        "for k in {'a': kernel}.values():\n    k._src = ''",
        "[kernel][0].src = ''",
        "(kernel or other).fn = other",
        "class Kept:\n    k = kernel\n\n\nKept.k.fn = other",
        "def change(k=kernel):\n    k.src = ''",
        "def change():\n    k = kernel\n    k.src = ''",
        "match kernel:\n    case k:\n        k.src = ''",
        "[k.__setattr__('src', '') for k in [kernel]]",
        "globals()['kernel'].src = ''",
        "for k in list(globals().values()):\n    k.src = ''",
        "import sys\ngetattr(sys.modules[__name__], 'kernel').parse = other",
        "for k in [kernel]:\n    vars(k)['src'] = ''",
        "kernel._unsafe_update_src(text)",
        "def install():\n    global kernel\n    kernel = make()",
        "def install():\n    globals()['kernel'] = make()",
        "def install():\n    exec(text, globals())",
        "def install(module):\n    module.kernel = make()",
        "class Install:\n    def __call__(self):\n        global kernel\n        kernel = make()",
        "\uff4bernel = make()",
        "\uff45xec(text)",
        "\uff47lobals()['kernel'] = make()",
        "async def kernel():\n    pass",
        "import sys\nsys.modules[__name__].__class__ = Lazy",
    ],
)
def test_a_kernel_whose_name_is_bound_anew_is_unknown(after: str) -> None:
    text = SAFE + after.encode() + b"\n"
    assert may_define(text, KERNELS)
    analysis = analyse(text, KERNELS)
    assert seen(analysis) is Seen.UNKNOWN
    line = SAFE.count(b"\n") + 1
    assert any(p.line >= line for p in analysis.all_problems)


@pytest.mark.parametrize(
    "after",
    [
        "other = kernel",
        "other, third = kernel, 1",
        "for other in (kernel,):\n    pass",
        "def f():\n    kernel = 1\n    return kernel",
        "def f(kernel):\n    return kernel[1](kernel.fn)",
        "class Other:\n    kernel = 1",
        "x = globals()['kernel']",
        "x = globals().get('kernel')",
        "x = 'kernel' in globals()",
        "globals()['other'] = 1",
        "globals().update(other=1)",
        "def f():\n    return locals()",
        "setattr(thing, 'other', 1)",
        "import os",
        "from fast import other",
        "from fast import kernel as other",
        "x = [kernel for kernel in ()]",
        "print([kernel for kernel in ()])",
        "if [1 for kernel in ()]:\n    pass",
        "for x in {kernel: 1 for kernel in ()}:\n    pass",
        "class C:\n    def __init__(self):\n        self.kernel = 1",
        "model.eval()",
        "assert kernel",
        "import sys\nsys.modules['other'] = 1",
    ],
)
def test_what_leaves_the_name_alone_leaves_the_verdict(after: str) -> None:
    assert analyse(SAFE + after.encode() + b"\n", KERNELS).all_problems == ()
    assert seen(analyse(SAFE + after.encode() + b"\n", KERNELS)) is Seen.BOUNDED


@pytest.mark.parametrize("star", ["from math import *", "from triton.language import *"])
def test_a_star_behind_the_imports_may_have_put_anything_in_their_place(star: str) -> None:
    # No kernel comes from there, but what `tl` means after it is not known.
    problems = analyse(SAFE + star.encode() + b"\n", KERNELS).all_problems
    assert "unknown-call" in {p.code for p in problems}


def indented(text: bytes) -> tuple[bytes, bytes]:
    head, _, definition = text.partition(b"@triton.jit")
    return head, b"".join(b"    " + line for line in (b"@triton.jit" + definition).splitlines(keepends=True))


PLACES = {
    "factory": "def make():\n{}\n    return kernel\n",
    "cached factory": "import functools\n@functools.cache\ndef make():\n{}\n    return kernel\n",
    "class": "class K:\n{}\n",
    "branch": "if fast:\n{}\n",
    "try": "try:\n{}\nexcept ImportError:\n    kernel = None\n",
    "loop": "for _ in (1,):\n{}\n",
    "with": "with quiet():\n{}\n",
    "case": "match 1:\n  case 1:\n{}\n",
}


@pytest.mark.parametrize("place", [p for p in PLACES if p != "try"])
def test_a_kernel_is_found_wherever_it_is_defined(place: str) -> None:
    for text, verdict in ((SAFE, Seen.BOUNDED), (UNSAFE, Seen.UNBOUNDED)):
        head, body = indented(text)
        whole = head + PLACES[place].format(body.decode()).encode()
        assert seen(analyse(whole, KERNELS)) is verdict


def test_a_static_method_is_a_kernel_too() -> None:
    head, body = indented(UNSAFE)
    text = head + b"class K:\n    @staticmethod\n" + body
    assert seen(analyse(text, KERNELS)) is Seen.UNBOUNDED
    text = text.replace(b"staticmethod", b"classmethod")
    assert "decorated" in codes(text)


@pytest.mark.parametrize("place", PLACES)
def test_an_unsafe_definition_beside_a_safe_one_is_not_safe(place: str) -> None:
    _, body = indented(UNSAFE)
    text = SAFE + PLACES[place].format(body.decode()).encode()
    assert seen(analyse(text, KERNELS)) is Seen.UNKNOWN
    assert "defined-twice" in codes(text)


def test_two_definitions_that_are_both_safe_are_safe() -> None:
    head, body = indented(SAFE)
    text = head + b"if fast:\n" + body + b"else:\n" + body
    assert seen(analyse(text, KERNELS)) is Seen.BOUNDED


JIT = [
    "import triton\n@triton.jit",
    "import triton\n@triton.jit()",
    "import triton\n@triton.jit(do_not_specialize=['rows'], repr=name)",
    "import triton as t\n@t.jit",
    "from triton import jit\n@jit",
    "from triton import jit as compiled\n@compiled",
    "from triton.runtime.jit import jit\n@jit(debug=True)",
    "from triton.experimental import gluon\n@gluon.jit",
    "from triton.experimental.gluon import jit\n@jit",
    "import triton.experimental.gluon as g\n@g.jit",
    "import triton.experimental.gluon\n@triton.experimental.gluon.jit",
    "try:\n    from triton.experimental import gluon\nexcept ImportError:\n    gluon = None\n@gluon.jit",
    "import triton\ncompiled = triton.jit\n@compiled",
    "from triton import *\n@jit",
    "import triton\nconfigs = 1\n@triton.autotune([triton.Config({'size': 64}, num_warps=4)], key=['rows'])\n@triton.jit",
    "import triton\n@triton.autotune(configs=[triton.Config({'size': s}) for s in (1, 2)], key=[])\n@triton.jit",
    "import triton\n@triton.autotune(configs=[triton.Config(kwargs={}, num_warps=4)], key=[])\n@triton.jit",
    "from triton import autotune, Config, jit\n@autotune([Config({'size': 64})], [])\n@jit",
    "import triton\n@triton.heuristics({'size': lambda a: 64})\n@triton.jit",
    "import triton\n@triton.heuristics(values={'size': lambda a: 64})\n@triton.jit",
]


@pytest.mark.parametrize("head", JIT)
def test_tritons_own_decorators_leave_the_text_what_runs(head: str) -> None:
    text = f"{head}\ndef kernel({SIGNATURE}): pass\n"
    found = bindings(text)
    (b,) = found.of("kernel")
    assert isinstance(b.node, ast.FunctionDef)
    assert is_jit(b.node.decorator_list[-1], found)
    assert decorator_doubt(b.node, found, ("Out", "width", "stride_row")) is None


@pytest.mark.parametrize(
    "head",
    [
        "from fast import jit\n@jit",
        "from numba import jit\n@jit",
        "from .jit import jit\n@jit",
        "import fast as triton\n@triton.jit",
        "from fast import gluon\n@gluon.jit",
        "import triton\ntriton = wrap(triton)\n@triton.jit",
        "import triton\ntriton.jit = other\n@triton.jit",
        "import triton\nsetattr(triton, 'jit', other)\n@triton.jit",
        "import triton\ndef jit(f):\n    return triton.jit(other)\n@jit",
        "try:\n    from fast import jit\nexcept ImportError:\n    from triton import jit\n@jit",
        "from fast import *\n@jit",
        "from fast import *\nfrom triton import *\n@jit",
        "import triton\n@triton.jit(fn=other)",
        "import triton\n@triton.jit(other)",
        "import triton\n@triton.jit(**options)",
        "import triton\n@replaced\n@triton.jit",
        "import triton\n@triton.jit\n@replaced",
        "import triton\n@lambda f: other\n@triton.jit",
        "import triton\n@make()\n@triton.jit",
        "import triton\n@table['jit']\n@triton.jit",
        "import triton\nimport functools\n@functools.cache\n@triton.jit",
        "import triton\n@property\n@triton.jit",
        "import triton\n@triton.heuristics({'width': lambda a: 1 << 20})\n@triton.jit",
        "import triton\n@triton.heuristics({'stride_row': lambda a: 0})\n@triton.jit",
        "import triton\n@triton.heuristics(values={'Out': lambda a: 0})\n@triton.jit",
        "import triton\n@triton.heuristics(HEURISTICS)\n@triton.jit",
        "import triton\n@triton.heuristics({**HEURISTICS})\n@triton.jit",
        "import triton\n@triton.heuristics({NAME: f})\n@triton.jit",
        "import triton\n@triton.heuristics(dict(width=f))\n@triton.jit",
        "import triton\n@triton.autotune(configs=[triton.Config({'width': 1 << 20})], key=[])\n@triton.jit",
        "import triton\n@triton.autotune(configs=[triton.Config(kwargs={'width': 1})], key=[])\n@triton.jit",
        "import triton\n@triton.autotune(configs=CONFIGS, key=[])\n@triton.jit",
        "import triton\n@triton.autotune(configs=get_configs(), key=[])\n@triton.jit",
        "import triton\n@triton.autotune(configs=[*CONFIGS], key=[])\n@triton.jit",
        "import triton\n@triton.autotune([triton.Config({'size': 1}, pre_hook=f)], [])\n@triton.jit",
        "import triton\n@triton.autotune([triton.Config({'size': 1})], [], pre_hook=f)\n@triton.jit",
        "import triton\n@triton.autotune([triton.Config({'size': 1}, **more)], [])\n@triton.jit",
        "import triton\n@triton.autotune([Config({'size': 1})], [])\n@triton.jit",
        "import triton\n@triton.autotune([triton.Config({'width': w}) for w in (1, 2)], [])\n@triton.jit",
        "import triton\nimport fast\n@fast.autotune([triton.Config({'size': 1})], [])\n@triton.jit",
        "import triton\nexec(text)\n@triton.jit",
    ],
)
def test_a_decorator_that_may_put_something_else_in_place_is_a_doubt(head: str) -> None:
    text = f"{head}\ndef kernel({SIGNATURE}): pass\n"
    found = bindings(text)
    (b,) = found.of("kernel")
    assert isinstance(b.node, ast.FunctionDef)
    doubt = decorator_doubt(b.node, found, ("Out", "width", "stride_row"))
    assert doubt is not None
    assert text.splitlines()[doubt[0] - 1].startswith("@")
    body = BODY.replace("\n", "\n    ")
    whole = text.replace("): pass", f"):\n    {body}") + "import triton.language as tl\n"
    assert seen(analyse(whole.encode(), KERNELS)) is Seen.UNKNOWN


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((b"def kernel(", b"def logits_kernel("), "undeclared-kernel"),
        (
            (b"def kernel(Out, stride_row, stride_head, width", b"def fast(Out, row_stride, head, limit"),
            "undeclared-kernel",
        ),
        ((b"def kernel(Out,", b"def fast(Logits,"), "undeclared-kernel"),
        ((b"stride_head, width,", b"stride_head, max_len,"), "no-parameter"),
        ((b"kernel(Out,", b"kernel(Logits,"), "no-parameter"),
        ((b"@triton.jit\ndef kernel(", b"def body("), "undeclared-kernel"),
        ((b"@triton.jit\ndef kernel(", b"@fast\ndef body("), "undeclared-kernel"),
        ((b"@triton.jit\ndef kernel", b"async def kernel"), "async"),
    ],
)
def test_other_names_and_parameters_are_unknown(change: tuple[bytes, bytes], code: str) -> None:
    text = SAFE.replace(*change)
    assert text != SAFE
    assert code in codes(text)
    assert seen(analyse(text, KERNELS)) is Seen.UNKNOWN


def test_neighbours_with_other_parameters_are_no_kernels() -> None:
    text = SAFE + b"\n@triton.jit\ndef schedule(rows, width, Data):\n    tl.store(Data, rows)\n"
    assert seen(analyse(text, KERNELS)) is Seen.BOUNDED


def test_compatibility_characters_are_read_as_the_parser_reads_them() -> None:
    text = UNSAFE.replace(b"kernel(", "\uff4bernel(".encode())
    assert b"kernel" not in text
    assert may_define(text, KERNELS)
    assert seen(analyse(text, KERNELS)) is Seen.UNBOUNDED


def test_every_way_of_binding_is_told_apart() -> None:
    found = bindings(
        "import a.b\nimport a.c as c\nfrom ..d import e as f\nx = a.b\ny = 1\nfor z in y: pass\n"
        "def g():\n    import hidden\n    def inner(): pass\n"
    )
    assert [(b.how, b.module, b.attribute) for n in "acf" for b in found.of(n)] == [
        (How.IMPORT, "a", None),
        (How.IMPORT, "a.c", None),
        (How.IMPORT, "..d", "e"),
    ]
    assert [b.how for n in "xyzg" for b in found.of(n)] == [How.VALUE, How.VALUE, How.OPAQUE, How.DEFINITION]
    assert found.of("hidden") == found.of("inner") == ()
    assert list(found.nested) == ["inner"]
    assert found.dotted(ast.parse("x.q", mode="eval").body) == {"a.b.q"}
    assert found.dotted(ast.parse("f.q", mode="eval").body) == {"..d.e.q"}
    assert found.dotted(ast.parse("len", mode="eval").body) == {"builtins.len"}
    assert found.dotted(ast.parse("z.q", mode="eval").body) == frozenset()


def test_bindings_come_in_the_order_of_the_text() -> None:
    found = bindings("if a:\n    k = 1\nelif b:\n    from m import k\nelse:\n    def k(): pass\nk = 2\n")
    assert [(b.line, b.how) for b in found.of("k")] == [
        (2, How.VALUE),
        (4, How.IMPORT),
        (6, How.DEFINITION),
        (7, How.VALUE),
    ]
