// Where people are in the 3D picture, and their limbs, joints, shadows and uncertainty.
"use strict";

const LIMB = 0.027; // metres: half the thickness of a limb
const JOINT = 0.038;
const CHOSEN = 0.052; // half the size of the joint that the chart shows

// Positions in metres (people of adult size where there is no unit), y up, floor at y = 0.
class Space {
  constructor(pose) {
    const { unit, axes, extent, low } = pose;
    this.scale = unit === "m" ? 1 : unit === "mm" ? 0.001 : 1.7 / extent;
    this.sign = axes === "world" ? 1 : -1; // camera: y down and z away
    this.floor = axes === "world" ? 0 : low;
    this.tracks = pose.tracks;
    this.box = this.bounds() ?? [-1, 0, -1, 1, 2, 1];
    this.wide = Math.max(this.box[3] - this.box[0], this.box[5] - this.box[2]);
  }

  // Position of joint number `index` (row * joints + joint) of a track into `out`.
  place(track, index, out) {
    const { points } = track;
    out[0] = points[index * 3] * this.scale;
    out[1] = (points[index * 3 + 1] * this.sign - this.floor) * this.scale;
    out[2] = points[index * 3 + 2] * this.sign * this.scale;
  }

  // [low x, y, z, high x, y, z] of all that is seen; null for nothing.
  bounds() {
    const box = [Infinity, Infinity, Infinity, -Infinity, -Infinity, -Infinity];
    const at = [0, 0, 0];
    for (const track of this.tracks) {
      for (let i = 0; i < track.seen.length; i++) {
        if (!track.seen[i]) continue;
        this.place(track, i, at);
        for (let c = 0; c < 3; c++) {
          box[c] = Math.min(box[c], at[c]);
          box[c + 3] = Math.max(box[c + 3], at[c]);
        }
      }
    }
    return box[0] < Infinity ? box : null;
  }
}

class Bodies {
  constructor(scene, pose, space) {
    Object.assign(this, { scene, pose, space, spreadShown: true, chosen: null });
    const ball = new THREE.SphereGeometry(1, 20, 14);
    const rod = new THREE.CylinderGeometry(1, 1, 1, 14, 1);
    const solid = new THREE.MeshLambertMaterial();
    const cloud = new THREE.MeshLambertMaterial({ transparent: true, opacity: 0.2 });
    cloud.depthWrite = false;
    const joints = pose.tracks.length * pose.names.length;
    this.joints = this.instances(ball, solid, joints);
    this.limbs = this.instances(rod, solid, pose.tracks.length * pose.limbs.length);
    this.spreads = this.instances(ball, cloud, joints);
    this.dark = new THREE.MeshBasicMaterial();
    this.shadows = [this.joints, this.limbs].map((mesh) => this.shadow(mesh));
  }

  instances(geometry, material, count) {
    const mesh = new THREE.InstancedMesh(geometry, material, Math.max(count, 1));
    mesh.instanceMatrix.setUsage(THREE.DynamicDrawUsage);
    mesh.frustumCulled = false;
    mesh.setColorAt(0, new THREE.Color("#fff"));
    this.scene.add(mesh);
    return mesh;
  }

  // The same bodies pressed to the floor.
  shadow(mesh) {
    const flat = new THREE.InstancedMesh(mesh.geometry, this.dark, mesh.count);
    flat.instanceMatrix = mesh.instanceMatrix;
    flat.frustumCulled = false;
    flat.scale.y = 1e-4;
    flat.position.y = 0.002;
    this.scene.add(flat);
    return flat;
  }

  theme(palette) {
    this.dark.color.set(palette.shadow);
    this.accent = new THREE.Color(palette.accent);
    this.colours = new Map(
      this.pose.tracks.map((track) => {
        const of = (side) => new THREE.Color(palette.limb(track.id, side));
        return [track.id, { left: of("left"), right: of("right"), middle: of("middle") }];
      }),
    );
  }

  // Puts the people of a frame in place; those of `hidden` and those in a gap are left out.
  fill(frame, hidden) {
    this.count = { joints: 0, limbs: 0, spreads: 0 };
    for (const track of this.pose.tracks) {
      const row = rowAt(track, frame);
      if (row < 0 || hidden.has(track.id)) continue;
      this.fillJoints(track, row);
      this.fillLimbs(track, row);
    }
    for (const kind of ["joints", "limbs", "spreads"]) {
      this[kind].count = this.count[kind];
      this[kind].instanceMatrix.needsUpdate = true;
      this[kind].instanceColor.needsUpdate = true;
    }
    this.shadows.forEach((flat, i) => (flat.count = [this.joints, this.limbs][i].count));
  }

  put(kind, matrix, colour) {
    this[kind].setMatrixAt(this.count[kind], matrix);
    this[kind].setColorAt(this.count[kind]++, colour);
  }

  fillJoints(track, row) {
    const [at, matrix] = [[0, 0, 0], new THREE.Matrix4()];
    const colours = this.colours.get(track.id);
    for (let joint = 0; joint < track.joints; joint++) {
      const index = row * track.joints + joint;
      if (!track.seen[index]) continue;
      this.space.place(track, index, at);
      const colour = colours[this.pose.sides[joint]];
      const chosen = this.chosen?.id === track.id && this.chosen.joint === joint;
      const size = chosen ? CHOSEN : JOINT;
      this.put("joints", matrix.makeScale(size, size, size).setPosition(...at),
        chosen ? this.accent : colour);
      if (!track.spread || !this.spreadShown) continue;
      const spread = track.spread[index] * this.space.scale;
      this.put("spreads", matrix.makeScale(spread, spread, spread).setPosition(...at), colour);
    }
  }

  fillLimbs(track, row) {
    const [matrix, turn, up] = [new THREE.Matrix4(), new THREE.Quaternion(), new THREE.Vector3(0, 1, 0)];
    const [a, b] = [[0, 0, 0], [0, 0, 0]];
    for (const [parent, child] of this.pose.limbs) {
      const [first, last] = [row * track.joints + parent, row * track.joints + child];
      if (!track.seen[first] || !track.seen[last]) continue;
      this.space.place(track, first, a);
      this.space.place(track, last, b);
      const along = new THREE.Vector3(b[0] - a[0], b[1] - a[1], b[2] - a[2]);
      const length = Math.max(along.length(), 1e-6);
      turn.setFromUnitVectors(up, along.divideScalar(length));
      const middle = new THREE.Vector3((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, (a[2] + b[2]) / 2);
      matrix.compose(middle, turn, new THREE.Vector3(LIMB, length, LIMB));
      this.put("limbs", matrix, this.colours.get(track.id)[this.pose.sides[child]]);
    }
  }

  // The seen joint nearest to a point of the picture (-1 to 1 both ways), as {id, joint} or null.
  nearest(frame, hidden, camera, x, y, reach) {
    const [at, best] = [[0, 0, 0], { far: reach, id: null }];
    for (const track of this.pose.tracks) {
      const row = rowAt(track, frame);
      if (row < 0 || hidden.has(track.id)) continue;
      for (let joint = 0; joint < track.joints; joint++) {
        if (!track.seen[row * track.joints + joint]) continue;
        this.space.place(track, row * track.joints + joint, at);
        const seen = new THREE.Vector3(...at).project(camera);
        const far = Math.hypot((seen.x - x) * camera.aspect, seen.y - y);
        if (far < best.far) Object.assign(best, { far, id: track.id, joint });
      }
    }
    return best.id === null ? null : { id: best.id, joint: best.joint };
  }
}
