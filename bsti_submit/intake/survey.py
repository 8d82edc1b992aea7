"""One header-only pass over a source: each DICOM file becomes a surveyed instance or a rejection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bsti_submit.intake.decode import Decoder, code_string, integer_string, uid, unsigned_short
from bsti_submit.intake.directory import listed_files
from bsti_submit.intake.duplicates import settle_duplicates
from bsti_submit.intake.header import MEDIA_DIRECTORY, Header, read_header
from bsti_submit.intake.instance import (
    KNOWN_BODY_PARTS,
    KNOWN_MODALITIES,
    SurveyedInstance,
    safe_image_type,
    safe_uid,
)
from bsti_submit.intake.studies import PatientIdentity, Study, group_patients, group_studies
from bsti_submit.model import InstanceRef, Outcome, Reason, Rejection
from bsti_submit.phi import Identified

if TYPE_CHECKING:
    from collections.abc import Callable

    from bsti_submit.intake.source import Entry, Source
    from bsti_submit.model import Buffer

_NAMED_DICOM: Final = (".dcm", ".dicom", ".dic", ".ima")
_ARCHIVES: Final = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".iso", ".bz2", ".xz")
_APPLE_DOUBLE: Final = b"\0\x05\x16\x07"
_PHOTOMETRIC: Final = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422"}
    | {"YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB"}
)
_STEP: Final = 16


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Attributes
    ----------
    instances
        In the order of their refs, duplicates already settled.
    rejections
        Broken and truncated files, duplicates, files that may not be read.
    ignored
        How many files are not DICOM (a DICOMDIR and empty files among them).
    archives
        How many of those look like archives, which may hold images and are not opened.
    missing
        How many files a DICOMDIR lists that are not there.
    total_bytes
        Of all DICOM files, in bytes.
    """

    instances: tuple[SurveyedInstance, ...]
    rejections: tuple[Rejection, ...]
    ignored: int
    archives: int
    missing: int
    total_bytes: int

    @property
    def patients(self) -> tuple[PatientIdentity, ...]:
        """The patients, told apart by issuer and id, by birth date, and by name where the id says nothing."""
        return group_patients(self.instances)

    def studies(self, include: Callable[[SurveyedInstance], bool] | None = None) -> tuple[Study, ...]:
        """Return the studies, newest first, of all instances or of those that ``include`` takes."""
        chosen = self.instances if include is None else tuple(filter(include, self.instances))
        return group_studies(chosen)

    def instance(self, ref: InstanceRef) -> SurveyedInstance | None:
        """Return the instance of a ref, None if it was rejected or never there."""
        return next((instance for instance in self.instances if instance.ref == ref), None)


