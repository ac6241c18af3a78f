"""An interpreter for the pseudocode that AMD's ISA manual gives for each instruction, one lane at a time.

The text comes with tinygrad's wheel, taken from the manual; this interpreter and the emulator share no code. Values
are bit patterns with a kind; floating-point arithmetic is exact rational arithmetic rounded once.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, reduce
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(//[^\n]*)|(\d+'[UIFBui](?=\())|(\d+'-?(?:0x[0-9a-fA-F]+|\d+)U?)|(0x[0-9a-fA-F]+(?:ULL|LL|U)?)"
    r"|(\d+\.\d+F?)|(\d+(?:ULL|LL|U)?)|([A-Za-z_]\w*)|(\*\*|<<|>>|<>|<=|>=|==|!=|&&|\|\||\+=|-=|[-+*/&|^~!<>=?:;.,()\[\]{}]))"
)
_FLOATS = {16: ("<e", "<H", 5, 10), 32: ("<f", "<I", 8, 23), 64: ("<d", "<Q", 11, 52)}


@dataclass(frozen=True)
class Value:
    """Bits of a width, read as unsigned (``u``), signed (``i``) or float (``f``)."""

    kind: str
    width: int
    bits: int

    @property
    def number(self) -> Any:
        """The value: an int, or a float."""
        if self.kind == "f":
            pack, unpack, _, _ = _FLOATS[self.width]
            return struct.unpack(pack, struct.pack(unpack, self.bits))[0]
        if self.kind == "i" and self.bits >> (self.width - 1):
            return self.bits - (1 << self.width)
        return self.bits


def integer(value: int, width: int = 32, kind: str = "i") -> Value:
    """An int wrapped to a width."""
    return Value(kind, width, value & (1 << width) - 1)


def real(value: Any, width: int) -> Value:
    """A float or Fraction rounded once, to nearest even."""
    if isinstance(value, float) and (math.isnan(value) or math.isinf(value) or value == 0):
        pack, unpack, _, _ = _FLOATS[width]
        return Value("f", width, struct.unpack(unpack, struct.pack(pack, value))[0])
    return Value("f", width, _rounded(Fraction(value), width))


def _rounded(value: Fraction, width: int) -> int:
    _, _, exponent_bits, mantissa_bits = _FLOATS[width]
    bias = (1 << exponent_bits - 1) - 1
    sign = int(value < 0) << (width - 1)
    value = abs(value)
    if not value:
        return sign
    exponent = max(value.numerator.bit_length() - value.denominator.bit_length(), -bias + 1)
    while Fraction(2) ** exponent > value and exponent > -bias + 1:
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= value:
        exponent += 1
    scaled = value / Fraction(2) ** (exponent - mantissa_bits)
    whole, rest = divmod(scaled, 1)
    whole = int(whole)
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole & 1):
        whole += 1
    bits = whole if whole < 1 << mantissa_bits else ((exponent + bias - 1) << mantissa_bits) + whole
    return sign | min(bits, ((1 << exponent_bits) - 1) << mantissa_bits)


def _is_nan(value: Value) -> bool:
    return bool(value.number != value.number)


def _fma(a: Value, b: Value, c: Value) -> Value:
    x, y, z = a.number, b.number, c.number
    if all(map(math.isfinite, (x, y, z))):
        exact = Fraction(x) * Fraction(y) + Fraction(z)
        if exact:
            return real(exact, a.width)
        product = math.copysign(1, x) * math.copysign(1, y)
        zero = -0.0 if product < 0 and math.copysign(1, z) < 0 and x * y == 0 and z == 0 else 0.0
        return real(zero, a.width)
    try:
        return real(x * y + z, a.width)
    except OverflowError:
        return real(math.inf, a.width)


def _arithmetic(op: str, a: Value, b: Value) -> Value:
    if "f" in (a.kind, b.kind):
        width = max(v.width for v in (a, b) if v.kind == "f")
        x, y = a.number, b.number
        if op == "/":
            if y == 0:
                return real(math.nan if x == 0 or x != x else math.copysign(math.inf, x) * math.copysign(1, y), width)
            if math.isfinite(x) and math.isfinite(y) and x:
                return real(Fraction(x) / Fraction(y), width)
            return real(x / y, width)
        if op == "**":
            return real(Fraction(x) ** y if isinstance(y, int) else math.nan, width)
        if all(map(math.isfinite, (x, y))):
            exact = {"+": Fraction(x) + Fraction(y), "-": Fraction(x) - Fraction(y), "*": Fraction(x) * Fraction(y)}[op]
            if exact:
                return real(exact, width)
        return real({"+": x + y, "-": x - y, "*": x * y}[op], width)
    width = max(a.width, b.width)
    kind = "u" if "u" in (a.kind, b.kind) else "i"
    x, y = a.number, b.number
    results: dict[str, Callable[[], int]] = {
        "+": lambda: x + y,
        "-": lambda: x - y,
        "*": lambda: x * y,
        "&": lambda: x & y,
        "|": lambda: x | y,
        "^": lambda: x ^ y,
    }
    return integer(results[op](), width, kind)


class _Break(Exception):  # noqa: N818 - control flow
    pass


def _extremes(name: str) -> Callable[..., Value]:
    _, which, kind = name.split("_")
    pick = max if "max" in which else min
    if kind == "f32":
        pair = f"V_{which[:3].upper()}_F32_E32"

        def chosen(a: Value, b: Value) -> Value:
            if which in ("maximum", "minimum") and (_is_nan(a) or _is_nan(b)):
                return real(math.nan, 32)
            return run_expression_of(pair, a, b)

        return lambda *values: reduce(chosen, values)
    return lambda *values: pick(values, key=lambda v: v.number)


class Interpreter:
    """Runs one instruction's pseudocode for one lane.

    Args:
        text: the pseudocode.
        variables: ``S0``, ``S1``, ``S2``, ``D0``, ``SCC``, ``VCC``, ``EXEC``, ``laneId`` as unsigned values; written
            back as the code assigns.
    """

    def __init__(self, text: str, variables: dict[str, Value]) -> None:
        self.variables = variables
        self.tokens = _tokens(text)
        self.at = 0

    def run(self) -> None:
        """Execute everything."""
        self._statements(frozenset(), True)
        assert self.at == len(self.tokens), self.tokens[self.at :]

    # Statements

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _next(self, expected: str | None = None) -> str:
        token = self._peek()
        if expected is not None and token != expected:
            raise SyntaxError(f"expected {expected!r}, found {token!r} in {self.tokens}")
        self.at += 1
        return token

    def _statements(self, ends: frozenset[str], live: bool) -> None:
        while self._peek() and self._peek() not in ends:
            if self._peek() == ";":
                self._next()
                continue
            self._statement(live)

    def _statement(self, live: bool) -> None:
        token = self._peek()
        if token == "if":
            self._if(live)
        elif token == "for":
            self._for(live)
        elif token == "break":
            self._next()
            if live:
                raise _Break
        else:
            self._assignment(live)

    def _if(self, live: bool) -> None:
        done = False
        self._next("if")
        while True:
            condition = bool(self._expression().number)
            self._next("then")
            self._statements(frozenset({"elsif", "else", "endif"}), live and condition and not done)
            done = done or condition
            if self._peek() != "elsif":
                break
            self._next()
        if self._peek() == "else":
            self._next()
            self._statements(frozenset({"endif"}), live and not done)
        self._next("endif")

    def _for(self, live: bool) -> None:
        self._next("for")
        name = self._next()
        self._next("in")
        first = self._expression().number
        self._next(":")
        last = self._expression().number
        self._next("do")
        body = self.at
        stopped = not live
        for number in range(first, last + 1):
            self.at = body
            self.variables[name] = integer(number)
            try:
                self._statements(frozenset({"endfor"}), not stopped)
            except _Break:
                stopped = True
                self.at = body
                self._statements(frozenset({"endfor"}), False)
                break
        self._next("endfor")

    def _assignment(self, live: bool) -> None:
        if self._peek() == "{":
            self._next()
            targets = [self._target()]
            while self._peek() == ",":
                self._next()
                targets.append(self._target())
            self._next("}")
            self._next("=")
            value = self._expression()
            shift = 0
            for target in reversed(targets):
                width = target[1][0][2]
                if live:
                    name, path = target
                    self._store(name, path, integer(value.bits >> shift, width, "u"))
                shift += width
            return
        target = self._target()
        operator = self._next()
        also = self._chained_target() if operator == "=" else None
        value = self._expression()
        if not live:
            return
        if also is not None:
            self._store(*also, value)
        if operator in ("+=", "-="):
            value = _arithmetic(operator[0], self._load(*target), value)
        elif operator != "=":
            raise SyntaxError(operator)
        self._store(*target, value)

    def _chained_target(self) -> tuple[str, list[Any]] | None:
        """The second target of ``a = b = value``, if this is one."""
        start = self.at
        if self._peek() == "D0":
            target = self._target()
            if self._peek() == "=":
                self._next()
                return target
        self.at = start
        return None

    def _target(self) -> tuple[str, list[Any]]:
        name = self._next()
        path: list[Any] = []
        while self._peek() in (".", "["):
            if self._next() == ".":
                kind, width = _type(self._next())
                path.append(("type", kind, width))
            else:
                path.append(("bits", *self._range()))
        return name, path

    def _range(self) -> tuple[int, int]:
        high = int(self._expression().number)
        low = high
        if self._peek() == ":":
            self._next()
            low = int(self._expression().number)
        self._next("]")
        return high, low

    def _load(self, name: str, path: list[Any]) -> Value:
        value = self.variables.get(name, Value("u", 64, 0))
        for step in path:
            value = _typed(value, step[1], step[2]) if step[0] == "type" else _slice(value, step[1], step[2])
        return value

    def _store(self, name: str, path: list[Any], value: Value) -> None:
        if not path:
            old = self.variables.get(name)
            if old is not None and name in ("SCC", "D0"):
                value = Value(old.kind, old.width, value.bits & (1 << old.width) - 1)
            self.variables[name] = value
            return
        old = self.variables.get(name, Value("u", 64, 0))
        ranges = [step for step in path if step[0] == "bits"]
        types = [step for step in path if step[0] == "type"]
        if types:
            value = _converted(value, types[-1][1], types[-1][2])
        if ranges:
            high, low = ranges[0][1], ranges[0][2]
            if high < low:
                raise SyntaxError("reversed target")
            width = high - low + 1
        else:
            low, width = 0, types[-1][2]
        mask = (1 << width) - 1
        bits = old.bits & ~(mask << low) | (value.bits & mask) << low
        if name == "tmp" and not ranges:
            self.variables[name] = Value(value.kind, width, value.bits & mask)
            return
        self.variables[name] = Value(old.kind, max(old.width, low + width), bits)

    # Expressions, by precedence

    _LEVELS = (("||",), ("&&",), ("|",), ("^",), ("&",), ("===", "==", "!=", "<>"), ("<", ">", "<=", ">="), ("<<", ">>"),
               ("+", "-"), ("*", "/"), ("**",))  # fmt: skip

    _PRECEDENCE = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators}  # noqa: RUF012

    def _expression(self) -> Value:
        condition = self._binary(0)
        if self._peek() != "?":
            return condition
        self._next()
        yes = self._expression()
        self._next(":")
        no = self._expression()
        return yes if condition.number else no

    def _binary(self, least: int) -> Value:
        left = self._unary()
        while (level := self._PRECEDENCE.get(self._peek(), -1)) >= least:
            operator = self._next()
            left = _combined(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Value:
        token = self._peek()
        if token in ("~", "-", "+", "!"):
            self._next()
            value = self._unary()
            if token == "~":
                return integer(~value.bits, value.width, value.kind)
            if token == "!":
                return integer(int(not value.number), 1, "u")
            if token == "+":
                return value
            if value.kind == "f":
                return Value("f", value.width, value.bits ^ 1 << (value.width - 1))
            return integer(-value.number, value.width, value.kind)
        return self._postfix()

    def _postfix(self) -> Value:
        value = self._primary()
        while self._peek() in (".", "["):
            dot = self._next() == "."
            value = _typed(value, *_type(self._next())) if dot else _slice(value, *self._range())
        return value

    def _primary(self) -> Value:
        token = self._next()
        if token == "(":
            value = self._expression()
            self._next(")")
            return value
        if token == "{":
            parts = [self._expression()]
            while self._peek() == ",":
                self._next()
                parts.append(self._expression())
            self._next("}")
            bits = width = 0
            for part in parts:
                bits, width = bits << part.width | part.bits, width + part.width
            return Value("u", width, bits)
        if re.fullmatch(r"\d+'[UIFB]", token):
            width, kind = int(token[:-2]), token[-1].lower()
            self._next("(")
            value = self._expression()
            self._next(")")
            return _converted(value, "u" if kind == "b" else kind, width)
        if (number := _literal(token)) is not None:
            return number
        if token == "WAVE_MODE":
            self._next(".")
            self._next("IEEE")
            return integer(1, 1, "u")
        if token == "INST":
            self._next(".")
            return self.variables["INST." + self._next()]
        if self._peek() == "(":
            self._next()
            arguments = [self._expression()]
            while self._peek() == ",":
                self._next()
                arguments.append(self._expression())
            self._next(")")
            return _call(token, arguments)
        if token not in self.variables and token.isupper() and "ROUND" in token:
            return integer(0)
        return self.variables.get(token, Value("u", 64, 0))


@cache
def _literal(token: str) -> Value | None:
    """A number as it is written; None for anything else."""
    if "'" in token:
        width_text, number = token.split("'")
        return integer(int(number.rstrip("U"), 0), int(width_text), "u")
    if re.fullmatch(r"\d+\.\d+F?", token):
        return real(float(token.rstrip("F")), 32 if token.endswith("F") else 64)
    if not token[0].isdigit():
        return None
    suffix = re.search(r"[UL]*$", token)
    marks = suffix.group() if suffix else ""
    number_text = token[: len(token) - len(marks)]
    return integer(int(number_text, 0), 64 if "LL" in marks else 32, "u" if "U" in marks else "i")


@cache
def _text_of(name: str) -> str:
    from tinygrad.runtime.autogen.amd.cdna.str_pcode import PCODE

    return next(str(code) for op, code in PCODE.items() if op.name == name)


def run_expression_of(name: str, a: Value, b: Value) -> Value:
    """The result of a two-source instruction's own pseudocode, which others refer to."""
    text = _text_of(name)
    variables = {"S0": a, "S1": b, "D0": Value("u", 64, 0)}
    Interpreter(text, variables).run()
    return _typed(variables["D0"], a.kind, a.width)


