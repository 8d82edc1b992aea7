"""Executes a profile's plan on one instance: a source file's bytes → a staged instance, or a refusal.

One walk over all sequences at any depth. What the plan does not let pass does not pass: the output is built from
what is kept, not by taking things out of the input. Nothing here raises on bad input, and nothing that it tells
holds a value.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Final

from bsti_submit.deid import frames
from bsti_submit.deid.characters import Characters, UnknownCharacterSet
from bsti_submit.deid.codes import is_public_code
from bsti_submit.deid.plan import Action
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
    from bsti_submit.deid.plan import InstancePlan, Rule
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
_LITERAL_DAYS = re.compile(r"days=(-?\d+)")


class Engine:
    """The engine under one profile. Not for several threads at once."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._resolved: dict[tuple[str, tuple[int, ...], int, str, str | None], tuple[Rule, str]] = {}

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
                return _Instance(self._profile, self._resolved, scope, known).run(parse(data))
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
        resolved: dict[tuple[str, tuple[int, ...], int, str, str | None], tuple[Rule, str]],
        scope: PatientScope,
        known: KnownWords,
    ) -> None:
        self.profile = profile
        self.resolved = resolved
        self.scope = scope
        self.known = known
        self.counts: Counter[str] = Counter()
        self.sop_class_uid = ""
        self.plan: InstancePlan
        self.non_ascii = False
        self.reusable = False

    def run(self, parsed: Parsed) -> Staged | Refusal:
        elements = parsed.elements
        if len({element[0] for element in elements}) != len(elements):
            return Refusal(Reason.UNREADABLE)  # which of two would a reader believe?
        top = {tag: value for tag, _, value, _ in elements}
        self.sop_class_uid = _uid(top.get(SOP_CLASS_UID))
        for tag, keyword in (
            (SOP_CLASS_UID, "SOPClassUID"),
            (SOP_INSTANCE_UID, "SOPInstanceUID"),
            (STUDY_INSTANCE_UID, "StudyInstanceUID"),
            (SERIES_INSTANCE_UID, "SeriesInstanceUID"),
        ):
            if not _uid(top.get(tag)):
                return Refusal(Reason.MISSING_IDENTITY, keyword)
        self.plan = self.profile.plan.for_sop_class(self.sop_class_uid)
        layout = _layout(top)
        pixels = self._pixels(parsed, layout)
        if isinstance(pixels, Refusal):
            return pixels
        kept = dict(self._walk(elements, (), Characters()))
        for tag, vr, literal in self.profile.plan.additions:
            kept[tag] = encode(tag, vr, literal.encode("ascii", "replace"))
        codes = frozenset(self.profile.options) - {"113101"}
        self._write(kept, codes)
        return Staged(
            sop_class_uid=self.sop_class_uid,
            study_uid=self.scope.uid(_uid(top[STUDY_INSTANCE_UID])),
            series_uid=self.scope.uid(_uid(top[SERIES_INSTANCE_UID])),
            instance_uid=self.scope.uid(_uid(top[SOP_INSTANCE_UID])),
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
                return frames.clean_encapsulated(value.offsets, value.fragments, layout, parsed.transfer_syntax_uid)
            if parsed.transfer_syntax_uid not in NATIVE or isinstance(value, list):
                return Refusal(Reason.PIXEL_CODING, "PixelData")
            return frames.clean_native(value, layout, big_endian=parsed.big_endian, vr=vr)
        return Refusal(Reason.PIXEL_LENGTH, "PixelData") if layout.rows else None

    def _walk(self, elements: list[Element], path: tuple[int, ...], characters: Characters) -> list[tuple[int, Buffer]]:
        kept: list[tuple[int, Buffer]] = []
        creators: dict[int, str] = {}
        for tag, _, value, _ in elements:
            if tag == CHARACTER_SET and isinstance(value, memoryview):
                characters = Characters(bytes(value))
        for tag, stated, value, raw in elements:
            if tag >> 16 == 0x7FE0 or (tag in _WRITTEN and (not path or tag == CHARACTER_SET)):
                continue
            creator = self._creator(tag, value, creators)
            key = (self.sop_class_uid, path, tag, stated, creator)
            found = self.resolved.get(key)
            if found is None:
                found = self.resolved[key] = self._resolve(path, tag, stated, creator)
            rule, vr = found
            if rule.action is Action.REMOVE:
                self.counts["removed"] += 1
                continue
            encoded = self._apply(rule, path, tag, vr, stated, value, raw, characters)
            if encoded is not None:
                kept.append((tag, encoded))
        kept.sort(key=lambda pair: pair[0])
        return kept

    @staticmethod
    def _creator(tag: int, value: object, creators: dict[int, str]) -> str | None:
        if not tag >> 16 & 1:
            return None
        element = tag & 0xFFFF
        if 0x10 <= element <= 0xFF and isinstance(value, memoryview):
            creator = bytes(value).strip(b" \0").decode("ascii", "replace")
            creators[tag & 0xFFFF0000 | element << 8] = creator
            return creator
        return creators.get(tag & 0xFFFFFF00)

    def _resolve(self, path: tuple[int, ...], tag: int, stated: str, creator: str | None) -> tuple[Rule, str]:
        allowed = dictionary_vrs(tag)
        vr = stated if stated in allowed or not allowed else allowed[0]
        if stated == "UN" and set(allowed) == {"US", "SS"}:
            vr = "US"
        return self.plan.rule(path, tag, vr, creator), vr

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
            return self._keep(tag, vr, stated, value, raw, characters)
        if action is Action.DUMMY:
            self.counts["dummy"] += 1
            return encode(tag, vr, DUMMIES[vr].encode()) if vr in DUMMIES else encode(tag, vr, bytes(_width(vr)))
        if action is Action.LITERAL:
            self.counts["replaced"] += 1
            return encode(tag, vr, self._encoded(rule.value))
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

    @staticmethod
    def _filled(rule: Rule, tag: int, vr: str, text: str) -> Buffer:
        """Return what stands where nothing of a value is left: a dummy where the IOD demands one, else nothing."""
        wanted = rule.otherwise is Action.DUMMY and text.strip(" \0\\") != ""
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
        tag: int,
        vr: str,
        stated: str,
        value: memoryview,
        raw: memoryview | None,
        characters: Characters,
    ) -> Buffer | None:
        if vr in BULK and tag not in _LOOK_UP_TABLES:
            self.counts["removed"] += 1
            return None
        if vr in PLAIN_TEXT:
            text = characters.decode(value, vr)
            return encode(tag, vr, self._encoded(text))
        if vr in {"DA", "DT"}:
            return self._well_formed_date(tag, vr, characters.decode(value, vr))
        bare = value if vr in BULK else bytes(value).strip(b" \0")
        if vr == "CS" and not has_form(vr, bytes(bare)):
            bare = bytes(bare).upper()
            raw = None
        if not has_form(vr, bytes(value) if vr in _BINARY else bytes(bare)) if vr not in BULK else False:
            self.counts["malformed"] += 1
            return None
        if vr == "TM" and b":" in bytes(bare):
            bare, raw = bytes(bare).replace(b":", b""), None  # the old form of PS3.5 6.2
        if vr == "CS" and self._names_somebody(bytes(bare).decode("ascii", "replace")):
            self.counts["removed"] += 1
            return None
        if raw is not None and stated == vr and not len(value) & 1:
            return raw if vr in _BINARY or vr in BULK or b"\0" not in bytes(value) else encode(tag, vr, bare)
        return encode(tag, vr, value if vr in _BINARY or vr in BULK else bare)

    def _names_somebody(self, text: str) -> bool:
        return any(self.known.contains(token.casefold()) for token in re.findall(r"[A-Za-z0-9]+", text))

    def _well_formed_date(self, tag: int, vr: str, text: str) -> Buffer | None:
        form = _DATE if vr == "DA" else _DATE_TIME
        parts = [part.strip() for part in text.split("\\")]
        if all(part == "" or form.fullmatch(part) for part in parts):
            return encode(tag, vr, "\\".join(parts).encode("ascii"))
        self.counts["malformed"] += 1
        return encode(tag, vr, b"")

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
        if kind == "code" and is_public_code(text.strip()) and not self._names_somebody(text):
            return text.strip()
        cleaned = self.profile.descriptors.clean(text, self.known)
        longest = {"SH": 16, "LO": 64, "CS": 16, "ST": 1024, "LT": 10240}.get(vr)
        return cleaned if longest is None else cleaned[:longest].rstrip()

    def _encoded(self, text: str) -> bytes:
        if text.isascii():
            return text.encode("ascii")
        self.non_ascii = True
        return text.encode("utf-8")


_BINARY: Final = frozenset(("AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"))


def _width(vr: str) -> int:
    return {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}.get(vr, 2)


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


def _layout(top: dict[int, object]) -> PixelLayout:
    def number(tag: int, default: int = 0) -> int:
        value = top.get(tag)
        if isinstance(value, memoryview) and len(value) == 2:
            return value[0] | value[1] << 8
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
