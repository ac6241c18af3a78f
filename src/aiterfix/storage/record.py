"""Frozen dataclasses that cost nothing to define.

`dataclasses` compiles the methods of each class anew, about half a millisecond a class, and `check` needs some sixty
classes: that would be a third of what it may take. These share theirs. All else holds of them that holds of a frozen
dataclass: defaults, ``fields``, ``replace``, equality, a type checker's view. Making one costs more, so a class with
thousands of instances (values, analyses) is a plain dataclass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import MISSING, FrozenInstanceError, dataclass

    def record(*, frozen):
        """Make a class a frozen dataclass."""
        if not frozen:
            raise TypeError("records are frozen")
        return _made

    def _made(cls):
        cls = dataclass(init=False, repr=False, eq=False)(cls)
        if "__post_init__" in cls.__dict__ or not all(f.init for f in cls.__dataclass_fields__.values()):
            raise TypeError(f"{cls.__name__}: a record has no fields but its arguments")
        for name in ("__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__"):
            if name != "__repr__" or name not in cls.__dict__:
                setattr(cls, name, getattr(_Methods, name))
        return cls

    class _Methods:
        def __init__(self, *values: Any, **named: Any) -> None:
            names = self.__match_args__
            held = self.__dict__
            held.update(zip(names, values, strict=False))
            if len(values) > len(names) or not held.keys().isdisjoint(named):
                raise TypeError(f"{type(self).__name__} takes each of {', '.join(names)} once")
            held.update(named)
            if len(held) < len(names):
                for name, f in self.__dataclass_fields__.items():
                    if name not in held:
                        if f.default_factory is not MISSING:
                            held[name] = f.default_factory()
                        elif f.default is not MISSING:
                            held[name] = f.default
            if held.keys() != self.__dataclass_fields__.keys():
                raise TypeError(f"{type(self).__name__} takes each of {', '.join(names)} once")

        def __repr__(self) -> str:
            shown = ", ".join(f"{k}={getattr(self, k)!r}" for k, f in self.__dataclass_fields__.items() if f.repr)
            return f"{type(self).__qualname__}({shown})"

        def __eq__(self, other: object) -> bool:
            return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented

        def __hash__(self) -> int:
            return hash(_compared(self))

        def __setattr__(self, name: str, value: object) -> None:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")

        def __delattr__(self, name: str) -> None:
            raise FrozenInstanceError(f"cannot delete field {name!r}")

    def _compared(it) -> tuple[Any, ...]:
        return tuple(it.__dict__[name] for name, f in it.__dataclass_fields__.items() if f.compare)


__all__ = ["record"]
