// The plots above the timeline. Each tells its height, draws itself, and says what lies at a point.

function overviewPlot(model, view) {
  const height = 46;
  return {
    height: () => height,
    whole: true,
    draw(context, frame, colours) {
      const pixels = Math.max(1, frame.right - frame.left);
      drawBackground(context, frame, colours, model);
      const series = model.series(model.end / (pixels / 3));
      let most = 1;
      for (let bucket = 0; bucket < series.buckets; bucket++) most = Math.max(most, totalOf(series, bucket));
      const scale = (height - 8) / most;
      const width = Math.max(1, series.width * frame.pixels - 0.5);
      for (let bucket = 0; bucket < series.buckets; bucket++) {
        drawStack(context, colours, series, bucket, frame.x(bucket * series.width), width, height, scale);
      }
      drawUncovered(context, frame, colours, model);
      context.fillStyle = colours.violation;
      for (const finding of model.findings) {
        const x = Math.min(Math.max(frame.x((finding.from + finding.to) / 2), frame.left), frame.right);
        context.beginPath();
        context.moveTo(x - 5, 0);
        context.lineTo(x + 5, 0);
        context.lineTo(x, 8);
        context.fill();
      }
      const left = frame.x(view.from);
      const right = Math.max(left + 3, frame.x(view.to));
      context.globalAlpha = 0.65;
      context.fillStyle = colours.card;
      context.fillRect(frame.left, 0, left - frame.left, height);
      context.fillRect(right, 0, frame.right - right, height);
      context.globalAlpha = 1;
      context.strokeStyle = colours.ink;
      context.lineWidth = 1.5;
      context.strokeRect(left, 0.75, right - left, height - 1.5);
      gutterText(context, frame, colours, "whole run", height / 2, colours.soft);
    },
    hit: () => null,
  };
}

function totalOf(series, bucket) {
  return series.counts[0][bucket] + series.counts[1][bucket] + series.counts[2][bucket];
}

// The operations of one bucket, by outcome, one upon the other.
function drawStack(context, colours, series, bucket, x, width, bottom, scale) {
  let y = bottom;
  for (const outcome of [0, 1, 2]) {
    const tall = series.counts[outcome][bucket] * scale;
    if (!tall) continue;
    context.fillStyle = colours[OUTCOMES[outcome]];
    context.fillRect(x, y - tall, width, tall);
    y -= tall;
  }
}

function axisPlot(model) {
  return {
    height: () => 24,
    draw(context, frame, colours) {
      const [ticks, step] = timeTicks(frame);
      context.font = SANS;
      context.textAlign = "center";
      context.strokeStyle = colours.line;
      for (const time of ticks) {
        const x = frame.x(time);
        line(context, x, 19, x, 24);
        context.fillStyle = colours.soft;
        if (x > frame.left + 14 && x < frame.right - 14) context.fillText(formatTime(time, step), x, 11);
      }
      context.textAlign = "left";
      line(context, frame.left, 23, frame.right, 23);
    },
    hit: () => null,
  };
}

function faultsPlot(model) {
  const ROW = 20;
  const lanes = [];
  const boxes = [];
  for (const fault of new Set(model.episodes.map((episode) => episode.fault))) {
    const episodes = model.episodes.filter((episode) => episode.fault === fault).sort((a, b) => a.from - b.from);
    const packed = pack(episodes.map((episode) => [episode.from, episode.to ?? model.end]));
    episodes.forEach((episode, place) => boxes.push({ episode, lane: lanes.length + packed[place] }));
    for (let lane = 0; lane <= Math.max(...packed); lane++) lanes.push(lane === 0 ? fault : "");
  }
  const notes = model.notes.length ? lanes.push("notes") - 1 : -1;
  const box = (frame, { episode, lane }) => {
    const left = frame.x(episode.from);
    return [left, lane * ROW + 3, Math.max(3, frame.x(episode.to ?? model.end) - left), ROW - 5];
  };
  return {
    height: () => lanes.length * ROW + 4,
    draw(context, frame, colours) {
      drawBackground(context, frame, colours, { ...model, episodes: [] });
      lanes.forEach((name, lane) => name && gutterText(context, frame, colours, name, lane * ROW + ROW / 2, lane === notes ? colours.soft : colours.ink));
      clipped(context, frame, () => {
        for (const entry of boxes) {
          const [x, y, width, height] = box(frame, entry);
          if (x + width < frame.left || x > frame.right) continue;
          const proved = entry.episode.state === "proved";
          context.fillStyle = proved ? colours.fault : colours.card;
          context.fillRect(x, y, width, height);
          if (!proved) {
            hatch(context, x, y, width, height, colours["fault-band"]);
            context.strokeStyle = colours.fault;
            context.setLineDash([4, 3]);
            context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
            context.setLineDash([]);
          }
          context.font = SMALL;
          context.fillStyle = proved ? colours["on-fault"] : colours.fault;
          const visibleLeft = Math.max(x, frame.left);
          const text = `#${entry.episode.number} ${entry.episode.description || entry.episode.targets}`;
          context.fillText(fitted(context, text, Math.min(x + width, frame.right) - visibleLeft - 8), visibleLeft + 5, y + height / 2 + 0.5);
        }
        drawNotes(context, frame, colours, model, notes * ROW, ROW);
      });
    },
    hit(frame, x, y) {
      const lane = Math.floor(y / ROW);
      if (lane === notes) return hitNote(frame, model, x);
      const found = boxes.filter((entry) => entry.lane === lane).find((entry) => {
        const [left, , width] = box(frame, entry);
        return x >= left - 2 && x <= left + width + 2;
      });
      return found ? describeEpisode(found.episode) : null;
    },
  };
}

