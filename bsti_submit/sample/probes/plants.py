"""Where identifiers get into images, and in what form: each plant puts one into one data set."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from bsti_submit.sample.probes.people import bare, da, dates, names, numbers, spaced, strangers

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping

    from pydicom.dataset import FileDataset

    from bsti_submit.sample.probes.people import Someone

_PLACES = (
    "StudyDescription SeriesDescription ProtocolName ImageComments PatientComments AdditionalPatientHistory "
    "RequestedProcedureDescription PerformedProcedureStepDescription CommentsOnThePerformedProcedureStep "
    "DerivationDescription AcquisitionProtocolDescription AcquisitionDeviceProcessingDescription ContrastBolusAgent "
    "ContrastBolusRoute SoftwareVersions Manufacturer ManufacturerModelName ConvolutionKernel FilterType FrameComments "
    "WindowCenterWidthExplanation DetectorDescription ReasonForStudy AdmittingDiagnosesDescription VisitComments"
).split()
_AROUND = (
    "{}",
    "CT chest for {}",
    "{} CT THORAX",
    "chest {} contrast",
    "Thorax_{}_1.0",
    "CT CHEST ({})",
    "{} - lung",
    "pt {} supine",
    "HRCT {} B60f",
    "per {} request",
)
_USEFUL = ("chest", "thorax", "lung", "contrast", "supine", "hrct", "b60f", "ct")


@dataclass(frozen=True)
class Plant:
    """One identifier in one place.

    Attributes
    ----------
    kind, where
        What it is, and what it was planted in: for the score.
    secrets
        What must not be found afterwards.
    put
        Puts it into a data set.
    useful
        Words beside it that must stay.
    stated
        Tag → VR that the file states in the place of ``OB``.
    """

    kind: str
    where: str
    secrets: tuple[str, ...]
    put: Callable[[FileDataset], None]
    useful: tuple[str, ...] = ()
    stated: Mapping[int, str] = field(default_factory=dict)


def in_text(who: Someone, rng: random.Random) -> Iterator[Plant]:
    """Yield identifiers in free text that the standard's table lists or does not list."""
    for kind, text, secrets in _texts(who, rng):
        where, around = rng.choice(_PLACES), rng.choice(_AROUND)
        whole = around.format(text)
        words = bare(around.replace("{}", " ")) and [bare(word) for word in around.replace("_", " ").split()]
        useful = tuple(word for word in words or () if word in _USEFUL and word not in who.own_words)
        yield Plant(kind, where, secrets, _setter(where, whole), useful)


