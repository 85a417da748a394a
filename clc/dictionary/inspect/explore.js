// What the explorer does when one touches it: entries are sorted, filtered and turned over in pages; the map filters too.
"use strict";

const $ = (id) => document.getElementById(id);
const grid = $("entries"), cards = [...grid.children];
const PAGE = Number(grid.dataset.page); // entries
const points = new Map([...document.querySelectorAll(".map a")].map((link) => [link.getAttribute("href").slice(1), link]));
const number = (name) => (card) => Number(card.dataset[name]);
const index = number("index"), size = number("size"), radius = number("radius");
const orders = {
  index: (a, b) => index(a) - index(b),
  size: (a, b) => size(b) - size(a) || index(a) - index(b),
  radius: (a, b) => radius(b) - radius(a) || index(a) - index(b),
  photo: (a, b) => (a.dataset.photo < b.dataset.photo ? -1 : a.dataset.photo > b.dataset.photo ? 1 : index(a) - index(b)),
};
let matching = [], page = 0, area = null; // area of the map: {left, right, top, bottom} in its coordinates

// ---- entries

function within(card) {
  if (!area) return true;
  const circle = points.get(card.id).querySelector("circle");
  const x = circle.cx.baseVal.value, y = circle.cy.baseVal.value;
  return x >= area.left && x <= area.right && y >= area.top && y <= area.bottom;
}

function filter() {
  const photo = $("photo").value, smallest = Number($("size").value), tightest = Number($("radius").value);
  matching = cards.filter((card) => (photo === "" || card.dataset.photo === photo)
    && size(card) >= smallest && radius(card) >= tightest && within(card));
  const chosen = new Set(matching.map((card) => card.id));
  for (const [id, link] of points) link.classList.toggle("off", !chosen.has(id));
  $("count").textContent = `${matching.length} of ${cards.length} entries`;
  $("everywhere").hidden = !area;
  turn(0);
}

function turn(to) {
  const pages = Math.max(1, Math.ceil(matching.length / PAGE));
  page = Math.min(Math.max(to, 0), pages - 1);
  const shown = new Set(matching.slice(page * PAGE, (page + 1) * PAGE));
  for (const card of cards) card.hidden = !shown.has(card);
  for (const bar of document.querySelectorAll(".pages")) {
    bar.hidden = pages === 1;
    bar.querySelector("output").textContent = `page ${page + 1} of ${pages}`;
    bar.querySelector("[data-turn='-1']").disabled = page === 0;
    bar.querySelector("[data-turn='1']").disabled = page === pages - 1;
  }
}

function sort() {
  cards.sort(orders[$("sort").value]);
  grid.append(...cards);
  filter();
}

function reveal() {
  const card = location.hash.startsWith("#entry-") && $(location.hash.slice(1));
  if (!card) return;
  const place = matching.indexOf(card);
  if (place >= 0) turn(Math.floor(place / PAGE));
  card.hidden = false; // a link must lead somewhere even if the filter has hidden its entry
  card.scrollIntoView();
}

for (const button of document.querySelectorAll("[data-turn]")) {
  button.addEventListener("click", () => {
    turn(page + Number(button.dataset.turn));
    $("entries").scrollIntoView();
  });
}
$("sort").addEventListener("change", sort);
for (const id of ["photo", "size", "radius"]) $(id).addEventListener("input", filter);
$("everywhere").addEventListener("click", () => { area = null; box.remove(); filter(); });
addEventListener("hashchange", reveal);

// ---- the map: a box that is dragged filters, a point that is pointed at shows its picture

const map = document.querySelector(".map svg"), seen = $("seen");
const box = document.createElementNS(map.namespaceURI, "rect");
box.setAttribute("class", "box");
let start = null, dragged = false;

function place(event) {
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
  return { x, y };
}

function drawn(end) {
  const found = {
    left: Math.min(start.x, end.x), right: Math.max(start.x, end.x), top: Math.min(start.y, end.y), bottom: Math.max(start.y, end.y),
  };
  box.setAttribute("x", found.left);
  box.setAttribute("y", found.top);
  box.setAttribute("width", found.right - found.left);
  box.setAttribute("height", found.bottom - found.top);
  return found;
}

map.addEventListener("pointerdown", (event) => {
  dragged = false;
  if (event.button !== 0 || event.pointerType === "touch") return; // a finger scrolls the page
  start = place(event);
});
map.addEventListener("pointermove", (event) => {
  if (!start) return;
  const found = drawn(place(event));
  if (!dragged && Math.max(found.right - found.left, found.bottom - found.top) < 6) return;
  if (!dragged) map.setPointerCapture(event.pointerId);
  dragged = true;
  map.append(box);
});
map.addEventListener("pointerup", (event) => {
  if (start && dragged) {
    area = drawn(place(event));
    filter();
  }
  start = null;
});
map.addEventListener("pointercancel", () => { start = null; });
map.addEventListener("dragstart", (event) => event.preventDefault()); // links would be dragged away
map.addEventListener("click", (event) => { if (dragged) event.preventDefault(); }, true);

function show(link) {
  const card = $(link.getAttribute("href").slice(1));
  seen.replaceChildren(card.querySelector("img").cloneNode(), `${card.dataset.index}: ${card.dataset.photo}`);
  seen.hidden = false;
  const { left, bottom, top } = link.getBoundingClientRect(), own = seen.getBoundingClientRect();
  const below = bottom + 8 + own.height < innerHeight;
  seen.style.left = `${Math.max(4, Math.min(left, innerWidth - own.width - 4))}px`;
  seen.style.top = `${below ? bottom + 8 : Math.max(4, top - 8 - own.height)}px`;
}

for (const link of points.values()) {
  link.addEventListener("pointerenter", () => show(link));
  link.addEventListener("pointerleave", () => { seen.hidden = true; });
}
addEventListener("scroll", () => { seen.hidden = true; }, { passive: true });

$("controls").hidden = false;
sort(); // a reloaded page keeps what was chosen
reveal();
