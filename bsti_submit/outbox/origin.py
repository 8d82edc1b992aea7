"""What a kept package was made of and under, so that it is sent only while the same would be made today."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Digests under the site key. They stay on this machine: they are in no package, request or log.

    Attributes
    ----------
    rules
        Of the profile, its version and its recipe.
    images
        Of the SOP Instance UIDs of what is in the package: the choice of studies, what was left out and what was decided
        about pictures all show in it.
    count
        How many images those are.
    pictures
        Of each picture that is in it because a person had cleared it, sorted.
    """

    rules: str = ""
    images: str = ""
    count: int = 0
    pictures: tuple[str, ...] = ()

    def text(self) -> str:
        """Return it as it is stored."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Read what was stored; empty where nothing is known. What cannot be read equals nothing and clears nothing."""
        if not text:
            return cls()
        try:
            found = json.loads(text)
            return cls(
                str(found["rules"]),
                str(found["images"]),
                int(found["count"]),
                tuple(str(picture) for picture in found["pictures"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls(pictures=("unreadable",))
