// Sends requests to its own server only.
import { Live } from "./live.js";
import { Paper, newestOnly } from "./paper.js";
import { ask, complain, duration, paint, percent, set, withToken } from "./server.js";

const $ = (id) => document.getElementById(id);
const paper = new Paper($("paper"), { changed: read, say: (text) => set("pen", text) });
let models = [], limits = { body_bytes: Infinity };

function clear() {
  $("file").value = $("photo").value = "";
  complain();
  paper.clear();
}

// ----- Pictures ---------------------------------------------------------------------------------

async function take(file) {
  if (!file) return;
  paper.strokes = [];
  busy(true);
  try {
    if (file.size > limits.body_bytes) {
      throw new Error(`Expected a picture of at most ${limits.body_bytes / 1e6} MB, ` +
        `got ${(file.size / 1e6).toFixed(1)}; make it smaller first.`);
    }
    // The server reads more file formats than the browser, so a failure here only hides the preview.
    paper.picture = await createImageBitmap(file).catch(() => null);
    paper.draw();
    complain();
    show(await predict(file));
  } catch (error) {
    complain(error);
  } finally {
    busy(false);
  }
}

for (const id of ["file", "photo"]) {
  $(id).addEventListener("change", (event) => take(event.target.files[0]));
}
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

// ----- Live video -------------------------------------------------------------------------------

const live = new Live($("video"), $("boxes"), {
  predict,
  found: show,
  complain,
  changed(shown) {
    document.body.classList.toggle("live", shown);
    $("live").hidden = !shown;
    $("start-live").textContent = shown ? "Stop" : "Live";
    $("start-live").ariaLabel = shown ? "Stop the camera" : "Live camera";
    read();
  },
});
$("start-live").addEventListener("click", () => (live.running ? live.stop() : live.start()));

// ----- Reading ----------------------------------------------------------------------------------

function predict(content) {
  const query = new URLSearchParams({ model: $("model").value || "default", seen: "true" });
  if ($("many").checked) query.set("many", "true");
  const headers = { "Content-Type": content.type || "application/octet-stream" };
  return ask(`v1/predict?${query}`, { method: "POST", body: content, headers });
}

const readNewest = newestOnly(async () => {
  const found = await predict(await paper.png());
  if (!paper.empty) show(found);
  complain();
});

async function read() {
  if (paper.empty || live.running) return show(null);
  busy(true);
  try {
    await readNewest();
  } catch (error) {
    complain(error);
  } finally {
    busy(false);
  }
}

// With aria-busy a screen reader waits for the final answer.
function busy(value) {
  $("answer").setAttribute("aria-busy", value);
}

function show(found) {
  const many = $("many").checked;
  const first = found?.predictions[0];
  const several = many ? first?.predictions ?? [] : first ? [first] : [];
  set("digit", (many ? first?.digits : first?.label ?? first?.digit?.toString()) || "–");
  set("sure", found ? sentence(several) : live.running ? "Looking for a digit." : "Nothing drawn yet.");
  for (const stage of ["decode", "preprocess", "model", "total"]) {
    set(`${stage}-time`, duration(found?.[`${stage}_us`]));
  }
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
    Object.assign(tile, { width: 28, height: 28 });
    tile.setAttribute("role", "img");
    tile.setAttribute("aria-label", one.seen ? `Model input, read as ${one.digit ?? "no digit"}` : "No model input");
    if (one.seen) paint(tile, one.seen);
    return tile;
  });
  if (tiles.length) set("size", `${tiles[0].height}×${tiles[0].width}`);
  const nothing = document.createElement("canvas");
  nothing.setAttribute("role", "img");
  nothing.setAttribute("aria-label", "No model input yet");
  $("seen").replaceChildren(...(tiles.length ? tiles : [nothing]));
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
    ? `Latency of the model alone for one image, measured ${benchmark.date} on ${benchmark.cpu}.`
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
  $("paper").width = many ? 1260 : 420;
  clear();
}

$("clear").addEventListener("click", clear);
$("undo").addEventListener("click", () => paper.undo());
$("many").addEventListener("change", size);
$("model").addEventListener("change", () => {
  $("many").disabled = !(chosen()?.several ?? true);
  showCost(benchmark);
  read();
});
size();
withToken(start);
