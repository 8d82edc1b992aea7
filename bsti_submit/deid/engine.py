"""Executes a profile's plan on one instance: a source file's bytes → a staged instance, or a refusal.

One walk over all sequences at any depth. What the plan does not let pass does not pass: the output is built from
what is kept, not by taking things out of the input. Nothing here raises on bad input, and nothing that it tells
holds a value.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections import Counter
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Final, TypeAlias

from bsti_submit.deid import frames
from bsti_submit.deid.characters import Characters, UnknownCharacterSet
from bsti_submit.deid.codes import is_public_code
from bsti_submit.deid.plan import Action, Rule
from bsti_submit.deid.reader import (
    DOUBLE_PIXEL_DATA,
    EXPLICIT_LITTLE,
    FLOAT_PIXEL_DATA,
    NATIVE,
    PIXEL_DATA,
    Broken,
    Fragments,
    parse,
    parse_sequence,
)
from bsti_submit.deid.staged import (
    EncapsulatedPixels,
    PixelLayout,
    Pixels,
    Refusal,
    Staged,
    encode,
    encode_sequence,
    method_codes,
)
from bsti_submit.deid.vrs import BULK, PLAIN_TEXT, dictionary_vrs, has_form
from bsti_submit.model import DUMMIES, Buffer, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsti_submit.deid.plan import InstancePlan
    from bsti_submit.deid.profile import Profile
    from bsti_submit.deid.pseudonyms import PatientScope
    from bsti_submit.deid.reader import Element, Parsed
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
_LOOK_UP_TABLES: Final = frozenset((0x00283006, 0x00281201, 0x00281202, 0x00281203, 0x00281204)) | frozenset(
    (0x00281221, 0x00281222, 0x00281223)
)
"""The only bulk data that a picture needs besides its pixels: tables of grey values and colours."""
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})|(\d{4})\.(\d{2})\.(\d{2})|(\d{4})-(\d{2})-(\d{2})")
_DATE_TIME = re.compile(
    r"(\d{4})(\d{2})(\d{2})((?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d|60)?)?(?:(?<=\d{6})\.\d{1,6})?)?(?:[+-]\d{4})?"
)
Resolved: TypeAlias = "dict[tuple[str, bool, tuple[int, ...]], dict[tuple[int, str, str | None], tuple[Rule, str]]]"
"""SOP class, byte order and path → tag, VR as stated and private creator → the rule, and the VR to write."""
_MOST_RULES: Final = 20_000
_MOST_PLACES: Final = 5_000
_LITERAL_DAYS = re.compile(r"days=(-?\d+)")


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
        self.scope = scope
        self.named = named
        self.counts: Counter[str] = Counter()
        self.sop_class_uid = ""
        self.plan: InstancePlan
        self.non_ascii = False
        self.big_endian = False

    def run(self, parsed: Parsed) -> Staged | Refusal:
        elements = parsed.elements
        self.big_endian = parsed.big_endian
        top = {tag: value for tag, _, value, _ in elements}
        self.sop_class_uid = _uid(top.get(SOP_CLASS_UID))
        for tag, keyword in _IDENTITY.items():
            if not _uid(top.get(tag)):
                return Refusal(Reason.MISSING_IDENTITY, keyword)
        self.plan = self.profile.plan.for_sop_class(self.sop_class_uid)
        layout = _layout(top)
        pixels = self._pixels(parsed, layout)
        if isinstance(pixels, Refusal):
            return pixels
        kept = dict(self._walk(elements, (), Characters()))
        for tag, vr, literal in self.profile.plan.additions:
            kept[tag] = encode(tag, vr, self._literal(vr, literal))
        uids = [_written_uid(kept.get(tag)) for tag in _IDENTITY]
        if not all(uids):
            return Refusal(
                Reason.MISSING_IDENTITY,
                next(key for key, uid in zip(_IDENTITY.values(), uids, strict=True) if not uid),
            )
        codes = frozenset(self.profile.options) - {"113101"}
        self._write(kept, codes)
        return Staged(
            sop_class_uid=uids[0],
            study_uid=uids[2],
            series_uid=uids[3],
            instance_uid=uids[1],
            modality=_code(top.get(MODALITY)),
            transfer_syntax_uid=EXPLICIT_LITTLE if parsed.transfer_syntax_uid in NATIVE else parsed.transfer_syntax_uid,
            elements=tuple(sorted(kept.items())),
            pixels=pixels,
            layout=layout,
            codes=codes,
            counts=self.counts,
        )

    def _write(self, kept: dict[int, Buffer], codes: frozenset[str]) -> None:
        if self.non_ascii:
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
            if rule.action is Action.REMOVE:
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
        if rule.action is Action.KEEP and not _can_be_read(stated, vr, tag, big_endian=self.big_endian):
            rule = REMOVED
        if tag >> 16 == 0x7FE0 or (tag in _WRITTEN and (not path or tag == CHARACTER_SET)):
            rule = REMOVED  # the pixels, and what the engine itself writes
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
        action = rule.action
        if vr == "SQ":
            return self._sequence(action, path, tag, value, characters)
        if isinstance(value, list | Fragments):
            self.counts["removed"] += 1  # a sequence where the dictionary has none
            return None
        if action is Action.EMPTY:
            self.counts["emptied"] += 1
            return encode(tag, vr, b"")
        if action is Action.KEEP:
            if vr == "CS" and rule.value == "coded":
                text = bytes(value).strip(b" \0").decode("ascii", "replace").upper()
                known = self.profile.coded_terms.cleaned(text)
                if known != text:
                    self.counts["cleaned"] += 1
                    value, raw = memoryview(known.encode("ascii")), None
                if not known.strip("\\ "):
                    return self._filled(rule, tag, vr, text)
            return self._keep(rule, tag, vr, stated, value, raw, characters)
        if action is Action.DUMMY:
            self.counts["dummy"] += 1
            return encode(tag, vr, DUMMIES[vr].encode()) if vr in DUMMIES else encode(tag, vr, bytes(_width(vr)))
        if action is Action.LITERAL:
            self.counts["replaced"] += 1
            return encode(tag, vr, self._literal(vr, rule.value))
        if action is Action.PSEUDONYM:
            self.counts["pseudonym"] += 1
            return encode(tag, vr, self.scope.pseudonym.encode())
        if action is Action.UID:
            return self._uids(tag, vr, value)
        text = characters.decode(value, vr, guess=action is Action.CLEAN_TEXT)
        if action is Action.SHIFT_DATE:
            return self._dates(rule, tag, vr, text)
        self.counts["cleaned"] += 1
        cleaned = "\\".join(self._clean(part, vr, rule.value) for part in _parts(text, vr)).rstrip("\\")
        return encode(tag, vr, self._encoded(cleaned)) if cleaned else self._filled(rule, tag, vr, text)

    def _literal(self, vr: str, text: str) -> bytes:
        form = _NUMBERS.get(vr)
        if form is None:
            return self._encoded(text)
        number = float if vr in {"FD", "FL"} else int
        return b"".join(struct.pack(form, number(part)) for part in text.split("\\"))

    @staticmethod
    def _filled(rule: Rule, tag: int, vr: str, text: str) -> Buffer:
        """Return what stands where nothing of a value is left: a dummy where the IOD demands one, else nothing."""
        wanted = rule.otherwise is Action.DUMMY and text.strip(" \0\\") != "" and vr in DUMMIES
        return encode(tag, vr, DUMMIES[vr].encode() if wanted else b"")

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

    def _keep(
        self,
        rule: Rule,
        tag: int,
        vr: str,
        stated: str,
        value: memoryview,
        raw: memoryview | None,
        characters: Characters,
    ) -> Buffer | None:
        if vr in _NUMBERS:
            if not has_form(vr, value):
                self.counts["malformed"] += 1
                return None
            return raw if raw is not None and stated == vr else encode(tag, vr, value)
        if vr in BULK:
            if tag in _LOOK_UP_TABLES and not len(value) & 1:
                return raw if raw is not None and stated == vr else encode(tag, vr, value)
            self.counts["removed"] += 1
            return None
        if vr in PLAIN_TEXT:
            return encode(tag, vr, self._encoded(characters.decode(value, vr)))
        if vr in {"DA", "DT"}:
            return self._well_formed_date(rule, tag, vr, characters.decode(value, vr))
        whole = bytes(value)
        bare = whole.strip(b" \0")
        if vr == "CS" and not bare.isupper():
            bare = bare.upper()
        elif vr == "TM" and b":" in bare:
            bare = bare.replace(b":", b"")  # the old form of PS3.5 6.2
        if not has_form(vr, bare):
            self.counts["malformed"] += 1
            return self._filled(rule, tag, vr, "malformed")
        if self.named.somebody(bare, vr):
            self.counts["removed"] += 1
            return self._filled(rule, tag, vr, "named")
        if raw is not None and stated == vr and not len(whole) & 1 and whole.rstrip(b" ") == bare:
            return raw
        return encode(tag, vr, bare)

    def _well_formed_date(self, rule: Rule, tag: int, vr: str, text: str) -> Buffer:
        parts = [part.strip() for part in text.split("\\")]
        if all(part == "" or shifted(part, vr, 0) for part in parts):
            whole = [shifted(part, "DA", 0) if vr == "DA" and part else part for part in parts]
            return encode(tag, vr, "\\".join(whole).encode("ascii"))
        self.counts["malformed"] += 1
        return self._filled(rule, tag, vr, text)

    def _uids(self, tag: int, vr: str, value: memoryview) -> Buffer:
        self.counts["uid"] += 1
        parts = bytes(value).strip(b" \0").decode("ascii", "replace").split("\\")
        replaced = [part if not part or is_registered(part) else self.scope.uid(part) for part in map(_bare, parts)]
        return encode(tag, vr, "\\".join(replaced).encode("ascii"))

    def _dates(self, rule: Rule, tag: int, vr: str, text: str) -> Buffer:
        days = self.scope.shift_days
        if (literal := _LITERAL_DAYS.fullmatch(rule.value)) is not None:
            days = -int(literal[1])
        moved = [shifted(part.strip(" \0"), vr, days) for part in text.split("\\")]
        self.counts["date" if any(moved) or not text.strip(" \0") else "bad date"] += 1
        if not any(moved):
            return self._filled(rule, tag, vr, text)
        return encode(tag, vr, "\\".join(moved).encode("ascii"))

    def _clean(self, text: str, vr: str, kind: str) -> str:
        if kind == "code" and is_public_code(text.strip()) and not self.named.somebody(text.strip().encode(), "SH"):
            return text.strip()
        cleaned = self.profile.descriptors.clean(text, self.named.known)
        longest = {"SH": 16, "LO": 64, "CS": 16, "ST": 1024, "LT": 10240}.get(vr)
        return cleaned if longest is None else cleaned[:longest].rstrip()

    def _encoded(self, text: str) -> bytes:
        if text.isascii():
            return text.encode("ascii")
        self.non_ascii = True
        return text.encode("utf-8")


_NUMBERS: Final = {"AT": "<L", "FD": "<d", "FL": "<f", "SL": "<l", "SS": "<h", "SV": "<q"} | {
    "UL": "<L",
    "US": "<H",
    "UV": "<Q",
}
_TABLES: Final = frozenset(("OB", "OW", "SS", "US"))
REMOVED: Final = Rule(Action.REMOVE)


def _can_be_read(stated: str, vr: str, tag: int, *, big_endian: bool) -> bool:
    """Whether the bytes of a value mean the same under the dictionary's VR as under the stated one.

    A text where numbers belong, or numbers of another width, would turn into other numbers.
    """
    if stated == vr or vr == "SQ":
        return True
    if tag in _LOOK_UP_TABLES:
        return stated in _TABLES | {"UN"} and not (big_endian and stated in {"OB", "UN"})
    if stated == "UN":
        return vr not in _NUMBERS or not big_endian  # nothing tells the order of its bytes
    return vr not in _NUMBERS and stated not in _NUMBERS and stated not in BULK


def _creator_of(tag: int, creator: str) -> tuple[int, Buffer]:
    """Return the private creator element without which a private element that stays would mean nothing."""
    place = tag & 0xFFFF0000 | tag >> 8 & 0xFF
    return place, encode(place, "LO", creator.encode("ascii", "replace"))


def _written_uid(raw: Buffer | None) -> str:
    return bytes(raw[8:]).strip(b" \0").decode("ascii", "replace") if raw is not None else ""


def _width(vr: str) -> int:
    return struct.calcsize(_NUMBERS[vr]) if vr in _NUMBERS else 2


class Named:
    """Whether coded and numeric values hold a word by which somebody in the source is known, asked once a value."""

    LONGEST_HARMLESS: Final = 5
    """Digits of a number that may also be somebody's: shorter ones are counters and sizes."""

    def __init__(self) -> None:
        self.known: KnownWords
        self._count = -1
        self._answers: dict[bytes, bool] = {}

    def by(self, known: KnownWords) -> Named:
        """Return itself, asked of these words from now on."""
        if self._count != len(known) or self.known is not known:
            self.known, self._count, self._answers = known, len(known), {}
        return self

    def somebody(self, value: bytes, vr: str) -> bool:
        """Whether a value holds one of the words."""
        if vr in {"DS", "IS", "TM"} and len(value) <= self.LONGEST_HARMLESS:
            return False
        answer = self._answers.get(value)
        if answer is None:
            if len(self._answers) > 8192:
                self._answers.clear()
            tokens = re.findall(r"[A-Za-z0-9]+", value.decode("ascii", "replace"))
            if vr in {"DS", "IS", "TM"}:
                tokens = [token for token in tokens if len(token) > self.LONGEST_HARMLESS]
            answer = self._answers[value] = any(self.known.contains(token.casefold()) for token in tokens)
        return answer


