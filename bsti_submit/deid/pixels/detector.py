"""The process that finds letters: grey pictures come in on stdin, the places of lines of text go out on stdout.

It runs the PP-OCR models that the ``rapidocr`` wheel carries, on ``onnxruntime`` alone: importing ``rapidocr`` itself
would double the start. Nothing is written to disk, and nothing but answers to stdout. `reader` starts and stops it.

The models are DB (Liao et al., Real-time Scene Text Detection with Differentiable Binarization, 2020) for finding
lines and a CTC recogniser for reading them.
"""

from __future__ import annotations

import json
import math
import os
import struct
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import cv2
import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]
    Plane = NDArray[np.float32]

REQUEST: Final = struct.Struct("<IIHHI")
"""Rows, columns, the window's ends, and how many places follow; then rows × columns little-endian 16-bit values."""
PLACE: Final = struct.Struct("<IIII")
"""Left, top, right, bottom of a place to be read. With places, nothing else is looked for."""
ANSWER: Final = struct.Struct("<I")
"""Length of the JSON that follows: a list of `Found`, each as a list."""

MEMORY: Final = 1 << 30
"""Bytes of data the process may hold; a tile of a detection needs about 450 MiB of them."""
_THREADS: Final = 2
_TILE: Final = 1024
_OVERLAP: Final = 96
_SMALL: Final = 720
"""A picture whose longer side is below this is also looked at in double size: its letters have few pixels."""
_REDUCED: Final = (0.5, 0.25)
_SMALLEST: Final = 320
_LEVELS: Final = (0.3, 0.6, 0.8, 0.93)
"""Probabilities from which a pixel counts as part of a line; a line is as sure as its pixels are on average."""
_LETTER: Final = 6.0
"""Half the size, in pixels, of what is a letter at one scale; larger ones are found at a smaller scale."""
_SMOOTH: Final = 1.0
_HIGHEST: Final = 100
"""Height of a line's kernel at one scale; it is about 0.6 of the letters'."""
_UNCLIP: Final = 1.7
"""How far a found kernel is widened to its line, as the model was trained (section 3.5 of the paper)."""
_READ_HEIGHT: Final = 48
_READ_WIDTH: Final = 320
_READ_WIDEST: Final = 960
_LONGEST_READ: Final = 12.0
"""Width over height up to which a sure line is read: a longer one is no marker, and blanked whatever it says."""
_PLAIN: Final = 0.85
"""Score of lines of text; what scores less is read, to tell text from texture."""
_MOST_LINES: Final = 400
_MOST_PIECES: Final = 12


class Found(NamedTuple):
    """A line of text in pixels of the picture.

    ``score`` is how sure the detector is (0 to 1), ``apart`` whether the line stands by itself, or is a piece of something
    larger. ``least`` and ``mean`` are the recogniser's confidence in its letters, 0 where it was not asked.
    """

    left: int
    top: int
    right: int
    bottom: int
    score: float
    apart: bool
    text: str = ""
    least: float = 0.0
    mean: float = 0.0


