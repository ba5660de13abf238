"use strict";
(async () => {
  const THEMES = {
    light: {
      ink: "#17202b", muted: "#5a6675", line: "#d5dbe3", grid: "#e8ecf1", card: "#ffffff",
      model: "#0072b2", band: "rgba(0,114,178,0.18)", quiet: "#b9c3ce", amber: "#c77700", green: "#008463",
      purple: "#b0528e", sky: "#4a9fd4", none: "#eef2f6", dark: "#8c2f00", faint: "#93a0ae", half: "#efb08a",
    },
    dark: {
      ink: "#e8edf3", muted: "#9aa7b6", line: "#33404e", grid: "#26313d", card: "#182029",
      model: "#56b4e9", band: "rgba(86,180,233,0.24)", quiet: "#4b5b6c", amber: "#f0b23e", green: "#3ecf9f",
      purple: "#dd93c0", sky: "#7f9fd6", none: "#222d38", dark: "#ffb57e", faint: "#64748a", half: "#8d5a38",
    },
  };
  const MARK = "\u0001"; // before the name of a colour; no other text holds it
  const PRINTED = 680; // px, the width of a page less its margins and those of a card
  const root = document.documentElement;
  const figures = new Map(JSON.parse(document.getElementById("figures").textContent).map((it) => [it.id, it]));
  const picked = new Map();
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  const theme = () => root.dataset.theme || (system.matches ? "dark" : "light");
  const remembered = (value) => {
    try { // a page from a file may have no storage
      if (value) localStorage.setItem("carousel-theme", value);
      return localStorage.getItem("carousel-theme");
    } catch { return null; }
  };

  /** A copy in which every token of a colour is that of the theme. */
  const painted = (value, colours) => {
    if (typeof value === "string") return value.startsWith(MARK) ? colours[value.slice(1)] : value;
    if (Array.isArray(value)) {
      const numbers = typeof value[0] === "number" && typeof value[value.length - 1] === "number";
      return numbers ? value : value.map((each) => painted(each, colours));
    }
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, painted(each, colours)]));
  };

  const draw = (element, figure, choice, look, width) => {
    const variant = figure.variants[choice];
    const traces = variant ? variant.traces : figure.traces;
    const layout = { ...figure.layout, autosize: !width };
    if (variant) layout.shapes = variant.shapes;
    if (width) layout.width = width;
    return Plotly.react(element, painted(traces, THEMES[look]), painted(layout, THEMES[look]), {
      responsive: true, displayModeBar: false, locale: "en",
    });
  };
  const place = (id) => document.getElementById(`plot-${id}`);
  const drawAll = async (look, width) => {
    for (const [id, figure] of figures) await draw(place(id), figure, picked.get(id) || 0, look, width);
  };
  const choose = (id, choice) => {
    const count = figures.get(id).variants.length;
    const next = (choice + count) % count;
    picked.set(id, next);
    document.getElementById(`pick-${id}`).value = String(next);
    place(id).setAttribute("aria-label", `Forecast against actual. ${figures.get(id).variants[next].label}`);
    return draw(place(id), figures.get(id), next, theme());
  };

  /** On paper nothing can be picked or opened: everything is there. */
  const extra = [];
  const closed = [];
  const spread = () => {
    for (const each of document.querySelectorAll("details:not([open])")) { each.open = true; closed.push(each); }
    for (const [id, figure] of figures) {
      draw(place(id), figure, picked.get(id) || 0, "light", PRINTED);
      let last = place(id);
      figure.variants.forEach((variant, number) => {
        const title = document.createElement("p");
        title.className = "more-title";
        title.textContent = variant.label;
        if (number === (picked.get(id) || 0)) {
          place(id).before(title);
          extra.push(title);
          return;
        }
        const more = document.createElement("div");
        more.className = "plot more";
        last.after(title, more);
        extra.push(title, more);
        draw(more, figure, number, "light", PRINTED);
        last = more;
      });
    }
  };
  const gather = () => {
    while (closed.length) closed.pop().open = false;
    while (extra.length) {
      const gone = extra.pop();
      if (gone.classList.contains("plot")) Plotly.purge(gone);
      gone.remove();
    }
    drawAll(theme());
  };

  const before = remembered();
  if (before === "light" || before === "dark") root.dataset.theme = before;
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    remembered(root.dataset.theme);
    drawAll(theme());
  });

  try {
    const holder = document.getElementById("plotly");
    const packed = Uint8Array.from(atob(holder.textContent), (each) => each.charCodeAt(0));
    holder.remove();
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(unpacked).text();
    document.head.append(script); // runs at once; the page's policy knows its hash
    script.remove();
    await drawAll(theme());
  } catch (error) {
    const said = document.getElementById("trouble");
    said.textContent = `The plots cannot be drawn in this browser (${error}); the tables have the figures.`;
    said.hidden = false;
    throw error;
  }
  for (const select of document.querySelectorAll("select[data-picks]")) {
    select.addEventListener("change", () => choose(select.dataset.picks, Number(select.value)));
  }
  for (const button of document.querySelectorAll("button[data-picks]")) {
    const id = button.dataset.picks;
    button.addEventListener("click", () => choose(id, (picked.get(id) || 0) + Number(button.dataset.by)));
  }
  system.addEventListener("change", () => drawAll(theme()));
  window.addEventListener("beforeprint", spread);
  window.addEventListener("afterprint", gather);
  root.dataset.drawn = "yes";
})();
