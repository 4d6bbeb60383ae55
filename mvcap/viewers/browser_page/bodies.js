// Skeletons of one kind of poses: joints as spheres, bones as cylinders, uncertainty as ellipsoids.

import * as THREE from "three";

const UP = new THREE.Vector3(0, 1, 0);
const SOLID = { measured: 1, "one view": 0.75, interpolated: 0.6, predicted: 0.45 };

export class Bodies {
  constructor(skeleton, provenance, { radius = 0.018, opacity = 1 } = {}) {
    this.skeleton = skeleton; this.radius = radius;
    this.group = new THREE.Group();
    this.solid = new Float32Array(256).fill(SOLID.predicted);
    for (const [name, codes] of Object.entries(provenance)) for (const code of codes) this.solid[code] = SOLID[name];
    const material = () => new THREE.MeshLambertMaterial({ transparent: opacity < 1, opacity });
    this.joints = this.instances(new THREE.SphereGeometry(1, 10, 8), material());
    this.bones = this.instances(new THREE.CylinderGeometry(1, 1, 1, 6, 1, true), material());
    const haze = new THREE.MeshBasicMaterial({ transparent: true, opacity: 0.22, depthWrite: false });
    this.ellipsoids = this.instances(new THREE.SphereGeometry(1, 10, 8), haze);
    this.ellipsoids.visible = false;
    this.picks = []; // [row, joint] of each sphere shown
  }
  instances(geometry, material) {
    const mesh = new THREE.InstancedMesh(geometry, material, 1);
    mesh.frustumCulled = false; mesh.count = 0;
    this.group.add(mesh);
    return mesh;
  }
  // An instanced mesh with room for `count` instances, in the place of the old one.
  withRoom(name, count) {
    let mesh = this[name];
    if (mesh.instanceMatrix.count < count) {
      const larger = this.instances(mesh.geometry, mesh.material);
      larger.instanceMatrix = new THREE.InstancedBufferAttribute(new Float32Array(32 * count), 16);
      larger.instanceColor = new THREE.InstancedBufferAttribute(new Float32Array(6 * count), 3);
      larger.visible = mesh.visible;
      this.group.remove(mesh); mesh.dispose();
      this[name] = mesh = larger;
    }
    return mesh;
  }
  // Show rows of a chunk. colourOf(row, joint) is a THREE.Color; back is the colour that uncertain joints fade to.
  show(chunk, rows, colourOf, back) {
    const joints = this.skeleton.joints.length, bones = this.skeleton.bones;
    const spheres = this.withRoom("joints", rows.length * joints), sticks = this.withRoom("bones", rows.length * bones.length);
    const clouds = this.withRoom("ellipsoids", rows.length * joints);
    const matrix = new THREE.Matrix4(), turn = new THREE.Quaternion(), colour = new THREE.Color();
    const a = new THREE.Vector3(), b = new THREE.Vector3(), along = new THREE.Vector3(), size = new THREE.Vector3();
    const at = (row, joint, out) => {
      const i = 3 * (row * joints + joint);
      return out.set(chunk.xyz[i], chunk.xyz[i + 1], chunk.xyz[i + 2]);
    };
    let n = 0, m = 0, e = 0;
    this.picks.length = 0;
    for (const row of rows) {
      for (let joint = 0; joint < joints; joint++) {
        at(row, joint, a);
        if (!Number.isFinite(a.x)) continue;
        const solid = this.solid[chunk.source[row * joints + joint]];
        const r = this.radius * (0.5 + 0.5 * solid);
        matrix.makeScale(r, r, r).setPosition(a);
        spheres.setMatrixAt(n, matrix);
        spheres.setColorAt(n, colour.copy(colourOf(row, joint)).lerp(back, 1 - solid));
        this.picks[n++] = [row, joint];
        if (this.ellipsoids.visible && this.ellipsoid(chunk.cov, 6 * (row * joints + joint), a, matrix)) {
          clouds.setMatrixAt(e, matrix);
          clouds.setColorAt(e++, colourOf(row, joint));
        }
      }
      for (const [first, second] of bones) {
        at(row, first, a); at(row, second, b);
        if (!Number.isFinite(a.x + b.x)) continue;
        const solid = Math.min(this.solid[chunk.source[row * joints + first]], this.solid[chunk.source[row * joints + second]]);
        const length = along.subVectors(b, a).length();
        turn.setFromUnitVectors(UP, along.divideScalar(Math.max(length, 1e-9)));
        const r = 0.5 * this.radius * solid;
        matrix.compose(a.add(b).multiplyScalar(0.5), turn, size.set(r, length, r));
        sticks.setMatrixAt(m, matrix);
        sticks.setColorAt(m++, colour.copy(colourOf(row, first)).lerp(back, 1 - solid));
      }
    }
    for (const [mesh, count] of [[spheres, n], [sticks, m], [clouds, e]]) {
      mesh.count = count;
      mesh.instanceMatrix.needsUpdate = true;
      if (mesh.instanceColor) mesh.instanceColor.needsUpdate = true;
      mesh.boundingSphere = null;
    }
  }
  // The matrix that makes the unit sphere the ellipsoid that holds 95 % (chi-squared of three, 7.81): a Cholesky factor.
  ellipsoid(cov, i, centre, matrix) {
    const [xx, xy, xz, yy, yz, zz] = cov.subarray(i, i + 6);
    if (!(xx > 0)) return false;
    const k = Math.sqrt(7.815);
    const l00 = Math.sqrt(xx), l10 = xy / l00, l20 = xz / l00;
    const l11 = Math.sqrt(Math.max(yy - l10 * l10, 1e-12)), l21 = (yz - l20 * l10) / l11;
    const l22 = Math.sqrt(Math.max(zz - l20 * l20 - l21 * l21, 1e-12));
    matrix.set(k * l00, 0, 0, centre.x, k * l10, k * l11, 0, centre.y, k * l20, k * l21, k * l22, centre.z, 0, 0, 0, 1);
    return true;
  }
  hide() { for (const name of ["joints", "bones", "ellipsoids"]) this[name].count = 0; this.picks.length = 0; }
}
