// The arithmetic of a full int8 model, equal to the byte on every machine.
//
// An array holds one image, channels last. float32 operations round once: a product of two float32
// numbers is exact in a double, so that Math.fround of it is the float32 product. Sums of integers
// are exact, because a double holds every integer up to 2^53.

// Adding and subtracting 1.5 * 2^52 rounds a double to the nearest integer, ties to even.
const TIES = 6755399441055744;
const rint = (value) => value + TIES - TIES;
const clip = (value, low, high) => (value < low ? low : value > high ? high : value);

// Return `run(bytes)`, from the input's bytes to the output's, for a graph as in the page.
function compile(graph) {
  const values = graph.values.map((value) => new Int16Array(value.size));
  const steps = graph.operators.map((op) => {
    const images = (op.inputs ?? [op.input]).map((index) => values[index]);
    return OPERATORS[op.type](op, values[op.output], graph.values[op.output], ...images);
  });
  const { signed, size } = graph.values[graph.output];
  return (bytes) => {
    values[graph.input].set(graph.values[graph.input].signed ? new Int8Array(bytes) : bytes);
    for (const step of steps) step();
    const result = new (signed ? Int8Array : Uint8Array)(size);
    result.set(values[graph.output]);
    return result;
  };
}

// Five characters are four bytes; the last ones may be padding. Base 85 is shorter than base 64.
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";

function decode(text, type) {
  const bytes = new DataView(new ArrayBuffer((text.length / 5) * 4));
  for (let i = 0, number = 0; i < text.length; i++) {
    number = number * 85 + DIGITS.indexOf(text[i]);
    if (i % 5 === 4) bytes.setUint32(((i - 4) / 5) * 4, number), number = 0;
  }
  return new type(bytes.buffer);
}

// Return `load()`, which copies an image to the middle of a border of its zero point, less that
// point; `at(y, x)`, where the window of an output pixel begins; and the windows' inner offsets.
function windows(op, image) {
  const [height, width, channels] = op.input_shape, zero = op.input_zero_point;
  const { size, strides, padding, dilations } = op.window;
  const [rows, columns] = [0, 1].map((axis) => Math.max(op.input_shape[axis] + padding[axis],
    (op.output_shape[axis] - 1) * strides[axis] + (size[axis] - 1) * dilations[axis] + 1));
  const pixels = new Float64Array(rows * columns * channels), offsets = [];
  for (let y = 0; y < size[0]; y++) {
    for (let x = 0; x < size[1]; x++) {
      offsets.push((y * dilations[0] * columns + x * dilations[1]) * channels);
    }
  }
  const load = () => {
    for (let y = 0, from = 0; y < height; y++) {
      let to = ((y + padding[0]) * columns + padding[1]) * channels;
      for (const end = to + width * channels; to < end; to++) pixels[to] = image[from++] - zero;
    }
  };
  const at = (y, x) => (y * strides[0] * columns + x * strides[1]) * channels;
  return { load, at, pixels, offsets };
}

function requantize(op, out, place, sum, multiplier) {
  const value = rint(Math.fround(Math.fround(sum) * multiplier)) + op.output_zero_point;
  out[place] = clip(value, op.low, op.high);
}

// Two channels share one double, as `first + second * 2^27`: one product and one addition serve
// both. This is exact while each sum is below 2^26; a layer that could exceed it packs one.
const SHARE = 2 ** 27;

function packed(weights, bias, depth) {
  const channels = bias.length;
  let most = 0;
  for (let o = 0; o < channels; o++) {
    let sum = Math.abs(bias[o]);
    for (let k = o * depth; k < (o + 1) * depth; k++) sum += 255 * Math.abs(weights[k]);
    most = Math.max(most, sum);
  }
  const share = most < SHARE / 2 ? 2 : 1, block = 4 * share;
  const blocks = Math.ceil(channels / block), matrix = new Float64Array(blocks * depth * 4);
  const start = new Float64Array(blocks * 4);
  for (let o = 0; o < channels; o++) {
    // In a block, channels 0 to 3 are the lower parts of four doubles, 4 to 7 the upper ones.
    const unit = o % block < 4 ? 1 : SHARE, lane = o % 4, first = Math.floor(o / block);
    start[first * 4 + lane] += unit * bias[o];
    for (let k = 0; k < depth; k++) {
      matrix[(first * depth + k) * 4 + lane] += unit * weights[o * depth + k];
    }
  }
  return { matrix, start, share, blocks };
}

const tensors = (op) => [decode(op.weights, Int8Array), decode(op.bias, Int32Array),
  decode(op.multipliers, Float32Array)];

