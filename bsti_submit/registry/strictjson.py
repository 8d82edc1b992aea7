"""Strict JSON: bytes into values that mean the same to every reader (RFC 8259, RFC 7493, RFC 8785)."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TypeAlias, cast

import rfc8785

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Object: TypeAlias = "dict[str, Json]"

_MAX_DEPTH = 40
_SAFE_INTEGER = 2**53 - 1


class NotStrictError(ValueError):
    """The text is not strict JSON. Its message quotes nothing of the text."""


def _members(pairs: list[tuple[str, Json]]) -> Object:
    members: Object = {}
    for name, value in pairs:
        if name in members:
            raise NotStrictError("an object has the same member twice")
        members[name] = value
    return members


def _constant(_name: str) -> Json:
    raise NotStrictError("NaN and Infinity are not JSON")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotStrictError("a number is too large")
    return number


def _check(value: Json, depth: int = 0) -> None:
    """Refuse what has no canonical form: lone surrogates, integers past 2^53, endless nesting."""
    if depth > _MAX_DEPTH:
        raise NotStrictError("it is nested too deeply")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_text(name)
            _check(member, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, int) and abs(value) > _SAFE_INTEGER:
        raise NotStrictError("an integer is larger than 2^53 - 1")


def _check_text(text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise NotStrictError("a string holds half a surrogate pair")


def loads(data: bytes) -> Json:
    """Parse UTF-8 JSON.

    Raises
    ------
    NotStrictError
        For anything that two readers could understand differently.
    """
    try:
        text = data.decode("utf-8")
        value = cast(
            "Json",
            json.loads(text, object_pairs_hook=_members, parse_constant=_constant, parse_float=_float),
        )
    except NotStrictError:
        raise
    except UnicodeDecodeError:
        raise NotStrictError("it is not UTF-8") from None
    except (ValueError, RecursionError):
        raise NotStrictError("it is not JSON") from None
    _check(value)
    return value


def canonical(value: Json) -> bytes:
    """Return the RFC 8785 canonical form."""
    return rfc8785.dumps(value)


def digest(value: Json) -> str:
    """Return the SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def same(left: Json, right: Json) -> bool:
    """Tell whether two values are the same JSON. `True` is not 1 here, and 8.0 is 8."""
    return canonical(left) == canonical(right)
