"""A parsed clinical record → the one canonical record, or every problem with it.

Prompts, JSON and CSV all end here, so that they accept the same and say the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import rfc8785

from bsti_submit.clinical import rules
from bsti_submit.clinical.facts import SUFFIX_LENGTH
from bsti_submit.clinical.field_names import NAMELESS
from bsti_submit.clinical.problem import Note, Problem, error_for
from bsti_submit.clinical.structure import plain_tree, schema_text, structural_problems, tidy

if TYPE_CHECKING:
    from bsti_submit.clinical.facts import Context
    from bsti_submit.clinical.structure import Json, Tree
    from bsti_submit.phi import Identified


@dataclass(frozen=True, slots=True)
class ClinicalRecord:
    """A de-identified clinical record that passed every rule; made by `validate` alone.

    Two are equal when their canonical JSON is. ``notes`` are for the person who made it and are no part of
    it.
    """

    _canonical: bytes = field(repr=False)
    notes: tuple[Note, ...] = field(default=(), compare=False)

    @property
    def data(self) -> dict[str, object]:
        """A fresh copy as plain JSON values."""
        loaded: dict[str, object] = json.loads(self._canonical)
        return loaded

    def canonical_json(self) -> bytes:
        """Return the RFC 8785 form, UTF-8, without a final newline."""
        return self._canonical

    @property
    def sha256(self) -> str:
        """The hex digest of the canonical form."""
        return hashlib.sha256(self._canonical).hexdigest()


def validate(
    raw: object, context: Context | None = None, *, id_suffix: Identified[str] | None = None
) -> ClinicalRecord | tuple[Problem, ...]:
    """Hold a parsed record against the schema, the rules and, where given, the images.

    Parameters
    ----------
    raw
        What `sources.json_file` parsed, a manifest row or the dialogue made, or an earlier record's ``data``.
    context
        The facts of the headers and the folder. Without it nothing is compared with images. Rule ids of the wrong-patient
        guard stay in ``confirmed`` as they are where there is no header to hold them against.
    id_suffix
        The last three characters of the hospital number, where a manifest gives them: compared, never stored.

    Returns
    -------
    ClinicalRecord or tuple of Problem
        All problems at once, in the order of the schema.

    Notes
    -----
    With a context, a listed prior that does not say whether it is ``included`` is included if the folder
    holds it; and ``confirmed`` keeps only rules that were tripped.
    """
    tree, found = plain_tree(raw)
    problems = list(found)
    tree, tidied = tidy(tree)
    notes = list(tidied)
    if not problems or isinstance(tree, dict):
        known = {problem.group for problem in problems}
        problems += [
            problem for problem in structural_problems(tree) if problem.group not in known or not problem.group
        ]
    sound: Tree = {}
    if isinstance(tree, dict):
        wrong = {problem.group for problem in problems}
        sound = {name: value for name, value in tree.items() if name not in wrong}
    if context is not None:
        _fill_included(sound, context)
    problems += rules.problems(sound, context)
    problems += _unconfirmed(sound, context, notes)
    if id_suffix is not None and (mismatch := suffix_problem(id_suffix, context)):
        problems.append(mismatch)
    if problems:
        return _in_order([_masked(problem, context) for problem in problems])
    notes += rules.warnings(sound)
    return ClinicalRecord(rfc8785.dumps(_to_json(sound)), tuple(notes))


def accept(raw: object, context: Context | None = None, *, id_suffix: Identified[str] | None = None) -> ClinicalRecord:
    """Return the record, or raise for its problems.

    Raises
    ------
    InputError
        Exit 2: with one detail line a problem.
    HeldError
        Exit 3: the wrong-patient guard is all that speaks against it.
    """
    result = validate(raw, context, id_suffix=id_suffix)
    if isinstance(result, ClinicalRecord):
        return result
    raise error_for(result)


def suffix_problem(id_suffix: Identified[str], context: Context | None) -> Problem | None:
    """Compare the end of the hospital number with the headers.

    Where it cannot be compared, that is a problem too.
    """
    if context is None:
        return None
    answer = None if context.suffix_matches is None else context.suffix_matches(id_suffix.reveal())
    if answer:
        return None
    if answer is None:
        return Problem(
            "E-SUFFIX",
            "id_suffix",
            "the images hold no hospital number that the last three characters could be held against.",
        )
    return Problem(
        "E-SUFFIX",
        "id_suffix",
        "the last three characters are not those of the hospital number in the images.",
    )


def suffix_form_problem(text: str) -> Problem | None:
    """Return a problem if a text is not just three letters or digits.

    The whole number is not wanted anywhere.
    """
    if len(text) == SUFFIX_LENGTH and text.isalnum():
        return None
    return Problem(
        "E-SUFFIX-FORM",
        "id_suffix",
        "give the last three letters or digits of the hospital number, no more.",
        "A spreadsheet takes leading zeros away: format the column as text."
        if text.isdigit() and len(text) < SUFFIX_LENGTH
        else "",
    )


def included_studies(record: ClinicalRecord, context: Context) -> tuple[int, ...]:
    """Return the numbers of the folder's studies that go along as priors, in the order of the record."""
    taken: set[int] = set()
    numbers: list[int] = []
    prior = record.data["prior_imaging"]
    studies = prior.get("studies", ()) if isinstance(prior, dict) else ()
    for study in studies:
        if study.get("included") is True:
            match = rules.matching_prior(study["modality"], study["days_before"], context.priors or (), taken)
            if match is not None:
                numbers.append(match.study_number)
    return tuple(numbers)


