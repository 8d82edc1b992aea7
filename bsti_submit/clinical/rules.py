"""What a schema cannot say: rules S1 to S9 over a record whose structure is sound.

Every function takes the tree of `structure.plain_tree`; a metric that is missing (because it was already
found wrong) is passed over, so that a person sees all mistakes at once.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from bsti_submit.clinical.facts import INDEX_MODALITIES
from bsti_submit.clinical.form import (
    ADULT,
    QUANTITIES,
    ROOM_AIR,
    SEA_LEVEL_KPA,
    USUAL_LAB_DAYS,
    USUAL_ONSET_DAYS,
)
from bsti_submit.clinical.problem import Note, Problem
from bsti_submit.clinical.screen import screen_text
from bsti_submit.clinical.units import agrees, is_formula, told
from bsti_submit.clinical.wording import FORMULA, GOES_ALONG, NO_VALUE, list_too

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bsti_submit.clinical.facts import Context, OfferedPrior
    from bsti_submit.clinical.structure import Json, Tree

LAB_METRICS = ("white_cell_count", "crp", "po2", "spo2")
PO2_WITHOUT_FIO2 = Decimal(20)
WCC_LOW, WCC_HIGH = Decimal("0.5"), Decimal(100)
CRP_HIGH = Decimal(500)
HYPOXAEMIA_KPA = Decimal(8)


class Doubt(NamedTuple):
    """A value that is possible but suspicious. ``rule`` is its id in ``confirmed``; ``text`` says why."""

    rule: str
    path: str
    text: str


def problems(tree: Tree, context: Context | None) -> tuple[Problem, ...]:
    """Return what rules S1, S2, S3, S6, S7 and S8, the days, and some things beside them find wrong."""
    return (
        *_nothing_below_zero(tree),
        *_details_without_value(tree),
        *_po2_possible(tree),
        *_pcr_status(tree),
        *_indication(tree, context),
        *_modalities(tree, context),
        *_priors(tree, context),
        *_chosen_priors(tree, context),
        *_earlier_cases(tree, context),
        *_conversions(tree),
        *_index_modality(tree, context),
        *_days(tree, context),
    )


def doubts(tree: Tree, context: Context | None) -> tuple[Doubt, ...]:
    """Return what rule S4 and the wrong-patient guard want confirmed."""
    found = [*_extremes(tree)]
    age = _part(tree, "age").get("value")
    if isinstance(age, int) and not isinstance(age, bool) and age < ADULT:
        found.append(
            Doubt(
                "age-under-18",
                "age",
                f"the patient is {age}. The panel approves patients under 18 one by one.",
            )
        )
    if context is None:
        return tuple(found)
    if isinstance(age, int | str) and context.age is not None and not context.age.fits(age):
        found.append(Doubt("age-differs", "age", f"{age} is not the age that the headers of the images give."))
    sex = _part(tree, "sex").get("value")
    if isinstance(sex, str) and context.sex and sex != context.sex:
        found.append(
            Doubt(
                "sex-differs",
                "sex",
                f"{sex} is not the sex that the headers of the images give ({context.sex}).",
            )
        )
    return tuple(found)


def doubt_problem(doubt: Doubt) -> Problem:
    """Return the problem that an unconfirmed doubt is when nobody is there to ask."""
    codes = {"age-differs": "E-AGE-DIFFERS", "sex-differs": "E-SEX-DIFFERS"}
    return Problem(
        codes.get(doubt.rule, "E-CONFIRM"),
        doubt.path,
        f'{doubt.text} If it is right, add "{doubt.rule}" to "confirmed".',
    )


def warnings(tree: Tree) -> tuple[Note, ...]:
    """Return reference flags and rule S5: abnormal is the point of the registry, so they stop nothing."""
    return (*_reference_flags(tree), *_unusual_days(tree))


def derived_status(results: list[str]) -> str:
    """Return the RT-PCR status that some results give together."""
    return next((result for result in ("positive", "indeterminate", "pending") if result in results), "negative")


def matching_prior(
    modality: Json, days_before: Json, offered: tuple[OfferedPrior, ...], taken: set[int]
) -> OfferedPrior | None:
    """Return the first study of the folder that a listed prior can be, none twice."""
    for prior in offered:
        if prior.study_number not in taken and (prior.modality, prior.days_before) == (modality, days_before):
            taken.add(prior.study_number)
            return prior
    return None


def flag(metric: str, value: Decimal, comparator: str = "") -> str:
    """Return ``low``, ``high`` or nothing, against the adult reference range of a metric."""
    quantity = QUANTITIES[metric]
    if quantity.reference_low is not None and value < quantity.reference_low and not comparator.startswith(">"):
        return "low"
    # The reference for CRP is "<5": 5 itself is high, "<5" is not.
    high = quantity.reference_high
    if high is None or comparator.startswith("<"):
        return ""
    return "high" if value > high or (metric == "crp" and value == high) else ""


def _part(tree: Tree, name: str) -> Tree:
    part = tree.get(name)
    return part if isinstance(part, dict) else {}


def _items(part: Tree, name: str) -> list[Tree]:
    items = part.get(name)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _number(value: Json) -> Decimal | None:
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def _po2_possible(tree: Tree) -> Iterator[Problem]:
    """S1."""
    po2 = _part(tree, "po2")
    value, fio2 = _number(po2.get("value")), _number(po2.get("fio2"))
    if value is None or fio2 is None or po2.get("sample") not in {"arterial", "capillary"}:
        return
    ceiling = SEA_LEVEL_KPA * fio2
    if value > ceiling:
        yield Problem(
            "E-PO2-IMPOSSIBLE",
            "po2",
            f"{told(value)} kPa is not possible breathing FiO2 {told(fio2)} (ceiling {told(ceiling)} "
            "kPa at sea level). Check the unit (mmHg?) and the FiO2.",
        )


def _nothing_below_zero(tree: Tree) -> Iterator[Problem]:
    """Refuse ``<0``: no value is meant by it."""
    for metric in LAB_METRICS:
        part = _part(tree, metric)
        if part.get("comparator") == "<" and _number(part.get("value")) == 0:
            yield Problem("E-RANGE", metric, "less than 0 is not possible. Check the value on the report.")


def _details_without_value(tree: Tree) -> Iterator[Problem]:
    """Refuse the day or oxygen of a saturation that is absent; the schema sees to this for the other metrics."""
    spo2 = _part(tree, "spo2")
    if "absent" in spo2 and len(spo2) > 1:
        yield Problem("E-NO-VALUE", "spo2", NO_VALUE)


def _pcr_status(tree: Tree) -> Iterator[Problem]:
    """S2."""
    rt_pcr = _part(tree, "rt_pcr")
    tests = _items(rt_pcr, "tests")
    if not tests:
        return
    derived = derived_status([str(test.get("result")) for test in tests])
    if rt_pcr.get("status") != derived:
        yield Problem(
            "E-PCR-MISMATCH",
            "rt_pcr",
            f"status is '{rt_pcr.get('status')}' but the listed tests give '{derived}'. Correct the status "
            "or the tests.",
        )


def _indication(tree: Tree, context: Context | None) -> Iterator[Problem]:
    """S3, and what a spreadsheet would take for a formula."""
    text = _part(tree, "indication").get("text")
    if isinstance(text, str) and is_formula(text):
        yield Problem("E-FORMULA", "indication.text", FORMULA)
    elif isinstance(text, str) and (problem := screen_text(text, "indication.text", context)):
        yield problem


def _modalities(tree: Tree, context: Context | None) -> Iterator[Problem]:
    """S6. The upload is the index study and its priors, but for those that are said to stay behind."""
    sent = {_part(tree, "index_imaging").get("modality")}
    if None in sent:
        return
    if context is not None:
        sent |= context.index_modalities
    studies = _items(_part(tree, "prior_imaging"), "studies")
    sent |= {study.get("modality") for study in studies if study.get("included", True)}
    reporting = _part(tree, "reporting")
    if "ct_bsti" in reporting and "CT" not in sent:
        yield Problem("E-MODALITY", "reporting.ct_bsti", "a CT category is given, but no CT goes along.")
    if "cxr_bsti" in reporting and "CXR" not in sent:
        yield Problem(
            "E-MODALITY",
            "reporting.cxr_bsti",
            "a radiograph category is given, but no radiograph goes along.",
        )


def _priors(tree: Tree, context: Context | None) -> Iterator[Problem]:
    """S7."""
    if context is None or context.priors is None:
        return
    taken: set[int] = set()
    for index, study in enumerate(_items(_part(tree, "prior_imaging"), "studies")):
        if study.get("included") is not True:
            continue
        if matching_prior(study.get("modality"), study.get("days_before"), context.priors, taken) is None:
            yield Problem(
                "E-PRIOR-MISSING",
                f"prior_imaging.studies[{index}]",
                f"the folder holds no {study.get('modality')} from {study.get('days_before')} days before "
                "the imaging. Correct the entry, or say that it is not included.",
            )


def _chosen_priors(tree: Tree, context: Context | None) -> Iterator[Problem]:
    """Hold what the record says goes along against what was chosen to go along."""
    prior = _part(tree, "prior_imaging")
    if context is None or context.priors is None or not context.priors_chosen or not prior:
        return
    going = Counter((offered.modality, offered.days_before) for offered in context.priors if offered.included)
    here = {(offered.modality, offered.days_before) for offered in context.priors}
    if going and prior.get("value") != "yes":
        yield Problem("E-CHOICE", "prior_imaging", GOES_ALONG)
        return
    for index, study in enumerate(_items(prior, "studies")):
        kind = (str(study.get("modality")), study.get("days_before"))
        if study.get("included") is not True or kind not in here:
            continue
        if not going[kind]:
            yield Problem(
                "E-PRIOR-MISSING",
                f"prior_imaging.studies[{index}]",
                f"the {kind[0]} from {kind[1]} days before the imaging was not chosen to go along. Choose it, or say that it "
                "is not included.",
            )
        going[kind] -= 1
    for (modality, days), count in going.items():
        if count > 0:
            yield Problem("E-LIST", "prior_imaging", list_too(modality, days))


def _earlier_cases(tree: Tree, context: Context | None) -> Iterator[Problem]:
    """Hold an earlier case's patient against this one, where this machine knows that case."""
    if context is None or context.same_patient is None:
        return
    for index, study in enumerate(_items(_part(tree, "prior_imaging"), "studies")):
        case_id = study.get("case_id")
        if isinstance(case_id, str) and context.same_patient(case_id) is False:
            yield Problem(
                "E-CASE-DIFFERS",
                f"prior_imaging.studies[{index}].case_id",
                "that case is about another patient. Check the case id and the patient.",
            )


