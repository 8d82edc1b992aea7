"""The wall: the very bytes to be sent → certified, or held with a reason.

It shares nothing with the engine that made them. It holds every element against what the profile allows, searches
everything but decoded pixel values for this patient's identifiers, and checks the structure. Any doubt holds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from bsti_submit.deid.certify.attributes import NUMBER_VRS, TEXT_VRS, Kind, name_of
from bsti_submit.deid.certify.feed import Exhausted, Feed
from bsti_submit.deid.certify.filemeta import FileMeta, check_file_meta
from bsti_submit.deid.certify.forms import FindIdentifiers, Finding, Forms
from bsti_submit.deid.certify.national import uk_patterns
from bsti_submit.deid.certify.pixels import SYNTAXES, DecodeFrame, PixelCheck, geometry
from bsti_submit.deid.certify.records import search_record
from bsti_submit.deid.certify.search import Identifiers, Matcher
from bsti_submit.deid.certify.strict import Doubt, Region, Walker, structure
from bsti_submit.deid.certify.uids import is_ours, is_registered
from bsti_submit.model import (
    Certified,
    InstanceRef,
    Outcome,
    Payload,
    Reason,
    Rejection,
    mint,
)

if TYPE_CHECKING:
    from bsti_submit.model import AllowList

DatePolicy = Literal["modified", "removed"]

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_STUDY, _SERIES, _MODALITY = 0x0020000D, 0x0020000E, 0x00080060
_IDENTITY_REMOVED, _METHOD, _METHOD_CODES = 0x00120062, 0x00120063, 0x00120064
_BURNED_IN, _TEMPORAL = 0x00280301, 0x00280303
_TEMPORAL_VALUES: dict[str, bytes] = {"modified": b"MODIFIED", "removed": b"REMOVED"}
_FULL_DATES, _CLEAN_PIXELS = b"113106", b"113101"
_TEXT_REGION = TEXT_VRS | NUMBER_VRS | {b"UI"}
_ROWS = 0x00280010


class Gate:
    """Certify the instances of one patient.

    Parameters
    ----------
    allow_list
        What may leave under the profile.
    matcher
        The patient's identifiers, from `Harvest`.
    patterns
        Finds national identifiers in text; a site with a hospital-number pattern of its own passes its own.
    dates
        The profile's date policy, which (0028,0303) must agree with. None takes it from the allow-list's literals.
    decode
        Decodes a compressed frame whose codestream has room above BitsStored; without one such a frame is held.
    """

    def __init__(
        self,
        allow_list: AllowList,
        matcher: Matcher,
        patterns: FindIdentifiers = uk_patterns,
        *,
        dates: DatePolicy | None = None,
        decode: DecodeFrame | None = None,
    ) -> None:
        self._inspector = _Inspector(allow_list, matcher, patterns, dates=dates, decode=decode)
        self._matcher = matcher
        self._patterns = patterns

    def __repr__(self) -> str:
        return f"<Gate: {self._matcher!r}>"

    def certify(self, ref: InstanceRef, payload: Payload) -> Certified | Rejection:
        """Certify one instance, reading its payload once. Never raises for what is in it.

        Returns
        -------
        Certified or Rejection
            Certified with size and SHA-256 of exactly the bytes that were looked at; or held, with the reason and
            an attribute's keyword or tag, never a value.
        """
        try:
            seen = self._inspector.inspect(payload, ref)
        except Exception:  # noqa: BLE001 - whatever went wrong, nothing uncertified may pass and nothing be told
            return Rejection(ref, "", Outcome.HELD, Reason.STRUCTURE)
        if seen.findings:
            worst = min(seen.findings, key=_gravity)
            return Rejection(ref, seen.sop_class_uid, Outcome.HELD, worst.reason, worst.attribute)
        return mint(
            ref,
            seen.sop_class_uid,
            seen.study,
            seen.series,
            seen.instance,
            seen.modality,
            seen.size,
            seen.sha256,
            payload,
        )

    def check_text(self, name: str, data: bytes) -> tuple[Finding, ...]:
        """Search text that leaves beside the images: a record, a file name, request metadata.

        Parameters
        ----------
        name
            What it is called in findings; it is not searched itself.
        data
            JSON, or any text in UTF-8.
        """
        try:
            return tuple(search_record(name, data, self._matcher, self._patterns))
        except Exception:  # noqa: BLE001 - as above
            return (Finding(Reason.STRUCTURE, name),)

    def check_credit(self, data: bytes) -> tuple[Finding, ...]:
        """Search whom a site wants credited, in JSON; empty for nobody.

        It is searched for the patient alone: a radiologist who is in the headers may be credited all the same.
        """
        if not data:
            return ()
        try:
            return tuple(search_record("contributor", data, self._matcher, self._patterns, credit=True))
        except Exception:  # noqa: BLE001 - as above
            return (Finding(Reason.STRUCTURE, "contributor"),)


def verify_structure(
    payload: Payload,
    allow_list: AllowList | None,
    patterns: FindIdentifiers = uk_patterns,
    *,
    dates: DatePolicy | None = None,
    decode: DecodeFrame | None = None,
) -> tuple[Finding, ...]:
    """Check an output whose patient is not known: structure, flags, forms, national identifiers.

    Parameters
    ----------
    payload
        The instance.
    allow_list
        What its profile allows, or None to check structure alone.
    patterns
        Finds national identifiers in text.
    dates
        The profile's date policy, if known.
    """
    try:
        inspector = _Inspector(allow_list, Matcher(Identifiers()), patterns, dates=dates, decode=decode)
        return tuple(dict.fromkeys(inspector.inspect(payload).findings))
    except Exception:  # noqa: BLE001 - as above
        return (Finding(Reason.STRUCTURE),)


def _gravity(finding: Finding) -> int:
    order = (Reason.RESIDUAL_IDENTIFIER, Reason.ELEMENT_NOT_ALLOWED)
    return order.index(finding.reason) if finding.reason in order else len(order)


class _Seen:
    """What was seen of one instance."""

    __slots__ = ("findings", "instance", "modality", "series", "sha256", "size", "sop_class_uid", "study")

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.sop_class_uid = self.study = self.series = self.instance = self.modality = self.sha256 = ""
        self.size = 0


class _Inspector:
    def __init__(
        self,
        allow_list: AllowList | None,
        matcher: Matcher,
        patterns: FindIdentifiers,
        *,
        dates: DatePolicy | None,
        decode: DecodeFrame | None,
    ) -> None:
        self._matcher = matcher
        self._dates = dates
        self._decode = decode
        self._forms = Forms(matcher, patterns)
        self._allow_list = allow_list
        self._walker = Walker(self._forms, allow_list)

    def inspect(self, payload: Payload, ref: InstanceRef | None = None) -> _Seen:
        """Look at a whole payload. What is wrong is in `findings`; the digest is right only if nothing is."""
        seen = _Seen()
        dates = self._matcher.dates_of(ref)
        if dates != self._forms.original_dates:
            # Another patient: what was found good for the one before need not be good for this one.
            self._forms.original_dates = dates
            self._walker.forget()
        feed = Feed(payload.chunks())
        try:
            self._whole(feed, seen)
        except Doubt as doubt:
            seen.findings.append(doubt.finding)
        except Exhausted:
            seen.findings.append(Finding(Reason.TRUNCATED))
        seen.size, seen.sha256 = feed.size, feed.sha256()
        if not seen.findings and seen.size != payload.size:
            seen.findings.append(Finding(Reason.STRUCTURE, kind="size"))
        return seen

    def _whole(self, feed: Feed, seen: _Seen) -> None:
        meta, start = check_file_meta(feed.peek(4096))
        self._flag_meta(meta, seen)
        head, top = self._walker.top(feed, start)
        seen.findings += self._walker.findings
        elements = top.elements
        self._identity(elements, meta, seen)
        self._flags(elements, seen)
        loose: list[bytes] = []
        if top.pixels:
            feed.take(top.stop)
            check = PixelCheck(meta.transfer_syntax_uid, geometry(elements), self._decode, self._matcher.search_gapless)
            check.run(feed)
            loose += check.segments
            if not feed.at_end:
                # PS3.5 lets only trailing padding and signatures follow pixel data, and neither may leave.
                raise structure("PixelData", "trailing-bytes")
        elif _ROWS in elements:
            raise Doubt(Finding(Reason.TRUNCATED, "PixelData"))
        else:
            feed.drain()
        self._search(head, start, loose, seen)

    def _flag_meta(self, meta: FileMeta, seen: _Seen) -> None:
        if meta.transfer_syntax_uid not in SYNTAXES:
            raise Doubt(Finding(Reason.UNSUPPORTED_SYNTAX, "TransferSyntaxUID"))
        if self._matcher.is_original_uid(meta.sop_instance_uid):
            seen.findings.append(Finding(Reason.RESIDUAL_IDENTIFIER, "MediaStorageSOPInstanceUID", Kind.UID.word))

    @staticmethod
    def _identity(elements: dict[int, bytes], meta: FileMeta, seen: _Seen) -> None:
        def text(tag: int) -> str:
            return elements.get(tag, b"")[8:].rstrip(b" \0").decode("latin-1")

        seen.sop_class_uid, seen.instance = text(_SOP_CLASS), text(_SOP_INSTANCE)
        seen.study, seen.series, seen.modality = text(_STUDY), text(_SERIES), text(_MODALITY)
        if not is_registered(seen.sop_class_uid):
            seen.sop_class_uid = ""
            raise structure("SOPClassUID", "foreign-uid")
        for tag, uid in ((_SOP_INSTANCE, seen.instance), (_STUDY, seen.study), (_SERIES, seen.series)):
            if not is_ours(uid):
                raise structure(name_of(tag), "foreign-uid")
        if seen.sop_class_uid != meta.sop_class_uid:
            raise structure("MediaStorageSOPClassUID", "differs")
        if seen.instance != meta.sop_instance_uid:
            raise structure("MediaStorageSOPInstanceUID", "differs")
        if not re.fullmatch(r"(?:[A-Z0-9_ ]{2,16})?", seen.modality):
            raise structure("Modality", "syntax")

    def _flags(self, elements: dict[int, bytes], seen: _Seen) -> None:
        def value(tag: int) -> bytes:
            return elements.get(tag, b"")[8:].strip(b" \0")

        if value(_IDENTITY_REMOVED) != b"YES":
            seen.findings.append(Finding(Reason.STRUCTURE, "PatientIdentityRemoved", "flag"))
        if not value(_METHOD) and _METHOD_CODES not in elements:
            seen.findings.append(Finding(Reason.STRUCTURE, "DeidentificationMethod", "flag"))
        if value(_BURNED_IN) not in (b"", b"NO"):
            seen.findings.append(Finding(Reason.STRUCTURE, "BurnedInAnnotation", "flag"))
        codes = elements.get(_METHOD_CODES, b"")
        if _FULL_DATES in codes or (_CLEAN_PIXELS in codes and value(_BURNED_IN) != b"NO"):
            seen.findings.append(Finding(Reason.STRUCTURE, "DeidentificationMethodCodeSequence", "claim"))
        temporal = value(_TEMPORAL)
        wanted = {_TEMPORAL_VALUES[self._dates]} if self._dates else set(_TEMPORAL_VALUES.values())
        if temporal not in wanted:
            seen.findings.append(Finding(Reason.STRUCTURE, "LongitudinalTemporalInformationModified", "flag"))

    # --- raw search ---

    def _search(self, head: bytes, start: int, loose: list[bytes], seen: _Seen) -> None:
        """Search the bytes themselves: whatever the walk may have misjudged, a name in them is a name."""
        matcher = self._matcher
        for segment in loose:
            hits = matcher.search_bytes(segment)
            kind = hits[0].kind if hits else matcher.search_gapless(segment)
            if kind is not None:
                seen.findings.append(Finding(Reason.RESIDUAL_IDENTIFIER, "PixelData", kind.word))
        hits = matcher.search_bytes(head)
        gapless = matcher.search_gapless(head)
        if not hits and gapless is None:
            return
        regions = self._regions(head, start)
        for hit in hits:
            region = next((one for one in regions if one.start <= hit.start and hit.end <= one.end), None)
            if region is None or region.vr not in _TEXT_REGION or hit.kind is Kind.UID:
                name = name_of(region.tag) if region else ""
                seen.findings.append(Finding(Reason.RESIDUAL_IDENTIFIER, name, hit.kind.word))
        if gapless is not None:
            for region in regions:
                kind = None if region.vr in _TEXT_REGION else matcher.search_gapless(head[region.start : region.end])
                if kind is not None:
                    seen.findings.append(Finding(Reason.RESIDUAL_IDENTIFIER, name_of(region.tag), kind.word))

    def _regions(self, head: bytes, start: int) -> list[Region]:
        """Return where every value of the header is, file meta included. Slow, and asked for only after a hit."""
        walker = Walker(self._forms, self._allow_list)
        walker.regions = []
        walker.walk(head, start)
        return [Region(0, start, 0x00020000, b"UI"), *walker.regions]
