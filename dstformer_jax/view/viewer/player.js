// The page: time, controls and keys. Playback follows the clock, so that a slow machine drops
// frames instead of slowing down.
"use strict";

const GUESSED_RATE = 30; // frames a second where the file does not say
const get = (id) => document.getElementById(id);

class Player {
  constructor(pose, image) {
    Object.assign(this, { pose, image, hidden: new Set(), playing: false, clock: 0, last: null });
    this.rate = pose.fps || GUESSED_RATE;
    this.total = Math.max(pose.frames, 1);
    this.palette = new Palette(pose.people, pose.colours, pose.tracks.map((track) => track.id));
    this.openStage();
    this.picture = image && new Picture(get("picture"), image, this.palette);
    get("input").hidden = !image;
    get("zoom-label").hidden = !this.picture?.whole;
    this.chart = new Chart(get("chart"), pose, this.palette, this.rate);
    this.listPeople();
    this.listJoints();
    this.connectTime();
    this.connectView();
    this.connectChart();
    document.addEventListener("keydown", (event) => this.key(event));
  }

  // Without WebGL the page still shows the input and the charts.
  openStage() {
    try {
      this.stage = new Stage(get("stage"), this.pose, this.palette);
    } catch (error) {
      get("stage").hidden = true;
      get("trouble").hidden = false;
      get("trouble").textContent = `This browser cannot draw in 3D (${error.message}).`;
      return;
    }
    const metric = ["m", "mm"].includes(this.pose.unit);
    get("gridnote").textContent = metric ? `grid ${this.stage.cell} m` : "no scale known";
  }

  get frame() {
    return Math.min(Math.floor(this.clock * this.rate + 1e-6), this.total - 1);
  }

