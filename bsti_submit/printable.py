"""Text that others wrote, made fit for a terminal, a log or a pipe.

A description in a header, the name of a file, the answer of a server: each may hold control characters that colour
or clear the screen, set its title, fill the clipboard, turn the direction of writing, or start a line that looks like
one of ours. Whatever we print goes through here, at the one place where it is printed.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_UNFIT: Final = re.compile(r"[^\n -~]")
"""What may have to be escaped in a JSON document; plain ASCII never has."""


def printable(text: str) -> str:
    """Return a text as one line that cannot steer a terminal.

    Blanks of every kind, line breaks among them, become spaces; any other character that shows nothing by itself
    becomes a question mark.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " if character.isspace() else "?" for character in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, each made printable. For texts whose line breaks are our own."""
    return "\n".join(map(printable, text.split("\n")))


def json_text(document: object, **layout: Any) -> str:
    """Return a JSON document in readable characters; those that could steer a terminal are escaped.

    ``layout`` is what `json.dumps` takes.
    """
    return _UNFIT.sub(_escaped, json.dumps(document, ensure_ascii=False, **layout))


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]
