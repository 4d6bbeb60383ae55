// The 3D scene: floor, axes, cameras, people, point cloud; the camera that looks at it.

import * as THREE from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { Bodies } from "./bodies.js";

const POINT_M = 0.02, MOVING_MS = 150;

// Whether WebGL is computed by the processor, where smooth edges cost most of the time.
function hasSoftwareGl() {
  const gl = document.createElement("canvas").getContext("webgl2");
  const about = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = about ? gl.getParameter(about.UNMASKED_RENDERER_WEBGL) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software/i.test(name);
}

export class Scene3D {
  constructor(canvas, about) {
    this.about = about; this.canvas = canvas; this.drawn = 0;
    THREE.Object3D.DEFAULT_UP.set(0, 0, 1);
    this.software = hasSoftwareGl();
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: !this.software, powerPreference: "high-performance" });
    this.renderer.setPixelRatio(this.software ? 1 : Math.min(devicePixelRatio, 2));
    this.world = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(45, 1, 0.05, 500); // near and far: below, by the size of the scene
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.addEventListener("change", () => this.wanted());
    const sun = new THREE.DirectionalLight(0xffffff, 1.6);
    sun.position.set(2, -3, 6);
    this.world.add(sun, new THREE.HemisphereLight(0xffffff, 0x8899aa, 1.7));
    const [low, high] = about.extent_m.map((corner) => new THREE.Vector3(...corner));
    this.middle = low.clone().add(high).multiplyScalar(0.5);
    this.reach = Math.max(high.distanceTo(low), 2);
    this.camera.near = this.reach / 200; this.camera.far = 100 * this.reach;
    this.floor = new THREE.Group(); this.frusta = new THREE.Group();
    this.cloud = new THREE.Points(new THREE.BufferGeometry(), new THREE.PointsMaterial({ size: POINT_M, vertexColors: true }));
    this.cloud.frustumCulled = false;
    this.world.add(this.floor, this.frusta, this.cloud);
    this.bodies = {};
    for (const [kind, skeleton] of Object.entries(about.skeletons)) {
      const look = kind === "refine" ? {} : { radius: kind === "truth" ? 0.014 : 0.011, opacity: 0.75 };
      this.bodies[kind] = new Bodies(skeleton, about.provenance, look);
      this.world.add(this.bodies[kind].group);
    }
    this.pictures = [];
    this.addFrusta();
    this.from("free");
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.resize();
  }
  theme(style) {
    const colour = (name) => new THREE.Color(style.getPropertyValue(name).trim());
    this.back = colour("--scene"); this.world.background = this.back;
    this.line = colour("--line"); this.ink = colour("--faint"); this.text = colour("--ink");
    this.addFloor();
    for (const sprite of this.names) { this.frusta.remove(sprite); }
    this.names = this.about.views.map((view, n) => this.label(view.name, this.eyes[n].toArray().map((v, k) => v + (k === 2 ? 0.12 : 0))));
    this.frusta.add(...this.names);
    this.wanted();
  }
  // A grid of metres (of a large scene: of 10, 100 ... m) at z = 0, axes of one metre in the origin.
  addFloor() {
    this.floor.clear();
    const step = 10 ** Math.max(0, Math.ceil(Math.log10(this.reach / 30)));
    const lines = 2 * Math.ceil(Math.max(this.reach, 3) / step), size = lines * step;
    const grid = new THREE.GridHelper(size, lines, this.ink, this.line);
    grid.rotation.x = Math.PI / 2;
    grid.position.set(Math.round(this.middle.x), Math.round(this.middle.y), 0);
    this.floor.add(grid, new THREE.AxesHelper(1));
    for (const [text, place] of [["x 1 m", [1.08, 0, 0]], ["y 1 m", [0, 1.08, 0]], ["z 1 m", [0, 0, 1.06]]]) this.floor.add(this.label(text, place));
  }
  label(text, place, height = Math.max(0.14, this.reach / 40)) {
    const canvas = document.createElement("canvas");
    const pen = canvas.getContext("2d");
    canvas.width = 256; canvas.height = 64;
    pen.font = "600 44px system-ui, sans-serif"; pen.textAlign = "center"; pen.textBaseline = "middle";
    pen.fillStyle = `#${this.text.getHexString()}`;
    pen.fillText(text, 128, 32, 250);
    const sprite = new THREE.Sprite(new THREE.SpriteMaterial({ map: new THREE.CanvasTexture(canvas), depthTest: false, transparent: true }));
    sprite.scale.set(4 * height, height, 1);
    sprite.position.set(...place);
    return sprite;
  }
  // The pyramid of each camera, and the plane on which its picture is shown.
  addFrusta() {
    this.eyes = []; this.names = [];
    this.about.views.forEach((view, index) => {
      const [w, h] = view.size, depth = Math.min(Math.max(this.reach / 9, 0.25), 0.8);
      const cam = new THREE.Matrix4().set(...view.cam_from_world.flat()).invert();
      const corner = (x, y) => new THREE.Vector3((x - view.K[0][2]) / view.K[0][0], (y - view.K[1][2]) / view.K[1][1], 1).multiplyScalar(depth).applyMatrix4(cam);
      const [a, b, c, d] = [corner(0, 0), corner(w, 0), corner(w, h), corner(0, h)];
      const eye = new THREE.Vector3().setFromMatrixPosition(cam);
      const lines = [eye, a, eye, b, eye, c, eye, d, a, b, b, c, c, d, d, a];
      this.frusta.add(new THREE.LineSegments(new THREE.BufferGeometry().setFromPoints(lines), new THREE.LineBasicMaterial({ color: 0x8899a6 })));
      const plane = new THREE.BufferGeometry().setFromPoints([a, b, c, d]);
      plane.setAttribute("uv", new THREE.BufferAttribute(new Float32Array(8), 2));
      plane.setIndex([0, 2, 1, 0, 3, 2]);
      const picture = new THREE.Mesh(plane, new THREE.MeshBasicMaterial({ side: THREE.DoubleSide }));
      picture.visible = false; picture.userData.view = index;
      this.pictures.push(picture);
      this.frusta.add(picture);
      this.eyes.push(eye);
    });
  }
  // Show the tiles of a mosaic on the planes of the cameras.
  texture(video, tiles, [width, height]) {
    const map = new THREE.VideoTexture(video);
    map.colorSpace = THREE.SRGBColorSpace;
    for (const picture of this.pictures) {
      const tile = tiles.find((one) => one.view === this.about.views[picture.userData.view].name);
      if (!tile) continue;
      const [l, r, t, b] = [tile.x / width, (tile.x + tile.w) / width, 1 - tile.y / height, 1 - (tile.y + tile.h) / height];
      picture.geometry.attributes.uv.array.set([l, t, r, t, r, b, l, b]);
      picture.geometry.attributes.uv.needsUpdate = true;
      picture.material.map = map; picture.material.needsUpdate = true;
    }
    this.map = map;
  }
  showPictures(on) { for (const picture of this.pictures) picture.visible = on && !!this.map; this.wanted(); }
  // Show a cloud without the points of hidden people; the points of one person stand together. Where the processor does
  // all the work and frame follows frame, one larger point stands for each three, until a moment after.
  showCloud(cloud, hidden) {
    const geometry = this.cloud.geometry, now = performance.now();
    clearTimeout(this.thinned);
    if (!cloud) { geometry.setDrawRange(0, 0); this.cloudShown = null; return; }
    const step = this.software && now - (this.cloudAt ?? 0) < MOVING_MS ? 3 : 1, key = [step, ...hidden].join();
    this.cloudAt = now;
    if (step > 1) this.thinned = setTimeout(() => { this.showCloud(cloud, hidden); this.wanted(); }, 2 * MOVING_MS);
    if (this.cloudShown === cloud && this.cloudKey === key) return;
    this.cloudShown = cloud; this.cloudKey = key;
    const all = cloud.xyz.shape[0];
    if (!geometry.attributes.position || geometry.attributes.position.count < all) {
      const room = Math.ceil(1.2 * all);
      geometry.dispose();
      geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(3 * room), 3));
      geometry.setAttribute("color", new THREE.BufferAttribute(new Uint8Array(4 * room).fill(255), 4, true)); // of three bytes each they would be repacked at every upload
    }
    const { position, color } = geometry.attributes;
    let count = 0;
    for (let at = 0; at < all; at += step) {
      if (hidden.has(cloud.person[at])) continue;
      for (let k = 0; k < 3; k++) {
        position.array[3 * count + k] = cloud.xyz[3 * at + k];
        color.array[4 * count + k] = cloud.rgb[3 * at + k];
      }
      count++;
    }
    for (const attribute of [position, color]) {
      attribute.clearUpdateRanges(); attribute.addUpdateRange(0, attribute.itemSize * count); attribute.needsUpdate = true;
    }
    geometry.setDrawRange(0, count);
    this.cloud.material.size = POINT_M * Math.sqrt(step);
  }
  from(where) {
    const { middle: m, reach: r } = this;
    const way = { free: [-0.6, -0.85, 0.5], top: [0, -0.001, 1.7], front: [0, -1.6, 0.15], side: [1.6, 0, 0.15] }[where];
    this.controls.target.copy(m);
    this.camera.position.set(m.x + r * way[0], m.y + r * way[1], m.z + r * way[2]);
    this.controls.update();
    this.wanted();
  }
  follow(point) {
    const step = point.clone().sub(this.controls.target);
    this.camera.position.add(step); this.controls.target.copy(point);
    this.controls.update();
  }
  resize() {
    const { clientWidth: w, clientHeight: h } = this.canvas.parentElement;
    if (!w || !h) return;
    this.renderer.setSize(w, h, false);
    this.camera.aspect = w / h;
    this.camera.updateProjectionMatrix();
    this.wanted();
  }
  // Draw once at the next occasion.
  wanted() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => this.draw());
  }
  draw() {
    this.pending = false;
    if (this.hidden) return;
    this.renderer.render(this.world, this.camera);
    this.drawn++;
  }
  // The kind, row and joint at a place of the canvas, or null.
  pick(x, y) {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    let best = null, nearest = 14;
    const point = new THREE.Vector3(), matrix = new THREE.Matrix4();
    for (const [kind, bodies] of Object.entries(this.bodies)) {
      if (!bodies.group.visible) continue;
      bodies.picks.forEach(([row, joint], n) => {
        bodies.joints.getMatrixAt(n, matrix);
        point.setFromMatrixPosition(matrix).project(this.camera);
        const away = Math.hypot((point.x + 1) / 2 * w - x, (1 - point.y) / 2 * h - y);
        if (point.z < 1 && away < nearest) { nearest = away; best = { kind, row, joint }; }
      });
    }
    return best;
  }
}
