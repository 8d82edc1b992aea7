"""Executes a profile's plan on one instance: a source file's bytes → a staged instance, or a refusal.

One walk over all sequences at any depth. What the plan does not let pass does not pass: the output is built from
what is kept, not by taking things out of the input. Nothing here raises on bad input, and nothing that it tells
holds a value.
"""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

from bsti_submit.deid import frames
from bsti_submit.deid.characters import Characters, UnknownCharacterSet
from bsti_submit.deid.layout import code_of, layout_of, text_of
from bsti_submit.deid.named import Named
from bsti_submit.deid.numeric import is_table
from bsti_submit.deid.plan import Action, Rule
from bsti_submit.deid.reader import EXPLICIT_LITTLE, NATIVE, parse, parse_sequence
from bsti_submit.deid.registered import is_image
from bsti_submit.deid.staged import (
    Pixels,
    Refusal,
    Staged,
    encode,
    encode_sequence,
    method_codes,
)
from bsti_submit.deid.values import Values, can_be_read
from bsti_submit.deid.vrs import dictionary_vrs
from bsti_submit.deid.walker import DOUBLE_PIXEL_DATA, FLOAT_PIXEL_DATA, PIXEL_DATA, Broken, Fragments
from bsti_submit.model import DUMMIES, Buffer, Reason

if TYPE_CHECKING:
    from bsti_submit.deid.plan import InstancePlan
    from bsti_submit.deid.profile import Profile
    from bsti_submit.deid.pseudonyms import PatientScope
    from bsti_submit.deid.reader import Parsed
    from bsti_submit.deid.staged import PixelLayout
    from bsti_submit.deid.walker import Element
    from bsti_submit.deid.words import KnownWords

SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
MODALITY: Final = 0x00080060
CHARACTER_SET: Final = 0x00080005
_EXTENDED_OFFSETS: Final = 0x7FE00001

_IDENTITY: Final = {
    SOP_CLASS_UID: "SOPClassUID",
    SOP_INSTANCE_UID: "SOPInstanceUID",
    STUDY_INSTANCE_UID: "StudyInstanceUID",
    SERIES_INSTANCE_UID: "SeriesInstanceUID",
}
_WRITTEN: Final = frozenset((0x00120062, 0x00120063, 0x00120064, 0x00280301, 0x00280303, CHARACTER_SET))
"""What the engine itself writes; whatever the input says there is dropped."""
Resolved: TypeAlias = "dict[tuple[str, bool, tuple[int, ...]], dict[tuple[int, str, str | None], tuple[Rule, str]]]"
"""SOP class, byte order and path → tag, VR as stated and private creator → the rule, and the VR to write."""
_MOST_RULES: Final = 20_000
_MOST_PLACES: Final = 5_000
_REMOVED: Final = Rule(Action.REMOVE)


class Engine:
    """The engine under one profile. Not for several threads at once."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._resolved: Resolved = {}
        self._named = Named()

    def deidentify(self, data: Buffer, scope: PatientScope, known: KnownWords) -> Staged | Refusal:
        """De-identify one instance.

        Parameters
        ----------
        data
            The whole file.
        scope
            What stands for the patient.
        known
            The patient's own words, to be dropped from free text first.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom's texts quote values
                return _Instance(self._profile, self._resolved, scope, self._named.by(known)).run(parse(data))
        except Broken as broken:
            return Refusal(broken.reason)
        except UnknownCharacterSet:
            return Refusal(Reason.UNKNOWN_CHARACTER_SET, "SpecificCharacterSet")
        except Exception:  # noqa: BLE001 - bad input is a refusal, and no error's text may be shown
            return Refusal(Reason.UNREADABLE)


