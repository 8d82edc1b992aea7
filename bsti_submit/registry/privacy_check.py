"""A second pair of eyes on received instances: what could still identify a patient.

It knows the profile's allow-list and the shapes of identifiers, not the patient. Its findings name
attributes, never values (PS3.15 E.1.1).
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pydicom
from pydicom.datadict import keyword_for_tag
from pydicom.sequence import Sequence

from bsti_submit.model import DUMMIES, Allowed, AllowList, Form
from bsti_submit.registry.package_check import objects_of
from bsti_submit.registry.patterns import national_identifier
from bsti_submit.registry.zipreader import Entry, StoredZip

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.dataset import Dataset, FileDataset
    from pydicom.tag import BaseTag

SHIFT_DAYS_LEAST = 3653
"""Dates are shifted back by at least this many days, so a later one was never shifted."""

_CLOCK_SLACK_DAYS = 2
_TEXT_VRS = frozenset({"AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_BULK_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
_BULK = b"\x01"
"""Stands for a large binary value: it is there, it is not zero, it is not text."""
_META = frozenset({0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013})
_PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_BURNED_IN = 0x00280301
_CHARACTER_SET = 0x00080005
_OWN_UID = re.compile(r"2\.25\.(0|[1-9][0-9]{0,38})")
_REGISTERED_UID = re.compile(r"1\.2\.840\.10008(\.(0|[1-9][0-9]*))+")
_PSEUDONYM = re.compile(r"BSTI-[A-Z2-7]{8,58}")
_DATE = re.compile(r"[0-9]{8}")
_DATE_TIME = re.compile(r"[0-9]{4,14}(\.[0-9]{1,6})?")
_LARGE = 1 << 16
_MAX_DEPTH = 30
_PER_OBJECT, _IN_ALL = 20, 1000
_ZERO_BYTES_MOST = 16


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A doubt about one instance. ``object`` is ``sha256:`` and its digest, ``detail`` a tag and keyword."""

    object: str
    rule: str
    detail: str


def check_privacy(path: Path, allow_list: AllowList, max_objects: int, now: float) -> list[Finding]:
    """Look through every instance of a package; no findings means no doubt.

    Parameters
    ----------
    path
        The package, checked before.
    allow_list
        What may be in an instance under its profile.
    max_objects
        How many instances it may hold.
    now
        Seconds since the epoch, for dates that are too recent to have been shifted.
    """
    newest = datetime.fromtimestamp(now, UTC) - timedelta(days=SHIFT_DAYS_LEAST - _CLOCK_SLACK_DAYS)
    findings: list[Finding] = []
    with StoredZip(path, max_objects + 10) as package, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for entry in objects_of(package):
            doubts = _doubts(package, entry, allow_list, newest.strftime("%Y%m%d"))
            if doubts:
                name = f"sha256:{package.sha256(entry)}"
                findings += [Finding(name, rule, detail) for rule, detail in sorted(doubts)[:_PER_OBJECT]]
            if len(findings) >= _IN_ALL:
                break
    return findings[:_IN_ALL]


def _doubts(package: StoredZip, entry: Entry, allow_list: AllowList, newest: str) -> set[tuple[str, str]]:
    """Return the doubts about one instance. Whatever cannot be read is a doubt."""
    with package.open(entry) as stream:
        try:
            dataset = pydicom.dcmread(stream, defer_size=_LARGE)
            walk = _Walk(allow_list, newest)
            walk.instance(dataset)
        except Exception:  # noqa: BLE001 - a hostile file may raise anything; it is a doubt all the same
            return {("unreadable", "cannot be read to its end")}
    return walk.doubts