def survey_source(
    source: Source,
    on_header: Callable[[InstanceRef, Buffer], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Look at the header of every file of a source once, and number the DICOM files.

    Parameters
    ----------
    on_header
        Called with each DICOM file's bytes up to the value of its pixel data (PS3.10 file meta included;
        a deflated data set stands there inflated, as Explicit VR Little Endian).
    progress
        Called with files done and files in all, now and then.
    """
    return _Surveyor(source, on_header).run(progress)


class _Surveyor:
    def __init__(self, source: Source, on_header: Callable[[InstanceRef, Buffer], None] | None) -> None:
        self.source = source
        self.on_header = on_header
        self.decoder = Decoder()
        self.instances: list[SurveyedInstance] = []
        self.rejections: list[Rejection] = []
        self.directories: list[tuple[Entry, list[list[str]]]] = []
        self.ignored = 0
        self.archives = 0
        self.total = 0

    def run(self, progress: Callable[[int, int], None] | None) -> Survey:
        self.source.forget_numbers()
        entries = list(self.source.entries())
        for done, entry in enumerate(entries):
            if progress and done % _STEP == 0:
                progress(done, len(entries))
            self.look(entry)
        if progress:
            progress(len(entries), len(entries))
        missing = self.missing_files()
        instances, duplicates = settle_duplicates(self.source, self.instances)
        rejections = sorted(self.rejections + duplicates, key=lambda rejection: rejection.ref)
        return Survey(
            instances=tuple(instances),
            rejections=tuple(rejections),
            ignored=self.ignored,
            archives=self.archives,
            missing=missing,
            total_bytes=self.total,
        )

    def look(self, entry: Entry) -> None:
        """Take one file in."""
        if entry.closed:
            self.reject(entry, Reason.UNREADABLE)
            return
        name = entry.path.lower()
        if entry.size == 0:
            self.ignored += 1
            return
        if self.source.is_archive and self.source.is_bomb(entry):
            self.reject(entry, Reason.TOO_LARGE)
            return
        try:
            with self.source.open(entry) as opened:
                header = read_header(opened)
                if header is None:
                    self.pass_over(entry, name, bytes(opened.head(8)[:8]))
                elif header.sop_class.rstrip(b"\0 ") == MEDIA_DIRECTORY.encode():
                    self.ignored += 1
                    self.directories.append((entry, listed_files(opened.whole())))
                else:
                    self.take(entry, header)
        except OSError:
            self.reject(entry, Reason.UNREADABLE)

    def pass_over(self, entry: Entry, name: str, start: bytes) -> None:
        """Count a file that is not DICOM; one that is named as if it were is held as broken."""
        if name.endswith(_NAMED_DICOM) and start[:4] != _APPLE_DOUBLE:
            self.reject(entry, Reason.UNREADABLE)
            return
        self.ignored += 1
        self.archives += name.endswith(_ARCHIVES) or start[:4] == b"PK\x03\x04"

    def reject(self, entry: Entry, reason: Reason, sop_class_uid: str = "", attribute: str = "") -> None:
        """Hold a file."""
        ref = self.source.number(entry)
        self.total += entry.size
        self.rejections.append(Rejection(ref, sop_class_uid, Outcome.HELD, reason, attribute))

    def take(self, entry: Entry, header: Header) -> None:
        """Turn a header into a surveyed instance, or hold the file."""
        sop_class = uid(header, 0x00080016) or header.sop_class.strip(b" \0").decode("ascii", "replace")
        sop_class = safe_uid(sop_class)
        if header.problem:
            self.reject(entry, header.problem, sop_class)
            if header.pixels and self.on_header:
                self.on_header(self.rejections[-1].ref, header.bytes_before_pixels)
            return
        for tag, keyword in (
            (0x00080018, "SOPInstanceUID"),
            (0x0020000D, "StudyInstanceUID"),
            (0x0020000E, "SeriesInstanceUID"),
        ):
            if not uid(header, tag):
                self.reject(entry, Reason.MISSING_IDENTITY, sop_class, keyword)
                return
        if not sop_class:
            self.reject(entry, Reason.MISSING_IDENTITY, "", "SOPClassUID")
            return
        ref = self.source.number(entry, header.as_stored)
        self.total += entry.size
        self.instances.append(self.describe(ref, entry.size, sop_class, header))
        if self.on_header:
            self.on_header(ref, header.bytes_before_pixels)

    def describe(self, ref: InstanceRef, size: int, sop_class: str, header: Header) -> SurveyedInstance:
        """Decode what the survey keeps of a header."""

        def text(tag: int) -> Identified[str]:
            return self.decoder.text(header, tag)

        modality = code_string(header, 0x00080060)
        body_part = code_string(header, 0x00180015)
        photometric = code_string(header, 0x00280004)
        burned_in = code_string(header, 0x00280301)
        image_type = code_string(header, 0x00080008)
        procedures = {header.values.get(tag, b"") for tag in (0x00181400, 0x00189423, 0x00321060, 0x00400254)}
        return SurveyedInstance(
            ref=ref,
            size=size,
            sop_class_uid=sop_class,
            transfer_syntax_uid=safe_uid(header.transfer_syntax_uid),
            modality=modality if modality in KNOWN_MODALITIES else "",
            body_part=body_part if body_part in KNOWN_BODY_PARTS else "",
            image_type=safe_image_type([part.strip() for part in image_type.split("\\")] if image_type else []),
            burned_in=burned_in if burned_in in {"", "NO"} else "YES",
            photometric=photometric if photometric in _PHOTOMETRIC else "",
            frames=integer_string(header, 0x00280008) or int(header.pixels),
            rows=unsigned_short(header, 0x00280010),
            columns=unsigned_short(header, 0x00280011),
            samples=unsigned_short(header, 0x00280002),
            bits_allocated=unsigned_short(header, 0x00280100),
            bits_stored=unsigned_short(header, 0x00280101),
            high_bit=unsigned_short(header, 0x00280102),
            pixel_representation=unsigned_short(header, 0x00280103),
            pixels=header.pixels,
            patient_id=text(0x00100020),
            issuer=text(0x00100021),
            patient_name=text(0x00100010),
            birth_date=text(0x00100030),
            sex=text(0x00100040),
            patient_age=text(0x00101010),
            study_uid=text(0x0020000D),
            series_uid=text(0x0020000E),
            instance_uid=Identified(uid(header, 0x00080018)),
            accession_number=text(0x00080050),
            study_date=text(0x00080020),
            study_time=text(0x00080030),
            series_number=text(0x00200011),
            instance_number=text(0x00200013),
            study_description=text(0x00081030),
            series_description=text(0x0008103E),
            protocol_name=text(0x00181030),
            body_part_text=text(0x00180015),
            regions=self.decoder.texts(header, header.regions | header.region_meanings),
            procedure_texts=self.decoder.texts(header, procedures | header.texts),
        )

    def missing_files(self) -> int:
        """Count the files that a DICOMDIR lists and that are not there.

        If the user pointed at the DICOMDIR itself, each is held: the study would go out incomplete.
        """
        missing = 0
        for entry, listed in self.directories:
            absent = sum(not self.source.holds(entry, components) for components in listed)
            missing += absent
            if self.source.listed_in_directory:
                for _ in range(absent):
                    self.reject(entry, Reason.UNREADABLE, attribute="ReferencedFileID")
                    self.total -= entry.size
        return missing
