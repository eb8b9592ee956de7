// Elements, made without any text ever being read as HTML.

const svg = 'http://www.w3.org/2000/svg';

function fill(e, props, kids) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (name === 'value') e.value = value;
    else e.setAttribute(name, value === true ? '' : value);
  }
  e.append(...kids.flat().filter((k) => k !== null && k !== undefined && k !== false));
  return e;
}

// h makes an element: h('a', {href: '#', onclick: f}, 'text', child).
export const h = (tag, props, ...kids) => fill(document.createElement(tag), props, kids);

export const s = (tag, props, ...kids) => fill(document.createElementNS(svg, tag), props, kids);

// put changes a text only if it is another, so that what is selected stays so.
export function put(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

// table makes a table whose cells carry their headers, for narrow screens.
export function table(caption, headers, rows, props = {}) {
  return h('table', { role: 'table', ...props },
    h('caption', {}, caption),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, headers.map((x) => h('th', { scope: 'col', role: 'columnheader' }, x)))),
    h('tbody', { role: 'rowgroup' }, rows.map((cells) => row(headers, cells))));
}

// row is a row whose first cell is its header.
export function row(headers, cells) {
  return h('tr', { role: 'row' }, cells.map((c, i) => h(i ? 'td' : 'th',
    { 'data-label': headers[i], role: i ? 'cell' : 'rowheader', scope: i ? null : 'row' }, c)));
}

// announce tells a screen reader what has happened.
export function announce(text) {
  const live = document.getElementById('live');
  live.textContent = '';
  setTimeout(() => { live.textContent = text; }, 50);
}

// every calls f now and then every ms, never twice at a time, until the signal.
export function every(ms, signal, f) {
  let timer;
  const turn = async () => {
    if (document.visibilityState === 'visible') await f();
    if (!signal.aborted) timer = setTimeout(turn, ms);
  };
  signal.addEventListener('abort', () => clearTimeout(timer));
  turn();
}

// problem is an error as a note.
export function problem(e) {
  return h('p', { class: 'note bad', role: 'alert' }, e.explain ? e.explain() : String(e.message || e));
}

let serial = 0;
export const newID = () => `x${++serial}`;

// field is a labelled control.
export function field(label, control, hint) {
  control.id ||= newID();
  return h('div', { class: 'field' }, h('label', { for: control.id }, label), control, hint ? h('small', {}, hint) : null);
}

// dialog asks something; it resolves to what close was called with, undefined if it was
// dismissed.
export function dialog(title, build) {
  return new Promise((resolve) => {
    let result;
    const id = newID();
    const d = h('dialog', { 'aria-labelledby': id });
    const close = (value) => { result = value; d.close(); };
    d.append(h('h2', { id }, title), ...[build(close)].flat());
    d.addEventListener('close', () => { d.remove(); resolve(result); });
    document.body.append(d);
    d.showModal();
  });
}

// tabs are alternatives of which one is shown: [[name, show], ...], show returns it.
export function tabs(label, all, first) {
  const panel = h('div', { role: 'tabpanel', id: newID(), tabindex: '0' });
  const buttons = all.map(([name]) => h('button', { role: 'tab', type: 'button', 'aria-controls': panel.id, onclick: () => choose(name) }, name));
  const choose = (name, focus) => {
    all.forEach(([n, show], i) => {
      const on = n === name;
      buttons[i].setAttribute('aria-selected', String(on));
      buttons[i].tabIndex = on ? 0 : -1;
      if (on) {
        panel.setAttribute('aria-label', n);
        panel.replaceChildren(show());
        if (focus) buttons[i].focus();
      }
    });
  };
  const list = h('div', { role: 'tablist', 'aria-label': label, onkeydown: (e) => {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    choose(all[(to + all.length) % all.length][0], true);
  } }, buttons);
  choose(first);
  return h('div', { class: 'tabs' }, list, panel);
}