def _conversions(tree: Tree) -> Iterator[Problem]:
    """S8."""
    for metric in LAB_METRICS:
        part = _part(tree, metric)
        reported = _part(part, "reported")
        value, original = _number(part.get("value")), _number(reported.get("value"))
        if value is None or original is None:
            continue
        unit, canonical = str(reported.get("unit")), QUANTITIES[metric].unit
        if not agrees(value, original, unit, canonical):
            yield Problem(
                "E-CONVERT",
                metric,
                f"the reported {told(original)} {unit} does not convert to {told(value)} {canonical}. "
                "Correct one of them.",
            )


def _index_modality(tree: Tree, context: Context | None) -> Iterator[Problem]:
    """Hold the index modality against the images: part of the wrong-patient guard."""
    stated = _part(tree, "index_imaging").get("modality")
    if (
        context is not None
        and context.index_modality
        and stated in INDEX_MODALITIES
        and stated not in {context.index_modality} | context.index_modalities
    ):
        yield Problem(
            "E-INDEX-MODALITY",
            "index_imaging",
            f"the record is about {_with_article(stated)}, but "
            f"the index study in the folder is {_with_article(context.index_modality)}.",
        )


def _with_article(modality: Json) -> str:
    return f"an {modality}" if modality == "MR" else f"a {modality}"


