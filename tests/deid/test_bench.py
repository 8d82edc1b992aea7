"""A profile earns its use: the planted study tells a profile that leaks from one that does not, and nothing is sent under it."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bsti_submit.deid.profile import load_profile
from bsti_submit.errors import InputError
from bsti_submit.pipeline.bench import score
from bsti_submit.pipeline.verdicts import Verdicts
from bsti_submit.sample import make_sample
from bsti_submit.sample.probes import make_probes

pytestmark = pytest.mark.filterwarnings("ignore:The value length")  # a name too long is planted on purpose
ROOT = Path(__file__).resolve().parents[2]
LEAKY = """FORMAT dicom
%header
KEEP ImageComments
KEEP PatientComments
KEEP StudyDescription
"""


@pytest.mark.parametrize("name", ["bsti-default", "bsti-dates-removed", str(ROOT / "docs/examples/site-profile")])
def test_what_comes_with_bsti_submit_leaks_nothing(name):
    found = score(load_profile(name), make_probes(patients=2))
    assert found.planted.total() > 180
    assert not found.leaks, found.places
    assert found.held == 0
    if name == "bsti-default":
        assert found.retention >= 0.99


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 120))
def test_on_studies_that_nobody_has_seen(seed):
    found = score(load_profile("bsti-default"), make_probes(seed, 10))
    assert not found.leaks, found.places
    assert found.held == 0
    assert found.retention >= 0.99


def test_one_seed_always_gives_the_same_study():
    first, again, other = (list(make_probes(seed, 1)) for seed in (3, 3, 4))
    assert [probe.data for probe in first] == [probe.data for probe in again]
    assert [probe.data for probe in first] != [probe.data for probe in other]


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    """Return a recipe that keeps comments, and its score."""
    recipe = tmp_path_factory.mktemp("leaky") / "leaky.dicom"
    recipe.write_text(LEAKY)
    profile = load_profile(str(recipe))
    return profile, score(profile, make_probes(patients=2))


def test_a_recipe_that_keeps_comments_leaks(leaky):
    _, found = leaky
    assert found.leaks
    assert {place for places in found.places.values() for place in places} <= {
        "ImageComments",
        "PatientComments",
        "StudyDescription",
    }


def test_a_vocabulary_of_surnames_leaks(tmp_path):
    site = tmp_path / "site"
    shutil.copytree(ROOT / "docs/examples/site-profile", site)
    (site / "recipe.dicom").write_text("FORMAT dicom\n%header\nREMOVE RequestAttributesSequence\n")
    (site / "words.txt").write_text("\n".join(sorted("hargreaves pemberton ogunleye patel khan jones rahman".split())))
    kind = "a name that stands nowhere else"
    assert score(load_profile(str(site)), [probe for probe in make_probes() if probe.kind == kind]).leaked[kind] > 0


def test_verdicts_are_kept_by_digest_and_count_kinds_only(tmp_path, monkeypatch, leaky):
    verdicts = Verdicts(tmp_path / "bench")
    (leaky, found), default = leaky, load_profile("bsti-default")
    monkeypatch.setattr("bsti_submit.pipeline.bench.score", lambda profile: found if profile is leaky else None)
    with pytest.raises(InputError):
        verdicts.require_digest(default.recipe_sha256)
    verdicts.require(default)
    verdicts.require_digest(default.recipe_sha256)
    with pytest.raises(InputError) as raised:
        verdicts.require(leaky)
    assert all(line.endswith(" leaked") for line in raised.value.details)
    monkeypatch.setattr("bsti_submit.pipeline.bench.score", lambda *_: pytest.fail("judged twice"))
    for judge in (verdicts.require, lambda profile: verdicts.require_digest(profile.recipe_sha256)):
        with pytest.raises(InputError):
            judge(leaky)
    assert len(list((tmp_path / "bench").iterdir())) == 2


def run(home, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BSTI_")}
    key = home / "key"
    if not key.exists():
        home.mkdir()
        key.write_text(base64.b64encode(bytes(range(32))).decode())
        key.chmod(0o600)
    environment |= {"BSTI_HOME": str(home), "BSTI_SITE_KEY_FILE": str(key)}
    command = [sys.executable, "-m", "bsti_submit", *map(str, arguments)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=300
    )


def test_nothing_is_built_under_a_profile_that_leaks(tmp_path):
    make_sample(tmp_path / "study", slices=1, size=32, radiograph=False, extras=False)
    recipe = tmp_path / "leaky.dicom"
    recipe.write_text(LEAKY)
    home = tmp_path / "home"
    told = run(home, "profile", "lint", "--bench", recipe)
    assert told.returncode == 2
    assert "ImageComments" in told.stdout
    for command in (
        ["package", tmp_path / "study", "--clinical", tmp_path / "none.json"],
        ["case", tmp_path / "study", "--dry-run", "--clinical", tmp_path / "none.json"],
    ):
        refused = run(home, *command, "--profile", recipe)
        assert refused.returncode == 2, refused.stderr
        assert "leaks identifiers" in refused.stderr
    assert run(home, "profile", "lint", recipe).returncode == 0
