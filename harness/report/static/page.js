// Puts it together: plots, pointer and keys, filters, findings, the address's fragment.
const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const began = performance.now();

for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copyText(button));

async function copyText(button) {
  const source = byId(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  } catch {
    // No leave to write to the clipboard: select it, so that one key stroke does.
    getSelection().selectAllChildren(source);
  }
}

const plotsElement = byId("plots");
if (plotsElement) startPlots(readModel(JSON.parse(byId("run-data").textContent)));
root.dataset.ready = "true";

function startPlots(model) {
  const choice = { key: -1, process: -1, finding: -1 };
  const makers = { overview: overviewPlot, axis: axisPlot, faults: faultsPlot, roles: rolesPlot, throughput: throughputPlot, latency: latencyPlot };
  let colours = readColours();
  let scheduled = false;
  let kept = false;
  const view = makeView(model.end, schedule);
  const timeline = timelinePlot(model, choice);
  const plots = [...plotsElement.querySelectorAll("canvas[data-plot]")].map((canvas) => {
    const name = canvas.dataset.plot;
    return { canvas, name, ...(name === "timeline" ? timeline : makers[name](model, view)) };
  });
  const tip = byId("tip");
  const cursor = byId("cursor");
  const pickers = { key: byId("pick-key"), process: byId("pick-process"), finding: byId("pick-finding") };

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(draw);
  }

  function draw() {
    scheduled = false;
    for (const plot of plots) {
      const [context, frame] = prepare(plot.canvas, plot.height(), plot.whole ? { from: 0, to: model.end } : view);
      plot.frame = frame;
      plot.draw(context, frame, colours);
    }
    const step = (view.to - view.from) / 200;
    byId("range").textContent = `${formatTime(view.from, step)} to ${formatTime(view.to, step)}`;
    root.dataset.view = `${Math.round(view.from)},${Math.round(view.to)}`;
    root.dataset.drawMs ??= Math.round(performance.now() - began);
  }

  // Choosing

  function choose(change) {
    Object.assign(choice, change);
    timeline.arrange();
    pickers.key.selectedIndex = choice.key < 0 ? 0 : [...pickers.key.options].findIndex((option, place) => place && option.text === model.texts.key[choice.key]);
    pickers.process.selectedIndex = choice.process + 1;
    if (pickers.finding) pickers.finding.selectedIndex = choice.finding + 1;
    schedule();
  }

  function showFinding(number) {
    const finding = model.findings[number];
    if (!finding) return false;
    choose({ finding: number, key: finding.key, process: -1 });
    const margin = Math.max((finding.to - finding.from) * 0.35, model.end * 0.004, 2000);
    view.set(finding.from - margin, finding.to + margin);
    return true;
  }

  function followFragment() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const finding = wanted.get("finding");
    const time = /^([\d.]+),([\d.]+)$/.exec(wanted.get("t") ?? "");
    const shown = finding !== null && showFinding(Number(finding));
    if (shown) byId("time").scrollIntoView();
    if (wanted.has("key")) choose({ key: model.texts.key.indexOf(wanted.get("key")), process: -1 });
    if (time) view.set(Number(time[1]) * 1e6, Number(time[2]) * 1e6);
    return shown || time !== null;
  }

  pickers.key.addEventListener("change", () => choose({ key: pickers.key.selectedIndex ? model.texts.key.indexOf(pickers.key.selectedOptions[0].text) : -1 }));
  pickers.process.addEventListener("change", () => choose({ process: pickers.process.selectedIndex - 1 }));
  pickers.finding?.addEventListener("change", () => {
    if (!showFinding(pickers.finding.selectedIndex - 1)) choose({ finding: -1, key: -1 });
  });
  for (const link of document.querySelectorAll("[data-finding]")) {
    link.addEventListener("click", () => {
      // The same address again is no change of address: show it all the same.
      if (location.hash === link.hash) followFragment();
    });
  }
  window.addEventListener("hashchange", followFragment);
  const actions = { in: () => view.zoom(0.5), out: () => view.zoom(2), all: () => view.all() };
  for (const button of plotsElement.querySelectorAll("[data-do]")) button.addEventListener("click", actions[button.dataset.do]);

  // Pointing

  function explain(plot, event) {
    const found = plot.frame && plot.hit(plot.frame, event.offsetX, event.offsetY);
    tip.hidden = !found;
    if (!found) return false;
    const title = document.createElement("b");
    title.textContent = found.title;
    const list = document.createElement("dl");
    for (const [name, text] of found.lines) {
      if (text === null || text === "") continue;
      const term = list.appendChild(document.createElement("dt"));
      const description = list.appendChild(document.createElement("dd"));
      term.textContent = name;
      description.textContent = text;
    }
    tip.replaceChildren(title, list);
    const { width, height } = tip.getBoundingClientRect();
    const x = event.clientX + 16 + width > innerWidth ? event.clientX - width - 16 : event.clientX + 16;
    const y = Math.min(event.clientY + 14, innerHeight - height - 6);
    tip.style.left = `${Math.max(6, x)}px`;
    tip.style.top = `${Math.max(6, y)}px`;
    return true;
  }

  function release() {
    kept = false;
    tip.classList.remove("kept");
    tip.hidden = true;
  }

  function moveCursor(plot, event) {
    const inside = plot.frame && !plot.whole && event.offsetX >= plot.frame.left && event.offsetX <= plot.frame.right;
    cursor.hidden = !inside;
    if (inside) cursor.style.left = `${event.clientX - plotsElement.getBoundingClientRect().left}px`;
  }

  let drag = null;

  function press(plot, event) {
    if (event.button !== 0 || !plot.frame) return;
    plot.canvas.setPointerCapture(event.pointerId);
    const stretch = plot.whole || event.shiftKey;
    const inWindow = plot.whole && !event.shiftKey && isInWindow(plot, event.offsetX);
    drag = { plot, x: event.offsetX, from: view.from, to: view.to, stretch: stretch && !inWindow, moved: false };
  }

  // In the overview, the window itself is pulled along; beside it, a new one is drawn.
  function isInWindow(plot, x) {
    const time = plot.frame.time(x);
    return time >= view.from && time <= view.to && view.to - view.from < model.end * 0.98;
  }

  function pull(event) {
    const { plot, x } = drag;
    if (!drag.moved && Math.abs(event.offsetX - x) < 4) return;
    drag.moved = true;
    plotsElement.classList.add("dragging");
    tip.hidden = true;
    const time = (event.offsetX - x) / plot.frame.pixels;
    if (drag.stretch) markStretch(plot, x, event.offsetX);
    else if (plot.whole) view.set(drag.from + time, drag.to + time);
    else view.set(drag.from - time, drag.to - time);
  }

  function markStretch(plot, x0, x1) {
    const context = plot.canvas.getContext("2d");
    draw();
    context.fillStyle = colours.ok;
    context.globalAlpha = 0.25;
    context.fillRect(Math.min(x0, x1), 0, Math.abs(x1 - x0), plot.frame.height);
    context.globalAlpha = 1;
  }

  function drop(event) {
    if (!drag) return;
    const { plot, x, moved, stretch } = drag;
    drag = null;
    plotsElement.classList.remove("dragging");
    if (moved && stretch) {
      const times = [plot.frame.time(x), plot.frame.time(event.offsetX)].sort((a, b) => a - b);
      view.set(...times);
    } else if (!moved && plot.whole) {
      const length = view.to - view.from;
      view.set(plot.frame.time(x) - length / 2, plot.frame.time(x) + length / 2);
    } else if (!moved) {
      release();
      kept = explain(plot, event);
      tip.classList.toggle("kept", kept);
    }
  }

  function wheel(plot, event) {
    if (!plot.frame) return;
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || (event.shiftKey && !event.ctrlKey);
    const zooms = event.ctrlKey || event.metaKey || plotsElement.contains(document.activeElement);
    if (!sideways && !zooms) return;
    event.preventDefault();
    const amount = event.deltaMode === 1 ? 20 : 1;
    if (sideways) view.pan(((event.deltaX || event.deltaY) * amount) / plot.frame.pixels);
    else view.zoom(Math.exp(Math.min(1, Math.max(-1, event.deltaY * amount * 0.002))), plot.frame.time(event.offsetX));
  }

  for (const plot of plots) {
    const { canvas } = plot;
    canvas.addEventListener("pointerdown", (event) => press(plot, event));
    canvas.addEventListener("pointermove", (event) => {
      moveCursor(plot, event);
      if (drag) pull(event);
      else if (!kept) explain(plot, event);
    });
    canvas.addEventListener("pointerup", drop);
    canvas.addEventListener("pointercancel", () => ((drag = null), plotsElement.classList.remove("dragging")));
    canvas.addEventListener("pointerleave", () => {
      cursor.hidden = true;
      if (!kept) tip.hidden = true;
    });
    canvas.addEventListener("dblclick", (event) => view.zoom(0.4, plot.frame.time(event.offsetX)));
    canvas.addEventListener("wheel", (event) => wheel(plot, event), { passive: false });
  }
  const keys = {
    "+": () => view.zoom(0.6), "=": () => view.zoom(0.6), "-": () => view.zoom(1.6), 0: () => view.all(),
    ArrowLeft: () => view.pan((view.from - view.to) / 5), ArrowRight: () => view.pan((view.to - view.from) / 5),
  };
  plotsElement.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLSelectElement || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && release());
  document.addEventListener("pointerdown", (event) => {
    if (kept && !tip.contains(event.target)) release();
  });

  // Surroundings

  function recolour() {
    colours = readColours();
    draw();
  }
  new ResizeObserver(schedule).observe(plotsElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  window.addEventListener("beforeprint", () => ((root.dataset.light = ""), recolour()));
  window.addEventListener("afterprint", () => (delete root.dataset.light, recolour()));

  choose({});
  if (!followFragment() && !showFinding(0)) view.all();
  draw();
}
