"""Records for the tests, all made up."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from typing import Any

from bsti_submit.clinical.facts import Context, HeaderAge, OfferedPrior
from bsti_submit.phi import Identified

CT_RECORD: dict[str, Any] = {
    "schema_version": "1.0",
    "index_imaging": {"modality": "CT"},
    "age": {"value": 67, "source": "dicom-birthdate"},
    "sex": {"value": "M", "source": "dicom-sex"},
    "symptom_onset": {"value": 9},
    "white_cell_count": {"value": 6.4, "unit": "10*9/L", "day": 0},
    "crp": {"value": 148, "unit": "mg/L", "day": 0, "reported": {"value": 14.8, "unit": "mg/dL"}},
    "po2": {
        "value": 8.3,
        "unit": "kPa",
        "sample": "arterial",
        "fio2": 0.28,
        "day": 0,
        "reported": {"value": 62, "unit": "mm[Hg]"},
    },
    "spo2": {"value": 91, "unit": "%", "fio2": 0.21, "day": 0},
    "indication": {"code": "suspected-covid-pcr-negative"},
    "rt_pcr": {
        "status": "positive",
        "tests": [
            {"result": "negative", "day": -4, "specimen": "upper-respiratory"},
            {"result": "positive", "day": 1, "specimen": "lower-respiratory"},
        ],
    },
    "prior_imaging": {"value": "yes", "studies": [{"modality": "CXR", "days_before": 4, "included": True}]},
    "reporting": {"ct_bsti": "classic", "severity": "moderate"},
    "outcome": {"status": "discharged", "day": 11, "itu_admission": "no", "intubation": "no"},
}

CXR_RECORD: dict[str, Any] = {
    "schema_version": "1.0",
    "index_imaging": {"modality": "CXR"},
    "age": {"value": "90+", "source": "dicom-birthdate"},
    "sex": {"value": "F", "source": "dicom-sex"},
    "symptom_onset": {"absent": "unknown"},
    "white_cell_count": {"absent": "pending"},
    "crp": {"value": 5, "unit": "mg/L", "comparator": "<", "day": -1},
    "po2": {"absent": "not-done"},
    "indication": {"code": "other", "text": "Fall from standing; incidental basal opacity"},
    "rt_pcr": {"status": "pending", "tests": [{"result": "pending", "day": 0}]},
    "prior_imaging": {"value": "no"},
    "reporting": {"cxr_bsti": "indeterminate", "severity": "mild"},
}


def change(record: dict[str, Any], **members: Any) -> dict[str, Any]:
    changed = deepcopy(record)
    changed.update(members)
    return changed


def header_age(years: int, source: str = "dicom-birthdate") -> HeaderAge:
    return HeaderAge(Identified(years), Identified(((years, years),)), source)


def context(**parts: Any) -> Context:
    facts: dict[str, Any] = {
        "index_modality": "CT",
        "age": header_age(67),
        "sex": "M",
        "priors": (OfferedPrior("CXR", 4, 2),),
        "index_date": Identified(date(2020, 4, 7)),
        "birth_date": Identified(date(1952, 9, 1)),
        "today": date(2021, 1, 1),
        "matches_patient": lambda text: "quaglion" in text.casefold() or "zz81437" in text.casefold(),
        "suffix_matches": lambda text: text.upper() == "437",
    }
    facts.update(parts)
    return Context(**facts)


BARE = Context()
"""No facts at all."""
