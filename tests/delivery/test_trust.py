from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, time, timedelta

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from bsti_submit.errors import HeldError, InputError, NotDeliveredError, RefusedError, SettingsError
from bsti_submit.receipt import Receipt
from bsti_submit.transport.answers import Answer, BusyError, TransientError, plain, refusal
from bsti_submit.transport.pace import Rate, Window, parse_rate
from bsti_submit.transport.pins import Pins
from bsti_submit.transport.retry import patiently

URL = "https://registry.example"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Key:
    def __init__(self, kid: str, by: Key | None = None) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.kid = kid
        self.public = _text(self.key.public_key().public_bytes_raw())
        self.entry: dict[str, object] = {"kid": kid, "alg": "EdDSA", "public": self.public}
        if by is not None:
            self.entry["endorsement"] = {"kid": by.kid, "value": by.sign(dict(self.entry))}

    def sign(self, body: dict[str, object]) -> str:
        return _text(self.key.sign(rfc8785.dumps(body)))  # type: ignore[arg-type]


BODY: dict[str, object] = {
    "schema": "receipt/1.0",
    "kind": "submission",
    "case_id": "AAAA-AAAA-AAAA",
    "objects": 3,
}


def _receipt(key: Key, body: dict[str, object] = BODY) -> dict[str, object]:
    return {**body, "signature": {"alg": "EdDSA", "kid": key.kid, "value": key.sign(body)}}


def test_a_receipt_verifies_offline_with_the_pinned_key_alone():
    key = Key("k1")
    receipt = Receipt.parse(json.dumps(_receipt(key), indent=3).encode())
    receipt.verify({"k1": key.public})
    assert Receipt.parse(receipt.canonical()).document == receipt.document
    for keys in ({}, {"k2": key.public}, {"k1": Key("k1").public}, {"k1": "nonsense"}, {"k1": ""}):
        with pytest.raises(HeldError):
            receipt.verify(keys)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(objects=4),
        lambda d: d.update(extra=1),
        lambda d: d.pop("case_id"),
        lambda d: d.pop("signature"),
        lambda d: d["signature"].update(alg="none"),
        lambda d: d["signature"].update(value=""),
        lambda d: d["signature"].update(value=d["signature"]["value"] + " !"),
        lambda d: d["signature"].update(value=_text(b"\0" * 64)),
        lambda d: d["signature"].update(kid="k9"),
        lambda d: d.update(signature="x"),
        lambda d: d.update(objects=float("inf")),
    ],
)
def test_a_changed_receipt_does_not_verify(change):
    key = Key("k1")
    document = json.loads(json.dumps(_receipt(key)))
    change(document)
    with pytest.raises(HeldError):
        Receipt(document).verify({"k1": key.public})


@given(st.binary(max_size=200))
def test_anything_may_be_offered_as_a_receipt(data):
    try:
        Receipt.parse(data).verify({})
    except HeldError:
        pass
    else:
        raise AssertionError


def test_the_first_contact_pins_and_later_ones_must_agree(tmp_path):
    pins, old = Pins(tmp_path), Key("k1")
    assert pins.trust(URL, [old.entry]) is True
    assert pins.trust(URL, [old.entry]) is False
    assert pins.keys(URL) == {"k1": old.public}
    assert Pins(tmp_path).every_key() == {"k1": old.public}
    assert pins.keys("https://other.example") == {}


def test_a_new_key_must_be_endorsed_by_one_that_is_pinned(tmp_path):
    pins, old = Pins(tmp_path), Key("k1")
    pins.trust(URL, [old.entry])
    second = Key("k2", old)
    third = Key("k3", second)
    pins.trust(URL, [third.entry, second.entry, old.entry])  # away for two changes of key
    assert set(pins.keys(URL)) == {"k1", "k2", "k3"}
    pins.trust(URL, [third.entry])
    assert set(pins.keys(URL)) == {"k1", "k2", "k3"}  # older receipts still verify


@pytest.mark.parametrize("case", ["none", "by itself", "by a stranger", "another body", "same id", "same id endorsed"])
def test_a_key_nobody_vouches_for_is_refused(tmp_path, case):
    pins, old = Pins(tmp_path), Key("k1")
    pins.trust(URL, [old.entry])
    match case:
        case "none":
            new = Key("k2").entry
        case "by itself":
            key = Key("k2")
            new = key.entry | {"endorsement": {"kid": "k2", "value": key.sign(dict(key.entry))}}
        case "by a stranger":
            new = Key("k2", Key("k1")).entry
        case "another body":
            new = Key("k2", old).entry | {"public": Key("k3").public}
        case "same id":
            new = Key("k1").entry
        case _:
            new = Key("k1", old).entry
    with pytest.raises(SettingsError):
        pins.trust(URL, [new, old.entry])
    assert pins.keys(URL) == {"k1": old.public}


