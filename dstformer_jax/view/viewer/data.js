// Reads the motion that the page carries. The layout is described in docs/viewer.md.
"use strict";

const FULL_TURN = 65536; // 16-bit differences wrap around

function bytesOf(text) {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

async function inflate(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Unsigned 16-bit numbers of `rows` rows: undoes the byte planes and the differences of rows.
async function integers(text, rows) {
  const planes = await inflate(text);
  const size = planes.length / 2;
  const width = size / rows;
  const out = new Uint16Array(size);
  for (let i = 0; i < size; i++) {
    const step = planes[i] | (planes[size + i] << 8);
    out[i] = i < width ? step : (out[i - width] + step) % FULL_TURN;
  }
  return out;
}

async function numbers(block, rows) {
  const whole = await integers(block.data, rows);
  const channels = block.offset.length;
  return Float32Array.from(whole, (n, i) => block.offset[i % channels] + block.step * n);
}

async function decodeTrack(track, joints) {
  const rows = track.frames;
  const bits = await inflate(track.seen);
  const seen = new Uint8Array(rows * joints);
  const present = new Uint8Array(rows);
  for (let i = 0; i < seen.length; i++) {
    seen[i] = (bits[i >> 3] >> (i & 7)) & 1;
    present[Math.floor(i / joints)] |= seen[i];
  }
  const points = await numbers(track.points, rows);
  const spread = track.uncertainty ? await numbers(track.uncertainty, rows) : null;
  return { id: track.id, start: track.start, frames: rows, joints, seen, present, points, spread };
}

// A motion with decoded tracks; `limbs` are [parent, child] pairs.
async function decodeMotion(motion) {
  const joints = motion.names.length;
  const tracks = [];
  for (const track of motion.tracks) tracks.push(await decodeTrack(track, joints));
  const limbs = motion.parents.map((parent, child) => [parent, child]).filter(([p]) => p >= 0);
  return { ...motion, tracks, limbs, channels: motion.tracks[0]?.points.offset.length ?? 3 };
}

// The row of a frame in a track, or -1 where the person is not there.
function rowAt(track, frame) {
  const row = frame - track.start;
  return row >= 0 && row < track.frames && track.present[row] ? row : -1;
}

// Runs of frames with the person, as [first, last) frames of the video.
function runs(track) {
  const out = [];
  for (let row = 0; row < track.frames; row++) {
    if (!track.present[row]) continue;
    if (row && track.present[row - 1]) out[out.length - 1][1]++;
    else out.push([track.start + row, track.start + row + 1]);
  }
  return out;
}
