"""Native pixel data as lossless JPEG-LS, where that is smaller and a decode proves every stored value.

The coded precision is Bits Stored (ITU-T T.87; PS3.5 sections 8.2.3 and A.4.3), so a coded frame cannot
carry anything in the bits above it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import jpeg_ls
import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bsti_submit.model import Buffer

JPEG_LS_LOSSLESS: Final = "1.2.840.10008.1.2.4.80"
_JPEG_LS: Final = frozenset({JPEG_LS_LOSSLESS, "1.2.840.10008.1.2.4.81"})
LARGEST_RECODED: Final = 256 << 20
"""Pixel data beyond this many bytes stay native, so that memory stays bounded: all coded frames are held."""
_ITEM_OVERHEAD: Final = 8
_SEQUENCE_OVERHEAD: Final = 16


def encode_frames(
    pixels: Buffer,
    *,
    rows: int,
    columns: int,
    samples: int,
    bits_allocated: int,
    bits_stored: int,
    signed: bool,
    frames: int,
) -> list[bytes] | None:
    """Code each frame as one JPEG-LS stream.

    Parameters
    ----------
    pixels
        Native little-endian pixel data: ``frames`` by ``rows`` by ``columns`` samples of 8 or 16 bits, and
        perhaps one padding byte. The bits above Bits Stored must be clear, or the sign's.

    Returns
    -------
    list of bytes or None
        One stream of even length a frame. None if it would not be smaller, or if the decoded values are not
        exactly those given, or for what is not coded: colour, other bit depths, over 256 MiB, and layouts
        that common decoders read wrongly (signed values narrower than their words, of which dcmtk and gdcm
        lose the sign, and words of 16 bits that hold 8 or fewer, on which gdcm aborts).
    """
    width = bits_allocated // 8
    frame_length = rows * columns * width
    whole = frame_length * frames
    if samples != 1 or bits_allocated not in {8, 16} or not 2 <= bits_stored <= bits_allocated:
        return None
    if not 0 < whole <= LARGEST_RECODED or len(pixels) not in {whole, whole + whole % 2}:
        return None
    if bits_stored < bits_allocated and (signed or bits_stored <= 8):
        return None
    view = memoryview(pixels).cast("B")
    limit = len(pixels) - _SEQUENCE_OVERHEAD - _ITEM_OVERHEAD
    coded: list[bytes] = []
    for start in range(0, whole, frame_length):
        stream = _encode(view[start : start + frame_length], rows, columns, bits_allocated, bits_stored)
        if stream is None:
            return None
        limit -= len(stream) + _ITEM_OVERHEAD
        if limit <= 0:
            return None
        coded.append(stream)
    return coded


def _encode(native: memoryview, rows: int, columns: int, bits_allocated: int, bits_stored: int) -> bytes | None:
    """Code one frame and decode it again; None unless the values are the same."""
    dtype = np.dtype("u1" if bits_allocated == 8 else "<u2")
    try:
        stream = bytes(jpeg_ls.encode_buffer(bytes(native), rows, columns, 1, bits_stored))
        decoded, facts = jpeg_ls.decode_buffer(stream)
    except Exception:  # noqa: BLE001 - whatever cannot be coded stays as it is
        return None
    if facts.get("width") != columns or facts.get("height") != rows or facts.get("bits_per_sample") != bits_stored:
        return None
    if not np.array_equal(np.frombuffer(decoded, dtype), np.frombuffer(native, dtype)):
        return None
    return stream + b"\0" * (len(stream) % 2)


def decoded_high_bits_clean(
    frames: Sequence[Buffer],
    *,
    transfer_syntax_uid: str,
    rows: int,
    columns: int,
    samples: int,
    bits_allocated: int,
    bits_stored: int,
    signed: bool,
    photometric: str = "MONOCHROME2",
) -> bool | None:
    """Say whether compressed frames hold nothing in the bits above Bits Stored.

    For streams whose own precision is greater than Bits Stored: those bits could hold an overlay or text
    (retired use of group 60xx in unused bits, PS3.5 section 8.1.2).

    Parameters
    ----------
    frames
        One coded stream for each frame, fragments joined.

    Returns
    -------
    bool or None
        None if a frame cannot be decoded: the instance has to be held.
    """
    shape = _Shape(rows, columns, samples, bits_allocated, signed)
    for frame in frames:
        try:
            values = _decode(bytes(frame), transfer_syntax_uid, shape, photometric)
        except Exception:  # noqa: BLE001 - any codec may raise anything; none may quote a value
            return None
        if values.size != rows * columns * samples:
            return None
        wide = values.astype(np.int64)
        low = -(1 << (bits_stored - 1)) if signed else 0
        # Signed values may stand sign-extended, or as their bits alone.
        if int(wide.min()) < low or int(wide.max()) >= 1 << bits_stored:
            return False
    return True


class Shape(Protocol):
    """How the samples of a frame are read."""

    @property
    def rows(self) -> int:
        """Rows."""

    @property
    def columns(self) -> int:
        """Columns."""

    @property
    def samples(self) -> int:
        """Samples per Pixel."""

    @property
    def allocated(self) -> int:
        """Bits Allocated."""

    @property
    def signed(self) -> bool:
        """Whether Pixel Representation is 1."""


@dataclass(frozen=True, slots=True)
class _Shape:
    rows: int
    columns: int
    samples: int
    allocated: int
    signed: bool


def decode_samples(frame: bytes, transfer_syntax_uid: str, shape: Shape) -> bytes:
    """Decode one compressed frame to little-endian samples, with no bit masked: for the final check.

    Raises
    ------
    ValueError
        If it cannot be decoded; the text of a decoder's own error is not passed on.
    """
    photometric = "MONOCHROME2" if shape.samples == 1 else "RGB"
    try:
        values = _decode(frame, transfer_syntax_uid, shape, photometric)
    except Exception:  # noqa: BLE001 - any codec may raise anything; none may quote a value
        raise ValueError("the frame cannot be decoded") from None
    width = shape.allocated // 8
    return values.astype(f"<{'i' if shape.signed else 'u'}{width}").tobytes()


def _decode(frame: bytes, transfer_syntax_uid: str, shape: Shape, photometric: str) -> NDArray[np.integer]:
    if transfer_syntax_uid in _JPEG_LS:
        decoded, facts = jpeg_ls.decode_buffer(frame)
        return np.frombuffer(decoded, "u1" if facts["bits_per_sample"] <= 8 else "<u2")
    options: dict[str, Any] = {
        "raw": True,
        "transfer_syntax_uid": UID(transfer_syntax_uid),
        "rows": shape.rows,
        "columns": shape.columns,
        "samples_per_pixel": shape.samples,
        "number_of_frames": 1,
        "bits_allocated": shape.allocated,
        "bits_stored": shape.allocated,  # so that the decoder itself masks nothing
        "pixel_representation": int(shape.signed),
        "photometric_interpretation": photometric,
        "planar_configuration": 0,
        "pixel_keyword": "PixelData",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values
        array, _ = get_decoder(UID(transfer_syntax_uid)).as_array(encapsulate([frame]), index=0, **options)
    return array
