// The chart of one joint over time.
"use strict";

const DASHES = [[], [6, 3], [2, 2]]; // x, y, z are told apart by these and by colour
const NEAR = 10; // seconds in the close view
const CHART = { height: 170, left: 50, right: 18, top: 8, bottom: 22 };

// About `count` round numbers from low to high.
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const out = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) out.push(at);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return out.map((at) => [at, (Math.abs(at) < step / 2 ? 0 : at).toFixed(digits)]);
}

class Chart {
  constructor(canvas, pose, palette, rate) {
    Object.assign(this, { canvas, pose, palette, rate, close: false, quantity: "position" });
    this.choose(pose.tracks[0], 0);
  }

  choose(track, joint) {
    Object.assign(this, { track, joint });
    this.series = track ? this.read() : [];
    this.drawn = null;
  }

  setQuantity(name) {
    this.quantity = name;
    this.choose(this.track, this.joint);
  }

  // Lines of the quantity by row: NaN where the joint is missing.
  read() {
    const { track, joint } = this;
    const at = (row, c) => {
      const index = row * track.joints + joint;
      return track.seen[index] ? track.points[index * 3 + c] : NaN;
    };
    const rows = [...Array(track.frames).keys()];
    if (this.quantity === "uncertainty") {
      const of = (index) => (track.seen[index] && track.spread ? track.spread[index] : NaN);
      return [{ name: "±", values: rows.map((row) => of(row * track.joints + joint)) }];
    }
    if (this.quantity === "speed") {
      const speed = (row) => {
        const steps = [0, 1, 2].map((c) => at(row + 1, c) - at(row - 1, c));
        return (Math.hypot(...steps) * this.rate) / 2;
      };
      const inside = (row) => (row && row < track.frames - 1 ? speed(row) : NaN);
      return [{ name: "", values: rows.map(inside) }];
    }
    return [0, 1, 2].map((c) => ({ name: "xyz"[c], values: rows.map((row) => at(row, c)) }));
  }

  get unit() {
    const unit = { m: "m", mm: "mm", px: "px", normalised: "norm." }[this.pose.unit] ?? "?";
    return this.quantity === "speed" ? `${unit}/s` : unit;
  }

  // The frames shown: all, or some seconds around now.
  span(frame, total) {
    const wide = Math.round(NEAR * this.rate);
    if (!this.close || wide >= total) return [0, Math.max(total - 1, 1)];
    const first = Math.min(Math.max(frame - wide / 2, 0), total - 1 - wide);
    return [first, first + wide];
  }

  show(frame, total) {
    const width = this.canvas.clientWidth;
    const [first, last] = this.span(frame, total);
    const area = { ...CHART, width: width - CHART.left - CHART.right };
    const toX = (at) => area.left + ((at - first) / (last - first)) * area.width;
    Object.assign(this, { first, last, area });
    const key = [first, last, width, this.palette.text].join();
    if (this.drawn !== key) {
      this.drawn = key;
      this.curves = this.curves ?? document.createElement("canvas");
      this.drawCurves(toX);
    }
    const context = fitted(this.canvas, CHART.height);
    context.drawImage(this.curves, 0, 0, width, CHART.height);
    context.strokeStyle = this.palette.accent;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(toX(frame), area.top);
    context.lineTo(toX(frame), CHART.height - area.bottom);
    context.stroke();
  }

  // The frame under a place of the canvas.
  frameAt(x) {
    const share = (x - this.area.left) / this.area.width;
    return Math.round(this.first + Math.min(Math.max(share, 0), 1) * (this.last - this.first));
  }

  drawCurves(toX) {
    const ratio = Math.min(devicePixelRatio, 2);
    Object.assign(this.curves, { width: this.canvas.clientWidth * ratio, height: CHART.height * ratio });
    const context = this.curves.getContext("2d");
    context.scale(ratio, ratio);
    context.font = "11px system-ui, sans-serif";
    const rows = this.rowsShown();
    const [low, high] = this.limits(rows);
    const toY = (value) => {
      const inside = CHART.height - CHART.top - CHART.bottom;
      return CHART.top + ((high - value) / (high - low)) * inside;
    };
    this.drawAxes(context, toX, toY, low, high);
    this.series.forEach((line, place) => {
      const colour = this.palette.people[place];
      context.strokeStyle = this.palette.dark ? mix(colour, "#ffffff", 0.3) : colour;
      context.fillStyle = context.strokeStyle;
      context.setLineDash(this.rowStep(rows) > 1 ? [] : DASHES[place]); // dashes of a blur say nothing
      context.lineWidth = 1.4;
      this.drawLine(context, line, rows, toX, toY);
    });
  }

  rowsShown() {
    const start = this.track?.start ?? 0;
    const count = this.track?.frames ?? 0;
    return [Math.max(Math.floor(this.first) - start, 0), Math.min(Math.ceil(this.last) - start + 1, count)];
  }

  // Rows that share one line of pixels.
  rowStep([from, to]) {
    return Math.max(1, Math.floor((to - from) / (2 * this.area.width)));
  }

  limits([from, to]) {
    let [low, high] = [Infinity, -Infinity];
    for (const { values } of this.series) {
      for (let row = from; row < to; row++) {
        if (values[row] < low) low = values[row];
        if (values[row] > high) high = values[row];
      }
    }
    if (!(low < Infinity)) return [0, 1];
    const margin = Math.max((high - low) * 0.06, Math.abs(high) * 1e-3, 1e-6);
    return [low - margin, high + margin];
  }

  drawAxes(context, toX, toY, low, high) {
    const { left, width, bottom } = this.area;
    context.lineWidth = 1;
    context.strokeStyle = this.palette.grid;
    context.fillStyle = this.palette.faint;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const [at, text] of ticks(low, high, 6)) {
      context.beginPath();
      context.moveTo(left, toY(at));
      context.lineTo(left + width, toY(at));
      context.stroke();
      context.fillText(text, left - 5, toY(at));
    }
    context.textAlign = "left";
    context.fillText(this.unit, 2, CHART.height - bottom + 12);
    context.textAlign = "center";
    context.textBaseline = "bottom";
    for (const [at, text] of ticks(this.first / this.rate, this.last / this.rate, 5)) {
      context.fillText(`${text} s`, toX(at * this.rate), CHART.height - bottom + 18);
    }
  }

  // A line with breaks at gaps; of many rows on one pixel the lowest and highest.
  drawLine(context, { name, values }, [from, to], toX, toY) {
    const start = this.track.start;
    const step = this.rowStep([from, to]);
    let [open, end] = [false, null];
    context.beginPath();
    for (let row = from; row < to; row += step) {
      const some = step === 1 ? [values[row]] : extremes(values, row, Math.min(row + step, to));
      for (const value of some) {
        if (Number.isNaN(value)) {
          open = false;
          continue;
        }
        end = [toX(start + row), toY(value)];
        context[open ? "lineTo" : "moveTo"](...end);
        open = true;
      }
    }
    context.stroke();
    context.textAlign = "left";
    context.textBaseline = "middle";
    if (end) context.fillText(name, end[0] + 4, end[1]);
  }
}

// The lowest and highest of values[from..to), in order of time; [NaN] where one is missing.
function extremes(values, from, to) {
  let [low, high] = [from, from];
  for (let row = from; row < to; row++) {
    if (Number.isNaN(values[row])) return [NaN];
    if (values[row] < values[low]) low = row;
    if (values[row] > values[high]) high = row;
  }
  return low < high ? [values[low], values[high]] : [values[high], values[low]];
}
