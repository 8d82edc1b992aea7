"""Nothing that others wrote can steer the terminal, or pass for a line of ours."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsti_submit.model import new_case_id
from bsti_submit.printable import json_text, printable, printable_lines
from bsti_submit.report.console import LogReporter, TerminalReporter
from bsti_submit.report.events import Delivered, Note
from tests.intake.factory import dataset, put
from tests.support.terminal import desk

HOSTILE = "A\x1b[31mRED\x1b]0;OWNED\x07\x1b]52;c;ZXZpbA==\x07\x9b2J\u202eevil\u2028B\r\nCase:     FAKE"
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def steers(text):
    return STEERS.findall(text.replace("\r\n", "\n"))


@given(st.text())
def test_what_is_printable_is_one_line_that_shows(text):
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert printable(shown) == shown


@given(st.text())
def test_a_printable_text_stays_as_it_is(text):
    kept = "".join(filter(str.isprintable, text))
    assert printable(kept) == kept


def test_letters_of_any_language_stay_and_only_our_own_line_breaks_break():
    assert printable("Größe 胸部 صدر") == "Größe 胸部 صدر"
    assert printable_lines("a\x1b\nb\tc") == "a?\nb c"


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_holds_the_same_and_steers_nothing(document):
    for layout in ({}, {"indent": 2, "sort_keys": True}):
        text = json_text(document, **layout)
        assert json.loads(text) == document
        assert all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize("event", [Note(HOSTILE), Delivered(new_case_id(), HOSTILE)], ids=["note", "receipt"])
@pytest.mark.parametrize("kind", ["log", "terminal"])
def test_reporters(kind, event, capsys):
    from bsti_submit.cli.output import console

    with LogReporter() if kind == "log" else TerminalReporter(console()) as reporter:
        reporter(event)
    shown = capsys.readouterr().err
    assert not steers(shown)
    assert not [line for line in shown.splitlines() if line.startswith("Case:")]


def test_a_receipt_that_a_registry_filled(tmp_path):
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps({"schema": "receipt/1.0", "id": HOSTILE, HOSTILE: [HOSTILE]}), "utf-8")
    for options in ([], ["--json"]):
        ended = subprocess.run(
            [sys.executable, "-m", "bsti_submit", "receipt", "show", str(file), *options],
            env={**os.environ, "BSTI_HOME": str(tmp_path / "home"), "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
            timeout=60,
        )
        shown = ended.stdout.decode()
        assert not steers(shown)
        assert "RED" in shown
        document = json.loads(shown)
        assert (document["receipts"][0] if options else document)["id"] == HOSTILE


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_descriptions_at_the_terminal(tmp_path):
    source = tmp_path / "in"
    for number in (1, 2):
        put(source / f"{number}", dataset(number, StudyDescription=HOSTILE[:60], SeriesDescription=HOSTILE))
    with desk(tmp_path / "desk").starts("case", source, "--dry-run", TERM="dumb") as terminal:
        assert terminal.ends() == 3
        shown = terminal.raw
    assert "RED" in shown
    assert not steers(shown)
    assert not [line for line in shown.splitlines() if line.startswith("Case:")]


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_a_document_for_a_file_is_exact_there_and_fit_at_a_terminal(tmp_path):
    with desk(tmp_path / "desk").starts("clinical", "template", TERM="dumb") as terminal:
        assert terminal.ends() == 0
        assert not steers(terminal.raw)


def test_nothing_is_printed_in_any_other_way():
    """Every line for a person goes through the one function."""
    own = {"output.py", "console.py", "batch.py", "app.py"}
    root = Path(__file__).parent.parent / "bsti_submit"
    for folder in ("cli", "report"):
        for path in (root / folder).glob("*.py"):
            text = path.read_text("utf-8")
            if path.name not in own:
                assert not re.search(r"sys\.std(out|err)\.write|(?<![.\w])print\(", text), path.name
