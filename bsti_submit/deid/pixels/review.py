"""A page on loopback where a person looks at pictures, served from memory and gone when they are done.

Two modes: deciding about held pictures one by one, and the last look at what is about to be sent. Nothing
is written to disk, nothing outside this machine is asked for anything, and only the browser that opened the
one-time link gets in.
"""

from __future__ import annotations

import threading
import time
from enum import StrEnum
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, Self

from bsti_submit.deid.pixels.decisions import Verdict
from bsti_submit.deid.pixels.regions import MOST_REGIONS, from_rows, to_rows
from bsti_submit.deid.pixels.render import is_tile, png_size
from bsti_submit.deid.pixels.review_access import Access
from bsti_submit.deid.pixels.review_http import DecisionRefused, handler
from bsti_submit.deid.pixels.review_items import in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bsti_submit.deid.pixels.regions import Region
    from bsti_submit.deid.pixels.review_items import Decide, ReviewItem

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


class ReviewServer:
    """Serves the page from construction until `close`, on a free port of 127.0.0.1.

    Parameters
    ----------
    items
        The pictures, series by series; held ones come first on the page.
    on_decision
        Called with a ref, a verdict (None when one is taken back) and the regions to blank, before the page is
        told that it was kept. It runs in a thread of the server, one call at a time; if it raises, the page
        says that nothing was kept.
    notes
        Lines shown above the pictures: in the last look, what is sent to whom, its size and digest.
    """

    def __init__(
        self,
        items: Sequence[ReviewItem],
        on_decision: Decide | None = None,
        *,
        mode: Mode = Mode.DECIDE,
        title: str = "",
        notes: Sequence[str] = (),
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.items = in_order(items)
        self.mode = mode
        self.title = title or ("Look at the held images" if mode is Mode.DECIDE else "Last look")
        self.notes = tuple(notes)
        self.verdicts = {item.ref: item.decision.verdict for item in items if item.decision}
        self.regions = {item.ref: item.decision.regions for item in items if item.decision}
        self.ended: Ended | None = None
        self._on_decision = on_decision
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        # One picture is made at a time, however many the browser asks for: memory stays bounded.
        self._rendering = threading.Lock()
        self._thumbnails: dict[tuple[int, bool], bytes] = {}
        self._kept = 0
        self._shown: dict[int, set[int]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._unshowable: set[int] = set()
        # One search for text at a time; None is one that failed.
        self._searching = threading.Lock()
        self._found: dict[int, tuple[Region, ...] | None] = {}
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
                    "regions": to_rows(self.regions.get(item.ref, ())),
                    "search": item.is_searched,
                }
                for index, item in enumerate(self.items)
            ],
        }

    def picture(
        self, index: int, *, frame: int, full_range: bool, thumbnail: bool, level: float, width: float
    ) -> bytes:
        """Return one picture as PNG."""
        item = self.items[index]
        key = (index, full_range)
        if thumbnail and key in self._thumbnails:
            return self._thumbnails[key]
        frame = frame % max(1, item.frames)
        size = THUMBNAIL if thumbnail else 0
        with self._rendering:
            png = item.render(frame=frame, full_range=full_range, size=size, level=level, width=width)
        with self._lock:
            if thumbnail:
                self._kept += len(png)
                if self._kept < _THUMBNAILS_KEPT:
                    self._thumbnails[key] = png
            elif is_tile(png):
                self._unshowable.add(index)
            else:
                self._shown.setdefault(index, set()).add(frame)
                self._sizes[index] = png_size(png)
        return png

    def suggestions(self, index: int) -> tuple[Region, ...] | None:
        """Return where text seems to stand in a picture, after the search for it; None if the search failed."""
        item = self.items[index]
        if not item.is_searched or item.suggested is None:
            return ()
        with self._searching:
            if index not in self._found:
                try:
                    self._found[index] = tuple(item.suggested())
                except Exception:  # noqa: BLE001 - whatever the search raised, its text stays here
                    self._found[index] = None
            return self._found[index]

    def decide(self, index: int, verdict: Verdict | None, rows: object) -> None:
        """Take a decision, or take one back.

        Parameters
        ----------
        index, verdict
            Which picture, and what.
        rows
            The regions to blank, as `to_rows` gives them: from outside, and not believed.

        Raises
        ------
        DecisionRefused
            If the picture has not been looked at in full, or cannot be cleared.
        ValueError
            If the regions are none of this picture, or given with another verdict.
        """
        item = self.items[index]
        if rows != [] and verdict is not Verdict.CLEARED:
            raise ValueError("only what is cleared has regions")
        with self._lock:
            regions: tuple[Region, ...] = ()
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
                if item.is_searched and index not in self._found:
                    raise DecisionRefused("It is still being searched for text: wait a moment.")
                if len(self._found.get(index) or ()) > MOST_REGIONS:
                    raise DecisionRefused("Too much in it looks like text: leave it out, or reject it.")
                height, width = self._sizes[index]
                regions = from_rows(rows, rows=height, columns=width, frames=item.frames)
            if self._on_decision:
                self._on_decision(item.ref, verdict, regions)
            self.regions.pop(item.ref, None)
            if verdict is None:
                self.verdicts.pop(item.ref, None)
            else:
                self.verdicts[item.ref] = verdict
                self.regions[item.ref] = regions

    def done(self) -> None:
        """End because the person says so; the answer to the browser still goes out."""
        threading.Thread(target=self._end, args=(Ended.DONE,), daemon=True).start()
