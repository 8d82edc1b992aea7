"""An attestation file that is missing or wrong is told by what is wrong, never by what it holds."""

from __future__ import annotations

import json

import pytest

from bsti_submit import attestation
from bsti_submit.errors import ApprovalError


def told(path):
    with pytest.raises(ApprovalError) as error:
        attestation.read(path)
    assert "Whitcombe" not in "".join((error.value.message, error.value.hint, *error.value.details))
    return error.value.message


def test_a_file_that_is_not_there_is_not_called_bad_json(tmp_path):
    assert "no attestation file" in told(tmp_path / "Whitcombe.json")
    assert "no attestation file" in told(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "Whitcombe", "[" * 100_000, '{"schema": "attestation/1.0", "schema": "Whitcombe"}', "\x00\x01"],
    ids=["empty", "words", "deep", "a member twice", "binary"],
)
def test_a_file_that_is_not_json_says_so(tmp_path, text):
    (tmp_path / "a.json").write_text(text, "utf-8")
    assert "cannot be read as JSON" in told(tmp_path / "a.json")


@pytest.mark.parametrize("document", [[], "Whitcombe", {}, {"Whitcombe": 1}, {"schema": "Whitcombe"}])
def test_a_document_that_does_not_follow_the_schema_says_so(tmp_path, document):
    (tmp_path / "a.json").write_text(json.dumps(document), "utf-8")
    assert "cannot be read" not in told(tmp_path / "a.json")
