// The 3D picture: floor, light, the path of a joint, and a camera to walk around the people.
"use strict";

const FIELD = 35; // degrees
const VIEWS = { start: [28, 12], front: [0, 4], side: [90, 4], top: [0, 89.9] }; // turn, height
const FILL = 0.86; // of the picture's height or width that the people take
const ROOM = 0.35; // metres around the root of a person who is followed
const SMOOTH = 15; // frames to both sides, for the camera that follows

class Stage {
  constructor(canvas, pose, palette) {
    Object.assign(this, { canvas, pose, palette, hidden: new Set(), frame: -1, followed: [0, 0] });
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(FIELD, 1, 0.05, 500);
    this.controls = new THREE.OrbitControls(this.camera, canvas);
    this.controls.addEventListener("change", () => (this.stale = true));
    this.space = new Space(pose);
    this.follow = this.space.wide > 3;
    this.bodies = new Bodies(this.scene, pose, this.space);
    this.addLights();
    this.addPath();
    this.addGrid();
    this.theme();
  }

  addLights() {
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x8a93a0, 2.2));
    const sun = new THREE.DirectionalLight(0xffffff, 1.4);
    sun.position.set(2, 5, 3);
    this.scene.add(sun);
  }

  addPath() {
    this.path = new THREE.LineSegments(new THREE.BufferGeometry(), new THREE.LineBasicMaterial());
    this.path.frustumCulled = false;
    this.scene.add(this.path);
  }

  // Draws where a joint goes in the whole motion, by at most `most` lines. No track: nothing.
  setPath(track, joint, most = 4000) {
    const ends = [];
    const [a, b] = [[0, 0, 0], [0, 0, 0]];
    const stride = track ? Math.ceil(track.frames / most) : 1;
    for (let row = stride; track && row < track.frames; row += stride) {
      const [before, here] = [row - stride, row].map((at) => at * track.joints + joint);
      if (!track.seen[before] || !track.seen[here]) continue;
      this.space.place(track, before, a);
      this.space.place(track, here, b);
      ends.push(...a, ...b);
    }
    this.path.geometry.dispose();
    this.path.geometry = new THREE.BufferGeometry();
    this.path.geometry.setAttribute("position", new THREE.Float32BufferAttribute(ends, 3));
    this.path.visible = ends.length > 0;
    this.refresh();
  }

  addGrid() {
    const { box, wide } = this.space;
    const cell = wide > 25 ? 2 : wide > 12 ? 1 : 0.5;
    const [left, back] = [box[0], box[2]].map((low) => Math.floor((low - 1) / cell) * cell);
    const [right, front] = [box[3], box[5]].map((high) => Math.ceil((high + 1) / cell) * cell);
    const ends = [];
    for (let x = left; x < right + 1e-6; x += cell) ends.push(x, 0, back, x, 0, front);
    for (let z = back; z < front + 1e-6; z += cell) ends.push(left, 0, z, right, 0, z);
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.Float32BufferAttribute(ends, 3));
    this.grid = new THREE.LineSegments(geometry, new THREE.LineBasicMaterial());
    this.cell = cell;
    this.scene.add(this.grid);
  }

  theme() {
    this.scene.background = new THREE.Color(this.palette.stage);
    this.grid.material.color.set(this.palette.grid);
    this.path.material.color.set(this.palette.accent);
    this.bodies.theme(this.palette);
    this.refresh();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.stale = true;
  }

  // Looks from a preset at all of the motion, or at the people of now where the camera follows.
  look(name, frame) {
    const [turn, height] = VIEWS[name].map((degrees) => (degrees * Math.PI) / 180);
    const now = this.centre(frame);
    const [x0, y0, z0, x1, y1, z1] = this.follow && now ? this.boxAt(frame, now) : this.space.box;
    const target = new THREE.Vector3((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2);
    const back = new THREE.Vector3(
      Math.sin(turn) * Math.cos(height), Math.sin(height), Math.cos(turn) * Math.cos(height),
    );
    const size = [(x1 - x0) / 2, (y1 - y0) / 2, (z1 - z0) / 2];
    this.followed = now ?? this.followed;
    this.controls.target.copy(target);
    this.camera.position.copy(target).addScaledVector(back, this.distance(back, size));
    this.controls.update();
    this.stale = true;
  }

  // How far back a box of half sides `size` just fits in the picture.
  distance(back, size) {
    const right = new THREE.Vector3(0, 1, 0).cross(back).normalize();
    const up = back.clone().cross(right);
    const tall = Math.tan((FIELD * Math.PI) / 360) * FILL;
    let far = 1;
    for (let corner = 0; corner < 8; corner++) {
      const at = new THREE.Vector3(...size.map((side, c) => ((corner >> c) & 1 ? side : -side)));
      const away = Math.abs(at.dot(up)) / tall;
      const aside = Math.abs(at.dot(right)) / (tall * this.camera.aspect);
      far = Math.max(far, Math.max(away, aside) + at.dot(back));
    }
    return far;
  }

  // Middle of the people around a frame on the floor [x, z], or null when nobody is there.
  centre(frame) {
    const at = [0, 0, 0];
    let [x, z, count] = [0, 0, 0];
    for (const track of this.pose.tracks) {
      if (this.hidden.has(track.id) || rowAt(track, frame) < 0) continue;
      for (let near = frame - SMOOTH; near <= frame + SMOOTH; near++) {
        const root = rowAt(track, near) * track.joints;
        if (root < 0 || !track.seen[root]) continue;
        this.space.place(track, root, at);
        x += at[0];
        z += at[2];
        count++;
      }
    }
    return count ? [x / count, z / count] : null;
  }

  // A box around `centre` with room for the people of a frame to move their limbs.
  boxAt(frame, [x, z]) {
    const [at, wide] = [[0, 0, 0], [0, 0]];
    for (const track of this.pose.tracks) {
      const row = rowAt(track, frame);
      if (row < 0 || this.hidden.has(track.id)) continue;
      this.space.place(track, row * track.joints, at);
      wide[0] = Math.max(wide[0], Math.abs(at[0] - x));
      wide[1] = Math.max(wide[1], Math.abs(at[2] - z));
    }
    const [right, front] = wide.map((reach) => reach + ROOM);
    const [low, high] = [this.space.box[1], this.space.box[4]];
    return [x - right, low, z - front, x + right, high, z + front];
  }

  followTo(frame) {
    const now = this.follow && this.centre(frame);
    if (!now) return;
    for (const point of [this.camera.position, this.controls.target]) {
      point.x += now[0] - this.followed[0];
      point.z += now[1] - this.followed[1];
    }
    this.followed = now;
  }

  // Starts following from where the people are now.
  setFollow(on, frame) {
    this.follow = on;
    this.followed = this.centre(frame) ?? this.followed;
  }

  setHidden(hidden, frame) {
    this.hidden = hidden;
    this.followed = this.centre(frame) ?? this.followed; // no jump when one of several goes
    this.refresh();
  }

  // The joint under a point of the page, as {id, joint} or null.
  pick(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const x = (2 * (clientX - box.left)) / box.width - 1;
    const y = 1 - (2 * (clientY - box.top)) / box.height;
    return this.bodies.nearest(this.frame, this.hidden, this.camera, x, y, 36 / box.height);
  }

  // Draws a frame, if anything changed since the last call.
  show(frame) {
    if (frame !== this.frame) {
      this.followTo(frame);
      this.frame = frame;
      this.bodies.fill(frame, this.hidden);
      this.stale = true;
    }
    this.controls.update();
    if (!this.stale) return;
    this.stale = false;
    this.renderer.render(this.scene, this.camera);
  }

  refresh() {
    this.frame = -1;
  }
}