@cache
def _tokens(text: str) -> list[str]:
    found = []
    at = 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise SyntaxError(f"cannot read {text[at : at + 40]!r}")
        if match.group(1) is None:
            found.append(match.group().strip())
        at = match.end()
        while at < len(text) and text[at].isspace():
            at += 1
    for place in range(len(found) - 2):
        # "x == +0.0" and "x == -0.0" in the manual ask for the sign of zero as well.
        if found[place] == "==" and found[place + 1] in "+-" and found[place + 2] == "0.0":
            found[place] = "==="
    return found


def _type(name: str) -> tuple[str, int]:
    if name == "bf16":
        return "u", 16
    kind = "u" if name[0] == "b" else name[0]
    return kind, int(name.lstrip("uifb"))


def _typed(value: Value, kind: str, width: int) -> Value:
    """Bits read as another type; zero-extended where they are fewer."""
    return Value(kind, width, value.bits & (1 << width) - 1)


def _slice(value: Value, high: int, low: int) -> Value:
    if high < low:
        bits = 0
        for k in range(high, low + 1):
            bits = bits << 1 | value.bits >> k & 1
        return Value("u", low - high + 1, bits)
    return Value("u", high - low + 1, value.bits >> low & (1 << high - low + 1) - 1)


def _converted(value: Value, kind: str, width: int) -> Value:
    """The value in another type."""
    if kind == "f":
        if value.kind != "f":
            return real(Fraction(value.number), width) if value.number else real(0.0, width)
        if value.width == width or _is_nan(value):
            if value.width == width:
                return value
            _, _, _, old_bits = _FLOATS[value.width]
            _, _, exponent_bits, new_bits = _FLOATS[width]
            payload = value.bits & (1 << old_bits) - 1
            # Widening keeps a signalling NaN one (the manual asks isSignalNAN of a widened value); narrowing quiets.
            widens = new_bits >= old_bits
            payload = (
                payload << (new_bits - old_bits) if widens else payload >> (old_bits - new_bits) | 1 << (new_bits - 1)
            )
            sign = value.bits >> (value.width - 1) << (width - 1)
            return Value("f", width, sign | ((1 << exponent_bits) - 1) << new_bits | payload)
        return real(value.number, width)
    if value.kind == "f":
        return Value(kind, width, value.bits & (1 << width) - 1)
    return integer(value.number, width, kind)


