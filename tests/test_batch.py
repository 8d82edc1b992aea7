"""Many cases from a manifest, as a hospital's workstation sends them at night: through the command, to a real registry."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
import zipfile
from datetime import datetime
from pathlib import Path

import pydicom
import pytest

from bsti_submit.clinical.sources.manifest import ADDED_COLUMNS, COLUMNS
from bsti_submit.deid.profile import profiles_folder
from bsti_submit.errors import ExitCode, InputError, gravest
from bsti_submit.outbox import Outbox, State
from bsti_submit.report.results import ResultsFile
from bsti_submit.report.rows import RowOutcome, RowReport
from bsti_submit.sample import find_markers, make_sample
from bsti_submit.transport.destinations.registry import RegistryDestination
from bsti_submit.transport.http import Connection
from bsti_submit.transport.pins import Pins
from tests.support.registry import running_registry

pytestmark = pytest.mark.server

posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
COUNT = 6


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Some people's CT studies."""
    folder = tmp_path_factory.mktemp("samples")
    return [
        make_sample(folder / f"{number}", slices=3, size=64, seed=number, radiograph=False, extras=False)
        for number in range(1, COUNT + 1)
    ]


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with running_registry(tmp_path_factory.mktemp("registry"), "--rate", "5000", "--burst", "5000") as running:
        yield running


@pytest.fixture
def site(tmp_path, registry, request):
    return Site(tmp_path, registry, f"site-{abs(hash(request.node.nodeid)) % 10**9}")


class Site:
    """A hospital's workstation with a folder of studies."""

    def __init__(self, folder, registry, name):
        self.folder = folder
        self.registry = registry
        self.home = folder / "home"
        self.sheet = folder / "work" / "sheet.csv"
        self.sheet.parent.mkdir()
        self.rows = []
        key = folder / "site.key"
        key.write_text(base64.b64encode(os.urandom(32)).decode(), "ascii")
        self.token = registry.token(name)
        token = folder / "token"
        token.write_text(self.token, "ascii")
        for path in (key, token):
            path.chmod(0o600)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BSTI_")},
            "BSTI_HOME": str(self.home),
            "BSTI_SITE_KEY_FILE": str(key),
            "BSTI_TOKEN_FILE": str(token),
            "BSTI_REGISTRY": registry.url,
            "BSTI_CA_BUNDLE": str(registry.ca_bundle),
        }

    def add(self, sample, **cells):
        """Add a row for a study, whose files are copied below the manifest; return its number."""
        name = cells.pop("study_path", f"case{len(self.rows) + 1:02d}")
        if sample is not None:
            shutil.copytree(sample.folder, self.sheet.parent / name, dirs_exist_ok=True)
        self.rows.append(
            {
                "study_path": name,
                "local_ref": f"A{len(self.rows) + 1}",
                "index_modality": "CT",
                "age_years": "70" if sample is None else str(sample.age),
                "sex": "F",
                "symptom_onset_days": "u",
                "wcc": "6.4",
                "wcc_unit": "10*9/L",
                "crp": "148",
                "crp_unit": "mg/L",
                "po2": "nd",
                "indication_code": "suspected-covid-diagnosis",
                "pcr_status": "positive",
                "pcr_tests": "positive@1",
                "prior_imaging": "no",
                **cells,
            }
        )
        self.write()
        return len(self.rows) + 1

    def write(self):
        with self.sheet.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, (*COLUMNS, *ADDED_COLUMNS), restval="")
            writer.writeheader()
            writer.writerows(self.rows)

    def command(self, *arguments):
        return [sys.executable, "-m", "bsti_submit", *map(str, arguments)]

    def run(self, *arguments, code=None):
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=180,
        )
        if code is not None:
            assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def attestation(self, *options):
        document = json.loads(self.run("attestation", "template", *options, code=0).stdout)
        document["facts"] = {name: True if value is False else value for name, value in document["facts"].items()}
        path = self.folder / "attestation.json"
        path.write_text(json.dumps(document), "utf-8")
        return path

    def batch(self, *options, code=None):
        if not (self.folder / "attestation.json").exists():
            self.attestation()
        return self.run("batch", self.sheet, "--attestation", self.folder / "attestation.json", *options, code=code)

    def outcomes(self, *options, code=None):
        """Run a batch; return row → report."""
        done = self.batch("--json", *options, code=code)
        document = json.loads(done.stdout)
        assert document["exit_code"] == done.returncode
        return {row["row"]: row for row in document["rows"]}

    def cases(self):
        """Return the cases of this outbox that went further than a draft."""
        with Outbox(self.home) as outbox:
            return [case for case in outbox.list() if case.state is not State.DRAFT]

    def arrived(self):
        """Return what the registry has of this site: case id → state."""
        connection = Connection(self.registry.url, lambda: self.token, self.registry.ca_bundle)
        with RegistryDestination(connection, Pins(self.folder)) as destination:
            return dict(destination.cases())

    def results(self):
        (path,) = (self.home / "results").glob("*.csv")
        return list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline="")))

    def searched(self, markers):
        """Search everything that was written on both sides, but the map from reference to file."""
        size = 0
        for root in (self.home, self.registry.data):
            for path in root.rglob("*"):
                if path.is_file() and "paths" not in path.relative_to(root).parts:
                    data = path.read_bytes()
                    size += len(data)
                    assert find_markers(data, markers) == [], path.name
                    assert find_markers(str(path.relative_to(root)).encode(), markers) == []
                    if zipfile.is_zipfile(path):
                        with zipfile.ZipFile(path) as archive:
                            for name in archive.namelist():
                                assert find_markers(archive.read(name), markers) == []
        return size


