"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const gallery = data.gallery;
  const directions = gallery.directions;
  const PALETTE = data.palette;
  const PAGE = 6;

  // Every name goes in as text; nothing in this file parses markup.
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  const colours = new Map(data.labels.map((label, i) => [label, PALETTE[i % PALETTE.length]]));
  const swatch = (label) => {
    const dot = el("span", { class: "swatch", "aria-hidden": "true" });
    dot.style.background = colours.get(label) || "";
    return dot;
  };
  for (const dot of document.querySelectorAll(".swatch[data-label]"))
    dot.style.background = colours.get(dot.dataset.label) || "";

  const number = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size < 1e-5) return "0.0000";
    if (size >= 1e6) return value.toPrecision(3);
    return size >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
  };

  const title = (metric) => data.metricTitle[metric] || metric;

  // ------------------------------------------------------------------------ theme
  const root = document.documentElement;
  const dark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  let views = new Map();
  // Figures keep their room before they are drawn, so that links to a place land on it.
  for (const figure of data.drawn) if ($(figure.id)) $(figure.id).style.minHeight = `${figure.spec.height + 46}px`;

  async function draw(figure, theme) {
    const holder = $(figure.id);
    if (!holder) return;
    const result = await window.vegaEmbed(
      holder,
      { ...figure.spec, config: theme },
      { actions: false, renderer: "svg", ast: false, tooltip: { theme: "custom" } },
    );
    views.set(figure.id, result);
    if (figure.click)
      result.view.addEventListener("click", (event, item) => {
        const label = item && item.datum && item.datum.label;
        if (label) showMethod(label, figure);
      });
  }
  // One after the other, so that the page can be read and scrolled while its plots are drawn.
  let drawing = 0;
  async function drawAll() {
    const mine = ++drawing;
    const theme = dark() ? data.themes.dark : data.themes.light;
    for (const result of views.values()) result.finalize();
    views = new Map();
    for (const figure of data.drawn) {
      await new Promise((done) => setTimeout(done));
      if (mine !== drawing) return;
      await draw(figure, theme);
    }
  }
  $("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("bench-theme", root.dataset.theme); } catch { /* private window */ }
    drawAll();
  });
  try {
    const kept = localStorage.getItem("bench-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch { /* no storage on this page */ }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

  // ------------------------------------------------------------------------ table
  const tables = [...document.querySelectorAll("table.sortable")];
  function sortBy(table, heads, head, index, first) {
    const now = head.getAttribute("aria-sort");
    const up = now === "none" ? first === "up" : now === "descending";
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const sign = up ? 1 : -1;
    const key = (row) => {
      if (index < 0) return row.cells[0].textContent.trim().toLowerCase();
      const text = row.cells.length > 2 ? row.cells[index + 1].dataset.value : "";
      return text === "" || text === undefined ? null : Number(text);
    };
    for (const body of table.tBodies) {
      const rows = [...body.rows].slice(1).map((row, i) => [key(row), i, row]);
      rows.sort((a, b) => {
        if (a[0] === null || b[0] === null) return (a[0] === null) - (b[0] === null) || a[1] - b[1];
        return (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) * sign || a[1] - b[1];
      });
      body.append(...rows.map((row) => row[2]));
    }
  }
  for (const table of tables) {
    const heads = [...table.tHead.rows[0].cells];
    for (const head of heads) {
      const button = head.querySelector("button");
      button.addEventListener("click", () =>
        sortBy(table, heads, head, Number(button.dataset.sort), button.dataset.first || "up"));
    }
  }
  $("columns").addEventListener("change", (event) => {
    for (const table of tables) table.dataset.show = event.target.value;
  });

  async function toClipboard(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Pages opened from a file have no clipboard permission in every browser.
      const area = el("textarea", { class: "hidden", "aria-hidden": "true" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }
  for (const button of document.querySelectorAll("[data-copy]"))
    button.addEventListener("click", async () => {
      const { head, rows, foot } = data.copy[button.dataset.copy];
      const shown = tables[state.dataset];
      const order = [...shown.querySelectorAll("tr[data-rows]")].flatMap((row) => row.dataset.rows.split(" ").map(Number));
      await toClipboard(head + order.map((i) => rows[i]).join("") + foot);
      $("copied").textContent = `${button.textContent} copied`;
      setTimeout(() => { $("copied").textContent = ""; }, 2500);
    });

  // --------------------------------------------------------------------- pictures
  const sampleUrl = (cell, sample) =>
    cell.base ? `${cell.base}/${sample}.png` : (cell.full && cell.full[sample]) || "";
  const cellValue = (cell, metric) => {
    const values = cell && cell.v[metric];
    const known = values ? values.filter((value) => value !== null) : [];
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };

  // One picture out of a strip: the strip is shifted so that only that picture is seen.
  function shot(strip, count, index, url, alt, onclick) {
    const button = el("button", { type: "button", class: "shot", "aria-label": alt, onclick });
    const inStrip = strip && index < count;
    const source = inStrip ? `thumbs/${strip}` : url;
    if (!source) { button.classList.add("gone"); button.disabled = true; return button; }
    const image = el("img", { alt: "", loading: "lazy", draggable: "false" });
    image.style.width = inStrip ? `${count * 100}%` : "100%";
    if (inStrip) image.style.left = `${-index * 100}%`;
    image.addEventListener("error", () => { image.remove(); button.classList.add("gone"); });
    image.src = source;
    button.append(image);
    return button;
  }
  // What is never scrolled to would be missing on paper, and printing waits for nothing: once
  // the reader is at rest, this page of the gallery is loaded to its end.
  let resting = 0;
  function settle() {
    clearTimeout(resting);
    resting = setTimeout(() => { for (const image of document.images) image.loading = "eager"; }, 1500);
  }
  addEventListener("beforeprint", () => { for (const image of document.images) image.loading = "eager"; });
  addEventListener("scroll", settle, { passive: true });
  const outputShot = (direction, series, input, sample) => {
    const cell = direction.series[series].cells[input];
    if (!cell || sample >= cell.n) return el("div", { class: "shot gone" });
    const alt = `${direction.series[series].name}, ${direction.name}, input ${direction.inputs[input].id}, sample ${sample + 1}`;
    return shot(cell.strip, cell.in, sample, sampleUrl(cell, sample), alt,
      () => view({ direction: directions.indexOf(direction), series, input, sample }));
  };
  // The nearest of the true translations to a picture, as far as the page knows.
  const nearest = (cell, sample) => (cell && cell.near && cell.near[sample]) || 0;
  const truthShot = (direction, input, k) => {
    const { truth, id } = direction.inputs[input];
    return shot(truth.strip, truth.in, k, truth.full[k], `True translation ${k + 1} of input ${id}`,
      () => view({ direction: directions.indexOf(direction), series: firstSeries(direction), input, sample: 0, against: "truth", look: k }));
  };
  const inputShot = (direction, input) => {
    const item = direction.inputs[input];
    return shot(item.strip, 1, 0, item.full, `Input ${item.id}`, () => view({ direction: directions.indexOf(direction), series: firstSeries(direction), input, sample: 0 }));
  };
  const firstSeries = (direction) => Math.max(0, direction.series.findIndex((s) => !s.anchor));

  const state = { dataset: 0, direction: 0, off: new Set(), samples: 1, order: "", metric: 0, of: 0, page: 0 };
  const ofDataset = (index) => directions.map((_, i) => i).filter((i) => directions[i].dataset === data.datasets[index]);
  const visible = (direction) => direction.series.map((s, i) => i).filter((i) => !state.off.has(direction.series[i].name));

  function ordered(direction) {
    const inputs = direction.inputs.map((_, i) => i);
    const series = direction.series[state.of];
    if (!state.order || !series) return inputs;
    const higher = (data.metricBetter[gallery.metrics[state.metric]] ?? false) ? -1 : 1;
    const values = inputs.map((i) => cellValue(series.cells[i], state.metric));
    const known = values.filter((v) => v !== null).sort((a, b) => a - b);
    const middle = known.length ? known[Math.floor(known.length / 2)] : 0;
    const key = { best: (v) => v * higher, worst: (v) => -v * higher, median: (v) => Math.abs(v - middle) }[state.order];
    return inputs.sort((a, b) =>
      values[a] === null || values[b] === null
        ? (values[a] === null) - (values[b] === null)
        : key(values[a]) - key(values[b]) || a - b);
  }

  function showGallery() {
    const direction = directions[state.direction];
    const list = ordered(direction);
    const pages = Math.max(1, Math.ceil(list.length / PAGE));
    state.page = Math.min(Math.max(0, state.page), pages - 1);
    const shown = visible(direction);
    const holder = $("gallery");
    holder.replaceChildren(...list.slice(state.page * PAGE, (state.page + 1) * PAGE).map((input) => {
      const outputs = el("div", { class: "outputs" });
      for (const s of shown) {
        const series = direction.series[s];
        const cell = series.cells[input];
        const count = cell ? Math.min(state.samples || cell.n, cell.n) : 0;
        const kind = count > 4 ? "shots all" : count > 1 ? "shots many" : "shots";
        const value = cell ? cellValue(cell, state.metric) : null;
        outputs.append(el("div", {},
          el("div", { class: "tilehead", title: series.name }, swatch(series.label), series.name),
          el("div", { class: kind }, ...(count ? Array.from({ length: count }, (_, k) => outputShot(direction, s, input, k)) : [el("div", { class: "shot gone" })])),
          value === null ? null : el("div", { class: "note" }, `${title(gallery.metrics[state.metric])} ${number(value)}`)));
      }
      const truth = direction.inputs[input].truth;
      const looks = truth ? Math.min(state.samples || truth.n, truth.n) : 0;
      const line = el("div", { class: "line", "data-input": direction.inputs[input].id },
        el("div", { class: "input" }, el("div", { class: "tilehead" }, "input"), inputShot(direction, input), el("div", { class: "note", title: direction.inputs[input].id }, direction.inputs[input].id)),
        truth ? el("div", { class: "truth" }, el("div", { class: "tilehead" }, "truth"),
          el("div", { class: looks > 4 ? "shots all" : looks > 1 ? "shots many" : "shots" }, ...Array.from({ length: looks }, (_, k) => truthShot(direction, input, k))),
          el("div", { class: "note" }, truth.n > 1 ? `${truth.n} true looks` : "true translation")) : null,
        outputs);
      line.style.setProperty("--columns", Math.max(1, shown.length) + (truth ? 2 : 1));
      return line;
    }));
    $("page").textContent = `${state.page + 1} / ${pages}`;
    $("previous").disabled = state.page === 0;
    $("next").disabled = state.page === pages - 1;
    for (const button of $("directions").children) button.setAttribute("aria-pressed", String(Number(button.value) === state.direction));
    for (const button of $("methods").children) button.setAttribute("aria-pressed", String(!state.off.has(button.value)));
    settle();
    $("by").hidden = !state.order;
    $("by").style.display = state.order ? "" : "none";
  }

  function fillFilters() {
    const direction = directions[state.direction];
    $("directions").replaceChildren(...ofDataset(state.dataset).map((i) => el("button", { type: "button", value: i, onclick: () => { state.direction = i; state.page = 0; fillFilters(); changed(); } }, directions[i].name)));
    $("methods").replaceChildren(...direction.series.map((s) => el("button", {
      type: "button", value: s.name,
      onclick: () => { if (state.off.has(s.name)) state.off.delete(s.name); else state.off.add(s.name); changed(); },
    }, swatch(s.label), s.name)));
    const most = Math.max(1, ...direction.series.flatMap((s) => s.cells.map((c) => (c ? c.n : 0))));
    const counts = [1, 4].filter((n) => n < most || n === 1);
    $("samples").replaceChildren(...counts.map((n) => el("option", { value: n }, String(n))), ...(most > 1 ? [el("option", { value: 0 }, `all (${most})`)] : []));
    $("samples").value = String(state.samples);
    $("metric").replaceChildren(...gallery.metrics.map((m, i) => el("option", { value: i }, title(m))));
    $("of").replaceChildren(...direction.series.map((s, i) => el("option", { value: i }, s.name)));
    state.of = Math.min(state.of, direction.series.length - 1);
    $("metric").value = String(state.metric);
    $("of").value = String(state.of);
    $("order").value = state.order;
    $("order").disabled = !gallery.metrics.length;
    fillStrips(direction);
  }

  // ---------------------------------------------------------------------- diversity
  function fillStrips(direction) {
    const select = $("strip-input");
    select.replaceChildren(...direction.inputs.map((input, i) => el("option", { value: i }, input.id)));
    showStrips(direction, 0);
    select.onchange = () => showStrips(direction, Number(select.value));
  }
  function showStrips(direction, input) {
    const metric = gallery.metrics.indexOf(data.diversity);
    const row = (name, note, shots) => el("div", { class: "strip-row" },
      el("div", {}, el("h3", {}, ...name), el("div", { class: "note" }, note)),
      el("div", { class: "shots" }, ...shots));
    const truth = direction.inputs[input] && direction.inputs[input].truth;
    const most = Math.max(...direction.series.map((series) => (series.cells[input] ? series.cells[input].n : 0)));
    const rows = direction.series.map((series, s) => {
      const cell = series.cells[input];
      if (!cell || !cell.n) return null;
      const value = metric < 0 || cell.d === 1 ? null : cellValue(cell, metric);
      const facts = cell.n < 2 ? (most > 1 ? "one answer" : "1 sample") : cell.d === 1 ? `the same picture ${cell.n} times` : `${cell.d} different of ${cell.n}`;
      return row([swatch(series.label), series.name], value === null ? facts : `${facts} · ${title(data.diversity)} ${number(value)}`,
        Array.from({ length: cell.n }, (_, k) => {
          const picture = outputShot(direction, s, input, k);
          if (k && cell.d === 1) picture.classList.add("again");
          return picture;
        }));
    }).filter(Boolean);
    $("strips").replaceChildren(
      row(["input"], direction.inputs[input].id, [inputShot(direction, input)]),
      ...(truth ? [row(["truth"], truth.n > 1 ? `${truth.n} true looks` : "", truth.full.map((_, k) => truthShot(direction, input, k)))] : []),
      ...rows);
    $("diversity").hidden = !rows.length;
  }

  // -------------------------------------------------------------------------- audit
  function showFindings() {
    for (const holder of document.querySelectorAll("[data-finding]"))
      holder.replaceChildren(...data.findings[Number(holder.dataset.finding)].map(([d, s, i]) =>
        el("div", {}, s < 0 ? inputShot(directions[d], i) : outputShot(directions[d], s, i, 0), el("div", { class: "note", title: directions[d].inputs[i].id }, directions[d].inputs[i].id))));
  }

  // ----------------------------------------------------------------------- headline
  function showHero() {
    for (const hero of document.querySelectorAll(".hero"))
      hero.replaceChildren(...ofDataset(Number(hero.dataset.dataset)).slice(0, 2).map((i) => {
        const direction = directions[i];
        if (!direction.inputs.length) return null;
        const input = Math.floor(direction.inputs.length / 2);
        const shown = direction.series.map((_, i) => i).sort((a, b) => direction.series[a].anchor - direction.series[b].anchor || a - b).slice(0, 5);
        const truth = direction.inputs[input].truth;
        const strip = el("div", { class: "strip" },
          el("div", {}, el("div", { class: "tilehead" }, "input"), inputShot(direction, input)),
          truth ? el("div", {}, el("div", { class: "tilehead" }, "truth"), truthShot(direction, input, 0)) : null,
          ...shown.map((s) => el("div", {}, el("div", { class: "tilehead" }, swatch(direction.series[s].label), direction.series[s].name), outputShot(direction, s, input, 0))));
        return el("figure", {}, el("figcaption", {}, direction.name), strip);
      }).filter(Boolean));
  }

  // ------------------------------------------------------------------------- viewer
  const dialog = $("viewer");
  let current = null;
  function view(target) {
    const direction = directions[target.direction];
    const series = direction && direction.series[target.series];
    const item = direction && direction.inputs[target.input];
    if (!series || !item) return;
    const cell = series.cells[target.input];
    if (cell) target.sample = Math.min(Math.max(0, target.sample), cell.n - 1);
    current = target;
    $("v-title").textContent = [series.name, ...(data.datasets.length > 1 ? [direction.dataset] : []), direction.name].join(" · ");
    const facts = [`input ${item.id}`];
    if (cell) {
      facts.push(`sample ${target.sample + 1} of ${cell.n}`);
      gallery.metrics.forEach((metric, i) => {
        const own = cell.v[i] && cell.v[i][target.sample];
        const value = own === null || own === undefined ? cellValue(cell, i) : own;
        if (value !== null) facts.push(`${title(metric)} ${number(value)}`);
      });
    }
    $("v-facts").textContent = facts.join(" · ");
    const url = cell ? sampleUrl(cell, target.sample) : "";
    const strip = cell && cell.strip && target.sample < cell.in ? `thumbs/${cell.strip}` : "";
    show($("v-after"), url, strip, cell ? cell.in : 1, target.sample, `Output of ${series.name}`);
    const truth = item.truth;
    const look = target.look ?? nearest(cell, target.sample);
    const against = truth && target.against === "truth" ? "truth" : "input";
    const showTruth = (image) => show(image, truth.full[look], truth.strip ? `thumbs/${truth.strip}` : "", truth.in, look, `True translation of input ${item.id}`);
    if (against === "truth") showTruth($("v-before"));
    else show($("v-before"), item.full, item.strip ? `thumbs/${item.strip}` : "", 1, 0, `Input ${item.id}`);
    $("v-left").textContent = against;
    $("v-against").value = against;
    $("v-with").style.display = truth ? "" : "none";
    // Side by side there is room for all three: input, output, truth.
    $("v-truth").hidden = !(truth && against === "input");
    dialog.querySelector(".pair").classList.toggle("three-up", !$("v-truth").hidden);
    if (!$("v-truth").hidden) showTruth($("v-truth"));
    else $("v-truth").removeAttribute("src");
    if (url) $("v-open").setAttribute("href", url); else $("v-open").removeAttribute("href");
    $("v-film").replaceChildren(...(cell ? Array.from({ length: cell.n }, (_, k) => {
      const small = shot(cell.strip, cell.in, k, sampleUrl(cell, k), `Sample ${k + 1}`, () => view({ ...current, look: undefined, sample: k }));
      small.setAttribute("aria-current", String(k === target.sample));
      return small;
    }) : []));
    $("v-film").hidden = !cell || cell.n < 2;
    if (!dialog.open) { dialog.showModal(); $("v-slider").focus({ preventScroll: true }); }
    setHash();
  }
  // The file itself; where it is not beside the page, its thumbnail out of the strip.
  function show(image, url, strip, count, index, alt) {
    image.alt = alt;
    image.style.objectFit = image.style.objectPosition = "";
    const fallback = () => {
      image.onerror = null;
      if (!strip) { image.removeAttribute("src"); return; }
      image.style.objectFit = "cover";
      image.style.objectPosition = count > 1 ? `${(100 * index) / (count - 1)}% 0` : "0 0";
      image.src = strip;
    };
    image.onerror = fallback;
    if (url) image.src = url; else fallback();
  }
  function cut(percent) {
    $("v-slider").value = percent;
    dialog.querySelector(".pair").style.setProperty("--cut", `${percent}%`);
  }
  $("v-slider").addEventListener("input", (event) => cut(event.target.value));
  $("v-against").addEventListener("change", (event) => view({ ...current, against: event.target.value }));
  $("v-mode").addEventListener("click", () => {
    const apart = dialog.querySelector(".pair").classList.toggle("apart");
    $("v-mode").setAttribute("aria-pressed", String(apart));
  });
  $("v-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { current = null; setHash(); });
  const wrap = (index, length) => ((index % length) + length) % length;
  function move(what, by) {
    const direction = directions[current.direction];
    if (what === "input") {
      const list = ordered(direction);
      const at = list.indexOf(current.input);
      view({ ...current, look: undefined, input: list[wrap(at + by, list.length)] });
    } else if (what === "series") view({ ...current, look: undefined, series: wrap(current.series + by, direction.series.length) });
    else {
      const cell = direction.series[current.series].cells[current.input];
      if (cell) view({ ...current, look: undefined, sample: wrap(current.sample + by, cell.n) });
    }
  }
  $("v-prev").addEventListener("click", () => move("input", -1));
  $("v-next").addEventListener("click", () => move("input", 1));

  // ----------------------------------------------------------------------- keyboard
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (dialog.open) {
      const act = {
        ArrowLeft: () => move("sample", -1), ArrowRight: () => move("sample", 1),
        ArrowUp: () => move("series", -1), ArrowDown: () => move("series", 1),
        PageUp: () => move("input", -1), PageDown: () => move("input", 1),
        " ": () => cut(Number($("v-slider").value) > 50 ? 0 : 100),
      }[event.key];
      if (act && !(event.key === " " && event.target.tagName === "BUTTON")) { event.preventDefault(); act(); }
      return;
    }
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.target.closest(".scroll")) return;
    if (event.key === "ArrowRight") { state.page += 1; changed(); }
    if (event.key === "ArrowLeft") { state.page -= 1; changed(); }
  });

  // --------------------------------------------------------------------- deep links
  let own = "";
  function setHash() {
    const query = new URLSearchParams();
    const source = current || state;
    query.set("d", source.direction);
    if (current) {
      query.set("m", current.series); query.set("i", current.input); query.set("s", current.sample);
      if (current.against === "truth") query.set("t", 1);
    }
    else {
      if (state.off.size) query.set("m", visible(directions[state.direction]).join("."));
      if (state.samples !== 1) query.set("k", state.samples);
      if (state.order) query.set("o", [state.order, state.metric, state.of].join("."));
      query.set("p", state.page + 1);
    }
    own = `#${current ? "view" : "pictures"}?${query}`;
    history.replaceState(null, "", own);
  }
  const whole = (text, limit) => {
    const value = Number.parseInt(text, 10);
    return Number.isInteger(value) && value >= 0 && value < limit ? value : 0;
  };
  function readHash() {
    const match = /^#(pictures|view|dataset)\?(.*)$/.exec(location.hash);
    if (!match || location.hash === own) return;
    const query = new URLSearchParams(match[2]);
    if (match[1] === "dataset") { showDataset(whole(query.get("k"), data.datasets.length)); return; }
    if (!directions.length) return;
    state.direction = whole(query.get("d"), directions.length);
    chooseDataset(data.datasets.indexOf(directions[state.direction].dataset));
    const direction = directions[state.direction];
    if (match[1] === "view") {
      fillFilters(); showGallery();
      view({ direction: state.direction, series: whole(query.get("m"), direction.series.length), input: whole(query.get("i"), direction.inputs.length), sample: whole(query.get("s"), 1e6), against: query.get("t") === "1" ? "truth" : "input" });
      return;
    }
    if (query.get("m") !== null) {
      const on = new Set(query.get("m").split(".").map(Number));
      state.off = new Set(direction.series.filter((_, i) => !on.has(i)).map((s) => s.name));
    }
    state.samples = whole(query.get("k") ?? "1", 1e4);
    const [order, metric, of] = (query.get("o") || "").split(".");
    state.order = ["best", "worst", "median"].includes(order) ? order : "";
    state.metric = whole(metric, Math.max(1, gallery.metrics.length));
    state.of = whole(of, direction.series.length);
    state.page = whole(query.get("p"), 1e6) - 1;
    fillFilters(); showGallery();
    $("pictures").scrollIntoView();
  }
  function changed() { showGallery(); setHash(); }
  function showMethod(label, figure) {
    const at = directions.findIndex((d) => d.dataset === figure.dataset && d.name === figure.direction);
    if (at < 0) return;
    state.direction = at;
    const direction = directions[state.direction];
    state.off = new Set(direction.series.filter((s) => s.label !== label).map((s) => s.name));
    state.samples = 0;
    state.page = 0;
    fillFilters(); changed();
    $("pictures").scrollIntoView();
  }

  // ----------------------------------------------------------------------- datasets
  // The page is about one dataset at a time: what belongs to another one leaves the screen.
  function chooseDataset(index) {
    state.dataset = index;
    for (const block of document.querySelectorAll(".of")) block.classList.toggle("away", Number(block.dataset.dataset) !== index);
    for (const button of $("datasets") ? $("datasets").children : []) button.setAttribute("aria-pressed", String(Number(button.value) === index));
    for (const section of document.querySelectorAll("main > section")) {
      const blocks = [...section.querySelectorAll(".of")];
      const gallery = section.id === "pictures" || section.id === "diversity";
      const empty = gallery ? !ofDataset(index).length : blocks.length > 0 && blocks.every((block) => block.classList.contains("away"));
      section.classList.toggle("away", empty);
      for (const link of document.querySelectorAll(`.top nav a[href="#${section.id}"]`)) link.classList.toggle("away", empty);
    }
  }
  function showDataset(index) {
    chooseDataset(index);
    const [first] = ofDataset(index);
    if (first === undefined || !$("gallery")) return;
    Object.assign(state, { direction: first, off: new Set(), page: 0 });
    fillFilters(); showGallery();
  }
  root.classList.add("chosen");
  chooseDataset(0);
  for (const button of $("datasets") ? $("datasets").children : [])
    button.addEventListener("click", () => {
      showDataset(Number(button.value));
      own = `#dataset?k=${button.value}`;
      history.replaceState(null, "", own);
    });

  if (directions.length && $("gallery")) {
    state.direction = ofDataset(0)[0] ?? 0;
    fillFilters();
    showGallery();
    showHero();
    showFindings();
    for (const [id, key] of [["samples", "samples"], ["metric", "metric"], ["of", "of"]])
      $(id).addEventListener("change", (event) => { state[key] = Number(event.target.value); state.page = 0; changed(); });
    $("order").addEventListener("change", (event) => { state.order = event.target.value; state.page = 0; changed(); });
    $("previous").addEventListener("click", () => { state.page -= 1; changed(); });
    $("next").addEventListener("click", () => { state.page += 1; changed(); });
  }
  addEventListener("hashchange", readHash);
  readHash();

  // The section in view is marked in the bar at the top.
  const links = new Map([...document.querySelectorAll(".top nav a")].map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      for (const link of links.values()) link.classList.remove("here");
      const link = links.get(entry.target.id);
      if (link) link.classList.add("here");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of document.querySelectorAll("main > section")) seen.observe(section);

  drawAll();
  root.dataset.ready = "1";
})();
