// The run as the plots want it: columns made whole again, operations by process, figures by stretches of time.
const MOST_BUCKETS = 20000;

function readModel(data) {
  const columns = data.operations;
  const size = columns.call.length;
  const call = new Float64Array(size);
  const index = new Float64Array(size);
  const end = new Float64Array(size);
  let time = 0;
  let place = 0;
  for (let row = 0; row < size; row++) {
    call[row] = time += columns.call[row];
    index[row] = place += columns.index[row];
    end[row] = columns.took[row] < 0 ? data.end : time + columns.took[row];
  }
  const model = { ...data, ...columns, size, call, index, ended: end };
  model.byProcess = data.texts.process.map(() => []);
  for (let row = 0; row < size; row++) model.byProcess[columns.process[row]].push(row);
  model.series = cachedSeries(model);
  return model;
}

function textOf(model, column, row) {
  const place = model[column][row];
  return place < 0 ? null : model.texts[column === "result" ? "value" : column][place];
}

function labelOf(model, row, withKey) {
  const value = textOf(model, "value", row);
  const result = textOf(model, "result", row);
  const parts = [withKey ? textOf(model, "key", row) : null, textOf(model, "f", row), value, result === null ? null : `→ ${result}`];
  return parts.filter((part) => part !== null).join(" ");
}

// Throughput and latency in buckets of one width. Widths are round, so few are ever computed; they are kept.
function cachedSeries(model) {
  const kept = new Map();
  return (leastWidth) => {
    const width = roundStep(Math.max(leastWidth, model.end / MOST_BUCKETS, 1000));
    if (!kept.has(width)) kept.set(width, computeSeries(model, width));
    return kept.get(width);
  };
}

function computeSeries(model, width) {
  const buckets = Math.ceil(model.end / width) + 1;
  const counts = OUTCOMES.map(() => new Uint32Array(buckets));
  const took = new Map();
  for (let row = 0; row < model.size; row++) {
    if (model.took[row] < 0) continue;
    const bucket = Math.floor(model.ended[row] / width);
    const outcome = model.outcome[row];
    counts[outcome][bucket]++;
    if (outcome !== 0) continue;
    if (!took.has(bucket)) took.set(bucket, []);
    took.get(bucket).push(model.took[row]);
  }
  const latencies = [...took].sort((a, b) => a[0] - b[0]).map(([bucket, lengths]) => {
    lengths.sort((a, b) => a - b);
    const share = (part) => lengths[Math.min(lengths.length - 1, Math.ceil(part * lengths.length) - 1)];
    return { bucket, count: lengths.length, p50: share(0.5), p95: share(0.95), max: lengths[lengths.length - 1] };
  });
  return { width, buckets, counts, latencies };
}

// The first place in the sorted rows whose operation is called after the time.
function firstAfter(rows, call, time) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (call[rows[middle]] <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Intervals in the first lane that is free, so that no two in one lane overlap. They come sorted by their beginning.
function pack(intervals, gap = 0) {
  const busy = [];
  return intervals.map(([from, to]) => {
    let lane = busy.findIndex((until) => until <= from);
    if (lane < 0) lane = busy.length;
    busy[lane] = to + gap;
    return lane;
  });
}