@pytest.fixture(scope="module")
def chest_and_radiograph(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("mixed") / "study", slices=3, size=64, seed=77)


def mixed(site, samples, chest_and_radiograph):
    """Fill a manifest with rows of every kind; return what each should come to."""
    expected = {}
    named = next(path.name for path in samples[0].folder.iterdir() if path.is_dir())
    assert find_markers(named.encode(), samples[0].markers)
    shutil.copytree(samples[0].folder, site.sheet.parent / "first")
    expected[site.add(None, study_path=f"first/{named}", age_years=str(samples[0].age))] = "delivered"
    expected[site.add(chest_and_radiograph)] = "held"
    expected[site.add(samples[1], age_years="ninety")] = "skipped-invalid"
    expected[site.add(None)] = "skipped-invalid"
    # A name of the patient's own as the reference: its form is innocent, so only the images can tell.
    given = next(marker.value for marker in samples[2].markers if marker.value.isalpha())
    typed = (
        unicodedata.normalize("NFKD", given).encode("ascii", "ignore").decode()
    )  # as a keyboard without accents has it
    expected[site.add(samples[2], local_ref=typed)] = "invalid"
    expected[site.add(samples[3], age_years="31")] = "held"
    two = site.add(samples[4])
    shutil.copytree(samples[5].folder, site.sheet.parent / site.rows[-1]["study_path"] / "other")
    expected[two] = "held"
    notes = site.add(None, study_path="notes")
    (site.sheet.parent / "notes").mkdir()
    (site.sheet.parent / "notes" / "readme.txt").write_text("nothing", "utf-8")
    expected[notes] = "invalid"
    cut = site.add(samples[4], study_path="cut")
    file = next(path for path in (site.sheet.parent / "cut").rglob("*.dcm"))
    file.write_bytes(file.read_bytes()[:-4000])
    expected[cut] = "held"
    expected[site.add(samples[5])] = "delivered"
    return expected, [marker for sample in (*samples, chest_and_radiograph) for marker in sample.markers]


