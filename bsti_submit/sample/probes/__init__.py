"""A planted study by which a profile is judged: each probe is one image with one identifier in one place.

What is planted must be gone from the output, and what is of use must have stayed. Nobody in it is real. Another
seed gives other people, other places and other ways of writing.
"""

from __future__ import annotations

import io
import random
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bsti_submit.sample.probes import keepers
from bsti_submit.sample.probes.people import da, invent
from bsti_submit.sample.probes.plants import Plant, in_structure, in_text
from bsti_submit.sample.probes.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydicom.dataset import FileDataset

    from bsti_submit.sample.probes.people import Someone

__all__ = ["Probe", "Traces", "make_probes"]

_CT, _DX = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1.1"
_SIZE = 8


@dataclass(frozen=True)
class Probe:
    """One image.

    Attributes
    ----------
    kind, where
        What was planted, and in what.
    data
        The file.
    patient_id
        Whose it is.
    secrets
        What must not be found in the output.
    kept
        Kind, keyword and value of what must stay.
    useful
        Words of the attribute `where` that must stay.
    """

    kind: str
    where: str
    data: bytes = field(repr=False)
    patient_id: str = field(repr=False)
    secrets: tuple[str, ...] = ()
    kept: tuple[tuple[str, str, object], ...] = ()
    useful: tuple[str, ...] = ()


def make_probes(seed: int = 1, patients: int = 4) -> Iterator[Probe]:
    """Yield the probes of some patients; one seed always gives the same."""
    rng = random.Random(seed)  # noqa: S311 - made-up patients, no secrets
    for _ in range(patients):
        who = invent(rng)
        images = _Images(who)
        for plant in (*in_text(who, rng), *in_structure(who, rng)):
            yield _planted(images, plant)
        yield from _around(images)
        yield from _keeping(images, rng)


def _planted(images: _Images, plant: Plant) -> Probe:
    dataset = images.new()
    plant.put(dataset)
    data = _stated(_bytes(dataset), plant.stated)
    return Probe(plant.kind, plant.where, data, images.who.patient_id, plant.secrets, useful=plant.useful)


class _Images:
    """The images of one patient, each an instance of its own."""

    def __init__(self, who: Someone) -> None:
        self.who = who
        self._count = 0

    def new(self, sop_class: str = _CT) -> FileDataset:
        """Return the next image, with nothing planted in it."""
        self._count += 1
        return _image(self.who, f"{self.who.uid}.{self._count}", sop_class)


def _image(who: Someone, instance_uid: str, sop_class: str) -> FileDataset:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(instance_uid)
    meta.ImplementationClassUID = UID("1.3.6.1.4.1.99999.1")
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    values: dict[str, object] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": sop_class,
        "SOPInstanceUID": instance_uid,
        "StudyInstanceUID": who.uid,
        "SeriesInstanceUID": f"{who.uid}.2",
        "FrameOfReferenceUID": f"{who.uid}.9",
        "StudyDate": da(who.studied),
        "StudyTime": "101112",
        "AccessionNumber": who.accession,
        "Modality": "CT" if sop_class == _CT else "DX",
        "InstitutionName": who.hospital,
        "InstitutionAddress": who.street,
        "StationName": who.station,
        "DeviceSerialNumber": who.serial,
        "ReferringPhysicianName": "^".join(who.referrer),
        "OperatorsName": "^".join(who.operator),
        "PatientName": f"{who.family}^{who.given}",
        "PatientID": who.patient_id,
        "OtherPatientIDs": who.nhs_number,
        "PatientBirthDate": da(who.born),
        "PatientSex": "F",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": _SIZE,
        "Columns": _SIZE,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": b"\1\2" * (_SIZE * _SIZE),
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW"
    return dataset


def _bytes(dataset: FileDataset) -> bytes:
    from pydicom import config

    out = io.BytesIO()
    with config.disable_value_validation():
        dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _stated(data: bytes, vrs: Mapping[int, str]) -> bytes:
    """Return the file with other VRs than OB stated for some attributes."""
    for tag, vr in vrs.items():
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + b"OB\0\0"
        place = data.rindex(head)
        length = data[place + 8 : place + 12]
        long = vr in {"OB", "OW", "UN", "UT", "SQ", "UC", "UR"}
        new = head[:4] + vr.encode() + (b"\0\0" + length if long else length[:2])
        data = data[:place] + new + data[place + 12 :]
    return data


def _around(images: _Images) -> Iterator[Probe]:
    """Yield identifiers outside the data set: preamble, file meta, behind the pixels, in spare bits, in a JPEG."""
    who = images.who
    name = f"{who.family} {who.given}"
    secrets = (who.family, who.given)
    kind = "around the data set"
    preamble = name.encode()[:128].ljust(128, b"\0")
    yield Probe(kind, "preamble", preamble + _bytes(images.new())[128:], who.patient_id, secrets)
    yield Probe(kind, "behind the pixels", _bytes(images.new()) + name.encode(), who.patient_id, secrets)
    padding = struct.pack("<HH2sHL", 0xFFFC, 0xFFFC, b"OB", 0, 64) + name.encode().ljust(64, b"\0")[:64]
    yield Probe(kind, "padding", _bytes(images.new()) + padding, who.patient_id, secrets)
    dataset = images.new()
    dataset.file_meta.SourceApplicationEntityTitle = who.station[:16]
    yield Probe(kind, "file meta", _bytes(dataset), who.patient_id, (who.station,))
    dataset = images.new()
    letters = name.encode().ljust(_SIZE * _SIZE, b" ")[: _SIZE * _SIZE]
    dataset.PixelData = b"".join(bytes((0, (letter & 15) << 4)) for letter in letters)
    pixels = dataset.PixelData
    yield Probe(kind, "spare bits", _bytes(dataset), who.patient_id, (pixels[:16].hex(),))
    yield Probe(kind, "a JPEG comment", _jpeg(images, name), who.patient_id, secrets)


def _jpeg(images: _Images, comment: str) -> bytes:
    from PIL import Image
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    out = io.BytesIO()
    Image.new("L", (_SIZE, _SIZE), 99).save(out, "jpeg", comment=comment.encode())
    dataset = images.new(_DX)
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.50")
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = encapsulate([out.getvalue()])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return _bytes(dataset)


def _keeping(images: _Images, rng: random.Random) -> Iterator[Probe]:
    """Yield images of which nothing but what identifies may be lost."""
    who = images.who
    own = who.own_words

    def probe(kept: dict[str, object], kind: str) -> Probe:
        dataset = images.new()
        for keyword, value in kept.items():
            setattr(dataset, keyword, value)
        found = tuple((kind, keyword, value) for keyword, value in kept.items())
        return Probe("", kind, _bytes(dataset), who.patient_id, kept=found)

    for text in keepers.DESCRIPTIONS:
        if not own & {word.casefold() for word in text.replace("_", " ").split()}:
            yield probe({rng.choice(keepers.DESCRIPTION_PLACES): text.strip()}, "descriptions")
    for kind, table in (("equipment", keepers.EQUIPMENT), ("acquisition", keepers.ACQUISITION)):
        for keyword, values in table.items():
            yield probe({keyword: rng.choice(values)}, kind)
    yield probe(dict(keepers.MEASURES), "measures")
    yield probe({"StudyTime": "094317.25", "AcquisitionTime": "094501"}, "times of day")
