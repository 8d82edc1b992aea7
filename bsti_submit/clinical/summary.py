"""Answers → one line a metric, as the summary shows them before anything is built. Plain ASCII."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsti_submit.clinical import entry
from bsti_submit.clinical.form import ABSENT_LABELS, INDICATIONS
from bsti_submit.clinical.questions import describe_prior
from bsti_submit.clinical.rules import warnings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsti_submit.clinical.structure import Json, Tree

_SOURCES = {
    "dicom-birthdate": "from the birth date in the images",
    "dicom-age": "from the age in the images",
    "dicom-sex": "from the images",
    "entered": "typed",
}
SHORT_LABELS: dict[str, str] = {
    "index_imaging": "Imaging",
    "age": "Age",
    "sex": "Sex",
    "indication": "Indication",
    "rt_pcr": "RT-PCR",
    "symptom_onset": "Onset",
    "white_cell_count": "White cells",
    "crp": "CRP",
    "po2": "pO2",
    "spo2": "SpO2",
    "prior_imaging": "Earlier imaging",
    "reporting": "Report",
    "outcome": "Outcome",
}


def describe(group: str, answers: Mapping[str, Tree]) -> str:
    """Return the answer to one metric in words, with units and reference flags."""
    part = answers.get(group)
    if not part:
        return "left out"
    absent = part.get("absent")
    words = ABSENT_LABELS[absent] if isinstance(absent, str) and absent in ABSENT_LABELS else _words(group, part)
    flags = [
        note.text.rstrip(".")
        for note in warnings({group: part, "age": answers.get("age", {})})
        if note.path.split(".")[0] == group
    ]
    return f"{words} - {'; '.join(flags)}" if flags else words


def _words(group: str, part: Tree) -> str:
    match group:
        case "index_imaging":
            return str(part.get("modality"))
        case "age" | "sex":
            return f"{part.get('value')} ({_SOURCES.get(str(part.get('source')), 'typed')})"
        case "indication":
            return str(part.get("text") or INDICATIONS.get(str(part.get("code")), ""))
        case "symptom_onset":
            if part.get("asymptomatic"):
                return "no symptoms"
            return f"symptoms began {entry.describe_days(-_days(part.get('value')))}"
        case "rt_pcr":
            tests = part.get("tests")
            listed = [_test(test) for test in tests if isinstance(test, dict)] if isinstance(tests, list) else []
            return str(part.get("status")) + (f" ({', '.join(listed)})" if listed else "")
        case "prior_imaging":
            studies = part.get("studies")
            listed = (
                [describe_prior(study) for study in studies if isinstance(study, dict)]
                if isinstance(studies, list)
                else []
            )
            return ", ".join(listed) or str(part.get("value"))
        case "reporting":
            names = {"ct_bsti": "CT", "cxr_bsti": "radiograph", "severity": "severity"}
            return ", ".join(f"{names[name]} {value}" for name, value in part.items())
        case "outcome":
            return _outcome(part)
    return _result(group, part)


def _result(group: str, part: Tree) -> str:
    words = [entry.describe_result(group, part)]
    if "sample" in part:
        words.append(str(part["sample"]))
    if "fio2" in part:
        words.append(f"FiO2 {part['fio2']}")
    if "oxygen_flow_l_min" in part:
        words.append(f"{part['oxygen_flow_l_min']} L/min")
    if "day" in part:
        words.append(entry.describe_days(_days(part["day"])))
    return ", ".join(words)


def _test(test: Mapping[str, Json]) -> str:
    specimen = f", {test['specimen']}" if "specimen" in test else ""
    return f"{test.get('result')} {entry.describe_days(_days(test.get('day')))}{specimen}"


def _outcome(part: Tree) -> str:
    words = [str(part.get("status"))]
    if "day" in part:
        words.append(entry.describe_days(_days(part["day"])))
    if "itu_admission" in part:
        words.append(f"intensive care {part['itu_admission']}")
    if "intubation" in part:
        words.append(f"intubation {part['intubation']}")
    return ", ".join(words)


def _days(value: Json) -> int:
    return value if isinstance(value, int) else 0