function drawNotes(context, frame, colours, model, top, row) {
  context.font = SMALL;
  model.notes.forEach((note, place) => {
    const x = frame.x(note.time);
    if (x < frame.left - 400 || x > frame.right) return;
    const next = model.notes.slice(place + 1).find((later) => frame.x(later.time) > x + 1);
    context.fillStyle = colours.soft;
    context.fillRect(x, top + 3, 2, row - 5);
    const room = Math.min(frame.right, next ? frame.x(next.time) : frame.right) - x - 10;
    context.fillText(fitted(context, note.replica ? `${note.replica}: ${note.text}` : note.text, room), x + 5, top + row / 2 + 0.5);
  });
}

function hitNote(frame, model, x) {
  const near = model.notes.filter((note) => Math.abs(frame.x(note.time) - x) < 6);
  if (!near.length) return null;
  return { title: near[0].text, lines: [["at", formatTime(near[0].time)], ["replica", near[0].replica], ...near.slice(1).map((note) => ["also", note.text])] };
}

function describeEpisode(episode) {
  return {
    title: `#${episode.number} ${episode.fault}`,
    lines: [
      ["what", episode.description],
      ["whom", episode.targets],
      ["from", formatTime(episode.from)],
      ["to", episode.to === null ? "never healed" : formatTime(episode.to)],
      ["injected", `${episode.state}: ${episode.injected}`],
      ["healed", `${episode.healState}: ${episode.healed}`],
    ],
  };
}

function rolesPlot(model) {
  const ROW = 20;
  const place = new Map(model.replicas.map((replica, row) => [replica, row]));
  return {
    height: () => model.replicas.length * ROW + 4,
    draw(context, frame, colours) {
      drawBackground(context, frame, colours, model);
      model.replicas.forEach((replica, row) => gutterText(context, frame, colours, replica, row * ROW + ROW / 2 + 1));
      clipped(context, frame, () => {
        for (const stretch of model.roles) {
          const x = frame.x(stretch.from);
          const width = Math.max(1, frame.x(stretch.to) - x);
          if (x + width < frame.left || x > frame.right) continue;
          const y = place.get(stretch.replica) * ROW + 3;
          drawRole(context, frame, colours, stretch, x, y, width, ROW - 5);
        }
      });
    },
    hit(frame, x, y) {
      const replica = model.replicas[Math.floor(y / ROW)];
      const time = frame.time(x);
      const found = model.roles.find((stretch) => stretch.replica === replica && stretch.from <= time && time < stretch.to);
      return found ? describeRole(found) : null;
    },
  };
}

function roleName(stretch) {
  if (stretch.state !== "up") return stretch.state;
  return stretch.role || "up, tells no role";
}

function drawRole(context, frame, colours, stretch, x, y, width, height) {
  let ink = colours["on-role"];
  const silent = stretch.state !== "up" || !stretch.role;
  if (silent) {
    const paused = stretch.state === "paused";
    context.fillStyle = colours.card;
    context.fillRect(x, y, width, height);
    if (paused) hatch(context, x, y, width, height, colours.info, 4);
    context.strokeStyle = paused ? colours.info : colours.soft;
    context.setLineDash(paused ? [] : [4, 3]);
    context.strokeRect(x + 0.5, y + 0.5, Math.max(0, width - 1), height - 1);
    context.setLineDash([]);
    ink = colours.ink;
  } else {
    context.fillStyle = stretch.chief ? colours.chief : colours.role;
    context.fillRect(x, y, Math.max(1, width - 1), height);
    if (stretch.chief) ink = colours["on-chief"];
  }
  context.font = stretch.chief ? `600 ${SMALL}` : SMALL;
  const left = Math.max(x, frame.left);
  const text = roleName(stretch) + (silent || !stretch.term ? "" : ` · ${stretch.term}`);
  const shown = fitted(context, text, Math.min(x + width, frame.right) - left - 9);
  if (shown && stretch.state === "paused") {
    context.fillStyle = colours.card;
    context.fillRect(left + 2, y + 1, context.measureText(shown).width + 6, height - 2);
  }
  context.fillStyle = ink;
  context.fillText(shown, left + 5, y + height / 2 + 0.5);
}

