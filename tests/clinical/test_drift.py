"""The schema, the form, the message table and the page for users cannot drift apart."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from bsti_submit.clinical import form, units
from bsti_submit.clinical.questions import GROUPS, questions
from bsti_submit.clinical.record import ClinicalRecord, schema, validate
from bsti_submit.clinical.sources import manifest
from bsti_submit.clinical.sources.row import column_of
from bsti_submit.clinical.summary import SHORT_LABELS
from bsti_submit.clinical.wording import DAY_RANGES, TABLE, find

from .samples import BARE

SCHEMA = schema()
DOCS = Path(__file__).parents[2] / "docs" / "clinical.md"


def resolve(node):
    while "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].rpartition("/")[2]] | {key: node[key] for key in node if key != "$ref"}
    return node


def nodes(node=SCHEMA, path=""):
    """Every place of the schema with its path, indices as []."""
    node = resolve(node)
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}" if path else name)
    if isinstance(node.get("items"), dict):
        yield from nodes(node["items"], f"{path}[]")


PLACES = dict(nodes())
PARTS = {path: node for path, node in PLACES.items() if path}


def breaches():
    """Every (path, keyword) that a record can break."""
    for path, node in PLACES.items():
        combined = [
            node,
            *(resolve(part) for part in node.get("allOf", ())),
            node.get("then", {}),
            node.get("else", {}),
        ]
        for part in combined:
            for keyword, value in part.items():
                if keyword in {
                    "$schema",
                    "$id",
                    "$defs",
                    "title",
                    "description",
                    "properties",
                    "items",
                    "allOf",
                    "if",
                    "then",
                    "else",
                }:
                    continue
                if keyword == "required":
                    yield from ((f"{path}.{name}" if path else name, keyword) for name in value)
                elif keyword == "dependentRequired":
                    yield from ((f"{path}.{name}", keyword) for names in value.values() for name in names)
                elif keyword == "not":
                    yield path, "not:" + "+".join(value["required"])
                else:
                    yield path, keyword


@pytest.mark.parametrize(("path", "keyword"), sorted(set(breaches())))
def test_every_breach_of_the_schema_has_words(path, keyword):
    assert find(path, keyword).code != "E-SCHEMA"


def test_every_row_of_the_message_table_can_occur():
    known = set(breaches()) | {("case_id", "check")}
    assert {key for key in TABLE if key not in known} == set()


@pytest.mark.parametrize("path", form.CHOICES)
def test_choices_are_those_of_the_schema(path):
    assert list(form.CHOICES[path]) == PARTS[path]["enum"]


def test_no_choice_of_the_schema_is_left_out():
    own = {path for path, node in PARTS.items() if "enum" in node}
    others = {path for path in own if path.rpartition(".")[2] in {"absent", "source", "comparator"}}
    assert own - others - set(form.CHOICES) == {
        "confirmed[]",
        "white_cell_count.reported.unit",
        "crp.reported.unit",
        "po2.reported.unit",
    }


@pytest.mark.parametrize("metric", form.QUANTITIES)
def test_units_and_ranges_are_those_of_the_schema(metric):
    quantity, value = form.QUANTITIES[metric], PARTS[f"{metric}.value"]
    assert (quantity.low, quantity.high) == (value["minimum"], value["maximum"])
    assert PARTS[f"{metric}.unit"]["const"] == quantity.unit


@pytest.mark.parametrize("path", DAY_RANGES)
def test_day_ranges_are_those_of_the_schema(path):
    assert DAY_RANGES[path][:2] == (PARTS[path]["minimum"], PARTS[path]["maximum"])


def test_every_count_of_days_is_known():
    whole = {path for path, node in PARTS.items() if node.get("type") == "integer"}
    assert whole == set(DAY_RANGES)


def test_reported_units_are_those_that_can_be_converted():
    listed = SCHEMA["$defs"]["reported"]["properties"]["unit"]["enum"]
    assert set(listed) == {unit for quantity in form.QUANTITIES.values() for unit in quantity.units} - {"%"}


def test_reasons_and_rules_are_those_of_the_schema():
    assert list(form.ABSENT_KEYS.values()) == list(form.ABSENT_LABELS) == SCHEMA["$defs"]["absent"]["enum"]
    assert list(form.DEMOGRAPHIC_ABSENT) == SCHEMA["$defs"]["absent_demographic"]["enum"]
    assert list(form.CONFIRMATIONS) == PARTS["confirmed[]"]["enum"]
    assert list(units.COMPARATORS) != []
    assert set(units.COMPARATORS) == set(SCHEMA["$defs"]["comparator"]["enum"])


def test_age_and_oxygen_limits_are_those_of_the_schema():
    assert PARTS["age.value"]["anyOf"][0]["maximum"] == form.AGE_CAP - 1
    assert PARTS["age.value"]["anyOf"][1]["const"] == f"{form.AGE_CAP}+"
    assert Decimal(str(SCHEMA["$defs"]["fio2"]["minimum"])) == form.ROOM_AIR


def test_every_metric_is_asked_labelled_and_explained():
    metrics = set(SCHEMA["properties"]) - {"schema_version", "case_id", "confirmed"}
    assert metrics == set(GROUPS) == set(form.LABELS) == set(SHORT_LABELS)
    asked = {question.group for question in questions(BARE)}
    assert asked == metrics
    assert all(question.explanation for question in questions(BARE))


def test_every_part_of_the_schema_has_a_column():
    columns = {*manifest.COLUMNS, *manifest.ADDED_COLUMNS} - {"study_path", "local_ref", "id_suffix"}
    leaves = {path for path, node in PARTS.items() if "properties" not in node and "items" not in node}
    leaves -= {
        path for path in leaves if path.rpartition(".")[2] in {"source", "comparator", "absent"} or ".reported" in path
    }
    leaves -= {"schema_version", "case_id"}
    covered = {column_of(path.replace("[]", "[0]")) for path in leaves}
    assert covered <= columns
    grouped = {"wcc_unit", "crp_unit", "po2_unit", "asymptomatic", "pcr_specimens", "prior_case_id"}
    assert columns - covered == grouped


def test_texts_for_the_screen_are_ascii():
    texts = [
        *form.LABELS.values(),
        *form.EXPLAIN.values(),
        *form.INDICATIONS.values(),
        *form.CONFIRMATIONS.values(),
    ]
    texts += [wording.text for wording in TABLE.values()]
    for question in questions(BARE):
        texts += [question.title, question.example, *question.choices]
    assert all(text.isascii() for text in texts)
    assert all(len(f"  {text}") < 80 for text in form.EXPLAIN.values())
    assert all(len(line) <= 80 for question in questions(BARE) for line in (question.title, *question.choices))


def test_every_code_of_a_message_is_documented():
    package = DOCS.parents[1] / "bsti_submit"
    files = [*(package / "clinical").rglob("*.py"), *(package / "pipeline").rglob("*.py")]
    source = "".join(path.read_text("utf-8") for path in files)
    codes = set(re.findall(r'"(E-[A-Z0-9-]+)"', source)) - {"E-SCHEMA"}
    documented = set(re.findall(r"`(E-[A-Z0-9-]+)`", DOCS.read_text("utf-8")))
    assert codes == documented


def test_the_page_lists_fields_columns_and_rules_as_they_are():
    text = DOCS.read_text("utf-8")
    for column in (*manifest.COLUMNS, *manifest.ADDED_COLUMNS):
        assert f"`{column}`" in text
    for code, label in form.INDICATIONS.items():
        assert f"| `{code}` | {label} |" in text
    for rule, label in form.CONFIRMATIONS.items():
        assert f"| `{rule}` | {label} |" in text
    for key, reason in form.ABSENT_KEYS.items():
        assert f"| `{key}` | `{reason}` |" in text
    for metric, quantity in form.QUANTITIES.items():
        row = f"| `{metric}` | {quantity.unit} | {units.plain(quantity.low)} to {units.plain(quantity.high)} | {quantity.reference} |"
        assert row in text


def test_the_example_on_the_page_is_a_valid_record():
    blocks = re.findall(r"```json\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert blocks
    assert all(isinstance(validate(json.loads(block)), ClinicalRecord) for block in blocks)
