// A drawing in; the digit as MNIST holds it out, 28 × 28, white on black. This is what
// the full search of `edge_mnist.vision` does with such a picture. Left out is what only photographs
// need: uneven light, colour, ruled lines.

const PAPER = 288; // Pixels a side of the drawing, as much as `vision` searches.
const SIDE = 28, BOX = 20; // Pixels a side of an MNIST image, and of its digit.
const WORKING = 100; // Pixels: stroke width is changed at this size.
const INK = 15; // Of 255: paler pixels are paper.
const LEVEL = Math.fround(0.3); // Foreground lies in [0, 1]; a pixel above this is the digit.

class NoDigit extends Error {}

// An image is { width, height, pixels }.
const blank = (width, height, Type = Float32Array) =>
  ({ width, height, pixels: new Type(width * height) });
const longer = (box) => Math.max(box[2] - box[0], box[3] - box[1]);

function crop({ width, pixels }, [left, top, right, bottom]) {
  const part = blank(right - left, bottom - top, pixels.constructor);
  for (let y = top; y < bottom; y++) {
    part.pixels.set(pixels.subarray(y * width + left, y * width + right), (y - top) * part.width);
  }
  return part;
}

function transpose({ width, height, pixels }) {
  const turned = blank(height, width, pixels.constructor);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) turned.pixels[x * height + y] = pixels[i];
  }
  return turned;
}

const negative = (image) => ({ ...image, pixels: image.pixels.map((value) => 255 - value) });

// ----- Resizing and blurring as in Pillow --------------------------------------------------------

const bilinear = (x) => Math.max(1 - Math.abs(x), 0);
function bicubic(x) {
  x = Math.abs(x);
  return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

function resize(image, width, height, filter = bilinear) {
  const once = (one, length) => (one.width === length ? one : resizeRows(one, length, filter));
  return transpose(once(transpose(once(image, width)), height));
}

function resizeRows({ width, height, pixels }, length, filter) {
  const out = blank(length, height, pixels.constructor);
  const bytes = pixels instanceof Uint8ClampedArray;
  const scale = width / length, spread = Math.max(scale, 1);
  const reach = (filter === bilinear ? 1 : 2) * spread;
  for (let x = 0; x < length; x++) {
    const centre = (x + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach + 0.5), width);
    let weights = [], total = 0;
    for (let i = first; i < end; i++) {
      weights.push(filter((i - centre + 0.5) * (1 / spread)));
      total += weights.at(-1);
    }
    // Bytes are weighted in fixed point, of 22 bits.
    weights = weights.map((one) => (bytes ? Math.round((one / total) * 2 ** 22) : one / total));
    for (let y = 0; y < height; y++) {
      let sum = bytes ? 2 ** 21 : 0;
      for (let i = first; i < end; i++) sum += pixels[y * width + i] * weights[i - first];
      out.pixels[y * length + x] = bytes ? sum >> 22 : sum;
    }
  }
  return out;
}

// Replace a pixel that differs by over 40 levels from all its neighbours by their median, as the
// tips and notches of strokes have some.
function withoutImpulses({ width, height, pixels }) {
  const out = pixels.slice();
  for (let y = 1; y < height - 1; y++) {
    for (let i = y * width + 1; i < (y + 1) * width - 1; i++) {
      const value = pixels[i];
      if (Math.abs(value - pixels[i - 1]) <= 40) continue;
      const near = [-width - 1, -width, 1 - width, -1, 1, width - 1, width, width + 1]
        .map((step) => pixels[i + step]).sort((a, b) => a - b);
      if (value > near[7] + 40 || value < near[0] - 40) out[i] = (near[3] + near[4]) >> 1;
    }
  }
  return { width, height, pixels: out };
}

