"""Profiles: found, read strictly, true to their claims; what is generated from them is what is in the tree."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bsti_submit.deid import allow, dictionary
from bsti_submit.deid.profile import (
    export_allow_list,
    lint_profile,
    load_profile,
    profile_names,
    profiles_folder,
)
from bsti_submit.deid.table import rows
from bsti_submit.errors import InputError
from bsti_submit.model import Form, Reason

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import generate  # noqa: E402

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def write(tmp_path: Path):
    def written(settings: str, recipe: str = "REMOVE ProtocolName", **files: str) -> Path:
        (tmp_path / "profile.toml").write_text(settings)
        (tmp_path / "recipe.dicom").write_text(f"FORMAT dicom\n%header\n{recipe}\n")
        for name, text in files.items():
            (tmp_path / f"{name}.txt").write_text(text)
        return tmp_path

    return written


SITE = 'name = "site"\nversion = "1.0"\ntitle = "A site"\nextends = "bsti-default"\nrecipe = "recipe.dicom"\n'


# --- the shipped profiles


@pytest.mark.parametrize("name", generate.PROFILES)
def test_shipped_recipe_is_what_the_table_generates(name):
    options = generate.PROFILES[name]
    text = (ROOT / "profiles" / name / "recipe.dicom").read_text("utf-8")

    assert text == generate.recipe_text(name, options), "run tools/generate.py"
    assert load_profile(name).options == set(options)


@pytest.mark.parametrize("name", generate.PROFILES)
def test_shipped_allow_list_is_current(name):
    profile = load_profile(name)
    text = (ROOT / "profiles" / name / "allow-list.json").read_text("ascii")

    assert text == generate.allow_list_text(name), "run tools/generate.py"
    assert allow.parse(json.loads(text)) == profile.allow_list()


def test_conformance_statement_is_current():
    assert (ROOT / "docs" / "conformance.md").read_text("utf-8") == generate.conformance_text(), "run tools/generate.py"


def test_shipped_profiles_are_found_by_name_folder_and_file():
    assert profile_names() == ("bsti-dates-removed", "bsti-default")
    folder = profiles_folder() / "bsti-default"

    assert load_profile("bsti-default") == load_profile(str(folder)) == load_profile(str(folder / "profile.toml"))


@pytest.mark.parametrize("name", generate.PROFILES)
def test_shipped_profile_lints_clean(name):
    assert lint_profile(name) == ()


def test_no_shipped_recipe_names_an_attribute_twice_or_leaves_out_a_row():
    for name in generate.PROFILES:
        plan = load_profile(name).plan
        assert all(plan.names(row.tag) for row in rows() if row.tag is not None)


def test_digest_does_not_depend_on_line_ends(write):
    folder = write(SITE)
    before = load_profile(str(folder)).recipe_sha256
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    assert load_profile(str(folder)).recipe_sha256 == before


def test_digest_changes_with_recipe_settings_and_vocabulary(write):
    digests = {
        load_profile(str(write(SITE))).recipe_sha256,
        load_profile(str(write(SITE, "REMOVE StudyDescription"))).recipe_sha256,
        load_profile(str(write(SITE.replace("1.0", "1.1")))).recipe_sha256,
        load_profile(str(write(SITE + 'vocabulary = ["w.txt"]', w="acrush\n"))).recipe_sha256,
        load_profile(str(write(SITE + 'vocabulary = ["w.txt"]', w="acrusher\n"))).recipe_sha256,
        load_profile("bsti-default").recipe_sha256,
    }

    assert len(digests) == 6


# --- which objects


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        (CT, None),
        (CT + ".1", None),
        (CT + ".2", None),
        ("1.2.840.10008.5.1.4.1.1.1", None),
        ("1.2.840.10008.5.1.4.1.1.1.1", None),
        ("1.2.840.10008.5.1.4.1.1.1.1.1", None),
        ("1.2.840.10008.5.1.4.1.1.88.11", Reason.STRUCTURED_REPORT),
        ("1.2.840.10008.5.1.4.1.1.88.67", Reason.STRUCTURED_REPORT),
        ("1.2.840.10008.5.1.4.1.1.88.59", Reason.KEY_OBJECT),
        ("1.2.840.10008.5.1.4.1.1.104.1", Reason.ENCAPSULATED_DOCUMENT),
        ("1.2.840.10008.5.1.4.1.1.11.1", Reason.PRESENTATION_STATE),
        ("1.2.840.10008.5.1.4.1.1.7", Reason.SECONDARY_CAPTURE),
        ("1.2.840.10008.5.1.4.1.1.7.4", Reason.SECONDARY_CAPTURE),
        ("1.2.840.10008.5.1.4.1.1.66", Reason.RAW_DATA),
        ("1.2.840.10008.5.1.4.1.1.66.4", Reason.OTHER_OBJECT),
        ("1.2.840.10008.5.1.4.1.1.77.1.1", Reason.OTHER_OBJECT),
        ("1.2.840.10008.5.1.4.1.1.4", Reason.OTHER_OBJECT),
        ("1.3.12.2.1107.5.9.1", Reason.OTHER_OBJECT),
        ("", Reason.OTHER_OBJECT),
    ],
)
def test_kind_of_sop_class(uid, expected):
    assert load_profile("bsti-default").sop_class_kind(uid) is expected


# --- the allow-list


@pytest.mark.parametrize(
    ("keyword", "forms"),
    [
        ("StudyDate", {Form.DATE, Form.EMPTY}),
        ("StudyTime", {Form.KEEP, Form.EMPTY}),
        ("PatientName", {Form.PSEUDONYM}),
        ("PatientSex", {Form.EMPTY}),
        ("StudyDescription", {Form.TEXT, Form.EMPTY}),
        ("SOPInstanceUID", {Form.UID, Form.EMPTY}),
        ("PixelData", {Form.PIXELS}),
        ("RequestAttributesSequence", {Form.SEQUENCE, Form.EMPTY}),
        ("PatientIdentityRemoved", {Form.LITERAL}),
        ("BurnedInAnnotation", {Form.LITERAL}),
        ("SpecificCharacterSet", {Form.LITERAL}),
        ("DeidentificationMethodCodeSequence", {Form.SEQUENCE}),
        ("TransferSyntaxUID", {Form.KEEP}),
    ],
)
def test_forms_of_the_allow_list(keyword, forms):
    allowed = load_profile("bsti-default").allow_list().elements[dictionary.tag_of(keyword)]

    assert forms <= allowed.forms
    assert allowed.forms - forms <= {Form.DUMMY, Form.EMPTY, Form.UID}


def test_allow_list_has_nothing_that_never_leaves():
    allowed = load_profile("bsti-default").allow_list()

    for keyword in (
        "PatientAge",
        "PatientBirthName",
        "OtherPatientIDs",
        "ICCProfile",
        "IconImageSequence",
        "StorageURL",
    ):
        assert dictionary.tag_of(keyword) not in allowed.elements, keyword
    groups = {tag >> 16 for tag in allowed.elements}
    assert not {group for group in groups if group & 1 or group in {0x0000, 0x0004} or group in range(0x6000, 0x60FF)}
    assert allowed.private == {}


def test_allow_list_knows_the_values_that_are_written():
    elements = load_profile("bsti-dates-removed").allow_list().elements

    assert elements[0x00280303].literals == {"REMOVED"}
    assert elements[0x00120063].literals == {"bsti-submit: bsti-dates-removed 1.0"}
    assert {"113100", "113101", "113105"} <= elements[0x00080100].literals
    assert "113107" not in elements[0x00080100].literals


def test_exported_allow_list_says_what_the_registry_needs():
    exported = export_allow_list(load_profile("bsti-default"))

    assert exported["sop_classes"] == sorted(load_profile("bsti-default").eligible)
    assert exported["elements"]["00120062"] == {"forms": ["literal"], "literals": ["YES"]}
    with pytest.raises(ValueError, match="known schema"):
        allow.parse({**exported, "schema": "allow-list/9"})


# --- a site's own


def test_site_profile_lies_over_the_default(write):
    profile = load_profile(str(write(SITE + 'vocabulary = ["w.txt"]', "REMOVE endswith:Description", w="acrush\n")))
    plan = profile.plan.for_sop_class(CT)

    assert profile.options == load_profile("bsti-default").options
    assert plan.rule((), dictionary.tag_of("StudyDescription"), "LO", None).action == "remove"
    assert plan.rule((), dictionary.tag_of("ProtocolName"), "LO", None).action == "clean-text"
    assert "acrush" in profile.words
    assert "laid over bsti-default" in profile.describe()


def test_examples_of_the_documentation_run():
    examples = ROOT / "docs" / "examples"

    assert load_profile(str(examples / "site-profile")).name == "example-hospital"
    assert load_profile(str(examples / "plain.dicom")).warnings


WRONG = [
    ("unknown-key", SITE + "colour = 1\n", "colour is not a setting"),
    ("near-key", SITE + "optoins = []\n", "did you mean options"),
    ("no-name", SITE.replace('name = "site"\n', ""), "name is missing"),
    ("no-options", SITE.replace('extends = "bsti-default"\n', ""), "options is missing"),
    ("wrong-base", SITE.replace("bsti-default", "bsti-defualt"), "must name a shipped profile"),
    ("type", SITE + 'age_cap = "89"\n', "must be a whole number"),
    ("age", SITE + "age_cap = 120\n", "from 0 to 89"),
    ("schema", SITE + 'clinical_schema = "9.9"\n', "clinical_schema is not a version"),
    ("schema-path", SITE + 'clinical_schema = "../x"\n', "clinical_schema is not a version"),
    ("option", SITE + 'options = ["113100", "999"]\n', "not in CID 7050"),
    ("full-dates", SITE + 'options = ["113100", "113106"]\n', "never allowed"),
    ("pixel-claim", SITE + 'options = ["113100", "113101"]\n', "by itself"),
    ("policy", SITE + 'date_policy = "kept"\n', "modified or removed"),
    ("policy-option", SITE + 'options = ["113100", "113105"]\n', "if and only if date_policy"),
    ("pattern", SITE + 'patterns = ["nhs-numbr"]\n', "did you mean nhs-number"),
    ("vocabulary", SITE + 'vocabulary = ["nowhere.txt"]\n', "is not there"),
    ("eligible", SITE + 'eligible = {"CT" = "9.9"}\n', "at least one SOP class"),
    ("name", SITE.replace('"site"', '"St. Mary"'), "ASCII letters"),
    ("toml", SITE + "x = = 1", "not valid TOML"),
    ("creator", SITE + 'retained_creators = ["ACME"]\n', "keeps nothing"),
]


@pytest.mark.parametrize(("settings", "said"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_wrong_setting_is_told(write, settings, said):
    folder = write(settings)

    with pytest.raises(InputError) as caught:
        load_profile(str(folder))

    assert any(said in detail for detail in caught.value.details)
    assert lint_profile(str(folder))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (b"acrush\nAcrusher\n", "w.txt:2: an entry is one word in lower case"),
        (b"# ours\nacute chest syndrome\n", "w.txt:2: an entry is one word in lower case"),
        (b"~acrush chest\n", "w.txt:1: an entry is one word"),
        ("pr\u00e9dose\n".encode(), "Did you mean: predose"),
        ("pr\u00e9dose\n".encode("latin-1"), "cannot be read as UTF-8 text"),
    ],
)
def test_a_list_of_words_with_a_mistake_is_told(write, words, said):
    folder = write(SITE + 'vocabulary = ["w.txt"]')
    (folder / "w.txt").write_bytes(words)
    with pytest.raises(InputError) as caught:
        load_profile(str(folder))
    assert any(said in detail for detail in caught.value.details)
    assert any(said in str(problem) for problem in lint_profile(str(folder)))


def test_a_list_of_words_may_have_the_line_ends_of_any_system(write):
    folder = write(SITE + 'vocabulary = ["w.txt"]')
    (folder / "w.txt").write_bytes(b"\xef\xbb\xbfacrush\r\ncovidctpa \r\n\r\n")
    assert {"acrush", "covidctpa"} <= load_profile(str(folder)).words


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("KEEP PatientAge", "113100, which asks X of PatientAge"),
        ("KEEP startswith:Patient", "113100, which asks Z of PatientName"),
        ("KEEP AccessionNumber", "of AccessionNumber"),
        ("KEEP StudyDate", "113107, which asks C of StudyDate"),
        ("KEEP StudyDescription", "113105, which asks C of StudyDescription"),
        ("KEEP SOPInstanceUID", "of SOPInstanceUID"),
        ('KEEP 0019,"ACME",08', "retained_creators does not list"),
    ],
)
def test_false_claim_is_told(write, recipe, said):
    assert any(said in str(problem) for problem in lint_profile(str(write(SITE, recipe))))


def test_private_elements_can_be_kept_by_creator_when_claimed(write):
    settings = SITE + 'options = ["113100", "113105", "113107", "113111"]\nretained_creators = ["ACME"]\n'
    profile = load_profile(str(write(settings, 'KEEP 0019,"ACME",08')))

    assert profile.allow_list().private.keys() == {(0x0019, "ACME", 0x08)}
    assert allow.parse(export_allow_list(profile)) == profile.allow_list()
    assert "ACME" in profile.describe()


# --- a bare recipe


def bare(tmp_path: Path, lines: str) -> str:
    path = tmp_path / "smith.dicom"
    path.write_text(f"FORMAT dicom\n%header\n{lines}\n")
    return str(path)


def test_bare_recipe_claims_what_is_true_and_warns(tmp_path):
    profile = load_profile(bare(tmp_path, "REMOVE PatientName\nREPLACE PatientID func:pseudonym"))

    assert profile.options == {"113100"}
    assert profile.date_policy == "removed"
    assert profile.eligible == load_profile("bsti-default").eligible
    assert "2 of the 656 rows" in profile.warnings[0]
    assert "smith" not in f"{profile.name}{profile.title}{profile.method_text}{profile.warnings}"


@pytest.mark.parametrize(
    ("lines", "options", "temporal"),
    [
        ("REMOVE PatientName", {"113100"}, "REMOVED"),
        ("JITTER StudyDate 5", {"113100", "113107"}, "MODIFIED"),
        ("REPLACE StudyDescription func:clean_text", {"113100", "113105"}, "REMOVED"),
        ("KEEP PatientName", set(), "REMOVED"),
        ("KEEP StudyDate", set(), "UNMODIFIED"),
    ],
)
def test_claims_of_a_bare_recipe(tmp_path, lines, options, temporal):
    profile = load_profile(bare(tmp_path, lines))

    assert (profile.options, profile.temporal_information) == (options, temporal)


def test_bare_recipe_with_a_problem_runs_nowhere(tmp_path):
    with pytest.raises(InputError, match="runs nowhere") as caught:
        load_profile(bare(tmp_path, "remove PatientName"))

    assert caught.value.details == (
        "smith.dicom:3: remove is not an action; deid would drop the line. Did you mean: REMOVE PatientName",
    )


def test_profile_that_is_nowhere():
    with pytest.raises(InputError, match="no profile of that name"):
        load_profile("nowhere")
    assert lint_profile("nowhere")


# --- plain English


@pytest.mark.parametrize("name", generate.PROFILES)
def test_description_is_for_a_reader_who_knows_no_dicom_tags(name):
    text = load_profile(name).describe()

    assert "113100  Basic Application Confidentiality Profile" in text
    assert max(map(len, text.splitlines())) < 220
    assert "(0010," not in text
