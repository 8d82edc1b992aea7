"""Credit for contributors."""

from __future__ import annotations

import csv
import io

import pytest

from bsti_submit.clinical.credit import (
    Contributor,
    citation_cff,
    contributors_csv,
    normalise_orcid,
    read_contributor,
)
from bsti_submit.errors import InputError

NAMED = Contributor("named", "Imogen van Example", "0000-0002-1825-0097", 'The "Old" Trust')


@pytest.mark.parametrize(
    ("text", "orcid"),
    [
        ("0000-0002-1825-0097", "0000-0002-1825-0097"),
        ("https://orcid.org/0000-0002-1825-0097", "0000-0002-1825-0097"),
        ("0000000218250097", "0000-0002-1825-0097"),
        ("0000-0002-9079-593x", "0000-0002-9079-593X"),
        ("0000-0002-1825-0098", None),
        ("0000-0002-1825-009", None),
        ("\u0660000-0002-1825-0097", None),
        ("", None),
    ],
)
def test_an_orcid_is_checked(text, orcid):
    assert normalise_orcid(text) == orcid


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        ({}, {"credit": "anonymous"}),
        ({"name": "A  B"}, {"credit": "named", "name": "A B"}),
        ({"organisation": "T"}, {"credit": "organisation", "organisation": "T"}),
        (
            {"name": "A B", "organisation": "T", "credit": "organisation"},
            {"credit": "organisation", "organisation": "T"},
        ),
        ({"name": "A B", "anonymous": True}, {"credit": "anonymous"}),
        ({"name": "A B", "anonymous": False}, {"credit": "named", "name": "A B"}),
        (
            {"name": "A B", "orcid": "0000000218250097"},
            {"credit": "named", "name": "A B", "orcid": "0000-0002-1825-0097"},
        ),
    ],
)
def test_only_what_is_wished_is_sent(raw, data):
    assert read_contributor(raw).data() == data


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ({"name": "A B", "orcid": "0000-0002-1825-0098"}, "E-ORCID"),
        ({"credit": "named"}, "E-REQUIRED"),
        ({"credit": "organisation"}, "E-REQUIRED"),
        ({"credit": "loud"}, "E-CHOICE"),
        ({"name": 3}, "E-TYPE"),
        ({"email": "a"}, "E-UNKNOWN-FIELD"),
        ({"name": "x" * 121}, "E-TEXT"),
        ({"name": "=1+1"}, "E-TEXT"),
        ({"name": "a\x07b"}, "E-TEXT"),
    ],
)
def test_a_mistake_is_told(raw, code):
    with pytest.raises(InputError) as raised:
        read_contributor(raw)
    assert [line.split()[0].rstrip(":") for line in raised.value.details] == [code]


def test_the_citation_names_each_person_once_and_no_anonymous_one():
    text = citation_cff(
        [NAMED, NAMED, Contributor("anonymous", "Hidden"), Contributor("organisation", organisation="T")]
    )
    assert text.count("family-names") == 1
    assert '- family-names: "Example"\n    given-names: "Imogen van"' in text
    assert 'affiliation: "The \\"Old\\" Trust"' in text
    assert 'orcid: "https://orcid.org/0000-0002-1825-0097"' in text
    assert '- name: "T"' in text
    assert "Hidden" not in text


def test_the_citation_is_yaml():
    yaml = pytest.importorskip("yaml")
    loaded = yaml.safe_load(citation_cff([NAMED, Contributor("named", "Example, Ida"), Contributor("named", "Plato")]))
    assert [author["family-names"] for author in loaded["authors"]] == ["Example", "Example", "Plato"]
    assert loaded["cff-version"] == "1.2.0"
    assert yaml.safe_load(citation_cff([]))["authors"] == [{"name": "BSTI COVID-19 imaging registry"}]


def test_the_sheet_lists_and_counts():
    rows = list(csv.reader(io.StringIO(contributors_csv([NAMED, Contributor("anonymous"), Contributor("anonymous")]))))
    assert rows == [
        ["name", "orcid", "organisation"],
        ["Imogen van Example", "0000-0002-1825-0097", 'The "Old" Trust'],
        ["2 anonymous", "", ""],
    ]
