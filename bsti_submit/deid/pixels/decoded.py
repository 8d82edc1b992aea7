"""Compressed pixels → native ones of the same stored values, frame by frame, and the layout that is true of them.

Colours stay as they were coded, but for JPEG 2000, whose decoders undo its own transform (PS3.5 8.2.4). What
cannot be decoded, or not told for certain, is `Undecodable`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from bsti_submit.deid import frames as coding
from bsti_submit.deid.pixels.black import storable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bsti_submit.deid.staged import EncapsulatedPixels, PixelLayout

LARGEST_FRAME: Final = 256 << 20
"""Bytes of one decoded frame."""
_COLOURS: Final = 3
_LOSSLESS_JPEG: Final = frozenset(("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"))
_LOSSY_JPEG: Final = coding.JPEG - _LOSSLESS_JPEG
_METHODS: Final = (
    (_LOSSY_JPEG, "ISO_10918_1"),
    (coding.JPEG_LS, "ISO_14495_1"),
    (coding.JPEG_2000, "ISO_15444_1"),
)
_DECODERS: Final = (
    (_LOSSY_JPEG, ("pillow",)),
    (_LOSSLESS_JPEG, ("gdcm",)),
    (coding.JPEG_LS, ("pyjpegls",)),
    (coding.JPEG_2000, ("pillow", "gdcm")),
    (frozenset({coding.RLE}), ("pydicom",)),
)
"""Of several the first that can is used, and a second has to agree if the coding is reversible."""
_ADOBE: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_LONGEST_SEGMENT: Final = 64


class Undecodable(ValueError):  # noqa: N818 - caught where pixels are blanked, and turned into a refusal
    """Frames whose stored values cannot be told. Holds the keyword that is at fault."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Compressed pixels as native ones.

    Attributes
    ----------
    layout
        Of the native pixels: interleaved, and the colours that they really have.
    lossy_method
        What Lossy Image Compression Method calls the coding, "" if no value was lost by it.
    """

    pixels: EncapsulatedPixels
    coded: PixelLayout
    transfer_syntax_uid: str
    layout: PixelLayout
    lossy_method: str

    def blocks(self) -> Iterator[bytes]:
        """Yield each frame as little-endian samples, decoded afresh.

        Raises
        ------
        Undecodable
            If one cannot be decoded for certain.
        """
        for index in range(len(self.pixels.frames)):
            yield self._frame(bytes(self.pixels.frames[index]))

    def _frame(self, frame: bytes) -> bytes:
        layout = self.layout
        reversible = not _is_lossy(frame, self.transfer_syntax_uid)
        values: NDArray[np.integer] | None = None
        for decoder in next(names for uids, names in _DECODERS if self.transfer_syntax_uid in uids):
            try:
                found = _decode(frame, self.transfer_syntax_uid, layout, decoder)
            except Exception:  # noqa: BLE001, S112 - any codec may raise anything; none may quote a value
                continue
            if values is not None and not np.array_equal(values, found):
                raise Undecodable("PixelData")
            values = found
            if not reversible:
                break
        if values is None:
            raise Undecodable("PixelData")
        low, high = storable(layout)
        if int(values.min()) < low or int(values.max()) > high:
            raise Undecodable("BitsStored")
        return values.astype(f"<{'i' if layout.signed else 'u'}{layout.bits_allocated // 8}").tobytes()


def decoded(pixels: EncapsulatedPixels, layout: PixelLayout, transfer_syntax_uid: str) -> Decoded:
    """Return compressed pixels as native ones; nothing is decoded yet.

    Raises
    ------
    Undecodable
        If it cannot be told which colours they have, or one frame is too large.
    """
    if layout.rows * layout.columns * layout.samples * (layout.bits_allocated // 8) > LARGEST_FRAME:
        raise Undecodable("Rows")
    photometrics = {_photometric(bytes(frame), layout, transfer_syntax_uid) for frame in pixels.frames}
    if len(photometrics) != 1:
        raise Undecodable("PhotometricInterpretation")
    method = ""
    if any(_is_lossy(bytes(frame), transfer_syntax_uid) for frame in pixels.frames):
        method = next((name for uids, name in _METHODS if transfer_syntax_uid in uids), "")
    native = replace(layout, planar=0, photometric=photometrics.pop())
    return Decoded(pixels, layout, transfer_syntax_uid, native, method)


def _photometric(frame: bytes, layout: PixelLayout, transfer_syntax_uid: str) -> str:
    """Return what the decoded samples of a frame are."""
    stated = layout.photometric
    if layout.samples == 1:
        return stated
    if transfer_syntax_uid in coding.JPEG_2000:
        transformed = _cod(frame)[8] == 1
        if transformed and stated in {"RGB", "YBR_RCT", "YBR_ICT"}:
            return "RGB"
        if not transformed and stated in {"RGB", "YBR_FULL"}:
            return stated
        raise Undecodable("PhotometricInterpretation")
    if transfer_syntax_uid in coding.JPEG:
        adobe = _adobe(frame)
        if adobe is not None and (adobe == 1) != stated.startswith("YBR_FULL"):
            raise Undecodable("PhotometricInterpretation")  # decoders would differ about its colours
    return "YBR_FULL" if stated == "YBR_FULL_422" else stated


def _adobe(frame: bytes) -> int | None:
    """Return the colour transform of an Adobe segment, which our engine puts first; None without one."""
    return frame[17] if frame[2:17] == _ADOBE else None


def _segment(frame: bytes, marker: bytes) -> bytes:
    """Return a codestream from the first segment of a kind on; all segments before it have lengths."""
    position = 2
    while frame[position : position + 2] != marker:
        length = int.from_bytes(frame[position + 2 : position + 4], "big")
        if frame[position : position + 1] != b"\xff" or length < 2:
            raise Undecodable("PixelData")
        position += 2 + length
    return frame[position : position + _LONGEST_SEGMENT]


def _cod(frame: bytes) -> bytes:
    """Return the coding style of a codestream, from its marker on (T.800 A.6.1)."""
    return _segment(frame, b"\xff\x52")


def _is_lossy(frame: bytes, transfer_syntax_uid: str) -> bool:
    if transfer_syntax_uid in _LOSSY_JPEG:
        return True
    if transfer_syntax_uid in coding.JPEG_2000:
        return _cod(frame)[13] == 0  # the irreversible wavelet
    if transfer_syntax_uid in coding.JPEG_LS:
        scan = _segment(frame, b"\xff\xda")
        return scan[5 + 2 * scan[4]] > 0  # NEAR (T.87 C.2.3)
    return False


def _decode(frame: bytes, transfer_syntax_uid: str, layout: PixelLayout, decoder: str) -> NDArray[np.integer]:
    """Return a frame's samples, (rows, columns) or (rows, columns, 3), with no colour changed and the sign extended."""
    uid = UID(transfer_syntax_uid)
    colour = layout.samples > 1
    if colour and transfer_syntax_uid in coding.JPEG:
        # Decoders undo the transform that this segment tells of; by 0 they leave the samples as they are coded.
        frame = b"".join((frame[:2], _ADOBE, b"\0", frame[2 if _adobe(frame) is None else 18 :]))
    options: dict[str, Any] = {
        "raw": True,
        "transfer_syntax_uid": uid,
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "number_of_frames": 1,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_allocated,  # so that the decoder itself masks nothing
        "pixel_representation": int(layout.signed),
        "photometric_interpretation": "RGB" if colour else "MONOCHROME2",
        "planar_configuration": 0,
        "pixel_keyword": "PixelData",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values
        values, _ = get_decoder(uid).as_array(encapsulate([frame]), index=0, decoding_plugin=decoder, **options)
    if values.shape != (layout.rows, layout.columns, *((layout.samples,) if colour else ())):
        raise Undecodable("PixelData")
    if not layout.signed:
        return values
    # Signed values narrower than their words come sign-extended, or as their bits alone.
    low, high = storable(layout)
    wide = values.astype(np.int64)
    if int(wide.min()) >= 0 and int(wide.max()) <= high - low:
        wide = np.where(wide > high, wide - (high - low + 1), wide)
    return wide
