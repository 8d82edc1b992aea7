"""Request bodies held against the schemas and the rules that no schema can say: JSON in, faults out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from bsti_submit.registry import strictjson
from bsti_submit.registry.catalogue import body_validator, schema_validator
from bsti_submit.registry.patterns import national_identifier
from bsti_submit.registry.problems import Fault, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

    from bsti_submit.registry.strictjson import Json, Object

_MAX_FAULTS = 50
_KPA_AT_SEA_LEVEL = 95.0


def parse(data: bytes, component: str) -> Object:
    """Parse a body strictly and hold it against its schema in the API description.

    Raises
    ------
    Problem
        ``invalid-json`` or ``invalid-request``.
    """
    try:
        body = strictjson.loads(data)
    except strictjson.NotStrictError as error:
        raise Problem("invalid-json", f"The body is not strict JSON: {error}.") from None
    faults = schema_faults(body_validator(component), body)
    if faults:
        raise Problem("invalid-request", errors=faults)
    return cast("Object", body)


def schema_faults(validator: Draft202012Validator, value: Json, prefix: str = "") -> list[Fault]:
    """Return what a schema finds wrong, with pointers below ``prefix`` and never a value."""
    faults: set[Fault] = set()
    for error in validator.iter_errors(value):
        faults.add(Fault(prefix + _pointer(error.absolute_path), _plain(error)))
        if len(faults) == _MAX_FAULTS:
            break
    return sorted(faults)


def _pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _plain(error: ValidationError) -> str:
    """Say what is wrong from the schema's side alone: the library's own messages quote the value."""
    rule, limit = str(error.validator), error.validator_value
    match rule:
        case "required":
            missing = sorted(set(cast("list[str]", limit)) - set(cast("dict[str, object]", error.instance)))
            return f"lacks {', '.join(missing)}"
        case "additionalProperties":
            return "has a member that is not known"
        case "type":
            types = [limit] if isinstance(limit, str) else cast("list[str]", limit)
            return f"must be of type {' or '.join(types)}"
        case "enum":
            return f"must be one of {', '.join(str(item) for item in cast('list[object]', limit))}"
        case "const":
            return f"must be {limit}"
        case "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties":
            return f"is below the least allowed ({rule} {limit})"
        case "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties":
            return f"is above the most allowed ({rule} {limit})"
        case "pattern":
            return "does not have the agreed form"
        case _:
            return f"breaks the rule {rule}"


def check_clinical(record: Object, case_id: str, prefix: str = "/clinical") -> None:
    """Hold a clinical record against its schema and the rules S1 to S3 that it cannot say.

    Raises
    ------
    Problem
        ``invalid-clinical`` with a pointer for each fault.
    """
    validator = schema_validator("clinical", "1.0")
    if validator is None:
        raise Problem("internal")
    faults = schema_faults(validator, record, prefix)
    if not faults:
        faults = [Fault(prefix + fault.pointer, fault.detail) for fault in _clinical_rules(record, case_id)]
    if faults:
        raise Problem("invalid-clinical", errors=faults)


def _clinical_rules(record: Object, case_id: str) -> list[Fault]:
    faults = []
    if record.get("case_id", case_id) != case_id:
        faults.append(Fault("/case_id", "is another case's"))
    po2 = cast("Object", record["po2"])
    value, fio2 = po2.get("value"), po2.get("fio2")
    if isinstance(value, int | float) and isinstance(fio2, int | float):  # noqa: SIM102 - one rule a level
        if po2.get("sample") in {"arterial", "capillary"} and value > _KPA_AT_SEA_LEVEL * fio2:
            faults.append(Fault("/po2/value", "is impossible at this FiO2 (more than 95 kPa x FiO2)"))
    pcr = cast("Object", record["rt_pcr"])
    tests = cast("list[Object]", pcr.get("tests", []))
    if tests and pcr["status"] != _pcr_status({str(test["result"]) for test in tests}):
        faults.append(Fault("/rt_pcr/status", "does not follow from the tests"))
    text = cast("Object", record["indication"]).get("text")
    if isinstance(text, str) and (national_identifier(text) or re.search(r"[0-9]{5}", text)):
        faults.append(Fault("/indication/text", "holds something that may identify a person"))
    return faults


def _pcr_status(results: set[str]) -> str:
    return next((status for status in ("positive", "indeterminate", "pending") if status in results), "negative")


def check_attestation(
    attestation: Object, *, expected: Object, registry_id: str, now: float, prefix: str = "/attestation"
) -> None:
    """Hold an attestation against its schema and against what it is for.

    Parameters
    ----------
    attestation
        The document.
    expected
        What it may name: ``package_sha256``, ``clinical_sha256`` (for an amendment), ``profile``,
        ``profile_version``, ``recipe_sha256``, ``tool``.
    registry_id
        Ours, which a standing attestation names.
    now
        Seconds since the epoch.

    Raises
    ------
    Problem
        ``invalid-attestation``.
    """
    validator = schema_validator("attestation", "1.0")
    faults = schema_faults(validator, attestation, prefix) if validator else []
    if not faults:
        faults = [
            Fault(prefix + fault.pointer, fault.detail)
            for fault in _attestation_rules(attestation, expected, registry_id, now)
        ]
    if faults:
        raise Problem("invalid-attestation", errors=faults)


def _attestation_rules(attestation: Object, expected: Object, registry_id: str, now: float) -> list[Fault]:
    faults = []
    for member, value in attestation.items():
        if member.endswith("_sha256") and not (isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)):
            faults.append(Fault(f"/{member}", "is not a SHA-256"))
    scope = attestation["scope"]
    digests = [attestation[name] for name in ("clinical_sha256", "package_sha256") if name in attestation]
    good = {expected.get("package_sha256"), expected.get("clinical_sha256")} - {None}
    if scope == "package" and "clinical_sha256" in expected and expected["clinical_sha256"] not in digests:
        faults.append(Fault("", "does not name this record's digest"))
    if scope == "package" and "package_sha256" not in attestation and "clinical_sha256" not in attestation:
        faults.append(Fault("", "names no package"))
    if any(digest not in good for digest in digests):
        faults.append(Fault("", "is for other bytes"))
    if scope == "manifest" and "manifest_sha256" not in attestation:
        faults.append(Fault("", "names no manifest"))
    if scope == "standing":
        faults += _standing_rules(attestation, expected, registry_id, now)
    return faults


def _standing_rules(attestation: Object, expected: Object, registry_id: str, now: float) -> list[Fault]:
    faults = [
        Fault(f"/{name}", "is not this case's")
        for name in ("profile", "profile_version", "recipe_sha256")
        if attestation.get(name) != expected.get(name)
    ]
    tool = str(expected.get("tool", ""))
    if "/" in tool and attestation.get("tool_version") not in {tool, tool.rpartition("/")[2]}:
        faults.append(Fault("/tool_version", "is not the tool that made this case"))
    if attestation.get("registry") != registry_id:
        faults.append(Fault("/registry", "is not this registry"))
    until = _moment(attestation.get("expires"))
    if until is None or until <= now:
        faults.append(Fault("/expires", "has passed, or is not a date"))
    return faults


def _moment(value: Json) -> float | None:
    """Return an RFC 3339 time, or the end of an ISO date, in seconds since the epoch."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() + (86_400 if len(value) == len("2026-01-01") else 0)
