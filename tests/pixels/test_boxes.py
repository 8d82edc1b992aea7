"""Boxes on the review page: what the server takes, and drawing them in a real browser with mouse and keys."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
from PIL import Image

from bsti_submit.deid.pixels.decisions import Decision, Verdict
from bsti_submit.deid.pixels.regions import Region
from bsti_submit.deid.pixels.render import render
from bsti_submit.deid.pixels.review import ReviewServer
from bsti_submit.deid.pixels.review_items import ReviewItem
from bsti_submit.model import InstanceRef, Reason
from tests.pixels.browser import needs_browser, open_browser
from tests.pixels.test_review import Client, radiograph

pytestmark = [pytest.mark.server, pytest.mark.enable_socket]

SIDE = 300
NAME, DATE = Region(20, 10, 120, 30), Region(200, 280, 290, 295)


def item(number, *, frames=1, group="CR, series 1", **other):
    data = radiograph(number, side=SIDE, frames=frames)
    caption = f"CR image {number}"
    return ReviewItem(InstanceRef(number), caption, partial(render, data), Reason.NOT_LOOKED_AT, frames, group, **other)


def cleared(*regions):
    return Decision("ab", Verdict.CLEARED, "2026-01-02T03:04:05Z", "", regions)


class Desk:
    """A server with somebody at it."""

    def __init__(self, *items):
        self.kept = []
        self.review = ReviewServer(items, lambda *one: self.kept.append(one))
        self.client = Client(self.review)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.review.close()

    def open(self):
        self.client.open()
        return self

    def decide(self, verdict, regions, index=0):
        body = {"index": index, "verdict": verdict, "regions": regions}
        answer, data = self.client.ask("POST", "/decision", body, X_Review_Token=self.client.csrf)
        return answer.status, data


@contextmanager
def looked():
    with Desk(item(1), item(2, frames=2)).open() as made:
        for picture in ("0", "1?frame=0", "1?frame=1"):
            assert made.client.ask("GET", f"/picture/{picture}")[0].status == 200
        yield made


@pytest.fixture
def desk():
    with looked() as made:
        yield made


@pytest.fixture(scope="module")
def still():
    """One at which nothing is ever kept."""
    with looked() as made:
        yield made


def test_boxes_are_kept_with_the_clearance_and_go_with_it(desk):
    assert desk.decide("cleared", [[20, 10, 120, 30, None], [0, 0, SIDE, SIDE, 0]])[0] == 200
    assert desk.kept == [(InstanceRef(1), Verdict.CLEARED, (NAME, Region(0, 0, SIDE, SIDE, 0)))]
    assert desk.review.state()["items"][0]["regions"] == [[20, 10, 120, 30, None], [0, 0, SIDE, SIDE, 0]]
    assert desk.decide("", [])[0] == 200
    assert desk.kept[-1] == (InstanceRef(1), None, ())
    assert desk.review.state()["items"][0]["regions"] == []
    assert desk.decide("cleared", [[1, 2, 3, 4, 1]], 1)[0] == 200
    assert desk.kept[-1] == (InstanceRef(2), Verdict.CLEARED, (Region(1, 2, 3, 4, 1),))


@pytest.mark.parametrize(
    "regions",
    [
        None,
        0,
        False,
        {},
        "",
        7,
        "box",
        {"0": [1, 2, 3, 4, None]},
        [7],
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, None, 5]],
        [[1.5, 2, 3, 4, None]],
        [["1", 2, 3, 4, None]],
        [[True, 2, 3, 4, None]],
        [[1, 2, 3, 4, 1]],
        [[1, 2, 3, 4, -1]],
        [[1, 2, 3, 4, "0"]],
        [[-1, 2, 3, 4, None]],
        [[1, 2, SIDE + 1, 4, None]],
        [[1, 2, 3, SIDE + 1, None]],
        [[3, 2, 3, 4, None]],
        [[1, 4, 3, 2, None]],
        [[1, 2, 10**30, 4, None]],
        [[1, 2, 3, 4, None]] * 201,
        [[1, 2, 3, 4, None]] * 200 + [[1, 2, 3, 4, 5]],
    ],
    ids=lambda regions: str(regions)[:40],
)
def test_regions_that_are_none_of_this_picture_are_refused_and_nothing_is_kept(still, regions):
    assert still.decide("cleared", regions)[0] == 400
    assert still.decide("rejected", regions)[0] == 400
    assert still.kept == []
    assert still.review.verdicts == {}


def test_only_what_is_cleared_has_regions(still):
    for verdict in ("rejected", "left-out", ""):
        assert still.decide(verdict, [[1, 2, 3, 4, None]])[0] == 400
    assert still.kept == []


def test_as_many_and_as_long_numbers_as_there_may_be_are_taken(desk):
    regions = [[280, 280, SIDE, SIDE, None]] * 200
    assert desk.decide("cleared", regions)[0] == 200
    assert len(desk.kept[0][2]) == 200


def test_a_body_that_nests_without_end_is_refused(still):
    deep = b'{"index": 0, "verdict": "cleared", "regions": ' + b"[" * 15_000
    assert still.client.ask("POST", "/decision", deep, X_Review_Token=still.client.csrf)[0].status == 400
    assert still.kept == []


def test_boxes_clear_nothing_that_was_not_looked_at():
    with Desk(item(1)).open() as desk:
        assert desk.decide("cleared", [[1, 2, 3, 4, None]])[0] == 409
        assert desk.kept == []


def test_a_picture_is_cleared_only_after_the_search_for_text():
    asked = []

    def find():
        asked.append(1)
        return (NAME, DATE)

    with Desk(item(1, suggested=find)).open() as desk:
        desk.client.ask("GET", "/picture/0")
        assert desk.review.state()["items"][0]["search"] is True
        assert asked == []
        status, told = desk.decide("cleared", [])
        assert (status, desk.kept) == (409, [])
        assert b"searched" in told
        for _ in range(2):
            answer, found = desk.client.ask("GET", "/regions/0")
            assert answer.getheader("Cache-Control") == "no-store"
            assert found == b'{"regions": [[20, 10, 120, 30, null], [200, 280, 290, 295, null]]}'
        assert asked == [1]
        assert desk.decide("cleared", [[20, 10, 120, 30, None]])[0] == 200


def test_pictures_come_while_the_search_goes_on():
    go = threading.Event()

    def find():
        go.wait(10)
        return (NAME,)

    with Desk(item(1, suggested=find)).open() as desk:
        search = threading.Thread(target=desk.client.ask, args=("GET", "/regions/0"))
        search.start()
        assert desk.client.ask("GET", "/picture/0")[1].startswith(b"\x89PNG")
        assert desk.decide("left-out", [])[0] == 200
        go.set()
        search.join()


def test_a_search_that_fails_is_told_but_not_quoted():
    def find():
        raise RuntimeError("ZZNAME")

    with Desk(item(1, suggested=find)).open() as desk:
        desk.client.ask("GET", "/picture/0")
        answer, told = desk.client.ask("GET", "/regions/0")
        assert answer.status == 200
        assert b"failed" in told
        assert b"ZZ" not in told
        assert desk.decide("cleared", [])[0] == 200


def test_what_is_full_of_text_cannot_be_cleared():
    with Desk(item(1, suggested=lambda: (NAME,) * 201)).open() as desk:
        desk.client.ask("GET", "/picture/0")
        assert b"Too much" in desk.client.ask("GET", "/regions/0")[1]
        assert desk.decide("cleared", [])[0] == 409
        assert desk.decide("rejected", [])[0] == 200


def test_what_was_cleared_before_comes_with_its_boxes_and_is_not_searched_again():
    def find():
        raise AssertionError

    with Desk(item(1, suggested=find, decision=cleared(NAME))).open() as desk:
        (shown,) = desk.review.state()["items"]
        assert (shown["verdict"], shown["regions"], shown["search"]) == ("cleared", [[20, 10, 120, 30, None]], False)
        assert desk.client.ask("GET", "/regions/0")[1] == b'{"regions": []}'


def test_suggestions_are_for_the_session_alone(still):
    stranger = Client(still.review)
    assert stranger.ask("GET", "/regions/0")[0].status == 403
    assert still.client.ask("GET", "/regions/0", Host="evil.example")[0].status == 421
    assert still.client.ask("GET", "/regions/0", Sec_Fetch_Site="cross-site")[0].status == 403
    for nothing in ("7", "x", "-1", ""):
        assert still.client.ask("GET", f"/regions/{nothing}")[0].status == 404


def test_contrast_is_made_from_the_stored_values(still):
    plain = still.client.ask("GET", "/picture/0")[1]
    assert still.client.ask("GET", "/picture/0?level=0&width=1")[1] == plain
    assert still.client.ask("GET", "/picture/0?level=0.1&width=0.5")[1] != plain
    for wrong in ("level=nan", "level=99", "width=0", "width=-1", "width=inf", "width=x"):
        assert still.client.ask("GET", f"/picture/0?{wrong}")[0].status == 404


def test_series_with_something_held_come_first_and_stay_together():
    calm = ReviewItem(InstanceRef(1), "", partial(render, b""), None, group="A")
    other = ReviewItem(InstanceRef(2), "", partial(render, b""), None, group="B")
    with Desk(calm, other, item(3, group="B"), item(4, group="C"), item(5, group="B")) as desk:
        assert [one.ref.number for one in desk.review.items] == [3, 5, 2, 4, 1]


READY = "!document.querySelector('button.clear').disabled"
CHOSEN = "document.getElementById('ref').textContent === arguments[0]"
COUNT = "document.querySelectorAll('#paper .box').length === arguments[0]"
TAB, SHIFT, DELETE = "\ue004", "\ue008", "\ue017"
LEFT, UP, RIGHT, DOWN = "\ue012", "\ue013", "\ue014", "\ue015"


@pytest.fixture(scope="module")
def browser():
    with open_browser() as made:
        yield made


class Page:
    """The page in a browser, with pictures' pixels as the mouse finds them."""

    def __init__(self, browser, review):
        self.browser = browser
        browser.go(review.url)
        browser.until("document.querySelector('.thumb') && document.getElementById('large').naturalWidth > 0")

    def at(self, x, y):
        left, top, width, natural = self.browser.run(
            "const b = document.getElementById('paper').getBoundingClientRect();"
            "return [b.left, b.top, b.width, document.getElementById('large').naturalWidth]"
        )
        return left + x * width / natural, top + y * width / natural

    def words(self):
        return self.browser.text("button.clear").replace("\n", " ")

    def boxes(self):
        """Where the boxes are on the screen, in the picture's pixels."""
        return self.browser.run(
            "const p = document.getElementById('paper').getBoundingClientRect();"
            "const s = document.getElementById('large').naturalWidth / p.width;"
            "return [...document.querySelectorAll('#paper .box')].map(e => { const b = e.getBoundingClientRect();"
            " const w = parseFloat(getComputedStyle(e).borderLeftWidth);"
            " return [b.left + w - p.left, b.top + w - p.top, b.right - w - p.left, b.bottom - w - p.top]"
            ".map(v => v * s) })"
        )


