"""What the review page is given: pictures, how each is drawn, where text seems to stand in it, and who is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bsti_submit.deid.pixels.decisions import Verdict
from bsti_submit.deid.pixels.render import render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bsti_submit.deid.pixels.decisions import Decision
    from bsti_submit.deid.pixels.regions import Region
    from bsti_submit.model import Buffer, InstanceRef, Reason


class Renderer(Protocol):
    """Makes a PNG of one frame; the parameters are those of `render`. It must not raise."""

    def __call__(self, *, frame: int, full_range: bool, size: int, level: float = 0.0, width: float = 1.0) -> bytes:
        """Return the PNG."""


class Decide(Protocol):
    """Is told what the person decided; the regions are those to be blanked in what is cleared."""

    def __call__(self, ref: InstanceRef, verdict: Verdict | None, regions: tuple[Region, ...], /) -> None:
        """Keep it, or take a decision back if ``verdict`` is None. If it raises, nothing was kept."""


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
    suggested
        Returns where text seems to stand. Called once at most, when the picture is first shown; it may take
        seconds, and until it has answered the picture cannot be cleared. If it raises, the page says so.
    decision
        What was decided about exactly this picture before.
    """

    ref: InstanceRef
    caption: str
    render: Renderer = field(repr=False)
    reason: Reason | None = None
    frames: int = 1
    group: str = ""
    clearable: bool = True
    suggested: Callable[[], tuple[Region, ...]] | None = field(default=None, repr=False)
    decision: Decision | None = None

    @property
    def is_searched(self) -> bool:
        """Whether suggestions are waited for. Who cleared it before had seen, and maybe removed, them."""
        return self.suggested is not None and not (self.decision and self.decision.verdict is Verdict.CLEARED)


def in_order(items: Sequence[ReviewItem]) -> tuple[ReviewItem, ...]:
    """Return the items series by series, those with a held picture first, and held pictures first in each."""
    groups = list(dict.fromkeys(item.group for item in items))
    held = {item.group for item in items if item.reason}
    return tuple(sorted(items, key=lambda i: (i.group not in held, groups.index(i.group), i.reason is None)))


def drawn_from(read: Callable[[], Buffer]) -> Renderer:
    """Return the renderer of a Part 10 file that is read, in memory, each time."""

    def draw(*, frame: int, full_range: bool, size: int, level: float = 0.0, width: float = 1.0) -> bytes:
        return render(read(), frame=frame, full_range=full_range, size=size, level=level, width=width)

    return draw
