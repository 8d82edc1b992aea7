"""The form: every metric with its label, help, unit, ranges and choices. Data only; the schema is its law.

Ranges are those of the clinical specification; `tests/clinical/test_drift.py` holds them against the schema.
Texts are ASCII, so that every console and code page can show them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

ABSENT_KEYS: dict[str, str] = {
    "nd": "not-done",
    "p": "pending",
    "u": "unknown",
    "w": "withheld",
    "na": "not-applicable",
}
"""What a person types for a missing value, and the reason that it stands for."""

ABSENT_LABELS: dict[str, str] = {
    "not-done": "not done",
    "pending": "result pending",
    "unknown": "not known",
    "withheld": "not shared",
    "not-applicable": "not applicable",
}

DEMOGRAPHIC_ABSENT = ("unknown", "withheld")

AGE_CAP = 90
"""Ages from here on are one class, ``90+``: our policy, after 45 CFR 164.514(b)(2)(i)(C)."""
AGE_LIMIT = 120
"""No one older is believed."""
ADULT = 18

SEA_LEVEL_KPA = Decimal(95)
"""A loose ceiling on pO2 at FiO2 1.0 and sea level, from the alveolar gas equation, in kPa."""
ROOM_AIR = Decimal("0.21")
USUAL_LAB_DAYS = 2
"""A sample further from the imaging than this many days earns a warning."""
USUAL_ONSET_DAYS = 60


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured metric.

    Unit, plausible range (outside is refused) and reference range (outside is flagged).
    """

    unit: str
    shown: str
    low: Decimal
    high: Decimal
    reference: str
    reference_low: Decimal | None = None
    reference_high: Decimal | None = None
    units: tuple[str, ...] = ()
    """Every unit that a person may report it in; the canonical one first."""


def _quantity(unit: str, shown: str, limits: str, reference: str, bounds: str, *others: str) -> Quantity:
    low, high = (Decimal(part) for part in limits.split())
    below, above = (None if part == "-" else Decimal(part) for part in bounds.split())
    return Quantity(unit, shown, low, high, reference, below, above, (unit, *others))


QUANTITIES: dict[str, Quantity] = {
    "white_cell_count": _quantity("10*9/L", "x10^9/L", "0 500", "4.0-11.0 x10^9/L", "4.0 11.0", "10*3/uL", "/uL"),
    "crp": _quantity("mg/L", "mg/L", "0 1000", "<5 mg/L", "- 5", "mg/dL", "ug/mL"),
    "po2": _quantity("kPa", "kPa", "1 90", "10-13 kPa, arterial on air", "10 13", "mm[Hg]"),
    "spo2": _quantity("%", "%", "30 100", "94% or more", "94 -"),
}

LABELS: dict[str, str] = {
    "index_imaging": "Index imaging",
    "age": "Age in years",
    "sex": "Sex",
    "symptom_onset": "Days from symptom onset to imaging",
    "white_cell_count": "White cell count",
    "crp": "C-reactive protein (CRP)",
    "po2": "pO2",
    "spo2": "SpO2",
    "indication": "Indication for the imaging",
    "rt_pcr": "RT-PCR for SARS-CoV-2",
    "prior_imaging": "Earlier chest imaging",
    "reporting": "BSTI category and severity",
    "outcome": "Outcome",
}

