"""Whatever is planted wherever, nothing of it leaves; whatever is clean, nothing of it is held."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import subprocess
import sys
import time
import unicodedata

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, event, given, settings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bsti_submit.deid.certify import Gate, Harvest
from bsti_submit.deid.certify.forms import Forms
from bsti_submit.deid.engine import Engine
from bsti_submit.deid.profile import load_profile
from bsti_submit.deid.pseudonyms import SiteKey, patient_scope
from bsti_submit.deid.staged import Refusal, Staged
from bsti_submit.deid.words import KnownWords
from bsti_submit.model import Certified, InstanceRef, Reason
from bsti_submit.phi import Identified
from bsti_submit.sample.probes import make_probes
from tests.deid.hostile import KEPT, Hostile, file_in, hostile
from tests.deid.slices import ct_dataset, ct_slice, written
from tests.deid.test_engine import file_of, mutants

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what is planted on purpose

PROFILE = load_profile("bsti-default")
ENGINE = Engine(PROFILE)
REF = InstanceRef(1)
KEYED = frozenset({"UI", "DA", "DT"})


def scope_of(patient_id, key=bytes(range(32))):
    return patient_scope(SiteKey(key), Identified(""), Identified(patient_id))


def staged_of(data, patient_id="ZQPLANT12345", *, known=True):
    words = KnownWords(PROFILE.words)
    if known:
        words.add_header(data)
    return ENGINE.deidentify(data, scope_of(patient_id), words)


def judged(data, staged):
    harvest = Harvest()
    harvest.add_header(data, REF)
    gate = Gate(PROFILE.allow_list(), harvest.build(PROFILE.words), PROFILE.find_identifiers, dates="modified")
    return gate.certify(REF, staged.payload())


def traces(out, markers):
    """Return the markers that the bytes hold, in any usual encoding, in any case, with or without accents."""
    lowered = out.lower()
    found = []
    for marker in markers:
        folded = "".join(c for c in unicodedata.normalize("NFKD", marker) if not unicodedata.combining(c))
        spellings = {marker, marker.lower(), marker.upper(), folded.lower(), unicodedata.normalize("NFKC", marker)}
        for encoding in ("utf-8", "utf-16-le", "latin-1", "iso8859-5", "gb18030", "shift_jis", "euc_kr", "iso2022_jp"):
            for text in spellings:
                encoded = text.encode(encoding, "ignore").lower()
                if len(encoded) >= 6 and encoded in lowered:
                    found.append(marker)
    return found


def flat(dataset, path=()):
    for element in dataset:
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from flat(item, (*path, element.keyword, number))
        else:
            yield (*path, element.keyword), element


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)  # nightly draws new ones
@given(hostile())
def test_nothing_planted_leaves(case):
    check(case)


@pytest.mark.nightly
@settings(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
@given(hostile())
def test_nothing_planted_leaves_in_many(case):
    check(case)


def check(case: Hostile):
    for known in (True, False):
        staged = staged_of(case.data, known=known)
        if isinstance(staged, Refusal):
            # Bytes that are no text of the declared character set are held, since nobody can tell what they say.
            event(str(staged.reason))
            assert staged.reason is Reason.UNKNOWN_CHARACTER_SET
            return
        out = file_of(staged)
        assert traces(out, case.markers) == []
    again = pydicom.dcmread(io.BytesIO(out))
    for keyword in KEPT:
        tag = pydicom.datadict.tag_for_keyword(keyword)
        if tag not in case.planted:
            assert str(again.get(keyword)) == str(case.dataset.get(keyword))
    assert again.pixel_array.tobytes() == ct_pixels()
    assert isinstance(judged(case.data, staged_of(case.data)), Certified)
    second = file_of(ENGINE.deidentify(out, scope_of("ANOTHER1", bytes(32)), KnownWords(PROFILE.words)))
    first, other = dict(flat(again)), dict(flat(pydicom.dcmread(io.BytesIO(second))))
    assert first.keys() == other.keys()
    for path, element in first.items():
        if element.VR not in KEYED and path[-1] not in {"PatientID", "PatientName"}:
            assert other[path].value == element.value, path


def ct_pixels():
    return pydicom.dcmread(io.BytesIO(ct_slice(rows=8))).pixel_array.tobytes()


# --- damaged ---


def _damage(count, seed):
    path = _Planted()
    slowest = 0.0
    for data in mutants(path, count, seed):
        start = time.perf_counter()
        staged = staged_of(data)
        if isinstance(staged, Refusal):
            assert re.fullmatch(r"[A-Za-z]*", staged.attribute)
        elif isinstance(judged(data, staged), Certified):
            assert re.search(rb"zqplan|qplant", file_of(staged), re.IGNORECASE) is None
        slowest = max(slowest, time.perf_counter() - start)
    assert slowest < 5, "a mutant took as good as for ever"


class _Planted:
    name = "planted"

    def read_bytes(self):
        return ct_slice(rows=8)


def test_damage_lets_nothing_through():
    _damage(150, 1)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 12))
def test_much_damage_lets_nothing_through(seed):
    _damage(2000, seed)


# --- clean ---


def _none_held(seed, patients):
    """Engine and final check on images that hold nothing but a header: descriptions, measures, devices."""
    count = 0
    for probe in make_probes(seed, patients):
        if probe.secrets:
            continue
        staged = staged_of(probe.data, probe.patient_id)
        assert isinstance(staged, Staged), staged
        result = judged(probe.data, staged)
        assert isinstance(result, Certified), (result, probe.kept)
        count += 1
    return count


def test_no_clean_image_is_held():
    assert _none_held(1, 5) > 300


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 22))
def test_none_of_ten_thousand_clean_images_is_held(seed):
    assert _none_held(seed, 9) >= 500


# --- what is told ---


def test_nothing_told_or_kept_holds_a_value(tmp_path):
    """Libraries warn of bad values and quote them: neither a terminal nor a file of ours may show one."""
    source, home = tmp_path / "in", tmp_path / "home"
    source.mkdir()
    secrets = set()
    for number, probe in enumerate(make_probes(7, 1)):
        (source / f"{number:04}").write_bytes(probe.data)
        secrets.update(secret for secret in probe.secrets if len(secret) >= 6 and secret.strip("0"))
    for number, data in enumerate(mutants(_Planted(), 20, 3)):
        (source / f"broken{number}").write_bytes(data)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BSTI_")}
    environment |= {"BSTI_HOME": str(home), "PYTHONWARNINGS": "always"}
    for arguments in (
        ["deid", source, tmp_path / "out"],
        ["check", source],
        ["deid", source, tmp_path / "json", "--json"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "bsti_submit", *map(str, arguments)],
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=300,
        )
        assert done.returncode == 3, done.stderr
        if "--json" in arguments:
            assert json.loads(done.stdout)["counts"]["certified"] > 100
        told = (done.stdout + done.stderr).lower()
        assert b"traceback" not in told
        assert not [secret for secret in secrets if secret.lower().encode() in told or b"zqplant" in told]
    kept = b"".join(path.read_bytes().lower() for path in home.rglob("*") if path.is_file())
    assert not [secret for secret in secrets if secret.lower().encode() in kept]


# --- tables of grey values and colours ---


def _with_table(vr, entries, bits, *, text=b""):
    """A slice with a look-up table that rises evenly to the largest value, or falls to text in its midst."""
    dataset = ct_dataset(rows=8, private=False)
    count = entries or 65_536
    ramp = (np.arange(count) * ((1 << bits) - 1) // (count - 1)).astype("<u2").tobytes()
    middle = len(ramp) // 4 * 2
    data = ramp[:middle] + text + ramp[middle + len(text) :]
    table = Dataset()
    table.add_new(0x00283002, "US", [entries, 0, bits])
    table.add_new(0x00283006, vr, list(struct.unpack(f"<{count}H", data)) if vr == "US" else data)
    dataset.VOILUTSequence = [table]
    return written(dataset)


@pytest.mark.parametrize(("entries", "bits"), [(256, 8), (256, 16), (4096, 12), (16_384, 14), (16_384, 16), (0, 16)])
@pytest.mark.parametrize("vr", ["OW", "US"])
def test_a_table_that_rises_through_the_letters_stays_whole(vr, entries, bits):
    if vr == "US" and not entries:
        return  # too long for its VR
    data = _with_table(vr, entries, bits)
    staged = staged_of(data)
    assert isinstance(judged(data, staged), Certified)
    before, after = (pydicom.dcmread(io.BytesIO(each)).VOILUTSequence[0] for each in (data, file_of(staged)))
    assert after.LUTData == before.LUTData


@pytest.mark.parametrize("entries", [256, 4096])
def test_a_palette_of_grey_stays_whole(entries):
    dataset = ct_dataset(rows=8, private=False)
    bits = 8 if entries == 256 else 16
    ramp = (np.arange(entries) * ((1 << bits) - 1) // (entries - 1)).astype("<u1" if bits == 8 else "<u2").tobytes()
    for number in (1, 2, 3):
        dataset.add_new(0x00281100 + number, "US", [entries, 0, bits])
        dataset.add_new(0x00281200 + number, "OW", ramp)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    data = written(dataset)
    staged = staged_of(data)
    assert isinstance(judged(data, staged), Certified)
    assert pydicom.dcmread(io.BytesIO(file_of(staged))).RedPaletteColorLookupTableData == ramp


@pytest.mark.parametrize("text", [b"Quillfeather, Zebedee", "Quillfeather".encode("utf-16-le"), b"quillfeather z"])
@pytest.mark.parametrize("vr", ["OW", "US"])
def test_text_in_a_table_takes_it_away(vr, text):
    out = file_of(staged_of(_with_table(vr, 4096, 16, text=text), known=False))
    assert text not in out
    assert "LUTData" not in pydicom.dcmread(io.BytesIO(out)).VOILUTSequence[0]


@pytest.mark.parametrize(("vr", "size"), [(b"UL", 4), (b"FD", 8)])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_the_gate_tells_a_wide_name_in_numbers_by_itself(vr, size, encoding):
    """The engine takes it out; the gate must not need that."""
    text = "Zqplantor\\xxxxxx".encode(encoding)
    assert Forms._wrong_syntax(0x00081161, vr, text)
    assert not Forms._wrong_syntax(0x00081161, vr, bytes(range(1, 9)) * size)


# --- what engine and gate read differently ---


def _with(tag, vr, raw, syntax=ExplicitVRLittleEndian):
    """Return a slice with one element of whatever VR and bytes."""
    dataset = ct_dataset(rows=8, private=False)
    dataset.PatientName = "Person^Some"
    little = syntax != ExplicitVRBigEndian
    raw += b" " * (-len(raw) % 8)
    dataset._dict[Tag(tag)] = RawDataElement(Tag(tag), vr, len(raw), raw, 0, syntax == ImplicitVRLittleEndian, little)
    return file_in(dataset, syntax)


@pytest.mark.parametrize("vr", ["OW", "OF", "OD", "UL", "FD", "US"])
def test_a_name_among_big_endian_words_is_read_as_it_stands(vr):
    """The gate does not turn its bytes either, and looks for ``chest``, the patient's own name."""
    data = _with(0x00101001, vr, b"CT Zqplantor chest", ExplicitVRBigEndian)
    staged = staged_of(data)
    assert isinstance(judged(data, staged), Certified)
    assert "hest" not in str(pydicom.dcmread(io.BytesIO(file_of(staged))).StudyDescription)


