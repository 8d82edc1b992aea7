"""Case packages made by hand for tests of the registry, sharing no code with the client."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pydicom
import rfc8785
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from bsti_submit.model import new_case_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECIPE = "5a" * 32
PROFILE = "test-profile"
DEID = {
    "profile": PROFILE,
    "profile_version": "1.0",
    "recipe_sha256": RECIPE,
    "tool": "bsti-submit/0.1.0",
    "key_id": "k1",
}
FACTS = {
    "legitimate_access": True,
    "organisation_permits": True,
    "basis": "de-identified-before-disclosure",
    "opt_out": "not-applicable-deidentified",
    "no_known_objection": True,
    "images": "looked-at",
    "metrics_correct": True,
    "publication_understood": True,
    "key_kept": "approved-storage",
}
CLINICAL: dict[str, Any] = {
    "schema_version": "1.0",
    "index_imaging": {"modality": "CT"},
    "age": {"value": 67},
    "sex": {"value": "M"},
    "white_cell_count": {"value": 6.4, "unit": "10*9/L"},
    "crp": {"value": 148, "unit": "mg/L"},
    "po2": {"absent": "not-done"},
    "indication": {"code": "suspected-covid-diagnosis"},
    "rt_pcr": {"status": "positive"},
    "prior_imaging": {"value": "no"},
}
_ALLOWED = {
    "00080005": ["keep"],
    "00080008": ["keep"],
    "00080016": ["uid"],
    "00080018": ["uid"],
    "00080020": ["date"],
    "00080060": ["keep"],
    "00080090": ["empty"],
    "00081030": ["text"],
    "00081140": ["sequence"],
    "00081150": ["uid"],
    "00081155": ["uid"],
    "00100010": ["pseudonym"],
    "00100020": ["pseudonym"],
    "00100030": ["empty"],
    "00120062": {"forms": ["literal"], "literals": ["YES"]},
    "0020000D": ["uid"],
    "0020000E": ["uid"],
    "00200013": ["keep"],
    "00280002": ["keep"],
    "00280004": ["keep"],
    "00280010": ["keep"],
    "00280011": ["keep"],
    "00280100": ["keep"],
    "00280101": ["keep"],
    "00280102": ["keep"],
    "00280103": ["keep"],
    "00280301": ["keep"],
    "7FE00010": ["pixels"],
}


def write_profile(folder: Path) -> Path:
    """Write the test profile's allow-list; return the folder for ``--profiles``."""
    target = folder / "profiles" / PROFILE
    target.mkdir(parents=True)
    document = {"profile": PROFILE, "version": "1.0", "recipe_sha256": RECIPE, "elements": _ALLOWED}
    (target / "allow-list.json").write_text(json.dumps(document))
    return folder / "profiles"


def instance(number: int, study: str = "2.25.11", *, change: Callable[[Dataset], None] | None = None) -> bytes:
    """Return one de-identified CT slice."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"2.25.{1000 + number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = "2.25.5"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyDate = "20040229"
    dataset.Modality = "CT"
    dataset.StudyDescription = "CT chest"
    dataset.PatientName = dataset.PatientID = "BSTI-ABCDEFGH"
    dataset.PatientBirthDate = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = study + "1"
    dataset.InstanceNumber = number
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = 32
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = bytes((number * 7 + at) % 16 if at % 2 else at % 251 for at in range(2048))
    if change is not None:
        change(dataset)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


@dataclass
class Package:
    """A package and the body that announces it. Change a field, then ``seal``."""

    case_id: str = field(default_factory=new_case_id)
    clinical: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(CLINICAL)))
    instances: list[bytes] = field(default_factory=lambda: [instance(number) for number in range(1, 4)])
    case_changes: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, bytes] = field(default_factory=dict)
    compress: int = zipfile.ZIP_STORED
    data: bytes = b""
    manifest: bytes = b""

    def seal(self) -> Package:
        """Make the bytes."""
        files = {
            "data/case.json": rfc8785.dumps(self._case()),
            "data/clinical.json": rfc8785.dumps(self.clinical),
            **{f"data/images/0001/{at:06d}.dcm": data for at, data in enumerate(self.instances, 1)},
        }
        self.manifest = _manifest(files)
        oxum = f"{sum(map(len, files.values()))}.{len(files)}"
        tags = {
            "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
            "bag-info.txt": f"External-Identifier: {self.case_id}\nPayload-Oxum: {oxum}\n".encode(),
            "manifest-sha256.txt": self.manifest,
        }
        tags["tagmanifest-sha256.txt"] = _manifest(tags)
        self.data = zipped(
            {f"{self.case_id}/{path}": data for path, data in {**tags, **files, **self.extra}.items()},
            self.compress,
        )
        return self

    def _case(self) -> dict[str, Any]:
        return {
            "schema": "case-package/1.0",
            "case_id": self.case_id,
            "profile": {"name": PROFILE, "version": "1.0", "recipe_sha256": RECIPE},
            "tool": {"name": "bsti-submit", "version": "0.1.0"},
            "key_id": "k1",
            "standard_edition": "2026c",
            "patient": "BSTI-ABCDEFGH",
            "counts": {"certified": len(self.instances), "left_out": 0, "held": 0},
            "left_out": [],
            "studies": [
                {
                    "study_instance_uid": "2.25.11",
                    "role": "index",
                    "modality": "CT",
                    "instances": len(self.instances),
                }
            ],
            **self.case_changes,
        }

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def body(self, **changes: Any) -> dict[str, Any]:
        """Return what PUT announces."""
        return {
            "schema": "case/1.0",
            "clinical": self.clinical,
            "deid": dict(DEID),
            "package": {
                "sha256": self.sha256,
                "size": len(self.data),
                "media_type": "application/vnd.bsti.case+zip",
            },
            "manifest_sha256": hashlib.sha256(self.manifest).hexdigest(),
            "objects": len(self.instances),
            "attestation": attestation(package_sha256=self.sha256),
            **changes,
        }


def attestation(**members: Any) -> dict[str, Any]:
    """Return an attestation of scope package."""
    return {
        "schema": "attestation/1.0",
        "scope": "package",
        "text_version": "1.0",
        "text_sha256": "aa" * 32,
        "facts": dict(FACTS),
        **members,
    }


def zipped(files: dict[str, bytes], compress: int = zipfile.ZIP_STORED) -> bytes:
    """Return a ZIP with fixed times."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compress) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = compress
            info.external_attr = 0o100600 << 16
            archive.writestr(info, data)
    return stream.getvalue()


def _manifest(files: dict[str, bytes]) -> bytes:
    lines = [f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(files.items())]
    return "".join(lines).encode()
