import { boxes, choose, clip, deleteBox, drawBoxes, everyFrame, fromRow, newBox, nudge, suggest, toRow, undoBoxes } from "./boxes.js";
import { useMouse } from "./mouse.js";
import { arrived, brightness, byId, contrast, large, load, newView, paper, resetWindow, stage, toggleZoom, view } from "./view.js";

const token = document.querySelector('meta[name="review-token"]').content;
const WORDS = { cleared: "✓ cleared", rejected: "✗ rejected", "left-out": "– left out" };
const WRITING = "a name, number, date or other writing that could tell who this is?";

let state = null;
let current = 0;
let frame = 0;
let busy = false;
let loaded = false;

const counted = (number, noun, plural) => `${number} ${number === 1 ? noun : plural}`;
const deciding = () => state.mode === "decide";
const isOpen = (one) => deciding() && Boolean(one.reason) && !one.verdict;
const searching = (item) => item.search === "waiting" || item.search === "running";

const address = (item, options) => {
  const query = new URLSearchParams({ frame: String(options.frame || 0), range: options.full ? "full" : "window" });
  if (options.small) query.set("size", "small");
  if (options.level || (options.width ?? 1) !== 1) {
    query.set("level", String(options.level));
    query.set("width", String(options.width));
  }
  return `/picture/${item.index}?${query}`;
};

async function ask(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Review-Token": token },
    body: JSON.stringify(body),
  });
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(value.error || "The page has lost its connection to the terminal.");
  return value;
}

function buildSheet() {
  const sheet = byId("sheet");
  const groups = new Map();
  for (const item of state.items) {
    if (!groups.has(item.group)) groups.set(item.group, []);
    groups.get(item.group).push(item);
  }
  for (const [name, items] of groups) {
    const heading = document.createElement("h2");
    heading.textContent = name || (state.mode === "decide" ? "Held images" : "Images");
    heading.textContent += ` (${items.length})`;
    const thumbs = document.createElement("div");
    thumbs.className = "thumbs";
    for (const item of items) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "thumb";
      button.id = `thumb-${item.index}`;
      const picture = document.createElement("img");
      picture.loading = "lazy";
      picture.alt = "";
      picture.src = address(item, { small: true });
      const ref = document.createElement("span");
      ref.textContent = item.ref;
      const name_ = document.createElement("span");
      name_.className = "name";
      name_.textContent = item.caption;
      const verdict = document.createElement("span");
      verdict.className = "state";
      button.append(picture, ref, name_, verdict);
      button.addEventListener("click", () => show(item.index));
      thumbs.append(button);
    }
    sheet.append(heading, thumbs);
  }
}

function paint() {
  for (const item of state.items) {
    const button = byId(`thumb-${item.index}`);
    const verdict = button.querySelector(".state");
    verdict.textContent = WORDS[item.verdict] || (isOpen(item) ? "held" : "");
    if (item.boxes.length) verdict.textContent += ` · ${counted(item.boxes.length, "box", "boxes")}`;
    verdict.className = `state ${item.verdict}`;
    button.setAttribute("aria-current", String(item.index === current));
    button.setAttribute("aria-label", `${item.ref}, ${item.caption}, ${verdict.textContent}`);
  }
  const item = state.items[current];
  const open = state.items.filter(isOpen).length;
  const asked = state.items.filter((one) => one.reason || one.verdict).length;
  byId("progress").textContent =
    deciding()
      ? open ? `${asked - open} of ${asked} decided`
        : asked ? "All decided. Press Enter to finish." : "None is held. Press Enter to finish."
      : `${counted(state.items.length, "image", "images")} to be sent`;
  for (const button of document.querySelectorAll("#actions button")) {
    const verdict = button.dataset.verdict;
    button.classList.toggle("chosen", Boolean(verdict) && item.verdict === verdict);
    button.disabled = busy
      || (verdict === "" && !item.verdict && !item.undo.length)
      || (verdict === "cleared" && !(item.clearable && loaded && !searching(item)));
  }
  byId("full").setAttribute("aria-pressed", String(view.full));
  paintBoxes(item);
}