@pytest.mark.parametrize(
    ("stated", "written"),
    [(b"CT", "CT"), (b"\\CT", "CT"), (b"CT\\CT ", "CT"), (b"Zqplantor\\CT", "CT"), (b"M3D", "M3D")]
    + [(each, "REMOVED") for each in (b"X", b"CT\\MR", b"Zqplantor\\x")],
)
def test_a_modality_is_the_one_that_is_stated(stated, written):
    data = _with(0x00080060, "CS", stated)
    staged = staged_of(data)
    assert isinstance(judged(data, staged), Certified)
    assert pydicom.dcmread(io.BytesIO(file_of(staged))).Modality == staged.modality or written == "REMOVED"
    assert pydicom.dcmread(io.BytesIO(file_of(staged))).Modality == written


# --- what is written over several values ---


@pytest.mark.parametrize("keyword", ["StudyDescription", "SoftwareVersions", "ConvolutionKernel", "ImageComments"])
@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("943\\476\\5919", None),
        ("24\\12\\1950", None),
        ("1\\2\\3\\4", None),
        ("07MW18.4\\16HW14.6", "07MW18.4\\16HW14.6"),
        ("Br40d\\3", "Br40d\\3"),
        ("Zqplant\\CT chest", "CT chest"),
    ],
)
def test_text_of_several_values_is_judged_as_one(keyword, text, left):
    data = _with(pydicom.datadict.tag_for_keyword(keyword), "LO", text.encode())
    for known in (True, False):
        staged = staged_of(data, known=known)
        assert isinstance(judged(data, staged), Certified)
        element = pydicom.dcmread(io.BytesIO(file_of(staged)))[keyword]
        written = "" if element.is_empty else "\\".join([element.value] if element.VM == 1 else element.value)
        assert written.strip("\\") == (left or "")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("WindowCenter", ["943", "476", "5919"]),
        ("InstanceNumber", "24"),
        ("WindowCenter", ["24", "12", "1950"]),
        ("SliceLocation", "1950.1224"),
        ("SliceLocation", "1.9501224e7"),
        ("SliceLocation", "1.5e-3"),
        ("AcquisitionTime", "195012.24"),
        ("AcquisitionTime", "101112.24"),
    ],
)
def test_numbers_of_several_values_are_judged_as_one(keyword, value):
    dataset = ct_dataset(rows=8, private=False)
    dataset.OtherPatientIDs = "9434765919"
    setattr(dataset, keyword, value)
    data = written(dataset)
    staged = staged_of(data)
    assert isinstance(judged(data, staged), Certified)
    kept = value in ("24", "1.5e-3", "101112.24")
    assert pydicom.dcmread(io.BytesIO(file_of(staged)))[keyword].is_empty is not kept