function convolution(op, out, _, image) {
  const [weights, bias, multipliers] = tensors(op), [rows, columns, channels] = op.output_shape;
  const { load, at, pixels, offsets } = windows(op, image), inputs = op.input_shape[2];
  const depth = offsets.length * inputs;
  const { matrix, start, share, blocks } = packed(weights, bias, depth);
  const patch = new Float64Array(depth), sums = new Float64Array(8);
  const multiply = (block) => {
    let a = start[4 * block], b = start[4 * block + 1];
    let c = start[4 * block + 2], d = start[4 * block + 3];
    for (let k = 0, w = 4 * block * depth; k < depth; k++, w += 4) {
      const value = patch[k];
      a += value * matrix[w];
      b += value * matrix[w + 1];
      c += value * matrix[w + 2];
      d += value * matrix[w + 3];
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
    for (let lane = 0; share === 2 && lane < 4; lane++) {
      sums[lane + 4] = rint(sums[lane] / SHARE);
      sums[lane] -= sums[lane + 4] * SHARE;
    }
  };
  return () => {
    load();
    for (let y = 0, place = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const corner = at(y, x);
        for (let i = 0, k = 0; i < offsets.length; i++) {
          for (let from = corner + offsets[i], c = 0; c < inputs; c++) patch[k++] = pixels[from++];
        }
        for (let block = 0, o = 0; block < blocks; block++) {
          multiply(block);
          for (let lane = 0; lane < 4 * share && o < channels; lane++, o++) {
            requantize(op, out, place++, sums[lane], multipliers[o]);
          }
        }
      }
    }
  };
}

function depthwise(op, out, _, image) {
  const [weights, bias, multipliers] = tensors(op), [rows, columns, channels] = op.output_shape;
  const { load, at, pixels, offsets } = windows(op, image);
  const each = channels / op.input_shape[2];
  return () => {
    load();
    for (let y = 0, place = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        for (let o = 0, corner = at(y, x); o < channels; o++) {
          let sum = bias[o];
          const from = corner + Math.floor(o / each);
          for (let i = 0; i < offsets.length; i++) {
            sum += pixels[from + offsets[i]] * weights[i * channels + o];
          }
          requantize(op, out, place++, sum, multipliers[o]);
        }
      }
    }
  };
}

function pool(op, out, _, image) {
  const { size, strides, padding } = op.window;
  const [height, width, channels] = op.input_shape, [rows, columns] = op.output_shape;
  return () => {
    for (let y = 0, place = 0; y < rows; y++) {
      const top = y * strides[0] - padding[0], bottom = Math.min(top + size[0], height);
      for (let x = 0; x < columns; x++) {
        const left = x * strides[1] - padding[1], right = Math.min(left + size[1], width);
        for (let c = 0; c < channels; c++) {
          let sum = 0, count = 0, most = -Infinity;
          for (let v = Math.max(top, 0); v < bottom; v++) {
            for (let u = Math.max(left, 0); u < right; u++, count++) {
              const value = image[(v * width + u) * channels + c];
              sum += value;
              most = Math.max(most, value);
            }
          }
          const mean = Math.sign(sum) * Math.floor((Math.abs(sum) + (count >> 1)) / count);
          out[place++] = clip(op.average ? mean : most, op.low, op.high);
        }
      }
    }
  };
}

const OPERATORS = {
  Convolution: convolution,
  DepthwiseConvolution: depthwise,
  Pool: pool,
  Add: (op, out, _, a, b) => () => {
    const [p, q] = op.multipliers, [zeroA, zeroB] = op.zero_points;
    for (let i = 0; i < out.length; i++) {
      const sum = Math.floor((p * (a[i] - zeroA) + q * (b[i] - zeroB)) / 2 ** op.shift + 0.5);
      out[i] = clip(sum + op.output_zero_point, op.low, op.high);
    }
  },
  Multiply: (op, out, _, a, b) => () => {
    const [zeroA, zeroB] = op.zero_points;
    for (let i = 0; i < out.length; i++) {
      requantize(op, out, i, (a[i] - zeroA) * (b[i] - zeroB), op.multiplier);
    }
  },
  Mean: (op, out, _, image) => () => {
    for (let c = 0; c < out.length; c++) {
      let sum = 0;
      for (let i = c; i < image.length; i += out.length) sum += image[i] - op.input_zero_point;
      requantize({ ...op, low: -128, high: 127 }, out, c, sum, op.multiplier);
    }
  },
  Pad: (op, out, _, image) => () => {
    const [top, left, front] = op.before, [, columns, depth] = op.output_shape;
    const [height, width, channels] = op.input_shape;
    out.fill(op.zero_point);
    for (let y = 0, from = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const to = ((y + top) * columns + x + left) * depth + front;
        for (let c = 0; c < channels; c++) out[to + c] = image[from++];
      }
    }
  },
  Table: (op, out, { signed }, image) => {
    // Without bytes it flips the sign.
    const unsigned = op.bytes ? decode(op.bytes, Uint8Array)
      : Uint8Array.from({ length: 256 }, (_, byte) => byte ^ 128);
    const bytes = new (signed ? Int8Array : Uint8Array)(unsigned.buffer);
    return () => image.forEach((value, i) => { out[i] = bytes[value & 255]; });
  },
  Softmax: (op, out, _, image) => {
    const exponentials = decode(op.exponentials, Float32Array);
    return () => {
      const most = Math.max(...image);
      let total = 0;
      for (const value of image) total = Math.fround(total + exponentials[most - value]);
      const factor = Math.fround(256 / total);
      image.forEach((value, i) => {
        const share = rint(Math.fround(exponentials[most - value] * factor));
        out[i] = clip(share - 128, -128, 127);
      });
    };
  },
};
