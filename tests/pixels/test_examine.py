"""Burned-in text is found and blanked or held, markers stay, and text-free pictures pass without a detector."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from bsti_submit.deid.pixels import strokes
from bsti_submit.deid.pixels.examine import LARGEST, Examiner
from bsti_submit.deid.pixels.markers import is_marker
from bsti_submit.deid.pixels.picture import Picture
from bsti_submit.deid.pixels.reader import Reader, ReaderError
from bsti_submit.model import Reason
from bsti_submit.sample.phantom import LungPhantom, radiograph
from tests.intake.factory import CR, CT, dataset, encode

SERIES = "series"


@pytest.fixture(scope="module")
def examiner():
    with Examiner() as made:
        yield made


def nobody(text):
    return False


def picture(values, sop_class=CR, **attributes):
    shape = {"Rows": values.shape[-2], "Columns": values.shape[-1]}
    if values.ndim == 3:
        shape["NumberOfFrames"] = values.shape[0]
    data = np.ascontiguousarray(values, "<u2").tobytes()
    return Picture(encode(dataset(1, sop_class=sop_class, PixelData=data, **(shape | attributes))))


def chest(rows=420, columns=360, seed=1):
    return radiograph(seed, rows, columns)


def write(values, text, place, height=16, value=None, turn=0):
    """Draw text into a picture; return left, top, right, bottom of its ink."""
    font = ImageFont.load_default(size=height * 4 // 3)
    box = font.getbbox(text)
    mask = Image.new("L", (box[2] - box[0], box[3] - box[1]))
    ImageDraw.Draw(mask).text((-box[0], -box[1]), text, fill=255, font=font)
    ink = np.rot90(np.asarray(mask) > 127, turn)
    left, top = place
    rows, columns = ink.shape
    values[top : top + rows, left : left + columns][ink] = values.max() if value is None else value
    return left, top, left + columns, top + rows


def hidden(examination, box):
    """Return the share of a box that the regions cover."""
    left, top, right, bottom = box
    mask = np.zeros((bottom - top, right - left), bool)
    for region in examination.regions:
        mask[
            max(0, region.top - top) : max(0, region.bottom - top),
            max(0, region.left - left) : max(0, region.right - left),
        ] = True
    return mask.mean()


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_name_on_a_radiograph_is_blanked_however_it_is_turned(examiner, turn):
    values = chest()
    box = write(values, "SMITHSON J", (90, 90), turn=turn)
    found = examiner.examine(picture(values), None, nobody)
    assert hidden(found, box) > 0.98
    assert sum(region.width * region.height for region in found.regions) < 4 * (box[2] - box[0]) * (box[3] - box[1])


@pytest.mark.parametrize(
    ("value", "place"),
    [(0, (100, 200)), (4095, (0, 0)), (600, (60, 40)), (4095, (200, 405))],
    ids=["dark", "corner", "grey", "edge"],
)
def test_text_is_found_in_any_value_and_at_the_edges(examiner, value, place):
    values = chest()
    box = write(values, "DOB 01/02/1950", place, value=value, height=14)
    found = examiner.examine(picture(values), None, nobody)
    assert found.doubt or hidden(found, box) > 0.95


def test_a_text_free_radiograph_is_left_as_it_is(examiner):
    found = examiner.examine(picture(chest(seed=3)), None, nobody)
    assert (found.regions, found.doubt) == ((), None)


@pytest.mark.parametrize("text", ["L", "R", "AP ERECT", "SUPINE"])
def test_a_marker_that_was_surely_read_stays(examiner, text):
    values = chest()
    box = write(values, text, (60, 60), height=30)
    found = examiner.examine(picture(values), None, nobody)
    assert (hidden(found, box), found.doubt) == (0, None)


def test_a_marker_that_is_the_patients_own_word_does_not_stay(examiner):
    values = chest()
    box = write(values, "SUPINE", (60, 60), height=30)
    found = examiner.examine(picture(values), None, lambda text: text.upper() == "SUPINE")
    assert hidden(found, box) > 0.98


def test_a_letter_beside_a_name_is_no_marker(examiner):
    values = chest()
    box = write(values, "R", (60, 100), height=20)
    write(values, "LATIMORE", (100, 100), height=20)
    found = examiner.examine(picture(values), None, nobody)
    assert found.doubt or hidden(found, box) > 0.98


def test_text_in_one_frame_is_blanked_in_all(examiner):
    frames = np.stack([chest(420, 400, seed=5)] * 3)
    box = write(frames[2], "PATEL 1234567", (50, 60))
    found = examiner.examine(picture(frames), None, nobody)
    assert hidden(found, box) > 0.98
    assert {region.frame for region in found.regions} == {None}


def test_text_in_one_colour_only_is_found(examiner):
    values = np.full((420, 400, 3), 90, np.uint8)
    box = write(values[..., 2], "PATEL 1234567", (50, 60), value=140)
    attributes = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    attributes |= {"Rows": 420, "Columns": 400, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    coloured = Picture(encode(dataset(1, sop_class=CR, PixelData=values.tobytes(), **attributes)))
    assert hidden(examiner.examine(coloured, None, nobody), box) > 0.98


def series(slices=8, seed=2):
    phantom = LungPhantom(slices, seed)
    return [phantom.slice(index) for index in range(slices)]


def surveyed(examiner, slices):
    examiner.survey(SERIES, [lambda values=values: picture(values, CT) for values in slices])
    return [examiner.examine(picture(values, CT), SERIES, nobody) for values in slices]


@pytest.mark.parametrize(("slices", "detections"), [(4, 0), (8, 1)])
def test_a_text_free_series_needs_one_detection_at_most(slices, detections):
    with Examiner() as examiner:
        found = surveyed(examiner, series(slices))
        assert examiner.detections == detections
    assert {(one.regions, one.doubt) for one in found} == {((), None)}


def test_faint_text_on_every_slice_shows_in_their_mean(examiner):
    slices = series(12)
    for values in slices:
        faint = np.zeros_like(values)
        box = write(faint, "FITZGERALD BRENDAN", (150, 252), value=80, height=18)
        np.add(values, faint, out=values)
    found = surveyed(examiner, slices)
    assert all(one.doubt or hidden(one, box) > 0.98 for one in found)


def test_text_on_every_slice_is_found_once_and_blanked_in_each(examiner):
    slices = series()
    for values in slices:
        box = write(values, "JONES MARY 943 476 5919", (20, 20), value=3000, height=12)
    before = examiner.detections
    found = surveyed(examiner, slices)
    assert examiner.detections - before <= 4
    assert all(hidden(one, box) > 0.98 and one.doubt is None for one in found)


def test_text_on_one_slice_is_found(examiner):
    slices = series()
    box = write(slices[3], "WARD 7 OKAFOR", (150, 250), value=2900, height=14)
    found = surveyed(examiner, slices)
    assert found[3].doubt or hidden(found[3], box) > 0.98


def test_a_series_that_was_not_surveyed_is_looked_at_slice_by_slice(examiner):
    values = series(1)[0]
    box = write(values, "KOWALSKI ANNA", (150, 20), value=3000)
    assert hidden(examiner.examine(picture(values, CT), "unknown", nobody), box) > 0.98


def test_what_cannot_be_decoded_or_is_too_large_is_a_doubt(examiner):
    broken = picture(chest(64, 64))
    broken.dataset.PixelData = broken.dataset.PixelData[:100]
    assert examiner.examine(broken, None, nobody).doubt is Reason.PIXEL_CODING
    huge = picture(chest(64, 64))
    huge.geometry = type(huge.geometry)(
        **{name: getattr(huge.geometry, name) for name in huge.geometry.__slots__} | {"rows": LARGEST}
    )
    assert examiner.examine(huge, None, nobody).doubt is Reason.POSSIBLE_TEXT


def test_the_detector_is_started_again_when_it_has_died(capfd):
    values = chest(320, 320)
    write(values, "IQBAL ALI", (60, 60))
    with Reader() as reader:
        first = reader.read(values, (0, 4095))
        os.kill(reader._process.pid, signal.SIGKILL)
        reader._process.wait()
        assert reader.read(values, (0, 4095)) == first != []
        assert reader.started == 2
        assert "IQBAL" not in repr(first)
    assert capfd.readouterr() == ("", "")


def test_the_detector_writes_no_file_and_knows_no_secret(tmp_path, monkeypatch):
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST", "ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BSTI_TOKEN", "zz-secret")
    values = chest(320, 320)
    write(values, "IQBAL ALI", (60, 60))
    with Reader() as reader:
        assert reader.read(values, (0, 4095))
        if sys.platform == "linux":
            environment = Path(f"/proc/{reader._process.pid}/environ").read_bytes()
            assert b"zz-secret" not in environment
            assert b"ORT_DISABLE_TELEMETRY=1" in environment
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_detector_that_takes_too_long_is_a_doubt():
    with Reader(time_limit=0.01) as reader, pytest.raises(ReaderError):
        reader.read(chest(320, 320), (0, 4095))
    with Examiner() as examiner:
        examiner._reader = Reader(time_limit=0.01)
        found = examiner.examine(picture(chest(320, 320)), None, nobody)
    assert found.doubt is Reason.POSSIBLE_TEXT


@pytest.mark.parametrize(
    "text",
    ["L", "rt", "AP ERECT", "APERECT", "Semi-erect", "R LAT", "PORTABLE AP", "\N{FULLWIDTH LATIN CAPITAL LETTER L}"],
)
def test_allowed_markers(text):
    assert is_marker(text)


@pytest.mark.parametrize(
    "text", ["", "LEE", "R LAT-IMORE", "PAL", "LAP", "L SMITH", "ERECTX", "L L", "1", "PA 12", "R L AP PA LAT"]
)
def test_nothing_else_is_a_marker(text):
    assert not is_marker(text)


@pytest.mark.parametrize("value", [0, 700, 1200, 4095])
def test_strokes_of_any_value_are_seen_in_noise(value):
    random = np.random.default_rng(7)
    values = (1000 + random.normal(0, 12, (256, 256))).astype(np.uint16)
    assert not strokes.suspicious(values)
    box = write(values, "ROE", (80, 90), value=value, height=12)
    (place, *others) = strokes.clusters(values, ())
    assert not others
    assert place.left <= box[0] + 4
    assert place.right >= box[2] - 4
    assert not strokes.unexplained(values, [place])


def test_lines_and_edges_are_no_letters():
    random = np.random.default_rng(7)
    values = (1000 + random.normal(0, 12, (256, 256))).astype(np.uint16)
    values[:, 100:102] = 4000
    values[200] = 0
    values[:30] = 0
    assert not strokes.suspicious(values)


def test_the_examiner_alone_loads_no_network():
    code = "import sys, bsti_submit.deid.pixels.examine; print(*{'onnxruntime', 'cv2', 'rapidocr'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == ""