def near(region, left, top, right, bottom, by=2):
    return np.allclose([region.left, region.top, region.right, region.bottom], [left, top, right, bottom], atol=by)


@needs_browser
def test_a_box_is_drawn_moved_resized_removed_and_brought_back_with_the_mouse(browser):
    with Desk(item(1), item(2)) as desk:
        page = Page(browser, desk.review)
        browser.until(READY)
        assert "No: clear it" in page.words()
        browser.drag(page.at(40, 60), page.at(100, 80), page.at(160, 90))
        browser.until(COUNT, 1)
        assert "Blank 1 box and clear" in page.words()
        browser.drag(page.at(100, 75), page.at(120, 90), page.at(120, 125))  # moved by (20, 50)
        browser.drag(page.at(180, 140), page.at(190, 150), page.at(220, 160))  # by its corner
        browser.drag(page.at(200, 250), page.at(290, 290))
        browser.until(COUNT, 2)
        browser.click("#delete-box")
        browser.until(COUNT, 1)
        browser.click("#actions button[data-verdict='']")  # undo
        browser.until(COUNT, 2)
        browser.click("#next-box")
        browser.drag(page.at(245, 270))  # chooses it
        browser.key(DELETE)
        browser.until(COUNT, 1)
        (seen,) = page.boxes()
        browser.click("button.clear")
        browser.until(CHOSEN, "#000002")
        ((ref, verdict, (region,)),) = desk.kept
        assert (ref.number, verdict, region.frame) == (1, Verdict.CLEARED, None)
        assert near(region, 60, 110, 220, 160)
        assert near(region, *seen, by=0.6)  # what was seen is what is blanked
        # decided: its boxes stay as they are until that is taken back
        browser.key(LEFT)
        browser.until(CHOSEN, "#000001")
        browser.until("document.getElementById('thumb-0').textContent.includes('1 box')")
        browser.until("document.getElementById('large').complete")
        browser.drag(page.at(20, 20), page.at(60, 60))
        browser.until("document.getElementById('message').textContent.includes('undo')")
        assert len(page.boxes()) == 1
        browser.key("u")
        browser.until(READY)
        browser.key("t")
        browser.key(DELETE)
        browser.key("c")
        browser.until(CHOSEN, "#000002")
        assert desk.kept[1:] == [(InstanceRef(1), None, ()), (InstanceRef(1), Verdict.CLEARED, ())]


