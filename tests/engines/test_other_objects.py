"""Small engines in which an object is not the one it looks like: made, filled, lent or configured by ways that no reading of
one class shows. None of the unsafe ones is called safe, or without calls; the safe ones are in the same styles."""

from __future__ import annotations

import pytest

from tests.engines.conftest import Judge
from tests.engines.frames import ARGS, LENGTH, LIMIT, METHOD, MODEL, verdict

# Made with a number, by whoever makes it.
MADE = (
    MODEL.replace("vllm_config):", "n):").replace(LIMIT, "n")
    + f"\n\ndef build(vllm_config):\n    return Indexer({LIMIT})\n"
)
RECORD = (
    "from dataclasses import dataclass\nfrom vllm.ops import paged_logits\n\n\n@dataclass\nclass Sizes:\n    width: int\n"
    f"    rows: int = 4\n\n\ndef first(vllm_config):\n    return Sizes({LIMIT})\n\n\n"
    f"def score(sizes: Sizes, {ARGS}):\n    return paged_logits({ARGS}, sizes.width)\n"
)
FROM_CONFIG = (
    "from vllm.ops import paged_logits\n\n\n"
    f"def score(config, {ARGS}):\n    return paged_logits({ARGS}, config.max_model_len)\n"
)
KEPT = MODEL.replace(
    "self.max_model_len = vllm_config.model_config.max_model_len", "self.config = vllm_config"
).replace("self.max_model_len)", "self.config.model_config.max_model_len)")
RATIO = (*LENGTH[:1], "10240", *LENGTH[2:], "--compress-ratio", "4")
RATIOS = MODEL.replace("lengths, tables):", "lengths, tables, compress_ratio):").replace(
    "self.max_model_len)", "self.max_model_len // compress_ratio)"
)
WIDE = "class Wide:\n    def widen(self):\n        self.width = 10001\n"
LENT = "from vllm.ops import Indexer\n\n\n" + WIDE + "\n\n"
UNSAFE: dict[str, dict[str, str]] = {
    # another configuration
    "config given another": {
        "model": FROM_CONFIG,
        "odd": f"from vllm.model import score\n\n\ndef run(vllm_config, other, {ARGS}):\n    return score(other.shadow, {ARGS})\n",
    },
    "config given another by keyword": {
        "model": FROM_CONFIG,
        "odd": f"from vllm.model import score\n\n\ndef run(other, {ARGS}):\n    return score(q=q, cache=cache, weights=weights, lengths=lengths, tables=tables, config=other)\n",
    },
    "config given another two calls up": {
        "model": FROM_CONFIG + f"\n\ndef outer(config, {ARGS}):\n    return score(config, {ARGS})\n",
        "odd": f"from vllm.model import outer\n\n\ndef run(other, {ARGS}):\n    return outer(other.shadow, {ARGS})\n",
    },
    "config filled with what a function makes": {
        "model": FROM_CONFIG,
        "odd": f"from vllm.model import score\n\n\ndef shadow(n):\n    return n.other\n\n\ndef run(n, {ARGS}):\n    return score(shadow(n), {ARGS})\n",
    },
    "config with a default": {
        "model": FROM_CONFIG.replace(f"config, {ARGS}", f"{ARGS}, config=OTHER").replace(
            "\n\ndef", "\n\nOTHER = object()\n\n\ndef", 1
        )
    },
    "kept config given another": {
        "model": KEPT,
        "odd": "from vllm.model import Indexer\n\n\ndef build(other):\n    return Indexer(other.shadow)\n",
    },
    "kept config set from outside": {
        "model": KEPT,
        "odd": "def change(indexer, other):\n    indexer.config = other.shadow\n",
    },
    "model config of the config set": {
        "model": KEPT,
        "odd": "def change(it, other):\n    it.model_config = other.draft\n",
    },
    "model config replaced": {
        "odd": "from dataclasses import replace\n\n\ndef change(vllm_config, other):\n    return replace(vllm_config, model_config=other.draft)\n",
    },
    "config by a local of a parameter": {
        "model": FROM_CONFIG.replace("    return", "    config = config.shadow\n    return")
    },
    "config chosen": {
        "model": FROM_CONFIG.replace("config, q", "config, spare, q").replace(
            "    return", "    config = config or spare\n    return"
        ),
        "odd": f"from vllm.model import score\n\n\ndef run(a, {ARGS}):\n    return score(None, a.shadow, {ARGS})\n",
    },
    "config with a length of its own": {"model": MODEL, "odd": "class ModelConfig:\n    max_model_len = 7\n"},
    # made otherwise
    "type of an object": {"model": MADE, "odd": "def again(indexer):\n    return type(indexer)(10001)\n"},
    "class of an object": {"model": MADE, "odd": "def again(indexer):\n    return indexer.__class__(10001)\n"},
    "type kept in a name": {
        "model": MADE,
        "odd": "def again(indexer):\n    made = type(indexer)\n    return made(10001)\n",
    },
    "class kept in a name": {
        "model": MADE,
        "odd": "def again(indexer):\n    made = indexer.__class__\n    return made(10001)\n",
    },
    "type given on": {"model": MADE, "odd": "def again(indexer, make):\n    return make(type(indexer), 10001)\n"},
    "subclasses of the base": {
        "model": MADE.replace("class Indexer:", "from vllm.mix import Base\n\n\nclass Indexer(Base):"),
        "mix": "class Base:\n    pass\n\n\ndef make(n):\n    return [c(n + 1) for c in Base.__subclasses__()]\n",
    },
    "order of the classes": {"model": MADE, "odd": "def again(indexer):\n    return indexer.__mro__[0](10001)\n"},
    "classmethod of a mixin": {
        "model": MADE.replace("class Indexer:", "from vllm.mix import Makes\n\n\nclass Indexer(Makes):"),
        "mix": "class Makes:\n    @classmethod\n    def make(cls, n):\n        return cls(n + 1)\n",
    },
    "classmethod lent": {
        "model": MADE,
        "odd": "from vllm.model import Indexer\n\n\nclass Makes:\n    @classmethod\n    def make(cls, n):\n        return cls(n + 1)\n\n\nIndexer.make = Makes.__dict__['make']\n",
    },
    "type of self in a mixin": {
        "model": MADE.replace("class Indexer:", "from vllm.mix import Makes\n\n\nclass Indexer(Makes):"),
        "mix": "class Makes:\n    def again(self, n):\n        return type(self)(n + 1)\n",
    },
    "initialised again": {"model": MADE, "odd": "def again(indexer):\n    indexer.__init__(10001)\n"},
    "initialised through its class": {
        "model": MADE,
        "odd": "from vllm.model import Indexer\n\n\ndef again(it):\n    Indexer.__init__(it, 10001)\n",
    },
    "initialised by an heir": {
        "model": MADE,
        "odd": "from vllm.model import Indexer\n\n\nclass Wide(Indexer):\n    def __init__(self):\n        super().__init__(10001)\n",
    },
    "initialised by an heir's heir": {
        "model": MADE,
        "odd": "from vllm.model import Indexer\n\n\nclass Same(Indexer):\n    pass\n\n\nclass Wide(Same):\n    def __init__(self):\n        super(Wide, self).__init__(10001)\n",
    },
    "an heir made": {
        "model": MADE,
        "odd": "from vllm.model import Indexer\n\n\nclass Same(Indexer):\n    pass\n\n\ndef make():\n    return Same(10001)\n",
    },
    "new and initialised": {
        "model": MADE,
        "odd": "from vllm.model import Indexer\n\n\ndef make():\n    it = Indexer.__new__(Indexer)\n    it.__init__(10001)\n    return it\n",
    },
    "class from a table": {
        "model": MADE,
        "odd": "from vllm.model import Indexer\n\nTABLE = {'rocm': Indexer}\n\n\ndef make(name):\n    return TABLE[name](10001)\n",
    },
    "class by a name worked out": {
        "model": MADE,
        "odd": "from vllm import model\n\n\ndef make(name):\n    return getattr(model, name)(10001)\n",
    },
    "class of a type's attribute": {
        "model": MADE,
        "odd": "from vllm.model import Indexer\n\n\nclass Layer:\n    indexer_cls = Indexer\n\n    def make(self):\n        return self.indexer_cls(10001)\n",
    },
    "record replaced": {
        "model": RECORD,
        "odd": "from dataclasses import replace\n\n\ndef again(sizes):\n    return replace(sizes, width=10001)\n",
    },
    "record of a type": {"model": RECORD, "odd": "def again(sizes):\n    return type(sizes)(10001)\n"},
    "record from a dict": {
        "model": RECORD,
        "odd": "from vllm.model import Sizes\n\n\ndef again(given):\n    return Sizes(**given)\n",
    },
    "record with a default": {
        "model": RECORD.replace("width: int", "width: int = 10001"),
        "odd": "from vllm.model import Sizes\n\n\ndef again():\n    return Sizes()\n",
    },
    "record of another class": {
        "model": RECORD,
        "odd": "from vllm.model import score\n\n\nclass Other:\n    width = 10001\n\n\ndef run(q):\n    return score(Other(), q, q, q, q, q)\n",
    },
    "record set from outside": {"model": RECORD, "odd": "def grow(sizes):\n    sizes.width += 1\n"},
    # lent
    "method lent": {"ops": METHOD, "odd": LENT + "Indexer.widen = Wide.widen\n"},
    "method lent by setattr": {"ops": METHOD, "odd": LENT + "setattr(Indexer, 'widen', Wide.widen)\n"},
    "method called with another object": {
        "ops": METHOD,
        "odd": WIDE + "\n\ndef run(indexer):\n    Wide.widen(indexer)\n",
    },
    "method bound to another object": {
        "ops": METHOD,
        "odd": "import types\n\n\n" + WIDE + "\n\ndef run(indexer):\n    types.MethodType(Wide.widen, indexer)()\n",
    },
    "class of an object changed": {
        "ops": METHOD,
        "odd": "class Wide:\n    width = 10001\n\n\ndef run(indexer):\n    indexer.__class__ = Wide\n",
    },
    "property lent": {
        "ops": METHOD,
        "odd": "from vllm.ops import Indexer\n\nIndexer.width = property(lambda self: 7)\n",
    },
    "allocation lent": {
        "ops": METHOD,
        "odd": "import torch\nfrom vllm.ops import Indexer\n\n\ndef small(self, rows):\n    return torch.empty((rows, 7))\n\n\nIndexer.make = small\n",
    },
    "length of a class of its own kind": {
        "ops": METHOD,
        "odd": "class Narrow:\n    def __init__(self, indexer):\n        self.__dict__ = indexer.__dict__\n        self.width = 10001\n",
    },
    "state taken from elsewhere": {
        "ops": METHOD,
        "odd": "def load(indexer, state):\n    indexer.__dict__.update(state)\n",
    },
    "state set": {
        "ops": METHOD,
        "odd": "def load(indexer, state):\n    indexer.__setstate__(state)\n\n\nclass Loads:\n    def __setstate__(self, state):\n        self.__dict__ = state\n",
    },
    "object of somebody else's": {
        "ops": METHOD.replace("self.width, Pre", "tables.width, Pre").replace(
            "self.make(rows)", "torch.empty((rows, tables.width))"
        )
    },
    "attribute of somebody else's object": {
        "ops": METHOD.replace(
            "class Indexer:",
            "from elsewhere import Sized\n\n\nclass Other(Sized):\n    def score(self, q, cache, weights, lengths, tables):\n        out = torch.empty((4, self.width))\n        deepgemm_fp8_paged_mqa_logits(q, cache, weights, out, lengths, tables, self.width, Preshuffle=True, KVBlockSize=64)\n\n\nclass Indexer:",
        )
    },
    "record filled with another object": {
        "model": RECORD,
        "odd": "from vllm.model import score\n\n\ndef run(q):\n    return score(q.sizes, q, q, q, q, q)\n",
    },
    "record filled with another object two calls up": {
        "model": RECORD,
        "odd": "from vllm.model import score\n\n\ndef run(sizes, q):\n    return score(sizes, q, q, q, q, q)\n\n\n"
        "def go(q):\n    return run(q.sizes, q)\n",
    },
    "record's function handed on": {
        "model": RECORD,
        "odd": "from vllm.model import score\n\n\ndef run(q):\n    return q.launch(score, q.sizes)\n",
    },
    # by ways of storing
    "record replaced by another name": {
        "model": RECORD,
        "odd": "from dataclasses import replace as changed\n\n\ndef again(sizes):\n    return changed(sizes, width=10001)\n",
    },
    "record replaced by a function kept": {
        "model": RECORD,
        "odd": "import dataclasses\n\nchanged = dataclasses.replace\n\n\ndef again(sizes):\n    return changed(sizes, width=10001)\n",
    },
    "record replaced by a partial": {
        "model": RECORD,
        "odd": "import dataclasses\nimport functools\n\nagain = functools.partial(dataclasses.replace, width=10001)\n",
    },
    "record replaced from a dict": {
        "model": RECORD,
        "odd": "from dataclasses import replace\n\n\ndef again(sizes, given):\n    return replace(\n        sizes,\n        **given,\n    )\n",
    },
    "record replaced from a dict that is stated": {
        "model": RECORD,
        "odd": "from dataclasses import replace\n\nGIVEN = {'width': 10001}\n\n\ndef again(sizes):\n    return replace(sizes, **GIVEN)\n",
    },
    "record copied": {
        "model": RECORD,
        "odd": "def again(sizes):\n    return sizes.model_copy(update={'width': 10001})\n",
    },
    "descriptor": {
        "ops": METHOD.replace("    def __init__", "    width = Wide()\n\n    def __init__").replace(
            "class Indexer:", "class Wide:\n    def __get__(self, it, kind):\n        return 7\n\n\nclass Indexer:"
        )
    },
    "set by text kept elsewhere": {
        "ops": METHOD,
        "odd": "CODE = 'it.width = 7'\n",
        "more": "from vllm.odd import CODE\n\n\ndef run(it):\n    exec(CODE)\n",
    },
    "called by text kept elsewhere": {
        "odd": "CODE = 'from vllm.ops import paged_logits as f; f(q, q, q, q, q, 7)'\n",
        "more": "from vllm.odd import CODE\n\n\ndef run(q):\n    exec(CODE)\n",
    },
    "set by a patch": {
        "ops": METHOD,
        "odd": "from unittest import mock\n\n\ndef run(it):\n    mock.patch.object(it, 'width', 7).start()\n",
    },
    "set by a patch of several": {
        "ops": METHOD,
        "odd": "from unittest import mock\n\n\ndef run(it):\n    mock.patch.multiple(it, width=7).start()\n",
    },
    "set by a function elsewhere": {
        "ops": METHOD,
        "odd": "from elsewhere import assign\n\n\ndef run(it):\n    assign(it, 'width', 7)\n",
    },
    "set by a keyword elsewhere": {
        "ops": METHOD,
        "odd": "from elsewhere import assign\n\n\ndef run(it):\n    assign(it, width=7)\n",
    },
    "set on lines": {
        "ops": METHOD,
        "odd": "def run(it, name):\n    setattr(\n        it,\n        name,\n        7,\n    )\n",
    },
    "set by a name kept": {
        "ops": METHOD,
        "odd": "NAME = 'width'\n\n\ndef run(it):\n    object.__setattr__(it, NAME, 7)\n",
    },
    "set in its dict by a function": {
        "ops": METHOD,
        "odd": "import operator\n\n\ndef run(it):\n    operator.setitem(vars(it), 'width', 7)\n",
    },
    "set by a partial": {
        "ops": METHOD,
        "odd": "import functools\n\n\ndef run(it):\n    functools.partial(setattr, it, 'width')(7)\n",
    },
    "set by text": {"ops": METHOD, "odd": "def run(it):\n    exec('it.width = 7')\n"},
    "set by text kept": {"ops": METHOD, "odd": "CODE = 'it.width = 7'\n\n\ndef run(it):\n    exec(CODE)\n"},
    "set on several lines": {
        "ops": METHOD,
        "odd": "def run(it):\n    (\n        it.width,\n        it.other,\n    ) = 7, 8\n",
    },
    "one of several of a class": {
        "ops": METHOD,
        "odd": "from vllm.ops import Indexer\n\n\nclass Wide(Indexer):\n    width, height = 7, 8\n",
    },
    "named by a class as it goes": {
        "ops": METHOD,
        "odd": "from vllm.ops import Indexer\n\n\nclass Wide(Indexer):\n    print(width := 7)\n",
    },
    "looped by a class": {
        "ops": METHOD,
        "odd": "from vllm.ops import Indexer\n\n\nclass Wide(Indexer):\n    for width in (7, 8):\n        pass\n",
    },
    "imported by a class": {
        "ops": METHOD,
        "odd": "from vllm.ops import Indexer\n\n\nclass Wide(Indexer):\n    from vllm.sizes import (\n        height,\n        width,\n    )\n",
        "sizes": "height = width = 7\n",
    },
    "set by a with": {"ops": METHOD, "odd": "def run(it, opened):\n    with opened as it.width:\n        pass\n"},
    "a class of classes": {
        "ops": METHOD.replace("class Indexer:", "from elsewhere import Meta\n\n\nclass Indexer(metaclass=Meta):")
    },
    "a class decorated elsewhere": {
        "ops": METHOD.replace("class Indexer:", "from elsewhere import patched\n\n\n@patched\nclass Indexer:")
    },
    "a method run with another object": {
        "ops": METHOD,
        "odd": "from vllm.ops import Indexer\n\n\ndef run(other, q):\n    Indexer.score(other, q, q, q, q, q, 4)\n",
    },
    "a method lent to another class": {
        "ops": METHOD,
        "odd": "from elsewhere import Sized\nfrom vllm.ops import Indexer\n\n\nclass Other(Sized):\n    score = Indexer.score\n",
    },
    "config that a function gives": {
        "model": MODEL.replace("vllm_config):", "n):").replace("vllm_config.model", "get_config().model"),
    }
    | {
        "model": MODEL.replace("class Indexer", "def get_config():\n    return OTHER\n\n\nclass Indexer").replace(
            "= vllm_config.model_config", "= get_config()"
        )
    },
    "config of a base elsewhere": {
        "model": MODEL.replace("class Indexer:", "from elsewhere import Model\n\n\nclass Indexer(Model):").replace(
            "= vllm_config.model_config", "= self.config"
        )
    },
    "record with a factory": {
        "model": RECORD.replace("width: int", "width: int = field(default_factory=wide)")
        .replace("import dataclass", "import dataclass, field")
        .replace("@data", "def wide():\n    return 7\n\n\n@data"),
        "odd": "from vllm.model import Sizes\n\n\ndef again():\n    return Sizes()\n",
    },
    "record of an heir with more": {
        "model": RECORD,
        "odd": "from dataclasses import dataclass\nfrom vllm.model import Sizes\n\n\n@dataclass\nclass More(Sizes):\n    extra: int = 0\n\n\ndef again():\n    return More(7, 1, 2)\n",
    },
    "record with a field nobody fills": {
        "model": RECORD.replace(
            "    width: int\n", "    first: int = field(init=False)\n    width: int = 64\n"
        ).replace("import dataclass", "import dataclass, field"),
        "odd": "from vllm.model import Sizes\n\n\ndef again():\n    return Sizes(7)\n",
    },
}
UNSAFE_RATIOS: dict[str, str] = {
    "given by a caller": RATIOS + "\n    def run(self, q):\n        return self.score(q, q, q, q, q, 3)\n",
    "given by keyword": RATIOS
    + "\n    def run(self, q):\n        return self.score(q, q, q, q, tables=q, compress_ratio=3)\n",
    "by default": RATIOS.replace("compress_ratio):", "compress_ratio=3):")
    + "\n    def run(self, q):\n        return self.score(q, q, q, q, q)\n",
    "given two calls up": RATIOS
    + "\n    def run(self, q, compress_ratio):\n        return self.score(q, q, q, q, q, compress_ratio)\n\n    def go(self, q):\n        return self.run(q, 3)\n",
    "of the object": RATIOS.replace("// compress_ratio", "// self.compress_ratio").replace(
        "        self.max", "        self.compress_ratio = 3\n        self.max"
    ),
    "of the object, set from outside": RATIOS.replace("// compress_ratio", "// self.compress_ratio").replace(
        "        self.max", "        self.compress_ratio = vllm_config.compress_ratio\n        self.max"
    )
    + "\n\ndef tune(indexer):\n    indexer.compress_ratio = 3\n",
    "at least": RATIOS.replace("// compress_ratio", "// max(compress_ratio, 6)"),
    "of memory": RATIOS.replace("// compress_ratio", "// tables.memory_ratio"),
    "and something else": RATIOS.replace("// compress_ratio", "// (compress_ratio + 2)"),
    "of a local": RATIOS.replace("        return", "        compress_ratio = 3\n        return"),
}
SAFE: dict[str, dict[str, str]] = {
    "made with the length": {"model": MADE},
    "config handed on": {
        "model": FROM_CONFIG,
        "odd": f"from vllm.model import score\n\n\ndef run(vllm_config, {ARGS}):\n    return score(vllm_config.model_config, {ARGS})\n",
    },
    "kept config": {"model": KEPT},
    "kept config of a layer": {
        "model": KEPT,
        "odd": "from vllm.model import Indexer\n\n\nclass Layer:\n    def __init__(self, vllm_config):\n        self.indexer = Indexer(vllm_config)\n",
    },
    "record": {"model": RECORD},
    "record by keyword": {"model": RECORD.replace("Sizes(v", "Sizes(width=v")},
    "type asked for its name": {
        "model": MADE,
        "odd": "def say(indexer):\n    print(type(indexer).__name__, indexer.__class__.__name__)\n",
    },
    "types compared": {"model": MADE, "odd": "def same(a, b):\n    return type(a) is type(b)\n"},
    "type made of no arguments": {"model": MADE, "odd": "def again(other):\n    return type(other)()\n"},
    "another attribute set": {"ops": METHOD, "odd": "class Other:\n    def grow(self):\n        self.height = 10001\n"},
    "heir with no length of its own": {
        "ops": METHOD,
        "odd": "from vllm.ops import Indexer\n\n\nclass Same(Indexer):\n    def name(self):\n        return 'same'\n",
    },
    "method of the same name elsewhere": {
        "model": MADE,
        "odd": "class Other:\n    def score(self, a):\n        return a\n\n\ndef run(other: Other):\n    return other.score(7)\n",
    },
    "heir's initialiser": {
        "model": MADE,
        "odd": f"from vllm.model import Indexer\n\n\nclass Named(Indexer):\n    def __init__(self, vllm_config, name):\n        super().__init__({LIMIT})\n        self.name = name\n",
    },
}
SAFE_RATIOS: dict[str, str] = {
    "handed on": RATIOS
    + "\n    def run(self, q, vllm_config):\n        return self.score(q, q, q, q, q, vllm_config.compress_ratio)\n",
    "of the object": RATIOS.replace("// compress_ratio", "// self.compress_ratio").replace(
        "        self.max", "        self.compress_ratio = vllm_config.compress_ratio\n        self.max"
    ),
    "at least one": RATIOS.replace("// compress_ratio", "// max(1, compress_ratio)")
    + "\n    def run(self, q, vllm_config):\n        return self.score(q, q, q, q, q, vllm_config.compress_ratio)\n",
    "given as it is": RATIOS + "\n    def run(self, q):\n        return self.score(q, q, q, q, q, 4)\n",
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe(judge: Judge, name: str) -> None:
    assert verdict(judge, UNSAFE[name]) != 0


@pytest.mark.parametrize("name", UNSAFE_RATIOS)
def test_unsafe_ratio(judge: Judge, name: str) -> None:
    assert verdict(judge, {"model": UNSAFE_RATIOS[name]}, RATIO) != 0


@pytest.mark.parametrize("name", SAFE)
def test_safe(judge: Judge, name: str) -> None:
    assert verdict(judge, SAFE[name]) == 0


@pytest.mark.parametrize("name", SAFE_RATIOS)
def test_safe_ratio(judge: Judge, name: str) -> None:
    assert verdict(judge, {"model": SAFE_RATIOS[name]}, RATIO) == 0
