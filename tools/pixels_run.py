"""Cases → the command `deid`, as a hospital runs it → what became of each image and of each line on it."""

from __future__ import annotations

import base64
import csv
import json
import os
import secrets
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from tests.pixels.inking import Kind
from tests.pixels.lettering import SORTS, Case, Sort, make_case
from tests.pixels.real import real_series
from tools.pixels_judge import Comparison, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "bsti_submit")
BATCH = 10
"""Cases that one run of the command gets."""


@dataclass(frozen=True)
class Line:
    """What became of one line on one image."""

    kind: str
    outcome: str
    text: str
    sort: str
    traits: dict[str, str]


@dataclass(frozen=True)
class Image:
    """What became of one image.

    Attributes
    ----------
    outcome
        ``certified``, ``held`` or ``left_out``.
    changed
        Share of pixels whose stored value changed; 0 of what was not written.
    stray
        Changed pixels outside of blanked rectangles.
    seconds
        Of the run of the command, divided by its images.
    """

    case: int
    file: int
    modality: str
    sort: str
    outcome: str
    reason: str
    changed: float
    stray: int
    seconds: float
    traits: dict[str, str]
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """Cases for one run of the command."""

    seed: int
    modality: str
    numbers: tuple[int, ...]
    sorts: tuple[Sort, ...]
    faces: tuple[str, ...]
    small: bool = False
    real: Path | None = None
    keep: Path | None = None


