"""The dialogue that docs/radiologist.md shows, held for real: ``python -m tests.support.first_case`` writes it anew."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import dcmread, dcmwrite

from bsti_submit.sample import SampleStudy, make_sample
from tests.support.registry import running_registry
from tests.support.terminal import Desk, desk

if TYPE_CHECKING:
    from tests.support.terminal import Terminal

PAGE = Path(__file__).resolve().parents[2] / "docs" / "radiologist.md"
_BLOCK = re.compile(r"(<!-- capture: (\w+) -->\n```text\n)(.*?)(```)", re.DOTALL)
_PROGRESS = re.compile(r"^(Reading headers|Preparing pictures|De-identifying|Uploading) .*?(?:\n|$)", re.MULTILINE)


def study(folder: Path, *, slices: int, size: int) -> SampleStudy:
    """Make a CT, a radiograph and an earlier CT, with descriptions as a department writes them."""
    made = make_sample(folder, slices=slices, size=size, prior=True)
    for path in folder.rglob("*"):
        if not path.is_file() or path.suffix in {".txt", ".db"}:
            continue
        dataset = dcmread(path)
        dataset.StudyDescription = "CT thorax"
        if "SeriesDescription" in dataset:
            dataset.SeriesDescription = "AP portable" if dataset.Modality == "DX" else "Thorax 1.0 B60f"
        dcmwrite(path, dataset)
    return made


def hold(terminal: Terminal, sample: SampleStudy) -> None:
    """Submit the case as the page shows it, with a slip or two on the way."""
    terminal.answers(("Which study", ""), ("Which earlier studies", "2"))
    terminal.opens_page().decide_all("cleared")
    terminal.answers(
        ("Last three characters", sample.id_suffix),
        ("Age in years", ""),
        ("Sex: M, F or O", ""),
        ("Indication for the imaging", "2"),
        ("RT-PCR for SARS-CoV-2", "pos"),
        ("Each test", "neg -4, pos +1"),
        ("Days from symptom onset", "9"),
        ("White cell count", "6.4 @0"),
        ("C-reactive protein", "612 @0"),
        ("again >", "<"),
        ("C-reactive protein", "61.2 @0"),
        ("pO2 of a blood gas", "62 mmHg arterial air @0"),
        ("SpO2 in %", "91 air @0"),
        ("Earlier chest imaging", ""),
        ("BSTI category of the CT", "1"),
        ("BSTI category of the radiograph", "3"),
        ("Severity", "2"),
        ("Outcome", ""),
        ("Number to change", "done"),
    )
    page = terminal.opens_page()
    for item in page.state()["items"]:
        page.picture(item["index"], "?size=small")
    terminal.answers(("Press Enter once", ""), ("Type I CONFIRM", "I CONFIRM"))
    assert terminal.ends() == 0


def parts(shown: str) -> dict[str, str]:
    """Cut what was shown into the parts that the page explains, without the bars, which come and go."""
    shown = _PROGRESS.sub("", shown.replace("\r", ""))
    cuts = {
        "survey": "Found ",
        "studies": "Which study is",
        "look": "One picture has",
        "patient": "Clinical metrics",
        "metrics": "Age in years",
        "summary": "Summary\n",
        "last": "The package is ready",
        "confirm": "What you confirm:",
        "receipt": "Received, and",
    }
    places = [(name, shown.index(text)) for name, text in cuts.items()]
    ends = [at for _, at in places[1:]] + [len(shown)]
    return {name: shown[at:end].strip("\n") + "\n" for (name, at), end in zip(places, ends, strict=True)}


def captured(page: str) -> dict[str, str]:
    """Return the captures on the page by name."""
    return {found[2]: found[3] for found in _BLOCK.finditer(page)}


def normal(text: str) -> list[str]:
    """Return lines that two runs have in common: no id, digest, port, size or count."""
    text = re.sub(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}|open/\S+|https?://\S+|[0-9a-f]{32,}|rct_\S+", "@", text)
    text = re.sub(r"[0-9.]+ (images?|[kM]?B|bytes)\b", "@", text)
    text = re.sub(r"(?m)^( *(?:Images|Receipt:|Images:|To|Found|The package is ready:)) .*", r"\1 @", text)
    return [line.rstrip() for line in text.splitlines()]


def write(person: Desk, sample: SampleStudy) -> None:
    """Write the captures into the page."""
    with person.starts("case", sample.folder, NO_COLOR="1") as terminal:
        hold(terminal, sample)
        shown = parts(terminal.shown)
    address = person.environment["BSTI_REGISTRY"]
    page = PAGE.read_text("utf-8")
    page = _BLOCK.sub(
        lambda found: found[1] + shown[found[2]].replace(address, "https://registry.example.org") + found[4], page
    )
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, running_registry(Path(folder)) as registry:
        token = registry.token("site-a")
        write(
            desk(Path(folder) / "desk", registry=registry.url, ca_bundle=registry.ca_bundle, token=token),
            study(Path(folder) / "study", slices=60, size=512),
        )
