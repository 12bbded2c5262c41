// Live: the drawing goes to this page's own server, and everything shown comes from its answer.
import { Paper, newestOnly } from "./paper.js";
import { ask, complain, duration, paint, percent, set, withToken } from "./server.js";

const $ = (id) => document.getElementById(id);
// Pixels of the picture that is sent: the search for the digit takes as long as it is large.
const SENT = 200;
// Answers over which a median is shown.
const RECENT = 30;
const paper = new Paper($("paper"), { changed: read, say: (text) => set("pen", text) });
const narrow = matchMedia("(max-width: 900px), (max-aspect-ratio: 1/1)");
let last = null;

// ----- Reading ----------------------------------------------------------------------------------

const recent = new Map(), ended = { at: 0, asked: 0 };

function median(key, value) {
  const values = [...(recent.get(key) ?? []), value].slice(-RECENT);
  recent.set(key, values);
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

const readNewest = newestOnly(async () => {
  const asked = performance.now();
  const body = await paper.png(SENT);
  const found = await ask("v1/demo", { method: "POST", body, headers: { "Content-Type": "image/png" } });
  show(found);
  complain();
  countFrame(asked);
});

async function read() {
  $("answer").setAttribute("aria-busy", true);
  try {
    await readNewest();
  } catch (error) {
    complain(error);
  } finally {
    $("answer").setAttribute("aria-busy", false);
  }
}

// Only answers that follow each other without a pause say how many there are in a second.
function countFrame(asked) {
  const now = performance.now();
  if (asked - ended.at < 20 && !paper.empty) {
    const rate = 1000 / median("frame", now - ended.at);
    set("speed", `Live: ${rate.toFixed(rate < 10 ? 1 : 0)} answers per second, each from this device`);
  }
  ended.at = now;
}

// ----- Showing ----------------------------------------------------------------------------------

function show(found) {
  last = found;
  const one = found.models.at(-1).prediction, seen = found.input && !paper.empty;
  const label = one.label ?? found.labels[one.digit] ?? "";
  set("digit", !seen ? "–" : label || "?");
  $("digit").style.setProperty("--length", seen ? label.length || 1 : 1);
  $("digit").className = seen ? "" : "empty";
  set("sure", paper.empty ? "Nothing drawn yet." : label ? percent(one.confidence) : `No digit: ${one.reason}`);
  $("sure").className = seen && label ? "" : "words";
  showInput(seen ? found.input : null, label);
  showComparison(found, seen);
  showLayers(seen ? found.layers : null);
  if (seen) {
    for (const stage of ["decode", "preprocess", "layers", "total"]) {
      const us = stage === "layers" && !found.layers ? null : median(stage, found[`${stage}_us`]);
      set(`${stage}-time`, duration(us));
    }
  }
  set("models-note", found.models_note ?? "");
  if (found.layers_note) $("layers").replaceChildren(element("p", "soft", found.layers_note));
}

function showInput(input, label) {
  const canvas = $("input");
  canvas.setAttribute("aria-label", input ? `Model input, read as ${label || "no digit"}` : "No model input yet");
  if (!input) return canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  paint(canvas, input);
  set("input-size", `The network sees ${canvas.height}×${canvas.width} pixels.`);
}

function element(name, className, text = "", children = []) {
  const made = Object.assign(document.createElement(name), { className, textContent: text });
  made.append(...children);
  return made;
}

function showComparison(found, seen) {
  const { models, labels } = found;
  const [two, one] = [models.at(-1), models.length > 1 ? models[0] : null];
  document.querySelector(".compare").classList.toggle("single", !one);
  const same = one?.precision === two.precision;
  showHead($("right"), two, same);
  if (one) showHead($("left"), one, same);
  const body = $("bars").tBodies[0];
  // Names of classes need more room than digits.
  if (labels.join("") !== "0123456789") {
    document.querySelector("h1").textContent = "A neural network reads your drawing";
  }
  $("bars").classList.toggle("names", labels.some((label) => label.length > 2));
  if (body.rows.length !== labels.length) body.replaceChildren(...labels.map(barRow));
  [...body.rows].forEach((row, place) => {
    row.className = seen && two.prediction.digit === place ? "best" : "";
    const shares = [one, two].map((model) => (seen && model ? model.prediction.probabilities[place] : 0));
    const [left, right] = row.querySelectorAll(".bar");
    left.style.width = `${100 * shares[0]}%`;
    right.style.width = `${100 * shares[1]}%`;
    const text = (share) => (share < 0.0005 ? "" : percent(share));
    row.cells[0].textContent = text(shares[0]);
    row.cells[4].textContent = text(shares[1]);
  });
  showAgreement(found, seen);
}

const RUNTIMES = { litert: "LiteRT", tflite: "tflite-runtime", onnx: "ONNX Runtime" };

// The title is what tells the two apart: their precisions, or else their runtimes.
function showHead(cell, model, same) {
  const runtime = RUNTIMES[model.backend];
  const precision = model.precision === "unknown" ? model.file : model.precision;
  const us = model.model_us === null ? null : median(model.name, model.model_us);
  const size = model.size_bytes === null ? "" : `${(model.size_bytes / 1000).toFixed(0)}\u00a0kB`;
  const accuracy = model.accuracy === null ? "" : `${(100 * model.accuracy).toFixed(2)}\u00a0% on ${model.accuracy_data}`;
  const [title, other] = same ? [runtime, precision] : [precision, runtime];
  const time = us === null ? "" : duration(us);
  cell.replaceChildren(
    element("b", "", title),
    element("span", "cost", [size, time, other].filter(Boolean).join(" · ")),
    element("span", "", accuracy),
  );
}

function barRow(label) {
  const cell = (name, children = []) => element("td", name, "", children);
  const head = element("th", "", label);
  head.scope = "row";
  return element("tr", "", "", [
    cell("share"), cell("one", [element("div", "bar")]), head,
    cell("two", [element("div", "bar")]), cell("share"),
  ]);
}

function showAgreement(found, seen) {
  const digits = found.models.map(({ prediction }) => prediction.label ?? found.labels[prediction.digit] ?? "no digit");
  let text = "Probability of each class";
  if (seen && found.agree) {
    const most = found.largest_difference;
    const near = most < 0.0005 ? "the same probabilities" : `probabilities within ${percent(most)}`;
    text = `✓ Both read ${digits[0]}, ${near}`;
  } else if (seen && found.agree === false) text = `✗ They disagree: ${digits.join(" and ")}`;
  set("agreement", text);
  $("agreement").className = seen && found.agree === false ? "differ" : "";
}

// ----- Layers -----------------------------------------------------------------------------------

// matplotlib's inferno, perceptually uniform and safe for colour-blind viewers, at eleven places.
const INFERNO = [[0, 0, 4], [22, 11, 57], [66, 10, 104], [106, 23, 110], [147, 38, 103], [188, 55, 84],
  [221, 81, 58], [243, 120, 25], [252, 165, 10], [246, 215, 70], [252, 255, 164]];
const COLOURS = Array.from({ length: 256 }, (_, level) => {
  const at = (level / 255) * 10, from = Math.min(Math.floor(at), 9);
  return INFERNO[from].map((value, part) => value + (at - from) * (INFERNO[from + 1][part] - value));
});
// Most activations are weak beside the strongest of their layer; a power of 0.6 shows them.
const LIFTED = Array.from({ length: 256 }, (_, level) => Math.round(255 * (level / 255) ** 0.6));
const TILE = 56, GAP = 4; // Pixels of the canvas: 56 shows maps of 7, 14 and 28 in whole pixels.

const isMap = (layer) => layer.shape.length === 3;

function showLayers(layers) {
  const box = $("layers");
  if (!layers) {
    for (const canvas of box.querySelectorAll("canvas")) {
      canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    }
    return;
  }
  const shapes = JSON.stringify([narrow.matches, innerWidth, innerHeight, layers.map((layer) => layer.shown)]);
  if (box.dataset.shapes !== shapes) {
    box.dataset.shapes = shapes;
    const rows = narrow.matches ? 0 : bestRows(layers, box.clientWidth);
    box.replaceChildren(...layers.map((layer, at) => panel(layer, layers.slice(0, at + 1), rows)));
  }
  [...box.querySelectorAll("canvas")].forEach((canvas, at) => {
    if (isMap(layers[at])) drawMaps(canvas, layers[at]);
    else drawUnits(canvas, layers[at]);
  });
}

// Return the most rows of tiles with which all layers fit side by side in a fifth of the window.
function bestRows(layers, width) {
  let best = 1;
  for (let rows = 1; rows <= 12; rows++) {
    const columns = layers.reduce((sum, layer) => sum + columnsOf(layer, rows), 0);
    if ((rows * width) / columns < 0.19 * innerHeight) best = rows;
  }
  return best;
}

// A dense layer is a strip as wide as two tiles and a half.
const columnsOf = (layer, rows) => (isMap(layer) ? Math.ceil(layer.shown[0] / rows) : 2.5);

function panel(layer, before, rows) {
  const columns = rows ? columnsOf(layer, rows) : 8;
  const canvas = document.createElement("canvas");
  const height = rows || (isMap(layer) ? Math.ceil(layer.shown[0] / 8) : 1);
  canvas.width = columns * (TILE + GAP) - GAP;
  canvas.height = height * (TILE + GAP) - GAP;
  const number = before.filter((one) => one.kind === layer.kind).length;
  const title = layer.kind === "dense" ? "Dense" : `${layer.kind[0].toUpperCase()}${layer.kind.slice(1)} ${number}`;
  const [size, ...others] = [...layer.shape].reverse();
  const text = isMap(layer) ? `${size} maps, ${others[1]}×${others[0]}` : `${size} units`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${title}: ${text}`);
  const caption = element("figcaption", "", `${title} `, [element("span", "", text)]);
  const figure = element("figure", "", "", [caption, canvas]);
  figure.style.flex = `${columns} 1 0`;
  return figure;
}

function drawMaps(canvas, { shown, values }) {
  const [channels, height, width] = shown, bytes = atob(values), context = canvas.getContext("2d");
  const tile = document.createElement("canvas"), image = new ImageData(width, height);
  Object.assign(tile, { width, height });
  context.imageSmoothingEnabled = false;
  context.clearRect(0, 0, canvas.width, canvas.height);
  const columns = Math.round((canvas.width + GAP) / (TILE + GAP));
  for (let channel = 0; channel < channels; channel++) {
    for (let at = 0; at < width * height; at++) {
      const level = LIFTED[bytes.charCodeAt(channel * width * height + at)];
      image.data.set([...COLOURS[level], 255], 4 * at);
    }
    tile.getContext("2d").putImageData(image, 0, 0);
    const [x, y] = [channel % columns, Math.floor(channel / columns)];
    context.drawImage(tile, x * (TILE + GAP), y * (TILE + GAP), TILE, TILE);
  }
}

function drawUnits(canvas, { shown, values }) {
  const [, , units] = shown, bytes = atob(values), context = canvas.getContext("2d");
  const { width, height } = canvas, down = height > width, length = (down ? height : width) / units;
  const labelled = units === last.labels.length && length >= 10;
  context.font = `bold ${Math.min(length * 0.8, 30)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let unit = 0; unit < units; unit++) {
    const level = bytes.charCodeAt(unit);
    const [x, y, w, h] = down ? [0, unit * length, width, length] : [unit * length, 0, length, height];
    context.fillStyle = `rgb(${COLOURS[level].map(Math.round).join(",")})`;
    context.fillRect(x, y, w, h - (down ? 1 : 0));
    context.fillStyle = level > 150 ? "#000" : "#fff";
    if (labelled) context.fillText(last.labels[unit], x + w / 2, y + h / 2);
  }
}

addEventListener("resize", () => last?.layers && !paper.empty && showLayers(last.layers));
$("clear").addEventListener("click", () => paper.clear());
$("undo").addEventListener("click", () => paper.undo());
paper.draw();
withToken(read);