def schema() -> dict[str, object]:
    """Return the clinical schema, as ``clinical schema`` prints it."""
    loaded: dict[str, object] = json.loads(schema_text())
    return loaded


def template_json() -> str:
    """Return a skeleton to fill in, valid as it stands: every metric with a reason for being absent."""
    skeleton = {
        "schema_version": "1.0",
        "index_imaging": {"modality": "CT"},
        "age": {"absent": "unknown"},
        "sex": {"absent": "unknown"},
        "symptom_onset": {"absent": "unknown"},
        "white_cell_count": {"absent": "not-done"},
        "crp": {"absent": "not-done"},
        "po2": {"absent": "not-done"},
        "spo2": {"absent": "not-done"},
        "indication": {"absent": "unknown"},
        "rt_pcr": {"status": "unknown"},
        "prior_imaging": {"value": "unknown"},
    }
    return json.dumps(skeleton, indent=2) + "\n"


TEMPLATE_HINT = (
    "Replace each reason by a value, such as "
    '"crp": {"value": 148, "unit": "mg/L", "day": 0}. docs/clinical.md explains every field; '
    "'bsti-submit clinical check FILE' checks the result."
)
"""What the command line says beside the skeleton, for JSON has no comments."""


def _fill_included(tree: Tree, context: Context) -> None:
    prior = tree.get("prior_imaging")
    studies = prior.get("studies") if isinstance(prior, dict) else None
    if not isinstance(studies, list) or context.priors is None:
        return
    taken: set[int] = set()
    listed = [study for study in studies if isinstance(study, dict)]
    # Those that say so take their studies first, so that a silent twin does not.
    for study in sorted(listed, key=lambda study: "included" not in study):
        if study.get("included") is False:
            continue
        match = rules.matching_prior(study.get("modality"), study.get("days_before"), context.priors, taken)
        if "included" not in study:
            study["included"] = match is not None and match.included


def _unconfirmed(tree: Tree, context: Context | None, notes: list[Note]) -> list[Problem]:
    """Return the doubts that nobody confirmed, and keep in ``confirmed`` those that were raised."""
    raised = rules.doubts(tree, context)
    confirmed = tree.get("confirmed")
    given = [rule for rule in confirmed if isinstance(rule, str)] if isinstance(confirmed, list) else []
    rest = [rule for rule in given if not _can_be_judged(rule, context)]
    kept = sorted({doubt.rule for doubt in raised if doubt.rule in given} | set(rest))
    if set(given) - set(kept):
        notes.append(Note("notice", "confirmed", "rules that no value tripped were left out."))
    if kept:
        listed: list[Json] = [*kept]
        tree["confirmed"] = listed
    else:
        tree.pop("confirmed", None)
    return [rules.doubt_problem(doubt) for doubt in raised if doubt.rule not in given]


def _can_be_judged(rule: str, context: Context | None) -> bool:
    """Whether a rule of the wrong-patient guard has a header to be held against; the others need none."""
    if rule == "age-differs":
        return context is not None and context.age is not None
    return rule != "sex-differs" or (context is not None and bool(context.sex))


def _masked(problem: Problem, context: Context | None) -> Problem:
    """Hide a field's name that is one of this patient's own words."""
    own = context.matches_patient if context is not None else None
    if own is None or problem.code not in {"E-UNKNOWN-FIELD", "E-DUPLICATE"} or not own(problem.path):
        return problem
    return replace(problem, path=NAMELESS)


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    names = schema()["properties"]
    order = {name: index for index, name in enumerate(names)} if isinstance(names, dict) else {}
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: order.get(problem.group, len(order))))


def _to_json(value: Json) -> Any:
    if isinstance(value, Decimal):
        # At most fifteen digits, so the shortest form of the float is the decimal again (RFC 8785, 3.2.2.3).
        return float(value)
    if isinstance(value, dict):
        return {name: _to_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    return value
