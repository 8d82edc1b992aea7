"""Whether cleaned text is made of the profile's words: a name that is nowhere in the input has no other trace."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from bsti_submit.deid.certify.normalise import fold, words

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST = 4
"""Letters in a row that must be a word: kernels, versions and units are shorter."""
_UNITS = frozenset(("mgycm", "mins", "secs"))
_SHORT_PIECES = 1
_REMEMBERED = 16_384


@lru_cache(maxsize=4)
def _known(vocabulary: frozenset[str]) -> frozenset[str]:
    """Return the words of a profile's lists, folded: once a profile, not once a patient."""
    return frozenset(word for entry in vocabulary for word in words(fold(entry))) | _UNITS


class Wording:
    """Knows the words that a profile lets stand in free text.

    Parameters
    ----------
    vocabulary
        The entries of the profile's lists: words, words with ``~`` before them, and pairs.
    """

    def __init__(self, vocabulary: frozenset[str]) -> None:
        self._known = _known(vocabulary)
        self.knows: Callable[[str], bool] = lru_cache(maxsize=_REMEMBERED)(self._knows)
        """Whether every word of a text is known, or is short, or is several known ones run together."""

    def _knows(self, text: str) -> bool:
        if not self._known - _UNITS:
            return True  # no list was handed over
        return all(
            len(word) < _SHORTEST or word in self._known or self._is_compound(word, _SHORT_PIECES)
            for word in words(fold(text))
            if word.isalpha()
        )

    def _is_compound(self, word: str, short_pieces: int) -> bool:
        """Tell ``thorroutine`` and ``ctchest``: known words run together, of which one may be short."""
        for end in range(2, len(word) + 1):
            piece, rest = word[:end], word[end:]
            allowed = short_pieces - (len(piece) < _SHORTEST)
            if allowed >= 0 and piece in self._known and (not rest or self._is_compound(rest, allowed)):
                return True
        return False
