"""The list of patients who object, held against images."""

from __future__ import annotations

import contextlib
import pickle

import pytest

from bsti_submit.deid.profile import load_profile
from bsti_submit.deid.pseudonyms import SiteKey
from bsti_submit.errors import HeldError, InputError
from bsti_submit.pipeline.exclusion import ExclusionList, require_no_objection
from bsti_submit.pipeline.prepared import prepare
from tests.intake.factory import dataset, put

NHS = "9434765919"


@pytest.fixture
def held(tmp_path):
    def check(text, **attributes):
        put(tmp_path / "study" / "a.dcm", dataset(1, **attributes))
        listed = tmp_path / "list"
        listed.write_bytes(text if isinstance(text, bytes) else text.encode())
        excluded = ExclusionList.read(listed)
        key = SiteKey(bytes(range(32)))
        with prepare(tmp_path / "study", load_profile("bsti-default"), key, lambda _: None) as prepared:
            found = excluded.names(prepared)
            with pytest.raises(HeldError) if found else contextlib.nullcontext() as caught:
                require_no_objection(prepared, excluded)
            assert caught is None or "12345" not in str(caught.value)
            return found

    return check


@pytest.mark.parametrize(
    ("text", "patient_id"),
    [
        ("ABC12345", "ABC12345"),
        ("abc 123-45", "ABC12345"),
        ("ABC12345", "abc-12345 "),
        ("12345", "0012345"),
        ("0012345", "12345"),
        ("name,number\n", ""),
        ("hospital number;date\r\nABC12345;2020\r\n", "ABC12345"),
        ('"ABC12345",x', "ABC12345"),
        ("# those who object\n\n  ABC12345  ", "ABC12345"),
        ("\ufeffABC12345".encode(), "ABC12345"),
        ("ABC12345".encode("utf-16"), "ABC12345"),
        ("Ä\n".encode("cp1252") + b"ABC12345", "ABC12345"),
        ("943 476 5919", NHS),
    ],
)
def test_a_number_is_found_however_it_is_written(held, text, patient_id):
    assert held(text, PatientID=patient_id) is bool(patient_id)


def test_a_number_in_another_element_is_found(held):
    assert held("943-476-5919", OtherPatientIDs=NHS)
    assert held("943 476 5919", OtherPatientIDs="943 476 5919")


def test_nobody_else_is_held(held):
    assert not held("ABC12346\nABC1234\nBC12345\n12345\n" + NHS)
    assert not held("", PatientID="")
    assert not held("1234", StudyID="1234")


@pytest.mark.parametrize(("text", "line"), [("ABC12345\nnobody", 2), ("x\n123", 2), ("ABC12345\n\n--\n", 3)])
def test_a_line_that_is_no_number_stops_everything(tmp_path, text, line):
    listed = tmp_path / "list"
    listed.write_text(text, "utf-8")
    with pytest.raises(InputError) as caught:
        ExclusionList.read(listed)
    assert caught.value.details == (f"line {line}",)


def test_it_masks_itself(tmp_path):
    listed = tmp_path / "list"
    listed.write_text(NHS, "utf-8")
    excluded = ExclusionList.read(listed)
    assert NHS not in f"{excluded!r} {excluded}"
    with pytest.raises(TypeError):
        pickle.dumps(excluded)
