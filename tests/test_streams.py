"""Standard streams that are full, closed or no longer read: the exit code is true, and nothing is told twice."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.site import run

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is full is Linux's own")

# Where every write is passed on at once, a buffer that cannot be emptied at the end is never met.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.fixture
def bsti(tmp_path):
    def call(words, through):
        command = ["bash", "-c", f'set -o pipefail; "$@" {through}', "bash", sys.executable, "-m", "bsti_submit"]
        environment = {**BUFFERED, "BSTI_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
        done = run([*command, *words.split()], environment)
        assert b"Exception ignored" not in done.stderr
        assert b"Traceback" not in done.stderr
        return done

    return call


@pytest.mark.parametrize(
    "words",
    ["outbox list", "outbox list --json", "profile show", "clinical template", "clinical schema", "audit export --csv"],
)
def test_a_result_that_cannot_be_written_is_a_failure_that_says_so(bsti, words):
    done = bsti(words, "> /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith(b"The result could not be written to standard output")
    assert b"fault of its own" not in done.stderr


@pytest.mark.parametrize("words", ["--help", "--version", "case --help", "profile --help"])
def test_help_that_cannot_be_written_is_a_failure_that_says_so(bsti, words):
    done = bsti(words, "> /dev/full")
    assert done.returncode == 1
    assert done.stderr == b"The result could not be written to standard output: the disk may be full.\n"


@pytest.mark.parametrize("words", ["profile show", "clinical schema", "--help", "case --help", "outbox list --json"])
def test_a_reader_that_goes_ends_the_command_without_a_word(bsti, words):
    done = bsti(words, "| { exec <&-; sleep 3; }")
    assert done.returncode == 1
    assert done.stderr == b""


def test_a_reader_of_the_first_lines_gets_them(bsti):
    done = bsti("clinical schema", "| head -1")
    assert done.stdout == b"{\n"
    assert done.stderr == b""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_failure(bsti, closed):
    assert bsti("outbox list", closed).returncode == 0


def test_what_a_closed_stream_would_have_shown_lands_in_no_file(bsti, tmp_path):
    bsti("outbox list", "")
    bsti("outbox list", "<&- >&- 2>&-")
    assert b"outbox is empty" not in b"".join(one.read_bytes() for one in tmp_path.rglob("*") if one.is_file())
    assert bsti("outbox list", "").stdout == b"The outbox is empty.\n"


@pytest.mark.parametrize("through", ["2> /dev/full", "> /dev/full 2> /dev/full", "2>&-"])
@pytest.mark.parametrize("words", ["check no-such-folder", "check no-such-folder --json"])
def test_messages_that_cannot_be_written_change_no_exit_code(bsti, words, through):
    assert bsti(words, through).returncode == 2


def test_an_error_whose_document_cannot_be_written_keeps_its_code_and_its_message(bsti):
    done = bsti("check no-such-folder --json", "> /dev/full")
    assert done.returncode == 2
    assert b"nothing at the path" in done.stderr
