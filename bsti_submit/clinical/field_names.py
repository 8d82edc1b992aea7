"""Names of fields that somebody wrote → whether a message may repeat them, and what was probably meant.

A name may be free text, such as a person's. It is repeated only if it is made of words that name a kind of thing.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

NAMELESS = "(unnamed)"
LONGEST = 40
_FORM = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_WORDS = frozenset(
    """
    absent accession address admission age alias arterial asymptomatic author bat before birth bmi body bsti capillary
    case category cell cells centre chest city classification clinical clinician code comment comments comparator
    comorbidities confirmed consultant contact contributor count country covid cpap credit crp ct cxr d date dates day
    days death deceased description diagnosis dimer dob doctor email ethnicity exam facility family ferritin
    field fields final fio2 first flow forename full gender given gp haemoglobin height history hospital icu id
    identifier ids imaging included index indication institution intubation itu key l last ldh local location lymphocyte
    lymphocytes medical middle min modality mr mrn name names nation national nhs nok note notes number of onset operator
    orcid organisation other outcome oxygen pao2 patient pcr pco2 ph phone platelets po2 postcode prior procedure
    race rate reason record ref reference referrer religion remark remarks report reported reporting
    respiratory result results rt sample sat sats saturation schema severity sex site smoker smoking
    source specimen spo2 status study studies submission surname swab symptom symptoms tel telephone temperature test
    tests text time title trust type uid unit units value values version visit ward wbc wcc white weight
    with x y year
    """.split()
)


def shown_name(name: object) -> str:
    """Return a field's name for a message, or a stand-in if it may be free text."""
    if not isinstance(name, str) or len(name) > LONGEST or not _FORM.match(name):
        return NAMELESS
    parts = _PARTS.findall(name)
    return name if parts and all(part.lower() in _WORDS for part in parts) else NAMELESS


def meant(name: object, known: Collection[str]) -> str:
    """Return the known name that a wrong one is closest to, or nothing."""
    if not isinstance(name, str) or len(name) > LONGEST:
        return ""
    folded = re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")
    alias = _ALIASES.get(folded, "")
    if alias in known:
        return alias
    return next(iter(get_close_matches(folded, list(known), n=1, cutoff=0.8)), "")


_ALIASES = {
    "wcc": "white_cell_count",
    "wbc": "white_cell_count",
    "c_reactive_protein": "crp",
    "p02": "po2",
    "pao2": "po2",
    "sats": "spo2",
    "pcr": "rt_pcr",
    "gender": "sex",
    "priors": "prior_imaging",
    "modality": "index_imaging",
    "onset": "symptom_onset",
    "units": "unit",
    "ct": "ct_bsti",
    "cxr": "cxr_bsti",
    "itu": "itu_admission",
    "icu": "itu_admission",
}