def decoded(path: Path) -> Stored:
    """Return the stored values, shape (frames, rows, columns, samples), without any change of colour."""
    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    dataset = dcmread(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = pixel_array(dataset, raw=True)
    shape = (int(dataset.get("NumberOfFrames") or 1), dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    return np.asarray(values).reshape(shape)


def cases_of(job: Job) -> Iterator[Case]:
    """Make the cases of a job."""
    pool = [one for one in real_series(job.real) if one.modality == job.modality] if job.real else []
    for number in job.numbers:
        real = pool[number % len(pool)] if pool else None
        yield make_case(job.seed, number, job.modality, sorts=job.sorts, faces=job.faces, small=job.small, real=real)


def deidentify(source: Path, folder: Path) -> tuple[dict[tuple[int, int], Path], dict[str, str], dict[str, int], float]:
    """Run `deid` and return the files it wrote by Series and Instance Number, held paths with reasons, counts, seconds.

    Raises
    ------
    SystemExit
        If the command fails, or its files are not those that it tells of.
    """
    from pydicom import dcmread

    key = folder / "site.key"
    key.write_text(base64.b64encode(secrets.token_bytes(32)).decode(), "ascii")
    key.chmod(0o600)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BSTI_")}
    environment |= {"BSTI_HOME": str(folder / "home"), "BSTI_SITE_KEY_FILE": str(key)}
    start = perf_counter()
    done = subprocess.run(
        [*COMMAND, "deid", str(source), str(folder / "out"), "--json"],
        env=environment, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    seconds = perf_counter() - start
    if done.returncode not in {0, 3}:
        raise SystemExit(f"the command ended with {done.returncode}\n{done.stderr}")
    told = json.loads(done.stdout)
    reasons = {one["ref"]: one["reason"] for one in told["instances"] if one["outcome"] == "held"}
    held: dict[str, str] = {}
    for listed in (folder / "home" / "paths").glob("*.csv"):
        for row in csv.DictReader(listed.read_text("utf-8").splitlines()):
            held[Path(row["path"]).name] = reasons[row["ref"]]
    written = {}
    for path in (folder / "out").rglob("*.dcm"):
        header = dcmread(path, stop_before_pixels=True)
        written[int(header.SeriesNumber), int(header.InstanceNumber)] = path
    if len(written) != told["counts"]["certified"] or len(held) != told["counts"]["held"]:
        raise SystemExit("the files that were written or held are not those that the command tells of")
    return written, held, told["counts"], seconds


def evaluate(job: Job) -> list[Image]:
    """Make the cases of a job, run the command over them, judge each image."""
    with tempfile.TemporaryDirectory(prefix="pixels-") as name:
        folder = Path(name)
        source = folder / "in"
        source.mkdir()
        cases = []
        for case in cases_of(job):
            for place, data in enumerate(case.files):
                (source / _name(case, place)).write_bytes(data)
            cases.append(Case(case.number, case.modality, case.sort, (b"",) * len(case.files), case.items, case.traits))
        written, held, counts, seconds = deidentify(source, folder)
        images = []
        for case in cases:
            for place in range(len(case.files)):
                path = source / _name(case, place)
                out = written.get((case.number, place + 1))
                image = _judged(job, case, place, path, out, held.get(path.name), seconds / sum(counts.values()))
                images.append(image)
        if sum(image.outcome == "certified" for image in images) != counts["certified"]:
            raise SystemExit("an image was written that is none of those that were made")
    return images


def _name(case: Case, place: int) -> str:
    return f"{case.modality.lower()}-{case.number:05}-{place + 1:03}.dcm"


def _judged(
    job: Job, case: Case, place: int, path: Path, out: Path | None, reason: str | None, seconds: float
) -> Image:
    on, lines = case.on(place), []
    outcome = "certified" if out is not None else "held" if reason is not None else "left_out"
    compared = Comparison(decoded(path), decoded(out)) if out is not None else None
    if compared is not None and compared.before.shape != compared.after.shape:
        raise SystemExit("an image changed its shape")
    for item, frames in on:
        became = outcome
        if compared is not None and item.kind is Kind.IDENTIFYING:
            became = "blanked" if compared.is_blanked(item, frames) else "missed"
        elif compared is not None:
            became = "kept" if compared.is_intact(item, frames) else "lost"
        lines.append(Line(item.kind, became, item.text, item.sort, item.traits))
        if compared is not None and became in {"missed", "lost"} and job.keep is not None and job.real is None:
            _keep(job.keep / f"{became}-{path.stem}-{item.line}.png", compared, item.area, frames[0])
    return Image(
        case=case.number,
        file=place + 1,
        modality=f"{case.modality}, real" if job.real else case.modality,
        sort=case.sort,
        outcome=outcome,
        reason=reason or "",
        changed=compared.share_changed() if compared else 0.0,
        stray=compared.stray() if compared else 0,
        seconds=seconds,
        traits=case.traits,
        lines=lines,
    )


def _keep(path: Path, compared: Comparison, area: tuple[int, int, int, int], frame: int) -> None:
    """Write a picture of a line and what is around it, before and after, its grey values spread out."""
    from PIL import Image as Pillow

    left, top, right, bottom = area
    room = 30
    at = (slice(max(0, top - room), bottom + room), slice(max(0, left - room), right + room))
    before, after = (values[frame][at][..., 0].astype(float) for values in (compared.before, compared.after))
    low, high = np.percentile(before, [0.5, 99.5])
    both = np.clip((np.concatenate([before, after]) - low) / max(high - low, 1), 0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray((both * 255).astype(np.uint8)).save(path)


def run(jobs: Sequence[Job], workers: int = 1) -> list[Image]:
    """Evaluate jobs, several at once if asked for."""
    if workers == 1:
        return [image for job in jobs for image in evaluate(job)]
    with ProcessPoolExecutor(workers) as pool:
        return [image for images in pool.map(evaluate, jobs) for image in images]


def jobs_for(
    seed: int, modality: str, count: int, *, sorts: tuple[Sort, ...] = SORTS, faces: tuple[str, ...], **other: object
) -> list[Job]:
    """Return the jobs for so many cases."""
    numbers = range(1, count + 1)
    return [
        Job(seed, modality, tuple(numbers[first : first + BATCH]), sorts, faces, **other)  # type: ignore[arg-type] # `other` is what `jobs_for` was given
        for first in range(0, count, BATCH)
    ]


def failures(images: Sequence[Image]) -> tuple[int, int]:
    """Return how many identifying lines were missed, and on how many images values outside of rectangles changed."""
    missed = sum(line.outcome == "missed" for image in images for line in image.lines)
    return missed, sum(image.stray > 0 for image in images)