class _Walk:
    """One pass over one instance, at every depth."""

    def __init__(self, allow_list: AllowList, newest: str) -> None:
        self._allowed = allow_list.elements
        self._private = {(group, byte): forms for (group, _, byte), forms in allow_list.private.items()}
        self._newest = newest
        self.doubts: set[tuple[str, str]] = set()

    def instance(self, dataset: FileDataset) -> None:
        """Check preamble, file meta information and every element."""
        if dataset.preamble is not None and any(dataset.preamble):
            self.doubts.add(("preamble", "the preamble is not zero"))
        for tag in dataset.file_meta.keys():  # noqa: SIM118 - a Dataset iterates over converted elements
            if tag not in _META:
                self._doubt("file-meta", tag)
        self._dataset(dataset, 0)

    def _doubt(self, rule: str, tag: int) -> None:
        keyword = keyword_for_tag(tag)
        self.doubts.add((rule, f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {keyword}".rstrip()))

    def _dataset(self, dataset: Dataset, depth: int) -> None:
        for tag in dataset.keys():  # noqa: SIM118 - a Dataset iterates over converted elements
            element = dataset.get_item(tag, keep_deferred=True)
            if element is None or depth > _MAX_DEPTH:
                self._doubt("unreadable", tag)
            elif tag.is_private:
                self._private_element(tag)
            elif tag not in self._allowed:
                self._doubt("element-not-allowed", tag)
            elif tag not in _PIXEL_DATA:
                self._element(dataset, tag, element, depth)

    def _private_element(self, tag: BaseTag) -> None:
        creator = 0x10 <= tag.element <= 0xFF
        if not self._private or (not creator and (tag.group, tag.element & 0xFF) not in self._private):
            self._doubt("private-element", tag)

    def _element(self, dataset: Dataset, tag: BaseTag, raw: DataElement | RawDataElement, depth: int) -> None:
        allowed = self._allowed[tag]
        deferred = raw.value is None and getattr(raw, "length", 0) not in {0, None}
        if deferred and raw.VR in _BULK_VRS:
            self._value(tag, str(raw.VR), _BULK, allowed)
            return
        if deferred or raw.VR in {None, "SQ", "UN"} or not isinstance(raw.value, bytes | type(None)):
            element = dataset[tag]
            if isinstance(element.value, Sequence):
                if not allowed.forms & {Form.SEQUENCE, Form.KEEP}:
                    if len(element.value):
                        self._doubt("form", tag)
                    return
                for item in element.value:
                    self._dataset(item, depth + 1)
                return
            if element.VR == "UN":
                self._doubt("unknown-vr", tag)
                return
            value = _as_bytes(element.value)
            vr = element.VR
        else:
            value, vr = raw.value or b"", str(raw.VR)
        self._value(tag, vr, value, allowed)

    def _value(self, tag: int, vr: str, value: bytes, allowed: Allowed) -> None:
        text = value.decode("latin-1").rstrip(" \0")
        if text and not any(_has_form(form, vr, text, value, allowed) for form in allowed.forms):
            self._doubt("form", tag)
        if tag == _BURNED_IN and text == "YES":
            self._doubt("burned-in-annotation", tag)
        if vr in {"DA", "DT"} and any(part.strip()[:8] > self._newest for part in text.split("\\")):
            self._doubt("recent-date", tag)
        if vr in _TEXT_VRS and tag != _CHARACTER_SET:
            kind = national_identifier(text)
            if kind:
                self._doubt(kind, tag)


def _has_form(form: Form, vr: str, text: str, value: bytes, allowed: Allowed) -> bool:
    parts = [part.strip(" \0") for part in text.split("\\")]
    match form:
        case Form.KEEP | Form.TEXT | Form.PIXELS:
            return True
        case Form.UID:
            return all(not part or _OWN_UID.fullmatch(part) or _REGISTERED_UID.fullmatch(part) for part in parts)
        case Form.DATE:
            shape = _DATE if vr == "DA" else _DATE_TIME
            return all(not part or bool(shape.fullmatch(part)) for part in parts)
        case Form.EMPTY | Form.SEQUENCE:
            return False
        case Form.DUMMY:
            if vr in DUMMIES:
                return all(part == DUMMIES[vr] for part in parts)
            return len(value) <= _ZERO_BYTES_MOST and not any(value)
        case Form.PSEUDONYM:
            return bool(_PSEUDONYM.fullmatch(text))
        case Form.LITERAL:
            return not allowed.literals or text in allowed.literals


def _as_bytes(value: object) -> bytes:
    """Return an already converted value as text; the deferred large ones are binary and have none."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return str(value).encode("utf-8", "replace")
    return "\\".join(str(part) for part in value).encode("utf-8", "replace")
