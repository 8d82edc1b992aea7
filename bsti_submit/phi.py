"""A private value on the identified side of the wall: it masks itself wherever text is made.

Only `intake`, `deid` and `clinical` reveal values. Nothing right of certify may reach this module,
which `tests/test_architecture.py` enforces.
"""

from __future__ import annotations

from typing import Generic, NoReturn, TypeVar

T = TypeVar("T")

MASK = "<identified>"


class Identified(Generic[T]):
    """One value that may identify a patient.

    Two are equal when what they hold is equal, so that patients and studies can be told apart and grouped
    without revealing anything.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """Return the private value. Call it as late, and pass on as little, as possible."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identified) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash((Identified, self._value))

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self) -> NoReturn:
        """Refuse: an identified value is never serialised, not even into a child process or a copy."""
        raise TypeError("an identified value cannot be serialised")
