"""What a site sets: its own hospital numbers, its private elements; and files of kinds that are not sent."""

from __future__ import annotations

import io
import json

import pydicom
import pytest

from bsti_submit.deid.engine import Engine
from bsti_submit.deid.profile import export_allow_list, load_profile
from bsti_submit.deid.pseudonyms import SiteKey, random_scope
from bsti_submit.deid.words import KnownWords
from bsti_submit.errors import SettingsError
from bsti_submit.model import Form, Outcome, Reason
from bsti_submit.pipeline.prepared import Choices, prepare
from bsti_submit.registry.catalogue import parse_allow_list
from bsti_submit.sample import make_sample
from bsti_submit.settings import read_site_file
from tests.deid.slices import ct_dataset, written

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what is planted on purpose


def test_the_sites_own_hospital_numbers_go_and_are_held():
    default = load_profile("bsti-default")
    site = default.for_site("[A-Z]{2}[0-9]{3}")
    dataset = ct_dataset(rows=8, private=False)
    dataset.SeriesDescription = "CT chest FC555 contrast"
    cleaned = []
    for profile in (default, site):
        staged = Engine(profile).deidentify(written(dataset), random_scope(), KnownWords())
        out = b"".join(bytes(chunk) for chunk in staged.payload().chunks())
        cleaned.append(str(pydicom.dcmread(io.BytesIO(out)).SeriesDescription))
    assert cleaned[1] == "CT chest contrast"
    assert not default.find_identifiers("CT fc123 chest")
    assert [kind for kind, *_ in site.find_identifiers("CT fc123 chest")] == ["hospital-number"]
    assert default.for_site("") is default


def test_a_nation_that_is_not_named_is_not_looked_for_but_what_is_of_none_is():
    profile = load_profile("bsti-default")
    assert "age" in profile.looked_for
    assert set(profile.patterns) < profile.looked_for


def test_a_pattern_that_is_none_is_a_mistake_of_the_site_file(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text('hospital_number_pattern = "[A-Z"')
    with pytest.raises(SettingsError) as raised:
        read_site_file(path)
    assert "hospital_number_pattern" in raised.value.details[0]


def test_a_broken_file_of_a_kind_that_is_not_sent_is_left_out(tmp_path):
    make_sample(tmp_path, slices=1, size=32, radiograph=False)
    report = next(path for path in tmp_path.rglob("*.dcm") if "SR" in path.parts)
    whole = report.read_bytes()
    broken = whole.replace(b"\x08\x00\x18\x00UI", b"\x08\x00\x19\x00UI", 1)
    report.write_bytes(broken)
    with prepare(tmp_path, load_profile("bsti-default"), SiteKey(bytes(32)), lambda event: None) as prepared:
        found = prepared.select(Choices())
        assert any(rejection.reason is Reason.MISSING_IDENTITY for rejection in prepared.survey.rejections)
    told = {(rejection.outcome, rejection.reason) for rejection in found.rejections}
    assert (Outcome.LEFT_OUT, Reason.STRUCTURED_REPORT) in told
    assert all(outcome is Outcome.LEFT_OUT for outcome, _ in told)


def test_the_registry_reads_what_was_exported_literals_classes_and_private_elements(tmp_path):
    for name in ("recipe.dicom", "profile.toml"):
        (tmp_path / name).write_text(
            {
                "recipe.dicom": 'FORMAT dicom\n%header\nKEEP 0019,"ACME 1.0",0A\n',
                "profile.toml": 'name = "site"\nversion = "2"\ntitle = "t"\nextends = "bsti-default"\n'
                'recipe = "recipe.dicom"\noptions = ["113100", "113105", "113107", "113111"]\n'
                'retained_creators = ["ACME 1.0"]\n',
            }[name]
        )
    profile = load_profile(str(tmp_path))
    known = parse_allow_list(json.loads(json.dumps(export_allow_list(profile))))
    assert known.allow_list == profile.allow_list()
    assert known.sop_classes == frozenset(profile.eligible)
    assert known.allow_list.elements[0x00120062].literals == {"YES"}
    assert Form.KEEP in known.allow_list.private[0x0019, "ACME 1.0", 0x0A].forms