@pytest.mark.parametrize("keyword", ["StudyDescription", "SoftwareVersions", "AlgorithmVersion", "ImageComments"])
def test_a_version_of_four_numbers_is_no_false_hold(keyword):
    data = _with(pydicom.datadict.tag_for_keyword(keyword), "LO", b"5.1.1.0")
    assert isinstance(judged(data, staged_of(data)), Certified)


@pytest.mark.parametrize(
    "value",
    [
        "ORIGINAL\\PRIMARY\\943\\476\\591\\9",
        "QU\\IL\\LF\\EA\\TH\\ER",
        "S\\M\\Y\\T\\H\\E",
        "24\\12\\19\\50",
        "943 476 591 9",
    ],
)
@pytest.mark.parametrize("keyword", ["ImageType", "ScanOptions"])
def test_what_coded_values_spell_together_goes(keyword, value):
    dataset = ct_dataset(rows=8, private=False)
    dataset.PatientName, dataset.OtherPatientIDs, dataset.ReferringPhysicianName = (
        "Quillfeather",
        "9434765919",
        "Smythe",
    )
    setattr(dataset, keyword, value.split("\\"))
    data = written(dataset)
    staged = staged_of(data)
    assert isinstance(judged(data, staged), Certified)
    assert pydicom.dcmread(io.BytesIO(file_of(staged)))[keyword].is_empty or keyword == "ImageType"


def test_coded_values_that_spell_nothing_stay():
    value = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI", "Q", "1"]
    dataset = ct_dataset(rows=8, private=False)
    dataset.ImageType = value
    staged = staged_of(written(dataset))
    assert pydicom.dcmread(io.BytesIO(file_of(staged))).ImageType == value
