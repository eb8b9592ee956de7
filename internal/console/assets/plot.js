// Lines over time, as SVG.
import { h, put, s } from './dom.js';

const width = 480, height = 170, left = 78, bottom = 22, top = 8, right = 8;

// nice is the least round number that is not below n, or the least round part of 1024's
// powers.
function nice(n, bytes) {
  if (!(n > 0)) return 1;
  const unit = bytes ? 1024 ** Math.floor(Math.log2(Math.max(n, 1)) / 10) : 1;
  return unit * rounded(n / unit);
}

function rounded(n) {
  const p = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 2.5, 5, 10].map((f) => f * p).find((x) => x >= n * (1 - 1e-9));
}

// plot is a chart of named lines; format writes a value. update takes the times in
// milliseconds, and the values of each line, null where there are none. Sizes are in
// bytes. What is shown begins with the first value, but spans from one minute to most.
export function plot(title, names, format, most, bytes = false) {
  const lines = names.map((_, i) => s('path', { class: `line${i}` }));
  const grid = [0, 0.5, 1].map((f) => {
    const y = top + (height - top - bottom) * (1 - f);
    return { f, label: s('text', { x: left - 6, y: y + 4, 'text-anchor': 'end' }), line: s('line', { class: 'grid', x1: left, x2: width - right, y1: y, y2: y }) };
  });
  const begin = s('text', { x: left, y: height - 6 });
  const picture = s('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': title },
    grid.flatMap((g) => [g.line, g.label]), lines,
    begin, s('text', { x: width - right, y: height - 6, 'text-anchor': 'end' }, '0'));
  const now = names.map(() => h('b', {}, '–'));
  const legend = h('ul', { class: 'legend' }, names.map((n, i) => h('li', {},
    s('svg', { viewBox: '0 0 28 8', 'aria-hidden': 'true' }, s('path', { class: `line${i}`, d: 'M0 4H28' })), n, ' ', now[i])));
  const update = (times, values) => {
    const end = times[times.length - 1];
    const span = Math.min(most, Math.max(60000, end - times[0]));
    put(begin, span < 120000 ? `−${Math.round(span / 1000)} s` : `−${Math.round(span / 60000)} min`);
    const highest = nice(Math.max(...values.flat().filter((v) => v !== null), 0), bytes);
    const x = (at) => left + (width - left - right) * (1 - (end - at) / span);
    const y = (v) => top + (height - top - bottom) * (1 - v / highest);
    for (const g of grid) put(g.label, format(highest * g.f));
    values.forEach((line, i) => {
      let d = '', pen = 'M';
      line.forEach((v, j) => {
        if (v === null || end - times[j] > span) pen = 'M';
        else {
          d += `${pen}${x(times[j]).toFixed(1)} ${y(v).toFixed(1)}`;
          pen = 'L';
        }
      });
      lines[i].setAttribute('d', d);
      const last = line[line.length - 1];
      put(now[i], last === null || last === undefined ? '–' : format(last));
    });
    picture.setAttribute('aria-label', `${title}: ${names.map((n, i) => `${n} ${now[i].textContent}`).join(', ')}`);
  };
  return { root: h('section', { class: 'card chart', 'aria-label': title }, h('h2', {}, title), picture, legend), update };
}
