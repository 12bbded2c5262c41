// Requests to this page's own server. Stores only the token, in the session of this tab.
const $ = (id) => document.getElementById(id);

// The page has #alert and the form #ask-token. `start` is called again with a new token.
export function withToken(start) {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (found) {
    sessionStorage.setItem("token", decodeURIComponent(found[1]));
    history.replaceState(null, "", location.pathname);
  }
  $("ask-token").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", $("token").value);
    start();
  });
  start();
}

export async function ask(path, options = {}) {
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

export function complain(error) {
  $("alert").textContent = error ? error.message : "";
  $("alert").hidden = !error;
}

// An unchanged text must not be set again: a screen reader would read it aloud again.
export function set(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

export const percent = (value) => `${(100 * value).toFixed(1)}\u00a0%`;

// A time of the server in microseconds, as three digits or so.
export function duration(us) {
  if (us === null || us === undefined) return "–";
  if (us < 1000) return `${us.toFixed(us < 10 ? 1 : 0)}\u00a0µs`;
  return `${(us / 1000).toFixed(us < 10_000 ? 2 : us < 100_000 ? 1 : 0)}\u00a0ms`;
}

// Paint an image of the API, {shape, pixels in base64}, on a canvas of its size.
export function paint(canvas, { shape, pixels }) {
  const [height, width, channels = 1] = shape;
  Object.assign(canvas, { width, height });
  const bytes = atob(pixels), image = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let colour = 0; colour < 3; colour++) {
      image.data[4 * at + colour] = bytes.charCodeAt(at * channels + (colour % channels));
    }
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
