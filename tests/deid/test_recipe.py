"""Each trap of deid's language is told with its line, what is wrong and how it is spelt right."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bsti_submit.deid.profile_reader import lint_profile
from bsti_submit.deid.recipe import lint, read_recipe
from bsti_submit.deid.recipe_reader import Verb
from bsti_submit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "FORMAT dicom\n%header\n"


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str, name: str = "site.dicom") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


HEADER_TRAPS = [
    ("trailing-comment", "REMOVE PatientName # reason", "comment", "REMOVE PatientName"),
    ("comment-glued", "REPLACE PatientID X#1", "comment", "REPLACE PatientID X"),
    ("lower-case", "remove PatientName", "not an action", "REMOVE PatientName"),
    ("suffix", "REMOVED PatientName", "not an action", "REMOVE PatientName"),
    ("synonym", "DELETE PatientName", "not an action", "REMOVE PatientName"),
    ("label-in-header", "LABEL PatientName", "not an action", ""),
    ("keyword", "REMOVE PatinetName", "not a keyword", "REMOVE PatientName"),
    ("stock-typo", "REMOVE PatientsName", "not a keyword", "REMOVE PatientName"),
    ("case-of-keyword", "KEEP patientsex", "not a keyword", "KEEP PatientSex"),
    ("all", "REMOVE all", "not a keyword", "REMOVE ALL"),
    ("spaced-tag", "REMOVE (0010, 0010)", "without a space", "REMOVE (0010,0010)"),
    ("hex-tag", "REMOVE 0x00100010", "not how deid writes", "REMOVE (0010,0010)"),
    ("unknown-tag", "REMOVE (0011,0010)", "private creator", ""),
    ("no-such-tag", "REMOVE (0010,9999)", "has no attribute", ""),
    ("even-private", 'KEEP 0010,"ACME",01', "even", ""),
    ("repeating", "REMOVE OverlayData", "repeating groups", "REMOVE contains:^60[0-9a-f][02468ace]3000$"),
    ("repeating-tag", "REMOVE 60xx4000", "repeating groups", ""),
    ("expander", "REMOVE contians:Name", "not an expander", "REMOVE contains:Name"),
    ("regex", "REMOVE regex:Name", "not an expander", "REMOVE contains:Name"),
    ("group", "REMOVE group:0010", "not an expander", "REMOVE select:group:0010"),
    ("expander-case", "REMOVE Contains:Name", "not an expander", "REMOVE contains:Name"),
    ("broken-regex", "REMOVE contains:(Name", "not a valid regular expression", ""),
    ("cased-escape", "REMOVE contains:^\\Dx", "lower case", ""),
    ("digits", "REMOVE contains:0010", "middle of tags", "REMOVE select:group:0010"),
    ("never", "REMOVE contains:zzqq", "matches no attribute", ""),
    ("never-group", "REMOVE select:group:0abc", "matches no attribute", ""),
    ("select-vr", "REMOVE select:VR:QQ", "not a VR", ""),
    ("select-what", "REMOVE select:vm:1", "select: takes", ""),
    ("fields-unknown", "REMOVE fields:names", "no %fields", ""),
    ("values", "REMOVE values:patient", "not supported", ""),
    ("item-number", "REMOVE (0008,1115)__0__(0020,000E)", "number", "REMOVE (0008,1115)__(0020,000E)"),
    ("not-nested", "REMOVE PatientName__PatientID", "not a sequence", ""),
    ("no-field", "REMOVE", "needs a field", ""),
    ("jitter-bare", "JITTER StudyDate", "needs a value", ""),
    ("jitter-parameter", "REPLACE StudyDate deid_func:jitter days=x", "whole number", ""),
    ("no-value", "REPLACE PatientID", "needs a value", ""),
    ("value-of-blank", "BLANK PatientID X", "takes no value", "BLANK PatientID"),
    ("value-of-remove", "REMOVE PatientID func:is_old", "takes no value", "REMOVE PatientID"),
    ("space-in-expression", "REMOVE contains:Patient Name", "takes no value", "REMOVE contains:Patient"),
    ("variable", "REPLACE PatientID var:newid", "no variable newid", ""),
    ("function", "REPLACE StudyDate func:shiftdate", "not a function", "func:shift_date"),
    ("function-case", "REPLACE StudyDate FUNC:shift_date", "lower case", ""),
    (
        "deid-function",
        "REPLACE SOPInstanceUID deid_func:pydicom_uid",
        "not a function",
        "deid_func:pydicom_uuid",
    ),
    ("constant-uid", "REPLACE SOPInstanceUID deid_func:pydicom_uuid stable_remapping=false", "same one", ""),
    ("prefix", "REPLACE SOPInstanceUID deid_func:dicom_uuid org_root=1.2", "takes no org_root", ""),
    ("jitter-vr", "JITTER PatientAge 5", "holds no date", "REMOVE PatientAge"),
    ("jitter-time", "JITTER StudyTime 5", "time of day", "KEEP StudyTime"),
    ("jitter-zero", "JITTER StudyDate 0", "number of days other than 0", ""),
    ("jitter-word", "JITTER StudyDate soon", "number of days", ""),
    ("jitter-func", "JITTER StudyDate deid_func:jitter days=3", "number of days", ""),
    ("uid-on-text", "REPLACE StudyID func:uid", "not UI", "REPLACE StudyID func:dummy"),
    ("uuid-on-text", "REPLACE StudyID deid_func:suffix_uuid", "makes UIDs", ""),
    ("clean-number", "REPLACE Rows func:clean_text", "no text to clean", ""),
    ("pseudonym-date", "REPLACE StudyDate func:pseudonym", "cannot hold a pseudonym", ""),
    ("numeric-literal", "REPLACE Rows abc", "from 0 to 65535", ""),
    ("decimal-literal", "REPLACE SliceThickness thin", "decimal number", ""),
    ("float-literal", "REPLACE TubeAngle abc", "takes", ""),
    ("date-literal", "REPLACE StudyDate 20230231", "date YYYYMMDD", ""),
    ("long-literal", "REPLACE StudyID 12345678901234567", "up to 16", ""),
    ("non-ascii-literal", "REPLACE PatientName Müller", "not this literal", ""),
    ("add-sequence", "ADD RequestAttributesSequence X", "sequence", "REMOVE RequestAttributesSequence"),
    ("add-number", "ADD Rows abc", "from 0 to 65535", ""),
    ("add-set", "ADD contains:Name X", "one attribute", ""),
    ("add-nested", "ADD RequestAttributesSequence__StudyInstanceUID 1.2", "top level only", ""),
    ("add-function", "ADD PatientID func:pseudonym", "literal value", ""),
    ("add-variable", "ADD PatientID var:entity_id", "no variable", ""),
    ("add-private", "ADD 00191008 X", "private element", ""),
    ("quote", "REPLACE PatientName O'Neil", "quote is never closed", ""),
    ("character-set", "REMOVE SpecificCharacterSet", "garble", ""),
    ("structure", "REMOVE PixelData", "no rule can change", ""),
    ("flag", "ADD PatientIdentityRemoved NO", "can only be YES", ""),
    ("flag-removed", "REMOVE PatientIdentityRemoved", "always written", ""),
    ("private-by-tag", "KEEP 00191008", "by its creator", 'KEEP 0019,"CREATOR",08'),
    ("creator-element", "REMOVE 00330010", "without an owner", ""),
]


@pytest.mark.parametrize(
    ("line", "said", "suggested"), [trap[1:] for trap in HEADER_TRAPS], ids=[trap[0] for trap in HEADER_TRAPS]
)
def test_trap_under_header_is_told(write, line, said, suggested):
    path = write(f"{HEAD}{line}\n")
    problems = lint(path)

    assert [problem.line for problem in problems] == [3]
    assert lint_profile(str(path)) == tuple(problems)
    assert said in problems[0].message
    assert problems[0].suggestion == suggested or (not suggested)
    assert "site.dicom:3: " in str(problems[0])


FILE_TRAPS = [
    ("empty", "", 1, "FORMAT dicom"),
    ("no-format", "%header\nREMOVE PatientName\n", 1, "FORMAT dicom"),
    ("format-case", "format dicom\n%header\nREMOVE PatientName\n", 1, "not a format"),
    ("other-format", "FORMAT nifti\n%header\nREMOVE PatientName\n", 1, "not a format"),
    ("twice", "FORMAT dicom\nFORMAT dicom\n%header\nREMOVE PatientName\n", 2, "only once"),
    ("before-section", "FORMAT dicom\nREMOVE PatientName\n", 2, "before any section"),
    ("section", "FORMAT dicom\n%headr\nREMOVE PatientName\n", 2, "not a section"),
    ("labels", "FORMAT dicom\n%labels\nREMOVE PatientName\n", 2, "nothing in deid ever reads"),
    ("values-section", "FORMAT dicom\n%values x\nFIELD PatientID\n", 2, "not supported"),
    ("header-name", "FORMAT dicom\n%header x\nREMOVE PatientName\n", 2, "takes no name"),
    ("filter-name", "FORMAT dicom\n%filter\n%header\nREMOVE PatientName\n", 2, "needs a name"),
    ("no-action", "FORMAT dicom\n%header\n", 0, "no action"),
    (
        "fields-split",
        "FORMAT dicom\n%fields a\nSPLIT PatientID\n%header\nREMOVE PatientName\n",
        3,
        "not allowed",
    ),
    (
        "fields-twice",
        "FORMAT dicom\n%fields a\nFIELD PatientID\n%fields a\n%header\nREMOVE PatientName\n",
        4,
        "second time",
    ),
    ("byte-order-mark", "\ufeffFORMAT dicom\n%header\nREMOVE PatientName\n", 1, "byte order mark"),
]


@pytest.mark.parametrize(
    ("text", "line", "said"), [trap[1:] for trap in FILE_TRAPS], ids=[trap[0] for trap in FILE_TRAPS]
)
def test_trap_of_the_whole_file_is_told(write, text, line, said):
    problems = lint(write(text))

    assert (line, True) in {(problem.line, said in problem.message) for problem in problems}


FILTER_TRAPS = [
    ("action", "REMOVE PatientName", "under %filter"),
    ("typo", "contians Modality CT", "not a test"),
    ("keyword", "contains Modlity CT", "not a keyword"),
    ("leading-or", "|| contains Modality CT", "'and'"),
    ("comment", "contains Modality CT # c", "comment"),
    ("no-value", "contains Modality", "needs a value"),
    ("value", "missing Modality CT", "takes no value"),
    ("regex", "contains Modality (CT", "not a valid regular expression"),
    ("case", "COORDINATES 0,0,1,1", "lower case"),
    ("corners", "coordinates 0,0,1", "four whole numbers"),
    ("inside-out", "coordinates 9,9,1,1", "ends before"),
    ("ambiguous", "contains Modality CT || present Rows + present Columns", "two ways"),
    ("expression", "equals Modality CT|MR", "only contains"),
    ("capital-class", r"contains PatientID \D", "lower case"),
    ("sequence", "contains ReferencedImageSequence CT", "could be compared"),
    ("binary", "notequals PixelData CT", "could be compared"),
    ("no-width", "ctpcoordinates 1,1,0,5", "ends before"),
    ("from", "coordinates from:SequenceOfUltrasoundRegions", "not supported"),
]


@pytest.mark.parametrize(("line", "said"), [trap[1:] for trap in FILTER_TRAPS], ids=[trap[0] for trap in FILTER_TRAPS])
def test_trap_under_filter_is_told(write, line, said):
    text = f"FORMAT dicom\n%filter graylist\nLABEL one\ncontains Rows 512\n{line}\n%header\nREMOVE PatientName\n"

    problems = lint(write(text))

    assert [problem.line for problem in problems] == [5]
    assert said in problems[0].message


def test_label_that_would_mean_every_image_is_told(write):
    text = "FORMAT dicom\n%filter graylist\nLABEL one\ncoordinates 0,0,9,9\n%header\nREMOVE PatientName\n"

    assert [(p.line, "every image" in p.message) for p in lint(write(text))] == [(3, True)]


def test_box_that_is_kept_of_nothing_is_told(write):
    text = "FORMAT dicom\n%filter graylist\nLABEL one\nequals Rows 512\nkeepcoordinates 0,0,9,9\ncoordinates all\n"

    assert [(p.line, "above it" in p.message) for p in lint(write(text + "%header\nREMOVE PatientName\n"))] == [
        (3, True)
    ]


CONTRADICTIONS = [
    ("keep-remove", "KEEP StudyDate\nREMOVE StudyDate"),
    ("replace-remove", "REMOVE PatientID\nREPLACE PatientID X"),
    ("jitter-remove", "JITTER StudyDate 5\nREMOVE StudyDate"),
    ("blank-remove", "BLANK PatientID\nREMOVE PatientID"),
    ("two-values", "REPLACE PatientID X\nREPLACE PatientID Y"),
    ("add-remove", "ADD PatientID X\nREMOVE PatientID"),
    ("two-spellings", "KEEP StudyDate\nREMOVE (0008,0020)"),
    ("keep-set", "REMOVE PatientName\nKEEP startswith:Patient"),
    ("replace-set", "REMOVE PatientID\nREPLACE contains:PatientID X"),
    ("blank-set", "BLANK PatientID\nREMOVE select:group:0010"),
    ("later-set", "REPLACE PatientID X\nBLANK startswith:PatientID"),
]


@pytest.mark.parametrize("lines", [each[1] for each in CONTRADICTIONS], ids=[each[0] for each in CONTRADICTIONS])
def test_contradiction_is_told(write, lines):
    assert len(lint(write(HEAD + lines + "\n"))) == 1


@pytest.mark.parametrize(
    "lines",
    [
        "REMOVE ALL\nKEEP Rows\nKEEP select:group:0028",
        "REMOVE select:group:0010\nREPLACE PatientID func:pseudonym",
        "REMOVE PatientName\nREMOVE PatientName",
        'KEEP 0033,"MITRA OBJECT UTF8 ATTRIBUTES 1.0",1E',
        "REMOVE except:PatientName|Rows",
        "JITTER StudyDate -31\nREPLACE SeriesDate deid_func:jitter days=3 years=1",
        "REPLACE RequestAttributesSequence__ScheduledProcedureStepID func:dummy",
        "REPLACE StudyDescription two words  and more",
        "ADD ImageComments plain",
        "REMOVE select:VR:PN\nREMOVE select:group:6002",
    ],
)
def test_sound_recipe_has_no_problem(write, lines):
    assert lint(write(HEAD + lines + "\n")) == ()


def test_all_problems_are_told_at_once_in_order(write):
    path = write(HEAD + "remove PatientName\nREMOVE PatinetName\nKEEP StudyDate # c\n")

    with pytest.raises(InputError) as caught:
        read_recipe(path)

    assert [detail.split(": ")[0] for detail in caught.value.details] == [f"site.dicom:{line}" for line in (3, 4, 5)]
    assert caught.value.exit_code == 2


def test_missing_file_is_a_problem(tmp_path):
    assert "no such file" in lint(tmp_path / "nowhere.dicom")[0].message


def test_file_that_is_not_text_is_a_problem(tmp_path):
    path = tmp_path / "site.dicom"
    path.write_bytes(b"FORMAT dicom\n\xff\xfe")

    assert "UTF-8" in lint(path)[0].message


def test_recipe_reads_actions_filters_and_lists(write):
    recipe = read_recipe(
        write(
            "# a comment\nFORMAT dicom\n"
            "%filter graylist\nLABEL screen # GE\ncontains Modality CT || missing Manufacturer\n+ equals Rows 512\n"
            "ctpcoordinates 10,20,30,40\nkeepcoordinates all\n"
            "%fields people\nFIELD PatientName\nFIELD contains:Physician\n"
            "%header\nREMOVE fields:people\nREPLACE StudyDescription CT  of the chest\n"
        )
    )

    (label,) = recipe.filters["graylist"]
    assert label.name == "screen"
    assert [condition.operators for condition in label.conditions] == [("or",), ()]
    assert [box.corners for box in label.boxes] == [(10, 20, 39, 59), None]
    assert [(action.verb, action.value) for action in recipe.actions] == [
        (Verb.REMOVE, ""),
        (Verb.REPLACE, "CT of the chest"),
    ]


def test_reading_does_not_bring_in_deids_executor(write):
    path = write(HEAD + "REMOVE PatientName\n")
    code = (
        "import sys, pathlib; from bsti_submit.deid.recipe import read_recipe\n"
        "read_recipe(pathlib.Path(sys.argv[1]))\n"
        "assert 'deid.config.utils' in sys.modules and 'matplotlib' not in sys.modules\n"
        "assert 'deid.dicom' not in sys.modules"
    )

    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
