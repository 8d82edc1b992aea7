// The boxes of a picture: suggested ones, and what the person draws, moves and removes. In stored pixels.

import { byId, large, middle, paper, place, spot, stage, view } from "./view.js";

const SMALLEST = 4; // of the screen's pixels: less is a click
const FIRST = [0.25, 0.06]; // a new box, as a share of what is seen: about a line of text
const CORNERS = ["left top", "right top", "left bottom", "right bottom"];
const MOST = 200;

export const boxes = { item: null, frame: 0, chosen: null, preview: false, editable: () => false, changed: () => {}, say: () => {} };

const here = (box) => box.frame === null || box.frame === boxes.frame;
const copy = (list) => list.map((box) => ({ ...box }));

export const toRow = (box) => [box.left, box.top, box.right, box.bottom, box.frame];
export const fromRow = ([left, top, right, bottom, frame], suggested) => ({ left, top, right, bottom, frame, suggested });

function describe(box) {
  const list = boxes.item.boxes;
  const where = boxes.item.frames < 2 ? "" : box.frame === null ? ", in all frames" : `, in frame ${box.frame + 1} alone`;
  return `Box ${list.indexOf(box) + 1} of ${list.length}, ${box.suggested ? "suggested" : "drawn"}${where}`;
}

function lay(element, box) {
  const share = (value, whole) => `${(100 * value) / whole}%`;
  element.style.left = share(box.left, large.naturalWidth);
  element.style.top = share(box.top, large.naturalHeight);
  element.style.width = share(box.right - box.left, large.naturalWidth);
  element.style.height = share(box.bottom - box.top, large.naturalHeight);
}

const elementOf = (box) => [...paper.querySelectorAll(".box")].find((one) => one.box === box);

export function drawBoxes() {
  const focused = document.activeElement?.box;
  for (const old of paper.querySelectorAll(".box")) old.remove();
  paper.classList.toggle("preview", boxes.preview);
  for (const box of boxes.item.boxes.filter(here)) {
    const element = document.createElement("div");
    element.box = box;
    element.className = `box ${box.suggested ? "suggested" : "drawn"}`;
    element.classList.toggle("chosen", box === boxes.chosen);
    element.tabIndex = 0;
    element.setAttribute("role", "button");
    element.setAttribute("aria-label", describe(box));
    element.setAttribute("aria-pressed", String(box === boxes.chosen));
    if (box === boxes.chosen) {
      for (const corner of CORNERS) {
        const handle = document.createElement("span");
        handle.className = `handle ${corner}`;
        handle.corner = corner.split(" ");
        element.append(handle);
      }
    }
    element.addEventListener("focus", () => { if (boxes.chosen !== box) choose(box); });
    lay(element, box);
    paper.append(element);
  }
  if (focused && focused === boxes.chosen) elementOf(focused)?.focus({ preventScroll: true });
  boxes.changed();
}

