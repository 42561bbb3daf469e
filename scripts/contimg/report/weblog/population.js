"use strict";
// eta-V diagram and flux densities against the catalogue, with selection and a list of the selected.
(() => {
  const { make, number } = contimg;
  const byId = (id) => document.getElementById(id);
  const COLOURS = { ese: "#c0392b", achromatic_dip: "#d35400", flare: "#8e44ad", step: "#16a085", periodic: "#2980b9", red_noise: "#b7950b", bad_block: "#7f8c8d" };
  const go = (p) => { location.href = `source.html#${encodeURIComponent(p.key)}`; };
  let table, chosen = null;

  function points(x, y) {
    const found = [];
    for (let k = 0; k < table.key.length; k++) {
      if (chosen && !chosen.has(k)) continue;
      found.push({ x: x(k), y: y(k), k, key: table.key[k], text: `${table.name[k]}\n${number(table.mean_flux_jy[k] === null ? null : table.mean_flux_jy[k] * 1e3)} mJy, ${table.n_epochs[k]} epochs\neta ${number(table.eta[k])}, V ${number(table.v[k])}\n${table.class[k]}${table.list[k] ? `, ${table.list[k]}` : ""}` });
    }
    return found;
  }

  function series(all) {
    const groups = new Map();
    for (const p of all) {
      const colour = table.list[p.k] ? "#c0392b" : COLOURS[table.class[p.k]] || "#1f4e79";
      if (!groups.has(colour)) groups.set(colour, { colour, size: table.list[p.k] ? 5 : all.length > 3000 ? 1.5 : 2.5, points: [] });
      groups.get(colour).points.push(p);
    }
    return [...groups.values()].sort((a, b) => a.size - b.size);
  }

  function list(found) {
    const body = byId("selected").tBodies[0];
    body.replaceChildren();
    byId("count").textContent = `${found.length} sources${found.length > 500 ? ", the first 500 listed" : ""}`;
    for (const { k } of found.slice(0, 500)) {
      const line = body.insertRow();
      line.insertCell().append(make("a", table.name[k], { href: `source.html#${encodeURIComponent(table.key[k])}` }));
      for (const value of [table.ra_deg[k].toFixed(5), table.dec_deg[k].toFixed(5), table.n_epochs[k], number(table.mean_flux_jy[k] === null ? null : table.mean_flux_jy[k] * 1e3), number(table.eta[k]), number(table.v[k], 3)]) {
        const cell = line.insertCell(); cell.textContent = value; cell.className = "n";
      }
      line.insertCell().textContent = table.class[k];
    }
  }

  async function start() {
    try { table = await contimg.load("index", "data/index.js"); } catch (error) { byId("count").textContent = `no sources yet (${error.message})`; return; }
    const asked = decodeURIComponent(location.hash.slice(1));
    const mosaic = asked.startsWith("mosaic=") ? asked.slice(7) : null;
    const n = mosaic === null ? -1 : table.mosaics.indexOf(mosaic);
    if (mosaic !== null) {
      chosen = new Set(table.in_mosaics.flatMap((list, k) => list.includes(n) ? [k] : []));
      byId("what").textContent = `Sources measured in ${mosaic}. `;
      byId("what").append(make("a", "all sources", { href: "population.html" }));
    }
    const eta = new contimg.Plot(byId("eta"), { label: "eta against V", height: 420, pick: go, select: list, x: { label: "eta (reduced chi-square)", log: true }, y: { label: "V (modulation index)", log: true } });
    const flux = new contimg.Plot(byId("flux"), { label: "measured over catalogue flux density", height: 420, pick: go, select: list, x: { label: "catalogue flux density [Jy]", log: true }, y: { label: "measured / catalogue" } });
    const all = points((k) => table.eta[k], (k) => table.v[k]);
    eta.show(series(all), { marks: [{ x: 1 }] });
    flux.show(series(points((k) => table.catalogue_jy[k], (k) => table.catalogue_jy[k] ? table.mean_flux_jy[k] / table.catalogue_jy[k] : null)), { marks: [{ y: 1 }] });
    const noise = new contimg.Plot(byId("noise"), { label: "noise on the sky", height: 300, pick: go, x: { label: "right ascension [deg]", reverse: true }, y: { label: "declination [deg]" } });
    const values = table.rms_jy_beam.filter((v) => v !== null).sort((a, b) => a - b), quantile = (q) => values[Math.floor(q * (values.length - 1))];
    const [low, high] = [quantile(0.05), quantile(0.95)];
    const levels = Array.from({ length: 8 }, (_, n) => ({ colour: `hsl(${250 - 32 * n} 65% 45%)`, size: 2.5, points: [] }));
    points((k) => table.ra_deg[k], (k) => table.dec_deg[k]).forEach((p) => {
      const v = table.rms_jy_beam[p.k];
      if (v === null) return;
      levels[Math.max(0, Math.min(7, Math.floor(8 * (Math.log(v / low) / (Math.log(high / low) || 1)))))].points.push({ ...p, text: `${table.name[p.k]}\nnoise ${number(v * 1e3, 3)} mJy/beam` });
    });
    noise.show(levels);
    byId("levels").textContent = values.length ? `blue ${number(low * 1e3, 3)} to red ${number(high * 1e3, 3)} mJy/beam (5 % and 95 %)` : "";
    list(all.filter((p) => mosaic !== null || table.list[p.k] || table.p_constant[p.k] < 1e-3));
    contimg.sortable(byId("selected"));
    byId("find").oninput = (event) => {
      const words = event.target.value.trim().toLowerCase();
      list(words ? all.filter((p) => table.name[p.k].toLowerCase().includes(words)) : all);
    };
  }
  addEventListener("hashchange", () => location.reload());
  addEventListener("DOMContentLoaded", start);
})();