def _combined(operator: str, a: Value, b: Value) -> Value:
    if operator in ("<<", ">>"):
        count = b.number
        return integer(a.number << count if operator == "<<" else a.number >> count, a.width, a.kind)
    x, y = a.number, b.number
    if operator in ("||", "&&"):
        return integer(int(bool(x) or bool(y) if operator == "||" else bool(x) and bool(y)), 1, "u")
    comparisons = {
        "===": (a.width, a.bits) == (b.width, b.bits),
        "==": x == y,
        "!=": x != y,
        "<>": x < y or x > y,
        "<": x < y,
        ">": x > y,
        "<=": x <= y,
        ">=": x >= y,
    }
    if operator in comparisons:
        return integer(int(comparisons[operator]), 1, "u")
    return _arithmetic(operator, a, b)


def _to_int(width: int, signed: bool) -> Callable[[Value], Value]:
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)

    def convert(value: Value) -> Value:
        number = value.number
        if number != number:
            return integer(0, width, "i" if signed else "u")
        if math.isinf(number):
            return integer(high if number > 0 else low, width, "i" if signed else "u")
        return integer(min(max(math.trunc(number), low), high), width, "i" if signed else "u")

    return convert


def _sign_extended(value: Value) -> Value:
    return integer(_typed(value, "i", value.width).number, 64, "i")


