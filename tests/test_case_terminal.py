"""`case` as a person meets it: a real terminal, the page beside it, a real registry over TLS, wrong answers and all."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import sys
import zipfile
from itertools import count
from pathlib import Path

import pytest

pytest.importorskip("pexpect", reason="pseudo-terminals are not to be had here")

from bsti_submit.model import new_case_id
from bsti_submit.sample import find_markers, make_sample
from tests.support import first_case, site
from tests.support.registry import running_registry
from tests.support.terminal import desk

pytestmark = [pytest.mark.server, pytest.mark.enable_socket]

AFTER_ONSET = (
    ("White cell count", "6.4 @0"),
    ("C-reactive protein", "148 @0"),
    ("pO2 of a blood gas", "nd"),
    ("SpO2 in %", "91 air @0"),
)
CONSOLES = {
    "colour": {},
    "dumb": {"TERM": "dumb"},
    "no colour": {"NO_COLOR": "1"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        running.site_token = running.token("site-a")
        yield running


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a CT with a radiograph, an earlier CT, and what is left out."""
    return make_sample(tmp_path_factory.mktemp("whole") / "study", slices=4, size=128, prior=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return a CT alone: nothing to choose, nothing to look at first."""
    return make_sample(tmp_path_factory.mktemp("plain") / "study", slices=3, size=64, radiograph=False, extras=False)


@pytest.fixture
def person(tmp_path, registry):
    return desk(tmp_path / "desk", registry=registry.url, ca_bundle=registry.ca_bundle, token=registry.site_token)


@pytest.fixture
def clinical(tmp_path, plain):
    return site.clinical(tmp_path / "clinical.json", plain)


def contents(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def found_below(folder, markers):
    """Search every file, and inside every ZIP. The local map of held files has names by design."""
    searched = 0
    found = []
    for path in folder.rglob("*"):
        if not path.is_file() or "paths" in path.relative_to(folder).parts:
            continue
        pieces = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                pieces += [archive.read(name) for name in archive.namelist()]
        for piece in pieces:
            searched += len(piece)
            found += find_markers(piece, markers)
    assert searched > 0
    return found


def metrics(terminal, sample, *, ct_only=False):
    """Answer everything rightly; return how many lines were typed."""
    turns = [
        ("Last three characters", sample.id_suffix),
        ("Age in years", ""),
        ("Sex: M, F or O", ""),
        ("Indication for the imaging", "2"),
        ("RT-PCR for SARS-CoV-2", "pos"),
        ("Each test", "neg -4, pos +1"),
        ("Days from symptom onset", "9"),
        *AFTER_ONSET,
        ("Earlier chest imaging", "no" if ct_only else ""),
        ("BSTI category of the CT", "1"),
        *([("BSTI category of the radiograph", "")] if sample.radiographs and not ct_only else []),
        ("Severity", "2"),
        ("Outcome", ""),
        ("Number to change", "done"),
    ]
    terminal.answers(*turns)
    return len(turns)


@pytest.mark.measured
def test_a_first_case_with_wrong_answers_on_the_way(person, registry, study):
    before = contents(study.folder)
    with person.starts("case", study.folder) as terminal:
        terminal.sees("in 2 studies to send")
        terminal.sees("Left out:")
        terminal.sees("A secondary capture")
        terminal.sees("2 other files here: not DICOM, and ignored")
        terminal.answers(
            ("Which study is the case about?", "3"),
            ("Type a number from 1 to 2", "²"),
            ("Type a number from 1 to 2", ""),
            ("Which earlier studies go along", "1"),
            ("Type one or more of these numbers: 2", "2"),
        )
        terminal.sees("One picture has to be looked at first")
        page = terminal.opens_page()
        item = page.state()["items"][0]
        assert item["caption"].startswith("DX")
        answer, _ = page.ask("POST", "/decision", {"index": 0, "verdict": "cleared"})
        assert answer.status == 409, "nobody may clear what was not looked at"
        assert page.decide_all("cleared") == study.radiographs
        terminal.answers(
            ("Last three characters", "999"),
            ("Is it the right patient?", study.id_suffix.casefold()),
            ("Age in years", "45"),
            ("Is this the right patient?", "<"),
            ("Age in years", ""),
            ("Sex: M, F or O", "1"),
            ("is ambiguous", ""),
            ("Indication for the imaging", "?"),
            ("Why the imaging was asked for", "2"),
            ("RT-PCR for SARS-CoV-2", "<"),
            ("Indication for the imaging", "1"),
            ("RT-PCR for SARS-CoV-2", ""),
            ("Enter alone is no answer here", "pos"),
            ("Each test", "neg -4, pos +1"),
            ("Days from symptom onset", "9"),
            ("White cell count", "6400"),
            ("This looks like cells/uL", "6.4 @0"),
            ("C-reactive protein", "612 @0"),
            ("Type the value again", "148"),
            ("asked again", "612 @0"),
            ("Type the value again", "612 @0"),
            ("pO2 of a blood gas", ""),
            ("Enter alone", "62 mmHg arterial 0.28 @0"),
            ("SpO2 in %", "91 air @0"),
            ("Earlier chest imaging", ""),
            ("BSTI category of the CT", "1"),
            ("BSTI category of the radiograph", ""),
            ("Severity", "2"),
            ("Outcome", ""),
            ("Number to change", "8"),
            ("C-reactive protein", "148 @0"),
            ("Number to change", "done"),
        )
        terminal.sees("The last look")
        terminal.sees(f"To {registry.url}")
        terminal.sees("Images 11, in a package of")
        page = terminal.opens_page()
        state = page.state()
        assert len(state["items"]) == study.slices + study.radiographs + study.prior_slices
        pictures = [page.picture(item["index"], "?size=small") for item in state["items"]]
        assert len({*pictures}) > len(pictures) // 2, "slices differ, so their pictures do"
        notes = " ".join(state["notes"])
        case_id = re.search(r"Case +([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})", notes)[1]
        digest = re.search(r"SHA-256 +([0-9a-f]{64})", notes)[1]
        assert registry.url in notes
        assert case_id in terminal.shown
        assert digest in terminal.shown
        terminal.answers(("Press Enter once you have looked", ""), ("Type I CONFIRM", "i confirm"))
        assert terminal.ends() == 4
        assert f"bsti-submit outbox drop {case_id}" in terminal.shown
        assert "run the same command again" in terminal.shown
        first = terminal.shown
    package = person.home / "outbox" / "packages" / f"{case_id}.zip"
    assert package.exists()

    with person.starts("case", study.folder) as terminal:
        terminal.answers(("[1, the newest]", ""), ("[none]", "2"))
        terminal.sees(f"Case {case_id} of these studies is in the outbox already")
        terminal.sees(digest)
        terminal.opens_page().picture(0)
        terminal.answers(("Press Enter once you have looked", ""), ("Type I CONFIRM", "I CONFIRM"))
        assert terminal.ends() == 0
        assert "Receipt:" in terminal.shown
        assert f"bsti-submit status {case_id}" in terminal.shown
    assert not package.exists()

    with person.starts("case", study.folder) as terminal:
        terminal.answers(("[1, the newest]", ""), ("[none]", "2"))
        terminal.sees("were sent before")
        assert terminal.ends() == 0
    with person.starts("status", case_id) as terminal:
        assert terminal.ends() == 0
        assert "quarantined" not in terminal.shown
    assert contents(study.folder) == before
    assert found_below(person.home, study.markers) == []
    assert found_below(registry.data, study.markers) == []
    asked = first[first.index("Clinical metrics") :]
    assert find_markers(asked.encode(), study.markers) == [], "after the survey nothing of the headers is shown"


def test_a_case_takes_few_lines_and_yes_takes_what_is_prefilled(person, study):
    with person.starts("case", study.folder, "--yes", "--dry-run") as terminal:
        terminal.sees("no earlier study goes along")
        terminal.opens_page().decide_all("cleared")
        turns = [
            ("Last three characters", study.id_suffix),
            ("Indication for the imaging", "2"),
            ("RT-PCR for SARS-CoV-2", "nd"),
            ("Days from symptom onset", ""),
            ("White cell count", "6.4 @0"),
            ("C-reactive protein", "p"),
            ("pO2 of a blood gas", "nd"),
            ("SpO2 in %", ""),
            ("BSTI category of the CT", ""),
            ("BSTI category of the radiograph", ""),
            ("Severity", ""),
            ("Outcome", ""),
            ("Number to change", "2"),
            ("Age in years", ""),
            ("Number to change", "done"),
        ]
        terminal.answers(*turns)
        assert terminal.ends() == 0
        assert "Would send" in terminal.shown
        assert terminal.shown.count("Age in years") == 1, "what Enter accepts was taken, until it was to be changed"
        assert "Sex: F" in terminal.shown
        assert "Type I CONFIRM" not in terminal.shown
    with person.starts("case", study.folder, "--dry-run") as terminal:
        terminal.answers(("[1, the newest]", ""), ("[none]", "2"))
        assert metrics(terminal, study) + 2 <= 25
        assert terminal.ends() == 0


@pytest.mark.measured
def test_stopped_in_the_middle_and_gone_on_with(person, plain):
    with person.starts("case", plain.folder) as terminal:
        terminal.answers(
            ("Last three characters", plain.id_suffix),
            ("Age in years", ""),
            ("Sex: M, F or O", ""),
            ("Indication for the imaging", "12"),
            ("in a few words", f"Cough, {plain.patient_id}"),
            ("Remove it", "Cough after a flight"),
            ("RT-PCR for SARS-CoV-2", "nd"),
        )
        terminal.sees("Days from symptom onset")
        terminal.sees("> ")
        terminal.presses("c")
        terminal.sees("Your answers so far are kept")
        assert terminal.ends() == 130
        assert "Traceback" not in terminal.shown
    assert found_below(person.home, plain.markers) == []
    assert not list((person.home / "outbox" / "packages").iterdir())

    with person.starts("case", plain.folder) as terminal:
        terminal.answers(
            ("Last three characters", plain.id_suffix),
            ("Your earlier answers are here again", "9"),
            *AFTER_ONSET,
            ("Earlier chest imaging", "no"),
            ("BSTI category of the CT", ""),
            ("Severity", ""),
            ("Outcome", ""),
        )
        terminal.sees("Cough after a flight")
        terminal.answer("Number to change", "stop")
        assert terminal.ends() == 130
    with person.starts("case", plain.folder) as terminal:
        terminal.answer("Last three characters", plain.id_suffix)
        terminal.answer("Number to change", "done")
        terminal.opens_page().picture(0)
        terminal.answers(("Press Enter", ""), ("Type I CONFIRM", "I CONFIRM"))
        assert terminal.ends() == 0
    with person.starts("case", plain.folder, "--again") as terminal:
        terminal.sees("Last three characters")
        terminal.presses("c")
        assert terminal.ends() == 130
        assert "earlier answers" not in terminal.shown, "a case that was sent leaves no draft"


BEFORE = {
    "study": (),
    "priors": (("[1, the newest]", ""),),
    "suffix": (("[1, the newest]", ""), ("[none]", "")),
}
QUESTIONS = {
    "study": "Which study is the case about?",
    "priors": "Which earlier studies go along",
}


@pytest.mark.parametrize("key", ["d", "c"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_end_of_the_input_before_the_metrics(person, study, question, key):
    with person.starts("case", study.folder) as terminal:
        terminal.answers(*BEFORE[question])
        terminal.sees(QUESTIONS[question])
        terminal.sees("> ")
        terminal.presses(key)
        assert terminal.ends() == 130
        assert "run the same command again" in terminal.shown


METRICS = (
    "Last three characters",
    "Age in years",
    "Sex: M, F or O",
    "Indication for the imaging",
    "RT-PCR for SARS-CoV-2",
    "White cell count",
    "again >",
    "Number to change",
)


def test_a_dry_run_keeps_no_answers(person, plain):
    with person.starts("case", plain.folder, "--dry-run") as terminal:
        terminal.answers(("Last three characters", plain.id_suffix), ("Age in years", ""), ("Sex: M, F or O", ""))
        terminal.sees("Indication for the imaging")
        terminal.presses("d")
        assert terminal.ends() == 130
    database = sqlite3.connect(person.home / "outbox" / "outbox.sqlite")
    assert database.execute("SELECT count(*) FROM drafts").fetchone() == (0,)
    database.close()


@pytest.mark.parametrize("question", METRICS)
def test_the_end_of_the_input_in_the_metrics(person, plain, question):
    turns = [
        ("Last three characters", plain.id_suffix),
        ("Age in years", ""),
        ("Sex: M, F or O", ""),
        ("Indication for the imaging", "2"),
        ("RT-PCR for SARS-CoV-2", "nd"),
        ("Days from symptom onset", ""),
        ("White cell count", "0.4 @0"),
        ("again >", "0.4 @0"),
        ("C-reactive protein", "p"),
        ("pO2 of a blood gas", "nd"),
        ("SpO2 in %", ""),
        ("Earlier chest imaging", "no"),
        ("BSTI category of the CT", ""),
        ("Severity", ""),
        ("Outcome", ""),
        ("Number to change", ""),
    ]
    with person.starts("case", plain.folder) as terminal:
        for expected, line in turns:
            if expected == question:
                break
            terminal.answer(expected, line)
        terminal.sees(question)
        if not question.endswith(">"):
            terminal.sees("> ")
        terminal.presses("d")
        assert terminal.ends() == 130
        assert "Stopped" in terminal.shown
    assert not list((person.home / "outbox" / "packages").iterdir())


@pytest.mark.parametrize("key", ["d", "c"])
@pytest.mark.parametrize("question", ["Press Enter once you have looked at the pictures > ", "keeps it here > "])
def test_the_end_of_the_input_at_the_last_look_keeps_the_package(person, registry, plain, clinical, question, key):
    received = sorted(path.name for path in registry.data.rglob("*.zip"))
    with person.starts("case", plain.folder, "--clinical", clinical) as terminal:
        terminal.answer("Last three characters", plain.id_suffix)
        page = terminal.opens_page()
        page.picture(0)
        if "CONFIRM" in question or "keeps" in question:
            terminal.answer("Press Enter", "")
        terminal.sees(question)
        terminal.presses(key)
        assert terminal.ends() == 130
        assert "is kept in the outbox" in terminal.shown
        assert "bsti-submit outbox drop" in terminal.shown
    assert len(list((person.home / "outbox" / "packages").iterdir())) == 1
    assert sorted(path.name for path in registry.data.rglob("*.zip")) == received


def test_pictures_that_nobody_opened_are_not_attested_as_looked_at(person, plain, clinical):
    with person.starts("case", plain.folder, "--clinical", clinical) as terminal:
        terminal.answers(
            ("Last three characters", plain.id_suffix),
            ("Press Enter once you have looked", ""),
            ("The pictures were not opened", ""),
            ("Type I CONFIRM", "I CONFIRM"),
        )
        assert terminal.ends() == 0
    records = [json.loads(path.read_bytes()) for path in (person.home / "outbox" / "records").rglob("*.json")]
    assert "unseen-kinds-only" in json.dumps(records)
    assert "looked-at" not in json.dumps(records)


@pytest.mark.measured
def test_three_wrong_hospital_numbers_stop_the_case(person, plain, clinical):
    for options in ((), ("--clinical", clinical)):
        with person.starts("case", plain.folder, *options) as terminal:
            terminal.answers(("Last three characters", "000"), ("2 more tries", "001"), ("1 more try", "002"))
            assert terminal.ends() == 3
            assert "Which files those are" not in terminal.shown
    assert not list((person.home / "outbox" / "packages").iterdir())


def test_two_patients_in_one_folder(person, tmp_path):
    both = tmp_path / "both"
    for seed in (1, 2):
        make_sample(both / str(seed), slices=1, size=64, seed=seed, radiograph=False, extras=False)
    with person.starts("case", both) as terminal:
        terminal.sees("The images here belong to 2 different patients, so nothing was done.")
        terminal.sees("A case is one patient.")
        assert terminal.ends() == 3


def test_nothing_to_send(person, tmp_path):
    study = make_sample(tmp_path / "study", slices=1, size=64)
    for path in study.folder.rglob("*"):
        if path.is_file() and "CT 2" in path.parent.name:
            path.unlink()
    for path in [*study.folder.rglob("IM000001")]:
        path.unlink()
    with person.starts("case", study.folder) as terminal:
        terminal.sees("There is nothing here that this profile sends.")
        terminal.sees("1 x A secondary capture")
        terminal.sees("1 x A structured report")
        terminal.sees("2 x Not DICOM files")
        assert terminal.ends() == 2


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("BSTI_REGISTRY", ("No registry is set up yet.", "bsti-submit setup SITE.toml")),
        ("BSTI_TOKEN_FILE", ("You are not signed in to the registry yet.", "bsti-submit login")),
    ],
)
def test_what_is_not_set_up_is_said_first(person, plain, missing, told):
    with person.but(**{missing: None}).starts("case", plain.folder) as terminal:
        for text in told:
            terminal.sees(text)
        assert terminal.ends() == 7
        assert "Found" not in terminal.shown


def test_a_place_that_is_none_is_said_first(person, plain):
    with person.starts("case", plain.folder, "--to", "dicomweb") as terminal:
        terminal.sees("The destination must be registry or dir:FOLDER.")
        assert terminal.ends() == 2
        assert "Found" not in terminal.shown


def test_a_folder_as_the_destination(person, plain, clinical, tmp_path):
    with person.starts(
        "case", plain.folder, "--clinical", clinical, "--to", f"dir:{tmp_path / 'stick'}", "--yes"
    ) as terminal:
        terminal.answer("Last three characters", plain.id_suffix)
        terminal.sees("To the folder")
        terminal.opens_page().picture(0)
        terminal.answers(("Press Enter", ""), ("Type I CONFIRM", "I CONFIRM"))
        assert terminal.ends() == 0
        assert "nobody has signed" in terminal.shown.replace("\n", " ")
    assert len(list((tmp_path / "stick").glob("*.zip"))) == 1


def test_an_invalid_clinical_file_is_told_before_anything_is_asked(person, study, tmp_path):
    file = tmp_path / "clinical.json"
    file.write_text('{"schema_version": "1.0"}', "utf-8")
    with person.starts("case", study.folder, "--clinical", file, "--yes") as terminal:
        assert terminal.ends() == 2
        assert "missing" in terminal.shown
        assert "/open/" not in terminal.shown


@pytest.mark.measured
def test_an_earlier_study_is_chosen_by_number_and_images_are_left_out(person, study, clinical):
    with person.starts("case", study.folder, "--study", "9") as terminal:
        terminal.sees("There is no study number 9 here.")
        assert terminal.ends() == 2
    with person.starts("case", study.folder, "--leave-out", "4711") as terminal:
        terminal.sees("There is nothing here to leave out under that reference.")
        terminal.sees("#004711")
        assert terminal.ends() == 2
    with person.starts(
        "case", study.folder, "--study", "2", "--leave-out", "#000006", "--leave-out", "7", "--dry-run"
    ) as terminal:
        metrics(terminal, study, ct_only=True)
        assert terminal.ends() == 0
        sent = re.search(r"Would send (\d+) images", terminal.shown)
        assert sent is not None
        assert "A person chose to leave it out." in terminal.shown
    assert "One picture" not in terminal.shown, "the radiograph belongs to the other study"


def test_a_clinical_file_that_denies_the_chosen_earlier_study_is_refused(person, study, tmp_path):
    clinical = site.clinical(tmp_path / "clinical.json", study, prior_imaging={"value": "no"})
    with person.starts("case", study.folder, "--clinical", clinical, "--dry-run") as terminal:
        terminal.answers(("[1, the newest]", ""), ("[none]", "2"))
        terminal.sees("E-CHOICE prior_imaging: an earlier study goes along, so there is earlier imaging.")
        assert terminal.ends() == 2
        assert "Last three characters" not in terminal.shown


@pytest.mark.parametrize("verdict", ["rejected", "nothing"])
@pytest.mark.measured
def test_a_picture_that_is_not_cleared_is_left_out_or_stops_the_case_before_the_metrics(person, study, verdict):
    with person.starts("case", study.folder, "--yes") as terminal:
        page = terminal.opens_page()
        if verdict == "nothing":
            page.done()
        else:
            page.decide_all(verdict)
        terminal.sees("1 held:")
        terminal.answer("Leave it out and go on with the other images?", "no")
        terminal.sees("1 image is held, so nothing was packaged or sent.")
        terminal.sees("Which files those are is listed, for you alone")
        terminal.sees("--leave-out")
        assert terminal.ends() == 3
        assert "Last three characters" not in terminal.shown
        reference = re.search(r"#0000\d\d", terminal.shown)[0]
    with person.starts("case", study.folder, "--yes", "--leave-out", reference) as terminal:
        terminal.sees("Last three characters")
        terminal.presses("d")
        assert terminal.ends() == 130
        assert "/open/" not in terminal.shown
    with person.starts("case", study.folder, "--yes", "--dry-run") as terminal:
        if verdict == "nothing":
            terminal.opens_page().done()
        terminal.sees("Leave it out and go on with the other images?")
        terminal.presses("d")
        assert terminal.ends() == 130
    with person.starts("case", study.folder, "--yes") as terminal:
        if verdict == "nothing":
            terminal.opens_page().done()
        terminal.answer("Leave it out and go on with the other images?", "yes")
        terminal.sees("Last three characters")
        terminal.presses("d")
        assert terminal.ends() == 130


def test_a_picture_that_is_left_out_on_the_page_lets_the_case_go_on(person, study):
    with person.starts("case", study.folder, "--yes") as terminal:
        terminal.opens_page().decide_all("left-out")
        terminal.sees("Last three characters")
        terminal.presses("d")
        assert terminal.ends() == 130


def test_a_decision_can_be_changed_by_review(person, study):
    for verdict in ("rejected", "cleared"):
        with person.starts("review", study.folder) as terminal:
            page = terminal.opens_page()
            assert page.state()["items"][0]["verdict"] == ("" if verdict == "rejected" else "rejected")
            page.decide_all(verdict)
            terminal.sees("What you decided is kept for exactly these pictures.")
            assert terminal.ends() == 0
    with person.starts("case", study.folder, "--yes") as terminal:
        terminal.sees("Last three characters")
        terminal.presses("d")
        terminal.ends()
        assert "/open/" not in terminal.shown


def test_nothing_left_is_told_before_the_metrics(person, tmp_path):
    sample = make_sample(tmp_path / "study", slices=0, extras=False)
    with person.starts("case", sample.folder) as terminal:
        terminal.opens_page().decide_all("left-out")
        terminal.sees("Nothing is left to send.")
        assert terminal.ends() == 2


def test_a_file_that_was_cut_off_is_left_out_by_the_person_alone(person, plain, tmp_path):
    folder = other_body_part(tmp_path / "cut", plain.folder, BodyPartExamined="CHEST")
    broken = folder / "001"
    broken.write_bytes(broken.read_bytes()[:-3000])
    with person.starts("case", folder) as terminal:
        terminal.sees("Held, until you decide:")
        terminal.sees("1 held: The file ends too early")
        terminal.answer("Leave it out and go on", "no")
        terminal.sees("#000002")
        assert terminal.ends() == 3
    maps = list((person.home / "paths").glob("*.csv"))
    assert "001" in maps[0].read_text("utf-8")
    with person.starts("case", folder, "--dry-run") as terminal:
        terminal.answer("Leave it out and go on", "y")
        metrics(terminal, plain, ct_only=True)
        assert terminal.ends() == 0
        assert "Would send 2 images" in terminal.shown


def test_a_patient_without_a_number_is_asked_about(person, plain, tmp_path):
    folder = other_body_part(tmp_path / "nobody", plain.folder, BodyPartExamined="CHEST", PatientID="")
    for key in ("no", "d"):
        with person.starts("case", folder) as terminal:
            terminal.sees("The images have no usable hospital number.")
            terminal.sees("yes or no > ")
            if key == "no":
                terminal.types("no")
            else:
                terminal.presses(key)
            assert terminal.ends() == (3 if key == "no" else 130)
    with person.starts("case", folder, "--yes") as terminal:
        terminal.answer("yes or no", "yes")
        terminal.sees("The images hold no hospital number to compare with.")
        terminal.sees("Indication for the imaging")
        terminal.presses("d")
        assert terminal.ends() == 130


@pytest.mark.measured
def test_a_package_is_looked_at_approved_and_sent(person, plain, clinical):
    with person.starts("package", plain.folder, "--clinical", clinical) as terminal:
        assert terminal.ends() == 0
        case_id = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", terminal.shown)[0]
    with person.starts("review", case_id.lower()) as terminal:
        page = terminal.opens_page()
        assert len(page.state()["items"]) == plain.slices
        page.picture(plain.slices - 1)
        page.done()
        terminal.sees(f"To release it: bsti-submit approve {case_id}")
        assert terminal.ends() == 0
    for typed, code in (("yes", 4), (None, 130), ("I CONFIRM", 0)):
        with person.starts("approve", case_id) as terminal:
            page = terminal.opens_page()
            assert len(page.state()["items"]) == plain.slices
            page.picture(0)
            terminal.answer("Press Enter", "")
            terminal.sees("Type I CONFIRM to approve it; anything else keeps it here > ")
            if typed is None:
                terminal.presses("d")
            else:
                terminal.types(typed)
            assert terminal.ends() == code
        if code:
            with person.starts("outbox", "send") as terminal:
                terminal.sees("Nothing is waiting to be sent.")
                assert terminal.ends() == 0
    with person.starts("outbox", "send") as terminal:
        terminal.sees("delivered")
        assert terminal.ends() == 0
    with person.starts("review", case_id) as terminal:
        terminal.sees("no longer on this machine")
        assert terminal.ends() == 2


@pytest.mark.measured
def test_a_case_that_did_not_get_through_goes_on_by_the_same_command(person, registry, plain, clinical):
    away = person.but(BSTI_REGISTRY="https://127.0.0.1:9", BSTI_GIVE_UP_AFTER="1")
    with away.starts("case", plain.folder, "--clinical", clinical) as terminal:
        terminal.answer("Last three characters", plain.id_suffix)
        terminal.opens_page().picture(0)
        terminal.answers(("Press Enter", ""), ("Type I CONFIRM", "I CONFIRM"))
        terminal.sees("could not be reached")
        assert terminal.ends() == 5
    with person.starts("case", plain.folder) as terminal:
        terminal.sees("going on with it")
        # It was confirmed for another registry, so it is asked again.
        terminal.opens_page().picture(0)
        terminal.answers(("Press Enter", ""), ("Type I CONFIRM", "I CONFIRM"))
        assert terminal.ends() == 0


def other_body_part(folder, source, **changes):
    from pydicom import dcmread, dcmwrite

    folder.mkdir()
    for number, path in zip(count(), sorted(path for path in source.rglob("*.dcm") if path.is_file())):
        dataset = dcmread(path)
        for name in ("BodyPartExamined", "StudyDescription", "SeriesDescription", "ProtocolName"):
            if name in dataset:
                setattr(dataset, name, "")
        for name in ("AnatomicRegionSequence", "RequestAttributesSequence", "ProcedureCodeSequence"):
            if name in dataset:
                delattr(dataset, name)
        for name, value in changes.items():
            setattr(dataset, name, value)
        dcmwrite(folder / f"{number:03d}", dataset)
    return folder


@pytest.mark.measured
def test_images_that_do_not_say_chest_are_asked_about(person, plain, tmp_path):
    folder = other_body_part(tmp_path / "unknown", plain.folder, BodyPartExamined="ABDOMEN")
    with person.starts("case", folder) as terminal:
        terminal.sees("3 images do not say that the chest is shown.")
        terminal.answers(("yes or no", "perhaps"), ("yes or no", "no"))
        terminal.sees("There are images that do not belong to a chest case")
        terminal.sees("#000001, #000002, #000003")
        assert terminal.ends() == 3
    with person.starts("case", folder) as terminal:
        terminal.answers(("yes or no", "y"))
        terminal.sees("Last three characters")
        terminal.presses("d")
        assert terminal.ends() == 130
    with person.starts("case", folder) as terminal:
        terminal.sees("yes or no")
        terminal.presses("d")
        assert terminal.ends() == 130


def test_a_header_cannot_steer_the_terminal(person, plain, tmp_path):
    evil = "CT \x1b]0;owned\x07\x1b[2J thorax"
    folder = other_body_part(tmp_path / "evil", plain.folder, BodyPartExamined="CHEST", StudyDescription=evil)
    with person.starts("case", folder) as terminal:
        terminal.sees("thorax")
        assert terminal.ends() == 3  # no character set has these bytes, so nobody is asked for anything
        assert "\x1b]0;" not in terminal.raw
        assert "\x1b[2J" not in terminal.raw


@pytest.mark.parametrize("variables", CONSOLES.values(), ids=CONSOLES)
def test_every_console(person, study, variables):
    with person.starts("case", study.folder, "--yes", "--dry-run", **variables) as terminal:
        terminal.opens_page().decide_all("cleared")
        terminal.answers(
            ("Last three characters", "é9ü"),
            ("> ", study.id_suffix),
            ("Indication for the imaging", "12"),
            ("in a few words", "Fièvre"),
        )
        terminal.sees("> ")
        terminal.presses("c")
        assert terminal.ends() == 130
        shown, raw = terminal.shown, terminal.raw
    assert "Traceback" not in shown
    assert "fault of its own" not in shown
    assert max(len(line) for line in shown.splitlines() if "%" not in line and "/" not in line) <= 80
    if variables.get("TERM") == "dumb":
        assert "\x1b" not in raw
    if "NO_COLOR" in variables:
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", raw)


def test_a_piped_result_holds_the_result_alone(person, plain, clinical, tmp_path):
    out = tmp_path / "result"
    line = shlex.join([sys.executable, "-m", "bsti_submit", "case", str(plain.folder), "--clinical", str(clinical)])
    with person.runs("/bin/sh", "-c", f"{line} > {shlex.quote(str(out))}") as terminal:
        terminal.answer("Last three characters", plain.id_suffix)
        terminal.opens_page().picture(0)
        terminal.answers(("Press Enter", ""), ("Type I CONFIRM", "I CONFIRM"))
        assert terminal.ends() == 0
    written = out.read_text("utf-8")
    assert [line.partition(":")[0] for line in written.splitlines()] == ["Case", "Receipt", "Images", "SHA-256"]
    assert find_markers(written.encode(), plain.markers) == []


def test_json_at_a_terminal(person, plain, clinical, tmp_path):
    out = tmp_path / "result"
    words = [sys.executable, "-m", "bsti_submit", "case", str(plain.folder), "--clinical", str(clinical), "--json"]
    with person.runs("/bin/sh", "-c", f"{shlex.join(words)} > {shlex.quote(str(out))}") as terminal:
        terminal.answer("Last three characters", plain.id_suffix)
        terminal.opens_page().picture(0)
        terminal.answers(("Press Enter", ""), ("Type I CONFIRM", "I CONFIRM"))
        assert terminal.ends() == 0
    assert json.loads(out.read_text("utf-8"))["state"] == "delivered"


def test_other_answers_than_those_in_the_outbox_are_not_passed_over(person, plain, clinical):
    with person.starts("case", plain.folder, "--clinical", clinical) as terminal:
        terminal.answers(("Last three characters", plain.id_suffix), ("Press Enter", ""), ("not opened", ""))
        terminal.answer("Type I CONFIRM", "no")
        assert terminal.ends() == 4
    record = json.loads(clinical.read_text("utf-8"))
    record["crp"]["value"] = 99
    clinical.write_text(json.dumps(record), "utf-8")
    with person.starts("case", plain.folder, "--clinical", clinical) as terminal:
        terminal.sees("waits in the outbox with other answers")
        assert terminal.ends() == 2


def test_the_page_for_radiologists_shows_the_dialogue_as_it_is(person, registry, tmp_path):
    sample = first_case.study(tmp_path / "study", slices=2, size=64)
    with person.starts("case", sample.folder, NO_COLOR="1") as terminal:
        first_case.hold(terminal, sample)
        live = first_case.parts(terminal.shown)
    shown = first_case.captured(first_case.PAGE.read_text("utf-8"))
    assert shown.keys() == live.keys()
    for name, part in live.items():
        assert first_case.normal(shown[name]) == first_case.normal(part), name


def test_the_messages_that_the_page_explains_are_ours():
    root = Path(__file__).parents[1]
    code = " ".join(path.read_text("utf-8") for path in (root / "bsti_submit").rglob("*.py"))
    rows = re.findall(r"(?m)^\| ([A-Z1][^|]+?) \|", first_case.PAGE.read_text("utf-8"))
    assert len(rows) >= 8
    for row in rows:
        spoken = re.sub(r"^The images here belong to 2", "The images here belong to {count}", row)
        spoken = spoken.removeprefix("1 image is ")
        assert spoken in code, row


@pytest.mark.measured
def test_an_amendment_at_a_terminal_shows_what_changes_and_claims_no_look(person, registry, plain, clinical, tmp_path):
    with person.starts("case", plain.folder, "--clinical", clinical) as terminal:
        terminal.answer("Last three characters", plain.id_suffix)
        terminal.opens_page().picture(0)
        terminal.answers(("Press Enter", ""), ("Type I CONFIRM", "I CONFIRM"))
        assert terminal.ends() == 0
        case_id = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", terminal.shown)[0]
    revised = tmp_path / "revised.json"
    revised.write_text(json.dumps(json.loads(clinical.read_text("utf-8")) | {"crp": {"absent": "withheld"}}), "utf-8")
    strange = tmp_path / "strange.json"
    strange.write_text(json.dumps(json.loads(revised.read_text("utf-8")) | {"case_id": new_case_id()}), "utf-8")
    with person.starts("amend", case_id, "--clinical", strange) as terminal:
        terminal.sees("E-CASE-DIFFERS case_id: this record is another case's.")
        assert terminal.ends() == 3
    for typed, code in (("yes", 4), ("I CONFIRM", 0)):
        with person.starts("amend", case_id, "--clinical", revised) as terminal:
            terminal.sees("crp: ")
            terminal.answer("Type I CONFIRM to send this record", typed)
            assert terminal.ends() == code
    (file,) = registry.data.rglob("registry.sqlite3")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        (document,) = database.execute(
            "SELECT attestation FROM clinical WHERE case_id = ? ORDER BY revision DESC LIMIT 1", (case_id,)
        ).fetchone()
    assert json.loads(document)["facts"]["images"] == "unseen-kinds-only"
