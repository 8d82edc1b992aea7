"""What looks like an identifier by its form alone, and what does not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.gb import nhs

from bsti_submit.identifiers import NATIONS, PATTERNS, Hit, Kind, Strength, find_identifiers


def kinds(text, strength=Strength.STRICT, **options):
    return {hit.kind for hit in find_identifiers(text, strength=strength, **options)}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NHS 943 476 5919, worse today", Kind.NHS_NUMBER),
        ("9434765919", Kind.NHS_NUMBER),
        ("943-476-5919", Kind.NHS_NUMBER),
        ("94 3476 5919", Kind.NHS_NUMBER),
        ("9 4 3 4 7 6 5 9 1 9", Kind.NHS_NUMBER),
        ("943\u00a0476\u20115919", Kind.NHS_NUMBER),
        ("\uff19\uff14\uff13\uff14\uff17\uff16\uff15\uff19\uff11\uff19", Kind.NHS_NUMBER),
        ("1203470009", Kind.CHI_NUMBER),
        ("CHI 010101 0004", Kind.CHI_NUMBER),
        ("320 000 0017", Kind.TEN_DIGITS),
        ("9434765918", Kind.TEN_DIGITS),
        ("GMC 4173692", Kind.GMC),
        ("4173692 (GMC)", Kind.GMC),
        ("BS2 8HW", Kind.UK_POSTCODE),
        ("bs28hw", Kind.UK_POSTCODE),
        ("ec1a 1bb", Kind.UK_POSTCODE),
        ("0117 496 0999", Kind.UK_PHONE),
        ("+44 (0)7700 900461", Kind.UK_PHONE),
        ("07700900461", Kind.UK_PHONE),
        ("bleep 1234", Kind.UK_PHONE),
        ("ann.b@nhs.net", Kind.EMAIL),
        ("https://pacs.example.nhs.uk/x", Kind.URL),
        ("pacs.example.nhs.uk", Kind.URL),
        ("192.168.0.1", Kind.IP_ADDRESS),
        ("12/03/1947", Kind.DATE),
        ("12.3.47", Kind.DATE),
        ("1947-03-12", Kind.DATE),
        ("19470312", Kind.DATE),
        ("12 Mar 47", Kind.DATE),
        ("March 12th, 1947", Kind.DATE),
        ("12 mai 1947", Kind.DATE),
        ("12. März 1947", Kind.DATE),
        ("12MAR1947", Kind.DATE),
        ("since 12/03", Kind.DATE),
        ("in 2019", Kind.DATE),
        ("born 47", Kind.DATE),
        ("Dr Smith", Kind.TITLE_NAME),
        ("DR SMITH", Kind.TITLE_NAME),
        ("dr smith rang", Kind.TITLE_NAME),
        ("Mr. O'Neill", Kind.TITLE_NAME),
        ("Mr Kidney", Kind.TITLE_NAME),
        ("Prof van der Berg", Kind.TITLE_NAME),
        ("Nurse O’Brien", Kind.TITLE_NAME),
        ("seen by John Smith", Kind.TITLE_NAME),
        ("Pt: John Smith", Kind.TITLE_NAME),
        ("H4719362", Kind.HOSPITAL_NUMBER),
        ("RXH 12345", Kind.HOSPITAL_NUMBER),
        ("MRN: 12-34", Kind.HOSPITAL_NUMBER),
        ("order 12345", Kind.LONG_NUMBER),
        ("aged 93", Kind.AGE_90_PLUS),
        ("94 yo", Kind.AGE_90_PLUS),
        ("101 year old", Kind.AGE_90_PLUS),
        ("Royal United Hospital", Kind.PLACE),
        ("St James's Hospital", Kind.PLACE),
        ("ward 7", Kind.PLACE),
        ("943,476,5919", Kind.NHS_NUMBER),
        ("943(476)5919", Kind.NHS_NUMBER),
        ("943 : 476 : 5919", Kind.NHS_NUMBER),
        ("john smith", Kind.TITLE_NAME),
        ("JOHN SMITH COUGH", Kind.TITLE_NAME),
        ("Imran Quaglione attended", Kind.TITLE_NAME),
        ("Zebedee Quaglione attended", Kind.TITLE_NAME),
        ("daughter Zebedee reports cough", Kind.TITLE_NAME),
        ("d/w Quaglione", Kind.TITLE_NAME),
        ("asked by Quaglione", Kind.TITLE_NAME),
        ("lives with Quaglione", Kind.TITLE_NAME),
        ("spoke to Quaglione", Kind.TITLE_NAME),
        ("Jean-Luc worse", Kind.TITLE_NAME),
        ("lives in Quaglia", Kind.PLACE),
        ("transferred from Addenbrookes", Kind.PLACE),
        ("admitted to Barts", Kind.PLACE),
        ("from Addenbrookes", Kind.PLACE),
        ("at 12 high street", Kind.PLACE),
        ("john at nhs dot net", Kind.EMAIL),
        ("j.x (at) nhs.net", Kind.EMAIL),
        ("7700 900 461 22", Kind.UK_PHONE),
        ("AB 12 34 56 C", Kind.LONG_NUMBER),
        ("accession ABC123", Kind.HOSPITAL_NUMBER),
        ("F93", Kind.AGE_90_PLUS),
        ("93/F", Kind.AGE_90_PLUS),
        ("M/97", Kind.AGE_90_PLUS),
        ("M 97", Kind.AGE_90_PLUS),
        ("93 y F", Kind.AGE_90_PLUS),
        ("aged ninety", Kind.AGE_90_PLUS),
        ("ninety-three year old", Kind.AGE_90_PLUS),
        ("in her nineties", Kind.AGE_90_PLUS),
        ("since Christmas", Kind.DATE),
        ("Ward Nightingale", Kind.PLACE),
    ],
)
def test_identifiers_are_found(text, kind):
    assert kind in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "Fall from standing; incidental basal opacity",
        "Sats 88% on air, RR 24, BP 120/80",
        "CRP 148 WCC 6.4",
        "pO2 8.3 on FiO2 0.28",
        "Day 5 post intubation, ?PE",
        "T 38.5, HR 110, 3/7 history",
        "D-dimer 2300",
        "5 x 3 cm nodule, 1-2 weeks",
        "10/10 pain, may have PE",
        "Hospital acquired pneumonia",
        "COVID ward",
        "MR BRAIN showed no lesion",
        "DR CHEST AP",
        "aged 67",
        "",
        "FEV1 1.2 FVC 2.3",
        "BP 120/80 HR 110 RR 24 sats 88 90 92",
        "Acute Respiratory Distress Syndrome",
        "Bone Marrow Transplant, Day 20",
        "Suspected Covid-19 Pneumonia",
        "Guillain-Barre, ventilated",
        "Superior Vena Cava obstruction",
        "Rheumatoid Arthritis, Tocilizumab",
        "Granulomatosis with polyangiitis",
        "Pneumocystis Jirovecii Pneumonia",
        "frank haemoptysis, TED stockings, PEG tube",
        "Out of hospital cardiac arrest",
        "Referred by Rheumatology",
        "Admitted to Critical Care",
        "Clinical Trial baseline scan",
        "returned from Italy with fever",
        "treated with Augmentin, then Tazocin",
        "complicated by Empyema, caused by Legionella",
        "on Warfarin, INR 2.3; started Clexane",
        "Lives with family, works in healthcare",
    ],
)
def test_plain_clinical_text_is_left(text):
    assert kinds(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "Thorax 2,0 B31f MPR cor",
        "Topogram 0.6 T20f",
        "1.0 I70f 3",
        "syngo CT VA48A",
        "DR-ID 300CL APL Software V11.0",
        "Abd/Pel 5mm Ax",
        "Chest 512 512 120 100",
        "120kV 3.6.6",
        "MR Thorax",
    ],
)
def test_descriptors_of_scanners_are_left(text):
    assert kinds(text, Strength.DESCRIPTOR) == set()


def test_an_age_in_a_descriptor_is_found():
    assert Kind.AGE in kinds("CT chest abdomen pelvis - 55F Dr. Smith", Strength.DESCRIPTOR)


def test_the_hospital_pattern_of_the_site_counts():
    assert kinds("QQ-77") == set()
    assert kinds("QQ-77", hospital_pattern=re.compile(r"QQ-\d\d")) == {Kind.HOSPITAL_NUMBER}


def test_only_named_patterns_are_looked_for():
    assert kinds("Dr Smith 943 476 5919", patterns=["nhs-number"]) == {Kind.NHS_NUMBER}


@pytest.mark.parametrize("options", [{"nation": "atlantis"}, {"patterns": ["shoe-size"]}])
def test_unknown_names_are_refused(options):
    with pytest.raises(ValueError, match="unknown"):
        find_identifiers("x", **options)


def test_every_kind_is_described_and_labelled():
    assert set(PATTERNS) == {kind.value for kind in Kind} == set(NATIONS["uk"])
    assert all(kind.label for kind in Kind)


def test_a_hit_does_not_hold_the_text():
    hit = find_identifiers("see Dr Smith")[0]
    assert hit == Hit(4, 12, Kind.TITLE_NAME)
    assert "Smith" not in repr(hit)


@given(st.integers(min_value=400_000_000, max_value=999_999_999), st.sampled_from(["", " ", "-", ".", "  "]))
def test_any_valid_nhs_number_is_found_in_any_spacing(nine, gap):
    check = 11 - sum((10 - place) * int(digit) for place, digit in enumerate(str(nine))) % 11
    if check == 10:
        return
    number = f"{nine}{check % 11}"
    assert nhs.is_valid(number)
    spaced = gap.join((number[:3], number[3:6], number[6:]))
    assert Kind.NHS_NUMBER in kinds(f"x {spaced} y", Strength.DESCRIPTOR)


@given(st.text(max_size=200))
def test_any_text_is_searched_without_failing(text):
    for strength in Strength:
        for hit in find_identifiers(text, strength=strength):
            assert 0 <= hit.start < hit.end <= len(text)
