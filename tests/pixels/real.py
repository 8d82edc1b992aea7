"""Images of real scanners, from a folder that somebody names: what writing is drawn on, and the header it goes with.

They are read and never kept; without such a folder everything else works.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels import pixel_array

from tests.pixels.chests import Canvas
from tests.pixels.storing import ROOT, Layout

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from pydicom.dataset import Dataset

    from tests.pixels.phrases import Person

_MODALITIES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
}
_MOST = 8
"""Slices of a series that are taken."""


@dataclass(frozen=True)
class RealSeries:
    """Neighbouring slices, a radiograph, or one object of several frames."""

    modality: str
    datasets: tuple[Dataset, ...]
    canvas: Canvas
    layout: Layout
    together: bool

    def header(self, place: int, person: Person, number: int) -> Dataset:
        """Return the header of a slice, of another patient and with UIDs of its own."""
        made = copy.deepcopy(self.datasets[place])
        made.SOPInstanceUID, made.SeriesInstanceUID = f"{ROOT}.{number}.3.{place + 1}", f"{ROOT}.{number}.3"
        made.StudyInstanceUID = f"{ROOT}.{number}"
        made.SpecificCharacterSet = "ISO_IR 192"
        made.PatientName, made.PatientID = f"{person.family}^{person.given}", person.number
        made.PatientBirthDate, made.AccessionNumber = f"{person.born:%Y%m%d}", person.accession
        made.SeriesNumber, made.InstanceNumber = str(number), str(place + 1)
        return made

    def fill(self, dataset: Dataset, values: npt.NDArray[np.int32]) -> None:
        """Put the frames in place of those that the data set has; all that describes them stays."""
        kind = ("i" if self.layout.signed else "u") + str(self.layout.allocated // 8)
        raw = self.layout.store(values).astype(f"<{kind}").tobytes()
        dataset.PixelData = raw + b"\0" * (len(raw) % 2)
        dataset["PixelData"].VR = "OW" if self.layout.allocated > 8 else "OB"


def real_series(folder: Path) -> list[RealSeries]:
    """Return what a folder has that can be written on: single grey CT and radiographs that can be decoded."""
    groups: dict[tuple[str, ...], list[Dataset]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            dataset = dcmread(path)
        except (InvalidDicomError, OSError):
            continue
        if dataset.get("SOPClassUID") in _MODALITIES and "PixelData" in dataset and dataset.SamplesPerPixel == 1:
            key = (str(dataset.get("SeriesInstanceUID")), f"{dataset.Rows}x{dataset.Columns}")
            groups.setdefault((*key, str(path)) if "NumberOfFrames" in dataset else key, []).append(dataset)
    found = []
    for group in groups.values():
        group.sort(key=lambda dataset: int(dataset.get("InstanceNumber") or 0))
        series = _series(group[:_MOST])
        if series is not None:
            found.append(series)
    return found


def _series(datasets: list[Dataset]) -> RealSeries | None:
    first = datasets[0]
    if first.PhotometricInterpretation not in {"MONOCHROME1", "MONOCHROME2"} or first.BitsAllocated not in {8, 16}:
        return None
    layout = Layout(
        first.PhotometricInterpretation, first.BitsAllocated, first.BitsStored, signed=bool(first.PixelRepresentation)
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            planes = [pixel_array(dataset, raw=True).astype(np.int32) for dataset in datasets]
    except (AttributeError, ValueError, RuntimeError, NotImplementedError):
        return None
    together = planes[0].ndim == 3
    values = layout.store(planes[0] if together else np.stack(planes))  # twice stored is as it was
    canvas = Canvas(values, int(values.min()), int(values.max()), _window(first, layout), None, "real")
    for dataset in datasets:
        del dataset.PixelData
    return RealSeries(_MODALITIES[first.SOPClassUID], tuple(datasets), canvas, layout, together)


def _window(dataset: Dataset, layout: Layout) -> tuple[int, int] | None:
    """Return the first window of a header as brightnesses."""
    centre, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if centre in (None, "") or width in (None, ""):
        return None
    centre, width = (float(value if isinstance(value, (int, float)) else value[0]) for value in (centre, width))
    slope, shift = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    if slope != 1 or width < 20:
        return None
    ends = [int(centre - shift - width / 2), int(centre - shift + width / 2)]
    if layout.photometric == "MONOCHROME1":
        ends = [sum(layout.ends) - ends[1], sum(layout.ends) - ends[0]]
    return ends[0], ends[1]
