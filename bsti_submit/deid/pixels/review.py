"""A page on loopback where a person looks at pictures, served from memory and gone when they are done.

Two modes: deciding about held pictures one by one, and the last look at what is about to be sent. Nothing
is written to disk, nothing outside this machine is asked for anything, and only the browser that opened the
one-time link gets in.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, Protocol, Self

from bsti_submit.deid.pixels.decisions import Verdict
from bsti_submit.deid.pixels.render import is_tile
from bsti_submit.deid.pixels.review_http import Access, DecisionRefused, handler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bsti_submit.model import InstanceRef, Reason

IDLE_SECONDS: Final = 30 * 60
THUMBNAIL: Final = 240
_THUMBNAILS_KEPT: Final = 16 << 20
_TICK: Final = 0.2


class Mode(StrEnum):
    """What the page is for."""

    DECIDE = "decide"
    LAST_LOOK = "last-look"


class Ended(StrEnum):
    """Why the page is over."""

    DONE = "done"
    IDLE = "idle"
    CLOSED = "closed"


class Renderer(Protocol):
    """Makes a PNG of one frame. ``size`` is the longer side in pixels, 0 for all; it must not raise."""

    def __call__(self, *, frame: int, full_range: bool, size: int) -> bytes:
        """Return the PNG."""


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One picture on the page.

    Attributes
    ----------
    caption, group
        What stands below the picture and above its series. They are shown on this machine alone.
    reason
        Why it is held; None in the last look.
    clearable
        Whether clearing it is offered. A head, for one, cannot be cleared.
    """

    ref: InstanceRef
    caption: str
    render: Renderer = field(repr=False)
    reason: Reason | None = None
    frames: int = 1
    group: str = ""
    clearable: bool = True


class ReviewServer:
    """Serves the page from construction until `close`, on a free port of 127.0.0.1.

    Parameters
    ----------
    items
        The pictures; held ones come first on the page.
    on_decision
        Called with a ref and a verdict, or None when one is taken back, before the page is told that it was
        kept. It runs in a thread of the server, one call at a time; if it raises, the page says that nothing
        was kept.
    notes
        Lines shown above the pictures: in the last look, what is sent to whom, its size and digest.
    """

    def __init__(
        self,
        items: Sequence[ReviewItem],
        on_decision: Callable[[InstanceRef, Verdict | None], None] | None = None,
        *,
        mode: Mode = Mode.DECIDE,
        title: str = "",
        notes: Sequence[str] = (),
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.items = tuple(sorted(items, key=lambda item: item.reason is None))
        self.mode = mode
        self.title = title or ("Look at the held images" if mode is Mode.DECIDE else "Last look")
        self.notes = tuple(notes)
        self.verdicts: dict[InstanceRef, Verdict] = {}
        self.ended: Ended | None = None
        self._on_decision = on_decision
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        # One picture is made at a time, however many the browser asks for: memory stays bounded.
        self._rendering = threading.Lock()
        self._thumbnails: dict[tuple[int, bool], bytes] = {}
        self._kept = 0
        self._shown: dict[int, set[int]] = {}
        self._unshowable: set[int] = set()
        self._over = threading.Event()
        self._active = time.monotonic()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self._server.daemon_threads = True
        self.access = Access(self._server.server_port)
        for target in (self._serve, self._watch):
            threading.Thread(target=target, daemon=True, name="bsti-review").start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The link that opens the page: once, in one browser. Print it, or open it; do not keep it."""
        return self.access.url

    @property
    def opened(self) -> bool:
        """Whether a browser has fetched a picture."""
        return bool(self._kept or self._shown)

    def new_url(self) -> str:
        """Make another one-time link, if the first went to the wrong browser, whose session ends."""
        self.access = Access(self._server.server_port)
        return self.access.url

    def wait(self, timeout: float | None = None) -> Ended | None:
        """Wait until the person is done; return why it ended, or None if ``timeout`` seconds passed first."""
        self._over.wait(timeout)
        return self.ended

    def close(self) -> None:
        """Stop serving and forget the pictures."""
        self._end(Ended.CLOSED)
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=_TICK)

    def _watch(self) -> None:
        while not self._over.wait(_TICK):
            if time.monotonic() - self._active > self._idle_seconds:
                self._end(Ended.IDLE)

    def _end(self, why: Ended) -> None:
        with self._lock:
            if self.ended is not None:
                return
            self.ended = why
            self._thumbnails.clear()
        self._server.shutdown()
        self._over.set()

    # what the HTTP handler calls

    def touch(self) -> None:
        """Note that the person is there."""
        self._active = time.monotonic()

    def state(self) -> dict[str, object]:
        """Return all that the page shows, but the pictures."""
        return {
            "mode": self.mode.value,
            "title": self.title,
            "notes": list(self.notes),
            "items": [
                {
                    "index": index,
                    "ref": str(item.ref),
                    "caption": item.caption,
                    "group": item.group,
                    "frames": item.frames,
                    "reason": item.reason.text if item.reason else "",
                    "clearable": item.clearable,
                    "verdict": self.verdicts.get(item.ref, ""),
                }
                for index, item in enumerate(self.items)
            ],
        }

    def picture(self, index: int, *, frame: int, full_range: bool, thumbnail: bool) -> bytes:
        """Return one picture as PNG."""
        item = self.items[index]
        key = (index, full_range)
        if thumbnail and key in self._thumbnails:
            return self._thumbnails[key]
        frame = frame % max(1, item.frames)
        with self._rendering:
            png = item.render(frame=frame, full_range=full_range, size=THUMBNAIL if thumbnail else 0)
        with self._lock:
            if thumbnail:
                self._kept += len(png)
                if self._kept < _THUMBNAILS_KEPT:
                    self._thumbnails[key] = png
            elif is_tile(png):
                self._unshowable.add(index)
            else:
                self._shown.setdefault(index, set()).add(frame)
        return png

    def decide(self, index: int, verdict: Verdict | None) -> None:
        """Take a decision, or take one back.

        Raises
        ------
        DecisionRefused
            If the picture has not been looked at in full, or cannot be cleared.
        """
        item = self.items[index]
        with self._lock:
            if verdict is Verdict.CLEARED:
                if not item.clearable:
                    raise DecisionRefused("This image cannot be cleared: leave it out, or reject it.")
                if index in self._unshowable:
                    raise DecisionRefused("It cannot be shown, so nobody can clear it: leave it out, or reject it.")
                if len(self._shown.get(index, ())) < item.frames:
                    raise DecisionRefused(
                        "It cannot be cleared before it has been looked at."
                        if item.frames == 1
                        else "It cannot be cleared before every frame has been looked at."
                    )
            if self._on_decision:
                self._on_decision(item.ref, verdict)
            if verdict is None:
                self.verdicts.pop(item.ref, None)
            else:
                self.verdicts[item.ref] = verdict

    def done(self) -> None:
        """End because the person says so; the answer to the browser still goes out."""
        threading.Thread(target=self._end, args=(Ended.DONE,), daemon=True).start()
