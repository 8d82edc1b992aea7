"""Heads are found by every sign of one, in many languages; a chest stays a chest."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bsti_submit.deid.pixels.anatomy import Coverage, coverage
from bsti_submit.phi import Identified


def described(*, body_part="", study="", series="", protocol="", regions=(), image_type=(), procedures=(), **other):
    return SimpleNamespace(
        image_type=image_type,
        body_part_text=Identified(body_part),
        study_description=Identified(study),
        series_description=Identified(series),
        protocol_name=Identified(protocol),
        regions=Identified(regions),
        procedure_texts=Identified(procedures),
        **other,
    )


HEADS = [
    "CT Head", "CT brain w/o contrast", "SKULL BASE", "facial bones", "Sinuses coronal", "CT Orbits", "Dental CBCT",
    "CTA carotids", "CT Neck soft tissue", "C-Spine", "c spine trauma", "Whole Body PET", "PAN SCAN", "Stroke CTA",
    "NeuroHeadSeq", "ThoraxHeadRoutine", "IAM", "CTH", "Kopf nativ", "Schädel", "SCHAEDEL CT", "NNH", "Gehirn",
    "Ganzkörper", "HWS", "Hals/Thorax", "Tête", "CRANE", "encéphale", "rachis cervical", "corps entier", "cabeza",
    "cráneo", "cuello", "senos paranasales", "cabeça", "pescoço", "testa", "cranio", "encefalo", "massiccio facciale",
    "hoofd", "hersenen", "aangezicht", "głowa", "czaszki", "mózg", "hlava", "lebky", "koponya", "beyin BT", "kafa",
    "huvud", "hjärna", "hode", "pää", "aivot", "κεφαλή", "εγκέφαλος", "голова", "череп", "головной мозг", "头颅CT",
    "頭部", "脳", "顔面", "뇌 CT", "두부", "رأس", "ראש",
]  # fmt: skip


@pytest.mark.parametrize("text", HEADS)
@pytest.mark.parametrize("where", ["body_part", "series", "protocol"])
def test_a_head_word_anywhere_near_the_series_is_a_head(text, where):
    assert coverage(described(**{where: text})) is Coverage.HEAD


@pytest.mark.parametrize("text", HEADS)
def test_a_head_word_of_the_study_is_a_head_unless_the_series_says_chest(text):
    assert coverage(described(study=text)) is Coverage.HEAD
    assert coverage(described(study=text, body_part="CHEST", series="1.0 Br40")) is Coverage.HEAD
    assert coverage(described(study=text, series="Thorax 1.0 Lung")) is Coverage.CHEST


@pytest.mark.parametrize(
    "facts",
    [
        {"body_part": "HEAD"},
        {"body_part": "NECKCHESTABDPELV"},
        {"body_part": "WHOLEBODY"},
        {"body_part": "CHEST", "regions": ("T-D1100",)},
        {"body_part": "CHEST", "regions": ("69536005",)},
        {"body_part": "CHEST", "series": "Head and neck 3.0"},
        {"regions": ("999", "Face")},
        {"image_type": ("DERIVED", "PRIMARY", "PERFUSION")},
        {"procedures": ("CT brain",)},
    ],
)
def test_any_sign_of_a_head_outweighs_the_rest(facts):
    assert coverage(described(**facts)) is Coverage.HEAD


@pytest.mark.parametrize(
    "facts",
    [
        {"body_part": "CHEST"},
        {"body_part": "THORAX"},
        {"body_part": "CHESTABDPELVIS"},
        {"body_part": "LUNG", "series": "COR 3.0"},
        {"body_part": "BODY", "study": "CTPA"},
        {"body_part": "TRUNK", "series": "Thorax"},
        {"study": "CT Thorax", "series": "Lung 1.0 Br59"},
        {"study": "CT TAP"},
        {"regions": ("T-D3000",)},
        {"regions": ("816094009",)},
        {"study": "XR Chest AP"},
        {"study": "Röntgen Brust"},
        {"study": "胸部CT"},
        {"study": "грудная клетка"},
        {"image_type": ("DERIVED", "PRIMARY", "PERFUSION"), "series": "Lung perfusion"},
    ],
)
def test_a_chest_is_a_chest(facts):
    assert coverage(described(**facts)) is Coverage.CHEST


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, Coverage.UNKNOWN),
        ({"body_part": "BODY"}, Coverage.UNKNOWN),
        ({"body_part": "TRUNK"}, Coverage.UNKNOWN),
        ({"series": "Coronal"}, Coverage.UNKNOWN),
        ({"series": "Surview"}, Coverage.UNKNOWN),
        ({"body_part": "ABDOMEN"}, Coverage.OTHER),
        ({"body_part": "KNEE", "study": "XR knee"}, Coverage.OTHER),
        ({"series": "Coronal", "study": "CT Abdomen"}, Coverage.OTHER),
    ],
)
def test_the_rest_is_other_or_unknown(facts, expected):
    assert coverage(described(**facts)) is expected
