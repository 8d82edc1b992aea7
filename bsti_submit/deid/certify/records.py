"""Text that leaves beside the images → what in it may identify the patient."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final, TypeGuard

from bsti_submit.deid.certify.charsets import decodings
from bsti_submit.deid.certify.forms import IN_CREDIT, FindIdentifiers, Finding, first_national
from bsti_submit.deid.certify.search import Matcher, Mode
from bsti_submit.deid.certify.strict import structure
from bsti_submit.deid.certify.uids import is_ours
from bsti_submit.model import Outcome, Reason, normalise_case_id

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128}")
_TERM = re.compile(r"[a-z][a-z0-9]*(?:[-_./][a-z0-9]+)*")
_PSEUDONYM = re.compile(r"BSTI-[A-Z2-7]{16}")
_KEY_ID = re.compile(r"[A-Z2-7]{8}")
_EDITION = re.compile(r"20\d\d[a-e]")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:T[\d:.]+(?:Z|[+-]\d{2}:\d{2})?)?")
_DEEPEST_JSON = 32
_LARGEST = 1e18
_LONG_NUMBER = 6


_TOOL: Final = "bsti-submit"


@cache
def _written_by_us() -> frozenset[str]:
    """Return the closed terms of our records: their names of members, codes and units, and the name of this program.

    Whatever a folder or a person is called, a whole string that is one of them tells nothing about anybody.
    """
    terms: set[object] = {_TOOL, *map(str, Reason), *map(str, Outcome)}
    schemas = resources.files("bsti_submit") / "schemas"
    waiting = [json.loads(one.read_text("utf-8")) for one in schemas.iterdir() if one.name.endswith(".schema.json")]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            terms |= {*part.get("properties", ()), *part.get("enum", ()), part.get("const")}
            waiting += part.values()
    return frozenset(term for term in terms if isinstance(term, str))


class _ProfileName(str):
    """What a site calls its profile or its version: often after itself, which is in the images too."""

    __slots__ = ()


class _KeyId(str):
    """The random name of a site key."""

    __slots__ = ()


def search_record(
    name: str, data: bytes, matcher: Matcher, patterns: FindIdentifiers, *, credit: bool = False
) -> Iterator[Finding]:
    """Yield what is found in JSON, string by string, or in any other text.

    Parameters
    ----------
    name
        What it is called in findings.
    data
        JSON or any text, in UTF-8; in another encoding it is searched too.
    matcher, patterns
        The patient's identifiers, and the national ones.
    credit
        Whether people and places are named in it on purpose.

    Raises
    ------
    Doubt
        If it is nested too deeply.
    """
    for text in decodings(data, "utf-8"):
        try:
            # Pairs, not objects: of two members of one name the parser would hide the first.
            record = json.loads(text, object_pairs_hook=list)
        except (ValueError, RecursionError):
            record = text
        for value in _strings(record, 0):
            kind = (
                _identifying(value, matcher, patterns, credit=credit)
                if isinstance(value, str)
                else _number(value, matcher)
            )
            if kind is not None:
                yield Finding(Reason.RESIDUAL_IDENTIFIER, name, kind)
    for hit in matcher.search_bytes(data):
        if hit.kind.word == "uid":
            yield Finding(Reason.RESIDUAL_IDENTIFIER, name, hit.kind.word)


def _number(value: float, matcher: Matcher) -> str | None:
    """Return the kind of identifier that a number of a record is, or None: short ones are measurements."""
    digits = str(abs(int(value))) if abs(value) < _LARGEST else ""
    kind = matcher.search_text(digits, Mode.FREE) if len(digits) >= _LONG_NUMBER else None
    return kind.word if kind is not None else None


def _strings(record: object, depth: int) -> Iterator[str | float]:
    """Yield every string and number of a JSON document, names of members included."""
    if depth > _DEEPEST_JSON:
        raise structure(kind="depth")
    if isinstance(record, tuple) and record[0] == "key_id" and _is_random(record[1], _KEY_ID):
        yield _KeyId(record[1])
        return
    if isinstance(record, tuple) and record[0] == "profile" and _is_object(record[1]):
        yield record[0]
        for name, value in record[1]:
            of_profile = name in {"name", "version"} and isinstance(value, str)
            yield from _strings((name, _ProfileName(value) if of_profile else value), depth + 1)
        return
    if isinstance(record, list | tuple):
        for value in record:
            yield from _strings(value, depth + 1)
    elif isinstance(record, str) or (isinstance(record, int | float) and not isinstance(record, bool)):
        yield record


def _is_object(value: object) -> TypeGuard[list[tuple[str, object]]]:
    return isinstance(value, list) and all(isinstance(member, tuple) for member in value)


def _is_random(value: object, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _identifying(value: str, matcher: Matcher, patterns: FindIdentifiers, *, credit: bool) -> str | None:
    """Return the kind of identifier in one string of a record, or None."""
    if _HEX.fullmatch(value) or is_ours(value) or normalise_case_id(value) == value or value in _written_by_us():
        return None
    if isinstance(value, _KeyId) or _is_random(value, _PSEUDONYM):
        # Two random letters are somebody's initials sooner or later; six in a row are not there by chance.
        return next((hit.kind.word for hit in matcher.search_bytes(value.encode())), None)
    mode = (
        Mode.CREDIT if credit or isinstance(value, _ProfileName) else Mode.TERM if _TERM.fullmatch(value) else Mode.FREE
    )
    kind = matcher.search_text(value, mode)
    if kind is not None:
        return kind.word
    # A shifted date is no finding; an original one was found above. Nor is the edition of the Standard.
    if mode is Mode.TERM or _ISO_DATE.fullmatch(value) or _EDITION.fullmatch(value):
        return None
    return first_national(patterns, value, matcher, IN_CREDIT if mode is Mode.CREDIT else None)


def names_patient(matcher: Matcher, text: str) -> bool:
    """Whether a short text, such as the name of a folder, names the patient: staff and places do not count."""
    return matcher.search_text(text, Mode.CREDIT) is not None
