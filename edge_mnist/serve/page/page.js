// Sends requests to its own server only. Stores only the token, in the session of this tab.
const $ = (id) => document.getElementById(id);
const PEN = 0.055; // Stroke width as a fraction of the paper's height, like a marker's.
const paper = $("paper"), context = paper.getContext("2d");
let strokes = [], picture = null, pen = { x: 0.5, y: 0.25, down: false, shown: false };
let asking = false, stale = false, models = [], limits = { body_bytes: Infinity };

// ----- The server -------------------------------------------------------------------------------

function readToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem("token", decodeURIComponent(found[1]));
  history.replaceState(null, "", location.pathname);
}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server does not answer.");
  }
  $("ask-token").hidden = response.status !== 401;
  const document = await response.json();
  if (!response.ok) throw new Error(document.detail);
  return document;
}

function complain(error) {
  $("alert").textContent = error ? error.message : "";
  $("alert").hidden = !error;
}

// ----- The paper --------------------------------------------------------------------------------

function draw(marks = true) {
  const { width, height } = paper;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  if (picture) {
    const scale = Math.min(width / picture.width, height / picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
  }
  context.strokeStyle = context.fillStyle = "#16202c";
  context.lineWidth = PEN * height;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    context.beginPath();
    stroke.forEach(([x, y]) => context.lineTo(x * height, y * height));
    if (stroke.length === 1) context.lineTo(stroke[0][0] * height + 0.1, stroke[0][1] * height);
    context.stroke();
  }
  if (marks && pen.shown) drawPen(height);
}

function drawPen(height) {
  context.beginPath();
  context.arc(pen.x * height, pen.y * height, PEN * height, 0, 2 * Math.PI);
  context.lineWidth = 3;
  context.strokeStyle = pen.down ? "#d1495b" : "#1f6fb2";
  context.stroke();
}

function changed() {
  draw();
  read();
}

function clear() {
  strokes = [];
  picture = null;
  pen.down = false;
  $("file").value = "";
  complain();
  changed();
}

function undo() {
  strokes.pop();
  pen.down = false;
  changed();
}

const place = (event) => {
  const box = paper.getBoundingClientRect();
  return [(event.clientX - box.left) / box.height, (event.clientY - box.top) / box.height];
};

paper.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  event.preventDefault();
  paper.focus({ preventScroll: true });
  paper.setPointerCapture(event.pointerId);
  // A drawing replaces a picture, because a digit on top of a picture cannot be read.
  picture = null;
  pen.shown = pen.down = false;
  strokes.push([place(event)]);
  changed();
});
paper.addEventListener("pointermove", (event) => {
  if (!paper.hasPointerCapture(event.pointerId)) return;
  const passed = event.getCoalescedEvents?.() ?? [];
  strokes.at(-1)?.push(...(passed.length ? passed : [event]).map(place));
  changed();
});

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

paper.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (STEPS[event.key]) move(...STEPS[event.key], event.shiftKey ? 0.01 : 0.04);
  else if (event.key === " " || event.key === "Enter") toggle();
  else if (event.key === "Backspace") undo();
  else if (event.key === "Delete") clear();
  else return;
  event.preventDefault();
});
paper.addEventListener("blur", () => {
  pen.shown = pen.down = false;
  draw();
});

function move(right, down, step) {
  const wide = paper.width / paper.height;
  pen.x = Math.min(Math.max(pen.x + right * step, 0), wide);
  pen.y = Math.min(Math.max(pen.y + down * step, 0), 1);
  pen.shown = true;
  if (!pen.down) return draw();
  strokes.at(-1).push([pen.x, pen.y]);
  changed();
}

function toggle() {
  pen.down = !pen.down;
  pen.shown = true;
  const at = `${Math.round((100 * pen.x * paper.height) / paper.width)} % from the left, ` +
    `${Math.round(100 * pen.y)} % from the top`;
  $("pen").textContent = `Pen ${pen.down ? "down" : "up"}, ${at}`;
  if (!pen.down) return draw();
  picture = null;
  strokes.push([[pen.x, pen.y]]);
  changed();
}

