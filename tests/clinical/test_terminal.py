"""A person at a real pseudo-terminal, wrong answers and all."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from .samples import CT_RECORD
from .test_prompt import WHOLE_CASE

pexpect = pytest.importorskip("pexpect", reason="pseudo-terminals are not to be had here")

pytestmark = pytest.mark.measured

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from bsti_submit.cli.output import console
from bsti_submit.cli.streams import prepare_streams
from bsti_submit.cli.person import Person
from bsti_submit.clinical.sources.prompt import DraftSaved
from bsti_submit.outbox import Outbox
from tests.clinical.samples import context
prepare_streams()
shown = console()
with Outbox(Path(sys.argv[1])) as outbox:
    try:
        record = Person(shown).metrics(context(), outbox, "0" * 64, keeping=True)
    except DraftSaved as stopped:
        shown.print(stopped.message, stopped.hint, soft_wrap=True)
        sys.exit(int(stopped.exit_code))
Path(sys.argv[2]).write_bytes(record.canonical_json())
"""

TERMINALS = {
    "plain": {"TERM": "xterm-256color"},
    "dumb": {"TERM": "dumb"},
    "no colour": {"TERM": "xterm-256color", "NO_COLOR": "1"},
    "cp1252": {"TERM": "xterm", "PYTHONIOENCODING": "cp1252"},
}


@pytest.fixture
def start(tmp_path):
    started = []

    def run(**variables):
        child = pexpect.spawn(
            sys.executable,
            ["-c", PROGRAM, str(tmp_path / "home"), str(tmp_path / "record.json")],
            cwd=str(ROOT),
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **variables},
            dimensions=(24, 80),
            encoding="utf-8",
            timeout=20,
        )
        started.append(child)
        return child

    yield run
    for child in started:
        child.close(force=True)


def talk(child, *turns):
    """Wait for a text, then type a line."""
    for expected, line in turns:
        child.expect_exact(expected)
        child.sendline(line)


def kept_by(home):
    """Every byte of the home folder: the database, its journal, and all beside it."""
    files = [path for path in home.rglob("*") if path.is_file()]
    assert files
    return b"".join(path.read_bytes() + str(path.relative_to(home)).encode() for path in files)


WRONG_AND_RIGHT = [
    ("hospital number", "999"),
    ("Is it the right patient?", "437"),
    ("Enter accepts >", "45"),
    ("Is this the right patient?", "<"),
    ("Enter accepts >", ""),
    ("Sex: M, F or O", "1"),
    ("is ambiguous", ""),
    ("Indication for the imaging", "12"),
    ("in a few words", "NHS 943 476 5919, worse"),
    ("Looks like an NHS number", "<"),
    ("Indication for the imaging", "?"),
    ("Why the imaging was asked for", "2"),
    ("RT-PCR for SARS-CoV-2", ""),
    ("Enter alone is no answer here", "pos"),
    ("Each test", "neg 03/04/2020 upper, pos +1 lower"),
    ("Days from symptom onset", "9"),
    ("White cell count", "6400"),
    ("This looks like cells/uL", "6,4"),
    ("Use a full stop, not a comma: 6.4", "6.4 @0"),
    ("C-reactive protein", "612 @0"),
    ("Type the value again", "148"),
    ("asked again", "14.8 mg/dL @0"),
    ("148 mg/L (reported as 14.8 mg/dL)", ""),
    ("Enter alone", "62 arterial 0.21 @0"),
    ("is not possible breathing", "62 mmHg arterial 0.28 @0"),
    ("SpO2 in %", "91 air @0"),
]
REST = [
    ("Earlier chest imaging", ""),
    ("BSTI category of the CT", "1"),
    ("BSTI category of the radiograph", ""),
    ("Severity", "2"),
    ("Outcome", "2"),
    ("Days from the imaging", "11"),
    ("Intensive care", "n n"),
    ("Number to change", "done"),
]


