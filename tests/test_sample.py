"""The sample study: what it holds, that it is the same each time, and that its markers can be found again."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from pydicom import dcmread

from bsti_submit.sample import (
    Marker,
    MarkerSearch,
    Planter,
    find_markers,
    make_ct_slice,
    make_radiograph,
    make_sample,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("sample"), slices=8, size=128, prior=True)


def files(study):
    return sorted(path for path in study.folder.rglob("*") if path.is_file())


def stored(dataset):
    return np.frombuffer(dataset.PixelData, "<u2")


def count(dataset):
    return sum(1 + sum(count(item) for item in e.value) if e.VR == "SQ" else 1 for e in dataset)


def test_every_marker_is_somewhere_in_the_files_or_their_names(study):
    search = MarkerSearch(study.markers)
    found = set()
    for path in files(study):
        found.update(search.find(path.read_bytes()))
        found.update(search.find(os.fsencode(path)))
    assert set(study.markers) - found == set()
    assert len(study.markers) > 150


def test_markers_are_distinct_and_carry_the_stem_or_are_realistic(study):
    values = [marker.value for marker in study.markers]
    assert len(values) == len(set(values))
    assert sum(value.startswith("ZZ") for value in values) > 100
    assert all(len(value) >= 7 for value in values)
    assert all(marker.where for marker in study.markers)


def test_a_slice_has_the_header_of_a_real_one():
    dataset = make_ct_slice(3, size=64)
    assert 200 <= count(dataset) <= 320
    assert dataset.PatientID[-3:] == make_ct_slice(5, size=64).PatientID[-3:]
    assert dataset.preamble.strip(b"\0")
    assert dataset.file_meta.SourceApplicationEntityTitle.startswith("ZZ")
    assert dataset[0xFFFCFFFC].value.startswith(b"ZZ")
    assert [e.tag for e in dataset if e.tag.is_private_creator]


def test_facts_agree_with_the_headers(study):
    slices = [dcmread(path) for path in files(study) if path.suffix == ".dcm" and "CT 2021" in str(path)]
    first = slices[0]
    assert first.StudyDate == study.study_date
    assert first.PatientID == study.patient_id
    assert first.PatientID.endswith(study.id_suffix)
    assert first.PatientSex == study.sex
    assert int(first.PatientAge[:3]) == study.age
    assert len(slices) == study.slices


def test_the_study_is_one_patient_with_a_prior_of_its_own(study):
    headers = [
        dcmread(path, stop_before_pixels=True)
        for path in files(study)
        if path.name != "Thumbs.db" and path.suffix != ".txt"
    ]
    assert len({header.PatientID for header in headers}) == 1
    assert len({header.StudyInstanceUID for header in headers}) == 2
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)
    assert len(headers) == study.slices + study.radiographs + study.left_out + study.prior_slices


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    digests = []
    for name in ("a", "b"):
        made = make_sample(tmp_path / name, slices=2, size=64)
        digests.append([(p.relative_to(made.folder), hashlib.sha256(p.read_bytes()).digest()) for p in files(made)])
    assert digests[0] == digests[1]


def test_another_seed_gives_other_markers():
    one, other = Planter(1), Planter(2)
    make_ct_slice(plant=one, size=64)
    make_ct_slice(plant=other, size=64)
    shared = {m.value for m in one.markers} & {m.value for m in other.markers}
    assert len(shared) < 40  # dates, telephone numbers and the like, which are the same for all


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"])
def test_a_slice_can_be_written_in_uncompressed_syntaxes(tmp_path, syntax):
    dataset = make_ct_slice(size=64, syntax=syntax)
    dataset.save_as(tmp_path / "x.dcm")
    assert dcmread(tmp_path / "x.dcm").pixel_array.shape == (64, 64)


def test_the_phantom_looks_like_a_chest():
    dataset = make_ct_slice(30)
    hounsfield = (dataset.pixel_array & 0xFFF).astype(int) - 1024
    assert hounsfield.shape == (512, 512)
    body = hounsfield[100:400, 100:400]
    assert 0.1 < ((body > -950) & (body < -700)).mean() < 0.6
    assert (body > 200).mean() > 0.005
    assert not (stored(dataset) >> 12).any()
    assert (stored(make_ct_slice(0)) >> 12).any(), "the first slice hides an overlay above BitsStored"


def test_the_radiograph_shows_its_text_only_when_asked():
    with_name = make_radiograph().pixel_array
    without = make_radiograph(burned_in_name=False).pixel_array
    assert (with_name == 4095).sum() > (without == 4095).sum() > 100
    assert make_radiograph().BurnedInAnnotation == "NO"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-16"])
@pytest.mark.parametrize("value", ["ZZQKVÉVANS-PÂT", "zzqkvévans-pât", "ZzQkVÉvans-Pât"])
def test_find_markers_sees_any_case_and_encoding(encoding, value):
    marker = Marker("ZZQKVÉVANS-PÂT", "PatientName")
    assert find_markers(b"\x00\xff" + value.encode(encoding) + b"xx", [marker]) == [marker]


def test_find_markers_sees_a_name_without_its_accents():
    marker = Marker("ZZQKVÉVANS-PÂT", "PatientName")
    assert find_markers(b"zzqkvevans-pat", [marker]) == [marker]
    assert find_markers(b"zzqkvevans", [marker]) == []


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"19470312", True),
        (b"x19470312101500", True),
        (b"2.25.99119470312", True),
        (b"2.25.9911947031299", False),
        (b"\x001\x009\x004\x007\x000\x003\x001\x002", True),
    ],
)
def test_a_short_number_in_the_middle_of_a_longer_one_is_chance(data, found):
    marker = Marker("19470312", "PatientBirthDate")
    assert bool(find_markers(data, [marker])) is found


def test_importing_the_sample_imports_neither_pydicom_nor_numpy():
    program = (
        "import sys, bsti_submit.sample; sys.exit(bool({'pydicom', 'numpy', 'ahocorasick_rs'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
