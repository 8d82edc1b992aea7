"""What a profile is: recipes laid over each other, what they claim, and which objects are sent."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bsti_submit.deid import allow
from bsti_submit.deid.coded import CodedTerms
from bsti_submit.deid.descriptors import Descriptors, load_vocabulary
from bsti_submit.deid.kinds import left_out_reason
from bsti_submit.deid.plan import DatePolicy, Plan
from bsti_submit.deid.table import EDITION, Option
from bsti_submit.identifiers import ALWAYS, Strength, find_identifiers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bsti_submit.deid.recipe import Recipe
    from bsti_submit.model import AllowList, Reason

_CODING_SCHEME = "DCM"


@dataclass(frozen=True)
class Profile:
    """The rules under which a case is de-identified.

    Attributes
    ----------
    recipes
        The topmost first: a site's own over the one it extends.
    recipe_sha256
        Over profile.toml, the recipes and the vocabulary: one changed byte is another profile.
    options
        The codes of CID 7050 (PS3.16) that it claims. 113101 is true of examined instances only.
    date_policy
        ``modified`` or ``removed``; ``kept`` only of a bare recipe that keeps dates.
    vocabulary
        Lists of the words that free text may keep, in the order of the profile.
    patterns
        Names of the national identifiers that are looked for, see `bsti_submit.identifiers`.
    age_cap
        The highest age in years that is told exactly.
    eligible
        SOP class UID → its name in the profile.
    retained_creators
        Private creators of whom the recipe keeps elements (113111); none in the shipped profiles.
    warnings
        What a bare recipe does not cover.
    hospital_pattern
        The form of the site's own hospital numbers, see `for_site`.
    """

    name: str
    version: str
    title: str
    recipes: tuple[Recipe, ...] = field(repr=False)
    recipe_sha256: str
    options: frozenset[str]
    date_policy: str
    vocabulary: tuple[Path, ...]
    patterns: tuple[str, ...]
    age_cap: int
    clinical_schema: str
    eligible: Mapping[str, str]
    folder: Path
    retained_creators: tuple[str, ...] = ()
    extends: str = ""
    warnings: tuple[str, ...] = ()
    hospital_pattern: re.Pattern[str] | None = field(default=None, repr=False)

    def for_site(self, hospital_number_pattern: str) -> Profile:
        """Return the profile as it holds at a site whose hospital numbers have a form of their own."""
        if not hospital_number_pattern:
            return self
        return replace(self, hospital_pattern=re.compile(hospital_number_pattern, re.IGNORECASE))

    @cached_property
    def plan(self) -> Plan:
        """The compiled rules."""
        return Plan([recipe.actions for recipe in self.recipes], DatePolicy(self.date_policy))

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of the vocabulary, in lower case."""
        return load_vocabulary(self.vocabulary)

    @cached_property
    def descriptors(self) -> Descriptors:
        """The cleaner of free text."""
        return Descriptors(self.words, self.looked_for, self.hospital_pattern)

    @property
    def looked_for(self) -> frozenset[str]:
        """The identifier patterns in force: those of the nation that the profile names, and what is of no nation."""
        return frozenset(self.patterns) | ALWAYS

    def find_identifiers(self, text: str, /) -> list[tuple[str, int, int]]:
        """Return kind, start and end of what looks like an identifier in a text, for the final check."""
        hits = find_identifiers(
            text,
            strength=Strength.DESCRIPTOR,
            patterns=self.looked_for,
            hospital_pattern=self.hospital_pattern,
        )
        return [(hit.kind.value, hit.start, hit.end) for hit in hits]

    @cached_property
    def coded_terms(self) -> CodedTerms:
        """The terms that coded strings may be made of."""
        return CodedTerms(self.words)

    @property
    def method_text(self) -> str:
        """What De-identification Method (0012,0063) says, at most 64 characters."""
        return f"bsti-submit: {self.name} {self.version}"[:64]

    @property
    def temporal_information(self) -> str:
        """What Longitudinal Temporal Information Modified (0028,0303) says."""
        return {"modified": "MODIFIED", "removed": "REMOVED"}.get(self.date_policy, "UNMODIFIED")

    def sop_class_kind(self, sop_class_uid: str) -> Reason | None:
        """Return why objects of a class are left out; None if they are sent."""
        return None if sop_class_uid in self.eligible else left_out_reason(sop_class_uid)

    def allow_list(self) -> AllowList:
        """Return what may leave under this profile, in which forms, for the final check and the registry."""
        return self._allow_list

    @cached_property
    def _allow_list(self) -> AllowList:
        codes = sorted({*self.options, Option.CLEAN_PIXEL_DATA})
        inserted = {
            0x00080005: ["ISO_IR 192"],
            0x00080100: codes,
            0x00080102: [_CODING_SCHEME],
            0x00080104: [Option(code).meaning for code in codes],
            0x00120062: ["YES"],
            0x00120063: [self.method_text],
            0x00120064: [],
            0x00280301: ["NO"],
            0x00280303: [self.temporal_information],
        }
        return allow.compile_allow_list(
            self.plan,
            profile=self.name,
            version=self.version,
            recipe_sha256=self.recipe_sha256,
            inserted=inserted,
        )

    def describe(self) -> str:
        """Return the profile in plain English, for an information-governance officer."""
        from bsti_submit.deid.describe import describe

        return describe(self)


def export_allow_list(profile: Profile) -> dict[str, Any]:
    """Return the allow-list as plain data, as the registry reads it."""
    return allow.export(
        profile.allow_list(),
        edition=EDITION,
        options=sorted(profile.options),
        date_policy=profile.date_policy,
        sop_classes=sorted(profile.eligible),
    )