EXPLAIN: dict[str, str] = {
    "index_imaging": "The kind of study that this case is about: CT, CXR (a radiograph) or MR.",
    "age": "Completed years on the day of imaging; 90 and over are stored as 90+.",
    "sex": "As the hospital record has it; numbers are refused, for their codes differ.",
    "symptom_onset": "Days from first symptom to imaging, or its date, which is not stored.",
    "white_cell_count": "The total count nearest to the imaging, its unit if another, and @day.",
    "crp": "The CRP nearest to the imaging; keep a < or > that the laboratory gave.",
    "po2": "The oxygen pressure of a blood gas, not a saturation, and what was breathed.",
    "po2.sample": "A venous pO2 says little about oxygenation, so it must be told apart.",
    "po2.fio2": "The fraction of oxygen breathed: air is 0.21. A flow belongs to SpO2.",
    "spo2": "Saturation by pulse oximeter in %, with the oxygen: air, 0.28 or 2 l/min.",
    "indication": "Why the imaging was asked for; other asks for a few words.",
    "indication.text": "Up to 120 characters without names, dates, numbers or places.",
    "rt_pcr": "The result for this illness, all tests together; lateral flow does not count.",
    "rt_pcr.tests": "neg -4: negative 4 days before imaging; add upper, lower or saliva.",
    "prior_imaging": "CXR 4: a radiograph 4 days before; add its case id if it was sent.",
    "reporting": "What the report says of the images.",
    "reporting.ct_bsti": "As the report has it; a reader's opinion, so leave it out if in doubt.",
    "reporting.cxr_bsti": "As the report has it; a reader's opinion, so leave it out if in doubt.",
    "reporting.severity": "How severe the reporter thought the disease on these images.",
    "outcome": "What became of the patient, if it is known.",
    "outcome.day": "Days after the imaging, or the date, which is not stored.",
    "outcome.itu_admission": "Was the patient in intensive care, and was the patient intubated?",
}
"""What ``?`` shows: one line of a terminal of 80 columns each."""

INDICATIONS: dict[str, str] = {
    "suspected-covid-diagnosis": "Suspected COVID-19: diagnosis or triage",
    "suspected-covid-pcr-negative": "High suspicion, RT-PCR negative",
    "confirmed-covid-severity": "Confirmed: extent or severity",
    "confirmed-covid-deterioration": "Confirmed: clinical deterioration",
    "suspected-pulmonary-embolism": "Suspected pulmonary embolism",
    "other-complication": "Other complication (pneumothorax, line, abscess ...)",
    "surveillance-follow-up": "Surveillance or follow-up",
    "post-covid-persistent-symptoms": "Persistent symptoms after COVID-19",
    "alternative-diagnosis": "Non-COVID indication, alternative diagnosis sought",
    "incidental-finding": "Incidental finding on imaging for another reason",
    "pre-procedure-screening": "Screening before surgery or a procedure",
    "other": "Other (a few words)",
}

CHOICES: dict[str, tuple[str, ...]] = {
    "index_imaging.modality": ("CT", "CXR", "MR"),
    "sex.value": ("M", "F", "O"),
    "po2.sample": ("arterial", "capillary", "venous", "unknown"),
    "indication.code": tuple(INDICATIONS),
    "rt_pcr.status": ("positive", "negative", "indeterminate", "pending", "not-done", "unknown"),
    "rt_pcr.tests[].result": ("positive", "negative", "indeterminate", "pending"),
    "rt_pcr.tests[].specimen": ("upper-respiratory", "lower-respiratory", "saliva", "other", "unknown"),
    "prior_imaging.value": ("yes", "no", "unknown"),
    "prior_imaging.studies[].modality": ("CT", "CXR", "MR", "PET-CT", "other"),
    "reporting.ct_bsti": ("classic", "probable", "indeterminate", "non-covid"),
    "reporting.cxr_bsti": ("normal", "classic-probable", "indeterminate", "non-covid"),
    "reporting.severity": ("mild", "moderate", "severe"),
    "outcome.status": ("in-hospital", "discharged", "died", "transferred", "not-admitted", "unknown"),
    "outcome.itu_admission": ("yes", "no", "unknown"),
    "outcome.intubation": ("yes", "no", "unknown"),
}

CONFIRMATIONS: dict[str, str] = {
    "po2-no-fio2": "A pO2 above 20 kPa without an FiO2.",
    "wcc-extreme": "A white cell count below 0.5 or above 100 x10^9/L.",
    "crp-extreme": "A CRP above 500 mg/L.",
    "age-under-18": "A patient under 18: the panel approves these one by one.",
    "age-differs": "An age other than the images' headers give.",
    "sex-differs": "A sex other than the images' headers give.",
}
"""The rule ids that may stand in ``confirmed``."""