function paintBoxes(item) {
  const count = item.boxes.length;
  const suggested = item.boxes.filter((box) => box.suggested).length;
  const elsewhere = item.boxes.filter((box) => box.frame !== null && box.frame !== frame).length;
  byId("clear-words").textContent = count ? `Blank ${counted(count, "box", "boxes")} and clear` : "No: clear it";
  byId("question").textContent = count ? `Outside the boxes, is there ${WRITING}` : `Is there ${WRITING}`;
  const told = [];
  if (searching(item)) told.push("Looking for text…");
  else if (item.told) told.push(item.told);
  if (count) {
    told.push(`${counted(count, "box", "boxes")}, ${suggested} suggested`);
    if (elsewhere) told.push(`${elsewhere} in other frames`);
  } else if (item.search === "done" && !item.verdict) told.push("No text found by the search: look for yourself");
  const line = told.join(" · ") || "No boxes";
  if (byId("found").textContent !== line) byId("found").textContent = line;
  byId("searching").hidden = !searching(item);
  const able = editable();
  byId("new-box").disabled = !able;
  byId("next-box").disabled = !count;
  byId("delete-box").disabled = !able || !boxes.chosen;
  byId("preview").disabled = !count;
  byId("preview").setAttribute("aria-pressed", String(boxes.preview));
  byId("every-frame").hidden = item.frames < 2;
  byId("every-frame").disabled = !able || !boxes.chosen;
  byId("every-frame").setAttribute("aria-pressed", String(boxes.chosen?.frame === null));
}

const say = (text) => { byId("message").textContent = text; };
const decided = () => Boolean(state.items[current].verdict);
const refuse = () => say("It is decided: undo that first, with U.");

// Boxes of a decision stay as they were decided about.
const editable = () => deciding() && loaded && !busy && !decided();

function changing(act) {
  return () => {
    if (!deciding()) return;
    if (decided()) refuse();
    else act();
  };
}

function draw() {
  const item = state.items[current];
  loaded = false;
  paper.classList.add("loading");
  large.alt = `${item.ref}, ${view.full ? "full range" : "the image's own window"}`;
  const at = frame;
  load((window_) => address(item, { frame: at, full: view.full, ...window_ }));
  byId("inset").src = address(item, { full: !view.full, small: true });
  byId("other-name").textContent = view.full ? "As its window says" : "Full range";
  byId("other").setAttribute("aria-label", view.full ? "Show it as its window says" : "Show its full range");
  byId("frame-number").textContent = `${frame + 1} of ${item.frames}`;
  byId("frame").value = String(frame);
  boxes.frame = frame;
  if (boxes.chosen && boxes.chosen.frame !== null && boxes.chosen.frame !== frame) boxes.chosen = null;
  drawBoxes();
}

function onLoad() {
  const item = state.items[current];
  loaded = true;
  paper.classList.remove("loading");
  item.size = [large.naturalWidth, large.naturalHeight];
  clip(item);
  arrived();
  drawBoxes();
}

function show(index, same) {
  current = index;
  frame = 0;
  if (!same) newView();
  const item = state.items[current];
  Object.assign(boxes, { item, chosen: null, preview: false });
  byId("ref").textContent = item.ref;
  byId("caption").textContent = item.caption;
  byId("reason").textContent = item.reason;
  byId("frame-row").hidden = item.frames < 2;
  byId("frame").max = String(item.frames - 1);
  say("");
  draw();
  byId(`thumb-${index}`).scrollIntoView({ block: "nearest" });
  search(item);
}

// One picture further than what is looked at, so that nobody waits for the next.
async function search(item) {
  if (item.search === "waiting") {
    item.search = "running";
    paint();
    try {
      const answer = await fetch(`/regions/${item.index}`);
      const found = await answer.json();
      if (found.error) item.told = found.error;
      else suggest(item, found.regions);
      item.search = found.error ? "failed" : "done";
    } catch {
      item.told = "The search for text did not answer, so look with all the more care.";
      item.search = "failed";
    }
    if (item === state.items[current]) drawBoxes();
    else paint();
  }
  if (item !== state.items[current] || searching(item)) return;
  const next = following();
  if (next && next.search === "waiting") search(next);
}

const following = () => state.items.slice(current + 1).concat(state.items.slice(0, current)).find(isOpen);

function step(by) {
  const next = current + by;
  if (next >= 0 && next < state.items.length) show(next);
}

// Through the frames of an image, or the images of a series, as they are seen now.
function turn(by) {
  const item = state.items[current];
  if (item.frames < 2) {
    const next = state.items[current + by];
    if (next && next.group === item.group) show(next.index, true);
    return;
  }
  const next = frame + by;
  if (next >= 0 && next < item.frames) {
    frame = next;
    draw();
  }
}

function toggleFull() {
  Object.assign(view, { full: !view.full, level: 0, width: 1 });
  draw();
}

function zoom() {
  const box = boxes.chosen;
  toggleZoom(null, box && { x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2 });
}

function togglePreview() {
  if (!deciding()) return;
  boxes.preview = !boxes.preview && state.items[current].boxes.length > 0;
  choose(null);
}

function nextBox() {
  const list = state.items[current].boxes;
  if (!list.length) return;
  const box = list[(list.indexOf(boxes.chosen) + 1) % list.length];
  boxes.preview = false;
  if (box.frame !== null && box.frame !== frame) {
    frame = box.frame;
    draw();
  }
  choose(box);
}