class Models:
    """The two networks, loaded once."""

    def __init__(self) -> None:
        place = find_spec("rapidocr")
        if place is None or not place.submodule_search_locations:
            raise FileNotFoundError("rapidocr")
        folder = Path(place.submodule_search_locations[0]) / "models"
        onnxruntime.disable_telemetry_events()  # what Windows would log of each session
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _THREADS
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # the arena keeps the most that was ever needed
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other work runs beside it
        self._detector = _session(folder, "*_det_*.onnx", options)
        self._recogniser = _session(folder, "*_rec_*.onnx", options)
        characters = self._recogniser.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._alphabet = ["", *characters, " "]

    def probability(self, grey: Grey) -> Plane:
        """Return for each pixel of a grey picture the probability that a line of text runs through it."""
        rows, columns = grey.shape
        height, width = -(-rows // 32) * 32, -(-columns // 32) * 32
        padded = np.pad(grey, ((0, height - rows), (0, width - columns)), mode="edge")
        plane = padded.astype(np.float32)
        plane *= 2 / 255
        plane -= 1
        found: Plane = self._detector.run(None, {"x": np.repeat(plane[None, None], 3, axis=1)})[0]
        return found[0, 0, :rows, :columns]

    def read(self, grey: Grey) -> tuple[str, float, float]:
        """Return the text of an upright line, its least sure letter's probability and the mean (greedy CTC)."""
        rows, columns = grey.shape
        width = min(max(8, round(columns * _READ_HEIGHT / rows)), _READ_WIDEST)
        kind = cv2.INTER_AREA if rows > _READ_HEIGHT else cv2.INTER_CUBIC
        scaled = cv2.resize(grey, (width, _READ_HEIGHT), interpolation=kind)
        plane = np.zeros((1, 3, _READ_HEIGHT, max(width, _READ_WIDTH)), np.float32)
        plane[..., :width] = scaled.astype(np.float32) * (2 / 255) - 1
        steps = self._recogniser.run(None, {"x": plane})[0][0]
        text: list[str] = []
        sure: list[float] = []
        before = 0
        for index, probability in zip(steps.argmax(axis=1).tolist(), steps.max(axis=1).tolist(), strict=True):
            if index and index != before:
                text.append(self._alphabet[index] if index < len(self._alphabet) else "\ufffd")
                sure.append(probability)
            before = index
        return "".join(text).strip(), min(sure, default=0.0), sum(sure) / max(1, len(sure))


def _session(folder: Path, pattern: str, options: Any) -> Any:
    (model,) = folder.glob(pattern)
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def flattened(values: Plane, smooth: float = 0.0) -> Grey:
    """Return a picture in which a letter stands out alike on bright, dark and grey ground, however faint.

    Each pixel's difference from its surroundings, divided by what differences are usual around it: so one
    rendering does for every window, for both polarities, and for text outside the header's window. What is larger than
    letters is not seen at all: shown a whole chest, the model takes it for one enormous sign.
    """
    if smooth:
        values = _blurred(values, smooth)
    detail = values - _blurred(values, _LETTER)
    usual = np.sqrt(_blurred(detail * detail, 2 * _LETTER))
    # A step or two of a 10-bit picture is noise, whatever its surroundings
    usual += max(float(values.max() - values.min()), 1.0) * 0.002
    detail /= usual
    grey: Grey = (np.clip(detail, -3, 3) * 42.3 + 127.5).astype(np.uint8)
    return grey


def _blurred(values: Plane, sigma: float) -> Plane:
    blurred: Any = cv2.GaussianBlur(values, (0, 0), sigma)
    return blurred  # type: ignore[no-any-return] # its stubs know no element type


def _scaled(values: Plane, scale: float) -> Plane:
    if scale == 1:
        return values
    kind = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    scaled: Any = cv2.resize(values, None, fx=scale, fy=scale, interpolation=kind)
    return scaled  # type: ignore[no-any-return] # as above


def windowed(values: Plane, low: float, high: float) -> Grey:
    """Return a picture as the window shows it."""
    shown = (values - low) * (255 / max(high - low, 1.0))
    grey: Grey = np.clip(shown, 0, 255).astype(np.uint8)
    return grey


def find(models: Models, values: NDArray[np.uint16], low: int, high: int) -> list[Found]:
    """Return the lines of text in a picture, those read that are short enough to be a marker."""
    plane = values.astype(np.float32)
    kernels: list[Found] = []
    for scale, smooth, turned in _looks(max(values.shape)):
        grey = flattened(_scaled(plane, scale), smooth)
        if turned:
            grey = np.ascontiguousarray(np.rot90(grey))
        kernels.extend(_lines(models, grey, scale, turned=turned))
    flat = flattened(plane)
    shown = windowed(plane, low, high)
    lines = joined(kernels)
    sure = [line for line in lines if line.apart and line.score >= _PLAIN]
    # What is less sure has to read like text, or else it is the grain of lungs and bones
    unsure = [line for line in lines if not (line.apart and line.score >= _PLAIN)]
    return [
        *(_read(models, line, flat, shown, _LONGEST_READ) for line in sure[:_MOST_LINES]),
        *(_read(models, line, flat, shown, math.inf) for line in unsure[:_MOST_PIECES]),
        # The rest is not read, which makes none of it a marker
        *sure[_MOST_LINES:],
        *unsure[_MOST_PIECES:],
    ]


def read(models: Models, values: NDArray[np.uint16], low: int, high: int, places: list[tuple[int, ...]]) -> list[Found]:
    """Return what is written in places that are known, in their order; none of them is sure to be text."""
    plane = values.astype(np.float32)
    flat, shown = flattened(plane), windowed(plane, low, high)
    lines = [Found(left, top, right, bottom, 0.0, apart=True) for left, top, right, bottom in places[:_MOST_LINES]]
    return [_read(models, line, flat, shown, _LONGEST_READ) for line in lines]


def _looks(longer: int) -> Iterator[tuple[float, float, bool]]:
    """Yield the ways in which a picture is looked at: its scale, how it is smoothed, and whether it is turned.

    Smoothed for faint letters in noise, and turned for upright lines of them; at a smaller scale for larger letters.
    """
    yield 1.0, 0.0, False
    yield 1.0, _SMOOTH, False
    yield 1.0, _SMOOTH, True
    if longer < _SMALL:
        yield 2.0, 0.0, False
    for scale in _REDUCED:
        if longer * scale >= _SMALLEST:
            yield scale, 0.0, False


def _spans(length: int) -> Iterator[tuple[int, int]]:
    """Yield the beginnings and ends of tiles over a length, which overlap by at least `_OVERLAP`."""
    count = 1 if length <= _TILE + _OVERLAP * 2 else -(-(length - _OVERLAP) // (_TILE - _OVERLAP))
    size = -(-(length + (count - 1) * _OVERLAP) // count)
    for index in range(count):
        start = min(index * (size - _OVERLAP), max(0, length - size))
        yield start, min(length, start + size)


def _lines(models: Models, grey: Grey, scale: float, *, turned: bool = False) -> Iterator[Found]:
    """Yield what one rendering shows, in pixels of the picture."""
    likely = np.zeros(grey.shape, np.float32)
    for top, bottom in _spans(grey.shape[0]):
        for left, right in _spans(grey.shape[1]):
            part = grey[top:bottom, left:right]
            if int(part.max()) - int(part.min()) < 3:
                continue
            view = likely[top:bottom, left:right]
            np.maximum(view, models.probability(part), out=view)
    if turned:
        likely = np.ascontiguousarray(np.rot90(likely, -1))
    rows, columns = len(likely), likely[0].size
    for kernel in _kernels(likely, 0, 0, 0):
        reach = kernel.width * kernel.height * _UNCLIP / (2 * (kernel.width + kernel.height))
        yield Found(
            int(max(0, kernel.left - reach) / scale),
            int(max(0, kernel.top - reach) / scale),
            int(-(-min(columns, kernel.left + kernel.width + reach) // scale)),
            int(-(-min(rows, kernel.top + kernel.height + reach) // scale)),
            kernel.score,
            kernel.apart,
        )


class _Kernel(NamedTuple):
    left: int
    top: int
    width: int
    height: int
    score: float
    apart: bool


def _kernels(likely: Plane, left: int, top: int, level: int) -> Iterator[_Kernel]:
    """Yield the connected places that have the shape of a line.

    What has not (the model takes the vessels of a lung for a page of strange writing) is looked into at a
    greater probability, where lines in it stand apart.
    """
    mask = (likely > _LEVELS[level]).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    for index in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[index])
        if area < 6 or min(width, height) < 2:
            continue
        own = labels[y : y + height, x : x + width] == index
        part = np.where(own, likely[y : y + height, x : x + width], 0).astype(np.float32)
        if _like_a_line(own):
            yield _Kernel(left + x, top + y, width, height, float(part.sum()) / area, level == 0)
        elif level + 1 < len(_LEVELS):
            yield from _kernels(part, left + x, top + y, level + 1)


def _like_a_line(own: NDArray[np.bool_]) -> bool:
    """Say whether a connected place fills a rectangle, upright or turned, that is no higher than letters are."""
    points = np.argwhere(own).astype(np.float32)
    _, (width, height), _ = cv2.minAreaRect(points)
    short, long = min(width, height) + 1, max(width, height) + 1
    return short <= _HIGHEST and len(points) >= 0.5 * short * long


def joined(lines: list[Found]) -> list[Found]:
    """Return each line once, though several scales show it: those that stand apart first, the surest first."""
    kept: list[Found] = []
    for line in sorted(lines, key=lambda line: (not line.apart, -line.score)):
        for index, other in enumerate(kept):
            if _shared(line, other) > 0.5 * min(_area(line), _area(other)):
                if line.apart and line.score >= _PLAIN:
                    kept[index] = other._replace(
                        left=min(line.left, other.left),
                        top=min(line.top, other.top),
                        right=max(line.right, other.right),
                        bottom=max(line.bottom, other.bottom),
                    )
                break
        else:
            kept.append(line)
    return kept


def _area(line: Found) -> int:
    return (line.right - line.left) * (line.bottom - line.top)


def _shared(one: Found, other: Found) -> int:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0, width) * max(0, height)


def _read(models: Models, line: Found, flat: Grey, shown: Grey, longest: float) -> Found:
    """Return a line with its text, if it is short enough: of both renderings and all turns, what was read surest."""
    width, height = line.right - line.left, line.bottom - line.top
    if max(width, height) > longest * min(width, height):
        return line
    if width > 1.6 * height:
        turns: tuple[int, ...] = (0, 2)
    elif height > 1.6 * width:
        turns = (1, 3)
    else:
        turns = (0, 1, 2, 3)
    best = ("", 0.0, 0.0)
    # A piece is only read to tell text from texture
    for rendering in (shown, flat) if line.apart else (flat,):
        part = rendering[line.top : line.bottom, line.left : line.right]
        for turn in turns:
            read = models.read(np.ascontiguousarray(np.rot90(part, turn)))
            best = max(best, read, key=lambda answer: answer[1])
    return line._replace(text=best[0], least=best[1], mean=best[2])


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until stdin ends."""
    models = Models()
    while True:
        try:
            rows, columns, low, high, count = REQUEST.unpack(_exactly(requests, REQUEST.size))
            places = list(PLACE.iter_unpack(_exactly(requests, count * PLACE.size)))
            data = _exactly(requests, rows * columns * 2)
        except EOFError:
            return
        values = np.frombuffer(data, "<u2").reshape(rows, columns)
        found = read(models, values, low, high, places) if places else find(models, values, low, high)
        body = json.dumps(found).encode()
        answers.write(ANSWER.pack(len(body)) + body)
        answers.flush()


def _bound_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # there are no such limits on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Serve the parent process over its pipes. What any library prints goes nowhere."""
    _bound_memory()
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with suppress(Exception):  # the parent sees the end of the pipe; a traceback could quote what was read
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
