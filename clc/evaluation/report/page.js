// What the report does when one touches it: charts zoom, tables sort, pictures are compared under a slider.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// ---- charts: drag a box to zoom, double-click for the whole

function niceTicks(low, high) {
  const power = 10 ** Math.floor(Math.log10((high - low) / 6));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => 6 * each >= high - low);
  const ticks = [];
  for (let index = Math.ceil(low / step); index * step <= high; index++) ticks.push(index * step);
  return ticks.map((tick) => Number(tick.toPrecision(10)));
}

function scale([low, high], [start, end]) {
  const place = (value) => start + ((value - low) / (high - low)) * (end - start);
  place.invert = (position) => low + ((position - start) / (end - start)) * (high - low);
  return place;
}

function zoomable(svg) {
  const { left, right, top, bottom } = svg.dataset;
  const across = [Number(left), Number(right)], upward = [Number(bottom), Number(top)];
  const whole = { x: JSON.parse(svg.dataset.rates), y: JSON.parse(svg.dataset.qualities) };
  let view = whole;
  const x = scale(whole.x, across), y = scale(whole.y, upward);
  const curves = [...svg.querySelectorAll(".curve")].map((curve) => ({
    line: curve.querySelector(".line"),
    points: [...curve.querySelectorAll(".point")].map((node) => ({
      node, rate: x.invert(Number(node.dataset.x)), quality: y.invert(Number(node.dataset.y)),
    })),
  }));

  function tick(className, attributes, text, textAttributes) {
    const line = document.createElementNS(SVG, "line"), label = document.createElementNS(SVG, "text");
    for (const [name, value] of Object.entries({ class: "frame", ...attributes })) line.setAttribute(name, value);
    for (const [name, value] of Object.entries(textAttributes)) label.setAttribute(name, value);
    label.textContent = text;
    svg.querySelector(className).append(line, label);
  }

  function draw() {
    const x = scale(view.x, across), y = scale(view.y, upward);
    for (const { line, points } of curves) {
      for (const { node, rate, quality } of points) {
        node.setAttribute("transform", `translate(${x(rate).toFixed(2)} ${y(quality).toFixed(2)})`);
      }
      line.setAttribute("points", points.map((p) => `${x(p.rate).toFixed(2)},${y(p.quality).toFixed(2)}`).join(" "));
    }
    for (const name of [".x-ticks", ".y-ticks"]) svg.querySelector(name).replaceChildren();
    for (const value of niceTicks(...view.x)) {
      const at = x(value);
      tick(".x-ticks", { x1: at, x2: at, y1: bottom, y2: Number(bottom) + 5 }, value,
        { x: at, y: Number(bottom) + 20, "text-anchor": "middle" });
    }
    for (const value of niceTicks(...view.y)) {
      const at = y(value);
      tick(".y-ticks", { x1: left, x2: right, y1: at, y2: at }, value,
        { x: left - 8, y: at + 4.5, "text-anchor": "end" });
    }
    reset.disabled = view === whole;
  }

  function show(next) {
    view = next;
    draw();
  }

  function zoom(factor) {
    const around = ([low, high]) => {
      const middle = (low + high) / 2, half = ((high - low) / 2) * factor;
      return [middle - half, middle + half];
    };
    show({ x: around(view.x), y: around(view.y) });
  }

  const button = (text, action) => {
    const node = make("button", { type: "button" }, text);
    node.addEventListener("click", action);
    return node;
  };
  const reset = button("Whole", () => show(whole));
  svg.closest("figure").querySelector(".tools").append(
    button("Zoom in", () => zoom(0.5)), button("Zoom out", () => zoom(2)), reset,
  );
  reset.disabled = true;
  svg.addEventListener("dblclick", () => show(whole));

  const position = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const within = (value, [a, b]) => Math.min(Math.max(value, Math.min(a, b)), Math.max(a, b));
    return { x: within(point.x, across), y: within(point.y, upward) };
  };
  const box = document.createElementNS(SVG, "rect");
  box.setAttribute("class", "box");
  let start = null;
  const extent = (end) => ({
    x: Math.min(start.x, end.x), y: Math.min(start.y, end.y),
    width: Math.abs(end.x - start.x), height: Math.abs(end.y - start.y),
  });
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return; // a finger scrolls the page
    start = position(event);
    svg.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => {
    if (!start) return;
    for (const [name, value] of Object.entries(extent(position(event)))) box.setAttribute(name, value);
    svg.append(box);
  });
  svg.addEventListener("pointerup", (event) => {
    if (!start) return;
    const { x: from, y: over, width, height } = extent(position(event));
    start = null;
    box.remove();
    if (width < 6 || height < 6) return;
    const x = scale(view.x, across), y = scale(view.y, upward);
    show({ x: [x.invert(from), x.invert(from + width)], y: [y.invert(over + height), y.invert(over)] });
  });
  svg.addEventListener("pointercancel", () => { start = null; box.remove(); });
}