// ----- Pictures ---------------------------------------------------------------------------------

async function take(file) {
  if (!file) return;
  strokes = [];
  busy(true);
  try {
    if (file.size > limits.body_bytes) {
      throw new Error(`Expected a picture of at most ${limits.body_bytes / 1e6} MB, ` +
        `got ${(file.size / 1e6).toFixed(1)}; make it smaller first.`);
    }
    // The server reads more file formats than the browser, so a failure here only hides the preview.
    picture = await createImageBitmap(file).catch(() => null);
    draw();
    complain();
    show(await predict(file));
  } catch (error) {
    complain(error);
  } finally {
    busy(false);
  }
}

$("file").addEventListener("change", (event) => take(event.target.files[0]));
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
  if (file) take(file);
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.querySelector("main").classList.add("over");
});
for (const name of ["dragleave", "drop"]) {
  addEventListener(name, () => document.querySelector("main").classList.remove("over"));
}
addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});

// ----- Reading ----------------------------------------------------------------------------------

function predict(content) {
  const query = new URLSearchParams({ model: $("model").value || "default", seen: "true" });
  if ($("many").checked) query.set("many", "true");
  const headers = { "Content-Type": content.type || "application/octet-stream" };
  return ask(`v1/predict?${query}`, { method: "POST", body: content, headers });
}

// One request at a time. A change during a request leads to another request after it.
async function read() {
  if (!strokes.length && !picture) return show(null);
  stale = true;
  if (asking) return;
  asking = true;
  busy(true);
  try {
    while (stale) {
      stale = false;
      draw(false);
      const content = await new Promise((done) => paper.toBlob(done, "image/png"));
      draw();
      const found = await predict(content);
      if (strokes.length || picture) show(found);
      complain();
    }
  } catch (error) {
    complain(error);
  } finally {
    asking = false;
    busy(false);
  }
}

// With aria-busy a screen reader waits for the final answer.
function busy(value) {
  $("answer").setAttribute("aria-busy", value);
}

const percent = (value) => `${(100 * value).toFixed(1)}\u00a0%`;
const set = (id, text) => {
  // An unchanged text must not be set again: a screen reader would read it aloud again.
  if ($(id).textContent !== text) $(id).textContent = text;
};

function show(found) {
  const many = $("many").checked;
  const first = found?.predictions[0];
  const several = many ? first?.predictions ?? [] : first ? [first] : [];
  set("digit", (many ? first?.digits : first?.label ?? first?.digit?.toString()) || "–");
  set("sure", found ? sentence(several) : "Nothing drawn yet.");
  set("latency", found ? `${(found.latency_us / 1000).toFixed(2)} ms` : "–");
  showSeen(several);
  showBars(many ? null : first);
}

function sentence(several) {
  if (!several.length) return "No digit.";
  return several.map((one) => (one.digit === null ? `No digit: ${one.reason}` : percent(one.confidence))).join(", ");
}

function showSeen(several) {
  const tiles = several.map((one) => {
    const tile = document.createElement("canvas");
    const [height, width, channels = 1] = one.seen?.shape ?? [28, 28];
    Object.assign(tile, { width, height });
    tile.setAttribute("role", "img");
    tile.setAttribute("aria-label", one.seen ? `Model input, read as ${one.digit ?? "no digit"}` : "No model input");
    if (one.seen) paint(tile, atob(one.seen.pixels), channels);
    return tile;
  });
  if (tiles.length) set("size", `${tiles[0].height}×${tiles[0].width}`);
  const nothing = document.createElement("canvas");
  nothing.setAttribute("role", "img");
  nothing.setAttribute("aria-label", "No model input yet");
  $("seen").replaceChildren(...(tiles.length ? tiles : [nothing]));
}

