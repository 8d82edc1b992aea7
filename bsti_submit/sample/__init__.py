"""A sample study made from code, a marker in every identifying place: for `demo`, the bench and the tests.

Nobody in it is real. pydicom and numpy are imported when a study is made, not before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bsti_submit.sample.markers import Marker, MarkerSearch, Planter, everything_below, find_markers

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import FileDataset

__all__ = [
    "Marker",
    "MarkerSearch",
    "Planter",
    "SampleStudy",
    "everything_below",
    "find_markers",
    "make_ct_slice",
    "make_radiograph",
    "make_sample",
]

SEED = 2020
_PRIOR_SLICES = 6


@dataclass(frozen=True)
class SampleStudy:
    """A study on disk, and what a person would know about it.

    Attributes
    ----------
    folder
        Where the files are: what `case` is given.
    markers
        Every string planted in the files and in their names.
    burned_in
        Strings drawn into pictures, which no search of bytes can find.
    age, sex, id_suffix
        The patient: whole years at the study, ``F``, and the last three characters of the hospital number.
    study_date
        Date of the index study, ``YYYYMMDD``; one of the markers.
    slices, radiographs, left_out, prior_slices, others
        How many of each: index CT slices, radiographs, objects that a profile leaves out, slices of the prior
        study, files that are not DICOM.
    """

    folder: Path
    markers: tuple[Marker, ...] = field(repr=False)
    burned_in: tuple[str, ...]
    age: int
    sex: str
    id_suffix: str
    patient_id: str
    study_date: str
    slices: int
    radiographs: int
    left_out: int
    prior_slices: int
    others: int


def make_sample(
    folder: Path,
    *,
    slices: int = 60,
    seed: int = SEED,
    radiograph: bool = True,
    burned_in_name: bool = True,
    prior: bool = False,
    extras: bool = True,
    size: int = 512,
) -> SampleStudy:
    """Write a sample chest study below `folder` and return what was planted.

    Parameters
    ----------
    folder
        Made if it does not exist.
    slices
        Number of CT slices of the index study.
    seed
        The same seed gives the same bytes under the same versions of pydicom, numpy and Pillow.
    radiograph
        Whether the study has a radiograph, with "PORTABLE ERECT" burned in.
    burned_in_name
        Whether the radiograph shows the patient's name and birth date too.
    prior
        Whether an earlier CT of six slices goes along, in a study of its own.
    extras
        Whether there are a dose report, a dose screen, and files that are not DICOM.
    size
        Rows and columns of a CT slice; less than 512 makes quick tests.
    """
    from bsti_submit.sample.header import AGE, SEX, STUDY_DATE, Person
    from bsti_submit.sample.objects import StudyWriter

    plant = Planter(seed)
    person = Person.invent(plant)
    home = folder / f"{plant.word('FOLDER', 'folder name')} Thorax"
    stem = f"{person.family}_{person.given}_{person.patient_id}"
    writer = StudyWriter(plant, person, slices=slices, size=size)
    for index in range(slices):
        _save(writer.ct_slice(index), home / f"CT {writer.header.date}" / f"{stem}_{index + 1:04d}.dcm")
    burned_in: tuple[str, ...] = ()
    if radiograph:
        # no extension, as a CD has it
        picture = writer.radiograph(burned_in_name=burned_in_name)
        _save(picture, home / plant.word("ÜBERSICHT", "folder name (radiograph)") / "IM000001")
        burned_in = (person.family, person.given, "12/03/1947") if burned_in_name else ()
    others = 0
    if extras:
        _save(writer.dose_screen(), home / "SC" / "IM000002")
        _save(writer.dose_report(), home / "SR" / f"{plant.word('FILENAME', 'file name')}.dcm")
        readme = f"CD for {plant.word('README', 'README.txt')}. Not for diagnosis.\n"
        (folder / "README.txt").write_bytes(readme.encode())
        thumbs = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + plant.word("THUMBS", "Thumbs.db").encode("utf-16-le")
        (home / "Thumbs.db").write_bytes(thumbs.ljust(512, b"\x00"))
        others = 2
    if prior:
        earlier = StudyWriter(plant, person, slices=_PRIOR_SLICES, size=size, prior=True)
        for index in range(_PRIOR_SLICES):
            _save(earlier.ct_slice(index), home / f"CT {earlier.header.date}" / f"{index + 1:04d}")
    return SampleStudy(
        folder=folder,
        markers=plant.markers,
        burned_in=burned_in,
        age=AGE,
        sex=SEX,
        id_suffix=person.patient_id[-3:],
        patient_id=person.patient_id,
        study_date=STUDY_DATE,
        slices=slices,
        radiographs=int(radiograph),
        left_out=2 if extras else 0,
        prior_slices=_PRIOR_SLICES if prior else 0,
        others=others,
    )


def _save(dataset: FileDataset, path: Path) -> None:
    from pydicom import dcmwrite

    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset)


def make_ct_slice(
    index: int = 0,
    *,
    slices: int = 60,
    seed: int = SEED,
    size: int = 512,
    syntax: str = "1.2.840.10008.1.2.1",
    plant: Planter | None = None,
) -> FileDataset:
    """Return one CT slice of the sample study, in memory.

    Parameters
    ----------
    index
        Which slice, from 0.
    syntax
        Transfer syntax UID, one of the uncompressed ones.
    plant
        Give your own `Planter` to learn from its ``markers`` what was planted; `seed` then has no effect.
    """
    from bsti_submit.sample.header import Person
    from bsti_submit.sample.objects import StudyWriter

    plant = plant or Planter(seed)
    return StudyWriter(plant, Person.invent(plant), slices=slices, size=size).ct_slice(index, syntax)


def make_radiograph(
    *,
    seed: int = SEED,
    burned_in_name: bool = True,
    rows: int = 1280,
    columns: int = 1056,
    plant: Planter | None = None,
) -> FileDataset:
    """Return the radiograph of the sample study, in memory; for the parameters see the other makers."""
    from bsti_submit.sample.header import Person
    from bsti_submit.sample.objects import StudyWriter

    plant = plant or Planter(seed)
    writer = StudyWriter(plant, Person.invent(plant), slices=1)
    return writer.radiograph(burned_in_name=burned_in_name, rows=rows, columns=columns)
