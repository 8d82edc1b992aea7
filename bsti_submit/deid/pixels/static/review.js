"use strict";

const byId = (id) => document.getElementById(id);
const token = document.querySelector('meta[name="review-token"]').content;
const WORDS = { cleared: "✓ cleared", rejected: "✗ rejected", "left-out": "– left out" };

let state = null;
let current = 0;
let frame = 0;
let full = false;
let busy = false;
let loaded = false;

const address = (item, options) => {
  const query = new URLSearchParams({ frame: String(options.frame || 0), range: options.full ? "full" : "window" });
  if (options.small) query.set("size", "small");
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
    verdict.textContent = WORDS[item.verdict] || (state.mode === "decide" ? "held" : "");
    verdict.className = `state ${item.verdict}`;
    button.setAttribute("aria-current", String(item.index === current));
    button.setAttribute("aria-label", `${item.ref}, ${item.caption}, ${verdict.textContent}`);
  }
  const item = state.items[current];
  const open = state.items.filter((one) => !one.verdict).length;
  byId("progress").textContent =
    state.mode === "decide"
      ? open ? `${state.items.length - open} of ${state.items.length} decided` : "All decided. Press Enter to finish."
      : `${state.items.length} image${state.items.length === 1 ? "" : "s"} to be sent`;
  for (const button of document.querySelectorAll("#actions button")) {
    const verdict = button.dataset.verdict;
    button.classList.toggle("chosen", Boolean(verdict) && item.verdict === verdict);
    button.disabled = busy || (verdict === "" && !item.verdict) || (verdict === "cleared" && !(item.clearable && loaded));
  }
  byId("full").setAttribute("aria-pressed", String(full));
}

function draw() {
  const item = state.items[current];
  loaded = false;
  const large = byId("large");
  large.alt = `${item.ref}, ${full ? "full range" : "the image's own window"}`;
  large.src = address(item, { frame, full });
  byId("inset").src = address(item, { full: !full, small: true });
  byId("other-name").textContent = full ? "As its window says" : "Full range";
  byId("other").setAttribute("aria-label", full ? "Show it as its window says" : "Show its full range");
  byId("frame-number").textContent = `${frame + 1} of ${item.frames}`;
  byId("frame").value = String(frame);
  paint();
}

function show(index) {
  current = index;
  frame = 0;
  full = false;
  if (byId("stage").classList.contains("zoomed")) toggleZoom();
  const item = state.items[current];
  byId("ref").textContent = item.ref;
  byId("caption").textContent = item.caption;
  byId("reason").textContent = item.reason;
  byId("frame-row").hidden = item.frames < 2;
  byId("frame").max = String(item.frames - 1);
  byId("message").textContent = "";
  draw();
  byId(`thumb-${index}`).scrollIntoView({ block: "nearest" });
}

function step(by) {
  const next = current + by;
  if (next >= 0 && next < state.items.length) show(next);
}

function turn(by) {
  const item = state.items[current];
  const next = frame + by;
  if (next >= 0 && next < item.frames) {
    frame = next;
    draw();
  }
}

function toggleFull() {
  full = !full;
  draw();
}

function toggleZoom(event) {
  const stage = byId("stage");
  const large = byId("large");
  const box = stage.getBoundingClientRect();
  const x = event && event.clientX ? (event.clientX - box.left) / box.width : 0.5;
  const y = event && event.clientY ? (event.clientY - box.top) / box.height : 0.5;
  const fit = Math.min(box.width / large.naturalWidth, box.height / large.naturalHeight);
  const scale = Math.max(1, 2 * fit);
  const zoomed = stage.classList.toggle("zoomed");
  byId("zoom").setAttribute("aria-pressed", String(zoomed));
  large.style.width = zoomed ? `${scale * large.naturalWidth}px` : "";
  if (zoomed) {
    // From the place in the fitted image, whose margins are no part of it, to the same place in the large one.
    const inside = (at, side, natural) => ((at - 0.5) * side) / (fit * natural) + 0.5;
    stage.scrollLeft = inside(x, box.width, large.naturalWidth) * scale * large.naturalWidth - box.width / 2;
    stage.scrollTop = inside(y, box.height, large.naturalHeight) * scale * large.naturalHeight - box.height / 2;
  }
}

async function decide(verdict) {
  const item = state.items[current];
  if (busy || state.mode !== "decide") return;
  if (verdict === "cleared" ? !(item.clearable && loaded) : !verdict && !item.verdict) return;
  busy = true;
  byId("message").textContent = "";
  try {
    await ask("/decision", { index: item.index, verdict });
    item.verdict = verdict;
    const order = state.items.slice(current + 1).concat(state.items.slice(0, current));
    const next = order.find((one) => !one.verdict);
    busy = false;
    if (verdict && next) show(next.index);
    else {
      paint();
      if (verdict) byId("done").focus();
    }
  } catch (error) {
    busy = false;
    paint();
    byId("message").textContent = error.message;
  }
}

async function finish() {
  const open = state.items.filter((one) => !one.verdict).length;
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

function dragToMove() {
  const stage = byId("stage");
  let start = null;
  let moved = false;
  stage.addEventListener("pointerdown", (event) => {
    start = { x: event.clientX, y: event.clientY, left: stage.scrollLeft, top: stage.scrollTop };
    moved = false;
  });
  stage.addEventListener("pointermove", (event) => {
    if (!start) return;
    if (Math.hypot(event.clientX - start.x, event.clientY - start.y) > 4) moved = true;
    if (moved && stage.classList.contains("zoomed")) {
      stage.scrollLeft = start.left - (event.clientX - start.x);
      stage.scrollTop = start.top - (event.clientY - start.y);
    }
  });
  window.addEventListener("pointerup", (event) => {
    if (start && !moved && event.target.closest("#stage")) toggleZoom(event);
    start = null;
  });
}

const KEYS = {
  c: () => decide("cleared"),
  r: () => decide("rejected"),
  l: () => decide("left-out"),
  u: () => decide(""),
  f: toggleFull,
  z: () => toggleZoom(),
  ArrowRight: () => step(1),
  ArrowLeft: () => step(-1),
  ArrowDown: () => turn(1),
  ArrowUp: () => turn(-1),
};

async function start() {
  state = await (await fetch("/state")).json();
  document.body.classList.add(state.mode);
  byId("title").textContent = state.title;
  document.title = state.title;
  if (state.mode !== "decide") {
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
  byId("large").addEventListener("load", () => { loaded = true; paint(); });
  byId("large").addEventListener("error", () => { byId("message").textContent = "This image cannot be shown."; });
  for (const button of document.querySelectorAll("#actions button")) {
    button.addEventListener("click", () => decide(button.dataset.verdict));
  }
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("full").addEventListener("click", toggleFull);
  byId("other").addEventListener("click", toggleFull);
  byId("zoom").addEventListener("click", () => toggleZoom());
  byId("frame").addEventListener("input", (event) => { frame = Number(event.target.value); draw(); });
  byId("done").addEventListener("click", finish);
  byId("stage").addEventListener("wheel", (event) => {
    if (state.items[current].frames < 2 || byId("stage").classList.contains("zoomed")) return;
    event.preventDefault();
    turn(event.deltaY > 0 ? 1 : -1);
  }, { passive: false });
  dragToMove();
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act && !(byId("stage").classList.contains("zoomed") && event.key.startsWith("Arrow") && event.target.id === "stage")) {
      event.preventDefault();
      act();
    }
  });
  buildSheet();
  if (state.items.length) show(0);
}

start();