function undo() {
  if (!deciding()) return;
  if (decided()) decide("");
  else if (!busy) undoBoxes();
}

async function decide(verdict) {
  const item = state.items[current];
  if (busy || !deciding()) return;
  if (verdict === "cleared" && searching(item)) return say("It is still being searched for text: wait a moment.");
  if (verdict === "cleared" ? !(item.clearable && loaded) : !verdict && !item.verdict) return;
  busy = true;
  say("");
  try {
    await ask("/decision", { index: item.index, verdict, regions: verdict === "cleared" ? item.boxes.map(toRow) : [] });
    item.verdict = verdict;
    const next = following();
    busy = false;
    if (verdict && next) {
      show(next.index);
      stage.focus({ preventScroll: true });
    } else {
      drawBoxes();
      if (verdict) byId("done").focus();
    }
  } catch (error) {
    busy = false;
    drawBoxes();
    say(error.message);
  }
}

async function finish() {
  const open = state.items.filter(isOpen).length;
  if (state.mode === "decide" && open) {
    const plural = open === 1 ? "image stays" : "images stay";
    if (!window.confirm(`${open} ${plural} held. Finish all the same?`)) return;
  }
  try {
    await ask("/done", {});
  } finally {
    byId("over").hidden = false;
    document.querySelector("main").remove();
    document.querySelector("header").remove();
  }
}

const arrow = (x, y, otherwise) => (event) => {
  if (boxes.chosen && deciding()) changing(() => nudge(x, y, event.shiftKey))();
  else otherwise();
};

const KEYS = {
  c: () => decide("cleared"),
  r: () => decide("rejected"),
  l: () => decide("left-out"),
  u: undo,
  b: changing(newBox),
  t: nextBox,
  a: changing(everyFrame),
  p: togglePreview,
  f: toggleFull,
  z: () => zoom(),
  "+": () => contrast(1 / 1.25),
  "=": () => contrast(1 / 1.25),
  "-": () => contrast(1.25),
  ".": () => brightness(0.1),
  ",": () => brightness(-0.1),
  0: resetWindow,
  "?": () => byId("keys").showModal(),
  Delete: changing(deleteBox),
  Backspace: changing(deleteBox),
  Escape: () => choose(null),
  ArrowRight: arrow(1, 0, () => step(1)),
  ArrowLeft: arrow(-1, 0, () => step(-1)),
  ArrowDown: arrow(0, 1, () => turn(1)),
  ArrowUp: arrow(0, -1, () => turn(-1)),
};

function onKey(event) {
  if (byId("keys").open || event.altKey || event.target.matches("input")) return;
  if (event.ctrlKey || event.metaKey) {
    if (event.key.toLowerCase() !== "z" || decided()) return;
    event.preventDefault();
    undo();
    return;
  }
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const scrolls = view.zoomed && event.key.startsWith("Arrow") && event.target === stage && !boxes.chosen;
  if (!act || scrolls) return;
  event.preventDefault();
  act(event);
}

async function start() {
  state = await (await fetch("/state")).json();
  for (const item of state.items) {
    item.boxes = item.regions.map((row) => fromRow(row, false));
    item.undo = [];
    item.search = item.search ? "waiting" : "none";
  }
  document.body.classList.add(state.mode);
  byId("title").textContent = state.title;
  document.title = state.title;
  if (!deciding()) {
    byId("done").textContent = "I have seen these images";
    byId("privacy").textContent = "The de-identified images as they would be sent. This page comes from this computer alone.";
  }
  if (state.notes.length) {
    byId("notes").hidden = false;
    for (const note of state.notes) {
      const line = document.createElement("li");
      line.textContent = note;
      byId("notes").append(line);
    }
  }
  Object.assign(boxes, { editable, changed: paint, say });
  large.addEventListener("load", onLoad);
  large.addEventListener("error", () => say("This image cannot be shown."));
  for (const button of document.querySelectorAll("#actions button")) {
    button.addEventListener("click", () => (button.dataset.verdict ? decide(button.dataset.verdict) : undo()));
  }
  const clicks = {
    previous: () => step(-1), next: () => step(1), full: toggleFull, other: toggleFull, zoom,
    reset: resetWindow, done: finish, help: KEYS["?"], preview: togglePreview, "next-box": nextBox,
    "new-box": changing(newBox), "delete-box": changing(deleteBox), "every-frame": changing(everyFrame),
  };
  for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", act);
  byId("frame").addEventListener("input", (event) => { frame = Number(event.target.value); draw(); });
  useMouse({ deciding, decided, refuse, turn });
  document.addEventListener("keydown", onKey);
  buildSheet();
  if (state.items.length) {
    show(0);
    stage.focus({ preventScroll: true });
  }
}

start();