def _each_day(tree: Tree) -> Iterator[tuple[str, int]]:
    """Yield path and days after the imaging of everything that has a day."""
    for metric in LAB_METRICS:
        yield from _one_day(f"{metric}.day", _part(tree, metric).get("day"), 1)
    for index, test in enumerate(_items(_part(tree, "rt_pcr"), "tests")):
        yield from _one_day(f"rt_pcr.tests[{index}].day", test.get("day"), 1)
    for index, study in enumerate(_items(_part(tree, "prior_imaging"), "studies")):
        yield from _one_day(f"prior_imaging.studies[{index}].days_before", study.get("days_before"), -1)
    yield from _one_day("symptom_onset.value", _part(tree, "symptom_onset").get("value"), -1)
    yield from _one_day("outcome.day", _part(tree, "outcome").get("day"), 1)


def _one_day(path: str, value: Json, sign: int) -> Iterator[tuple[str, int]]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield path, value * sign


def _days(tree: Tree, context: Context | None) -> Iterator[Problem]:
    """Refuse days before the patient was born and days that have not come yet: a sheet of somebody else."""
    if context is None:
        return
    lived, since = context.days_lived, context.days_since
    for path, day in _each_day(tree):
        if lived is not None and -day > lived:
            yield Problem("E-DAY-DIFFERS", path, "this is before the patient was born. Check the day and the patient.")
        if since is not None and day > max(since, 0):
            yield Problem("E-DAY-DIFFERS", path, "this day has not come yet. Check the day and the patient.")


