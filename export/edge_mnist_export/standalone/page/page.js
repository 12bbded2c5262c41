// The page: strokes in, the answer out.

const $ = (id) => document.getElementById(id);
const { graph, spec } = JSON.parse($("model").textContent);
const run = compile(graph);
const PEN = 0.055; // Stroke width as a share of the paper's side, like a marker's.
const paper = $("paper"), hidden = document.createElement("canvas");
hidden.width = hidden.height = PAPER;
let strokes = [], pointer = null, timer = null, busy_ms = 0;

function draw(context, side, colour) {
  context.strokeStyle = colour;
  context.lineWidth = PEN * side;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    context.beginPath();
    for (const [x, y] of stroke) context.lineTo(x * side, y * side);
    if (stroke.length === 1) context.lineTo(stroke[0][0] * side + 0.1, stroke[0][1] * side);
    context.stroke();
  }
}

function show() {
  const side = Math.round(paper.clientWidth * devicePixelRatio);
  paper.width = paper.height = side;
  draw(paper.getContext("2d"), side, getComputedStyle(paper).color);
}

// Return the drawing as grey levels, dark on white, PAPER × PAPER.
function grey() {
  const context = hidden.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, PAPER, PAPER);
  draw(context, PAPER, "#000");
  return context.getImageData(0, 0, PAPER, PAPER).data.filter((_, i) => i % 4 === 0);
}

// Return the probabilities for an image of the model's size.
const probabilities = (image) =>
  Array.from(run(image), (q) => Math.fround((q - spec.zero_point) * spec.scale));

// Return what the page says of a drawing: { image, shares, digit, sentence }.
function read(drawing) {
  try {
    const image = fit(digitOf(drawing), spec.height, spec.width), shares = probabilities(image);
    const best = shares.indexOf(Math.max(...shares)), sure = percent(shares[best]);
    if (shares[best] >= spec.threshold) return { image, shares, digit: `${best}`, sentence: sure };
    return { image, shares, digit: "?", sentence: `Not sure: is it a ${best}? ${sure}` };
  } catch (error) {
    if (!(error instanceof NoDigit)) throw error;
    return { digit: "", sentence: `No digit: ${error.message}.` };
  }
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function answer() {
  timer = null;
  const start = performance.now();
  const nothing = { digit: "", sentence: "Draw a digit from 0 to 9." };
  const { image, shares, digit, sentence } = strokes.length ? read(grey()) : nothing;
  $("digit").textContent = digit;
  $("sure").textContent = sentence;
  const pixels = new ImageData(spec.width, spec.height);
  image?.forEach((value, i) => pixels.data.fill(value, 4 * i, 4 * i + 3));
  pixels.data.forEach((_, i) => { if (i % 4 === 3) pixels.data[i] = 255; });
  $("seen").getContext("2d").putImageData(pixels, 0, 0);
  [...$("bars").rows].forEach((row, i) => {
    row.className = `${i}` === digit ? "best" : "";
    row.querySelector(".bar").style.width = `${100 * (shares?.[i] ?? 0)}%`;
    row.cells[2].textContent = shares ? percent(shares[i]) : "";
  });
  if (image) $("time").textContent = `It took ${duration(image).toFixed(2)} ms.`;
  $("answer").setAttribute("aria-busy", pointer !== null);
  busy_ms = performance.now() - start;
}

// Return the time of one run in ms: the mean of those in 3 ms, as a browser's clock is coarse.
function duration(bytes) {
  const start = performance.now();
  let count = 0, passed = 0;
  for (; passed < 3; count++, passed = performance.now() - start) run(bytes);
  return passed / count;
}

function change() {
  show();
  // While drawing, most of the time is left for the pen.
  timer ??= setTimeout(answer, pointer === null ? 0 : 2 * busy_ms);
}

function clear() {
  strokes = [];
  pointer = null;
  change();
}

function undo() {
  strokes.pop();
  change();
}

function position(event) {
  const box = paper.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

paper.addEventListener("pointerdown", (event) => {
  if (event.button || pointer !== null) return;
  event.preventDefault();
  pointer = event.pointerId;
  paper.setPointerCapture(pointer);
  strokes.push([position(event)]);
  change();
});
paper.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer) return;
  const passed = event.getCoalescedEvents?.() ?? [];
  strokes.at(-1).push(...(passed.length ? passed : [event]).map(position));
  change();
});
for (const name of ["pointerup", "pointercancel"]) {
  paper.addEventListener(name, (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    clearTimeout(timer);
    timer = null;
    change();
  });
}
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" || event.key === "Delete") clear();
  else if (event.key === "Backspace") undo();
});
$("clear").addEventListener("click", clear);
$("undo").addEventListener("click", undo);
new ResizeObserver(show).observe(paper);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

$("seen").width = spec.width;
$("seen").height = spec.height;
$("size").textContent = `${spec.width}×${spec.height}`;
spec.labels.forEach((label) => {
  const row = $("bars").insertRow(), head = document.createElement("th");
  head.scope = "row";
  head.textContent = label;
  row.append(head);
  row.insertCell().innerHTML = '<div class="bar"></div>';
  row.insertCell();
});
clear();