function paint(tile, bytes, channels) {
  const image = new ImageData(tile.width, tile.height);
  for (let at = 0; at < tile.width * tile.height; at++) {
    for (let colour = 0; colour < 3; colour++) {
      image.data[4 * at + colour] = bytes.charCodeAt(at * channels + (colour % channels));
    }
    image.data[4 * at + 3] = 255;
  }
  tile.getContext("2d").putImageData(image, 0, 0);
}

function showBars(one) {
  const labels = chosen()?.labels ?? [..."0123456789"];
  const body = $("bars").tBodies[0];
  if (body.rows.length !== labels.length || body.rows[0].cells[0].textContent !== labels[0]) {
    body.replaceChildren(...labels.map(barRow));
  }
  [...body.rows].forEach((row, digit) => {
    const share = one?.probabilities[digit] ?? 0;
    row.className = one && one.digit === digit ? "best" : "";
    row.querySelector(".bar").style.width = `${100 * share}%`;
    row.cells[2].textContent = percent(share);
  });
}

function barRow(label) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = label;
  const bar = document.createElement("div");
  bar.className = "bar";
  row.append(head);
  row.insertCell().append(bar);
  row.insertCell();
  return row;
}

// ----- Models and benchmark ---------------------------------------------------------------------

const chosen = () => models.find((one) => one.name === $("model").value);

function costRow(cells, isChosen) {
  const row = document.createElement("tr");
  row.className = isChosen ? "chosen" : "";
  for (const text of cells) row.insertCell().textContent = text ?? "–";
  return row;
}

function showCost(benchmark) {
  const share = (value) => (value === null ? "–" : `${(100 * value).toFixed(2)} %`);
  const kilobytes = (value) => (value === null ? "–" : (value / 1000).toFixed(0));
  const of = benchmark?.rows ?? models;
  const rows = of.map((row) => {
    const same = row.file === chosen()?.file && row.backend === chosen()?.backend;
    const times = benchmark ? [row.p50_us.toFixed(1), row.p99_us.toFixed(1)] : [];
    const name = row.tainted ? `${row.file} (unreliable)` : row.file;
    return costRow([name, row.backend, share(row.accuracy), kilobytes(row.size_bytes), times[0], times[1]], same);
  });
  $("cost").tBodies[0].replaceChildren(...rows);
  const data = [...new Set(of.map((row) => row.accuracy_data).filter(Boolean))].join(", ");
  const accuracy = data ? `Accuracy on ${data}, as stated in the manifest.` : "";
  const times = benchmark
    ? `Latency of one image, measured ${benchmark.date} on ${benchmark.cpu}.`
    : "No benchmark file found; create one with edge-mnist benchmark --json benchmark.json.";
  $("cost-of").textContent = `${accuracy} ${times}`;
}

let benchmark = null;

async function start() {
  try {
    const served = await ask("v1/model");
    models = served.models;
    limits = served.limits;
    const last = $("model").value || served.default;
    $("model").replaceChildren(...models.map((one) => new Option(`${one.file} on ${one.backend}`, one.name)));
    $("model").value = models.some((one) => one.name === last) ? last : served.default;
    const drawn = served.model.trained_on?.startsWith("synthetic-");
    const trained = drawn ? ", trained on drawn digits, not MNIST," : ",";
    $("served").textContent = `The model ${served.bundle}${trained} on this device.`;
    benchmark = (await ask("v1/benchmark")).benchmark;
    complain();
  } catch (error) {
    complain(error);
  }
  $("many").disabled = !(chosen()?.several ?? true);
  showCost(benchmark);
  showBars(null);
}

function size() {
  const many = $("many").checked;
  document.querySelector(".columns").classList.toggle("many", many);
  paper.width = many ? 1260 : 420;
  clear();
}

$("clear").addEventListener("click", clear);
$("undo").addEventListener("click", undo);
$("many").addEventListener("change", size);
$("model").addEventListener("change", () => {
  $("many").disabled = !(chosen()?.several ?? true);
  showCost(benchmark);
  read();
});
$("ask-token").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  start();
});
readToken();
size();
start();