@needs_browser
def test_boxes_are_drawn_and_shaped_with_keys_alone(browser):
    with Desk(item(1), item(2)) as desk:
        page = Page(browser, desk.review)
        browser.until(READY)
        browser.key("b")
        browser.until(COUNT, 1)
        ((left, top, right, bottom),) = page.boxes()
        assert near(Region(0, 0, SIDE, SIDE), left + right - SIDE, top + bottom - SIDE, SIDE, SIDE)  # in the middle
        for key in (LEFT, UP, UP):
            browser.key(key)
        for key in (RIGHT, RIGHT, DOWN):
            browser.hold(SHIFT, key)
        step = round((page.at(100, 0)[0] - page.at(0, 0)[0]) / 100)
        step = max(1, round(4 / step))
        expected = (left - step, top - 2 * step, right + step, bottom - step)
        browser.key("b")
        browser.until(COUNT, 2)
        browser.key(DELETE)
        browser.until(COUNT, 1)
        browser.key(TAB)
        browser.until("document.activeElement.matches('.box.chosen')")
        assert browser.run("return document.activeElement.getAttribute('aria-label')") == "Box 1 of 1, drawn"
        browser.key("\ue00c")  # Escape
        browser.until("!document.querySelector('.box.chosen')")
        browser.key("u")  # the deletion
        browser.until(COUNT, 2)
        browser.hold("\ue009", "z")  # and the second box
        browser.until(COUNT, 1)
        browser.key("c")
        browser.until(CHOSEN, "#000002")
        ((_, _, (region,)),) = desk.kept
        assert near(region, *expected, by=1)
        browser.key("?")
        browser.until("document.getElementById('keys').open")
        browser.key("c")  # the keys wait behind it
        browser.key("\ue00c")
        browser.until("!document.getElementById('keys').open")
        assert len(desk.kept) == 1
    assert browser.console() == []


