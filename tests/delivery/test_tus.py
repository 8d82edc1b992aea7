from __future__ import annotations

import copy
import hashlib
import time
from contextlib import ExitStack

import pytest
from stamina import set_testing

from bsti_submit.errors import HeldError, NotDeliveredError, RefusedError, SettingsError
from bsti_submit.transport.http import Connection
from bsti_submit.transport.tus import Upload
from tests.delivery.faulty import Fault, TusServer, ca_file, serving

CHUNK = 100_000
SIZE = 1_234_567
DATA = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(SIZE // 32 + 1))[:SIZE]
PROBLEM = {"Content-Type": "application/problem+json"}

pytestmark = pytest.mark.server


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Wait as little as jitter allows; what is waited for is asserted where it matters."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with set_testing(True, attempts=8):
        yield


class Sending:
    def __init__(self, tmp_path, server, **options):
        self.path = tmp_path / "file"
        self.path.write_bytes(DATA)
        self.server = server
        self.connection = Connection(server.url, lambda: "token", ca_file(tmp_path), read_seconds=5)
        options = {"chunk": CHUNK, "give_up": 20.0, **options}
        metadata = {"filename": "case.zip", "filetype": "application/zip"}
        self.upload = Upload(self.connection, "/files/", self.path, SIZE, metadata, **options)
        self.urls: list[str] = []
        self.offsets: list[int] = []

    def run(self, resume=""):
        with self.connection:
            return self.upload.run(resume, lambda done, _: self.offsets.append(done), self.urls.append)

    def stored(self, number=-1):
        return bytes(list(self.server.files.values())[number])


@pytest.fixture
def send(tmp_path):
    with ExitStack() as stack:

        def start(server=None, *faults, **options):
            server = server or TusServer()
            server.faults += faults
            stack.enter_context(serving(server))
            return Sending(tmp_path, server, **options)

        yield start


def test_a_file_of_many_pieces_arrives_whole(send):
    sending = send()
    sending.run()
    assert sending.stored() == DATA
    assert sending.server.sent() == SIZE
    assert sending.offsets[-1] == SIZE
    assert "filename Y2FzZS56aXA=,filetype " in sending.server.metadata[0]


FAULTS = {
    "lost 204": Fault(swallow=True),
    "cut in the body": Fault(reset=40_000),
    "cut before the body": Fault(reset=0),
    "502": Fault(answer=(502, {})),
    "503": Fault(answer=(503, {"Retry-After": "0"})),
    "429": Fault(answer=(429, {"Retry-After": "0"})),
    "500 html": Fault(answer=(500, {"Content-Type": "text/html"}), body=b"<html>"),
    "423 locked": Fault(answer=(423, {"Retry-After": "0"})),
    "409 though right": Fault(answer=(409, {})),
    "409 in problem form": Fault(answer=(409, PROBLEM), body=b'{"type":"/problems/offset-conflict"}'),
    "460": Fault(answer=(460, {})),
    "sent twice": Fault(twice=True),
    "405": Fault(answer=(405, {})),
    "501": Fault(answer=(501, {})),
    "403 of a filter": Fault(answer=(403, {"Content-Type": "text/html"}), body=b"<html>"),
    "413": Fault(answer=(413, {})),
    "413 before the body": Fault(answer=(413, {}), early=True),
    "408": Fault(answer=(408, {})),
}


@pytest.mark.parametrize("at", [0, 3], ids=["first piece", "fourth piece"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_a_piece_costs_at_most_that_piece(send, name, at):
    sending = send()
    real = sending.server.next_fault
    count = 0

    def at_piece(method, path):
        nonlocal count
        if method == "PATCH":
            count += 1
            if count == at + 1:
                sending.server.faults.append(copy.copy(FAULTS[name]))
        return real(method, path)

    sending.server.next_fault = at_piece
    sending.run()
    assert sending.stored() == DATA
    assert len(sending.server.files) == 1
    sent = sending.server.sent("PATCH") + sending.server.sent("POST")
    assert sent <= SIZE + CHUNK


@pytest.mark.parametrize("status", [423, 429, 503, 500])
@pytest.mark.parametrize("checksum", [False, True])
def test_a_server_that_stays_busy_is_not_sent_the_same_piece_again_and_again(send, status, checksum):
    faults = [Fault(answer=(status, {"Retry-After": "0"})) for _ in range(6)]
    sending = send(TusServer(checksum=checksum), *faults, checksum=checksum)
    sending.run()
    assert sending.stored() == DATA
    assert sending.server.sent() <= SIZE + CHUNK


@pytest.mark.parametrize(
    "fault",
    [
        Fault("HEAD", answer=(503, {})),
        Fault("HEAD", swallow=True),
        Fault("POST", answer=(503, {})),
        Fault("POST", answer=(429, {"Retry-After": "0"})),
        Fault("POST", reset=0),
    ],
    ids=["head busy", "head lost", "creation busy", "creation limited", "creation cut"],
)
def test_a_fault_around_the_pieces_costs_nothing(send, fault):
    sending = send(None, fault)
    sending.run()
    assert sending.stored() == DATA
    assert sending.server.sent() == SIZE


def test_a_lost_answer_to_the_creation_leaves_one_empty_upload_at_most(send):
    sending = send(None, Fault("POST", swallow=True))
    sending.run()
    assert sending.stored() == DATA
    assert sending.server.sent() == SIZE


def test_an_interrupted_upload_goes_on_where_it_was(send):
    sending = send()
    stop = RuntimeError("stopped")

    def progress(done, _):
        if done >= 5 * CHUNK:
            raise stop

    with pytest.raises(RuntimeError), sending.connection:
        sending.upload.run("", progress, sending.urls.append)
    sending.run(sending.urls[0])
    assert sending.stored() == DATA
    assert len(sending.server.files) == 1
    assert sending.server.sent() <= SIZE + CHUNK


def test_what_is_complete_is_not_sent_again(send):
    sending = send()
    url = sending.run()
    assert sending.run(url) == url
    assert sending.server.sent() == SIZE


@pytest.mark.parametrize("status", [404, 410])
def test_an_upload_that_is_gone_is_opened_anew(send, status):
    sending = send()
    url = sending.run()
    path = "/" + url.split("/", 3)[3]
    if status == 410:
        sending.server.gone.add(path)
    else:
        del sending.server.files[path]
        sending.server.files["/files/other"] = bytearray()
        sending.server.lengths["/files/other"] = 0
    sending.run(url)
    assert sending.stored() == DATA
    assert sending.urls[-2] == ""


def test_an_upload_that_expires_midway_is_opened_anew(send):
    sending = send(None, Fault(), Fault(), Fault(answer=(410, {})))
    sending.server.faults[0].answer = None
    sending.run()
    assert sending.stored() == DATA
    assert len(sending.server.files) == 2


def test_an_upload_that_always_expires_is_left_for_later(send):
    sending = send(None, *(Fault(answer=(410, {})) for _ in range(9)))
    with pytest.raises(NotDeliveredError, match="again and again"):
        sending.run()


def test_an_upload_of_another_length_is_not_gone_on_with(send):
    sending = send()
    sending.server.files["/files/9"] = bytearray()
    sending.server.lengths["/files/9"] = SIZE + 1
    sending.run("/files/9")
    assert sending.stored() == DATA


def test_the_server_may_take_less_than_was_sent(send):
    """@tus/server answers 204 with a smaller offset when a HEAD cancels the writer."""

    class Short(TusServer):
        def _work(self, handler, body):
            if handler.command == "PATCH" and len(body) > 70_000:
                body = body[:70_000]
            return super()._work(handler, body)

    sending = send(Short())
    sending.run()
    assert sending.stored() == DATA


def test_a_server_that_stores_nothing_ends(send):
    class Sieve(TusServer):
        def _work(self, handler, body):
            return super()._work(handler, b"" if handler.command == "PATCH" else body)

    sending = send(Sieve())
    with pytest.raises(NotDeliveredError, match="stored nothing"):
        sending.run()


def test_a_server_that_goes_back_and_back_ends(send):
    class Forgetful(TusServer):
        def _work(self, handler, body):
            answer = super()._work(handler, body)
            if handler.command == "PATCH" and len(self.files[handler.path]) >= 3 * CHUNK:
                del self.files[handler.path][:]
                return 204, {"Upload-Offset": "0"}, b""
            return answer

    sending = send(Forgetful())
    with pytest.raises(NotDeliveredError, match="goes back"):
        sending.run()


@pytest.mark.parametrize("cap", [60_000, 99_999], ids=["well under", "just under"])
def test_a_proxy_that_caps_bodies_gets_smaller_ones(send, cap):
    if cap < 64 << 10:
        sending = send(TusServer(cap=cap))
        with pytest.raises(NotDeliveredError, match="no piece of 64 kB"):
            sending.run()
        return
    sending = send(TusServer(cap=cap))
    sending.run()
    assert sending.stored() == DATA
    sizes = {len(seen.body) for seen in sending.server.seen if seen.method == "PATCH"}
    assert max(size for size in sizes if size <= cap) == 65536


def test_a_line_that_breaks_again_and_again_gets_smaller_pieces(send):
    class Thin(TusServer):
        def next_fault(self, method, path):
            return super().next_fault(method, path)

    sending = send(Thin(keep_partial=False), *(Fault(reset=50_000) for _ in range(4)), chunk=400_000)
    sending.run()
    assert sending.stored() == DATA
    assert sending.upload.chunk == 100_000


def test_patch_blocked_for_good_is_overridden_for_good(send):
    sending = send(TusServer(methods="PATCH"))
    sending.run()
    assert sending.stored() == DATA
    assert sum(seen.method == "PATCH" for seen in sending.server.seen) == 1


def test_patch_and_override_blocked_is_said(send):
    class Neither(TusServer):
        def _work(self, handler, body):
            if handler.headers.get("Upload-Offset"):
                return 405, {}, b""
            return super()._work(handler, body)

    sending = send(Neither())
    with pytest.raises(NotDeliveredError, match="not the registry's"):
        sending.run()


def test_checksums_are_sent_where_offered_and_a_swapped_byte_costs_one_piece(send):
    sending = send(TusServer(checksum=True), Fault(swap=True), checksum=True)
    sending.run()
    assert sending.stored() == DATA
    assert sending.server.sent() == SIZE + CHUNK


def test_a_token_that_expires_midway_is_renewed(send):
    sending = send(None)
    tokens = iter(["old"] * 4 + ["new"] * 100)
    sending.connection.token = lambda: next(tokens)

    class Strict(type(sending.server)):
        def _work(self, handler, body):
            if len(self.seen) > 4 and handler.headers["Authorization"] != "Bearer new":
                return 401, {}, b""
            return super()._work(handler, body)

    sending.server.__class__ = Strict
    sending.run()
    assert sending.stored() == DATA


def test_a_token_that_expired_pauses_the_upload(send):
    sending = send(None, Fault(), Fault(), Fault(answer=(401, {})))
    with pytest.raises(SettingsError, match="token"):
        sending.run()
    sending.server.faults.clear()
    sending.run(sending.urls[0])
    assert sending.stored() == DATA
    assert len(sending.server.files) == 1


def test_a_problem_of_the_registry_is_a_refusal_and_a_page_of_a_proxy_is_not(send):
    body = b'{"type":"/problems/upload-mismatch","title":"Not as announced","detail":"x\\u001b[2Jy"}'
    sending = send(None, Fault(answer=(422, PROBLEM), body=body))
    with pytest.raises(RefusedError, match="Not as announced") as caught:
        sending.run()
    assert "\x1b" not in "".join(caught.value.details)
    sending = send(None, Fault(answer=(400, {"Content-Type": "text/html"}), body=b"<html>"))
    with pytest.raises(NotDeliveredError, match="not the registry's"):
        sending.run()


@pytest.mark.parametrize(
    "location", ["https://elsewhere.example/files/1", "//elsewhere.example/x", "http://localhost/x"]
)
def test_an_upload_elsewhere_is_not_followed_and_no_token_goes_there(send, location):
    sending = send(None, Fault("POST", answer=(201, {"Location": location})))
    with pytest.raises(SettingsError, match="another server"):
        sending.run()


def test_a_kept_address_of_another_registry_is_not_used(send):
    sending = send()
    sending.run("https://elsewhere.example/files/1")
    assert sending.stored() == DATA


def test_a_sign_in_page_that_says_ok_is_not_believed(send):
    page = Fault(answer=(200, {"Content-Type": "text/html"}), body=b"<html>please sign in</html>")
    sending = send(None, page)
    with pytest.raises(NotDeliveredError, match="not the registry's"):
        sending.run()
    assert sending.server.sent() == CHUNK


@pytest.mark.parametrize("told", [None, "", "-1", "+5", "1e3", "0x10", "99999999999999999999", str(SIZE + 1)])
@pytest.mark.parametrize("kept", [True, False])
def test_an_offset_that_cannot_be_is_asked_for_again(send, told, kept):
    """A proxy may strip the header of an answer; what the server has is what counts."""

    class Vague(TusServer):
        def _work(self, handler, body):
            vague = handler.command == "PATCH" and body and len(self.files[handler.path]) == 3 * CHUNK and self.left
            self.left -= bool(vague)
            if vague and not kept:
                body = b""
            status, headers, data = super()._work(handler, body)
            if vague:
                headers = {} if told is None else {"Upload-Offset": told}
            return status, headers, data

    server = Vague()
    server.left = 1
    sending = send(server)
    if not kept:
        with pytest.raises(NotDeliveredError, match="not the registry's"):
            sending.run()
    sending.run(sending.urls[0] if sending.urls else "")
    assert sending.stored() == DATA
    assert sending.server.sent() == SIZE + (0 if kept else CHUNK)
    assert len(sending.server.files) == 1


def test_an_offset_ahead_of_what_was_sent_is_not_gone_back_from_and_ends(send):
    """What the server says that it has need not be sent; whether it is right is for the digest to say."""

    class Ahead(TusServer):
        def _work(self, handler, body):
            status, headers, data = super()._work(handler, body)
            return status, headers | ({"Upload-Offset": str(SIZE)} if status == 204 else {}), data

    sending = send(Ahead())
    sending.run()
    assert sending.server.sent() == CHUNK
    assert sending.offsets[-1] == SIZE


def test_a_finished_upload_that_the_server_forgot_before_its_answer_came_is_made_anew(send):
    class Tidy(TusServer):
        def _work(self, handler, body):
            answer = super()._work(handler, body)
            if handler.command == "PATCH" and len(self.files[handler.path]) == SIZE and not self.gone:
                self.gone.add(handler.path)
                self.done = bytes(self.files[handler.path])
            return answer

    sending = send(
        Tidy(), *[copy.copy(Fault(path="/files/1")) for _ in range(SIZE // CHUNK)], Fault(path="/files/1", swallow=True)
    )
    sending.run()
    assert sending.server.done == DATA
    assert sending.stored() == DATA
    assert sending.urls[1:] == ["", sending.urls[-1]]


@pytest.mark.parametrize("status", [404, 410])
def test_a_server_that_forgets_each_upload_is_left_for_later(send, status):
    sending = send(None, *[Fault("HEAD", answer=(status, {})) for _ in range(9)])
    with pytest.raises(NotDeliveredError, match="again and again"):
        sending.run()
    assert sending.server.sent() == 0


def test_checksums_are_not_sent_where_they_are_not_offered(send):
    """Others take the header, do not look at it, and store what was damaged."""
    sending = send()
    sending.run()
    assert all("Upload-Checksum" not in seen.headers for seen in sending.server.seen)


def test_the_protocol_is_one_that_every_server_speaks(send):
    """HTTP/2 is slower here and breaks; a draft's 104 could not be seen."""
    server = TusServer()
    server.socket.context.set_alpn_protocols(["h2", "http/1.1"])
    agreed = []
    real = server.work
    server.work = lambda handler, body: (
        agreed.append(handler.connection.selected_alpn_protocol()),
        real(handler, body),
    )[1]
    send(server).run()
    assert set(agreed) == {"http/1.1"}


def test_a_package_that_shrank_is_held(send):
    sending = send()
    sending.path.write_bytes(DATA[:-10])
    with pytest.raises(HeldError):
        sending.run()


def test_the_upload_can_be_ended(send):
    sending = send()
    url = sending.run()
    with sending.connection:
        sending.upload.end(url)
        sending.upload.end(url)
    assert sending.server.gone


def test_nothing_is_logged_or_printed(send, capfd, caplog):
    caplog.set_level(0)
    sending = send(None, Fault(reset=10), Fault(answer=(503, {})))
    sending.run()
    assert capfd.readouterr() == ("", "")
    assert "files" not in caplog.text
    assert "token" not in caplog.text


def test_retry_after_is_waited_for_and_a_longer_one_than_patience_is_left(send):
    with set_testing(False):
        sending = send(None, Fault(answer=(503, {"Retry-After": "1"})))
        start = time.monotonic()
        sending.run()
        assert time.monotonic() - start >= 1.0
        sending = send(None, Fault(answer=(503, {"Retry-After": "3000"})))
        start = time.monotonic()
        with pytest.raises(NotDeliveredError):
            sending.run()
        assert time.monotonic() - start < 5


def test_the_rate_is_kept_and_the_hours_are_asked_before_each_piece(send):
    blocks, pieces = [], []
    sending = send(None, pace=blocks.append, before_piece=lambda: pieces.append(1))
    sending.run()
    assert sum(blocks) == SIZE
    assert max(blocks) <= 65536
    assert len(pieces) == 13


def test_the_token_is_in_one_header_alone(send):
    sending = send()
    sending.connection.token = lambda: "very-secret-token"
    sending.run()
    for seen in sending.server.seen:
        assert seen.headers.pop("Authorization") == "Bearer very-secret-token"
        assert "very-secret" not in repr(seen.headers) + seen.path
        assert b"very-secret" not in seen.body
        assert set(seen.headers) <= {
            *(
                "Host",
                "Accept",
                "Accept-Encoding",
                "Connection",
                "User-Agent",
                "X-Request-Id",
                "Content-Length",
            ),
            *("Tus-Resumable", "Upload-Length", "Upload-Metadata", "Upload-Offset", "Content-Type"),
        }
        assert seen.headers["User-Agent"].startswith("bsti-submit/")


def test_a_server_that_does_not_know_of_its_tls_is_still_called_by_tls(send):
    class Unaware(TusServer):
        def _work(self, handler, body):
            status, headers, data = super()._work(handler, body)
            if "Location" in headers:
                headers["Location"] = f"http://{handler.headers['Host']}/files/1"
            return status, headers, data

    sending = send(Unaware())
    assert sending.run().startswith("https://localhost:")
    assert sending.stored() == DATA
