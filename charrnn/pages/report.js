"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const round = (value) => Math.round(value * 10) / 10;

  // A series as the page holds it: x, and y with its least and greatest in a group of points.
  function decoded(series) {
    let x = series.x;
    if (x[0] === "even") {
      const [, first, every, count, last] = x;
      x = Float64Array.from({ length: count }, (_, n) => first + n * every);
      x[count - 1] = last;
    }
    const rows = series.rows.map((row) => {
      const bytes = Uint8Array.from(atob(row), (c) => c.charCodeAt(0));
      const view = new DataView(bytes.buffer);
      return Float64Array.from({ length: bytes.length / 2 }, (_, n) =>
        series.low + series.size * view.getUint16(2 * n, true) / 65535);
    });
    return { name: series.name, x, y: rows[0], low: rows[1] || rows[0], high: rows[2] || rows[0] };
  }

  // The first index whose x is not below a value.
  function indexOf(x, value) {
    let low = 0, high = x.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (x[middle] < value) low = middle + 1; else high = middle;
    }
    return low;
  }

  // The points between two x, and one more at each end, in at most 340 groups.
  function seen(series, from, to) {
    const a = Math.max(0, indexOf(series.x, from) - 1);
    const b = Math.min(series.x.length, indexOf(series.x, to) + 1);
    const each = Math.max(1, Math.ceil((b - a) / 340)), points = [];
    for (let n = a; n < b; n += each) {
      const end = Math.min(b, n + each), point = { x: 0, y: 0, low: Infinity, high: -Infinity };
      for (let i = n; i < end; i++) {
        point.x += series.x[i] / (end - n);
        point.y += series.y[i] / (end - n);
        point.low = Math.min(point.low, series.low[i]);
        point.high = Math.max(point.high, series.high[i]);
      }
      points.push(point);
    }
    return points;
  }

  function ticks(low, high, count) {
    const least = (high - low) / count, power = 10 ** Math.floor(Math.log10(least));
    const step = power * [1, 2, 5, 10].find((n) => n * power >= least * (1 - 1e-9));
    const found = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n++) {
      found.push(n * step || 0);
    }
    return found;
  }

  const number = (value) => Math.abs(value) > 0 && Math.abs(value) < 1e-3
    ? value.toExponential(1)
    : value.toLocaleString("en", { maximumFractionDigits: 4 }).replace("-", "\u2212");

  function element(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function zoomable(figure) {
    const about = data.zooms[figure.dataset.zoom];
    const chart = figure.querySelector("svg.chart"), detail = figure.querySelector("output");
    const [left, top, right, bottom] = about.frame, all = about.range;
    const series = about.series.map(decoded);
    let from = all[0], to = all[1];
    const cursor = element("path", { class: "cursor", d: "" });
    const brush = element("rect", { class: "brush", y: top, height: bottom - top, width: 0 });
    chart.append(brush, cursor);

    const toX = (x) => left + (x - from) / (to - from) * (right - left);

    function draw() {
      const points = series.map((each) => seen(each, from, to));
      const first = about.settles && from === all[0] ? from + 0.04 * (to - from) : from;
      const inside = points.flat().filter((p) => p.x >= first && p.x <= to);
      let low = Math.min(...inside.map((p) => p.y)), high = Math.max(...inside.map((p) => p.y));
      if (!inside.length) [low, high] = [0, 1];
      if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
      const more = 0.03 * (high - low);
      low -= more;
      high += more;
      const toY = (y) => bottom - (y - low) / (high - low) * (bottom - top);
      const path = (list, key) => list.map((p) => round(toX(p.x)) + "," + round(toY(p[key])));
      points.forEach((list, n) => {
        const line = chart.querySelector(`[data-line="${n}"]`);
        const band = chart.querySelector(`[data-band="${n}"]`);
        line.setAttribute("d", list.length ? "M" + path(list, "y").join("L") : "");
        if (band) {
          const wide = list.some((p) => p.high > p.low);
          band.setAttribute("d", wide ? "M" + path(list, "high").join("L") + "L" +
            path(list, "low").reverse().join("L") + "Z" : "");
        }
        const group = chart.querySelector(`[data-points="${n}"]`);
        if (group) {
          const color = line.getAttribute("class").match(/s(\d)/)[1];
          group.querySelectorAll("circle").forEach((circle) => circle.remove());
          list.forEach((p) => group.append(element("circle", {
            class: "point f" + color, cx: round(toX(p.x)), cy: round(toY(p.y)), r: 3.2,
          })));
        }
      });
      const yAxis = chart.querySelector('[data-axis="y"]');
      yAxis.replaceChildren();
      for (const value of ticks(low, high, Math.max(2, Math.round((bottom - top) / 50)))) {
        const y = round(toY(value));
        yAxis.append(element("path", { class: "rule", d: `M${left},${y}H${right}` }),
          element("text", { class: "tick", x: left - 8, y, dy: 4, "text-anchor": "end" },
            number(value)));
      }
      const xAxis = chart.querySelector('[data-axis="x"]');
      xAxis.replaceChildren();
      for (const value of ticks(from, to, Math.max(2, Math.round((right - left) / 90)))) {
        xAxis.append(element("text", {
          class: "tick", x: round(toX(value)), y: bottom + 17, "text-anchor": "middle",
        }, number(value)));
      }
      cursor.setAttribute("d", "");
      const whole = from === all[0] && to === all[1];
      detail.textContent = whole ? "" : `${about.x} ${number(Math.ceil(from))} to ${number(Math.floor(to))}`;
      figure.querySelector("[data-do=all]").disabled = whole;
    }

    // Show the part between two x, at least two steps of it.
    function show(a, b) {
      const least = Math.min(2, all[1] - all[0]), size = Math.max(least, b - a);
      const start = Math.max(all[0], Math.min((a + b - size) / 2, all[1] - size));
      [from, to] = [start, Math.min(all[1], start + size)];
      draw();
    }
    const zoom = (factor) => {
      const middle = (from + to) / 2, half = (to - from) / 2 * factor;
      show(middle - half, middle + half);
    };
    const move = (share) => show(from + share * (to - from), to + share * (to - from));
    const acts = {
      in: () => zoom(0.5), out: () => zoom(2), left: () => move(-0.25), right: () => move(0.25),
      all: () => show(...all),
    };
    const keys = {
      "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all",
      Escape: "all",
    };
    figure.querySelectorAll("button[data-do]").forEach((button) => {
      button.addEventListener("click", () => acts[button.dataset.do]());
    });
    figure.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
      acts[keys[event.key]]();
      event.preventDefault();
    });

    function xOf(event) {
      const box = chart.getBoundingClientRect();
      const at = (event.clientX - box.left) * chart.viewBox.baseVal.width / box.width;
      return from + (Math.max(left, Math.min(right, at)) - left) / (right - left) * (to - from);
    }
    function tell(x) {
      cursor.setAttribute("d", `M${round(toX(x))},${top}V${bottom}`);
      const parts = series.filter((each) => each.x.length).map((each) => {
        const after = Math.min(each.x.length - 1, indexOf(each.x, x));
        const n = after && x - each.x[after - 1] < each.x[after] - x ? after - 1 : after;
        return `${each.name} ${number(each.y[n])}`;
      });
      detail.textContent = `${about.x} ${number(Math.round(x))}: ${parts.join(", ")}`;
    }
    let start = null;
    chart.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      start = xOf(event);
      chart.setPointerCapture(event.pointerId);
    });
    chart.addEventListener("pointermove", (event) => {
      const x = xOf(event);
      tell(x);
      if (start === null) return;
      const [a, b] = [toX(start), toX(x)].sort((p, q) => p - q);
      brush.setAttribute("x", a);
      brush.setAttribute("width", b - a);
    });
    const end = (event) => {
      const begun = start;
      start = null;
      brush.setAttribute("width", 0);
      if (begun === null || event.type !== "pointerup") return;
      const [a, b] = [begun, xOf(event)].sort((p, q) => p - q);
      if (toX(b) - toX(a) > 6) show(a, b);
    };
    chart.addEventListener("pointerup", end);
    chart.addEventListener("pointercancel", end);
    chart.addEventListener("pointerleave", () => cursor.setAttribute("d", ""));
    chart.addEventListener("dblclick", acts.all);
    figure.querySelector(".controls").hidden = false;
    draw();
  }

  document.querySelectorAll("figure[data-zoom]").forEach(zoomable);
})();