def test_a_registry_without_a_key_is_not_trusted(tmp_path):
    for offered in ([], None, [{}], [{"kid": "k"}], "x"):
        with pytest.raises(SettingsError):
            Pins(tmp_path).trust(URL, offered)


@pytest.mark.parametrize(
    "spoilt",
    [
        "[]",
        "null",
        '"x"',
        '{"https://registry.example": []}',
        '{"https://registry.example": {}}',
        '{"https://registry.example": {"k1": 1}}',
        "[" * 100_000,
        "\xff",
    ],
)
def test_pins_of_a_wrong_shape_are_told_and_never_made_anew(tmp_path, spoilt):
    (tmp_path / "pins.json").write_bytes(spoilt.encode("latin-1"))
    for use in (lambda pins: pins.keys(URL), lambda pins: pins.trust(URL, [Key("k1").entry]), Pins.every_key):
        with pytest.raises(SettingsError):
            use(Pins(tmp_path))
    assert (tmp_path / "pins.json").read_bytes() == spoilt.encode("latin-1")


@pytest.mark.parametrize(
    "spelling",
    [
        "HTTPS://Registry.Example",
        "https://registry.example:443",
        "https://registry.example./",
        "https://registry.example/?x#y",
    ],
)
def test_another_spelling_of_the_address_escapes_no_pin(tmp_path, spelling):
    pins, old = Pins(tmp_path), Key("k1")
    pins.trust("https://registry.example", [old.entry])
    assert pins.keys(spelling) == {"k1": old.public}
    with pytest.raises(SettingsError):
        pins.trust(spelling, [Key("k2").entry])
    for other in ("https://registry.example:8443", "https://registry.example.org"):
        assert pins.keys(other) == {}


def test_pins_that_contradict_each_other_are_told(tmp_path):
    pins = {"https://registry.example": {"k1": "a"}, "https://REGISTRY.example/": {"k1": "b"}}
    (tmp_path / "pins.json").write_text(json.dumps(pins))
    with pytest.raises(SettingsError):
        Pins(tmp_path).keys(URL)


def test_pins_that_cannot_be_read_are_said(tmp_path):
    (tmp_path / "pins.json").write_text("{")
    with pytest.raises(SettingsError):
        Pins(tmp_path).keys(URL)


# -- answers ---------------------------------------------------------------------------------------------------------


def _answer(status: int, problem: str = "", **headers: str) -> Answer:
    return Answer(status, headers, {"type": f"/problems/{problem}", "title": "T"} if problem else {})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (_answer(422, "invalid-clinical"), RefusedError),
        (_answer(409, "case-sealed"), RefusedError),
        (_answer(422), NotDeliveredError),
        (_answer(404), NotDeliveredError),
        (_answer(407), NotDeliveredError),
        (_answer(401), SettingsError),
        (_answer(401, "unauthorized"), SettingsError),
        (_answer(403, "forbidden"), SettingsError),
        (_answer(403), NotDeliveredError),
        (_answer(302), SettingsError),
        (_answer(429), BusyError),
        (_answer(500), BusyError),
        (_answer(503, "busy"), BusyError),
        (_answer(423), BusyError),
    ],
)
def test_what_an_answer_means(answer, kind):
    assert type(refusal(answer)) is kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0),
        ("0", 0.0),
        ("999999", 3600.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", 3600.0),
        ("-1", None),
        ("soon", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_retry_after_in_both_forms(header, seconds):
    answer = Answer(503, {"retry-after": header}, {})
    assert answer.retry_after(datetime(2026, 1, 1, tzinfo=UTC)) == seconds


@given(st.text())
def test_what_a_server_says_becomes_one_bounded_printable_line(text):
    told = plain(text)
    assert told.isprintable()
    assert len(told) <= 200


# -- patience --------------------------------------------------------------------------------------------------------


def test_patience_ends_and_no_patience_tries_once():
    for give_up, trials in ((0.0, 1), (0.2, 3)):
        count = [0]

        def attempt(count=count, wait=0.01 if give_up else None):
            count[0] += 1
            raise TransientError("x", wait=wait)

        with pytest.raises(TransientError):
            patiently(attempt, give_up)
        assert count[0] >= trials


def test_only_what_may_pass_is_tried_again():
    count = [0]

    def attempt():
        count[0] += 1
        raise SettingsError("x")

    with pytest.raises(SettingsError):
        patiently(attempt, 10)
    assert count == [1]


# -- pace ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"),
    [("2M", 2_000_000), ("500k", 500_000), ("1.5m", 1_500_000), ("4096", 4096), ("1 MB/s", 1_000_000)],
)
def test_a_rate_is_read(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "-1", "0", "10", "1T", "nan", "1e9", "٢M"])
def test_what_is_no_rate_is_said(text):
    with pytest.raises(InputError):
        parse_rate(text)