@pytest.mark.measured
def test_each_row_comes_to_what_it_should_and_nothing_identifies_anybody(site, samples, chest_and_radiograph):
    expected, markers = mixed(site, samples, chest_and_radiograph)
    before = {path: path.read_bytes() for path in site.sheet.parent.rglob("*") if path.is_file()}

    refused = site.batch(code=2)
    assert b"row 4, age_years" in refused.stderr
    assert b"row 5, study_path: E-MISSING" in refused.stderr
    assert not site.home.joinpath("results").exists()
    assert site.arrived() == {}

    done = site.batch("--skip-invalid", "--json", code=3)
    told = json.loads(done.stdout)
    rows = {row["row"]: row for row in told["rows"]}
    assert {number: row["outcome"] for number, row in rows.items()} == expected
    assert "review" in rows[3]["hint"]
    assert rows[2]["local_ref"] == "A1"
    # Where images and row may be of two people, or the reference names somebody, it is not shown.
    assert rows[6]["local_ref"] is None
    assert rows[7]["local_ref"] is None
    assert rows[7]["exit_code"] == 3

    again = site.batch("--skip-invalid", code=3)
    log = again.stderr.decode()
    assert "\r" not in log
    assert len([line for line in log.splitlines() if f"/{len(expected)}  row " in line]) == len(expected)
    assert "row 2 (A1): sent-before" in log

    kept = site.results()
    assert [int(row["row"]) for row in kept] == sorted(expected)
    assert {int(row["row"]): row["case_id"] for row in kept if row["case_id"]} == {
        number: rows[number]["case_id"] for number, outcome in expected.items() if outcome == "delivered"
    }
    if os.name == "posix":
        assert {path.stat().st_mode & 0o077 for path in (site.home / "results").iterdir()} == {0}
    assert len(site.arrived()) == 2

    for output in (refused, done, again):
        assert find_markers(output.stdout + output.stderr, markers) == []
    assert site.searched(markers) > 100_000
    after = {path: path.read_bytes() for path in site.sheet.parent.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("workers", [1, pytest.param(3, marks=pytest.mark.nightly)])
def test_a_second_run_sends_nothing_twice_and_goes_on_with_what_waits(site, samples, workers):
    for sample in samples[:3]:
        site.add(sample)
    stick = site.folder / "stick" / "cases"
    site.attestation("--registry", "dir")
    options = ("--to", f"dir:{stick}", "--workers", workers)
    waiting = site.outcomes(*options, code=5)
    assert {row["outcome"] for row in waiting.values()} == {"waiting"}
    assert all("outbox" in row["hint"] for row in waiting.values())

    stick.parent.mkdir()
    sent = site.outcomes(*options, code=0)
    assert {row["outcome"] for row in sent.values()} == {"delivered"}
    assert {row["case_id"] for row in sent.values()} == {row["case_id"] for row in waiting.values()}
    packages = {path.name: path.stat().st_mtime_ns for path in stick.iterdir()}
    assert len(packages) == 3

    again = site.outcomes(*options, code=0)
    assert {row["outcome"] for row in again.values()} == {"sent-before"}
    assert {path.name: path.stat().st_mtime_ns for path in stick.iterdir()} == packages

    # Nobody signed for a copy on a stick, so the registry still gets the very same cases.
    site.attestation()
    delivered = site.outcomes("--workers", workers, code=0)
    assert {row["outcome"] for row in delivered.values()} == {"delivered"}
    assert set(site.arrived()) == {row["case_id"] for row in sent.values()}


@pytest.mark.measured
def test_a_radiograph_goes_once_somebody_has_looked_at_it(site, chest_and_radiograph):
    from bsti_submit.deid.pixels.decisions import DecisionStore, Verdict
    from bsti_submit.deid.pixels.screen import needs_person
    from bsti_submit.deid.profile import load_profile
    from bsti_submit.deid.pseudonyms import SiteKey
    from bsti_submit.pipeline.prepared import prepare
    from bsti_submit.pipeline.stream import Work

    site.add(chest_and_radiograph)
    held = site.batch(code=3)
    assert b"bsti-submit review PATH" in held.stdout
    key = SiteKey(base64.b64decode(Path(site.environment["BSTI_SITE_KEY_FILE"]).read_text("ascii")))
    profile = load_profile("bsti-default")
    with (
        prepare(site.sheet.parent / "case01", profile, key, lambda event: None) as prepared,
        DecisionStore(site.home / "decisions.sqlite") as decided,
    ):
        work = Work(prepared, key, decided, compress=True)
        (picture,) = [
            found for found in prepared.survey.instances if prepared.is_eligible(found) and needs_person(found)
        ]
        work.looking.decide(work.stage(picture), picture.ref, Verdict.CLEARED)
    sent = site.outcomes(code=0)
    assert sent[2]["outcome"] == "delivered"
    assert sent[2]["images"] == 4


@pytest.mark.parametrize("workers", [1, 3])
def test_two_rows_with_the_same_images_are_one_case(site, samples, workers):
    site.add(samples[0])
    site.add(samples[0])
    for _ in range(2):
        rows = site.outcomes("--workers", workers, code=2)
        assert sorted(row["outcome"] for row in rows.values()) in (
            ["delivered", "duplicate"],
            ["duplicate", "sent-before"],
        )
        duplicate = next(row for row in rows.values() if row["outcome"] == "duplicate")
        assert f"row {5 - duplicate['row']}" in duplicate["message"]
    assert len(site.arrived()) == len(site.cases()) == 1


@posix
@pytest.mark.parametrize("workers", [1, pytest.param(3, marks=pytest.mark.nightly)])
def test_killed_again_and_again_it_still_makes_one_case_a_row(site, samples, workers):
    for sample in samples:
        site.add(sample)
    site.attestation()
    command = site.command("batch", site.sheet, "--attestation", site.folder / "attestation.json", "--workers", workers)
    seen = set()
    for attempt in range(0, 8, 1 if workers > 1 else 2):
        process = subprocess.Popen(
            command, env=site.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        # Each time a little later: while it starts, builds, moves in, sends, or stores the receipt.
        assert process.stderr is not None
        if attempt % 4:
            process.stderr.readline()
        time.sleep(0.05 + attempt * 0.11)
        process.kill()
        process.communicate()
        seen.add(process.returncode)
        if (site.home / "results").exists():
            assert all(row["outcome"] in set(RowOutcome) and row["at"] for row in site.results())
    assert -signal.SIGKILL in seen
    deadline = time.monotonic() + 30
    while True:  # a process that prepares rows may need a moment to notice that its parent is gone
        done = site.batch("--json", "--workers", workers)
        if done.returncode == 0 or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert done.returncode == 0, done.stdout
    rows = json.loads(done.stdout)["rows"]
    assert len({row["case_id"] for row in rows}) == COUNT
    assert {case.case_id for case in site.cases()} == {row["case_id"] for row in rows}
    arrived = site.arrived()
    assert set(arrived) == {row["case_id"] for row in rows}
    assert "uploading" not in arrived.values()
    assert len(site.results()) == COUNT


@posix
@pytest.mark.measured
def test_outside_its_hours_rows_are_prepared_and_nothing_is_sent_until_it_is_time(site, samples):
    for sample in samples[:2]:
        site.add(sample)
    site.attestation()
    hour = time.localtime(time.time() + 3 * 3600).tm_hour
    attested = ("--attestation", site.folder / "attestation.json")
    command = site.command("batch", site.sheet, *attested, "--only-between", f"{hour:02}:00-{hour:02}:30")
    process = subprocess.Popen(
        command,
        env=site.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while len(site.cases() if site.home.exists() else ()) < 2 and time.monotonic() < until:
        time.sleep(0.2)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    with Outbox(site.home) as outbox, outbox.sending():
        pass  # who waits holds nothing
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"not between {hour:02}:00".encode() in told
    assert {case.state for case in site.cases()} == {State.PACKAGED}
    assert site.arrived() == {}

    hour = time.localtime().tm_hour
    rows = site.outcomes("--only-between", f"{(hour - 1) % 24:02}:00-{(hour + 2) % 24:02}:00", code=0)
    assert {row["outcome"] for row in rows.values()} == {"delivered"}
    assert set(site.arrived()) == {row["case_id"] for row in rows.values()}


def test_the_rate_of_a_batch_is_kept(site, samples):
    site.add(samples[0])
    site.outcomes("--limit-rate", "5k", code=0)
    (case,) = site.cases()
    assert case.size > 20_000
    with Outbox(site.home) as outbox:
        at = {what: datetime.fromisoformat(at) for at, what in outbox.events(case.case_id)}
    assert (at["delivered"] - at["sending"]).total_seconds() >= case.size / 5_000 * 0.9 - 1


@pytest.mark.parametrize("wrong", [("--limit-rate", "fast"), ("--only-between", "evening")])
def test_a_pace_that_cannot_be_read_is_said_before_any_work(site, samples, wrong):
    site.add(samples[0])
    assert site.batch(*wrong).returncode == 2
    assert site.cases() == []


@posix
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.measured
def test_ctrl_c_ends_it_cleanly_and_says_how_to_go_on(site, samples, workers):
    for sample in samples:
        site.add(sample)
    site.attestation()
    process = subprocess.Popen(
        site.command("batch", site.sheet, "--attestation", site.folder / "attestation.json", "--workers", workers),
        env=site.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    lines = [process.stderr.readline().decode()]
    while "row 2 (A1)" not in lines[-1]:
        lines.append(process.stderr.readline().decode())
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all its processes
    told, log = process.communicate(timeout=30)
    assert process.returncode == 130, log
    assert b"Run the same command again" in log
    assert b"Traceback" not in log
    assert b"delivered" in told
    assert 1 <= len(site.results()) < COUNT
    site.registry.wait_for(lambda: not is_alive(process.pid))
    rows = site.outcomes(code=0)
    assert {row["outcome"] for row in rows.values()} == {"delivered", "sent-before"}
    assert len(site.arrived()) == COUNT


def is_alive(group):
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds a process's children in /proc")
@pytest.mark.measured
def test_a_process_that_dies_takes_only_its_own_row_with_it(site, samples):
    for sample in samples[:4]:
        site.add(sample)
    site.attestation()
    process = subprocess.Popen(
        site.command("batch", site.sheet, "--attestation", site.folder / "attestation.json", "--workers", 2, "--json"),
        env=site.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 30
    victim = None
    while victim is None and time.monotonic() < until:
        victim = next(iter(preparing(process.pid)), None)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    told, _ = process.communicate(timeout=120)
    rows = json.loads(told)["rows"]
    assert process.returncode == 1
    assert sorted(row["outcome"] for row in rows) == ["delivered"] * 3 + ["fault"]
    assert site.outcomes("--workers", 2, code=0)
    assert len(site.arrived()) == 4


def preparing(parent):
    """Return the processes of a batch that prepare rows."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            after_name = (folder / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
            if int(after_name[1]) == parent and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def test_nothing_is_sent_without_a_valid_attestation(site, samples):
    site.add(samples[0])
    missing = site.run("batch", site.sheet, code=4)
    assert b"--attestation" in missing.stderr
    path = site.attestation()
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(document | {"expires": "2020-01-31"}), "utf-8")
    site.batch(code=4)
    path.write_text(json.dumps(document | {"recipe_sha256": "0" * 64}), "utf-8")
    site.batch(code=4)
    assert site.cases() == []

    site.attestation("--manifest", site.sheet)
    site.add(samples[1])
    assert b"manifest_sha256" in site.batch(code=4).stderr
    assert site.cases() == []
    site.attestation("--manifest", site.sheet)
    assert len(site.outcomes(code=0)) == 2
    assert len(site.arrived()) == 2


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.measured
def test_a_dry_run_builds_and_counts_and_keeps_nothing(site, samples, workers):
    site.add(samples[0])
    site.add(samples[1])
    for name in ("BSTI_REGISTRY", "BSTI_TOKEN_FILE"):
        site.environment.pop(name)  # nothing is sent, so no registry is needed
    done = site.run("batch", site.sheet, "--dry-run", "--workers", workers, "--json", code=0)
    rows = json.loads(done.stdout)["rows"]
    assert [(row["outcome"], row["images"]) for row in rows] == [("counted", 3), ("counted", 3)]
    assert not list(site.home.rglob("*.zip"))
    assert not (site.home / "results").exists()
    assert site.cases() == []
    assert site.arrived() == {}


@pytest.mark.nightly
def test_while_the_registry_is_down_rows_wait_and_none_is_lost(tmp_path, samples):
    with running_registry(tmp_path / "own") as registry:
        site = Site(tmp_path, registry, "site-a")
        for sample in samples[:3]:
            site.add(sample)
        site.attestation()
        registry.kill()
        begun = time.monotonic()
        waiting = site.outcomes(code=5)
        assert time.monotonic() - begun < 60
        assert {row["outcome"] for row in waiting.values()} == {"waiting"}
        assert len(site.cases()) == 3
        registry.start()
        sent = site.outcomes(code=0)
        assert {row["case_id"] for row in sent.values()} == {row["case_id"] for row in waiting.values()}
        assert set(site.arrived()) == {row["case_id"] for row in sent.values()}


def test_a_case_that_the_registry_refused_is_not_offered_again_and_again(site, samples):
    """The registry does not know this profile, so it refuses what was made with it."""
    folder = site.folder / "own-profile"
    shutil.copytree(profiles_folder() / "bsti-default", folder)
    shutil.copytree(profiles_folder() / "vocabulary", site.folder / "vocabulary")
    text = (folder / "profile.toml").read_text("utf-8")
    (folder / "profile.toml").write_text(text.replace('name = "bsti-default"', 'name = "own-profile"'), "utf-8")
    number = site.add(samples[0])
    site.attestation("--profile", folder)
    refused = site.outcomes("--profile", folder, code=6)
    assert refused[number]["outcome"] == "refused"
    again = site.outcomes("--profile", folder, code=6)
    assert again[number]["case_id"] == refused[number]["case_id"]
    assert len(site.cases()) == 1
    site.rows[0]["crp"] = "150"
    site.write()
    corrected = site.outcomes("--profile", folder, code=6)
    assert corrected[number]["case_id"] != refused[number]["case_id"]


def test_a_case_that_was_taken_back_is_not_sent_again(site, samples):
    number = site.add(samples[0])
    case_id = site.outcomes(code=0)[number]["case_id"]
    site.run("withdraw", case_id, "--reason", "identifier-found", code=0)
    rows = site.outcomes(code=0)
    assert (rows[number]["outcome"], rows[number]["case_id"]) == ("withdrawn", case_id)
    assert site.arrived() == {case_id: "withdrawn"}


def test_a_row_that_was_changed_after_it_was_sent_is_told_and_not_sent(site, samples):
    number = site.add(samples[0])
    case_id = site.outcomes(code=0)[number]["case_id"]
    site.rows[0]["crp"] = "12"
    site.write()
    rows = site.outcomes(code=2)
    assert rows[number]["outcome"] == "invalid"
    assert case_id in rows[number]["message"]
    assert list(site.arrived()) == [case_id]


def test_a_case_that_another_run_made_meanwhile_is_not_made_again(site, samples):
    from bsti_submit.clinical.record import ClinicalRecord, validate
    from bsti_submit.deid.profile import load_profile
    from bsti_submit.deid.pseudonyms import SiteKey
    from bsti_submit.errors import NotDeliveredError
    from bsti_submit.pipeline.prepared import Choices, prepare
    from bsti_submit.pipeline.stream import Work
    from bsti_submit.pipeline.submission import build_and_keep
    from tests.support.package import CLINICAL

    key, profile, emit = SiteKey(os.urandom(32)), load_profile("bsti-default"), lambda event: None
    record = validate(CLINICAL)
    assert isinstance(record, ClinicalRecord)
    site.home.mkdir()
    with (
        Outbox(site.home) as outbox,
        Outbox(site.home) as other,
        prepare(samples[0].folder, profile, key, emit) as prepared,
    ):
        tag = prepared.tag([1])

        def build(where, after):
            work = Work(prepared, key, None, compress=True)
            return build_and_keep(where, tag, prepared, work, Choices((1,)), 1, record, key, emit, after=after)

        newest = outbox.find(tag)
        first = build(other, newest).package.case_id
        with pytest.raises(NotDeliveredError, match=first):
            build(outbox, newest)
        assert [case.case_id for case in outbox.list()] == [first]
        assert build(outbox, outbox.find(tag)).package.case_id != first


def test_only_one_batch_runs_at_a_time(site, samples):
    from filelock import FileLock

    site.add(samples[0])
    site.attestation()
    with FileLock(site.home / "batch.lock"):
        busy = site.batch(code=5)
    assert b"Another batch is running" in busy.stderr
    assert site.cases() == []


def test_a_case_that_is_sent_by_hand_meanwhile_goes_first(site, samples):
    number = site.add(samples[0])
    site.attestation()
    with Outbox(site.home) as outbox, outbox.sending():
        process = subprocess.Popen(
            site.command("batch", site.sheet, "--attestation", site.folder / "attestation.json", "--json"),
            env=site.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        site.registry.wait_for(lambda: any(case.state is State.PACKAGED for case in outbox.list()), seconds=60)
        time.sleep(0.5)
        assert process.poll() is None
        assert site.arrived() == {}
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert list(site.arrived()) == [json.loads(told)["rows"][0]["case_id"]]
    assert json.loads(told)["rows"][0]["row"] == number


def test_a_package_under_other_rules_than_the_attestation_is_not_sent(site, samples):
    number = site.add(samples[0])
    other = ("--profile", "bsti-dates-removed")
    site.attestation("--registry", "dir", *other)
    waiting = site.outcomes(*other, "--to", f"dir:{site.folder / 'no' / 'stick'}", code=5)
    site.attestation()
    rows = site.outcomes(code=3)
    assert rows[number]["outcome"] == "held"
    assert waiting[number]["case_id"] in rows[number]["message"]
    assert any("rules" in detail for detail in rows[number]["details"])
    assert site.arrived() == {}
    site.run("outbox", "drop", waiting[number]["case_id"], code=0)
    assert site.outcomes(code=0)[number]["outcome"] == "delivered"


def test_a_file_that_is_no_results_file_is_left_as_it_is(site, samples):
    site.add(samples[0], local_ref="B-2")
    before = site.sheet.read_bytes()
    site.batch("--results", site.sheet, code=2)
    assert site.sheet.read_bytes() == before
    own = site.folder / "out.csv"
    for outcome in ("delivered", "sent-before"):
        done = site.batch("--results", own, code=0)
        assert str(own).encode() not in done.stdout + done.stderr
        (row,) = csv.DictReader(io.StringIO(own.read_text("utf-8")))
        assert row["outcome"] == outcome
        assert row["local_ref"] == "B-2"
    site.batch("--results", site.folder / "no" / "such" / "folder.csv", code=2)


@posix
def test_on_a_terminal_a_bar_moves_and_the_rows_stay_readable(site, samples):
    import pexpect

    site.add(samples[0])
    command, *arguments = site.command("batch", site.sheet, "--dry-run")
    child = pexpect.spawn(command, arguments, env=site.environment, encoding="utf-8", timeout=60, dimensions=(24, 100))
    child.expect(r"1/1  row 2 \(A1\): counted, 3 images")
    assert "Rows:   0%|" in child.before
    child.expect(r"1 row: 1 counted\.")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1", "＝1", "a\n=1"])
def test_no_cell_is_a_formula(tmp_path, text):
    path = tmp_path / "results.csv"
    with ResultsFile(path) as results:
        results.add(RowReport(2, RowOutcome.HELD, ExitCode.HELD, local_ref=text, message="said"))
    ((*_, cell),) = [
        [value for name, value in row.items() if name == "local_ref"]
        for row in csv.DictReader(io.StringIO(path.read_text("utf-8"), newline=""))
    ]
    assert cell[:1] not in set("=+-@\t＝")
    assert text in cell


def test_results_are_whole_lines_at_every_moment(tmp_path):
    path = tmp_path / "results.csv"
    with ResultsFile(path) as results:
        for number in range(2, 50):
            results.add(RowReport(number, RowOutcome.DELIVERED, case_id="ABCD"))
            assert [int(row["row"]) for row in csv.DictReader(io.StringIO(path.read_text("utf-8")))] == list(
                range(2, number + 1)
            )
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError), ResultsFile(tmp_path / "folder.csv"):
        pass


def test_the_gravest_row_gives_the_exit_code():
    order = [1, 6, 3, 4, 7, 5, 2, 0]
    for place, code in enumerate(order):
        assert gravest(ExitCode(each) for each in reversed(order[place:])) == code
    assert gravest(()) is ExitCode.DONE


@pytest.mark.parametrize("workers", [1, 2])
def test_a_patient_who_objects_is_held_and_the_others_go(site, samples, workers):
    objecting, other = site.add(samples[0]), site.add(samples[1])
    listed = site.folder / "objections.txt"
    listed.write_text(f"{samples[0].patient_id}\n", "utf-8")
    rows = site.outcomes("--exclude-list", listed, "--workers", workers, code=3)
    assert [rows[number]["outcome"] for number in (objecting, other)] == ["held", "delivered"]
    assert "exclusion list" in rows[objecting]["message"]
    assert list(site.arrived()) == [rows[other]["case_id"]]
    site.batch("--exclude-list", site.folder / "no such list", code=2)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_sites_own_hospital_numbers_go_whoever_prepares_the_row(site, samples, workers):
    """A number of the site's form that stands nowhere else is only known by the pattern in the site file."""
    for sample in samples[:2]:
        number = site.add(sample)
        for path in (site.sheet.parent / site.rows[-1]["study_path"]).rglob("*.dcm"):
            dataset = pydicom.dcmread(path)
            dataset.SeriesDescription = "CT chest FC555 contrast"
            dataset.save_as(path)
    file = site.folder / "site.toml"
    file.write_text('hospital_number_pattern = "[A-Z]{2}[0-9]{3}"\n', "utf-8")
    site.run("setup", file, code=0)
    out = site.folder / "stick"
    out.mkdir()
    site.attestation("--registry", "dir")
    rows = site.outcomes("--workers", workers, "--to", f"dir:{out}", code=0)
    assert rows[number]["outcome"] == "delivered"
    packages = [path for path in out.rglob("*") if zipfile.is_zipfile(path)]
    assert len(packages) == 2
    for path in packages:
        with zipfile.ZipFile(path) as package:
            images = [package.read(name) for name in package.namelist() if name.endswith(".dcm")]
        assert images
        assert all(b"FC555" not in image and b"CT chest contrast" in image for image in images)