@needs_browser
def test_suggestions_that_come_late_are_waited_for_and_survive_an_undo(browser, tmp_path):
    go = threading.Event()

    def find():
        go.wait(10)
        return (NAME, DATE, Region(SIDE - 5, 100, SIDE + 40, 110), Region(SIDE + 1, 0, SIDE + 9, 5))

    with Desk(item(1, suggested=find), item(2)) as desk:
        page = Page(browser, desk.review)
        try:
            browser.until("!document.getElementById('searching').hidden")
            assert browser.text("#found") == "Looking for text…"
            browser.key("c")
            browser.until("document.getElementById('message').textContent.includes('still')")
            browser.key("b")  # usable meanwhile
            browser.until(COUNT, 1)
            browser.screenshot(tmp_path / "searching.png")
        finally:
            go.set()
        browser.until(COUNT, 4)
        assert browser.text("#found") == "4 boxes, 3 suggested"
        assert max(right for _, _, right, _ in page.boxes()) < SIDE + 0.5
        browser.key("u")
        browser.until(COUNT, 3)
        assert "Blank 3 boxes and clear" in page.words()
        browser.key("c")
        browser.until(CHOSEN, "#000002")
        assert desk.kept == [(InstanceRef(1), Verdict.CLEARED, (NAME, DATE, Region(SIDE - 5, 100, SIDE, 110)))]
    assert browser.console() == []


@needs_browser
def test_a_search_that_failed_or_found_too_much_is_said(browser):
    def find():
        raise RuntimeError

    with Desk(item(1, suggested=find), item(2, suggested=lambda: (NAME,) * 201)) as desk:
        Page(browser, desk.review)
        browser.until("document.getElementById('found').textContent.includes('failed')")
        browser.until(READY)
        browser.key("c")
        browser.until(CHOSEN, "#000002")
        browser.until("document.getElementById('found').textContent.includes('Too much')")
        browser.until(READY)
        browser.key("c")
        browser.until("document.getElementById('message').textContent.includes('Too much')")
        assert len(desk.kept) == 1
    assert [line for line in browser.console() if "409" not in line] == []


@needs_browser
def test_the_preview_blacks_the_boxes_out_and_both_sizes_fit(browser, tmp_path):
    with Desk(item(1, suggested=lambda: (NAME, DATE))) as desk:
        page = Page(browser, desk.review)
        browser.until(COUNT, 2)
        browser.key("p")
        browser.until("document.querySelector('#paper.preview')")
        for name, size in {"wide": (1280, 943), "narrow": (720, 900)}.items():
            browser.resize(*size)
            browser.until("window.innerWidth === arguments[0]", size[0])
            browser.until(
                "document.getElementById('paper').offsetWidth <= document.getElementById('stage').offsetWidth"
            )
            assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
            browser.screenshot(tmp_path / f"{name}.png")
            shown = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")).astype(int)
            left, top = map(round, page.at(20, 10))
            right, bottom = map(round, page.at(120, 30))
            assert shown[top + 1 : bottom - 1, left + 1 : right - 1].max() == 0
            assert shown[top + 1 : bottom - 1, right + 3 : right + 40].mean() > 20
        browser.resize(1280, 943)
        browser.key("p")
        browser.until("!document.querySelector('#paper.preview')")


