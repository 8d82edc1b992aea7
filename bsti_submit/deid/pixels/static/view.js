// The picture on its stage: where it lies, how large it is, and through which window it is seen.

export const byId = (id) => document.getElementById(id);
export const stage = byId("stage");
export const paper = byId("paper");
export const large = byId("large");

export const view = { full: false, level: 0, width: 1, zoomed: false, scale: 1 };
let seen = { level: 0, width: 1 };
let asked = { level: 0, width: 1 };
let again = false;
let source = null;

export function place() {
  if (!large.naturalWidth) return;
  const wide = stage.clientWidth, high = stage.clientHeight;
  const fit = Math.min(wide / large.naturalWidth, high / large.naturalHeight);
  view.scale = view.zoomed ? Math.max(1, 2 * fit) : fit;
  const width = large.naturalWidth * view.scale, height = large.naturalHeight * view.scale;
  paper.style.width = `${width}px`;
  paper.style.height = `${height}px`;
  paper.style.left = `${Math.max(0, (wide - width) / 2)}px`;
  paper.style.top = `${Math.max(0, (high - height) / 2)}px`;
}

// Where the pointer is, in stored pixels, with fractions.
export function spot(event) {
  const box = paper.getBoundingClientRect();
  const inside = (at, most) => Math.min(Math.max(at, 0), most);
  return {
    x: inside((event.clientX - box.left) / view.scale, large.naturalWidth),
    y: inside((event.clientY - box.top) / view.scale, large.naturalHeight),
  };
}

// The middle of what can be seen of the picture, in stored pixels.
export function middle() {
  const box = stage.getBoundingClientRect();
  return spot({ clientX: box.left + stage.clientWidth / 2, clientY: box.top + stage.clientHeight / 2 });
}

// To or from the place of a click, or another place, or what is in the middle.
export function toggleZoom(event, place_) {
  const at = place_ || (event?.clientX ? spot(event) : middle());
  view.zoomed = stage.classList.toggle("zoomed");
  byId("zoom").setAttribute("aria-pressed", String(view.zoomed));
  place();
  stage.scrollLeft = view.zoomed ? at.x * view.scale - stage.clientWidth / 2 : 0;
  stage.scrollTop = view.zoomed ? at.y * view.scale - stage.clientHeight / 2 : 0;
}

// Loads a picture; `address` makes its address out of the window.
export function load(address) {
  source = address;
  again = false;
  asked = { level: view.level, width: view.width };
  large.src = address(asked);
}

export function arrived() {
  seen = asked;
  place();
  live();
  if (again) load(source);
}

const changed = () => view.level !== 0 || view.width !== 1;

// Until the picture comes anew from the stored values, its bytes are stretched: at once, but coarsely.
function live() {
  const from = (window_) => 0.5 + window_.level - window_.width / 2;
  const same = seen.level === view.level && seen.width === view.width;
  for (const part of byId("live").firstElementChild.children) {
    part.setAttribute("slope", String(seen.width / view.width));
    part.setAttribute("intercept", String((from(seen) - from(view)) / view.width));
  }
  large.style.filter = same ? "" : "url(#live)";
  byId("reset").hidden = !changed();
}

export function adjust(level, width) {
  const between = (value, least, most) => Math.min(Math.max(value, least), most);
  view.width = between(width, 1 / 128, 8);
  view.level = between(level, -8, 8);
  if (!source) return;
  live();
  if (large.complete) load(source);
  else again = true;
}

export const contrast = (by) => adjust(view.level, view.width * by);
export const brightness = (by) => adjust(view.level - by * view.width, view.width);
export const resetWindow = () => adjust(0, 1);

export function newView() {
  Object.assign(view, { full: false, level: 0, width: 1 });
  seen = { level: 0, width: 1 };
  live();
  if (view.zoomed) toggleZoom();
}
