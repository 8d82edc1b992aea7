"""What became of images and lines → the table of docs/pixels.md."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tools.pixels_run import Image, Line

_TRAITS = ("contrast", "place", "turn", "edge", "height", "face")


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "none made"


def _lines(images: Iterable[Image], kind: str) -> list[Line]:
    return [line for image in images for line in image.lines if line.kind == kind]


def _row(what: str, cells: Iterable[str]) -> str:
    return f"| {what} | {' | '.join(cells)} |"


def table(images: Sequence[Image], facts: str) -> str:
    """Return a table with a column for each modality, and below it which identifying lines were missed."""
    modalities = sorted({image.modality for image in images})
    groups = [[image for image in images if image.modality == modality] for modality in modalities]
    rows = [facts, "", _row("", modalities), "|---" * (len(modalities) + 1) + "|"]
    rows.append(_row("images", [str(len(group)) for group in groups]))
    for outcome, name in (
        ("blanked", "blanked"),
        ("held", "held back"),
        ("left_out", "left out"),
        ("missed", "**missed**"),
    ):
        rows.append(_row(f"identifying lines {name}", [_became(group, "identifying", outcome) for group in groups]))
    rows.append(_row("markers intact, of those on images that go on", [_kept(group) for group in groups]))
    rows.append(_row("markers intact, of all", [_became(group, "marker", "kept") for group in groups]))
    rows.append(_row("text-free images held", [_held(group, "plain") for group in groups]))
    rows.append(_row("images with markers only, held", [_held(group, "markers") for group in groups]))
    rows.append(_row("pixels blanked on text-free images, all of them", [_area(group) for group in groups]))
    rows.append(_row("… on the worst of them", [_worst(group) for group in groups]))
    strayed = [str(sum(image.stray > 0 for image in group)) for group in groups]
    rows.append(_row("images changed outside of blanked rectangles", strayed))
    seconds = [f"{statistics.median(image.seconds for image in group):.2f} s" for group in groups]
    rows.append(_row("time an image, start of the program included", seconds))
    reasons = [", ".join(f"{reason} {count}" for reason, count in _reasons(group)) or "-" for group in groups]
    rows.append(_row("reasons for holding", reasons))
    return "\n".join([*rows, *_missed(images)])


def _became(group: Sequence[Image], kind: str, outcome: str) -> str:
    lines = _lines(group, kind)
    return _share(sum(line.outcome == outcome for line in lines), len(lines))


def _kept(group: Sequence[Image]) -> str:
    judged = [line for line in _lines(group, "marker") if line.outcome in {"kept", "lost"}]
    return _share(sum(line.outcome == "kept" for line in judged), len(judged))


def _held(group: Sequence[Image], sort: str) -> str:
    these = [image for image in group if image.sort == sort]
    return _share(sum(image.outcome == "held" for image in these), len(these))


def _changed(group: Sequence[Image]) -> list[float]:
    return [image.changed for image in group if image.sort == "plain" and image.outcome == "certified"]


def _area(group: Sequence[Image]) -> str:
    return f"{100 * statistics.fmean(_changed(group)):.3f} %" if _changed(group) else "none went on"


def _worst(group: Sequence[Image]) -> str:
    return f"{100 * max(_changed(group)):.3f} %" if _changed(group) else "none went on"


def _reasons(group: Sequence[Image]) -> list[tuple[str, int]]:
    return Counter(image.reason for image in group if image.outcome == "held").most_common()


def _missed(images: Sequence[Image]) -> list[str]:
    """Say what the missed lines have in common: for each trait, how many of all lines with it were missed."""
    lines = _lines(images, "identifying")
    if not any(line.outcome == "missed" for line in lines):
        return []
    rows = ["", "Missed identifying lines, by how they were written:", ""]
    for trait in _TRAITS:
        every = Counter(line.traits[trait] for line in lines)
        missed = Counter(line.traits[trait] for line in lines if line.outcome == "missed")
        rows.append(
            f"- {trait}: " + ", ".join(f"{value} {count} of {every[value]}" for value, count in missed.most_common(12))
        )
    return rows
