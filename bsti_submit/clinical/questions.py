"""The questions of the dialogue, in their order: what each shows, when it applies, and how its line is read.

Nothing here draws or reads a terminal, so that every question can be tested by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from bsti_submit.clinical import entry, lines, units
from bsti_submit.clinical.form import (
    ABSENT_KEYS,
    ABSENT_LABELS,
    AGE_CAP,
    CHOICES,
    EXPLAIN,
    INDICATIONS,
    LABELS,
    QUANTITIES,
)
from bsti_submit.clinical.problem import Note, ProblemError
from bsti_submit.clinical.screen import screen_text
from bsti_submit.clinical.wording import FORMULA, GOES_ALONG, list_too

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bsti_submit.clinical.facts import Context, OfferedPrior
    from bsti_submit.clinical.structure import Json, Tree

Reading: TypeAlias = "tuple[Tree, tuple[Note, ...]]"

GROUPS = (
    *(
        "index_imaging",
        "age",
        "sex",
        "indication",
        "rt_pcr",
        "symptom_onset",
        "white_cell_count",
        "crp",
        "po2",
    ),
    *("spo2", "prior_imaging", "reporting", "outcome"),
)
"""The metrics in the order in which they are asked."""
OPTIONAL_GROUPS = frozenset({"symptom_onset", "spo2", "reporting", "outcome"})
REASONS = ", ".join(f"{key} {ABSENT_LABELS[reason]}" for key, reason in ABSENT_KEYS.items())


@dataclass(frozen=True, slots=True)
class Prefill:
    """An answer that Enter accepts, and how it is shown with its source."""

    shown: str
    part: Tree


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Parameters
    ----------
    key
        Its place in the record, such as ``po2.sample``; the first question of a metric bears the metric's
        name.
    title
        The line that asks.
    read
        (line, the metric so far) → the metric, with notices. Raises `ProblemError`.
    applies
        Whether it is to be asked, given all answers so far.
    choices
        Lines of a numbered list.
    example
        A line that shows how to answer.
    prefill
        What Enter accepts.
    optional
        Whether it may be left out; that is then what Enter accepts, and is shown.
    tolerates
        Codes of problems that a later question of the same metric will mend.
    """

    key: str
    title: str
    read: Callable[[str, Tree], Reading]
    applies: Callable[[Mapping[str, Tree]], bool] = lambda _: True
    choices: tuple[str, ...] = ()
    example: str = ""
    prefill: Prefill | None = None
    optional: bool = False
    tolerates: frozenset[str] = frozenset()

    @property
    def group(self) -> str:
        """The metric."""
        return self.key.partition(".")[0]

    @property
    def explanation(self) -> str:
        """What ``?`` shows."""
        return EXPLAIN[self.key if self.key in EXPLAIN else self.group]


def questions(context: Context) -> tuple[Question, ...]:
    """Return every question of one case in order, the index modality only where the images do not tell it."""
    made = [*_patient(context), *_indication(context), *_rt_pcr(context), *_onset(context)]
    for metric in ("white_cell_count", "crp"):
        made += _lab(metric, context)
    made += [*_po2(context), *_spo2(context), _prior_imaging(context), *_reporting(context), *_outcome(context)]
    return tuple(made)


def sent_modalities(answers: Mapping[str, Tree], context: Context) -> set[Json]:
    """Return the modalities of the index study and of the priors that go along."""
    sent: set[Json] = {answers.get("index_imaging", {}).get("modality"), *context.index_modalities}
    studies = answers.get("prior_imaging", {}).get("studies")
    for study in studies if isinstance(studies, list) else []:
        if isinstance(study, dict) and study.get("included"):
            sent.add(study.get("modality"))
    return sent


