"""The review page: who gets in, what is decided, how it ends; then real clicks in a real browser."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from functools import partial
from urllib.parse import urlsplit

import numpy as np
import pytest

from bsti_submit.deid.pixels.decisions import Verdict
from bsti_submit.deid.pixels.render import render
from bsti_submit.deid.pixels.review import Ended, Mode, ReviewServer
from bsti_submit.deid.pixels.review_items import ReviewItem
from bsti_submit.model import InstanceRef, Reason
from tests.intake.factory import CR, dataset, encode
from tests.pixels.browser import needs_browser, open_browser

pytestmark = [pytest.mark.server, pytest.mark.enable_socket]


def radiograph(number, side=64, frames=1):
    y, x = np.mgrid[:side, :side]
    picture = (2000 + 1500 * np.sin(x / (4 + number)) * np.cos(y / 9)).astype("<u2")
    return encode(dataset(number, sop_class=CR, side=side, NumberOfFrames=frames, PixelData=picture.tobytes() * frames))


def item(number, *, data=None, frames=1, reason=Reason.NOT_LOOKED_AT, **other):
    data = data or radiograph(number, frames=frames)
    return ReviewItem(
        InstanceRef(number),
        f"CR image {number}",
        partial(render, data),
        reason,
        frames=frames,
        group="CR, series 1",
        **other,
    )


class Client:
    """A browser without the browser."""

    def __init__(self, review):
        self.review = review
        self.address = urlsplit(review.url).netloc
        self.cookie = ""
        self.csrf = ""

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(*self.address.split(":"), timeout=10)
        sent = {"Cookie": self.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body), sent)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def open(self):
        answer, _ = self.ask("GET", urlsplit(self.review.url).path)
        self.cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
        page = self.ask("GET", "/")[1].decode()
        found = re.search(r'name="review-token" content="([^"]+)"', page)
        self.csrf = found[1] if found else ""
        return answer

    def decide(self, index, verdict, **headers):
        answer, data = self.ask(
            "POST", "/decision", {"index": index, "verdict": verdict}, X_Review_Token=self.csrf, **headers
        )
        return answer.status, data


@pytest.fixture
def review():
    kept = []
    with ReviewServer([item(1), item(2, frames=2), item(3, clearable=False)], lambda *one: kept.append(one)) as made:
        made.kept = kept
        yield made


@pytest.fixture
def client(review):
    made = Client(review)
    made.open()
    return made


def test_it_listens_on_loopback_alone(review):
    assert review.url.startswith("http://127.0.0.1:")
    assert review._server.server_address[0] == "127.0.0.1"


def test_the_link_works_once_and_leaves_a_strict_cookie(review):
    first = Client(review)
    answer = first.open()
    assert answer.status == 303
    assert answer.getheader("Location") == "/"
    cookie = answer.getheader("Set-Cookie")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert urlsplit(review.url).path.removeprefix("/open/") not in cookie
    assert first.ask("GET", "/")[0].status == 200
    second = Client(review)
    assert second.open().status == 403
    assert second.ask("GET", "/picture/0")[0].status == 403


def test_a_new_link_ends_the_old_session(review, client):
    review.new_url()
    assert client.ask("GET", "/state")[0].status == 403
    fresh = Client(review)
    fresh.open()
    assert fresh.ask("GET", "/state")[0].status == 200


@pytest.mark.parametrize("path", ["/", "/state", "/picture/0", "/review.js", "/decision"])
@pytest.mark.parametrize("cookie", ["", "bsti_review=wrong", 'bsti_review="', "x=y"])
def test_without_the_session_nothing_is_shown(review, path, cookie):
    stranger = Client(review)
    stranger.cookie = cookie
    answer, body = stranger.ask("GET", path)
    assert answer.status == 403
    assert b"PNG" not in body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "169.254.1.1", ""])
def test_another_host_name_is_refused(client, host):
    assert client.ask("GET", "/state", Host=host)[0].status == 421
    assert client.ask("POST", "/done", {}, Host=host, X_Review_Token=client.csrf)[0].status == 421


def test_a_request_from_another_site_is_refused(review, client):
    assert client.ask("GET", "/picture/0", Sec_Fetch_Site="cross-site")[0].status == 403
    assert client.decide(0, "rejected", Origin="http://evil.example")[0] == 403
    client.csrf = "wrong"
    assert client.decide(0, "rejected")[0] == 403
    assert client.ask("POST", "/done", {})[0].status == 403
    assert review.ended is None
    assert review.kept == []


@pytest.mark.parametrize("path", ["/", "/state", "/picture/0", "/review.css", "/nothing", "/open/wrong"])
def test_every_answer_is_uncacheable_and_closed_in(client, path):
    answer, _ = client.ask("GET", path)
    assert answer.getheader("Cache-Control") == "no-store"
    assert "default-src 'none'" in answer.getheader("Content-Security-Policy")
    assert answer.getheader("Referrer-Policy") == "no-referrer"
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert "Python" not in (answer.getheader("Server") or "")


def test_the_page_asks_nothing_of_the_outside(client):
    for path in ("/", "/review.js", "/boxes.js", "/mouse.js", "/view.js", "/review.css"):
        assert not re.search(rb"https?:|//[a-z]", client.ask("GET", path)[1].replace(b"// ", b""))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_other_methods_are_not_understood(client, method):
    assert client.ask(method, "/state")[0].status == 501


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"index": 0},
        {"index": -1, "verdict": "cleared"},
        {"index": 99, "verdict": ""},
        {"index": 0, "verdict": "x"},
        [1],
    ],
)
def test_a_malformed_decision_is_refused(review, client, body):
    assert client.ask("POST", "/decision", body, X_Review_Token=client.csrf)[0].status == 400
    assert review.kept == []


def test_a_long_or_endless_body_is_not_read(client):
    assert client.ask("POST", "/decision", "x" * 20_000, X_Review_Token=client.csrf)[0].status == 400
    assert client.ask("GET", "/picture/99")[0].status == 404
    assert client.ask("GET", "/picture/x")[0].status == 404
    assert client.ask("GET", "/../../etc/passwd")[0].status == 404


def test_a_picture_must_be_seen_in_full_before_it_is_cleared(review, client):
    client.ask("GET", "/picture/0?size=small")
    assert client.decide(0, "cleared")[0] == 409
    assert client.ask("GET", "/picture/0")[1].startswith(b"\x89PNG")
    assert client.decide(0, "cleared")[0] == 200
    assert review.verdicts == {InstanceRef(1): Verdict.CLEARED}
    assert review.kept == [(InstanceRef(1), Verdict.CLEARED, ())]


def test_every_frame_must_be_seen(client):
    client.ask("GET", "/picture/1?frame=0")
    status, body = client.decide(1, "cleared")
    assert status == 409
    assert b"every frame" in body
    client.ask("GET", "/picture/1?frame=1")
    assert client.decide(1, "cleared")[0] == 200


def test_what_may_not_be_cleared_can_be_rejected_left_out_and_taken_back(review, client):
    client.ask("GET", "/picture/2")
    assert client.decide(2, "cleared")[0] == 409
    assert client.decide(2, "rejected")[0] == 200
    assert client.decide(2, "left-out")[0] == 200
    assert client.decide(2, "")[0] == 200
    assert review.verdicts == {}
    assert review.kept[-1] == (InstanceRef(3), None, ())


def test_what_cannot_be_shown_cannot_be_cleared():
    with ReviewServer([item(1, data=b"ZZNAME is no picture" * 50)]) as review:
        client = Client(review)
        client.open()
        assert client.ask("GET", "/picture/0")[1].startswith(b"\x89PNG")
        assert client.decide(0, "cleared")[0] == 409


def test_a_store_that_fails_is_told_but_not_quoted(capfd):
    def fail(ref, verdict, regions):
        raise OSError("ZZNAME /home/zz")

    with ReviewServer([item(1)], fail) as review:
        client = Client(review)
        client.open()
        status, body = client.decide(0, "rejected")
        assert (status, review.verdicts) == (500, {})
        assert b"ZZ" not in body
    assert capfd.readouterr() == ("", "")


def test_a_renderer_that_fails_is_told_but_not_quoted():
    def fail(**options):
        raise ValueError("ZZNAME")

    with ReviewServer([ReviewItem(InstanceRef(1), "x", fail)]) as review:
        client = Client(review)
        client.open()
        answer, body = client.ask("GET", "/picture/0")
        assert answer.status == 500
        assert b"ZZ" not in body


def test_nothing_is_logged(capfd, client):
    client.ask("GET", "/state")
    client.ask("GET", "/nothing")
    with socket.create_connection(tuple(client.address.split(":"))) as raw:
        raw.sendall(b"GARBAGE ZZNAME\r\n\r\n")
        assert b"ZZNAME" not in raw.recv(4096)
    assert capfd.readouterr() == ("", "")


def test_it_ends_when_the_person_is_done(review, client):
    assert review.wait(0.01) is None
    assert client.ask("POST", "/done", {}, X_Review_Token=client.csrf)[0].status == 200
    assert review.wait(5) is Ended.DONE
    review.close()
    assert review.ended is Ended.DONE
    with pytest.raises(OSError):
        client.ask("GET", "/state")


def test_it_ends_when_nobody_comes():
    with ReviewServer([item(1)], idle_seconds=0.1) as review:
        assert review.wait(5) is Ended.IDLE


def test_held_pictures_come_first():
    with ReviewServer([item(1, reason=None), item(2)]) as review:
        assert [str(one.ref) for one in review.items] == ["#000002", "#000001"]


def test_neither_the_items_nor_the_server_show_pictures_in_their_repr():
    assert "PNG" not in repr(item(1))
    assert "functools" not in repr(item(1))


@pytest.fixture(scope="module")
def browser():
    with open_browser() as made:
        yield made


READY = "!document.querySelector('button.clear').disabled"
CHOSEN = "document.getElementById('ref').textContent === arguments[0]"


@needs_browser
def test_clicks_and_keys_decide_about_held_radiographs(browser, tmp_path):
    kept = []
    items = [item(1), item(2), item(3), item(4, frames=2), item(5, data=b"broken" * 100)]
    with ReviewServer(items, lambda *one: kept.append(one)) as review:
        browser.go(review.url)
        assert browser.address().endswith("/")
        began = time.monotonic()
        browser.until(READY)
        browser.click("button.clear")
        assert time.monotonic() - began < 20
        browser.until(CHOSEN, "#000002")
        browser.until(READY)
        browser.key("f")
        browser.until("document.getElementById('full').getAttribute('aria-pressed') === 'true'")
        browser.click("#zoom")
        browser.until("document.getElementById('stage').classList.contains('zoomed')")
        browser.screenshot(tmp_path / "zoomed.png")
        browser.key("r")
        browser.until(CHOSEN, "#000003")
        browser.key("u")  # nothing to take back: nothing happens
        browser.key("l")
        browser.until(CHOSEN, "#000004")
        browser.key("\ue012")  # arrow left
        browser.until(CHOSEN, "#000003")
        browser.key("u")
        browser.until("document.getElementById('thumb-2').textContent.includes('held')")
        browser.key("l")
        browser.until(CHOSEN, "#000004")
        browser.until(READY)
        browser.key("c")
        browser.until("document.getElementById('message').textContent.includes('every frame')")
        browser.key("\ue015")  # arrow down: the next frame
        browser.until("document.getElementById('frame-number').textContent === '2 of 2'")
        browser.until(READY)
        browser.key("c")
        browser.until(CHOSEN, "#000005")
        browser.until(READY)
        browser.key("c")
        browser.until("document.getElementById('message').textContent.includes('cannot be shown')")
        browser.click("#done")
        assert "stays held" in browser.accept_alert()
        assert review.wait(5) is Ended.DONE
        browser.until("!document.getElementById('over').hidden")
    assert [(ref.number, verdict) for ref, verdict, _ in kept] == [
        (1, Verdict.CLEARED),
        (2, Verdict.REJECTED),
        (3, Verdict.LEFT_OUT),
        (3, None),
        (3, Verdict.LEFT_OUT),
        (4, Verdict.CLEARED),
    ]
    assert (tmp_path / "zoomed.png").stat().st_size > 10_000
    # the two refusals above are the only complaints: nothing was blocked, nothing was missing
    assert [line for line in browser.console() if "409" not in line] == []


@needs_browser
def test_the_page_can_be_worked_without_seeing_it(browser):
    with ReviewServer([item(1), item(2)]) as review:
        browser.go(review.url)
        browser.until(READY)
        unnamed = browser.run(
            "return [...document.querySelectorAll('button, input, nav, section')]"
            ".filter(e => !e.hidden && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))"
            ".map(e => e.outerHTML)"
        )
        assert unnamed == []
        assert browser.run("return document.documentElement.lang") == "en-GB"
        assert browser.run("return document.getElementById('large').alt").startswith("#000001")
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
        for _ in range(3):
            browser.key("\ue004")
        assert browser.run("return document.activeElement.matches(':focus-visible')")


@needs_browser
def test_the_last_look_shows_what_is_sent(browser, tmp_path):
    notes = ["2 images and the clinical record", "To: <b>registry</b>"]
    items = [item(1, reason=None), item(2, reason=None)]
    with ReviewServer(items, mode=Mode.LAST_LOOK, notes=notes) as review:
        browser.go(review.url)
        browser.until("document.querySelectorAll('.thumb').length === 2")
        browser.until("[...document.images].every(e => e.complete)")
        assert browser.text("#notes").splitlines() == notes
        assert not browser.run("return document.getElementById('actions').checkVisibility()")
        browser.key("c")  # nothing to decide here
        browser.screenshot(tmp_path / "last.png")
        browser.click("#done")
        assert review.wait(5) is Ended.DONE
        assert review.verdicts == {}
    assert browser.console() == []