// The average of each 3 × 3 pixels with binomial weights, a Gaussian of standard deviation 0.7.
function soften({ width, height, pixels }) {
  const out = blank(width, height, pixels.constructor);
  for (let y = 0, i = 0; y < height; y++) {
    const up = y ? width : 0, down = y < height - 1 ? width : 0;
    for (let x = 0; x < width; x++, i++) {
      const column = (at) => pixels[at - up] + 2 * pixels[at] + pixels[at + down];
      const sides = column(x ? i - 1 : i) + column(x < width - 1 ? i + 1 : i);
      out.pixels[i] = (sides + 2 * column(i) + 8) >> 4;
    }
  }
  return out;
}

// ----- Finding the digit -------------------------------------------------------------------------

// Return the level that best splits bytes in two, in 64 bins (Otsu 1979: between-class variance).
function otsu(bytes) {
  const least = Math.min(...bytes), step = (Math.max(...bytes) - least) / 64 || 1;
  const counts = new Float64Array(64);
  for (const value of bytes) counts[Math.min(Math.floor((value - least) / step), 63)]++;
  const total = counts.reduce((sum, count, i) => sum + count * (i + 0.5), 0);
  let below = 0, sum = 0, most = -1, best = 0;
  for (let i = 0; i < 63; i++) {
    below += counts[i], sum += counts[i] * (i + 0.5);
    const above = bytes.length - below;
    const variance = below * above * (sum / below - (total - sum) / Math.max(above, 1)) ** 2;
    if (variance > most) most = variance, best = i + 1;
  }
  return least + best * step;
}

// Return the 8-connected components of pixels above a level, with their boxes.
function components({ width, height, pixels }, level) {
  const seen = new Uint8Array(pixels.length), found = [];
  for (let i = 0; i < pixels.length; i++) {
    if (pixels[i] <= level || seen[i]) continue;
    const places = [i], box = [width, height, 0, 0];
    seen[i] = 1;
    for (let next = 0; next < places.length; next++) {
      const x = places[next] % width, y = (places[next] - x) / width;
      widen(box, [x, y, x + 1, y + 1]);
      const bottom = Math.min(y + 1, height - 1), right = Math.min(x + 1, width - 1);
      for (let v = Math.max(y - 1, 0); v <= bottom; v++) {
        for (let u = Math.max(x - 1, 0), at = v * width + u; u <= right; u++, at++) {
          if (pixels[at] > level && !seen[at]) seen[at] = 1, places.push(at);
        }
      }
    }
    found.push({ box, places, area: places.length, outline: outline(places, seen, width) });
  }
  return found.filter((one) => one.area > 7);
}

function widen(box, other) {
  for (let i = 0; i < 2; i++) {
    if (other[i] < box[i]) box[i] = other[i];
    if (other[i + 2] > box[i + 2]) box[i + 2] = other[i + 2];
  }
}

// Return the length of a component's outline, in pixels.
function outline(places, seen, width) {
  const inside = (i) => i % width && (i + 1) % width &&
    seen[i - 1] && seen[i + 1] && seen[i - width] && seen[i + width];
  return places.reduce((count, i) => count + !inside(i), 0);
}

// Return the strokes of the digit whose longest is `main`; each that joins widens its box.
function group(main, found) {
  const members = [main], box = [...main.box];
  let left = found.filter((one) => one !== main && longer(one.box) >= 0.12 * longer(main.box) &&
    one.area >= 0.03 * main.area);
  for (;;) {
    const side = longer(box);
    const near = left.filter(({ box: other }) => longer(other) <= 1.6 * side &&
      Math.max(other[1] - box[3], box[1] - other[3]) <= 0.25 * side &&
      Math.max(other[0] - box[2], box[0] - other[2]) <= 0.12 * side);
    if (!near.length) return members;
    members.push(...near);
    left = left.filter((one) => !near.includes(one));
    for (const one of near) widen(box, one.box);
  }
}

// Return 1 for the pixels within 2 pixels of some others, across and down; otherwise 0.
function around(places, width, height) {
  const near = new Uint8Array(width * height);
  for (const i of places) {
    const x = i % width, bottom = Math.min(i + 2 * width, width * height - 1);
    for (let row = i - 2 * width; row <= bottom; row += width) {
      for (let u = Math.max(-2, -x); u <= Math.min(2, width - 1 - x); u++) near[row + u] = 1;
    }
  }
  return near;
}

