// The stretch of time that all plots show, in microseconds since the run began.
const CLOSEST = 50;

function makeView(end, onChange) {
  const view = { from: 0, to: end, end };
  view.set = (from, to) => {
    const length = Math.min(Math.max(to - from, CLOSEST), end);
    const middle = (from + to) / 2;
    view.from = Math.min(Math.max(middle - length / 2, 0), end - length);
    view.to = view.from + length;
    onChange();
  };
  view.zoom = (factor, at = (view.from + view.to) / 2) => {
    const length = Math.min(Math.max((view.to - view.from) * factor, CLOSEST), end);
    const share = (at - view.from) / (view.to - view.from);
    view.set(at - share * length, at + (1 - share) * length);
  };
  view.pan = (time) => {
    const length = view.to - view.from;
    const from = Math.min(Math.max(view.from + time, 0), end - length);
    view.set(from, from + length);
  };
  view.all = () => view.set(0, end);
  return view;
}

// The smallest of 1, 2, 5, 10, 20, ... that is no less.
function roundStep(least) {
  let size = 10 ** Math.floor(Math.log10(least));
  for (const factor of [1, 2, 5, 10]) if (size * factor >= least * 0.999999) return size * factor;
  return size * 10;
}

function formatTime(time, step = 1000) {
  const decimals = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step / 1e6) - 1e-9)));
  return `${(time / 1e6).toFixed(decimals)} s`;
}

function formatLength(length) {
  if (length < 1000) return `${length} µs`;
  if (length < 1e6) return `${Number((length / 1000).toPrecision(3))} ms`;
  return `${Number((length / 1e6).toPrecision(4))} s`;
}
