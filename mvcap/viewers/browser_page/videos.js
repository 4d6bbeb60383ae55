// Videos that show exactly the frame asked for, and tell which frame they show.

import { source } from "./source.js";

export class Player {
  // name: "mosaic" or the number of a view; rate: frames a second; shown(frame): called when another frame is on the screen.
  constructor(name, rate, video, shown) {
    this.name = name; this.rate = rate; this.video = video; this.told = shown;
    this.frame = -1; this.ready = false; this.wantedFrame = null; this.state = ""; this.leads = false;
    video.muted = true; video.playsInline = true; video.preload = "auto";
    video.addEventListener("seeked", () => this.seekNext());
    video.addEventListener("ended", () => this.ended?.()); // a slow machine may skip the last frame
    video.addEventListener("error", () => { if (video.src) this.say("the browser cannot play this video"); });
    this.loaded = this.load();
  }
  async load() {
    try {
      let about = await source.json(`video/${this.name}.json`);
      while (about.done < 1 && !about.failed) {
        this.say(`being prepared, ${Math.floor(100 * about.done)} %`);
        await new Promise((done) => setTimeout(done, 300));
        if (this.closed) return;
        about = await source.json(`video/${this.name}.json`);
      }
      if (about.failed) { this.say(about.failed); return; }
      this.size = about.size; this.tiles = about.tiles;
      this.video.src = await source.videoUrl(`video/${this.name}.mp4`);
      await new Promise((done, broken) => {
        this.video.addEventListener("loadeddata", done, { once: true });
        this.video.addEventListener("error", () => broken(new Error("the browser cannot play this video")), { once: true });
      });
      this.ready = true; this.say("");
      this.watch();
      this.seek(this.wantedFrame ?? 0);
    } catch (fault) { this.say(fault.message); }
  }
  say(text) { this.state = text; this.changed?.(); }
  watch() {
    this.video.requestVideoFrameCallback((_, { mediaTime }) => {
      this.frame = Math.round(mediaTime * this.rate);
      this.told(this.frame);
      if (!this.closed) this.watch();
    });
  }
  // Seeks are made one at a time: of many asked for meanwhile, the last.
  seek(frame) {
    this.wantedFrame = frame;
    if (this.ready && !this.video.seeking && this.video.paused) this.seekNext();
  }
  seekNext() {
    if (this.wantedFrame === null || !this.video.paused) return;
    const frame = this.wantedFrame;
    this.wantedFrame = null;
    if (frame !== this.frame || this.video.seeking) this.video.currentTime = (frame + 0.5) / this.rate;
  }
  // Play from a frame; until it is reached, frames that are still on their way do not lead.
  async play(frame, speed) {
    this.wantedFrame = null;
    if (frame !== this.frame || this.video.seeking) {
      await new Promise((done) => {
        this.video.addEventListener("seeked", done, { once: true });
        this.video.currentTime = (frame + 0.5) / this.rate;
      });
    }
    this.leads = true;
    this.video.playbackRate = speed;
    await this.video.play();
  }
  pause() { this.leads = false; this.video.pause(); }
  tile(view) { return this.tiles?.find((one) => one.view === view); }
  close() { this.closed = true; this.video.pause(); this.video.removeAttribute("src"); this.video.load(); }
}

// Draw the poses of one frame, as a camera sees them, into a rectangle {x, y, scale} of a canvas.
export function drawProjected(pen, chunk, projected, view, rows, skeleton, colourOf, place, width) {
  const joints = skeleton.joints.length, count = chunk.frame.length;
  const at = (row, joint) => {
    const i = 2 * ((view * count + row) * joints + joint);
    return [place.x + projected.xy[i] * place.scale, place.y + projected.xy[i + 1] * place.scale];
  };
  pen.lineWidth = width; pen.lineCap = "round";
  for (const row of rows) {
    pen.strokeStyle = pen.fillStyle = colourOf(row);
    pen.beginPath();
    for (const [a, b] of skeleton.bones) {
      const [from, to] = [at(row, a), at(row, b)];
      if (Number.isFinite(from[0] + to[0])) { pen.moveTo(...from); pen.lineTo(...to); }
    }
    pen.stroke();
    pen.beginPath(); // joints: squares, in one path, as circles one by one cost most of the time without a GPU
    for (let joint = 0; joint < joints; joint++) {
      const [x, y] = at(row, joint);
      if (Number.isFinite(x)) pen.rect(x - 1.2 * width, y - 1.2 * width, 2.4 * width, 2.4 * width);
    }
    pen.fill();
  }
}