// ---- tables: a click on a heading sorts, another one turns the order round; unknown values stay last

function sortable(table) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const text = heading.hasAttribute("data-text");
    const button = make("button", { type: "button" }, heading.textContent);
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      for (const each of headings) each.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const order = (a, b) => (text ? a.localeCompare(b, "en", { numeric: true }) : Number(a) - Number(b));
      const sorted = [...body.rows].map((row) => ({ row, key: key(row) })).sort((a, b) => {
        if (a.key === b.key) return 0;
        if (a.key === "" || b.key === "") return a.key === "" ? 1 : -1;
        return descending ? order(b.key, a.key) : order(a.key, b.key);
      });
      body.append(...sorted.map(({ row }) => row));
      table.classList.add("sorted");
    });
  });
}

// ---- pictures: two of a photo in one place, divided by a slider

function comparable(panel) {
  const figures = [...panel.querySelectorAll("figure[data-choice]")];
  if (figures.length < 2) return;
  const [under, over] = ["under", "over"].map((name) => make("img", { class: name, alt: "", draggable: "false" }));
  const stage = make("div", { class: "stage" }, under, over, make("span", { class: "edge" }));
  const slider = make("input", { type: "range", min: 0, max: 100, step: 0.1, value: 50, "aria-label": "Where the pictures meet" });
  const choices = ["Left", "Right"].map((side) => {
    const select = make("select", { "aria-label": side });
    for (const figure of figures) select.append(make("option", {}, figure.dataset.choice));
    return select;
  });
  choices[1].selectedIndex = 1;

  function show() {
    const [leftPicture, rightPicture] = choices.map((select) => figures[select.selectedIndex].querySelector("img"));
    over.src = leftPicture.src;
    under.src = rightPicture.src;
    stage.style.aspectRatio = `${leftPicture.width} / ${leftPicture.height}`;
    stage.style.maxWidth = `${leftPicture.getAttribute("width")}px`;
    stage.style.setProperty("--edge", `${slider.value}%`);
  }
  const follow = (event) => {
    const { left, width } = stage.getBoundingClientRect();
    slider.value = (100 * (event.clientX - left)) / width;
    show();
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    follow(event);
  });
  stage.addEventListener("pointermove", (event) => { if (event.buttons & 1) follow(event); });
  slider.addEventListener("input", show);
  slider.addEventListener("keydown", (event) => { // its own steps, of a tenth of a percent, hardly show
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5 }[event.key];
    if (!step) return;
    event.preventDefault();
    slider.value = Number(slider.value) + 2 * step * (event.shiftKey ? 5 : 1);
    show();
  });
  for (const select of choices) select.addEventListener("change", show);
  panel.querySelector(".compare").append(stage, make("div", { class: "choices" }, choices[0], slider, choices[1]));
  show();
}

// ---- legends: a click on a name hides its curves, another one shows them

function toggle(entry) {
  const name = entry.dataset.curve;
  const curves = [...document.querySelectorAll(".curve")].filter((curve) => curve.dataset.curve === name);
  const button = make("button", { type: "button", "aria-pressed": "true" }, ...entry.childNodes);
  entry.append(button);
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(shown));
    for (const curve of curves) curve.classList.toggle("off", !shown);
  });
}

// ---- a narrow page: sections are folded, and each cell says what it is

function labelled(table) {
  const labels = [...table.tHead.rows[0].cells].flatMap((cell) => Array(cell.colSpan).fill(cell.textContent));
  for (const row of table.tBodies[0].rows) {
    let column = 0;
    for (const cell of row.cells) {
      if (cell.tagName === "TD") cell.dataset.label = labels[column];
      column += cell.colSpan;
    }
  }
  table.classList.add("labelled");
}

function unfold() { // a link must lead to something
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (!target) return;
  if (target.matches("details")) target.open = true;
  for (const inner of target.querySelectorAll(":scope > details")) inner.open = true;
  target.scrollIntoView();
}

const folds = [...document.querySelectorAll("details.fold")];
if (matchMedia("(max-width: 36rem)").matches) for (const fold of folds) fold.open = false;
addEventListener("hashchange", unfold);
let foldedBefore = [];
addEventListener("beforeprint", () => {
  foldedBefore = folds.filter((fold) => !fold.open && !fold.querySelector("#photos")); // one page a photo is for the CSV
  for (const fold of foldedBefore) fold.open = true;
});
addEventListener("afterprint", () => { for (const fold of foldedBefore) fold.open = false; });

document.querySelectorAll("table").forEach(labelled);
document.querySelectorAll("svg.chart").forEach(zoomable);
document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll(".legend li").forEach(toggle);
document.querySelectorAll(".panel").forEach(comparable);
document.querySelectorAll("table").forEach(withCsv);
document.querySelectorAll("svg.chart").forEach(withPng);
unfold();