@needs_browser
def test_a_box_is_of_one_frame_or_of_all(browser):
    with Desk(item(1, frames=3), item(2)) as desk:
        page = Page(browser, desk.review)
        number = "document.getElementById('frame-number').textContent === arguments[0]"
        browser.until(READY)
        browser.key("b")
        browser.until(COUNT, 1)
        label = "return document.querySelector('.box').getAttribute('aria-label')"
        assert browser.run(label) == "Box 1 of 1, drawn, in all frames"
        browser.key("\ue00c")
        browser.key(DOWN)
        browser.until(number, "2 of 3")
        browser.until(READY)
        assert len(page.boxes()) == 1
        browser.drag(page.at(10, 10), page.at(50, 30))
        browser.click("#every-frame")
        browser.until("document.getElementById('every-frame').getAttribute('aria-pressed') === 'false'")
        browser.key("\ue00c")
        browser.wheel(*page.at(150, 150), 120)
        browser.until(number, "3 of 3")
        browser.until(READY)
        assert len(page.boxes()) == 1
        assert browser.text("#found") == "2 boxes, 0 suggested · 1 in other frames"
        browser.key("t")
        browser.key("t")
        browser.until(number, "2 of 3")
        browser.until(COUNT, 2)
        browser.until(READY)
        browser.key("c")
        browser.until(CHOSEN, "#000002")
        ((_, _, regions),) = desk.kept
        assert [region.frame for region in regions] == [None, 1]
        assert near(regions[1], 10, 10, 50, 30)


@needs_browser
def test_a_series_is_scrolled_through_and_contrast_dragged(browser):
    with Desk(item(1, group="CT 1"), item(2, group="CT 1"), item(3, group="CT 2")) as desk:
        page = Page(browser, desk.review)
        source = "return document.getElementById('large').src"
        browser.until(READY)
        x, y = page.at(150, 150)
        browser.drag((x, y), (x, y - 60), (x, y - 150), button=2)
        browser.until("document.getElementById('large').src.includes('width=0.5')")
        browser.until("!document.getElementById('reset').hidden")
        browser.until(
            "document.getElementById('large').complete && document.getElementById('large').style.filter === ''"
        )
        assert len(page.boxes()) == 0
        browser.wheel(x, y, 120)
        browser.until(CHOSEN, "#000002")
        assert "width=0.5" in browser.run(source)  # a series is gone through in one window
        browser.wheel(x, y, 120)  # its end
        browser.key(UP)
        browser.until(CHOSEN, "#000001")
        browser.key("0")
        browser.until("document.getElementById('reset').hidden")
        browser.until("!document.getElementById('large').src.includes('width')")
        browser.key("+")
        browser.until("document.getElementById('large').src.includes('width=0.8')")
        browser.key(".")
        browser.until("document.getElementById('large').src.includes('level=-0.08')")
        browser.key(RIGHT)
        browser.until(CHOSEN, "#000002")
        assert "width" not in browser.run(source)
    assert browser.console() == []


@needs_browser
def test_a_held_radiograph_with_suggestions_takes_one_key_or_one_click(browser):
    """The person's own looking comes on top; nothing but one stroke a picture is asked of the hand."""

    def find():
        time.sleep(0.3)
        return (NAME, DATE)

    with Desk(*(item(number, suggested=find) for number in (1, 2, 3))) as desk:
        began = time.monotonic()
        Page(browser, desk.review)
        browser.until(READY)
        browser.key("c")
        browser.until(CHOSEN, "#000002")
        browser.until(READY)
        browser.click("button.clear")
        browser.until(CHOSEN, "#000003")
        browser.until(READY)
        browser.key("t")  # the first suggestion is a marker: two strokes more
        browser.key(DELETE)
        browser.key("c")
        browser.until("document.getElementById('progress').textContent.startsWith('All decided')")
        browser.key("\ue007")  # Enter: done
        assert desk.review.wait(5)
        assert time.monotonic() - began < 20
    assert [(ref.number, regions) for ref, _, regions in desk.kept] == [
        (1, (NAME, DATE)),
        (2, (NAME, DATE)),
        (3, (DATE,)),
    ]
