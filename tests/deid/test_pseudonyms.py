"""Keyed pseudonyms: the same for the same key and patient, unrelated otherwise, and never to be seen through."""

from __future__ import annotations

import copy
import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsti_submit.deid.pseudonyms import (
    LONGEST_SHIFT,
    PSEUDONYM,
    SHORTEST_SHIFT,
    SiteKey,
    WeakPatientId,
    is_weak,
    normalised_id,
    patient_scope,
    random_scope,
    study_set_tag,
)
from bsti_submit.phi import Identified

keys = st.binary(min_size=32, max_size=32).map(SiteKey)
uids = st.from_regex(r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){1,5}", fullmatch=True)
ids = st.from_regex(r"[A-W][0-9]{6,9}[A-W]", fullmatch=True)
KEY = SiteKey(bytes(range(32)))


def scope(key: SiteKey, patient_id: str, issuer: str = ""):
    return patient_scope(key, Identified(issuer), Identified(patient_id))


@given(keys, ids, st.text(max_size=8), uids)
def test_same_key_and_patient_give_the_same_answers(key, patient_id, issuer, uid):
    one, other = scope(key, patient_id, issuer), scope(SiteKey(key._key), patient_id, issuer)
    assert one.pseudonym == other.pseudonym
    assert one.shift_days == other.shift_days
    assert one.uid(uid) == other.uid(uid)
    assert one.linked


@given(keys, keys, ids, uids)
def test_another_key_gives_unrelated_answers(key, another, patient_id, uid):
    if key._key == another._key:
        return
    assert scope(key, patient_id).pseudonym != scope(another, patient_id).pseudonym
    assert scope(key, patient_id).uid(uid) != scope(another, patient_id).uid(uid)
    assert key.key_id != another.key_id


@given(keys, ids, ids)
def test_two_patients_differ_and_the_pair_is_not_run_together(key, one, other):
    if normalised_id(one) != normalised_id(other):
        assert scope(key, one).pseudonym != scope(key, other).pseudonym
    assert scope(key, one + "X", "A").pseudonym != scope(key, "X" + one, "A").pseudonym
    assert scope(key, "1" + one, "AB").pseudonym != scope(key, "B1" + one, "A").pseudonym


@given(keys, uids)
def test_new_uids_have_the_form_of_the_standard(key, uid):
    new = scope(key, "HX123456").uid(uid)
    assert re.fullmatch(r"2\.25\.(?:0|[1-9][0-9]{0,38})", new)
    assert int(new.removeprefix("2.25.")) < 1 << 128
    assert len(new) <= 64


@given(keys, ids)
def test_shift_and_pseudonym_stay_in_their_ranges(key, patient_id):
    one = scope(key, patient_id)
    assert SHORTEST_SHIFT <= one.shift_days <= LONGEST_SHIFT
    assert PSEUDONYM.fullmatch(one.pseudonym)


def test_shifts_are_spread_over_the_whole_range():
    shifts = [scope(KEY, f"HX{number:06}").shift_days for number in range(4000)]
    counts = [0] * 5
    for shift in shifts:
        counts[(shift - SHORTEST_SHIFT) * 5 // (LONGEST_SHIFT - SHORTEST_SHIFT + 1)] += 1
    assert min(counts) > 680, counts  # 800 are expected in each fifth
    assert max(counts) < 920, counts


def test_one_key_has_separate_labels():
    derived = {KEY.derive(label, b"x") for label in (b"uid", b"patient", b"date", b"study set", b"key id")}
    assert len(derived) == 5
    assert KEY.derive(b"a", b"b", b"c") != KEY.derive(b"a", b"bc")


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("943 476 5919", "9434765919"),
        (" hx1234 ", "HX1234"),
        ("ＨＸ１２３４", "hx1234"),
        ("HX1234\0", "hx1234"),
    ],
)
def test_the_ways_systems_write_an_id_are_the_same_id(one, same):
    assert scope(KEY, one).pseudonym == scope(KEY, same).pseudonym


@given(st.text(max_size=20))
def test_normalising_twice_changes_nothing(text):
    assert normalised_id(normalised_id(text)) == normalised_id(text)


@pytest.mark.parametrize(
    "weak",
    [
        "",
        " ",
        "123",
        "A-1",
        "0000",
        "00000000",
        "XXXX",
        "xxxxxxx",
        "UNKNOWN",
        "anon",
        "Anonymous",
        "ANONYMOUS",
        "NONE",
        "null",
        "N/A",
        "12345",
        "123456",
        "1234567890",
        "9999999",
        "----",
        "TEST",
        "????",
        "No ID",
    ],
)
def test_ids_that_tell_nobody_apart_are_refused(weak):
    assert is_weak(normalised_id(weak))
    with pytest.raises(WeakPatientId) as raised:
        scope(KEY, weak)
    assert str(raised.value) == ""


@pytest.mark.parametrize("strong", ["9434765919", "HX1234", "A123", "RXH0001234", "TEST12345"])
def test_ordinary_ids_are_not_weak(strong):
    assert scope(KEY, strong).linked


def test_a_random_scope_is_never_linked():
    one, other = random_scope(), random_scope()
    assert not one.linked
    assert one.pseudonym != other.pseudonym
    assert one.uid("1.2.3") != other.uid("1.2.3")
    assert one.uid("1.2.3") == one.uid("1.2.3")


def test_the_tag_of_a_study_set_depends_on_the_set_alone():
    def tag(*studies):
        return study_set_tag(KEY, [Identified(each) for each in studies])

    assert tag("1.2", "1.3") == tag("1.3", "1.2", "1.2")
    assert tag("1.2", "1.3") != tag("1.21.3")
    assert re.fullmatch(r"[0-9a-f]{64}", tag("1.2"))


@pytest.mark.parametrize("secret", [KEY, scope(KEY, "HX123456")], ids=["key", "scope"])
def test_secrets_mask_themselves_and_are_never_serialised(secret):
    for text in (repr(secret), str(secret), f"{secret}"):
        assert KEY._key.hex() not in text
        assert "HX123456" not in text
    for serialise in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            serialise(secret)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_has_32_bytes(length):
    with pytest.raises(ValueError, match="32"):
        SiteKey(bytes(length))