function describeRole(stretch) {
  return {
    title: `${stretch.replica}: ${roleName(stretch)}${stretch.chief ? " (in charge)" : ""}`,
    lines: [
      ["from", formatTime(stretch.from)],
      ["to", formatTime(stretch.to)],
      ["believes in", stretch.leader],
      ["term", stretch.term],
      ["commit index", stretch.commit === null ? "" : String(stretch.commit)],
    ],
  };
}

function throughputPlot(model) {
  const height = 92;
  const seriesOf = (frame) => model.series(6 / frame.pixels);
  return {
    height: () => height,
    draw(context, frame, colours) {
      drawBackground(context, frame, colours, model);
      const series = seriesOf(frame);
      const perSecond = 1e6 / series.width;
      const first = Math.max(0, Math.floor(frame.from / series.width));
      const last = Math.min(series.buckets - 1, Math.floor(frame.to / series.width));
      let most = 0;
      for (let bucket = first; bucket <= last; bucket++) most = Math.max(most, totalOf(series, bucket));
      const step = roundStep(Math.max((most * perSecond) / 3, 1));
      const top = Math.max(step, Math.ceil((most * perSecond) / step) * step);
      const scale = (height - 10) / top;
      for (let value = 0; value <= top; value += step) {
        gutterText(context, frame, colours, value.toLocaleString("en"), Math.max(6, height - value * scale - (value ? 0 : 6)), colours.soft);
        context.strokeStyle = colours.line;
        line(context, frame.left, height - value * scale - (value ? 0 : 1), frame.right, height - value * scale - (value ? 0 : 1));
      }
      clipped(context, frame, () => {
        const width = Math.max(1, series.width * frame.pixels - 1);
        for (let bucket = first; bucket <= last; bucket++) {
          drawStack(context, colours, series, bucket, frame.x(bucket * series.width), width, height, perSecond * scale);
        }
        drawUncovered(context, frame, colours, model);
      });
    },
    hit(frame, x) {
      const series = seriesOf(frame);
      const bucket = Math.floor(frame.time(x) / series.width);
      if (bucket < 0 || bucket >= series.buckets) return null;
      return {
        title: `${formatTime(bucket * series.width)} to ${formatTime((bucket + 1) * series.width)}`,
        lines: OUTCOMES.map((outcome, place) => [outcome, `${series.counts[place][bucket]} (${Math.round((series.counts[place][bucket] * 1e6) / series.width)} a second)`]),
      };
    },
  };
}

function latencyPlot(model) {
  const height = 104;
  const seriesOf = (frame) => model.series(8 / frame.pixels);
  return {
    height: () => height,
    draw(context, frame, colours) {
      drawBackground(context, frame, colours, model);
      const series = seriesOf(frame);
      const lengths = series.latencies;
      const least = Math.floor(Math.log10(Math.max(1, Math.min(...lengths.map((entry) => entry.p50), 1e6))));
      const most = Math.max(least + 1, Math.ceil(Math.log10(Math.max(1, ...lengths.map((entry) => entry.max)))));
      const y = (took) => height - 8 - ((Math.log10(Math.max(1, took)) - least) / (most - least)) * (height - 16);
      for (let power = least; power <= most; power++) {
        gutterText(context, frame, colours, formatLength(10 ** power), y(10 ** power), colours.soft);
        context.strokeStyle = colours.line;
        line(context, frame.left, y(10 ** power), frame.right, y(10 ** power));
      }
      clipped(context, frame, () => {
        const x = (entry) => frame.x((entry.bucket + 0.5) * series.width);
        const shown = lengths.filter((entry) => x(entry) > frame.left - 60 && x(entry) < frame.right + 60);
        context.fillStyle = colours.soft;
        for (const entry of shown) context.fillRect(x(entry) - 1.5, y(entry.max) - 1.5, 3, 3);
        for (const [name, dash, width] of [["p95", [4, 3], 1.25], ["p50", [], 2]]) {
          context.strokeStyle = colours.ok;
          context.lineWidth = width;
          context.setLineDash(dash);
          context.beginPath();
          let before = -2;
          for (const entry of shown) {
            if (entry.bucket - before > 1) context.moveTo(x(entry) - 2, y(entry[name]));
            context.lineTo(x(entry) + (entry.bucket - before > 1 ? 2 : 0), y(entry[name]));
            before = entry.bucket;
          }
          context.stroke();
        }
        context.setLineDash([]);
        drawUncovered(context, frame, colours, model);
      });
    },
    hit(frame, x) {
      const series = seriesOf(frame);
      const bucket = Math.floor(frame.time(x) / series.width);
      const found = series.latencies.find((entry) => entry.bucket === bucket);
      if (!found) return null;
      return {
        title: `${formatTime(bucket * series.width)} to ${formatTime((bucket + 1) * series.width)}`,
        lines: [["median", formatLength(found.p50)], ["95 %", formatLength(found.p95)], ["slowest", formatLength(found.max)], ["of", `${found.count} successful operations`]],
      };
    },
  };
}
