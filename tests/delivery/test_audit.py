from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bsti_submit.audit import FIELDS, AuditLog
from bsti_submit.errors import HeldError, NotDeliveredError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def log(tmp_path):
    found = AuditLog(tmp_path / "audit", now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    found.append("begin", objects=12, source="a.1")
    found.append("deidentify", profile="bsti-default", certified=10, reasons={"structured-report": 2})
    found.append("deliver", case_id="AAAA-AAAA-AAAA", receipt_id="R-1", destination="registry")
    return found


def test_a_log_is_whole_and_says_what_happened(log):
    assert log.verify().is_whole
    assert log.verify().lines == 3
    lines = list(log.lines())
    assert [line["event"] for line in lines] == ["begin", "deidentify", "deliver"]
    assert lines[0]["at"] == "2026-01-02T03:04:05Z"
    assert lines[1]["prev"] == lines[0]["hash"]


def test_any_changed_byte_is_found_with_its_line(log):
    data = log.path.read_bytes()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        log.path.write_bytes(changed)
        checked = log.verify()
        line = data[:at].count(b"\n") + 1
        assert not checked.is_whole, at
        assert checked.line in {line, line + 1}, at


def test_any_changed_byte_of_the_end_is_found(log):
    """The number of the line before was once taken with the digest of the last one."""
    data = log._head.read_bytes()
    for at in range(len(data)):
        for change in (1, 2, 4, 32):
            changed = bytearray(data)
            changed[at] ^= change
            log._head.write_bytes(changed)
            assert not log.verify().is_whole, (at, change)
    log._head.write_bytes(data[:-1])
    assert not log.verify().is_whole


@pytest.mark.parametrize("cut", [0, 1, 2], ids=["first", "middle", "last"])
def test_a_line_taken_out_is_found(log, cut):
    lines = log.path.read_bytes().splitlines(keepends=True)
    del lines[cut]
    log.path.write_bytes(b"".join(lines))
    assert not log.verify().is_whole


def test_lines_swapped_repeated_or_added_are_found(log):
    lines = log.path.read_bytes().splitlines(keepends=True)
    for other in (
        [lines[1], lines[0], lines[2]],
        [*lines, lines[2]],
        [*lines, b"\n"],
        [lines[0].upper(), *lines[1:]],
    ):
        log.path.write_bytes(b"".join(other))
        assert not log.verify().is_whole


def test_a_log_that_is_gone_is_found_and_an_empty_one_is_whole(log, tmp_path):
    assert AuditLog(tmp_path / "new").verify().is_whole
    log.path.unlink()
    assert not log.verify().is_whole


def test_a_line_half_written_by_a_crash_is_mended_and_told(log):
    with log.path.open("ab") as stream:
        stream.write(b'{"at":"2026')
    assert not log.verify().is_whole
    log.append("begin", objects=1)
    assert log.verify().is_whole
    assert [line["event"] for line in log.lines()][-2:] == ["recovered", "begin"]


def test_a_crash_before_the_head_is_written_is_no_damage(log):
    head = log._head.read_bytes()
    log.append("begin", objects=1)
    log._head.write_bytes(head)
    assert log.verify().is_whole
    log.append("begin", objects=2)
    assert log.verify().is_whole


def test_a_changed_last_line_stays_found_after_more_lines(log):
    data = log.path.read_bytes()
    log.path.write_bytes(data.replace(b'"R-1"', b'"R-2"'))
    log.append("begin", objects=1)
    assert log.verify().line == 3


@pytest.mark.parametrize(
    "members",
    [
        {"step": "SMITH^JOHN"},
        {"step": "John Smith"},
        {"step": "=1+1"},
        {"step": "x" * 200},
        {"step": "a\nb"},
        {"step": "naïve"},
        {"patient_name": "x"},
        {"path": "x"},
        {"hash": "x"},
        {"n": 7},
        {"reasons": {"John Smith": 1}},
        {"reasons": {"a": "b"}},
        {"size": 1.5},
    ],
    ids=str,
)
def test_what_could_identify_cannot_be_logged_and_the_fault_does_not_quote_it(log, members):
    with pytest.raises(ValueError) as caught:
        log.append("begin", **members)
    assert not any(str(value) in str(caught.value) for value in members.values() if len(str(value)) > 2)
    assert log.verify().lines == 3
    with pytest.raises(ValueError):
        log.append("sneeze")


def test_the_export_is_a_table_of_what_was_written(log):
    out = io.StringIO(newline="")
    assert log.export_csv(out) == 3
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert tuple(rows[0]) == FIELDS
    assert rows[1]["reasons"] == "structured-report=2"
    assert rows[2]["case_id"] == "AAAA-AAAA-AAAA"
    log.path.write_bytes(log.path.read_bytes().replace(b"R-1", b"R-2"))
    with pytest.raises(HeldError):
        log.export_csv(io.StringIO())


def test_processes_take_turns(tmp_path):
    code = (
        "import sys; from pathlib import Path; from bsti_submit.audit import AuditLog\n"
        "for n in range(15): AuditLog(Path(sys.argv[1])).append('begin', objects=n)\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(3)]
    assert [child.wait(timeout=60) for child in children] == [0, 0, 0]
    checked = AuditLog(tmp_path).verify()
    assert checked.is_whole
    assert checked.lines == 45


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_only_the_owner_can_read_it(log):
    for path in log.path.parent.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name


def test_a_disk_that_fails_is_said(tmp_path):
    (tmp_path / "audit").write_text("")
    with pytest.raises(NotDeliveredError):
        AuditLog(tmp_path / "audit").append("begin")


def test_each_line_is_canonical_json(log):
    for line in log.path.read_bytes().splitlines():
        assert json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")).encode() == line