def _extremes(tree: Tree) -> Iterator[Doubt]:
    wcc = _number(_part(tree, "white_cell_count").get("value"))
    if wcc is not None and (wcc < WCC_LOW or wcc > WCC_HIGH):
        yield Doubt("wcc-extreme", "white_cell_count", f"{told(wcc)} 10*9/L is a rare white cell count.")
    crp = _number(_part(tree, "crp").get("value"))
    if crp is not None and crp > CRP_HIGH:
        yield Doubt("crp-extreme", "crp", f"{told(crp)} mg/L is a rare CRP.")
    po2 = _number(_part(tree, "po2").get("value"))
    if po2 is not None and po2 > PO2_WITHOUT_FIO2 and "fio2" not in _part(tree, "po2"):
        yield Doubt(
            "po2-no-fio2",
            "po2",
            f"{told(po2)} kPa is only possible with extra oxygen, and no FiO2 is given. Check the unit.",
        )


def _is_child(tree: Tree) -> bool:
    age = _part(tree, "age").get("value")
    return isinstance(age, int) and age < ADULT


def _reference_flags(tree: Tree) -> Iterator[Note]:
    for metric in ("white_cell_count", "crp", "spo2"):
        part = _part(tree, metric)
        value = _number(part.get("value"))
        # The reference range of white cells is that of adults.
        if value is None or (metric == "white_cell_count" and _is_child(tree)):
            continue
        side = flag(metric, value, str(part.get("comparator", "")))
        if side:
            quantity = QUANTITIES[metric]
            yield Note("warning", metric, f"{side} (reference {quantity.reference}).")
    yield from _po2_flag(_part(tree, "po2"))


def _po2_flag(po2: Tree) -> Iterator[Note]:
    value = _number(po2.get("value"))
    if value is None:
        return
    if po2.get("sample") == "venous":
        yield Note("warning", "po2", "venous: not used for severity.")
    elif po2.get("sample") == "arterial":
        if value < HYPOXAEMIA_KPA:
            yield Note("warning", "po2", "low: below 8 kPa is hypoxaemia.")
        elif _number(po2.get("fio2")) in {None, ROOM_AIR} and flag("po2", value):
            yield Note("warning", "po2", f"{flag('po2', value)} (reference {QUANTITIES['po2'].reference}).")


def _unusual_days(tree: Tree) -> Iterator[Note]:
    """S5."""
    for metric in LAB_METRICS:
        day = _part(tree, metric).get("day")
        if isinstance(day, int) and abs(day) > USUAL_LAB_DAYS:
            yield Note("warning", metric, f"the sample is {abs(day)} days from the imaging.")
    onset = _part(tree, "symptom_onset").get("value")
    if isinstance(onset, int) and not isinstance(onset, bool):
        if onset > USUAL_ONSET_DAYS:
            yield Note("warning", "symptom_onset", f"symptoms began {onset} days before the imaging.")
        elif onset < 0:
            yield Note("warning", "symptom_onset", "the imaging came before the symptoms.")
