// The frames come as Motion JPEG in an image, the answers as events. Everything is of this server.
const $ = (id) => document.getElementById(id);
const SHOWN = 8; // changes in the list
let last;

function set(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function warn(text) {
  $("alert").textContent = text ?? "";
  $("alert").hidden = !text;
}

const percent = (value) => `${(100 * value).toFixed(1)}\u00a0%`;

function change({ label, confidence, reason }) {
  set("digit", label ?? "–");
  set("sure", label === null ? `No digit: ${reason}` : percent(confidence));
  const item = document.createElement("li"), name = document.createElement("b");
  const time = document.createElement("span");
  name.textContent = label ?? "no digit";
  time.textContent = new Date().toLocaleTimeString();
  item.append(name, time);
  $("changes").prepend(item);
  while ($("changes").children.length > SHOWN) $("changes").lastChild.remove();
}

const answers = new EventSource("answers");
answers.addEventListener("message", (event) => {
  const now = JSON.parse(event.data);
  warn(now.notice);
  set("source", `${now.source}, read on this device.`);
  if (now.rate) set("rate", `${now.rate.toFixed(1)} frames per second`);
  if (now.label !== undefined && now.label !== last) change(now);
  if (now.label !== undefined) last = now.label;
});
answers.addEventListener("error", () => {
  answers.close();
  warn("The command has ended. Start it again, then load this page again.");
});