def _setter(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


def _texts(who: Someone, rng: random.Random) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    people = [
        *[("the patient's name", (who.family, who.given))] * 6,
        *[("a name that stands in the header", who.referrer)] * 6,
        *(("a name that stands nowhere else", stranger) for stranger in strangers(rng, who, 8)),
    ]
    for kind, (family, given) in people:
        text = rng.choice(names(family, given))
        yield kind, text, tuple(name for name in (family, given) if bare(name) in bare(text)) or (family,)
    for number in (who.patient_id, who.accession):
        yield from (("the patient's numbers", text, (number,)) for text in rng.sample(numbers(number), 3))
    yield from (("the patient's numbers", text, (who.nhs_number,)) for text in rng.sample(spaced(who.nhs_number), 3))
    other = (rng.randrange(1930, 2022), rng.randrange(1, 13), rng.randrange(1, 29))
    for day in (who.born, who.studied, other):
        yield from (("dates", text, (text,)) for text in rng.sample(dates(day), 3))
    yield "places", who.hospital, (who.place,)
    yield "places", who.elsewhere, (who.elsewhere,)
    yield "places", who.street, (who.street.split()[1],)
    yield "devices", who.station, (who.station,)
    yield "devices", f"SN {who.serial}", (who.serial,)
    yield "contacts", "01632 960983", ("960983",)
    yield "contacts", f"{bare(who.stranger[0])}@nhs.net", (who.stranger[0],)
    yield "contacts", "BS16 1LE", ("1LE",)
    age = rng.randrange(90, 107)
    for text in rng.sample([f"{age}F", f"{age}yo", f"age {age}", f"{age}-year-old", f"aged {age}"], 2):
        yield "ages of 90 and over", text, (str(age),)


def in_structure(who: Someone, rng: random.Random) -> Iterator[Plant]:
    """Yield identifiers outside the free text of the top level: nested, private, unknown, in numbers."""
    person = f"{who.family}^{who.given}"
    family, given = who.stranger
    stranger = f"{family} {given}"
    both = (who.family, who.given)
    for sequence in (
        "RequestAttributesSequence",
        "SharedFunctionalGroupsSequence",
        "VOILUTSequence",
        "ContentSequence",
    ):
        depth = rng.randrange(1, 5)
        for keyword, value, secrets in (
            ("PatientName", person, both),
            ("ReasonForTheRequestedProcedure", f"wife of {stranger}", (family, given)),
            ("StudyDate", da(who.studied), (da(who.studied),)),
            ("ReferencedSOPInstanceUID", who.uid + ".77", (who.uid,)),
        ):
            inner = Dataset()
            setattr(inner, keyword, value)
            yield Plant("nested sequences", f"{keyword} in {sequence}", secrets, _nested(sequence, depth, inner))
    for vr, raw, secrets in (
        ("LO", stranger.encode(), (family, given)),
        ("PN", person.encode(), both),
        ("DA", da(who.born).encode(), (da(who.born),)),
        ("UN", stranger.encode(), (family, given)),
        ("OB", stranger.encode("utf-16-le"), (family,)),
    ):
        yield Plant("private attributes", vr, secrets, _private("OB", raw))
        yield _raw("unknown attributes", vr, secrets, 0x00187FF0, vr, raw)
        yield _raw("overlays and curves", vr, secrets, rng.choice((0x60024000, 0x50002500)), vr, raw)
    yield Plant("private attributes", "a sequence", both, _private("SQ", Sequence([_with("PatientName", person)])))
    yield _raw("nested sequences", "as UN", both, 0x00081115, "UN", _implicit(0x00100010, person.encode()))
    eight = bare(family)[:8].ljust(8)
    for tag, vr in ((0x00189306, "FD"), (0x00189219, "SS"), (0x00280106, "US"), (0x00089459, "FL"), (0x00281201, "OW")):
        yield _raw("numbers", f"a name as {vr}", (eight.strip(),), tag, vr, eight.encode())
    yield _raw("numbers", "a date as IS", (da(who.born),), 0x00200012, "IS", da(who.born).encode())
    yield _raw("numbers", "a date as DS", (da(who.studied),), 0x00181100, "DS", da(who.studied).encode())
    for tag, keyword in ((0x00180015, "BodyPartExamined"), (0x00080008, "ImageType"), (0x00180022, "ScanOptions")):
        yield _raw("coded strings", keyword, (family,), tag, "CS", bare(family).upper()[:16].encode())
    for bad in ("195O0101", "1950.12.11", "00000000", "19501", "19500101-19511231"):
        yield _raw("bad dates", bad, (bad,), 0x00080022, "DA", bad.encode())
    yield _raw("ages of 90 and over", "PatientAge", ("093Y",), 0x00101010, "AS", b"093Y")


def _nested(sequence: str, depth: int, inner: Dataset) -> Callable[[Dataset], None]:
    for _ in range(depth):
        inner = _with(sequence, Sequence([inner]))
    return lambda dataset: dataset.update(inner)


def _with(keyword: str, value: object) -> Dataset:
    dataset = Dataset()
    setattr(dataset, keyword, value)
    return dataset


def _private(vr: str, value: object) -> Callable[[Dataset], None]:
    def put(dataset: Dataset) -> None:
        dataset.private_block(0x0029, "ACME ARCHIVE", create=True).add_new(0x10, vr, value)

    return put


def _raw(kind: str, where: str, secrets: tuple[str, ...], tag: int, vr: str, value: bytes) -> Plant:
    """Return a plant of bytes that pydicom would not take for the VR: written as OB, with the VR changed afterwards."""
    padded = value + b" " * (len(value) % 2)

    def put(dataset: Dataset) -> None:
        dataset.add(DataElement(Tag(tag), "OB", padded, already_converted=True))

    return Plant(kind, where, secrets, put, stated={tag: vr})


def _implicit(tag: int, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    element = struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(element)) + element
