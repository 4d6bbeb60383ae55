// The viewer: one state (the frame, what is shown), and everything that is drawn from it.

import * as THREE from "three";
import { Chunks, source } from "./source.js";
import { Scene3D } from "./scene.js";
import { Meshes } from "./meshes.js";
import { Timeline, curveName } from "./timeline.js";
import { Player, drawProjected } from "./videos.js";
import { inspect, layerBoxes, keyTable, personBoxes } from "./panel.js";

const $ = (id) => document.getElementById(id);
const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];
const RAMP = [[0, 0x2ca25f], [0.03, 0xfee08b], [0.1, 0xd73027]].map(([at, hex]) => [at, new THREE.Color(hex)]);

class Viewer {
  constructor(about) {
    this.about = about; this.frame = 0; this.playing = false; this.speed = 1; this.updates = 0;
    this.layers = { raw: false, truth: !!about.kinds.truth, uncertainty: false, cameras: true, pictures: false, cloud: !!about.clouds, meshes: !!about.meshes, floor: true, overlay: true };
    this.hidden = new Set(); this.look = null; this.followed = null; this.picked = null;
    this.colours = new Map(about.persons.map((one) => [one.id, one.colour]));
    this.tints = new Map(about.persons.map((one) => [one.id, new THREE.Color(one.colour)]));
    this.chunks = {};
    for (const kind of Object.keys(about.kinds)) this.chunks[kind] = new Chunks(`poses/${kind}`, about.chunk_frames);
    this.projected = new Chunks("projected/refine", about.chunk_frames, 8);
    this.clouds = new Chunks("cloud", 1, 100);
    this.cloudsApart = (about.clouds ?? []).reduce((most, one, n, all) => (n ? Math.max(most, one - all[n - 1]) : most), 1);
    this.scene = new Scene3D($("scene"), about);
    this.meshes = about.meshes ? new Meshes(about, this.tints) : null;
    if (this.meshes) this.scene.world.add(this.meshes.group);
    this.timeline = new Timeline($("timeline"), about, this.colours, (frame) => this.seek(frame));
    this.timeline.visible = (id) => !this.hidden.has(id);
    this.mosaic = new Player("mosaic", about.rate_hz, $("video"), () => this.videoFrame(this.mosaic));
    this.mosaic.changed = () => this.videoState();
    this.mosaic.ended = () => this.atEnd(this.mosaic);
    this.mosaic.loaded.then(() => { if (this.mosaic.ready) this.scene.texture($("video"), this.mosaic.tiles, this.mosaic.size); this.apply(); });
    $("name").textContent = about.name;
    document.title = `${about.name} – mvcap`;
    if (about.verdict) { $("verdict").textContent = `verdict: ${about.verdict.level}`; $("verdict").title = about.verdict.reasons.join("\n"); }
    this.wire();
    this.theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    if (this.scene.reach > 100) this.notice = `the people span ${this.scene.reach.toFixed(0)} m: is the unit of the calibration right?`;
    source.arrays("series.bin").then((series) => this.timeline.load(series), (fault) => { this.notice = fault.message; this.status(); });
    this.apply();
  }
  wire() {
    personBoxes(this, $("persons")); layerBoxes(this, $("layers"), $("legend")); keyTable(this.keys(), $("keytable"));
    for (const view of this.about.views) $("camera").add(new Option(view.name, view.name));
    for (const person of this.about.persons) $("follow").add(new Option(`Follow ${person.id}`, person.id));
    this.about.series.forEach((name, n) => $("curve").add(new Option(curveName(name), n)));
    for (const speed of SPEEDS) $("speed").add(new Option(`${speed} x`, speed, speed === 1, speed === 1));
    $("camera").onchange = () => this.lookThrough($("camera").value || null);
    $("follow").onchange = () => { this.followed = +$("follow").value || null; this.apply(); };
    $("curve").onchange = () => { this.timeline.curve = +$("curve").value; this.timeline.redraw(); };
    $("speed").onchange = () => this.setSpeed(+$("speed").value);
    $("first").onclick = () => this.seek(0); $("back").onclick = () => this.step(-1);
    $("next").onclick = () => this.step(1); $("play").onclick = () => this.toggle();
    $("help").onclick = () => $("keys").showModal();
    $("theme").onclick = () => this.theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    for (const select of document.querySelectorAll("select")) select.addEventListener("change", () => select.blur()); // keys go on
    for (const button of document.querySelectorAll("#viewbar button")) button.onclick = () => { this.lookThrough(null); this.scene.from(button.dataset.view); };
    $("scene").addEventListener("pointerdown", (event) => { this.pressed = [event.offsetX, event.offsetY]; });
    $("scene").addEventListener("pointerup", (event) => {
      if (this.pressed && Math.hypot(event.offsetX - this.pressed[0], event.offsetY - this.pressed[1]) < 4) this.pick(event.offsetX, event.offsetY);
    });
    $("overlay").onclick = (event) => {
      const [x, y] = [event.offsetX / $("overlay").clientWidth * this.mosaic.size[0], event.offsetY / $("overlay").clientHeight * this.mosaic.size[1]];
      const tile = this.mosaic.tiles.find((one) => x >= one.x && x < one.x + one.w && y >= one.y && y < one.y + one.h);
      if (tile) this.lookThrough(tile.view);
    };
    document.addEventListener("keydown", (event) => this.key(event));
    addEventListener("resize", () => this.apply());
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.pause(); });
  }
  keys() {
    const layer = (name) => () => this.setLayer(name, !this.layers[name]);
    return [
      [[" "], "space", "play or pause", () => this.toggle()],
      [["ArrowLeft", "ArrowRight"], "← →", "one frame, ten with shift", (event) => this.step((event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 10 : 1))],
      [["Home", "End"], "Home End", "first and last frame", (event) => this.seek(event.key === "Home" ? 0 : this.about.frames - 1)],
      [["[", "]"], "[ ]", "slower, faster", (event) => this.setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, SPEEDS.indexOf(this.speed) + (event.key === "[" ? -1 : 1)))])],
      [[..."123456789"], "1 … 9", "look through a camera", (event) => { const view = this.about.views[+event.key - 1]; if (view) this.lookThrough(view.name); }],
      [["0", "Escape"], "0 Esc", "back to 3D, and closes the facts of a joint", () => { this.picked = null; this.lookThrough(null); this.apply(); }],
      [["t", "f", "s", "v"], "T F S V", "from the top, front, side, 3D", (event) => { this.lookThrough(null); this.scene.from({ t: "top", f: "front", s: "side", v: "free" }[event.key.toLowerCase()]); }],
      [["g"], "G", "follow the next person", () => { const ids = [null, ...this.about.persons.map((one) => one.id)]; this.followed = ids[(ids.indexOf(this.followed) + 1) % ids.length]; $("follow").value = this.followed ?? ""; this.apply(); }],
      [["r"], "R", "raw poses", layer("raw")], [["e"], "E", "uncertainty", layer("uncertainty")],
      [["c"], "C", "cameras", layer("cameras")], [["p"], "P", "point cloud", layer("cloud")], [["m"], "M", "meshes", layer("meshes")], [["o"], "O", "skeletons on the videos", layer("overlay")],
      [["?"], "?", "this help", () => $("keys").showModal()],
    ];
  }
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT"].includes(event.target.tagName) || $("keys").open) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const found = this.keys().find(([keys]) => keys.includes(name));
    if (found) { event.preventDefault(); found[3](event); }
  }
  theme(name) {
    document.documentElement.dataset.theme = name;
    const style = getComputedStyle(document.documentElement);
    this.scene.theme(style); this.timeline.theme(style); this.apply();
  }
  // Time
  seek(frame) { this.pause(); this.show(frame); }
  step(frames) { this.seek(this.frame + frames); }
  setSpeed(speed) { this.speed = speed; $("speed").value = speed; if (this.playing) { this.pause(); this.toggle(); } }
  get master() { return [this.lookPlayer, this.mosaic].find((one) => one?.ready) ?? null; }
  toggle() { if (this.playing) this.pause(); else this.play(); }
  async play() {
    if (this.frame >= this.about.frames - 1) this.show(0);
    this.playing = true; $("play").textContent = "❚❚";
    const master = this.master;
    this.clockStart = [performance.now(), this.frame];
    if (master) {
      try { await master.play(this.frame, this.speed); if (!this.playing) master.pause(); return; } catch { if (!this.playing) return; }
    }
    this.tick();
  }
  pause() {
    if (!this.playing) return;
    this.playing = false; $("play").textContent = "▶";
    for (const player of [this.mosaic, this.lookPlayer]) player?.pause();
    this.show(this.frame);
  }
  tick() {
    if (!this.playing) return;
    const frame = this.clockStart[1] + Math.floor((performance.now() - this.clockStart[0]) / 1000 * this.speed * this.about.rate_hz);
    if (frame >= this.about.frames) { this.pause(); return; }
    if (frame !== this.frame) this.show(frame);
    requestAnimationFrame(() => this.tick());
  }
  atEnd(player) { if (this.playing && player.leads) { this.pause(); this.show(this.about.frames - 1); } }
  // A video shows another frame: it leads while it plays; the skeletons on it are those of that very frame.
  videoFrame(player) {
    if (this.playing && player.leads) {
      this.show(player.frame, player);
      if (player.frame >= this.about.frames - 1) this.pause();
    }
    if (player === this.mosaic) { this.drawOverlay(); if (this.layers.pictures) this.scene.wanted(); }
    if (player === this.lookPlayer || (this.look && player === this.mosaic)) this.drawLook();
  }
  videoState() { $("videostate").textContent = this.mosaic.state ? `(${this.mosaic.state})` : ""; $("mosaic").hidden = !this.mosaic.ready; }
  show(frame, leader = null) {
    this.frame = Math.max(0, Math.min(this.about.frames - 1, frame));
    // While one video plays the other one follows now and then: seeking at every frame would slow both down.
    const now = performance.now(), others = !leader || now - (this.followedAt ?? 0) > 500;
    if (leader && others) this.followedAt = now;
    for (const player of others ? [this.mosaic, this.lookPlayer] : []) if (player && player !== leader) player.seek(this.frame);
    this.apply();
    this.ahead();
  }
  ahead() {
    const next = this.chunks.refine.start(this.frame) + this.about.chunk_frames;
    if (next < this.about.frames && next - this.frame < this.about.chunk_frames / 2) this.chunks.refine.load(next).catch(() => {});
  }
  // Drawing
  rows(chunk, frame) { return (chunk?.rows.get(frame) ?? []).filter((row) => !this.hidden.has(chunk.person[row])); }
  apply() {
    const { frame, about } = this, again = () => { if (this.frame === frame) this.apply(); };
    const truth = about.kinds.truth ? this.chunks.truth.at(frame, again) : null;
    const faults = new Set();
    for (const kind of Object.keys(about.kinds)) {
      const bodies = this.scene.bodies[kind], on = kind === "refine" || this.layers[kind === "track" ? "raw" : "truth"];
      bodies.group.visible = on;
      if (!on) continue;
      const chunk = this.chunks[kind].at(frame, again);
      if (!chunk) { bodies.hide(); faults.add(this.chunks[kind].fault(frame)); continue; }
      bodies.ellipsoids.visible = this.layers.uncertainty && kind === "refine";
      bodies.show(chunk, kind === "truth" ? chunk.rows.get(frame) ?? [] : this.rows(chunk, frame), this.colouring(kind, chunk, truth), this.scene.back);
      if (kind === "refine") this.followNow(chunk);
    }
    this.scene.frusta.visible = this.layers.cameras; this.scene.floor.visible = this.layers.floor;
    this.scene.showPictures(this.layers.pictures);
    this.scene.showCloud(this.layers.cloud && about.clouds ? this.cloudNow(again, faults) : null, this.hidden);
    if (this.meshes) this.meshesNow(again, faults);
    this.faults = [...faults].filter(Boolean).join("; ");
    this.scene.wanted();
    this.timeline.draw(frame);
    const seconds = frame / about.rate_hz;
    $("clock").textContent = `${seconds.toFixed(3)} s · frame ${frame} of ${about.frames}`;
    this.drawOverlay(); this.drawLook();
    if (this.picked && this.hidden.has(this.picked.person)) this.picked = null;
    inspect(this, $("inspector"));
    this.status();
    this.updates++;
  }
  // What is wrong, or being prepared, at the moment.
  status() {
    const video = this.look ? this.lookPlayer?.state || (!this.lookPlayer && this.mosaic.state) : "";
    $("message").textContent = [this.notice, this.faults, video && `video: ${video}`].filter(Boolean).join("; ");
  }
  meshesNow(again, faults) {
    this.meshes.group.visible = this.layers.meshes;
    if (!this.layers.meshes) return;
    this.meshes.fault = "";
    this.meshes.show(this.frame, this.hidden, again);
    faults.add(this.meshes.fault);
  }
  // The cloud of this frame, or the last one before it, for as long as clouds are apart.
  cloudNow(again, faults) {
    const last = this.about.clouds.findLast((one) => one <= this.frame);
    if (last === undefined || this.frame - last >= this.cloudsApart) return null;
    const cloud = this.clouds.at(last, again);
    if (!cloud) faults.add(this.clouds.fault(last));
    return cloud;
  }
  colouring(kind, chunk, truth) {
    const joints = this.about.skeletons[kind].joints.length;
    if (kind === "truth") { const white = new THREE.Color(0x777777); return () => white; }
    if (kind === "refine" && truth && this.layers.truth) {
      const away = this.errors(chunk, truth, joints), out = new THREE.Color();
      return (row, joint) => {
        const error = away.get(row)?.[joint];
        return Number.isFinite(error) ? ramp(error, out) : this.tints.get(chunk.person[row]) ?? out.set(0x888888);
      };
    }
    const grey = new THREE.Color(0x888888);
    return (row) => this.tints.get(chunk.person[row]) ?? grey;
  }
  // Distance (m) of each joint to the nearest person of the truth, by name of the joint.
  errors(chunk, truth, joints) {
    const names = this.about.skeletons.truth.joints, pairs = this.about.skeletons.refine.joints.map((name) => names.indexOf(name));
    const found = new Map();
    for (const row of chunk.rows.get(this.frame) ?? []) {
      let best = null, least = 0.5;
      for (const other of truth.rows.get(this.frame) ?? []) {
        const away = pairs.map((to, joint) => {
          if (to < 0) return NaN;
          const [i, k] = [3 * (row * joints + joint), 3 * (other * names.length + to)];
          return Math.hypot(chunk.xyz[i] - truth.xyz[k], chunk.xyz[i + 1] - truth.xyz[k + 1], chunk.xyz[i + 2] - truth.xyz[k + 2]);
        });
        const known = away.filter(Number.isFinite), mean = known.reduce((a, b) => a + b, 0) / known.length;
        if (mean < least) { least = mean; best = away; }
      }
      if (best) found.set(row, best);
    }
    return found;
  }
  followNow(chunk) {
    if (this.followed === null) return;
    const row = (chunk.rows.get(this.frame) ?? []).find((one) => chunk.person[one] === this.followed);
    if (row === undefined) return;
    const joints = chunk.xyz.shape[1], sum = new THREE.Vector3();
    let count = 0;
    for (let joint = 0; joint < joints; joint++) {
      const i = 3 * (row * joints + joint);
      if (Number.isFinite(chunk.xyz[i])) { sum.add(new THREE.Vector3(chunk.xyz[i], chunk.xyz[i + 1], chunk.xyz[i + 2])); count++; }
    }
    if (count) this.scene.follow(sum.divideScalar(count));
  }
  drawOverlay() {
    const canvas = $("overlay"), player = this.mosaic;
    if (!player.ready || player.frame < 0 || !canvas.clientWidth) return;
    const scale = Math.min(devicePixelRatio, 2), width = Math.round(canvas.clientWidth * scale);
    const there = this.layers.overlay && this.chunks.refine.has(player.frame) && this.projected.has(player.frame);
    const key = [player.frame, width, this.layers.overlay, there, ...this.hidden].join();
    if (key === this.overlayKey) return;
    this.overlayKey = key;
    const shrunk = width / player.size[0];
    if (canvas.width !== width) [canvas.width, canvas.height] = [width, Math.round(player.size[1] * shrunk)];
    const pen = canvas.getContext("2d", { willReadFrequently: this.scene.software });
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.font = `${11 * scale}px system-ui, sans-serif`;
    for (const tile of player.tiles) {
      const place = { view: tile.view, x: tile.x * shrunk, y: tile.y * shrunk, scale: tile.scale * shrunk };
      pen.fillStyle = "#000a"; pen.fillRect(place.x, place.y, pen.measureText(tile.view).width + 8 * scale, 15 * scale);
      pen.fillStyle = "#fff"; pen.fillText(tile.view, place.x + 4 * scale, place.y + 11.5 * scale);
      if (this.layers.overlay) this.projectedOn(pen, player.frame, place, 1.2 * scale);
    }
  }
  projectedOn(pen, frame, place, width) {
    const again = () => { this.drawOverlay(); this.drawLook(); };
    const chunk = this.chunks.refine.at(frame, again), projected = this.projected.at(frame, again);
    if (!chunk || !projected) return;
    const view = this.about.views.findIndex((one) => one.name === place.view);
    drawProjected(pen, chunk, projected, view, this.rows(chunk, frame), this.about.skeletons.refine, (row) => this.colours.get(chunk.person[row]) ?? "#888", place, width);
  }
  // Looking through a camera: its picture, and the poses as its lens distorts them.
  lookThrough(name) {
    if (this.look === name) return;
    this.pause();
    this.lookPlayer?.close();
    this.look = name; this.lookPlayer = null;
    $("camera").value = name ?? "";
    $("look").hidden = !name; this.scene.hidden = !!name;
    if (name && source.live) {
      const number = this.about.views.findIndex((view) => view.name === name);
      this.lookPlayer = new Player(number, this.about.rate_hz, document.createElement("video"), () => this.videoFrame(this.lookPlayer));
      this.lookPlayer.changed = () => { this.drawLook(); this.status(); };
      this.lookPlayer.ended = () => this.atEnd(this.lookPlayer);
      this.lookPlayer.seek(this.frame);
    }
    this.apply();
  }
  drawLook() {
    if (!this.look) return;
    const canvas = $("look"), stage = $("stage"), scale = Math.min(devicePixelRatio, 1.5);
    const view = this.about.views.find((one) => one.name === this.look), [w, h] = view.size;
    const [width, height] = [Math.round(stage.clientWidth * scale), Math.round(stage.clientHeight * scale)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d", { willReadFrequently: this.scene.software }), fit = Math.min(width / w, height / h);
    const place = { view: this.look, x: (width - w * fit) / 2, y: (height - h * fit) / 2, scale: fit };
    pen.clearRect(0, 0, width, height);
    const player = [this.lookPlayer, this.mosaic].find((one) => one?.ready && one.frame >= 0), tile = player?.tile(this.look);
    if (tile) pen.drawImage(player.video, tile.x, tile.y, tile.w, tile.h, place.x, place.y, w * fit, h * fit);
    else { pen.strokeStyle = "#888"; pen.strokeRect(place.x, place.y, w * fit, h * fit); }
    this.lookFrame = tile ? player.frame : this.frame; this.lookPlace = place;
    if (this.layers.overlay) this.projectedOn(pen, this.lookFrame, place, Math.max(2, 3 * scale));
  }
  pick(x, y) {
    const found = this.scene.pick(x, y);
    const chunk = found && this.chunks[found.kind].at(this.frame, () => {});
    this.picked = chunk ? { kind: found.kind, person: chunk.person[found.row], joint: found.joint } : null;
    inspect(this, $("inspector"));
  }
  setLayer(name, on) { this.layers[name] = on; const box = document.querySelector(`#layers input[name=${name}]`); if (box) box.checked = on; this.apply(); }
  setPerson(id, on) { if (on) this.hidden.delete(id); else this.hidden.add(id); this.timeline.redraw(); this.apply(); }
}

function ramp(error, out) {
  for (let n = 1; n < RAMP.length; n++) {
    const [[from, a], [to, b]] = [RAMP[n - 1], RAMP[n]];
    if (error <= to) return out.copy(a).lerp(b, (error - from) / (to - from));
  }
  return out.copy(RAMP[RAMP.length - 1][1]);
}

source.json("scene.json").then((about) => { window.mvcap = new Viewer(about); document.body.dataset.ready = "yes"; },
  (fault) => { $("message").textContent = fault.message; document.body.dataset.ready = "no"; });
