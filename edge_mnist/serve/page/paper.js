// A canvas to draw on with mouse, finger, pen and keys.
const PEN = 0.055; // Stroke width as a fraction of the paper's height, like a marker's.
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Paper {
  // `changed` is called after every change, `say` with the pen's place for a screen reader.
  constructor(canvas, { changed, say }) {
    Object.assign(this, { canvas, changed, say, strokes: [], picture: null });
    this.pen = { x: 0.5, y: 0.25, down: false, shown: false };
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.extend(event));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => {
      this.pen.shown = this.pen.down = false;
      this.draw();
    });
  }

  get empty() {
    return !this.strokes.length && !this.picture;
  }

  draw() {
    this.drawOn(this.canvas);
    if (this.pen.shown) this.drawPen();
  }

  // Draw strokes and picture on any canvas of the same proportions, without the pen.
  drawOn(canvas) {
    const { width, height } = canvas, context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    if (this.picture) {
      const scale = Math.min(width / this.picture.width, height / this.picture.height);
      const [w, h] = [this.picture.width * scale, this.picture.height * scale];
      context.drawImage(this.picture, (width - w) / 2, (height - h) / 2, w, h);
    }
    context.strokeStyle = "#16202c";
    context.lineWidth = PEN * height;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.strokes) {
      context.beginPath();
      stroke.forEach(([x, y]) => context.lineTo(x * height, y * height));
      if (stroke.length === 1) context.lineTo(stroke[0][0] * height + 0.1, stroke[0][1] * height);
      context.stroke();
    }
  }

  drawPen() {
    const { height } = this.canvas, { x, y, down } = this.pen;
    const context = this.canvas.getContext("2d");
    context.beginPath();
    context.arc(x * height, y * height, PEN * height, 0, 2 * Math.PI);
    context.lineWidth = 3;
    context.strokeStyle = down ? "#d1495b" : "#1f6fb2";
    context.stroke();
  }

  // Return the drawing as a PNG file of this height.
  png(height = this.canvas.height) {
    const copy = document.createElement("canvas");
    copy.height = height;
    copy.width = Math.round((height * this.canvas.width) / this.canvas.height);
    this.drawOn(copy);
    return new Promise((done) => copy.toBlob(done, "image/png"));
  }

  change() {
    this.draw();
    this.changed();
  }

  clear() {
    this.strokes = [];
    this.picture = null;
    this.pen.down = false;
    this.change();
  }

  undo() {
    this.strokes.pop();
    this.pen.down = false;
    this.change();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.height, (event.clientY - box.top) / box.height];
  }

  begin(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    // A drawing replaces a picture, because a digit on top of a picture cannot be read.
    this.picture = null;
    this.pen.shown = this.pen.down = false;
    this.strokes.push([this.place(event)]);
    this.change();
  }

  extend(event) {
    if (!this.canvas.hasPointerCapture(event.pointerId)) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    const places = (passed.length ? passed : [event]).map((one) => this.place(one));
    this.strokes.at(-1)?.push(...places);
    this.change();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (STEPS[event.key]) this.move(...STEPS[event.key], event.shiftKey ? 0.01 : 0.04);
    else if (event.key === " " || event.key === "Enter") this.toggle();
    else if (event.key === "Backspace") this.undo();
    else if (event.key === "Delete") this.clear();
    else return;
    event.preventDefault();
  }

  move(right, down, step) {
    const { pen } = this, wide = this.canvas.width / this.canvas.height;
    pen.x = Math.min(Math.max(pen.x + right * step, 0), wide);
    pen.y = Math.min(Math.max(pen.y + down * step, 0), 1);
    pen.shown = true;
    if (!pen.down) return this.draw();
    this.strokes.at(-1).push([pen.x, pen.y]);
    this.change();
  }

  toggle() {
    const { pen, canvas } = this;
    pen.down = !pen.down;
    pen.shown = true;
    const at = `${Math.round((100 * pen.x * canvas.height) / canvas.width)} % from the left, ` +
      `${Math.round(100 * pen.y)} % from the top`;
    this.say(`Pen ${pen.down ? "down" : "up"}, ${at}`);
    if (!pen.down) return this.draw();
    this.picture = null;
    this.strokes.push([[pen.x, pen.y]]);
    this.change();
  }
}

// Return a function that calls `work` for the newest change, one call at a time: any number of
// changes during a call lead to one more.
export function newestOnly(work) {
  let running = null, stale = false;
  async function run() {
    try {
      while (stale) {
        stale = false;
        await work();
      }
    } finally {
      running = null;
    }
  }
  return () => {
    stale = true;
    return (running ??= run());
  };
}