// Return the foreground of the digit in a drawing, dark on white, and its box in pixels there.
function findDigit(grey) {
  const frame = bounds(negative(grey), 0, 4);
  if (frame[0] > frame[2]) throw new NoDigit("nothing is drawn");
  const ink = negative(soften(withoutImpulses(crop(grey, frame)))), { width, height } = ink;
  const strong = ink.pixels.filter((value) => value > INK);
  if (strong.length < 8) throw new NoDigit("nothing is drawn");
  const found = components(ink, otsu(strong));
  if (!found.length) throw new NoDigit("nothing is like a stroke");
  const members = group(found.reduce((a, b) => (b.outline > a.outline ? b : a)), found);
  const places = members.flatMap((one) => one.places);
  // Most of a stroke's core is as dark as its darkest 30 %.
  const core = Uint8Array.from(places, (i) => ink.pixels[i]).sort(), at = 0.7 * (core.length - 1);
  const low = core[Math.floor(at)], typical = low + (core[Math.ceil(at)] - low) * (at % 1);
  const foreground = blank(width, height);
  around(places, width, height).forEach((near, i) => {
    if (near) foreground.pixels[i] = clip((ink.pixels[i] / typical - 0.25) / 0.5, 0, 1);
  });
  const box = bounds(foreground), total = (key) => members.reduce((sum, one) => sum + one[key], 0);
  if ((2 * total("area")) / total("outline") / longer(box) > 0.42) {
    throw new NoDigit("a blob as wide as it is long");
  }
  return { foreground: crop(foreground, box), box: box.map((value, i) => value + frame[i % 2]) };
}

// Search a small digit again, enlarged.
function findAgain(grey, digit) {
  const side = longer(digit.box), margin = 0.8 * side, zoom = 110 / side;
  const [left, top] = [0, 1].map((i) => Math.max(Math.trunc(digit.box[i] - margin), 0));
  const [right, bottom] = [2, 3].map((i) => Math.min(Math.trunc(digit.box[i] + margin) + 1, PAPER));
  const part = crop(grey, [left, top, right, bottom]);
  const enlarged = resize(part, rint(part.width * zoom), rint(part.height * zoom), bicubic);
  try {
    const again = findDigit(enlarged), scale = part.width / enlarged.width;
    const box = again.box.map((value, i) => value * scale + (i % 2 ? top : left));
    return overlap(box, digit.box) > 0.5 ? again : digit;
  } catch (error) {
    if (error instanceof NoDigit) return digit;
    throw error;
  }
}

// Return the intersection over union of two boxes.
function overlap(one, other) {
  const [w, h] = [0, 1].map((axis) =>
    Math.max(Math.min(one[axis + 2], other[axis + 2]) - Math.max(one[axis], other[axis]), 0));
  const areas = [one, other].map((box) => (box[2] - box[0]) * (box[3] - box[1]));
  return (w * h) / (areas[0] + areas[1] - w * h);
}

// Return the box of the pixels above a level, with a margin as far as the image goes.
function bounds({ width, height, pixels }, level = LEVEL, margin = 0) {
  const box = [Infinity, Infinity, 0, 0];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) if (pixels[i] > level) widen(box, [x, y, x + 1, y + 1]);
  }
  const [left, top, right, bottom] = box;
  return [Math.max(left - margin, 0), Math.max(top - margin, 0),
    Math.min(right + margin, width), Math.min(bottom + margin, height)];
}

// ----- MNIST's size, stroke and place ------------------------------------------------------------

function pad({ width, height, pixels }, border) {
  const out = blank(width + 2 * border, height + 2 * border, pixels.constructor);
  for (let y = 0; y < height; y++) {
    out.pixels.set(pixels.subarray(y * width, (y + 1) * width), (y + border) * out.width + border);
  }
  return out;
}

