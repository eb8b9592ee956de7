// Differences between two lists of lines.
import { h } from './dom.js';
import { t } from './text.js';

// maxCells bounds the work of a comparison; what is longer is shown as replaced.
const maxCells = 4e6;

// compare returns [kind, line] with kind ' ', '-' or '+'.
export function compare(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const same = (from, to) => a.slice(from, to).map((x) => [' ', x]);
  return [...same(0, start), ...middle(a.slice(start, a.length - end), b.slice(start, b.length - end)), ...same(a.length - end, a.length)];
}

// middle finds the longest common subsequence, by a table from the end.
function middle(a, b) {
  if (a.length * b.length > maxCells || !a.length || !b.length) return [...a.map((x) => ['-', x]), ...b.map((x) => ['+', x])];
  const w = b.length + 1;
  const common = new Uint32Array((a.length + 1) * w);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * w + j] = a[i] === b[j] ? common[(i + 1) * w + j + 1] + 1 : Math.max(common[(i + 1) * w + j], common[i * w + j + 1]);
    }
  }
  const out = [];
  let i = 0, j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      out.push([' ', a[i]]);
      i++;
      j++;
    } else if (common[(i + 1) * w + j] >= common[i * w + j + 1]) out.push(['-', a[i++]]);
    else out.push(['+', b[j++]]);
  }
  return [...out, ...a.slice(i).map((x) => ['-', x]), ...b.slice(j).map((x) => ['+', x])];
}

const around = 3, maxShown = 2000;

// difference shows how b differs from a: changed lines with a few around them. same tells
// whether the values are, whose lines may hide secrets.
export function difference(a, b, label, same = true) {
  const all = compare(a, b);
  const keep = new Set();
  all.forEach(([kind], i) => {
    if (kind !== ' ') for (let j = i - around; j <= i + around; j++) keep.add(j);
  });
  const root = h('div', { class: 'diff', role: 'group', tabindex: '0', 'aria-label': label || t('Differences') });
  if (!keep.size) root.append(h('div', { class: 'skip-lines' }, same ? t('The value is the same.') : t('It differs in what is hidden.')));
  let gap = false, shown = 0;
  all.forEach(([kind, line], i) => {
    if (!keep.has(i)) {
      gap = true;
      return;
    }
    if (++shown > maxShown) return;
    if (gap) root.append(h('div', { class: 'skip-lines', 'aria-hidden': 'true' }, '⋯'));
    gap = false;
    const mark = { '-': ['out', t('removed')], '+': ['in', t('added')] }[kind];
    root.append(h('div', { class: mark ? mark[0] : null }, mark ? h('span', { class: 'hidden-text' }, mark[1] + ' ') : null, h('code', {}, `${kind} ${line}`)));
  });
  if (shown > maxShown) root.append(h('div', { class: 'skip-lines' }, '…'));
  return root;
}
