// Where the page gets its data: from the server it came from, or from inside the file itself.

const TYPES = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u4: Uint32Array, u2: Uint16Array, i2: Int16Array, u1: Uint8Array, i1: Int8Array };

// Named arrays of a block of bytes; each has .shape besides its values (browser_scene.packed).
export function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const [name, { dtype, shape, at }] of Object.entries(header)) {
    const count = shape.reduce((a, b) => a * b, 1);
    arrays[name] = new TYPES[dtype](buffer, 4 + length + at, count);
    arrays[name].shape = shape;
  }
  return arrays;
}

class Server {
  async response(path) {
    const answer = await fetch(path).catch(() => { throw new Error("mvcap view has ended: start it again, and open its new address"); });
    if (!answer.ok) throw new Error((await answer.text()) || `${path}: ${answer.status}`);
    return answer;
  }
  async json(path) { return (await this.response(path)).json(); }
  async arrays(path) { return unpacked(await (await this.response(path)).arrayBuffer()); }
  async videoUrl(path) { return path; }
  get live() { return true; }
}

class Embedded {
  element(path) {
    const found = document.getElementById(`data:${path}`);
    if (!found) throw new Error(`${path} is not in this file`);
    return found.textContent;
  }
  async bytes(path) {
    const text = atob(this.element(path));
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  }
  async json(path) { return JSON.parse(this.element(path)); }
  async arrays(path) {
    const stream = new Blob([await this.bytes(path)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return unpacked(await new Response(stream).arrayBuffer());
  }
  async videoUrl(path) { return URL.createObjectURL(new Blob([await this.bytes(path)], { type: "video/mp4" })); }
  get live() { return false; }
}

export const source = document.getElementById("data:scene.json") ? new Embedded() : new Server();

// Chunks of frames, loaded when they are needed; the ones that were not used for the longest time are dropped.
export class Chunks {
  constructor(path, frames, most = 24) {
    this.path = path; this.frames = frames; this.most = most;
    this.held = new Map(); this.loading = new Map(); this.failed = new Map();
  }
  start(frame) { return Math.floor(frame / this.frames) * this.frames; }
  has(frame) { return this.held.has(this.start(frame)); }
  // The chunk of a frame if it is there; else it is loaded, and `then` is called.
  at(frame, then) {
    const start = this.start(frame);
    const found = this.held.get(start);
    if (found) { this.held.delete(start); this.held.set(start, found); return found; }
    if (!this.fault(frame)) this.load(start).then(then, then);
    return null;
  }
  // What was wrong with the chunk of a frame; after some seconds it may be asked for again.
  fault(frame) {
    const found = this.failed.get(this.start(frame));
    return found && performance.now() - found.when < 3000 ? found.message : "";
  }
  load(start) {
    if (this.held.has(start)) return Promise.resolve(this.held.get(start));
    if (!this.loading.has(start)) {
      this.loading.set(start, source.arrays(`${this.path}/${start}.bin`).then((chunk) => {
        this.held.set(start, this.indexed(chunk)); this.failed.delete(start);
        while (this.held.size > this.most) this.held.delete(this.held.keys().next().value);
        return chunk;
      }, (fault) => { this.failed.set(start, { message: fault.message, when: performance.now() }); throw fault; }).finally(() => this.loading.delete(start)));
    }
    return this.loading.get(start);
  }
  indexed(chunk) {
    if (chunk.frame) {
      chunk.rows = new Map();
      chunk.frame.forEach((frame, row) => {
        if (!chunk.rows.has(frame)) chunk.rows.set(frame, []);
        chunk.rows.get(frame).push(row);
      });
    }
    return chunk;
  }
}
