// Live video: frames of this browser's camera go to the server, one at a time, and their boxes are
// drawn over the video. The browser gives a page the camera only on https or on this machine itself.
const SENT = 480; // Pixels of a frame's longer side that is sent.
const STABLE = 3; // An answer counts when so many frames in a row agree, as in edge-mnist camera.
const RETRY_MS = 1000;
const WANTED = { video: { facingMode: "environment", width: { ideal: 640 }, height: { ideal: 480 } } };
const CAUSES = {
  NotAllowedError: "permission denied; allow the camera in the browser's settings of this page, then try again",
  NotFoundError: "none; plug in a camera, then try again",
  NotReadableError: "one that another program uses; close that program, then try again",
};

export class Live {
  // `predict` takes a picture and returns the server's answer, `found` gets an answer that counts,
  // `complain` an error or nothing, and `changed` whether video is shown.
  constructor(video, canvas, { predict, found, complain, changed }) {
    Object.assign(this, { video, canvas, predict, found, complain, changed, stream: null });
    this.frame = document.createElement("canvas");
    document.addEventListener("visibilitychange", () => document.hidden && this.stop());
    navigator.mediaDevices?.addEventListener("devicechange", () => this.lost && this.start());
  }

  get running() {
    return this.stream !== null;
  }

  async start() {
    this.lost = false;
    try {
      if (!navigator.mediaDevices) {
        throw new Error("Expected a secure address for live video, got http; open this page with https, " +
          "or on the device itself as localhost, or take a photo instead.");
      }
      this.stream = await navigator.mediaDevices.getUserMedia(WANTED).catch((error) => {
        throw new Error(`Expected a camera, got ${CAUSES[error.name] ?? error.message}.`);
      });
    } catch (error) {
      return this.complain(error);
    }
    this.stream.getVideoTracks()[0].addEventListener("ended", () => this.lose());
    this.video.srcObject = this.stream;
    this.complain();
    this.changed(true);
    await this.video.play();
    return this.read(this.stream);
  }

  stop() {
    if (!this.running) return;
    for (const track of this.stream.getTracks()) track.stop();
    this.stream = this.video.srcObject = null;
    this.canvas.width = 0;
    this.changed(false);
  }

  // The camera was unplugged. The event "devicechange" says when there is one again.
  lose() {
    this.stop();
    this.lost = true;
    this.complain(new Error("Expected a frame of the camera, got none: it is gone. Waiting for it."));
  }

  async read(stream) {
    let last, agreed = 0, failed = false;
    while (this.stream === stream) {
      try {
        const answer = await this.predict(await this.picture());
        if (this.stream !== stream) return;
        if (failed) this.complain();
        failed = false;
        const several = digitsOf(answer);
        const text = several.map((one) => one.name).join("");
        agreed = text === last ? agreed + 1 : 1;
        last = text;
        this.draw(several);
        if (agreed >= STABLE) this.found(answer);
      } catch (error) {
        failed = true;
        this.complain(error);
        await new Promise((done) => setTimeout(done, RETRY_MS));
      }
    }
  }

  // Return the current frame as a JPEG, scaled down.
  picture() {
    const { video, frame } = this;
    const scale = Math.min(1, SENT / Math.max(video.videoWidth, video.videoHeight));
    frame.width = Math.round(video.videoWidth * scale);
    frame.height = Math.round(video.videoHeight * scale);
    frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
    return new Promise((done) => frame.toBlob(done, "image/jpeg", 0.85));
  }

  draw(several) {
    const { canvas, frame, video } = this, scale = video.videoWidth / frame.width;
    Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
    const context = canvas.getContext("2d"), line = Math.max(2, canvas.height / 120);
    context.font = `600 ${Math.round(canvas.height / 16)}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    for (const { name, label, box } of several) {
      const [left, top, right, bottom] = box?.map((edge) => edge * scale) ?? [0, 0, 0, 0];
      const colour = name === "?" ? "#ffc14d" : "#4ade9b";
      if (box) {
        for (const [style, width] of [["#0d1319", line + 2], [colour, line]]) {
          Object.assign(context, { strokeStyle: style, lineWidth: width });
          context.strokeRect(left - line, top - line, right - left + 2 * line, bottom - top + 2 * line);
        }
      }
      const wide = context.measureText(label).width + 4 * line, high = canvas.height / 12;
      const x = Math.min(Math.max(left - 1.5 * line, 0), canvas.width - wide);
      const y = Math.max(top - 1.5 * line - high, 0);
      context.fillStyle = colour;
      context.fillRect(x, y, wide, high);
      context.fillStyle = "#0d1319";
      context.fillText(label, x + 2 * line, y + high / 2);
    }
  }
}

// Return the digits of an answer, each with its name, the text beside its box, and the box.
function digitsOf(answer) {
  const [first] = answer.predictions;
  const several = first.predictions ?? (first.digit === null && !first.seen ? [] : [first]);
  return several.map((one, place) => {
    const name = one.digit === null ? "?" : one.label ?? one.digit.toString();
    const sure = first.predictions ? "" : ` ${(100 * one.confidence).toFixed(0)}\u00a0%`;
    return { name, label: name === "?" ? "?" : name + sure, box: first.boxes?.[place] ?? one.box };
  });
}
