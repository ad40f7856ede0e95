// Every operation as a bar: processes in lanes, time to the right. Only what can be seen is drawn.
const LANE = 20;
const BAR = 13;
const TAIL = 44;
const MOST_LANES_OF_ONE = 16;

function timelinePlot(model, choice) {
  let lanes = [];
  let accused = new Set();
  const fades = new Map();

  function arrange() {
    const chosen = [];
    model.byProcess.forEach((rows, process) => {
      if (choice.process >= 0 && choice.process !== process) return;
      const kept = choice.key < 0 ? rows : rows.filter((row) => model.key[row] === choice.key);
      if (kept.length) chosen.push({ process, rows: kept });
    });
    chosen.sort((a, b) => model.call[a.rows[0]] - model.call[b.rows[0]]);
    // A retired process makes room for its successor, so many of them fit into as many lanes as worked at a time.
    const span = ({ rows }) => [model.call[rows[0]], busyUntil(rows[rows.length - 1])];
    const places = chosen.length <= MOST_LANES_OF_ONE ? chosen.map((_, place) => place) : pack(chosen.map(span));
    lanes = [];
    chosen.forEach((entry, place) => (lanes[places[place]] ??= []).push(entry));
    const name = (lane) => model.texts.process[lane[0].process];
    lanes.sort((a, b) => name(a).localeCompare(name(b), "en", { numeric: true }));
    accused = new Set(choice.finding >= 0 ? model.findings[choice.finding].rows : []);
  }

  // An operation that never ended keeps its process busy only as long as it takes to draw its beginning.
  function busyUntil(row) {
    return model.took[row] < 0 ? model.call[row] + model.end / 200 : model.ended[row];
  }

  function box(frame, row) {
    const left = frame.x(model.call[row]);
    const open = model.took[row] < 0;
    const right = open ? left + 4 : frame.x(model.ended[row]);
    const width = Math.max(1.5, right - left);
    return { left, width, reach: left + width + (model.outcome[row] === 2 ? TAIL : 0) };
  }

  function visit(frame, entry, draw) {
    const margin = (TAIL + 6) / frame.pixels;
    let place = Math.max(0, firstAfter(entry.rows, model.call, frame.from - margin) - 1);
    for (; place < entry.rows.length && model.call[entry.rows[place]] <= frame.to; place++) draw(entry.rows[place]);
  }

  function drawLane(context, frame, colours, entries, y) {
    const labels = [];
    // Bars thinner than a pixel hide one another: those of one outcome that touch on the screen are drawn as one.
    const runs = [null, null, null];
    let drawn = 0;
    const flush = (outcome) => {
      if (!runs[outcome]) return;
      const [left, right] = runs[outcome];
      context.fillStyle = colours[OUTCOMES[outcome]];
      context.fillRect(left, y, right - left > 4 ? right - left - 0.75 : right - left, BAR);
      runs[outcome] = null;
      drawn++;
    };
    for (const entry of entries) {
      visit(frame, entry, (row) => {
        const { left, width, reach } = box(frame, row);
        if (reach < frame.left) return;
        const outcome = model.outcome[row];
        if (width > 52) labels.push([row, left, width]);
        if (outcome === 2 && width > 3) {
          flush(0);
          drawFading(context, colours, left, width, y);
          drawn++;
          return;
        }
        const run = runs[outcome];
        if (run && left <= run[1] + 0.5 && width < 4) run[1] = Math.max(run[1], left + width);
        else {
          flush(outcome);
          runs[outcome] = [left, left + width];
        }
      });
    }
    for (const outcome of [0, 1, 2]) flush(outcome);
    for (const [row, left, width] of labels) drawLabel(context, frame, colours, row, left, width, y);
    return drawn;
  }

  // An unknown outcome fades from its call on, past the moment at which its client gave up: it may still take effect.
  function drawFading(context, colours, left, width, y) {
    context.drawImage(fadeOf(colours.info, colours["info-faded"]), left, y, width, BAR);
    context.drawImage(fadeOf(colours["info-faded"], "transparent"), left + width, y + BAR / 2 - 3, TAIL, 6);
    context.fillStyle = colours.info;
    context.fillRect(left, y, 1.5, BAR);
  }

  // Stretching a picture of a gradient is many times cheaper than making a gradient for every bar.
  function fadeOf(from, to) {
    const name = `${from} ${to}`;
    if (!fades.has(name)) {
      const canvas = document.createElement("canvas");
      canvas.width = 64;
      canvas.height = 1;
      const context = canvas.getContext("2d");
      const gradient = context.createLinearGradient(0, 0, 64, 0);
      gradient.addColorStop(0, from);
      gradient.addColorStop(1, to);
      context.fillStyle = gradient;
      context.fillRect(0, 0, 64, 1);
      fades.set(name, canvas);
    }
    return fades.get(name);
  }

  function drawLabel(context, frame, colours, row, left, width, y) {
    const start = Math.max(left, frame.left);
    context.font = MONO;
    context.fillStyle = colours[`on-${OUTCOMES[model.outcome[row]]}`];
    context.fillText(fitted(context, labelOf(model, row, choice.key < 0), Math.min(left + width, frame.right) - start - 8), start + 4, y + BAR / 2 + 0.5);
  }

  // The operations of the finding stand out, each with its label beside it where no other of them is in the way.
  function drawAccused(context, frame, colours, entries, y) {
    const rows = entries.flatMap((entry) => entry.rows.filter((row) => accused.has(row)));
    rows.sort((a, b) => model.call[a] - model.call[b]);
    let free = frame.left;
    rows.forEach((row, place) => {
      const { left, width } = box(frame, row);
      const right = left + width;
      if (right < frame.left || left > frame.right) return;
      context.strokeStyle = colours.violation;
      context.lineWidth = 2;
      context.strokeRect(left - 1.5, y - 1.5, width + 3, BAR + 3);
      context.font = MONO;
      const text = labelOf(model, row, choice.key < 0);
      const length = context.measureText(text).width + 10;
      const next = place + 1 < rows.length ? box(frame, rows[place + 1]).left - 4 : frame.right;
      const x = next - right >= length ? right + 5 : left - free >= length ? left - length + 3 : null;
      free = right + 4;
      if (width > length || x === null) return;
      free = Math.max(free, x + length);
      context.fillStyle = colours.card;
      context.fillRect(x - 1, y - 1, length - 7, BAR + 2);
      context.fillStyle = colours.violation;
      context.fillText(text, x + 1, y + BAR / 2 + 0.5);
    });
  }

  function laneName(frame, entries) {
    const inView = entries.filter(({ rows }) => model.call[rows[0]] <= frame.to && busyUntil(rows[rows.length - 1]) >= frame.from);
    const names = (inView.length ? inView : entries).map(({ process }) => model.texts.process[process]);
    return names.length === 1 ? names[0] : `${names[0]} …`;
  }

  return {
    arrange,
    height: () => Math.max(2, lanes.length) * LANE + 6,
    draw(context, frame, colours) {
      drawBackground(context, frame, colours, model);
      let drawn = 0;
      lanes.forEach((entries, lane) => gutterText(context, frame, colours, laneName(frame, entries), lane * LANE + LANE / 2 + 1, colours.soft));
      clipped(context, frame, () => {
        lanes.forEach((entries, lane) => (drawn += drawLane(context, frame, colours, entries, lane * LANE + 4)));
        if (accused.size) lanes.forEach((entries, lane) => drawAccused(context, frame, colours, entries, lane * LANE + 4));
        drawUncovered(context, frame, colours, model);
      });
      document.documentElement.dataset.drawn = drawn;
    },
    hit(frame, x, y) {
      const entries = lanes[Math.floor((y - 1) / LANE)] ?? [];
      let best = null;
      let nearest = 5;
      for (const entry of entries) {
        visit(frame, entry, (row) => {
          const { left, width } = box(frame, row);
          const distance = x < left ? left - x : Math.max(0, x - left - width);
          if (distance < nearest) [best, nearest] = [row, distance];
        });
      }
      return best === null ? null : describeOperation(model, best);
    },
  };
}

function describeOperation(model, row) {
  const called = model.call[row];
  const never = model.took[row] < 0;
  const meaning = ["ok: it happened", "fail: it certainly did not happen", "info: it may take effect at any later time"];
  return {
    title: labelOf(model, row, true),
    lines: [
      ["outcome", meaning[model.outcome[row]]],
      ["process", textOf(model, "process", row)],
      ["function", textOf(model, "f", row)],
      ["key", textOf(model, "key", row)],
      ["value", textOf(model, "value", row)],
      ["result", textOf(model, "result", row)],
      ["error", textOf(model, "error", row)],
      ["replica", textOf(model, "replica", row)],
      ["called", formatTime(called, 1)],
      [model.outcome[row] === 2 ? "given up" : "returned", never ? "never" : formatTime(model.ended[row], 1)],
      ["took", never ? null : formatLength(model.took[row])],
      ["line", `index ${model.index[row]} in history.jsonl`],
    ],
  };
}