def _by_tag(pair: tuple[int, Buffer]) -> int:
    return pair[0]


def _parts(text: str, vr: str) -> list[str]:
    return [text] if vr in {"LT", "ST", "UT"} else text.split("\\")


def _bare(text: str) -> str:
    return text.strip(" \0")


def _uid(value: object) -> str:
    if not isinstance(value, memoryview):
        return ""
    return bytes(value[:256]).strip(b" \0").decode("ascii", "replace")


def _code(value: object) -> str:
    text = _uid(value).upper()
    return text if re.fullmatch(r"[A-Z]{2,8}", text) else ""


def _layout(top: Mapping[int, object]) -> PixelLayout:
    def number(tag: int, default: int = 0) -> int:
        value = top.get(tag)
        if isinstance(value, memoryview) and len(value) == 2:
            return int(value[0]) | int(value[1]) << 8
        return default

    frame_count = 1
    value = top.get(0x00280008)
    if isinstance(value, memoryview) and len(value):
        frame_count = 0
        with suppress(ValueError):
            frame_count = int(bytes(value[:16]).strip(b" \0") or b"1")
    photometric = _uid(top.get(0x00280004)).upper()
    return PixelLayout(
        rows=number(0x00280010),
        columns=number(0x00280011),
        samples=number(0x00280002, 1),
        frames=frame_count,
        bits_allocated=number(0x00280100),
        bits_stored=number(0x00280101),
        high_bit=number(0x00280102),
        signed=number(0x00280103) == 1,
        planar=number(0x00280006),
        photometric=photometric,
    )


