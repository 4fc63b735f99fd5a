// Drawings on flat canvases: the 2D input, the chart of a joint, and who is there when.
"use strict";

// Fits a canvas to its place on the page and returns its context, in CSS pixels.
function fitted(canvas, height) {
  const width = canvas.clientWidth;
  const ratio = Math.min(devicePixelRatio, 2);
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  return context;
}

// The image as [left, top, right, bottom], or null where its size is unknown.
function wholeImage(image) {
  const [width, height] = image.size;
  return width && height && image.unit === "px" ? [0, 0, width, height] : null;
}

// What of the image plane people take in all the time.
function peopleBox(image) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const track of image.tracks) {
    for (let i = 0; i < track.seen.length; i++) {
      if (!track.seen[i]) continue;
      for (let c = 0; c < 2; c++) {
        const at = track.points[i * image.channels + c];
        box[c] = Math.min(box[c], at);
        box[c + 2] = Math.max(box[c + 2], at);
      }
    }
  }
  if (!(box[0] < Infinity)) return [0, 0, 1, 1];
  const margin = 0.05 * Math.max(box[2] - box[0], box[3] - box[1], 1e-6);
  return [box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin];
}

class Picture {
  constructor(canvas, image, palette) {
    Object.assign(this, { canvas, image, palette, hidden: new Set() });
    this.whole = wholeImage(image);
    this.near = peopleBox(image);
    this.zoomed = !this.whole;
  }

  show(frame) {
    const [left, top, right, bottom] = this.zoomed ? this.near : this.whole;
    const aspect = (bottom - top) / (right - left);
    const tallest = Math.min(0.6 * innerHeight, 300);
    const height = Math.min(this.canvas.clientWidth * aspect, tallest);
    this.canvas.style.height = `${height}px`;
    const context = fitted(this.canvas, height);
    const scale = height / (bottom - top);
    const shift = (this.canvas.clientWidth - scale * (right - left)) / 2;
    context.fillStyle = this.palette.stage;
    context.fillRect(shift, 0, scale * (right - left), height);
    context.lineWidth = Math.min(Math.max(this.image.extent * scale * 0.025, 1.2), 3.2);
    for (const track of this.image.tracks) {
      const row = rowAt(track, frame);
      if (row < 0 || this.hidden.has(track.id)) continue;
      const at = (joint) => {
        const index = (row * track.joints + joint) * this.image.channels;
        const [x, y] = [track.points[index], track.points[index + 1]];
        return [shift + (x - left) * scale, (y - top) * scale];
      };
      this.drawPerson(context, track, row * track.joints, at);
    }
  }

  drawPerson(context, track, first, at) {
    const { limbs, sides } = this.image;
    context.lineCap = "round";
    for (const [parent, child] of limbs) {
      if (!track.seen[first + parent] || !track.seen[first + child]) continue;
      context.strokeStyle = this.palette.limb(track.id, sides[child]);
      context.beginPath();
      context.moveTo(...at(parent));
      context.lineTo(...at(child));
      context.stroke();
    }
    for (let joint = 0; joint < track.joints; joint++) {
      if (!track.seen[first + joint]) continue;
      context.fillStyle = this.palette.limb(track.id, sides[joint]);
      context.beginPath();
      context.arc(...at(joint), context.lineWidth * 0.95, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

// Puts tracks that do not meet in time in one lane: [lane of each track], and how many lanes.
function lanes(tracks) {
  const ends = [];
  const order = [...tracks.keys()].sort((a, b) => tracks[a].start - tracks[b].start);
  const places = [];
  for (const at of order) {
    const free = ends.findIndex((end) => end <= tracks[at].start);
    places[at] = free < 0 ? ends.length : free;
    ends[places[at]] = tracks[at].start + tracks[at].frames;
  }
  return [places, ends.length];
}

// Who is there when: bars over the whole time, as far as there is room.
function drawPresence(canvas, pose, palette, hidden, total) {
  const [places, count] = lanes(pose.tracks);
  const height = Math.min(Math.max(count, 1), 8) * 5 + 1;
  canvas.style.height = `${height}px`;
  const context = fitted(canvas, height);
  const scale = canvas.clientWidth / Math.max(total, 1);
  pose.tracks.forEach((track, at) => {
    context.globalAlpha = hidden.has(track.id) ? 0.25 : 1;
    context.fillStyle = palette.person(track.id);
    for (const [first, last] of runs(track)) {
      context.fillRect(first * scale, places[at] * 5 + 1, Math.max((last - first) * scale, 1), 3);
    }
  });
}
