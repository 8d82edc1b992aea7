"""Each row of Table E.1-1 planted in real files: at the top level and two sequences deep, by its action."""

from __future__ import annotations

import io
import re
from functools import cache

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bsti_submit.deid import beyond, dictionary, table
from bsti_submit.deid.dates import shifted
from bsti_submit.deid.engine import Engine
from bsti_submit.deid.profile import load_profile
from bsti_submit.deid.pseudonyms import SiteKey, patient_scope
from bsti_submit.deid.staged import Staged
from bsti_submit.deid.words import KnownWords
from bsti_submit.model import DUMMIES
from bsti_submit.phi import Identified
from tests.deid.slices import ct_dataset, written

pytestmark = pytest.mark.filterwarnings("ignore")

SCOPE = patient_scope(SiteKey(bytes(range(32))), Identified(""), Identified("ZQPLANT12345"))
IDENTITY = {0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00080060, 0x00020010}
PLANTED = {
    "AE": "ZQPLANTAE",
    "AS": "077Y",
    "AT": 0x00100010,
    "CS": "ZQPLANT",
    "DA": "19870605",
    "DS": "73921.5",
    "DT": "19870605101112.5+0100",
    "FD": 73921.5,
    "FL": 73921.5,
    "IS": "73921",
    "LO": "Zqplant chest",
    "LT": "Zqplant chest",
    "OB": b"ZQPLANT!",
    "OW": b"ZQPLANT!",
    "PN": "Zqplant^Person",
    "SH": "Zqplant",
    "SL": 73921,
    "SS": 739,
    "ST": "Zqplant chest",
    "TM": "101112",
    "UC": "Zqplant chest",
    "UI": "1.2.826.0.1.7921.5",
    "UL": 73921,
    "UN": b"ZQPLANT!",
    "UR": "http://zqplant.example/",
    "US": 7392,
    "UT": "Zqplant chest",
}
SIGNS = re.compile(rb"zqplant|1\.2\.826\.0\.1\.7921\.5|19870605", re.IGNORECASE)
ROWS = [row for row in table.rows() if row.tag is not None and row.tag not in IDENTITY]

PROFILES = {name: load_profile(name) for name in ("bsti-default", "bsti-dates-removed")}
DEFAULT = PROFILES["bsti-default"]


@cache
def engine(name):
    return Engine(PROFILES[name])


def value_of(vr):
    if vr != "SQ":
        return PLANTED[vr]
    item = Dataset()
    item.PatientName, item.PatientID, item.TextValue = "Zqplant^Person", "ZQPLANT1", "Zqplant"
    return Sequence([item])


def planted(tag, vr, syntax):
    """A slice with one attribute at the top level, and two sequences deep where those sequences stay."""
    dataset = ct_dataset(rows=8, private=False)
    for keyword in ("StudyDescription", "ReferencedImageSequence", "RequestAttributesSequence"):
        del dataset[keyword]
    inner, outer = Dataset(), Dataset()
    outer.VOILUTSequence = Sequence([inner])
    dataset.ModalityLUTSequence = Sequence([outer])
    with pydicom.config.disable_value_validation():
        dataset.add_new(tag, vr, value_of(vr))
        inner.add_new(tag, vr, value_of(vr))
        dataset.file_meta.TransferSyntaxUID = syntax
        return written(dataset)


def _cases():
    for row in ROWS:
        for name, profile in PROFILES.items():
            if name == "bsti-default" or row.action(profile.options) != row.action(DEFAULT.options):
                yield pytest.param(row, name, id=f"{row.keyword or row.pattern}-{name}")


@pytest.mark.parametrize(("row", "name"), list(_cases()))
def test_table_e11_row_planted_by_its_action(row, name):
    code = row.action(PROFILES[name].options)
    if row.tag >> 16 in {0x0000, 0x0002, 0x0004}:
        pytest.skip("not of a data set: never copied")
    for vr in dictionary.vrs_of(row.tag) or ("LO",):
        if vr in {"OB", "OW"} and row.tag >> 16 == 0x7FE0:
            continue
        syntax = ExplicitVRLittleEndian if row.tag & 4 else ImplicitVRLittleEndian
        staged = engine(name).deidentify(planted(row.tag, vr, syntax), SCOPE, KnownWords())
        assert isinstance(staged, Staged)
        out = b"".join(bytes(chunk) for chunk in staged.payload().chunks())
        assert SIGNS.search(out) is None
        dataset = pydicom.dcmread(io.BytesIO(out))
        inner = dataset.ModalityLUTSequence[0].VOILUTSequence[0]
        for found in (dataset.get(row.tag), inner.get(row.tag)):
            _check(found, code, row)


def _check(found, code, row):
    if code == "X":
        assert found is None
    elif found is None or found.is_empty:
        assert code != "U"
        assert row.tag not in {0x00100010, 0x00100020}
    elif found.VR == "UI":
        assert found.value == SCOPE.uid(PLANTED["UI"])
    elif found.VR in {"DA", "DT"}:
        betrays = row.is_device_date or row.tag in beyond.anchors()  # the offset, across patients
        moved = code == "C" and not betrays
        day = shifted("19870605", "DA", SCOPE.shift_days) if moved else DUMMIES[found.VR][:8]
        assert str(found.value)[:8] == day
    elif found.VR == "TM":
        assert code == "C" or found.value == DUMMIES["TM"]
    elif found.VR == "SQ":
        assert all("PatientID" not in item or item.PatientID == SCOPE.pseudonym for item in found.value)
    elif isinstance(found.value, bytes):
        assert not any(found.value)
    elif code == "C":
        assert str(found.value) in {"chest", *DUMMIES.values()}
    elif found.VR in DUMMIES:
        assert str(found.value) in {DUMMIES[found.VR], SCOPE.pseudonym}
    else:
        assert found.value == 0


@pytest.mark.parametrize("tag", [0x50000010, 0x501E0022, 0x60003000, 0x60FE4000, 0x60000022, 0x00191008, 0x60010010])
def test_table_e11_patterns_never_leave(tag):
    vr = "LO" if tag & 0xFFFF != 0x3000 else "OW"
    staged = engine("bsti-default").deidentify(planted(tag, vr, ExplicitVRLittleEndian), SCOPE, KnownWords())
    out = b"".join(bytes(chunk) for chunk in staged.payload().chunks())
    assert SIGNS.search(out) is None
    assert tag not in pydicom.dcmread(io.BytesIO(out))