class _Instance:
    def __init__(
        self,
        profile: Profile,
        resolved: Resolved,
        scope: PatientScope,
        named: Named,
    ) -> None:
        self.profile = profile
        self.resolved = resolved
        self.counts: Counter[str] = Counter()
        self.values = Values(profile, scope, named, self.counts)
        self.sop_class_uid = ""
        self.plan: InstancePlan
        self.big_endian = False

    def run(self, parsed: Parsed) -> Staged | Refusal:
        elements = parsed.elements
        self.big_endian = parsed.big_endian
        top = {tag: value for tag, _, value, _ in elements}
        self.sop_class_uid = text_of(top.get(SOP_CLASS_UID))
        for tag, keyword in _IDENTITY.items():
            if not text_of(top.get(tag)):
                return Refusal(Reason.MISSING_IDENTITY, keyword)
        self.plan = self.profile.plan.for_sop_class(self.sop_class_uid)
        layout = layout_of(top)
        pixels = self._pixels(parsed, layout)
        if isinstance(pixels, Refusal):
            return pixels
        kept = dict(self._walk(elements, (), Characters()))
        for tag, vr, literal in self.profile.plan.additions:
            kept[tag] = encode(tag, vr, self.values.literal(vr, literal))
        uids = [_written_uid(kept.get(tag)) for tag in _IDENTITY]
        if not all(uids):
            return Refusal(
                Reason.MISSING_IDENTITY,
                next(key for key, uid in zip(_IDENTITY.values(), uids, strict=True) if not uid),
            )
        modality = code_of(_value(kept.get(MODALITY)))
        if text_of(_value(kept.get(MODALITY))):  # of several, nobody knows which holds
            kept[MODALITY] = encode(MODALITY, "CS", (modality or DUMMIES["CS"]).encode())
        codes = frozenset(self.profile.options) - {"113101"}
        self._write(kept, codes)
        return Staged(
            sop_class_uid=uids[0],
            study_uid=uids[2],
            series_uid=uids[3],
            instance_uid=uids[1],
            modality=modality,
            transfer_syntax_uid=EXPLICIT_LITTLE if parsed.transfer_syntax_uid in NATIVE else parsed.transfer_syntax_uid,
            elements=tuple(sorted(kept.items())),
            pixels=pixels,
            layout=layout,
            codes=codes,
            counts=self.counts,
        )

    def _write(self, kept: dict[int, Buffer], codes: frozenset[str]) -> None:
        if self.values.non_ascii:
            kept[CHARACTER_SET] = encode(CHARACTER_SET, "CS", b"ISO_IR 192")
        kept[0x00120062] = encode(0x00120062, "CS", b"YES")
        kept[0x00120063] = encode(0x00120063, "LO", self.profile.method_text.encode("ascii", "replace")[:64])
        if codes:
            kept[0x00120064] = method_codes(codes)
        kept[0x00280303] = encode(0x00280303, "CS", self.profile.temporal_information.encode("ascii"))

    def _pixels(self, parsed: Parsed, layout: PixelLayout) -> Pixels | Refusal | None:
        if parsed.transfer_syntax_uid not in NATIVE | frames.ENCAPSULATED:
            return Refusal(Reason.UNSUPPORTED_SYNTAX, "TransferSyntaxUID")
        found = [element for element in parsed.elements if element[0] >> 16 == 0x7FE0]
        if any(element[0] in {FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA} for element in found):
            return Refusal(Reason.PIXEL_CODING, "FloatPixelData")
        for tag, vr, value, _ in found:
            if tag != PIXEL_DATA:
                continue
            if isinstance(value, Fragments):
                if parsed.transfer_syntax_uid in NATIVE:
                    return Refusal(Reason.PIXEL_CODING, "TransferSyntaxUID")
                extended = next((each[2] for each in found if each[0] == _EXTENDED_OFFSETS), None)
                return frames.clean_encapsulated(
                    value.offsets,
                    value.fragments,
                    layout,
                    parsed.transfer_syntax_uid,
                    extended=extended if isinstance(extended, memoryview) else None,
                )
            if parsed.transfer_syntax_uid not in NATIVE or isinstance(value, list):
                return Refusal(Reason.PIXEL_CODING, "PixelData")
            return frames.clean_native(value, layout, big_endian=parsed.big_endian, vr=vr)
        if is_image(self.sop_class_uid):
            return Refusal(Reason.TRUNCATED, "PixelData")  # cut off between two elements, it looks whole
        return Refusal(Reason.PIXEL_LENGTH, "PixelData") if layout.rows else None

    def _walk(self, elements: list[Element], path: tuple[int, ...], characters: Characters) -> list[tuple[int, Buffer]]:
        values = {tag: value for tag, _, value, _ in elements}
        if len(values) != len(elements):
            raise Broken(Reason.UNREADABLE)  # which of two would a reader believe?
        own = values.get(CHARACTER_SET)
        if isinstance(own, memoryview):
            characters = Characters(bytes(own))
        kept: list[tuple[int, Buffer]] = []
        creators: dict[int, str] = {}
        rules = self._rules(path)
        removed = 0
        for tag, stated, value, raw in elements:
            creator = self._creator(tag, value, creators) if tag & 0x10000 else None
            rule, vr = rules.get((tag, stated, creator)) or self._resolve(rules, path, tag, stated, creator)
            if rule.action is Action.REMOVE or not is_table(tag, value, values):
                removed += 1
                continue
            encoded = self._apply(rule, path, tag, vr, stated, value, raw, characters)
            if encoded is not None:
                kept.append((tag, encoded))
                if creator:
                    kept.append(_creator_of(tag, creator))
        self.counts["removed"] += removed
        if creators:
            kept = list(dict(kept).items())
        kept.sort(key=_by_tag)
        return kept

    def _rules(self, path: tuple[int, ...]) -> dict[tuple[int, str, str | None], tuple[Rule, str]]:
        place = (self.sop_class_uid, self.big_endian, path)
        found = self.resolved.get(place)
        if found is None:
            if len(self.resolved) > _MOST_PLACES:
                self.resolved.clear()
            found = self.resolved[place] = {}
        return found

    @staticmethod
    def _creator(tag: int, value: object, creators: dict[int, str]) -> str | None:
        element = tag & 0xFFFF
        if 0x10 <= element <= 0xFF and isinstance(value, memoryview):
            creator = bytes(value).strip(b" \0").decode("ascii", "replace")
            creators[tag & 0xFFFF0000 | element << 8] = creator
            return creator
        return creators.get(tag & 0xFFFFFF00)

    def _resolve(
        self,
        rules: dict[tuple[int, str, str | None], tuple[Rule, str]],
        path: tuple[int, ...],
        tag: int,
        stated: str,
        creator: str | None,
    ) -> tuple[Rule, str]:
        allowed = dictionary_vrs(tag)
        vr = stated if stated in allowed or not allowed else allowed[0]
        rule = self.plan.rule(path, tag, vr, creator)
        if rule.action is Action.KEEP and not can_be_read(stated, vr, tag, big_endian=self.big_endian):
            rule = _REMOVED
        if tag >> 16 == 0x7FE0 or (tag in _WRITTEN and (not path or tag == CHARACTER_SET)):
            rule = _REMOVED  # the pixels, and what the engine itself writes
        if len(rules) < _MOST_RULES:
            rules[tag, stated, creator] = rule, vr
        return rule, vr

    def _apply(
        self,
        rule: Rule,
        path: tuple[int, ...],
        tag: int,
        vr: str,
        stated: str,
        value: memoryview | list[list[Element]] | Fragments,
        raw: memoryview | None,
        characters: Characters,
    ) -> Buffer | None:
        if vr == "SQ":
            return self._sequence(rule.action, path, tag, value, characters)
        if isinstance(value, list | Fragments):
            self.counts["removed"] += 1  # a sequence where the dictionary has none
            return None
        return self.values.apply(rule, tag, vr, stated, value, raw, characters)

    def _sequence(
        self,
        action: Action,
        path: tuple[int, ...],
        tag: int,
        value: memoryview | list[list[Element]] | Fragments,
        characters: Characters,
    ) -> Buffer | None:
        if action is Action.EMPTY:
            self.counts["emptied"] += 1
            return encode_sequence(tag, [])
        if isinstance(value, memoryview):
            try:
                value = parse_sequence(value)
            except (Broken, ValueError, IndexError):
                self.counts["removed"] += 1
                return None
        if isinstance(value, Fragments):
            return None
        deeper = (*path, tag)
        items = [b"".join(raw for _, raw in self._walk(item, deeper, characters)) for item in value]
        return encode_sequence(tag, items)


def _creator_of(tag: int, creator: str) -> tuple[int, Buffer]:
    """Return the private creator element without which a private element that stays would mean nothing."""
    place = tag & 0xFFFF0000 | tag >> 8 & 0xFF
    return place, encode(place, "LO", creator.encode("ascii", "replace"))


def _value(raw: Buffer | None) -> memoryview | None:
    return memoryview(raw)[8:] if raw is not None else None


def _written_uid(raw: Buffer | None) -> str:
    return text_of(_value(raw))


def _by_tag(pair: tuple[int, Buffer]) -> int:
    return pair[0]