@pytest.mark.parametrize("variables", TERMINALS.values(), ids=TERMINALS)
def test_a_whole_dialogue_with_wrong_answers(start, tmp_path, variables):
    child = start(**variables)
    talk(child, *WRONG_AND_RIGHT, *REST)
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
    assert json.loads((tmp_path / "record.json").read_text()) == CT_RECORD


def test_ctrl_c_keeps_the_answers_for_the_next_start(start, tmp_path):
    child = start(TERM="xterm")
    talk(child, *WRONG_AND_RIGHT)
    child.expect_exact("Earlier chest imaging")
    child.expect_exact(">")
    child.sendcontrol("c")
    child.expect_exact("Stopped. Your answers so far are kept. Run the same command again")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 130
    kept = kept_by(tmp_path / "home")
    assert b"suspected-covid-pcr-negative" in kept
    assert not any(word in kept for word in (b"437", b"999", b"943", b"5919", b"worse", b"03/04", b"2020-04", b"20200"))
    child = start(TERM="xterm")
    talk(child, ("hospital number", "437"), ("Your earlier answers are here again.", ""), *REST[1:])
    child.expect(pexpect.EOF)
    child.wait()
    assert json.loads((tmp_path / "record.json").read_text()) == CT_RECORD


def test_a_refused_text_and_a_typed_date_are_on_no_disk(start, tmp_path):
    child = start(TERM="dumb")
    talk(
        child,
        ("hospital number", "437"),
        ("Enter accepts >", ""),
        ("Sex: M, F or O", ""),
        ("Indication for the imaging", "12"),
        ("in a few words", "Quaglione of 12 Zyx Road, born 01.09.1952, NHS 943 476 5919"),
        ("own images", "zyxcough, cousin of zz81437"),
        ("own images", "zyxfever since 3 April 2020"),
        ("Looks like a date", "zyxwheeze on exertion"),
        ("RT-PCR for SARS-CoV-2", "neg"),
        ("Each test", "neg 05/04/2020"),
        ("Days from symptom onset", "29/03/2020"),
        ("White cell count", "6.4 @06/04/2020"),
    )
    child.expect_exact("C-reactive protein")
    child.expect_exact("> ")
    child.send("14.8 mg/dL @05/04/2020")
    child.sendcontrol("c")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 130
    kept = kept_by(tmp_path / "home")
    assert b"zyxwheeze on exertion" in kept
    assert not any(
        word in kept.lower() for word in (b"quaglion", b"zyxcough", b"zyxfever", b"81437", b"943 476", b"1952")
    )
    assert not any(word in kept for word in (b"/04/", b"/03/2020", b"April", b"2020-0", b"14.8", b"437"))


def test_a_whole_case_in_twenty_five_answers(start, tmp_path):
    """The script that enters a whole case: what it types is all that is typed."""
    child = start(TERM="xterm")
    typed = 0
    for line in WHOLE_CASE:
        child.expect("> $|> \\x1b|> ")
        child.sendline(line)
        typed += 1
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
    assert typed <= 25
    assert json.loads((tmp_path / "record.json").read_text()) == CT_RECORD


@pytest.mark.parametrize("variables", TERMINALS.values(), ids=TERMINALS)
def test_a_screen_reader_hears_plain_lines_of_eighty_columns(start, tmp_path, variables):
    child = start(**variables)
    log = io.StringIO()
    child.logfile_read = log
    for line in WHOLE_CASE:
        child.expect("> ")
        child.sendline(line)
    child.expect(pexpect.EOF)
    shown = log.getvalue()
    # Only bold may be switched on and off: nothing moves, nothing is drawn over.
    assert set(re.findall(r"\x1b\[[0-9;?]*[A-Za-z]", shown)) <= {"\x1b[1m", "\x1b[0m"}
    if variables["TERM"] == "dumb":
        assert "\x1b" not in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert plain.isascii()
    assert max(len(line) for line in plain.splitlines()) <= 80
    assert "\r" not in plain.replace("\r\n", "")


def test_three_wrong_hospital_numbers_end_it(start):
    child = start(TERM="dumb")
    talk(child, ("hospital number", "111"), ("2 more tries", "222"), ("1 more try", "333"))
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus not in {0, 130}
