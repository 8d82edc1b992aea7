"""A received package held against its case before anything is signed: bag, digests, records, objects."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pydicom
from pydicom.uid import UID

from bsti_submit.registry import strictjson
from bsti_submit.registry.bodies import schema_faults
from bsti_submit.registry.catalogue import schema_validator
from bsti_submit.registry.problems import Fault, Problem
from bsti_submit.registry.zipreader import BadZipError, Entry, StoredZip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bsti_submit.registry.strictjson import Object

_TAG_FILES = ("bagit.txt", "bag-info.txt", "manifest-sha256.txt")
_TAG_MANIFEST = "tagmanifest-sha256.txt"
_RECORDS = ("data/case.json", "data/clinical.json")
_OBJECT = re.compile(r"data/images/[0-9]{4}/[0-9]{6}\.dcm")
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *]?(?P<path>[!-~]+)")
_BAGIT = re.compile(rb"BagIt-Version: (1\.0|0\.97)\r?\nTag-File-Character-Encoding: UTF-8\r?\n?")
_TAG_BYTES = 1 << 20
_RECORD_BYTES = 1 << 20
_MANIFEST_LINE_BYTES = 128
_MAX_FAULTS = 50
_FEW = 50
_BLOCK = 4 << 20
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "PatientIdentityRemoved",
]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the case announced."""

    case_id: str
    package_sha256: str
    manifest_sha256: str
    objects: int
    clinical: Object
    deid: Object
    sop_classes: frozenset[str]


def check_package(path: Path, expected: Expected) -> None:
    """Check a whole package.

    Raises
    ------
    Problem
        ``digest-mismatch``, ``invalid-package``, ``case-mismatch``, ``clinical-mismatch``, ``sop-class`` or
        ``not-de-identified``, with the places.
    """
    if _file_sha256(path) != expected.package_sha256:
        raise Problem("digest-mismatch", "The bytes that arrived are not those that were announced.")
    try:
        # Twice as many files as announced are still looked at, so that the answer can say what is wrong.
        with StoredZip(path, 2 * expected.objects + _FEW) as package:
            _Check(package, expected).run()
    except BadZipError as error:
        raise Problem("invalid-package", f"The package is not a plain stored ZIP file: {error}.") from None


def objects_of(package: StoredZip) -> Iterator[Entry]:
    """Yield the instances of an open package, in order."""
    for name, entry in sorted(package.entries.items()):
        if _OBJECT.fullmatch(name.partition("/")[2]):
            yield entry


