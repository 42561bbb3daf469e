"use strict";
// Copy buttons, tables that sort when their head is pressed, and the data that pages load.
const contimg = { store: {}, waiting: {} };

// Data files call this: pages opened from the disk may load scripts, and nothing else.
contimg.put = (name, content) => { contimg.store[name] = content; };

// Load data/NAME.js once; the promise fails when the file is not there.
contimg.load = (name, url) => contimg.waiting[name] ??= new Promise((done, failed) => {
  const script = document.createElement("script");
  script.src = url;
  script.onload = () => name in contimg.store ? done(contimg.store[name]) : failed(new Error(`${url} holds no ${name}`));
  script.onerror = () => failed(new Error(`${url} cannot be read`));
  document.head.append(script);
});

contimg.path = (...parts) => parts.map(encodeURIComponent).join("/");

contimg.make = (tag, text = "", attributes = {}) => {
  const element = document.createElement(tag);
  if (text !== "") element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

contimg.number = (value, digits = 4) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) ? String(value) : Number(value.toPrecision(digits)).toString();
};

contimg.copyButtons = (root) => {
  for (const button of root.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.onclick = async () => {
      const code = button.parentElement.querySelector("code");
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      let copied = false;
      try {
        await navigator.clipboard.writeText(code.textContent);
        copied = true;
      } catch {
        copied = document.execCommand("copy");
      }
      button.textContent = copied ? "copied" : "selected";
    };
  }
};

contimg.sortable = (table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[column].textContent.trim();
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        const [m, n] = [parseFloat(x), parseFloat(y)];
        const by = Number.isNaN(m) || Number.isNaN(n) || /:/.test(x) ? x.localeCompare(y) : m - n;
        return up ? by : -by;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    };
    head.onclick = sort;
    head.onkeydown = (event) => { if (event.key === "Enter") sort(); };
  });
};

addEventListener("DOMContentLoaded", () => {
  contimg.copyButtons(document);
  document.querySelectorAll("table.sortable").forEach(contimg.sortable);
});
