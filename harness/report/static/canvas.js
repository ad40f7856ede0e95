// Drawing on canvases that share one time axis: a gutter for names on the left, time from there to the right.
const RIGHT = 12;
const OUTCOMES = ["ok", "fail", "info"];
const SANS = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif';
const SMALL = SANS.replace("12px", "11px");
const MONO = '11px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace';
const COLOURS = [
  "card", "ink", "soft", "line", "faint", "ok", "fail", "info", "info-faded", "on-ok", "on-fail", "on-info", "violation",
  "fault", "fault-band", "on-fault", "chief", "on-chief", "role", "on-role",
];

function readColours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// Fit the canvas to its place and the screen; returns its context, cleared, and the frame to draw in.
function prepare(canvas, height, view) {
  const width = canvas.clientWidth;
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.textBaseline = "middle";
  return [context, makeFrame(width, height, view.from, view.to)];
}

function makeFrame(width, height, from, to) {
  const left = width < 640 ? 58 : 84;
  const right = Math.max(left + 10, width - RIGHT);
  const pixels = (right - left) / (to - from);
  return {
    left, right, width, height, from, to,
    x: (time) => left + (time - from) * pixels,
    time: (x) => from + (x - left) / pixels,
    pixels,
  };
}

function clipped(context, frame, draw) {
  context.save();
  context.beginPath();
  context.rect(frame.left, 0, frame.right - frame.left, frame.height);
  context.clip();
  draw();
  context.restore();
}

// As much of the text as fits, or nothing if that would say too little.
function fitted(context, text, width) {
  if (width < 14) return "";
  if (context.measureText(text).width <= width) return text;
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low < 2 ? "" : `${text.slice(0, low)}…`;
}

function gutterText(context, frame, colours, text, y, colour = colours.ink) {
  context.font = SANS;
  context.fillStyle = colour;
  context.textAlign = "right";
  context.fillText(fitted(context, text, frame.left - 12), frame.left - 8, y);
  context.textAlign = "left";
}

function hatch(context, x, y, width, height, colour, gap = 5) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  const first = x - height - ((x - height) % gap);
  for (let start = first; start < x + width; start += gap) {
    context.moveTo(start, y + height);
    context.lineTo(start + height, y);
  }
  context.stroke();
  context.restore();
}

function timeTicks(frame) {
  const step = roundStep((frame.to - frame.from) / Math.max(2, (frame.right - frame.left) / 110));
  const ticks = [];
  for (let time = Math.ceil(frame.from / step) * step; time <= frame.to; time += step) ticks.push(time);
  return [ticks, step];
}

// What stands behind every plot: faults, the final reads, times of which the page holds no operations, thin lines of time.
function drawBackground(context, frame, colours, model) {
  clipped(context, frame, () => {
    context.fillStyle = colours["fault-band"];
    for (const episode of model.episodes) {
      const to = episode.to ?? model.end;
      if (to < frame.from || episode.from > frame.to) continue;
      context.fillRect(frame.x(episode.from), 0, Math.max(1, (to - episode.from) * frame.pixels), frame.height);
    }
    if (model.finalReads !== null) {
      const x = frame.x(model.finalReads);
      context.fillStyle = colours.faint;
      context.fillRect(x, 0, frame.right - x, frame.height);
      context.strokeStyle = colours.soft;
      context.setLineDash([3, 3]);
      line(context, x, 0, x, frame.height);
      context.setLineDash([]);
    }
    context.strokeStyle = colours.line;
    for (const time of timeTicks(frame)[0]) line(context, frame.x(time), 0, frame.x(time), frame.height);
  });
}

function drawUncovered(context, frame, colours, model) {
  if (!model.covered) return;
  for (const [from, to] of [[0, model.covered[0]], [model.covered[1], model.end]]) {
    const left = Math.max(frame.left, frame.x(from));
    const right = Math.min(frame.right, frame.x(to));
    if (right <= left) continue;
    hatch(context, left, 0, right - left, frame.height, colours.line, 8);
    context.font = SMALL;
    context.fillStyle = colours.soft;
    context.fillText(fitted(context, "more operations than this page holds: see history.jsonl", right - left - 12), left + 6, 10);
  }
}

function line(context, x0, y0, x1, y1) {
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(Math.round(x0) + 0.5, Math.round(y0) + (y0 === y1 ? 0.5 : 0));
  context.lineTo(Math.round(x1) + 0.5, Math.round(y1) + (y0 === y1 ? 0.5 : 0));
  context.stroke();
}