def _sign_from_bit(value: Value, width: Value) -> Value:
    bits = width.number
    if bits == 0:
        return integer(0, value.width, "i")
    number = value.bits & (1 << bits) - 1
    return integer(number - (1 << bits) if number >> (bits - 1) & 1 else number, value.width, "i")


def _quiet_nan(value: Value) -> Value:
    _, _, _, mantissa = _FLOATS[value.width]
    return Value("f", value.width, value.bits | 1 << (mantissa - 1))


def _is_signalling(value: Value) -> bool:
    _, _, _, mantissa = _FLOATS[value.width]
    return _is_nan(value) and not value.bits >> (mantissa - 1) & 1


def _whole(function: Callable[[float], float]) -> Callable[[Value], Value]:
    def compute(value: Value) -> Value:
        number = value.number
        if not math.isfinite(number):
            return value
        return real(math.copysign(float(function(number)), number), value.width)

    return compute


def _to_bf16(value: Value) -> Value:
    if _is_nan(value):
        return Value("u", 16, value.bits >> 16 | 0x40)
    rest, kept = value.bits & 0xFFFF, value.bits >> 16
    return Value("u", 16, kept + (rest > 0x8000 or (rest == 0x8000 and kept & 1)))


_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "fma": _fma,
    "signext": _sign_extended,
    "signext_from_bit": _sign_from_bit,
    "isNAN": lambda v: integer(int(_is_nan(v)), 1, "u"),
    "isSignalNAN": lambda v: integer(int(_is_signalling(v)), 1, "u"),
    "cvtToQuietNAN": _quiet_nan,
    "floor": _whole(math.floor),
    "trunc": _whole(math.trunc),
    "fract": lambda v: real(v.number - math.floor(v.number) if math.isfinite(v.number) else math.nan, v.width),
    "isEven": lambda v: integer(int(math.isfinite(v.number) and v.number % 2 == 0), 1, "u"),
    "sqrt": lambda v: real(math.sqrt(v.number) if v.number >= 0 else math.nan, v.width),
    "log2": lambda v: real(
        math.log2(v.number) if v.number > 0 and math.isfinite(v.number) else -math.inf if v.number == 0 else
        v.number if v.number > 0 else math.nan, v.width
    ),
    "pow": lambda b, v: real(
        math.inf if v.number >= 1024 else 0.0 if v.number < -1100 else math.pow(b.number, v.number), v.width
    ),
    "f32_to_i32": _to_int(32, True),
    "f32_to_u32": _to_int(32, False),
    "f64_to_i32": _to_int(32, True),
    "f64_to_u32": _to_int(32, False),
    "i32_to_f32": lambda v: _converted(v, "f", 32),
    "u32_to_f32": lambda v: _converted(v, "f", 32),
    "i32_to_f64": lambda v: _converted(v, "f", 64),
    "u32_to_f64": lambda v: _converted(v, "f", 64),
    "f32_to_f64": lambda v: _converted(v, "f", 64),
    "f64_to_f32": lambda v: _converted(v, "f", 32),
    "f16_to_f32": lambda v: _converted(v, "f", 32),
    "f32_to_f16": lambda v: _converted(v, "f", 16),
    "f32_to_bf16": _to_bf16,
}  # fmt: skip


def _call(name: str, arguments: list[Value]) -> Value:
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](*arguments)
    if name.startswith(("v_max", "v_min")):
        return _extremes(name)(*arguments)
    raise KeyError(f"pseudocode function {name}")