export function choose(box) {
  boxes.chosen = box;
  drawBoxes();
  if (!box) return stage.focus({ preventScroll: true });
  const element = elementOf(box);
  element?.focus({ preventScroll: true });
  element?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

// Notes how it was. Steps of one kind with one box are one change.
function remember(kind, box) {
  const item = boxes.item;
  if (kind && item.last?.kind === kind && item.last.box === box) return;
  item.undo.push(copy(item.boxes));
  item.last = kind ? { kind, box } : null;
}

export function undoBoxes() {
  const item = boxes.item;
  if (!item.undo.length) return false;
  item.boxes = item.undo.pop();
  item.last = null;
  choose(null);
  return true;
}

function whole(a, b) {
  return {
    left: Math.floor(Math.min(a.x, b.x)), top: Math.floor(Math.min(a.y, b.y)),
    right: Math.ceil(Math.max(a.x, b.x)), bottom: Math.ceil(Math.max(a.y, b.y)),
  };
}

function add(box) {
  if (boxes.item.boxes.length >= MOST) return boxes.say(`No more than ${MOST} boxes: leave it out, or reject it.`);
  remember("", null);
  boxes.preview = false;
  const made = { frame: null, suggested: false, ...box };
  boxes.item.boxes.push(made);
  choose(made);
}

export function newBox() {
  if (!boxes.editable()) return;
  const at = middle();
  const wide = Math.min(large.naturalWidth, stage.clientWidth / view.scale) * FIRST[0];
  const high = Math.min(large.naturalHeight, stage.clientHeight / view.scale) * FIRST[1];
  add(whole({ x: at.x - wide / 2, y: at.y - high / 2 }, { x: at.x + wide / 2, y: at.y + high / 2 }));
}

export function deleteBox() {
  const item = boxes.item;
  if (!boxes.chosen || !boxes.editable()) return;
  remember("", null);
  item.boxes = item.boxes.filter((box) => box !== boxes.chosen);
  choose(null);
}

export function everyFrame() {
  if (!boxes.chosen || boxes.item.frames < 2 || !boxes.editable()) return;
  remember("", null);
  boxes.chosen.frame = boxes.chosen.frame === null ? boxes.frame : null;
  drawBoxes();
}

function moved(box, x, y) {
  const dx = Math.min(Math.max(x, -box.left), large.naturalWidth - box.right);
  const dy = Math.min(Math.max(y, -box.top), large.naturalHeight - box.bottom);
  return { left: box.left + dx, right: box.right + dx, top: box.top + dy, bottom: box.bottom + dy };
}

export function nudge(x, y, larger) {
  const box = boxes.chosen;
  if (!boxes.editable()) return;
  const step = Math.max(1, Math.round(4 / view.scale));
  remember(larger ? "size" : "place", box);
  if (larger) {
    box.right = Math.min(Math.max(box.right + x * step, box.left + 1), large.naturalWidth);
    box.bottom = Math.min(Math.max(box.bottom + y * step, box.top + 1), large.naturalHeight);
  } else Object.assign(box, moved(box, x * step, y * step));
  drawBoxes();
}

// Suggestions that come late are part of every earlier state too, so that no undoing takes them away.
export function suggest(item, rows) {
  for (const list of [item.boxes, ...item.undo]) list.push(...rows.map((row) => fromRow(row, true)));
  clip(item);
}

export function clip(item) {
  if (!item.size) return;
  const [width, height] = item.size;
  const inside = (list) => list.filter((box) => {
    box.left = Math.max(0, box.left);
    box.top = Math.max(0, box.top);
    box.right = Math.min(width, box.right);
    box.bottom = Math.min(height, box.bottom);
    return box.left < box.right && box.top < box.bottom;
  });
  item.boxes = inside(item.boxes);
  item.undo = item.undo.map(inside);
}

// What a drag that begins here does: called with every place of the pointer, then with how it ended.
export function beginDrag(event) {
  const start = spot(event);
  const handle = event.target.closest(".handle");
  const element = event.target.closest(".box");
  if (element) {
    const box = element.box;
    if (boxes.chosen !== box) choose(box);
    const before = { ...box };
    let noted = false;
    return {
      drag(now) {
        if (!boxes.editable()) return;
        if (!noted) remember("", null);
        noted = true;
        if (handle) {
          const fixed = { x: before[handle.corner[0] === "left" ? "right" : "left"], y: before[handle.corner[1] === "top" ? "bottom" : "top"] };
          const grown = whole(fixed, now);
          if (grown.left < grown.right && grown.top < grown.bottom) Object.assign(box, grown);
        } else Object.assign(box, moved(before, Math.round(now.x - start.x), Math.round(now.y - start.y)));
        lay(elementOf(box), box);
      },
      drop: drawBoxes,
      click: () => {},
    };
  }
  let shown = null;
  return {
    drag(now) {
      if (!boxes.editable()) return;
      if (!shown) {
        shown = document.createElement("div");
        shown.className = "box drawn chosen";
        paper.append(shown);
      }
      lay(shown, whole(start, now));
    },
    drop(now) {
      if (!shown) return;
      shown.remove();
      const box = whole(start, now);
      if (Math.min(box.right - box.left, box.bottom - box.top) * view.scale >= SMALLEST) add(box);
    },
    click: null,
  };
}

new ResizeObserver(place).observe(stage);
