"use strict";
// Tiles, mosaics and sources on the sky.
(() => {
  const { number, path } = contimg;
  const byId = (id) => document.getElementById(id);
  async function start() {
    let sky, table;
    try { sky = await contimg.load("sky", "data/sky.js"); } catch (error) { byId("said").textContent = error.message; return; }
    try { table = await contimg.load("index", "data/index.js"); } catch { table = { key: [] }; }
    const plot = new contimg.Plot(byId("sky"), {
      label: "Tiles, mosaics and sources on the sky", height: 560,
      x: { label: "right ascension [deg, ICRS]", reverse: true, format: (v) => contimg.number(((v % 360) + 360) % 360, 7) }, y: { label: "declination [deg, ICRS]" },
      pick: (p) => { location.href = p.page; },
    });
    const near = (ra) => ra - 360 * Math.round((ra - sky.centre) / 360);
    const shape = (item, colour, fill, kind) => ({ outline: item.outline.map(([ra, dec]) => [near(ra), dec]), colour, fill, text: `${kind} ${item.name}\n${item.state}${item.rms ? `, ${number(item.rms * 1e3, 3)} mJy/beam` : ""}`, page: `${path(item.folder, item.day, item.name)}.html` });
    const STATE = { done: "#17692b", warned: "#b87700", failed: "#a01414", crashed: "#a01414" };
    const fill = `rgb(11 87 164 / ${0.2 / Math.max(1, sky.mosaics.length)})`; // they lie upon each other
    const draw = () => {
      const shapes = [];
      if (byId("mosaics").checked) sky.mosaics.forEach((m) => shapes.push(shape(m, "#555", fill, "mosaic")));
      if (byId("tiles").checked) sky.tiles.forEach((t) => shapes.push(shape(t, STATE[t.state] || "#999", "", "tile")));
      const dots = { colour: "#1f4e79", size: table.key.length > 3000 ? 1.4 : 2.4, points: [] }, marked = { colour: "#c0392b", size: 5, points: [] };
      if (byId("sources").checked) table.key.forEach((key, k) => (table.list[k] ? marked : dots).points.push({ x: near(table.ra_deg[k]), y: table.dec_deg[k], text: `${table.name[k]}\n${number(table.mean_flux_jy[k] === null ? null : table.mean_flux_jy[k] * 1e3)} mJy`, page: `source.html#${encodeURIComponent(key)}` }));
      plot.show([dots, marked], { shapes, keep: true });
    };
    ["mosaics", "tiles", "sources"].forEach((id) => { byId(id).onchange = draw; });
    draw();
  }
  addEventListener("DOMContentLoaded", start);
})();
