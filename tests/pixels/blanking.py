"""Instances of every layout and coding, made from code, and what decoders make of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import gdcm
import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, JPEGLSNearLossless, RLELossless

from bsti_submit.deid.engine import Engine
from bsti_submit.deid.profile import load_profile
from bsti_submit.deid.pseudonyms import SiteKey, patient_scope
from bsti_submit.deid.staged import Staged
from bsti_submit.deid.words import KnownWords
from bsti_submit.phi import Identified
from tests.intake.factory import dataset, encode

if TYPE_CHECKING:
    from pathlib import Path

ROWS, COLUMNS = 24, 30
PROFILE = load_profile("bsti-default")
SCOPE = patient_scope(SiteKey(bytes(range(32))), Identified(""), Identified("ABC12345"))
ENGINE = Engine(PROFILE)

JPEG, JPEG_12, JPEG_57, JPEG_LOSSLESS = (f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))
JPEG_LS, JPEG_LS_NEAR, J2K, J2K_LOSSY = (f"1.2.840.10008.1.2.4.{number}" for number in (80, 81, 90, 91))
RLE = "1.2.840.10008.1.2.5"


def picture(shape, low, high, seed=1):
    """Return smooth values with some noise, both ends among them."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(low, high, int(np.prod(shape))).reshape(shape)
    made = np.clip(ramp + rng.normal(0, (high - low) / 200, shape), low, high).astype(np.int64)
    made.flat[0], made.flat[-1] = low, high
    return made


def instance(
    *,
    photometric="MONOCHROME2",
    allocated=16,
    stored=None,
    signed=False,
    planar=0,
    frames=1,
    values=None,
    rows=ROWS,
    columns=COLUMNS,
    **attributes,
):
    """Return a data set with native pixels of a layout, and its stored values: (frames, rows, columns, samples)."""
    stored = stored or allocated
    samples = 1 if photometric.startswith(("MONO", "PALETTE")) else 3
    low, high = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
    if values is None:
        values = picture((frames, rows, columns, samples), low, high)
    dtype = f"<{'i' if signed else 'u'}{allocated // 8}"
    laid = values.transpose(0, 3, 1, 2) if planar and samples > 1 else values
    raw = laid.astype(dtype).tobytes()
    made = dataset(
        1,
        Rows=rows,
        Columns=columns,
        SamplesPerPixel=samples,
        PhotometricInterpretation=photometric,
        BitsAllocated=allocated,
        BitsStored=stored,
        HighBit=stored - 1,
        PixelRepresentation=int(signed),
        **{"PixelData": raw + b"\0" * (len(raw) % 2), **attributes},
    )
    made["PixelData"].VR = "OW" if allocated > 8 else "OB"
    if frames > 1:
        made.NumberOfFrames = frames
    if samples > 1:
        made.PlanarConfiguration = planar
    if photometric.startswith("PALETTE"):
        ramp = np.roll(np.arange(256, dtype=np.uint16) * 257, 9)
        for colour in ("Red", "Green", "Blue"):
            setattr(made, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(made, f"{colour}PaletteColorLookupTableData", ramp.tobytes())
    return made, values


def compressed(made, values, syntax, tmp_path: Path, **options) -> bytes:
    """Return the file of an instance in a compressed transfer syntax, written by whoever can."""
    if syntax in {RLELossless, JPEGLSLossless, JPEGLSNearLossless}:
        read = pydicom.dcmread(io.BytesIO(encode(made)))
        read.compress(syntax, generate_instance_uid=False, **({"jls_error": 2} if syntax == JPEGLSNearLossless else {}))
        out = io.BytesIO()
        read.save_as(out)
        return out.getvalue()
    if syntax in {JPEG_LOSSLESS, JPEG_57}:
        return by_gdcm(encode(made), syntax, tmp_path)
    kind = "JPEG" if syntax == JPEG else "JPEG2000"
    made.PixelData = encapsulate([by_pillow(frame, made, kind, **options) for frame in values])
    return encode(made, syntax)


def by_pillow(frame, made, kind, **options):
    array = frame.astype(f"u{made.BitsAllocated // 8}")
    image = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array, options.pop("mode", None))
    out = io.BytesIO()
    if kind == "JPEG2000":
        options = {"no_jp2": True, **options}
    image.save(out, kind, **options)
    stream = out.getvalue()
    return stream + b"\0" * (len(stream) % 2)


def by_gdcm(data: bytes, syntax: str, tmp_path: Path) -> bytes:
    (tmp_path / "in.dcm").write_bytes(data)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "in.dcm"))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "out.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return (tmp_path / "out.dcm").read_bytes()


def staged(data: bytes, engine: Engine = ENGINE) -> Staged:
    made = engine.deidentify(data, SCOPE, KnownWords(frozenset()))
    assert isinstance(made, Staged), made
    return made


def file_of(made: Staged) -> bytes:
    payload = made.payload()
    out = b"".join(bytes(chunk) for chunk in payload.chunks())
    assert len(out) == payload.size
    return out


def read(made: Staged) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(file_of(made)))


def values_of(made: Staged | bytes) -> np.ndarray:
    """Return the stored values as pydicom decodes them: (frames, rows, columns, samples)."""
    data = made if isinstance(made, bytes) else file_of(made)
    found = pydicom.dcmread(io.BytesIO(data))
    array = pixel_array(found, raw=True).astype(np.int64)
    return array.reshape(int(found.get("NumberOfFrames") or 1), found.Rows, found.Columns, found.SamplesPerPixel)


def values_by_gdcm(made: Staged, tmp_path: Path) -> np.ndarray:
    """Return the stored values as gdcm decodes them: (frames, rows, columns, samples)."""
    (tmp_path / "second.dcm").write_bytes(file_of(made))
    reader = gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "second.dcm"))
    assert reader.Read()
    image, layout = reader.GetImage(), made.layout
    dtype = f"<{'i' if layout.signed else 'u'}{layout.bits_allocated // 8}"
    array = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), dtype).astype(np.int64)
    if image.GetPlanarConfiguration() and layout.samples > 1:
        return array.reshape(layout.frames, layout.samples, layout.rows, layout.columns).transpose(0, 2, 3, 1)
    return array.reshape(layout.frames, layout.rows, layout.columns, layout.samples)


def mask_of(made: Staged, regions) -> np.ndarray:
    """Return which pixels regions cover: (frames, rows, columns)."""
    layout = made.layout
    mask = np.zeros((layout.frames, layout.rows, layout.columns), bool)
    for each in regions:
        frames = slice(None) if each.frame is None else each.frame
        mask[frames, max(0, each.top) : max(0, each.bottom), max(0, each.left) : max(0, each.right)] = True
    return mask


NATIVE = ExplicitVRLittleEndian
