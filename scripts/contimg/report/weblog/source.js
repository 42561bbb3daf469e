"use strict";
// The page of any source: SOURCE.html#KEY loads data/sources/../KEY.js and shows what is in it.
(() => {
  const { make, number, path } = contimg;
  const byId = (id) => document.getElementById(id);
  const PARTS = ["#1f77b4", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#7f7f7f"];
  let source, plot;

  const page = (kind, day, name) => `${path(kind, day, name)}.html`;

  function row(table, name, value) {
    const line = table.insertRow();
    line.append(make("th", name, { scope: "row" }));
    const cell = line.insertCell();
    value instanceof Node ? cell.append(value) : cell.textContent = number(value, 5);
  }

  // As many places as the error has digits: 60959.658 ± 0.019
  function withError(value, error, unit) {
    if (value === null || value === undefined) return "–";
    const tail = unit ? ` ${unit}` : "";
    if (!(error > 0)) return `${number(value, 7)}${tail}`;
    const places = Math.max(0, Math.min(12, 1 - Math.floor(Math.log10(error))));
    return `${value.toFixed(places)} ± ${error.toFixed(places)}${tail}`;
  }

  function points(value, error) {
    const c = source.rows;
    return c.mjd.map((mjd, k) => ({
      x: mjd, y: c[value][k], e: c[error][k], good: !c.flag[k].bad, k,
      text: [`${c.mosaic[k]}, MJD ${mjd.toFixed(4)}`, `${withError(c[value][k], c[error][k], "Jy")}`,
        c.flag[k].text ? `flag: ${c.flag[k].text}` : "good",
        c.gain[k] === null ? "not normalised" : `gain ${withError(c.gain[k], c.gain_err[k])}`,
        c.reference[k] ? "a reference of its epoch" : ""].filter(Boolean).join("\n"),
    }));
  }

  function draw() {
    const normalised = byId("normalised").checked, flagged = byId("flagged").checked;
    const all = points(normalised ? "flux_norm_jy" : "flux_jy", normalised ? "flux_norm_err_jy" : "flux_err_jy");
    const series = [{ points: all.filter((p) => p.good), colour: "#1f4e79" }];
    if (flagged) series.push({ points: all.filter((p) => !p.good).map((p) => ({ ...p, e: 0 })), colour: "#a01414", shape: "cross" });
    if (byId("parts").checked) source.parts.forEach((part, n) => series.push({
      colour: PARTS[n % PARTS.length], size: 2.4, hollow: true,
      points: part.mjd.map((mjd, k) => ({ x: mjd, y: part.flux_jy[k], e: part.err_jy[k], k: part.row[k], text: `${(part.hz / 1e6).toFixed(1)} MHz\n${withError(part.flux_jy[k], part.err_jy[k], "Jy")}` })),
    }));
    if (source.event && normalised) series.push({ line: true, colour: "#c0392b", points: source.event.mjd.map((mjd, k) => ({ x: mjd, y: source.event.flux_jy[k] })) });
    const mean = source.statistics.mean_flux_jy;
    const marks = mean === null || mean === undefined ? [] : [{ y: mean }];
    if (source.event) marks.push({ x: source.event.t0_mjd, text: "centre of the dip", colour: "#c0392b" });
    plot.show(series, { marks });
  }

  function epochs() {
    const body = byId("epochs").tBodies[0], c = source.rows;
    c.mjd.forEach((mjd, k) => {
      const line = body.insertRow();
      const cell = (text, cls) => { const td = line.insertCell(); td.textContent = text; if (cls) td.className = cls; return td; };
      const [day, tiles] = source.epochs[c.mosaic[k]] || ["", []];
      const first = cell("");
      first.append(day ? make("a", c.mosaic[k], { href: page("mosaics", day, c.mosaic[k]) }) : c.mosaic[k]);
      cell(mjd.toFixed(5), "n");
      cell(withError(c.flux_jy[k], c.flux_err_jy[k]), "n");
      cell(withError(c.flux_norm_jy[k], c.flux_norm_err_jy[k]), "n");
      cell(withError(c.gain[k], c.gain_err[k]), "n");
      cell(number(c.rms_jy_beam[k] === null ? null : c.rms_jy_beam[k] * 1e3, 3), "n");
      cell(c.flag[k].text || "good", c.flag[k].bad ? "failed" : "");
      cell(c.reference[k] ? "yes" : "");
      const links = cell("");
      tiles.forEach((tile, n) => links.append(n ? " " : "", make("a", tile, { href: page("tiles", `${tile.slice(0, 4)}-${tile.slice(4, 6)}-${tile.slice(6, 8)}`, tile) })));
    });
    contimg.sortable(byId("epochs"));
  }

  function tables() {
    const facts = byId("facts");
    row(facts, "position (ICRS)", source.position);
    row(facts, "class", source.statistics.class || "–");
    if (source.candidate) row(facts, "candidate", make("a", `rank ${source.candidate.rank}, ${source.candidate.list}`, { href: source.candidate.page }));
    for (const [name, value] of Object.entries(source.catalogue)) row(facts, `catalogue: ${name}`, value);
    if (source.spectral_index) row(facts, "spectral index, from the parts of the band", withError(...source.spectral_index));
    const near = make("span");
    source.neighbours.forEach((n, k) => near.append(k ? ", " : "", make("a", n.name, { href: `source.html#${encodeURIComponent(n.key)}` }), ` ${number(n.arcsec, 3)}″ ${number(n.mean_jy === null ? null : n.mean_jy * 1e3, 3)} mJy`));
    row(facts, "neighbours", source.neighbours.length ? near : "none within 10′");
    row(facts, "table", make("a", "light curves (Parquet)", { href: "../lightcurves/lightcurves.parquet" }));
    for (const line of byId("statistics").rows) {
      const { name, error } = line.dataset, value = source.statistics[name];
      line.hidden = value === null || value === "";
      line.cells[1].textContent = error ? withError(value, source.statistics[error]) : typeof value === "number" ? number(value) : value;
    }
    byId("fit").hidden = !source.fit;
    if (!source.fit) return;
    for (const [name, value, error, unit] of source.fit) row(byId("fit").querySelector("table"), name, withError(value, error, unit));
  }

  function spectrum() {
    const home = byId("spectrum");
    if (!source.spectrum.length) { home.append(make("p", "Only the whole band was measured; photometry_method: visibilities measures its parts.", { class: "note" })); return; }
    const spectral = new contimg.Plot(home, { label: "Spectrum", height: 230, x: { label: "frequency [MHz]", log: true }, y: { label: "flux density [Jy]", log: true } });
    spectral.show([{ colour: "#1f4e79", points: source.spectrum.map((p) => ({ x: p.hz / 1e6, y: p.flux_jy, e: p.err_jy, text: `${(p.hz / 1e6).toFixed(1)} MHz\n${withError(p.flux_jy, p.err_jy, "Jy")}${p.catalogue ? "\ncatalogue" : ""}` })) }]);
  }

  // A cut-out is [rms, low, high, base64]: bytes of arcsinh(value / rms) between low and high.
  function stamp(figure, cut, top) {
    const [rms, low, high, text] = cut, raw = atob(text), n = Math.round(Math.sqrt(raw.length));
    const canvas = make("canvas", "", { width: n, height: n, role: "img", "aria-label": figure.title });
    const g = canvas.getContext("2d"), image = g.createImageData(n, n);
    for (let k = 0; k < raw.length; k++) {
      const level = raw.charCodeAt(k), value = level === 255 ? NaN : rms * Math.sinh(low + (high - low) * level / 254);
      const shade = Number.isNaN(value) ? 200 : 255 * (1 - Math.max(0, Math.min(1, (value + 0.1 * top) / (1.1 * top))));
      const at = 4 * ((n - 1 - Math.floor(k / n)) * n + k % n);
      image.data.set([shade, shade, shade, 255], at);
    }
    g.putImageData(image, 0, 0);
    figure.prepend(canvas);
  }

  async function cutouts() {
    const home = byId("cutouts"), found = [];
    await Promise.all(source.cutouts.map(async ([mosaic, block]) => {
      try {
        const name = `cutouts/${mosaic}/${block}`, content = await contimg.load(name, `data/${name.split("/").map(encodeURIComponent).join("/")}.js`);
        if (content[source.key]) found.push([mosaic, content[source.key]]);
      } catch (error) { home.append(make("p", error.message, { class: "failed" })); }
    }));
    if (!found.length) { home.append(make("p", "No images with this source in them.", { class: "note" })); return; }
    found.sort((a, b) => a[1][0] - b[1][0]);
    const peak = Math.max(...found.map(([, cut]) => cut[0] * Math.sinh(cut[2])));
    const scale = byId("scale");
    if (peak > 30 * found[0][1][0]) scale.value = "peak";  // a bright source would be all black
    const fill = () => {
      home.replaceChildren();
      const top = scale.value === "noise" ? 10 * found[0][1][0] : peak;
      found.forEach(([mosaic, cut], k) => {
        const figure = make("figure", "", { title: `${mosaic}, noise ${number(cut[0] * 1e3, 3)} mJy/beam` });
        stamp(figure, cut, top);
        figure.append(make("figcaption", `${k ? "" : "deepest: "}${mosaic}`));
        home.append(figure);
      });
    };
    scale.onchange = fill;
    fill();
  }

  function commands() {
    const table = byId("commands");
    for (const [program, line] of source.commands) {
      const tr = table.insertRow();
      tr.append(make("th", program, { scope: "row" }));
      const cell = tr.insertCell();
      cell.append(make("code", line), " ", make("button", "copy", { type: "button", class: "copy" }));
    }
    contimg.copyButtons(table);
  }

  async function start() {
    const key = decodeURIComponent(location.hash.slice(1));
    const [before, after] = ["before", "after"].map(byId);
    if (!/^[A-Za-z0-9][\w.+-]*$/.test(key)) { byId("name").textContent = "No source chosen: choose one in the list of sources"; return; }
    try {
      const { shard } = contimg;
      source = await contimg.load(`source/${key}`, `data/sources/${shard(key)}/${encodeURIComponent(key)}.js`);
    } catch (error) { byId("name").textContent = `No source ${key} (${error.message})`; return; }
    document.title = source.name;
    byId("name").textContent = source.name;
    byId("shown").hidden = false;
    for (const [link, other] of [[before, source.before], [after, source.after]]) {
      link.hidden = !other;
      if (other) { link.textContent = other.name; link.href = `source.html#${encodeURIComponent(other.key)}`; }
    }
    plot = new contimg.Plot(byId("curve"), {
      label: `Light curve of ${source.name}`, x: { label: "MJD [days, UTC]", pad: 1 }, y: { label: "flux density [Jy]" },
      pick: (p) => { const [day] = source.epochs[source.rows.mosaic[p.k]] || []; if (day) location.href = page("mosaics", day, source.rows.mosaic[p.k]); },
    });
    byId("parts").disabled = !source.parts.length;
    ["normalised", "flagged", "parts"].forEach((id) => { byId(id).onchange = draw; });
    draw(); tables(); epochs(); spectrum(); commands(); cutouts();
  }

  // Sources lie in folders by a number made of the characters of their key.
  contimg.shard = (key) => { let sum = 0; for (const c of key) sum = (31 * sum + c.charCodeAt(0)) % 256; return sum.toString(16).padStart(2, "0"); };
  addEventListener("hashchange", () => location.reload());
  addEventListener("DOMContentLoaded", start);
})();