@given(st.lists(st.integers(1, 65536), min_size=1, max_size=200), st.integers(10_000, 10_000_000))
def test_the_rate_is_kept_over_any_run(blocks, per_second):
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    rate = Rate(per_second, now=lambda: now[0], sleep=sleep)
    for block in blocks:
        rate(block)
    assert now[0] == pytest.approx(sum(blocks) / per_second)


def test_an_idle_line_saves_up_one_second_at_most():
    now = [0.0]
    slept = []
    rate = Rate(1000, now=lambda: now[0], sleep=slept.append)
    now[0] = 100.0
    rate(1000)
    assert slept == []
    rate(500)
    assert slept == [0.5]
    assert rate.chunk(8 << 20) == 64 << 10
    assert Rate(10_000_000).chunk(8 << 20) == 8 << 20


@pytest.mark.parametrize(
    ("window", "now", "seconds"),
    [
        ("19:00-07:00", time(20), 0),
        ("19:00-07:00", time(6, 59, 59), 0),
        ("19:00-07:00", time(7), 12 * 3600),
        ("19:00-07:00", time(18, 59, 30), 30),
        ("19:00-07:00", time(19), 0),
        ("9:00-17:00", time(8), 3600),
        ("9:00-17:00", time(17), 16 * 3600),
        ("00:00-00:01", time(23, 59), 60),
    ],
)
def test_the_hours_of_sending(window, now, seconds):
    assert Window.parse(window).seconds_until_open(now) == seconds


@given(st.times(), st.times(), st.times())
def test_after_the_wait_it_is_open(start, end, now):
    start, end, now = (value.replace(microsecond=0) for value in (start, end, now))
    if start == end:
        return
    window = Window(start, end)
    wait = window.seconds_until_open(now)
    assert 0 <= wait < 86400
    at = (now.hour * 3600 + now.minute * 60 + now.second + int(wait)) % 86400
    assert window.is_open(time(at // 3600, at // 60 % 60, at % 60))


@pytest.mark.parametrize("text", ["", "19-7", "25:00-07:00", "19:00", "07:00-07:00", "19:60-07:00"])
def test_what_is_no_window_is_said(text):
    with pytest.raises(InputError):
        Window.parse(text)


def test_waiting_reads_the_clock_again_and_again():
    clock = [datetime(2026, 1, 1, 18, 58, tzinfo=UTC)]
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        clock[0] += timedelta(seconds=seconds)

    Window.parse("19:00-07:00").wait(lambda: clock[0], sleep)
    assert naps == [60.0, 60.0]


def in_london(instant):
    """What a clock on the wall shows there: an hour on from 29 March to 25 October, at 01:00 UTC each."""
    summer = datetime(2026, 3, 29, 1, tzinfo=UTC) <= instant < datetime(2026, 10, 25, 1, tzinfo=UTC)
    return instant + timedelta(hours=summer)


@pytest.mark.parametrize(
    ("window", "start", "hours"),
    [
        ("19:00-07:00", datetime(2026, 3, 28, 12, tzinfo=UTC), 7.0),
        ("19:00-07:00", datetime(2026, 3, 29, 6, tzinfo=UTC), 12.0),  # 07:00 there: an hour less of night
        ("02:00-05:00", datetime(2026, 3, 29, 0, 30, tzinfo=UTC), 0.5),  # 01:00 to 02:00 is left out
        ("01:00-01:30", datetime(2026, 3, 29, 0, 30, tzinfo=UTC), 23.5),  # a window that this night does not have
        ("01:30-02:00", datetime(2026, 10, 25, 0, 10, tzinfo=UTC), 0.33),
        ("01:30-02:00", datetime(2026, 10, 25, 1, 10, tzinfo=UTC), 0.33),  # the same hour again
        ("02:00-05:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), 1.5),  # an hour more to wait than the clock says
        ("19:00-07:00", datetime(2026, 10, 25, 7, tzinfo=UTC), 12.0),
    ],
)
def test_the_hours_hold_where_the_clocks_change(window, start, hours):
    instant = [start]

    def sleep(seconds):
        instant[0] += timedelta(seconds=seconds)

    found = Window.parse(window)
    found.wait(lambda: in_london(instant[0]), sleep)
    assert found.is_open(in_london(instant[0]).time())
    assert (instant[0] - start).total_seconds() / 3600 == pytest.approx(hours, abs=0.02)