// Return the mean width of strokes in pixels: 2 × area / length of the outline.
function strokeWidth(foreground) {
  const { width, height, pixels } = pad(foreground, 1);
  let area = 0, outline = 0;
  for (let y = 0; y < height - 1; y++) {
    for (let x = 0, i = y * width; x < width - 1; x++, i++) {
      area += pixels[i];
      outline += Math.hypot(pixels[i + 1] - pixels[i], pixels[i + width] - pixels[i]);
    }
  }
  return { area, width: (2 * area) / Math.max(outline, 1e-6) };
}

// Return the greatest pixel of 3 × 3, or the least one. The border is blank.
function extreme({ width, height, pixels }, choose) {
  const along = (from, step) => from.map((value, i) =>
    choose(from[i - step] ?? value, value, from[i + step] ?? value));
  return { width, height, pixels: along(along(pixels, 1), width) };
}

// Return the greatest pixel, or the least one, of each and its four neighbours.
function extremeOfCross({ width, height, pixels }, choose) {
  const out = pixels.map((value, i) => choose(value, pixels[i - 1] ?? value,
    pixels[i + 1] ?? value, pixels[i - width] ?? value, pixels[i + width] ?? value));
  return { width, height, pixels: out };
}

// Make the strokes thicker or thinner until they are as wide as in MNIST, relative to the digit.
function normalizeStrokes(digit) {
  const { width } = strokeWidth(digit), side = Math.max(digit.width, digit.height);
  const target = clip((width * BOX) / side, 2, 3.2) / BOX;
  const radius = rint((target * side - width) / (2 * (1 - target)));
  const choose = radius < 0 ? Math.min : Math.max;
  let changed = radius ? pad(digit, Math.max(radius, 0) + 1) : digit;
  // A cross and a square in turn approximate a disc by an octagon.
  for (let i = 0; i < Math.abs(radius); i++) {
    changed = i % 2 ? extreme(changed, choose) : extremeOfCross(changed, choose);
  }
  return crop(changed, bounds(changed, LEVEL * 255));
}

// Return a foreground in [0, 1] as bytes.
function toBytes(foreground) {
  const level = (value) => Math.fround(Math.fround(value * 255) + 0.5);
  const pixels = Uint8ClampedArray.from(foreground.pixels, (value) => Math.floor(level(value)));
  return { ...foreground, pixels };
}

function fitInto(foreground, side) {
  const { width, height } = foreground, scale = side / Math.max(width, height);
  return resize(foreground, Math.max(1, rint(width * scale)), Math.max(1, rint(height * scale)));
}

// Place a digit so that its centre of mass is the middle.
function centre({ width, height, pixels }) {
  let mass = 0, x = 0, y = 0;
  pixels.forEach((value, i) => {
    mass += value, x += value * (i % width), y += value * Math.floor(i / width);
  });
  const left = clip(rint(SIDE / 2 - x / mass), 0, SIDE - width);
  const top = clip(rint(SIDE / 2 - y / mass), 0, SIDE - height);
  const out = new Uint8ClampedArray(SIDE * SIDE);
  pixels.forEach((value, i) => {
    out[(top + Math.floor(i / width)) * SIDE + left + (i % width)] = value;
  });
  return out;
}

// Return the digit (784 bytes) of a drawing, dark on white, PAPER × PAPER bytes.
function digitOf(drawing) {
  const grey = { width: PAPER, height: PAPER, pixels: Uint8ClampedArray.from(drawing) };
  let digit = findDigit(grey);
  if (longer(digit.box) < 80) digit = findAgain(grey, digit);
  const { foreground } = digit, { area, width } = strokeWidth(foreground);
  if (area / width / Math.max(foreground.width, foreground.height) > 4.2) {
    throw new NoDigit("a line much longer than a digit's");
  }
  return centre(fitInto(normalizeStrokes(fitInto(toBytes(foreground), WORKING)), BOX));
}

// Return a digit in the size of a model's input, as `vision` fits it.
function fit(digit, height, width) {
  const image = { width: SIDE, height: SIDE, pixels: digit };
  if (height === 32 && width === 32) return pad(image, 2).pixels;
  return resize(image, width, height).pixels;
}
