"""The picture inside a Part 10 file: its geometry, its pixel bytes, and its frames as stored values.

It reads both input files (for review) and certified payloads (for the last look), through pydicom's
decoders. What goes wrong is a `PictureError` without any value in it.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from pydicom import config, dcmread
from pydicom.encaps import generate_fragments
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ImplicitVRLittleEndian

from bsti_submit.deid.pixels import gdcm_codec  # noqa: F401 - before pydicom loads it
from bsti_submit.deid.pixels.decisions import PixelGeometry, pixel_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from bsti_submit.model import Buffer

LARGEST_FILE: Final = 1 << 30
LARGEST_SIDE: Final = 32_768
LARGEST_FRAME: Final = 128 << 20
"""Samples in one frame: a chest radiograph has about 10 million."""

# It would write about the file, values included, to standard error.
config.logger.disabled = True

_PALETTE: Final = tuple(
    f"{segmented}{colour}PaletteColorLookupTable{part}"
    for segmented in ("", "Segmented")
    for colour in ("Red", "Green", "Blue")
    for part in ("Descriptor", "Data")
    if not (segmented and part == "Descriptor")
)

_PREFERRED: Final = {
    "1.2.840.10008.1.2.4.50": ("pillow", "gdcm"),
    "1.2.840.10008.1.2.4.51": ("pillow", "gdcm"),
    "1.2.840.10008.1.2.4.80": ("pyjpegls",),
    "1.2.840.10008.1.2.4.81": ("pyjpegls",),
    "1.2.840.10008.1.2.4.90": ("pillow",),
    "1.2.840.10008.1.2.4.91": ("pillow",),
}
"""gdcm can abort the whole process on a malformed stream, so it comes last, where it is needed at all."""


class PictureError(Exception):
    """The picture cannot be shown. It says why in one of our own words, never with a value."""


class Picture:
    """The picture of one Part 10 file held in memory.

    Raises
    ------
    PictureError
        If there is none, or it is malformed or larger than can be handled safely.
    """

    def __init__(self, data: Buffer) -> None:
        if len(data) > LARGEST_FILE:
            raise PictureError("too large to show")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they quote values
                self.dataset: Dataset = dcmread(BytesIO(data), force=True)
                self.geometry = _geometry(self.dataset)
        except PictureError:
            raise
        except Exception:  # noqa: BLE001 - pydicom raises anything, and quotes values
            raise PictureError("not readable") from None
        geometry = self.geometry
        if geometry.frames < 1 or "PixelData" not in self.dataset:
            raise PictureError("no pixel data")
        if not 0 < geometry.rows <= LARGEST_SIDE or not 0 < geometry.columns <= LARGEST_SIDE:
            raise PictureError("absurd dimensions")
        if geometry.rows * geometry.columns * max(1, geometry.samples) > LARGEST_FRAME:
            raise PictureError("absurd dimensions")

    def parts(self) -> list[Buffer]:
        """Return the stored pixel bytes: native as one buffer, compressed as its fragments.

        Raises
        ------
        PictureError
            If the fragments cannot be told apart.
        """
        stored: bytes = self.dataset.PixelData
        if not self.dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            return [stored]
        try:
            fragments: list[Buffer] = list(generate_fragments(stored))
        except Exception:  # noqa: BLE001
            raise PictureError("malformed compressed pixel data") from None
        return fragments[1:]  # the first is the Basic Offset Table

    def digest(self, key: bytes) -> str:
        """Return the keyed digest that decisions about this picture are kept by.

        Raises
        ------
        PictureError
            If the fragments cannot be told apart.
        """
        return pixel_digest(key, self.geometry, [*self._palette(), *self.parts()])

    def _palette(self) -> Iterator[Buffer]:
        """Yield what a palette picture's colours are read from: under another palette it shows something else."""
        for keyword in _PALETTE if self.geometry.photometric == "PALETTE COLOR" else ():
            value = self.dataset.get(keyword)
            yield f"{keyword} ".encode()
            yield value if isinstance(value, bytes) else repr(value).encode()

    def frame(self, index: int) -> NDArray[Any]:
        """Return one frame as stored values: (rows, columns), or (rows, columns, 3) as RGB.

        Raises
        ------
        PictureError
            If it cannot be decoded.
        """
        syntax = str(self.dataset.file_meta.TransferSyntaxUID)
        for plugin in _PREFERRED.get(syntax, ("",)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    values = pixel_array(self.dataset, index=index, decoding_plugin=plugin)
            except Exception:  # noqa: BLE001, S112 - the next decoder may read it
                continue
            if values.shape[:2] == (self.geometry.rows, self.geometry.columns):
                return values
        raise PictureError("cannot be decoded")


def picture_digest(key: bytes, data: Buffer) -> str | None:
    """Return the digest of a Part 10 file's picture, None if it has no picture that can be looked at."""
    try:
        return Picture(data).digest(key)
    except PictureError:
        return None


def _geometry(dataset: Dataset) -> PixelGeometry:
    meta = dataset.file_meta
    syntax = meta.get("TransferSyntaxUID")
    if syntax is None:
        meta.TransferSyntaxUID = syntax = _assumed(dataset)

    def number(keyword: str, default: int = 0) -> int:
        value = dataset.get(keyword)
        return default if value in {None, ""} else int(value)

    geometry = PixelGeometry(
        rows=number("Rows"),
        columns=number("Columns"),
        frames=number("NumberOfFrames", 1),
        samples=number("SamplesPerPixel", 1),
        bits_allocated=number("BitsAllocated"),
        bits_stored=number("BitsStored"),
        high_bit=number("HighBit"),
        pixel_representation=number("PixelRepresentation"),
        planar_configuration=number("PlanarConfiguration"),
        photometric=str(dataset.get("PhotometricInterpretation", "")),
        transfer_syntax_uid=str(syntax),
    )
    if not syntax.is_encapsulated and syntax.is_little_endian:
        return replace(geometry, transfer_syntax_uid="")  # implicit, explicit and deflated pixels are the same
    return geometry


def _assumed(dataset: Dataset) -> UID:
    """Return the syntax that a file without file meta was read by."""
    if getattr(dataset, "original_encoding", (True, True)) == (True, True):
        return ImplicitVRLittleEndian
    little = dataset.original_encoding[1]
    return UID("1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2")