def is_registered(uid: str) -> bool:
    """Whether a UID is one that the standard registers (PS3.6 annex A), and so identifies nothing of the patient."""
    from pydicom._uid_dict import UID_dictionary

    return uid in UID_dictionary


def is_image(sop_class_uid: str) -> bool:
    """Whether instances of a SOP class are images, and so must have pixels (PS3.4 B.5)."""
    from pydicom._uid_dict import UID_dictionary

    return "Image Storage" in UID_dictionary.get(sop_class_uid, ("",))[0]


def shifted(text: str, vr: str, days: int) -> str:
    """Move a date or date-time backwards by whole days; "" for anything that is not exactly one.

    The time of day stays, the zone goes: it would tell places apart. The old form ``1950.12.11`` becomes ``19501211``.
    """
    found = _DATE.fullmatch(text)
    if found is not None:
        year, month, day = (int(part) for part in found.groups() if part is not None)
        rest = ""
    else:
        moment = _DATE_TIME.fullmatch(text) if vr != "DA" else None
        if moment is None:
            return ""
        year, month, day = int(moment[1]), int(moment[2]), int(moment[3])
        rest = moment[4] or ""
    try:
        moved = date.fromordinal(date(year, month, day).toordinal() - days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved:%Y%m%d}".zfill(8) + rest


__all__ = ["EncapsulatedPixels", "Engine", "is_registered", "shifted"]
