"""Which profiles have earned their use on this machine: each recipe is judged on the planted study once.

What is kept is the digest of the recipe and counts by kind, nothing else.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from bsti_submit import __version__
from bsti_submit.deid.profile_reader import profile_names, profiles_folder
from bsti_submit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from bsti_submit.deid.profile import Profile
    from bsti_submit.pipeline.bench import Score

_HINT = "See where it leaks: bsti-submit profile lint --bench PROFILE"


class Verdicts:
    """The verdicts in a folder, by digest of the recipe.

    Parameters
    ----------
    folder
        Made when the first verdict is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, profile: Profile, score: Score) -> None:
        """Keep what the bench found."""
        self._write(profile.recipe_sha256, dict(score.leaked))

    def require(self, profile: Profile) -> None:
        """Stop where a profile leaks; run the bench if this recipe was not judged by this version before.

        The profiles that come with bsti-submit were judged by its tests.

        Raises
        ------
        InputError
            With the kinds of identifiers that leak.
        """
        found = self._read(profile.recipe_sha256)
        if found is None or found[0] != __version__:
            if _is_shipped(profile):
                found = __version__, {}
                self._write(profile.recipe_sha256, {})
            else:
                from bsti_submit.pipeline.bench import score

                judged = score(profile)
                self.keep(profile, judged)
                found = __version__, dict(judged.leaked)
        _refuse(found[1])

    def require_digest(self, recipe_sha256: str) -> None:
        """Stop where the profile of a package that was built earlier leaks, or was never judged here.

        Raises
        ------
        InputError
            If so.
        """
        found = self._read(recipe_sha256)
        if found is None:
            raise InputError(
                "The profile of this package was never judged on this machine.",
                hint="Build the package here, or judge the profile first: bsti-submit profile lint --bench PROFILE",
            )
        _refuse(found[1])

    def _path(self, recipe_sha256: str) -> Path:
        name = "".join(character for character in recipe_sha256 if character in "0123456789abcdef")
        return self._folder / f"{name}.json"

    def _read(self, recipe_sha256: str) -> tuple[str, dict[str, int]] | None:
        try:
            kept = json.loads(self._path(recipe_sha256).read_bytes())
            return str(kept["version"]), {str(kind): int(count) for kind, count in kept["leaked"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def _write(self, recipe_sha256: str, leaked: dict[str, int]) -> None:
        path = self._path(recipe_sha256)
        part = path.with_suffix(f".{os.getpid()}")
        # A verdict that cannot be kept is found again next time.
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.write_text(json.dumps({"version": __version__, "leaked": leaked}), "utf-8")
            part.replace(path)


def _is_shipped(profile: Profile) -> bool:
    return profile.name in profile_names() and profile.folder == profiles_folder() / profile.name


def _refuse(leaked: dict[str, int]) -> None:
    if leaked:
        raise InputError(
            "This profile leaks identifiers of the planted study, so nothing is sent under it.",
            details=tuple(f"{kind}: {count} leaked" for kind, count in sorted(leaked.items())),
            hint=_HINT,
        )