class _Check:
    """One run over an open package."""

    def __init__(self, package: StoredZip, expected: Expected) -> None:
        self._package = package
        self._expected = expected
        self._files: dict[str, Entry] = {}

    def run(self) -> None:
        """Check in order: layout, bag, digests, records, objects."""
        self._layout()
        self._bag()
        studies = self._case()
        self._clinical()
        self._objects(studies)

    def _layout(self) -> None:
        base = self._expected.case_id + "/"
        for name, entry in self._package.entries.items():
            path = name.removeprefix(base)
            known = path in {*_TAG_FILES, _TAG_MANIFEST, *_RECORDS} or _OBJECT.fullmatch(path)
            if path == name or not known:
                raise Problem("invalid-package", "The package holds a file that does not belong in it.")
            self._files[path] = entry
        missing = {*_TAG_FILES, _TAG_MANIFEST, *_RECORDS} - set(self._files)
        if missing:
            faults = [Fault(f"/{path}", "is missing") for path in sorted(missing)]
            raise Problem("invalid-package", "The package lacks files.", errors=faults)
        if len(self._object_paths()) != self._expected.objects:
            raise Problem("case-mismatch", "The package does not hold the announced number of objects.")

    def _object_paths(self) -> list[str]:
        return sorted(path for path in self._files if path.startswith("data/images/"))

    def _text(self, path: str, limit: int = _TAG_BYTES) -> bytes:
        return self._package.bytes_of(self._files[path], limit)

    def _bag(self) -> None:
        """Check the bag (RFC 8493): declaration, both manifests, every digest, Payload-Oxum."""
        if not _BAGIT.fullmatch(self._text("bagit.txt")):
            raise _package_fault("bagit.txt", "is not a declaration of BagIt 1.0 in UTF-8")
        room = _MANIFEST_LINE_BYTES * len(self._files)
        manifest = self._text("manifest-sha256.txt", room)
        if hashlib.sha256(manifest).hexdigest() != self._expected.manifest_sha256:
            raise Problem(
                "digest-mismatch",
                "The package's manifest is not the announced one.",
                errors=[Fault("/manifest-sha256.txt", "has another digest")],
            )
        payload = {path for path in self._files if path.startswith("data/")}
        self._digests("manifest-sha256.txt", manifest, payload)
        self._digests(_TAG_MANIFEST, self._text(_TAG_MANIFEST), set(_TAG_FILES))
        info = dict(
            cast("tuple[str, str]", tuple(part.strip() for part in line.split(":", 1)))
            for line in self._text("bag-info.txt").decode("utf-8", "replace").splitlines()
            if ":" in line
        )
        oxum = f"{sum(self._files[path].size for path in payload)}.{len(payload)}"
        if info.get("Payload-Oxum") != oxum:
            raise _package_fault("bag-info.txt", "Payload-Oxum does not agree")
        if info.get("External-Identifier") != self._expected.case_id:
            raise _package_fault("bag-info.txt", "External-Identifier is not the case id")

    def _digests(self, where: str, text: bytes, paths: set[str]) -> None:
        listed: dict[str, str] = {}
        for line in text.decode("utf-8", "replace").splitlines():
            match = _LINE.fullmatch(line)
            if not match or match["path"] in listed:
                raise _package_fault(where, "has a line that cannot be read, or a path twice")
            listed[match["path"]] = match["digest"]
        if set(listed) != paths:
            raise _package_fault(where, "does not list exactly the files that are there")
        wrong = [path for path in sorted(paths) if self._package.sha256(self._files[path]) != listed[path]]
        if wrong:
            faults = [Fault(f"/{path}", "has another digest") for path in wrong[:_MAX_FAULTS]]
            raise Problem("digest-mismatch", "Files are not what the bag says.", errors=faults)

    def _record(self, path: str) -> Object:
        try:
            value = strictjson.loads(self._text(path, _RECORD_BYTES))
        except strictjson.NotStrictError as error:
            raise _package_fault(path, f"is not strict JSON: {error}") from None
        if not isinstance(value, dict):
            raise _package_fault(path, "is not an object")
        return value

    def _case(self) -> Counter[str]:
        """Check case.json; return how many instances each study has."""
        document = self._record("data/case.json")
        validator = schema_validator("case-package", "1.0")
        faults = schema_faults(validator, document, "/data/case.json") if validator else []
        if faults:
            raise Problem("invalid-package", "case.json does not have the agreed shape.", errors=faults)
        deid = self._expected.deid
        profile = cast("Object", document["profile"])
        studies = cast("list[Object]", document["studies"])
        counts: Counter[str] = Counter()
        for study in studies:
            counts[str(study["study_instance_uid"])] += cast("int", study["instances"])
        agreements = {
            "/case_id": document["case_id"] == self._expected.case_id,
            "/profile/name": profile["name"] == deid["profile"],
            "/profile/version": profile["version"] == deid["profile_version"],
            "/profile/recipe_sha256": profile["recipe_sha256"] == deid["recipe_sha256"],
            "/key_id": document["key_id"] == deid["key_id"],
            "/counts/certified": cast("Object", document["counts"])["certified"] == self._expected.objects,
            "/studies": counts.total() == self._expected.objects and len(counts) == len(studies),
        }
        wrong = [Fault(f"/data/case.json{at}", "does not agree") for at, good in agreements.items() if not good]
        if wrong:
            raise Problem("case-mismatch", errors=wrong)
        return counts

    def _clinical(self) -> None:
        if not strictjson.same(self._record("data/clinical.json"), self._expected.clinical):
            raise Problem("clinical-mismatch", errors=[Fault("/data/clinical.json", "is another record")])

    def _objects(self, studies: Counter[str]) -> None:
        """Read each instance's header: parsable, of a kind that is taken, marked as de-identified, once."""
        seen: set[str] = set()
        found: Counter[str] = Counter()
        faults: dict[str, list[Fault]] = {"invalid-package": [], "sop-class": [], "not-de-identified": []}
        for path in self._object_paths():
            at = f"/{path}"
            header = self._header(path)
            if header is None:
                faults["invalid-package"].append(Fault(at, "cannot be read as a DICOM file"))
                continue
            sop_class, instance, study, removed, meta_class, meta_instance = header
            if sop_class not in self._expected.sop_classes:
                faults["sop-class"].append(Fault(at, "is of a kind that is not taken here"))
            if removed != "YES":
                faults["not-de-identified"].append(Fault(at, "PatientIdentityRemoved is not YES"))
            if (meta_class, meta_instance) != (sop_class, instance):
                faults["invalid-package"].append(Fault(at, "its file meta information names another object"))
            if instance in seen or not UID(instance).is_valid:
                faults["invalid-package"].append(Fault(at, "its SOP Instance UID is not valid or not unique"))
            seen.add(instance)
            found[study] += 1
        for kind, wrong in faults.items():
            if wrong:
                raise Problem(kind, errors=wrong[:_MAX_FAULTS])
        if found != studies:
            raise Problem("case-mismatch", errors=[Fault("/data/case.json/studies", "are not those of the objects")])

    def _header(self, path: str) -> tuple[str, str, str, str, str, str] | None:
        with self._package.open(self._files[path]) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dataset = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(_TAGS))
                values = [str(dataset.get(keyword, "")) for keyword in (_TAGS[0], _TAGS[1], _TAGS[2], _TAGS[3])]
                meta = dataset.file_meta
                values += [str(meta.get(f"MediaStorage{name}", "")) for name in (_TAGS[0], _TAGS[1])]
            except Exception:  # noqa: BLE001 - a hostile file may raise anything; it is refused all the same
                return None
        return cast("tuple[str, str, str, str, str, str]", tuple(values))


def _package_fault(path: str, detail: str) -> Problem:
    return Problem("invalid-package", errors=[Fault(f"/{path}", detail)])


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
