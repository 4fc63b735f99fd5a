// Who is drawn in what colour, on light and dark grounds. Left limbs are light, right ones dark.
"use strict";

function channelsOf(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

function mix(hex, other, share) {
  const [a, b] = [channelsOf(hex), channelsOf(other)];
  const mixed = a.map((value, i) => Math.round(value + (b[i] - value) * share));
  return "#" + mixed.map((value) => value.toString(16).padStart(2, "0")).join("");
}

class Palette {
  constructor(people, sides, ids) {
    this.people = people;
    this.sides = sides;
    this.order = new Map(ids.map((id, place) => [id, place]));
    this.bySide = ids.length === 1;
    this.readTheme();
  }

  readTheme() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    this.dark = matchMedia("(prefers-color-scheme: dark)").matches;
    this.stage = of("--stage");
    this.grid = of("--grid");
    this.shadow = of("--shadow");
    this.text = of("--text");
    this.faint = of("--faint");
    this.accent = of("--accent");
  }

  // The colour of a person, whatever the mode: legend and timeline.
  person(id) {
    const place = this.order.get(id);
    if (place === undefined) return this.faint; // seen in the picture, but not lifted
    const colour = this.people[place % this.people.length];
    return this.dark ? mix(colour, "#ffffff", 0.15) : colour;
  }

  // The colour of a limb or joint of a person: side is left, right or middle.
  limb(id, side) {
    if (this.bySide && this.order.has(id)) {
      return this.dark ? mix(this.sides[side], "#ffffff", 0.3) : this.sides[side];
    }
    const colour = this.person(id);
    if (side === "left") return mix(colour, "#ffffff", 0.45);
    return side === "right" ? mix(colour, "#000000", this.dark ? 0.28 : 0.3) : colour;
  }
}
