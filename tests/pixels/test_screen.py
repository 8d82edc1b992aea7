"""Who has to be looked at, and that a decision holds for the very pixels it was made about."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace

import pytest

from bsti_submit.deid.pixels.anatomy import Coverage
from bsti_submit.deid.pixels.decisions import Decision, DecisionStore, PixelGeometry, Verdict, pixel_digest
from bsti_submit.deid.pixels.picture import picture_digest
from bsti_submit.deid.pixels.regions import Region, from_rows, to_rows
from bsti_submit.deid.pixels.screen import needs_person, screen
from bsti_submit.errors import SettingsError
from bsti_submit.model import InstanceRef, Reason
from tests.intake.factory import CR, CT, dataset, encode
from tests.pixels.test_anatomy import described

KEY = bytes(range(32))
GEOMETRY = PixelGeometry(4, 4, 1, 1, 16, 12, 11, 0, 0, "MONOCHROME2", "")


def instance(sop_class=CT, **other):
    facts = {
        "burned_in": "",
        "samples": 1,
        "bits_allocated": 16,
        "bits_stored": 12,
        "photometric": "MONOCHROME2",
    }
    return described(**{"body_part": "CHEST", "sop_class_uid": sop_class, **facts, **other})


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, False),
        ({"burned_in": "NO"}, False),
        ({"burned_in": "YES"}, True),
        ({"sop_class": CR}, True),
        ({"sop_class": CR, "burned_in": "NO"}, True),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.1.1"}, True),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.1.1.1"}, True),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.2.1"}, False),
        ({"sop_class": "private"}, True),
        ({"sop_class": ""}, True),
        ({"samples": 3}, True),
        ({"photometric": "PALETTE COLOR"}, True),
        ({"bits_allocated": 8, "bits_stored": 8}, True),
        ({"image_type": ("DERIVED", "SECONDARY", "OTHER", "CT_SOM5 PROT")}, True),
        ({"image_type": ("DERIVED", "SECONDARY", "SCREEN SAVE")}, True),
        ({"image_type": ("DERIVED", "SECONDARY", "TEXT")}, True),
        ({"image_type": ("DERIVED", "SECONDARY", "DOSE SHEET")}, True),
        ({"image_type": ("DERIVED", "SECONDARY", "PAGE OTHER")}, True),
        ({"image_type": ("DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE")}, False),
        ({"image_type": ("ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI")}, False),
    ],
)
def test_who_has_to_be_looked_at(facts, expected):
    assert needs_person(instance(**facts)) is expected


def test_a_radiograph_is_held_until_someone_cleared_it():
    held = screen(instance(CR))
    assert (held.reason, held.examined) == (Reason.NOT_LOOKED_AT, False)
    cleared = screen(instance(CR), Verdict.CLEARED)
    assert (cleared.reason, cleared.examined) == (None, True)
    assert screen(instance(CR), Verdict.REJECTED).reason is Reason.REJECTED_BY_PERSON
    assert screen(instance(CR), Verdict.LEFT_OUT).reason is Reason.LEFT_OUT_BY_PERSON


def test_a_ct_slice_goes_on_but_was_not_examined():
    assert (screen(instance()).reason, screen(instance()).examined) == (None, False)


def test_nobody_can_clear_a_head():
    for sop_class in (CT, CR):
        result = screen(instance(sop_class, body_part="HEAD"), Verdict.CLEARED)
        assert (result.reason, result.coverage) == (Reason.HEAD_COVERED, Coverage.HEAD)


def test_a_digest_depends_on_key_geometry_and_every_byte_but_not_on_the_parts():
    pixels = bytes(range(32))
    digest = pixel_digest(KEY, GEOMETRY, [pixels])
    assert digest == pixel_digest(KEY, GEOMETRY, [pixels[:7], memoryview(pixels)[7:]])
    others = {
        pixel_digest(bytes(32), GEOMETRY, [pixels]),
        pixel_digest(KEY, GEOMETRY, [pixels[:-1] + b"\xff"]),
        pixel_digest(KEY, replace(GEOMETRY, rows=2, columns=8), [pixels]),
        pixel_digest(KEY, replace(GEOMETRY, photometric="MONOCHROME1"), [pixels]),
        pixel_digest(KEY, replace(GEOMETRY, transfer_syntax_uid="1.2.840.10008.1.2.2"), [pixels]),
    }
    assert len(others) == 5
    assert digest not in others


def test_a_picture_is_the_same_in_another_header_and_syntax():
    one = picture_digest(KEY, encode(dataset(1)))
    assert one == picture_digest(KEY, encode(dataset(1, PatientName="Other"), "1.2.840.10008.1.2"))
    assert one != picture_digest(KEY, encode(dataset(2)))
    assert picture_digest(KEY, b"no picture") is None
    assert picture_digest(KEY, encode(dataset(1, PixelData=None))) is None


def test_decisions_are_kept_replaced_and_taken_back(tmp_path):
    path = tmp_path / "state" / "decisions.sqlite"
    with DecisionStore(path) as store:
        assert store.find("ab") is None
        store.record("ab", Verdict.CLEARED, role="radiologist", ref=InstanceRef(3))
    with DecisionStore(path) as store:
        decision = store.find("ab")
        assert decision is not None
        assert (decision.verdict, decision.role) == (Verdict.CLEARED, "radiologist")
        assert decision.decided_at.endswith("Z")
        store.record("ab", Verdict.REJECTED)
        assert store.verdict("ab") is Verdict.REJECTED
        store.withdraw("ab")
        assert store.verdict("ab") is None


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX modes")
def test_the_store_is_its_owners_alone(tmp_path):
    path = tmp_path / "state" / "decisions.sqlite"
    with DecisionStore(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_store_that_cannot_be_opened_says_so_plainly(tmp_path):
    path = tmp_path / "decisions.sqlite"
    path.write_bytes(b"ZZNAME is not a database" * 100)
    with pytest.raises(SettingsError) as raised:
        DecisionStore(path)
    assert "ZZNAME" not in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


def test_two_stores_write_side_by_side(tmp_path):
    path = tmp_path / "decisions.sqlite"
    with DecisionStore(path) as one, DecisionStore(path) as other:
        for number in range(20):
            (one, other)[number % 2].record(str(number), Verdict.CLEARED)
        assert all(one.verdict(str(number)) for number in range(20))
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM decisions").fetchone() == (20,)


BOXES = (Region(5, 6, 70, 20), Region(1, 2, 3, 4, 7))


def test_what_is_blanked_is_kept_with_the_decision(tmp_path):
    path = tmp_path / "decisions.sqlite"
    with DecisionStore(path) as store:
        store.record("ab", Verdict.CLEARED, BOXES, ref=InstanceRef(3))
    with DecisionStore(path) as store:
        decision = store.find("ab")
        assert decision is not None
        assert (decision.verdict, set(decision.regions)) == (Verdict.CLEARED, set(BOXES))
        assert store.find("cd") is None
        store.record("ab", Verdict.CLEARED)
        assert store.find("ab").regions == ()
        with pytest.raises(ValueError, match="regions"):
            store.record("ab", Verdict.REJECTED, BOXES)
        assert store.verdict("ab") is Verdict.CLEARED


def test_a_decision_with_other_boxes_is_another():
    def mark(*regions):
        return Decision("ab", Verdict.CLEARED, "", "", regions).mark

    assert mark() == "ab"
    assert mark(*BOXES) == mark(*reversed(BOXES))
    assert len({mark(), mark(*BOXES), mark(BOXES[0]), mark(BOXES[1])}) == 4


def test_a_file_of_before_there_were_boxes_is_carried_on(tmp_path):
    path = tmp_path / "decisions.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE decisions (digest TEXT PRIMARY KEY, verdict TEXT NOT NULL, decided_at TEXT NOT NULL, "
            "role TEXT NOT NULL, ref INTEGER NOT NULL) WITHOUT ROWID"
        )
        database.execute("INSERT INTO decisions VALUES ('ab', 'cleared', '2026-01-02T03:04:05Z', 'radiologist', 3)")
    with DecisionStore(path) as one, DecisionStore(path) as other:
        assert one.find("ab") == Decision("ab", Verdict.CLEARED, "2026-01-02T03:04:05Z", "radiologist")
        one.record("cd", Verdict.CLEARED, BOXES)
        assert other.find("cd").regions == one.find("cd").regions != ()


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        "[]",
        [[0, 0, 5, 5]],
        [[0, 0, 5, 5, None, 1]],
        [[0, 0, 5.0, 5, None]],
        [[0, 0, True, 5, None]],
        [[0, 0, "5", 5, None]],
        [[0, 0, 5, 5, False]],
        [[0, 0, 5, 5, 2]],
        [[0, 0, 5, 5, -1]],
        [[-1, 0, 5, 5, None]],
        [[0, 0, 21, 5, None]],
        [[0, 0, 5, 11, None]],
        [[5, 0, 5, 5, None]],
        [[0, 5, 5, 4, None]],
        [[0, 0, 5, 5, None], None],
        [[0, 0, 5, 5, None]] * 201,
    ],
    ids=str,
)
def test_regions_from_outside_are_whole_pixels_of_the_picture(value):
    with pytest.raises(ValueError, match="region"):
        from_rows(value, rows=10, columns=20, frames=2)


def test_regions_go_out_and_come_back_as_they_are():
    regions = (Region(0, 0, 20, 10), Region(3, 4, 5, 6, 1))
    assert from_rows(to_rows(regions), rows=10, columns=20, frames=2) == regions
    assert from_rows(to_rows(regions[:1] * 200), rows=10, columns=20, frames=1) == regions[:1] * 200