  start() {
    this.setFollow(this.stage?.follow ?? false);
    this.readColours();
    this.resize();
    new ResizeObserver(() => this.resize()).observe(document.body);
    const wanted = location.hash.match(/^#frame=(\d+)$/);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.seek(wanted ? Number(wanted[1]) : this.firstSeen());
    this.stage?.look("start", this.frame);
    this.setPlaying(!wanted && !still && this.total > 1);
    const tick = (now) => {
      this.advance(now);
      this.show();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    // Time does not pass while nobody looks.
    document.addEventListener("visibilitychange", () => (this.last = null));
  }

  firstSeen() {
    const firsts = this.pose.tracks.map((track) => runs(track)[0]?.[0] ?? Infinity);
    const first = Math.min(...firsts, Infinity);
    return first < Infinity ? first : 0;
  }

  advance(now) {
    const passed = this.last === null ? 0 : (now - this.last) / 1000;
    this.last = now;
    if (!this.playing) return;
    this.clock += passed * Number(get("speed").value);
    const length = this.total / this.rate;
    if (this.clock < length) return;
    if (get("loop").checked) this.clock %= length;
    else {
      this.clock = (this.total - 1) / this.rate;
      this.setPlaying(false);
    }
  }

  show() {
    this.stage?.show(this.frame);
    if (this.shown === this.frame) return;
    this.shown = this.frame;
    this.picture?.show(this.frame);
    this.chart.show(this.frame, this.total);
    get("frame").value = this.frame;
    const seconds = (frame) => `${(frame / this.rate).toFixed(2)} s`;
    get("frame").setAttribute("aria-valuetext", `frame ${this.frame}, ${seconds(this.frame)}`);
    get("time").textContent = `${this.frame} / ${this.total - 1} · ${seconds(this.frame)}`;
    document.body.dataset.frame = this.frame;
  }

  seek(frame) {
    this.clock = Math.min(Math.max(frame, 0), this.total - 1) / this.rate;
  }

  step(frames) {
    this.setPlaying(false);
    this.seek(this.frame + frames);
  }

  setPlaying(on) {
    if (on && !this.playing && this.frame === this.total - 1) this.clock = 0;
    this.playing = on;
    document.body.classList.toggle("playing", on);
    get("play").setAttribute("aria-label", on ? "Pause" : "Play");
  }

  setFollow(on) {
    this.stage?.setFollow(on, this.frame);
    get("follow").setAttribute("aria-pressed", on);
  }

  // Draws everything again.
  refresh() {
    this.shown = null;
    this.chart.drawn = null;
    this.stage?.refresh();
    drawPresence(get("presence"), this.pose, this.palette, this.hidden, this.total);
  }

  resize() {
    this.stage?.resize();
    this.refresh();
  }

  readColours() {
    this.palette.readTheme();
    this.stage?.theme();
    for (const swatch of get("people").querySelectorAll("i")) {
      swatch.style.background = this.palette.person(Number(swatch.dataset.id));
    }
    const shown = this.pose.tracks.find((track) => !this.hidden.has(track.id)) ?? this.pose.tracks[0];
    for (const side of ["left", "right"]) {
      get(side).style.background = shown ? this.palette.limb(shown.id, side) : "none";
    }
    get("colours").value = this.palette.bySide ? "sides" : "people";
    this.refresh();
  }

  listPeople() {
    const { pose } = this;
    const known = new Set(pose.tracks.map((track) => track.id));
    const others = (this.image?.tracks ?? []).filter((track) => !known.has(track.id));
    for (const track of [...pose.tracks, ...others]) {
      const item = document.createElement("li");
      item.innerHTML = `<label><input type="checkbox" checked><i></i><b></b><span></span></label>`;
      const [box, swatch, name, when] = item.querySelectorAll("input, i, b, span");
      swatch.dataset.id = track.id;
      name.textContent = `Person ${track.id}` + (known.has(track.id) ? "" : " (2D only)");
      when.textContent = `frames ${track.start}–${track.start + track.frames - 1}`;
      box.addEventListener("change", () => this.setShown(track.id, box.checked));
      get("people").append(item);
    }
    get("everybody").hidden = pose.tracks.length + others.length < 7;
    for (const button of get("everybody").querySelectorAll("button")) {
      button.addEventListener("click", () => {
        const shown = Boolean(button.dataset.all);
        for (const box of get("people").querySelectorAll("input")) if (box.checked !== shown) box.click();
      });
    }
  }

  setShown(id, shown) {
    if (shown) this.hidden.delete(id);
    else this.hidden.add(id);
    this.stage?.setHidden(this.hidden, this.frame);
    if (this.picture) this.picture.hidden = this.hidden;
    this.readColours();
  }

  listJoints() {
    const { tracks, names } = this.pose;
    for (const track of tracks) get("who").add(new Option(track.id, track.id));
    names.forEach((name, joint) => get("joint").add(new Option(name.replaceAll("_", " "), joint)));
    get("who-label").hidden = tracks.length < 2;
    get("close-label").hidden = this.total <= NEAR * this.rate;
    const spread = tracks.some((track) => track.spread);
    get("spread-label").hidden = !spread;
    if (!spread) get("quantity").querySelector("[value=uncertainty]").remove();
  }

  // Charts the joint that the lists name.
  readJoint() {
    const track = this.pose.tracks.find((each) => each.id === Number(get("who").value));
    const joint = Number(get("joint").value);
    this.chart.choose(track, joint);
    if (this.stage) {
      this.stage.bodies.chosen = track ? { id: track.id, joint } : null;
      this.stage.setPath(get("path").checked ? track : null, joint);
    }
    this.refresh();
  }

  connectTime() {
    get("play").addEventListener("click", () => this.setPlaying(!this.playing));
    get("back").addEventListener("click", () => this.step(-1));
    get("next").addEventListener("click", () => this.step(1));
    get("frame").addEventListener("input", () => {
      this.setPlaying(false);
      this.seek(Number(get("frame").value));
    });
  }

  connectView() {
    for (const button of document.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => this.stage?.look(button.dataset.view, this.frame));
    }
    get("follow").addEventListener("click", () => this.setFollow(!this.stage?.follow));
    get("spread").addEventListener("change", () => {
      if (this.stage) this.stage.bodies.spreadShown = get("spread").checked;
      this.refresh();
    });
    get("zoom").addEventListener("change", () => {
      this.picture.zoomed = get("zoom").checked;
      this.refresh();
    });
    get("colours").addEventListener("change", () => {
      this.palette.bySide = get("colours").value === "sides";
      this.readColours();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.readColours());
    let down = [0, 0];
    get("stage").addEventListener("pointerdown", (event) => (down = [event.clientX, event.clientY]));
    get("stage").addEventListener("pointerup", (event) => {
      if (Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 4) this.pick(event);
    });
  }

  pick(event) {
    const found = this.stage.pick(event.clientX, event.clientY);
    if (!found) return;
    get("who").value = found.id;
    get("joint").value = found.joint;
    this.readJoint();
  }

  connectChart() {
    for (const id of ["who", "joint", "path"]) get(id).addEventListener("change", () => this.readJoint());
    get("quantity").addEventListener("change", () => {
      this.chart.setQuantity(get("quantity").value);
      this.refresh();
    });
    get("close").addEventListener("change", () => {
      this.chart.close = get("close").checked;
      this.refresh();
    });
    const go = (event) => {
      if (!event.buttons) return;
      this.setPlaying(false);
      this.seek(this.chart.frameAt(event.offsetX));
    };
    get("chart").addEventListener("pointerdown", go);
    get("chart").addEventListener("pointermove", go);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { tagName, type } = event.target;
    if (tagName === "SELECT" || (event.key === " " && (tagName === "BUTTON" || type === "checkbox"))) return;
    const wide = event.shiftKey ? Math.round(this.rate) : 1;
    const speed = (by) => {
      const at = get("speed").selectedIndex + by;
      get("speed").selectedIndex = Math.min(Math.max(at, 0), get("speed").length - 1);
    };
    const actions = {
      " ": () => this.setPlaying(!this.playing),
      ArrowLeft: () => this.step(-wide),
      ArrowRight: () => this.step(wide),
      ArrowUp: () => speed(1),
      ArrowDown: () => speed(-1),
      Home: () => this.step(-this.total),
      End: () => this.step(this.total),
      1: () => this.stage?.look("front", this.frame),
      2: () => this.stage?.look("side", this.frame),
      3: () => this.stage?.look("top", this.frame),
      r: () => this.stage?.look("start", this.frame),
      f: () => this.setFollow(!this.stage?.follow),
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

async function open() {
  const data = JSON.parse(get("data").textContent);
  const pose = await decodeMotion(data.pose);
  const image = data.image && (await decodeMotion(data.image));
  new Player(pose, image).start();
}

open().catch((error) => {
  get("trouble").hidden = false;
  get("trouble").textContent = `The page could not be opened: ${error.message}`;
  throw error;
});
