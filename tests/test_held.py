"""Held pictures of a folder on the review page: what is decided there holds for these pixels, boxes included."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from bsti_submit.cli.held import review_held
from bsti_submit.cli.output import console
from bsti_submit.cli.person import Person
from bsti_submit.deid.pixels.decisions import DecisionStore, Verdict
from bsti_submit.deid.pixels.regions import Region
from bsti_submit.deid.pixels.review import ReviewServer
from bsti_submit.deid.profile import load_profile
from bsti_submit.deid.pseudonyms import SiteKey
from bsti_submit.model import Certified, Outcome
from bsti_submit.pipeline.prepared import Choices, prepare
from bsti_submit.pipeline.stream import Work
from tests.intake.factory import CR, dataset, put
from tests.pixels.test_review import Client

pytestmark = [pytest.mark.server, pytest.mark.enable_socket]

KEY = SiteKey(bytes(range(32)))
BOX = Region(2, 3, 12, 9)


def picture(number, series="1", **attributes):
    values = np.random.default_rng(number).integers(0, 4096, (16, 16)).astype("<u2")
    return dataset(number, sop_class=CR, series=series, **{"PixelData": values.tobytes(), **attributes})


class AtThePage(Person):
    """Somebody who decides over HTTP, as the page does."""

    def __init__(self, verdict, regions):
        super().__init__(console())
        self.verdict, self.regions, self.items = verdict, regions, []

    def look_first(self, items, on_decision, count):
        with ReviewServer(items, on_decision) as server:
            self.items = server.state()["items"]
            client = Client(server)
            client.open()
            for index, item in enumerate(server.items):
                for frame in range(item.frames):
                    client.ask("GET", f"/picture/{index}?frame={frame}")
                client.ask("GET", f"/regions/{index}")
                body = {"index": index, "verdict": self.verdict, "regions": self.regions}
                assert client.ask("POST", "/decision", body, X_Review_Token=client.csrf)[0].status == 200


@contextmanager
def at_work(folder, state):
    profile = load_profile("bsti-default")
    with (
        prepare(folder, profile, KEY, lambda event: None) as prepared,
        DecisionStore(state / "decisions.sqlite") as decided,
    ):
        yield prepared, Work(prepared, KEY, decided, compress=False)


def look(prepared, work, verdict="cleared", regions=([2, 3, 12, 9, None],), **how):
    person = AtThePage(verdict, list(regions))
    looked = review_held(prepared, work, Choices(), person, lambda event: None, **how)
    return looked, person.items


def test_boxes_are_kept_for_these_pixels_and_shown_again(tmp_path):
    folder = tmp_path / "study"
    put(folder / "a", picture(1))
    with at_work(folder, tmp_path) as (prepared, work):
        looked, (item,) = look(prepared, work)
        assert (looked.shown, looked.held, looked.left_out) == (1, (), frozenset())
        assert (item["search"], item["verdict"]) == (True, "")
        (instance,) = prepared.survey.instances
        staged = work.stage(instance)
        assert work.looking.decision(staged).regions == (BOX,)
        assert work.looking.decision(staged).verdict is Verdict.CLEARED
    with at_work(folder, tmp_path) as (prepared, work):
        assert look(prepared, work)[0].shown == 0
        _, (item,) = look(prepared, work, regions=[], everything=True)
        assert (item["search"], item["verdict"], item["regions"]) == (False, "cleared", [[2, 3, 12, 9, None]])
        assert work.looking.decision(staged).regions == ()
    put(folder / "a", picture(1, PixelData=bytes(512)))
    with at_work(folder, tmp_path) as (prepared, work):
        (instance,) = prepared.survey.instances
        assert work.looking.decision(work.stage(instance)) is None


def test_what_is_to_be_blanked_never_leaves_as_it_is(tmp_path):
    put(tmp_path / "study" / "a", picture(1))
    with at_work(tmp_path / "study", tmp_path) as (prepared, work):
        (instance,) = prepared.survey.instances
        stored = b"".join(map(bytes, work.stage(instance).pixels.blocks()))
        look(prepared, work, regions=[])
        whole = work.certify(instance)
        assert isinstance(whole, Certified)
        assert stored in b"".join(map(bytes, whole.payload.chunks()))
        plain = work.cleared[instance.ref]
        look(prepared, work, everything=True)
        outcome = work.certify(instance)
        if isinstance(outcome, Certified):
            assert stored not in b"".join(map(bytes, outcome.payload.chunks()))
            assert work.cleared[instance.ref] != plain
        else:
            assert outcome.outcome is Outcome.HELD


def test_a_series_comes_together_in_the_order_of_its_images(tmp_path):
    folder = tmp_path / "study"
    for name, number, series in (("a", 10, "1"), ("b", 5, "2"), ("c", 9, "1"), ("d", 2, "1")):
        put(folder / name, picture(number, series))
    put(folder / "e", picture(3, "1", NumberOfFrames=2, PixelData=bytes(1024)))
    with at_work(folder, tmp_path) as (prepared, work):
        looked, items = look(prepared, work, "left-out", [])
        assert [item["group"] for item in items] == ["Series 1, CR"] * 4 + ["Series 2, CR"]
        numbers = {one.ref: one.instance_number.reveal() for one in prepared.survey.instances}
        order = [numbers[one.ref] for item in items for one in prepared.survey.instances if str(one.ref) == item["ref"]]
        assert order == ["2", "3", "9", "10", "5"]
        assert [item["frames"] for item in items] == [1, 2, 1, 1, 1]
        assert len(looked.left_out) == 5
