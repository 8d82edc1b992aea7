// What the mouse does to the picture: boxes with the left button, contrast with the right, moving with the middle one.

import { beginDrag, boxes, choose } from "./boxes.js";
import { adjust, spot, stage, toggleZoom, view } from "./view.js";

const WHEEL = 50; // so far a wheel or two fingers go for one slice

// `page` tells whether boxes can be drawn at all, whether this image is decided, and what turning the wheel does.
export function useMouse(page) {
  let drag = null;
  let wheel = 0;
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("pointerdown", (event) => {
    if (drag) return;
    const start = { x: event.clientX, y: event.clientY, left: stage.scrollLeft, top: stage.scrollTop, ...view };
    const way = (now) => ({ x: now.clientX - start.x, y: now.clientY - start.y });
    if (event.button === 2) {
      drag = {
        to(now) {
          const { x, y } = way(now);
          const width = start.width * 2 ** (y / 150);
          adjust(start.level - (x / 400) * start.width, width);
        },
      };
    } else if (event.button === 1 || !page.deciding()) {
      drag = {
        to(now) {
          const { x, y } = way(now);
          stage.scrollLeft = start.left - x;
          stage.scrollTop = start.top - y;
        },
        click: event.button ? null : toggleZoom,
      };
    } else {
      const box = beginDrag(event);
      const chosen = boxes.chosen;
      drag = {
        to: (now) => box.drag(spot(now)),
        drop: (now) => box.drop(spot(now)),
        click: box.click || ((now) => (chosen ? choose(null) : toggleZoom(now))),
        locked: page.decided(),
      };
    }
    drag.from = start;
    drag.moved = false;
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("mousedown", (event) => event.preventDefault()); // no selecting, no scrolling by the middle button
  stage.addEventListener("pointermove", (event) => {
    if (!drag) return;
    if (Math.hypot(event.clientX - drag.from.x, event.clientY - drag.from.y) > 4) drag.moved = true;
    if (drag.moved) drag.to(event);
  });
  const end = (event) => {
    if (!drag) return;
    const done = drag;
    drag = null;
    if (done.moved && done.locked) page.refuse();
    if (done.moved) done.drop?.(event);
    else if (event.type === "pointerup") done.click?.(event);
  };
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
  stage.addEventListener("wheel", (event) => {
    if (view.zoomed) return;
    event.preventDefault();
    wheel += event.deltaY;
    if (Math.abs(wheel) < WHEEL) return;
    page.turn(wheel > 0 ? 1 : -1);
    wheel = 0;
  }, { passive: false });
}