def _numbered(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{number:>4}  {label}" for number, label in enumerate(labels, start=1))


def _setting(name: str, read: Callable[[str], Json]) -> Callable[[str, Tree], Reading]:
    """Make a reader that sets one member of the metric."""
    return lambda text, part: ({**part, name: read(text)}, ())


def _sends(modality: str, context: Context, answers: Mapping[str, Tree]) -> bool:
    return modality in sent_modalities(answers, context)


def _has(group: str, name: str) -> Callable[[Mapping[str, Tree]], bool]:
    return lambda answers: name in answers.get(group, {})


def _patient(context: Context) -> list[Question]:
    made = []
    if not context.index_modality:
        made.append(
            Question(
                "index_imaging",
                "What is the study that this case is about?",
                _setting("modality", lambda text: lines.numbered(text, "index_imaging.modality")),
                choices=_numbered(CHOICES["index_imaging.modality"]),
            )
        )
    made += [
        Question("age", f"{LABELS['age']} on the day of the imaging", _read_age, prefill=_age(context)),
        Question(
            "sex",
            f"{LABELS['sex']}: M, F or O",
            lambda text, _: (entry.read_sex(text), ()),
            prefill=_sex(context),
        ),
    ]
    return made


def _read_age(text: str, _: Tree) -> Reading:
    return entry.read_age(text)


def _age(context: Context) -> Prefill | None:
    if context.age is None or context.age.years is None:
        return None
    years = context.age.years.reveal()
    value: int | str = f"{AGE_CAP}+" if years >= AGE_CAP else years
    where = "the birth date" if context.age.source == "dicom-birthdate" else "the age"
    return Prefill(f"{value}, from {where} in the images", {"value": value, "source": context.age.source})


def _sex(context: Context) -> Prefill | None:
    if not context.sex:
        return None
    return Prefill(f"{context.sex}, from the images", {"value": context.sex, "source": "dicom-sex"})


def _indication(context: Context) -> list[Question]:
    def code(text: str, _: Tree) -> Reading:
        if (reason := entry.read_absent(text)) is not None:
            return {"absent": reason}, ()
        return {"code": lines.numbered(text, "indication.code")}, ()

    def words(text: str, part: Tree) -> Reading:
        tidied = entry.read_text(text)
        if units.is_formula(tidied):
            raise entry.complaint("E-FORMULA", "indication.text", FORMULA)
        if problem := screen_text(tidied, "indication.text", context):
            raise ProblemError(problem)
        return {**part, "text": tidied}, ()

    return [
        Question(
            "indication",
            LABELS["indication"],
            code,
            choices=_numbered(tuple(INDICATIONS.values())),
            tolerates=frozenset({"E-TEXT"}),
        ),
        Question(
            "indication.text",
            "The indication in a few words that could identify nobody",
            words,
            applies=lambda answers: answers.get("indication", {}).get("code") == "other",
        ),
    ]


def _rt_pcr(context: Context) -> list[Question]:
    statuses = (*CHOICES["rt_pcr.status"][:-2], "not done", "not known")
    return [
        Question(
            "rt_pcr",
            LABELS["rt_pcr"],
            lambda text, _: ({"status": lines.pcr_status(text)}, ()),
            choices=_numbered(statuses),
        ),
        Question(
            "rt_pcr.tests",
            "Each test with its sample day",
            lambda text, part: ({**part, "tests": lines.tests(text, context.index_date)}, lines.test_notes(text)),
            applies=lambda answers: answers.get("rt_pcr", {}).get("status") not in {"not-done", "unknown"},
            example="neg -4, pos +1: negative 4 days before, positive 1 day after imaging",
            optional=True,
        ),
    ]


def _onset(context: Context) -> list[Question]:
    return [
        Question(
            "symptom_onset",
            LABELS["symptom_onset"],
            lambda text, _: (lines.onset(text, context.index_date), ()),
            example="9 if symptoms began 9 days before; a date; none for no symptoms",
            optional=True,
        )
    ]


def _day(metric: str, context: Context) -> Question:
    path = f"{metric}.day"
    return Question(
        path,
        "Sample day: 0 same day, -1 the day before, or a date",
        _setting("day", lambda text: entry.read_days(text.strip().removeprefix("@"), path, context.index_date)),
        applies=lambda answers: "value" in answers.get(metric, {}) and "day" not in answers[metric],
        optional=True,
    )


def _lab(metric: str, context: Context) -> list[Question]:
    quantity = QUANTITIES[metric]
    others = " or ".join(unit for unit in quantity.units[1:])
    value = "6.4" if metric == "white_cell_count" else "148"
    return [
        Question(
            metric,
            f"{LABELS[metric]} in {quantity.shown} (reference {quantity.reference})",
            lambda text, _: (lines.lab(metric, text, context.index_date), ()),
            example=f"{value}, or with sample day {value} @-1; give the unit if it is {others}",
        ),
        _day(metric, context),
    ]


def _po2(context: Context) -> list[Question]:
    quantity = QUANTITIES["po2"]
    return [
        Question(
            "po2",
            f"{LABELS['po2']} of a blood gas in {quantity.shown} (reference {quantity.reference})",
            lambda text, _: (lines.po2(text, context.index_date), ()),
            example="8.3 arterial 0.28, 62 mmHg arterial air, or nd if no blood gas was taken",
            tolerates=frozenset({"E-SAMPLE"}),
        ),
        Question(
            "po2.sample",
            "Which sample was it?",
            _setting("sample", lines.sample),
            applies=lambda answers: "value" in answers.get("po2", {}) and "sample" not in answers["po2"],
            choices=_numbered(CHOICES["po2.sample"]),
        ),
        Question(
            "po2.fio2",
            "FiO2 at the time: air, 0.28 or 28%",
            _setting("fio2", lambda text: entry.read_fio2(text, "po2.fio2")),
            applies=lambda answers: "value" in answers.get("po2", {}) and "fio2" not in answers["po2"],
            optional=True,
        ),
        _day("po2", context),
    ]


def _spo2(context: Context) -> list[Question]:
    def given(answers: Mapping[str, Tree]) -> bool:
        part = answers.get("spo2", {})
        return "value" in part and not {"fio2", "oxygen_flow_l_min"} & part.keys()

    return [
        Question(
            "spo2",
            f"{LABELS['spo2']} in % (reference {QUANTITIES['spo2'].reference})",
            lambda text, _: (lines.spo2(text, context.index_date), ()),
            example="91 air, 94 0.28 or 94 2 l/min",
            optional=True,
        ),
        Question(
            "spo2.fio2",
            "On what oxygen: air, 0.28, 28% or 2 l/min",
            lambda text, part: ({**part, **lines.oxygen(text)}, ()),
            applies=given,
            optional=True,
        ),
    ]


def _prior_imaging(context: Context) -> Question:
    offered = context.priors or ()
    found: list[Json] = [_as_study(prior) for prior in offered]
    prefill = None
    if found:
        shown = ", ".join(describe_prior(study) for study in found if isinstance(study, dict))
        prefill = Prefill(f"{shown}; found in the folder", {"value": "yes", "studies": found})

    def read(text: str, _: Tree) -> Reading:
        word = text.strip().casefold()
        going = [prior for prior in offered if prior.included]
        if word in {"no", "n", "none", "u", "unknown"}:
            if going:
                raise entry.complaint("E-CHOICE", "prior_imaging", GOES_ALONG)
            return {"value": "unknown" if word.startswith("u") else "no"}, ()
        more = word.startswith("+")
        studies = lines.priors(text.strip().lstrip("+"), context.index_date)
        if not studies:
            raise entry.complaint("E-LIST", "prior_imaging", "type no, u, or the studies, such as: CXR 4, CT 400")
        if more:
            studies = [*found, *studies]
        listed = [(study.get("modality"), study.get("days_before")) for study in studies if isinstance(study, dict)]
        for prior in going:
            if (prior.modality, prior.days_before) not in listed:
                raise entry.complaint("E-LIST", "prior_imaging", list_too(prior.modality, prior.days_before))
            listed.remove((prior.modality, prior.days_before))
        return {"value": "yes", "studies": _included(studies, context)}, ()

    add = ", or + CT 400 to add one" if found else ""
    return Question(
        "prior_imaging",
        LABELS["prior_imaging"],
        read,
        example=f"no, u, or CXR 4, CT 400 (days before){add}",
        prefill=prefill,
    )


def _as_study(prior: OfferedPrior) -> Tree:
    made: Tree = {"modality": prior.modality, "days_before": prior.days_before, "included": prior.included}
    return {**made, "case_id": prior.case_id} if prior.case_id else made


def _included(studies: list[Json], context: Context) -> list[Json]:
    """Say of each study whether the folder's twin of it goes along."""
    left = list(context.priors or ())
    for study in studies:
        if not isinstance(study, dict):
            continue
        twin = next(
            (
                prior
                for prior in left
                if (prior.modality, prior.days_before) == (study["modality"], study["days_before"])
            ),
            None,
        )
        if twin is not None:
            left.remove(twin)
        study["included"] = twin is not None and twin.included
    return studies


def _reporting(context: Context) -> list[Question]:
    made = []
    for name, modality, title in (("ct_bsti", "CT", "the CT"), ("cxr_bsti", "CXR", "the radiograph")):
        path = f"reporting.{name}"
        made.append(
            Question(
                path,
                f"BSTI category of {title}, as reported",
                _setting(name, partial(lines.numbered, path=path)),
                applies=partial(_sends, modality, context),
                choices=_numbered(CHOICES[path]),
                optional=True,
            )
        )
    made.append(
        Question(
            "reporting.severity",
            "Severity, as reported",
            _setting("severity", lambda text: lines.numbered(text, "reporting.severity")),
            choices=_numbered(CHOICES["reporting.severity"]),
            optional=True,
        )
    )
    return made


def _outcome(context: Context) -> list[Question]:
    return [
        Question(
            "outcome",
            LABELS["outcome"],
            lambda text, _: ({"status": lines.numbered(text, "outcome.status", {"u": "unknown"})}, ()),
            choices=_numbered(CHOICES["outcome.status"]),
            optional=True,
        ),
        Question(
            "outcome.day",
            "Days from the imaging to this outcome, or its date",
            _setting("day", lambda text: entry.read_days(text, "outcome.day", context.index_date)),
            applies=_has("outcome", "status"),
            optional=True,
        ),
        Question(
            "outcome.itu_admission",
            "Intensive care, and intubation: y, n or u each",
            lambda text, part: ({**part, **lines.care(text)}, ()),
            applies=_has("outcome", "status"),
            example="n n, or y n",
            optional=True,
        ),
    ]


def describe_prior(study: Mapping[str, Json]) -> str:
    """Put an earlier study in words."""
    words = f"{study.get('modality')} {study.get('days_before')} days before"
    if "included" in study:
        words += " (goes along)" if study["included"] else " (not sent)"
    if "case_id" in study:
        words += f" (case {study['case_id']})"
    return words
