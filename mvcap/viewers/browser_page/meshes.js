// Bodies of people: each a skinned mesh, whose shape is loaded once and whose bones turn from frame to frame.

import * as THREE from "three";
import { Chunks, source } from "./source.js";

export class Meshes {
  constructor(about, tints) {
    this.about = about.meshes; this.tints = tints; this.opacity = 0.75;
    this.group = new THREE.Group();
    this.chunks = new Chunks("meshes", about.chunk_frames);
    this.people = new Map(); this.asked = new Map();
    this.fault = "";
  }
  // Show the bodies of a frame, or the last ones before it for as long as they are apart; `again` is called when more is loaded.
  show(frame, hidden, again) {
    const shown = new Set();
    for (let back = 0; back < this.about.step && back <= frame; back++) {
      const chunk = this.chunks.at(frame - back, again);
      if (!chunk) { this.fault = this.chunks.fault(frame - back); continue; }
      for (const row of chunk.rows.get(frame - back) ?? []) {
        const id = chunk.person[row];
        if (shown.has(id) || hidden.has(id)) continue;
        const one = this.person(id, again);
        if (one) { this.pose(one, chunk, row); shown.add(id); }
      }
    }
    for (const [id, one] of this.people) one.mesh.visible = shown.has(id);
  }
  setOpacity(value) {
    this.opacity = value;
    for (const { mesh } of this.people.values()) this.look(mesh.material);
  }
  look(material) {
    const clear = this.opacity < 1;
    if (material.transparent !== clear) { material.transparent = clear; material.needsUpdate = true; }
    material.opacity = this.opacity;
  }
  // A person's mesh if it is there; else it is loaded.
  person(id, again) {
    if (!this.people.has(id) && !this.asked.has(id)) {
      this.skin ??= source.arrays("skin.bin");
      const made = Promise.all([this.skin, source.arrays(`shape/${id}.bin`)]).then(([skin, shape]) => { this.people.set(id, this.build(id, skin, shape)); },
        (fault) => { this.fault = fault.message; });
      this.asked.set(id, made.then(again));
    }
    return this.people.get(id);
  }
  build(id, skin, shape) {
    const geometry = new THREE.BufferGeometry(), heads = shape.heads, unit = shape.unit[0];
    geometry.setAttribute("position", new THREE.BufferAttribute(Float32Array.from(shape.rest, (value) => value * unit), 3));
    geometry.setAttribute("skinIndex", new THREE.BufferAttribute(skin.bones, 4));
    geometry.setAttribute("skinWeight", new THREE.BufferAttribute(skin.shares, 4, true));
    geometry.setIndex(new THREE.BufferAttribute(skin.faces, 1));
    geometry.computeVertexNormals();
    const bones = Array.from(skin.parents, () => new THREE.Bone()), inverses = [];
    skin.parents.forEach((parent, bone) => {
      const at = (index, axis) => (index < 0 ? 0 : heads[3 * index + axis]);
      bones[bone].position.set(...[0, 1, 2].map((axis) => at(bone, axis) - at(parent, axis)));
      if (parent >= 0) bones[parent].add(bones[bone]);
      inverses.push(new THREE.Matrix4().makeTranslation(-heads[3 * bone], -heads[3 * bone + 1], -heads[3 * bone + 2]));
    });
    const mesh = new THREE.SkinnedMesh(geometry, new THREE.MeshLambertMaterial({ color: this.tints.get(id) ?? 0x888888 }));
    this.look(mesh.material);
    mesh.frustumCulled = false;
    mesh.add(bones[0]); mesh.bind(new THREE.Skeleton(bones, inverses), new THREE.Matrix4());
    this.group.add(mesh);
    return { mesh, bones, turned: skin.turned };
  }
  pose({ bones, turned }, chunk, row) {
    bones[0].position.fromArray(chunk.root, 3 * row);
    turned.forEach((bone, n) => bones[bone].quaternion.fromArray(chunk.turns, 4 * (row * turned.length + n)).normalize());
  }
}
