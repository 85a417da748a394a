// What the report gives away: its tables as CSV, its charts as PNG. Both are made here; nothing is loaded.
"use strict";

function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function downloadButton(text, action) {
  const button = make("button", { type: "button", class: "download" }, text);
  button.addEventListener("click", action);
  return button;
}

function csvCell(cell) {
  const text = (cell.dataset.value ?? cell.textContent).trim().replace(/\s+/g, " ").replace(/\u2212/g, "-");
  // A name that begins like a formula would be one to a spreadsheet.
  const safe = /^[=+@\t]|^-(?![\d.])/.test(text) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

function csv(table) {
  const cells = (row) => [...row.cells].flatMap((cell) => [csvCell(cell), ...Array(cell.colSpan - 1).fill("")]);
  return [...table.rows].map((row) => cells(row).join(",") + "\r\n").join("");
}

function withCsv(table) {
  const name = `${document.title.replace(/[^A-Za-z0-9]+/g, "-")}-${table.id}.csv`;
  const save = () => download(new Blob(["\ufeff", csv(table)], { type: "text/csv" }), name);
  table.closest(".scroll").after(make("div", { class: "tools" }, downloadButton("CSV", save)));
}

// ---- a chart as the page shows it, its legend below it, twice as large

const DRAWN = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "font", "display",
  "text-anchor"];
const SCALE = 2, ROW = 22;

function styledCopy(svg) {
  const copy = svg.cloneNode(true);
  const originals = [svg, ...svg.querySelectorAll("*")], copies = [copy, ...copy.querySelectorAll("*")];
  originals.forEach((original, index) => {
    const style = getComputedStyle(original);
    copies[index].setAttribute("style", DRAWN.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
  });
  const { width, height } = svg.viewBox.baseVal;
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("width", SCALE * width);
  copy.setAttribute("height", SCALE * height);
  return copy;
}

async function png(svg) {
  const { width, height } = svg.viewBox.baseVal;
  const curves = [...svg.querySelectorAll(".curve:not(.off)")].reverse();
  const canvas = make("canvas", { width: SCALE * width, height: SCALE * (height + ROW * (curves.length + 0.5)) });
  const picture = new Image();
  picture.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(styledCopy(svg)))}`;
  await picture.decode();
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(document.body).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0);
  context.scale(SCALE, SCALE);
  context.font = "13px system-ui, sans-serif";
  curves.forEach((curve, index) => {
    context.fillStyle = getComputedStyle(curve.querySelector(".line")).stroke;
    context.fillText(`— ${curve.dataset.curve}`, 52, height + ROW * (index + 0.8));
  });
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}

function withPng(svg, index) {
  const name = `${document.title.replace(/[^A-Za-z0-9]+/g, "-")}-chart-${index + 1}.png`;
  const save = async () => download(await png(svg), name);
  svg.closest("figure").querySelector(".tools").append(downloadButton("PNG", save));
}
