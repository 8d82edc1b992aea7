"""Images that come again → the studies of their case; nothing is guessed where that cannot be told."""

from __future__ import annotations

import os

import pydicom
import pytest

from bsti_submit.deid.profile import load_profile
from bsti_submit.deid.pseudonyms import SiteKey
from bsti_submit.errors import HeldError
from bsti_submit.outbox import Outbox
from bsti_submit.pipeline.prepared import Choices, prepare
from bsti_submit.pipeline.recognise import studies_of
from bsti_submit.pipeline.stream import Work
from bsti_submit.pipeline.submission import build_and_keep
from bsti_submit.sample import make_sample


@pytest.mark.parametrize("usable_number", [True, False])
def test_the_index_study_is_known_again_or_the_case_is_held(tmp_path, usable_number):
    folder = make_sample(tmp_path / "in", slices=1, size=64, prior=True, radiograph=False, extras=False).folder
    if not usable_number:
        for path in (path for path in folder.rglob("*") if path.is_file()):
            dataset = pydicom.dcmread(path)
            dataset.PatientID = "0"
            dataset.save_as(path)
    key, profile = SiteKey(os.urandom(32)), load_profile("bsti-default")

    def prepared():
        return prepare(folder, profile, key, lambda _: None)

    with Outbox(tmp_path / "home") as outbox:
        with prepared() as found:
            numbers = tuple(study.number for study in found.studies)
            assert len(numbers) == 2
            older = max(numbers)
            work = Work(found, key, None, compress=False)
            choices = Choices(numbers, frozenset(), any_body_part=True)
            tag = found.tag(numbers)
            built = build_and_keep(outbox, tag, found, work, choices, older, None, key, lambda _: None)
        case = outbox.get(built.package.case_id)
        with prepared() as again:
            if usable_number:
                assert studies_of(again, case) == (older, numbers)
            else:
                with pytest.raises(HeldError, match="cannot be told"):
                    studies_of(again, case)
