// Keys as a tree whose branches are loaded when they are opened. It is a flat list of
// items that know their level, walked with the arrow keys.
import { ask } from './api.js';
import { fromBase64, keyText, number, toBase64 } from './bytes.js';
import { announce, h } from './dom.js';
import { t } from './text.js';

const page = 100;

// tree shows what is below prefix; open is called with the bytes of a key, failed with
// an error.
export function tree(prefix, delimiter, { open, failed, signal }) {
  const root = h('div', { class: 'tree card', role: 'tree', 'aria-label': t('Keys') });
  const info = new WeakMap(); // of an item
  const items = () => [...root.querySelectorAll('[role="treeitem"]')];

  const focus = (e) => {
    for (const x of items()) x.tabIndex = -1;
    e.tabIndex = 0;
    e.focus();
  };
  const select = (e) => {
    for (const x of root.querySelectorAll('[aria-selected="true"]')) x.setAttribute('aria-selected', 'false');
    e.setAttribute('aria-selected', 'true');
  };

  function item(child, parent, level) {
    const key = fromBase64(child.key);
    const name = keyText(key.subarray(parent.length)) || t('(the prefix itself)');
    const label = child.folder ? `${name}, ${number(child.count)} ${t('keys')}` : name;
    const e = h('div', { role: 'treeitem', class: 'item', tabindex: '-1', 'aria-level': String(level), 'aria-label': label,
      'aria-expanded': child.folder ? 'false' : null, 'aria-selected': child.folder ? null : 'false' },
    h('span', { class: 'mark', 'aria-hidden': 'true' }, child.folder ? '▸' : ''), h('span', { class: 'key' }, name),
    child.folder ? h('small', {}, number(child.count)) : null);
    e.style.paddingLeft = `${0.3 + (level - 1) * 0.9}rem`;
    info.set(e, { key, folder: child.folder, level });
    e.addEventListener('click', () => act(e));
    return e;
  }

  // load puts the children of a prefix behind an item.
  async function load(below, level, after, from) {
    let got;
    try {
      got = await ask('tree', { prefix: toBase64(below), delimiter, after: from, limit: page }, signal);
    } catch (e) {
      if (!signal.aborted) failed(e);
      return null;
    }
    const made = got.children.map((c) => item(c, below, level));
    if (got.next) {
      const more = h('div', { role: 'treeitem', class: 'item more', tabindex: '-1', 'aria-level': String(level) }, t('More…'));
      more.style.paddingLeft = `${1.3 + (level - 1) * 0.9}rem`;
      info.set(more, { more: true, level });
      more.addEventListener('click', async () => {
        const next = await load(below, level, more, got.next);
        if (next) {
          more.remove();
          if (next[0]) focus(next[0]);
        }
      });
      made.push(more);
    }
    if (after) after.after(...made);
    else root.replaceChildren(...made);
    return made;
  }

  // within are the items below one.
  function within(e) {
    const { level } = info.get(e), all = [];
    for (let x = e.nextElementSibling; x && info.get(x).level > level; x = x.nextElementSibling) all.push(x);
    return all;
  }

  async function expand(e) {
    const { key, level } = info.get(e);
    if (e.getAttribute('aria-expanded') === 'true') return;
    e.setAttribute('aria-expanded', 'true');
    put(e, '▾');
    const made = await load(key, level + 1, e);
    if (!made) collapse(e);
    else announce(`${made.length} ${t('items')}`);
  }

  function collapse(e) {
    e.setAttribute('aria-expanded', 'false');
    put(e, '▸');
    for (const x of within(e)) x.remove();
  }

  const put = (e, mark) => { e.firstChild.textContent = mark; };

  function act(e) {
    const i = info.get(e);
    focus(e);
    if (i.more) return;
    if (!i.folder) {
      select(e);
      open(i.key);
    } else if (e.getAttribute('aria-expanded') === 'true') collapse(e);
    else expand(e);
  }

  root.addEventListener('keydown', (event) => {
    const e = document.activeElement.closest('[role="treeitem"]');
    if (!e || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = items(), at = all.indexOf(e), i = info.get(e);
    const open = e.getAttribute('aria-expanded');
    const to = { ArrowDown: all[at + 1], ArrowUp: all[at - 1], Home: all[0], End: all[all.length - 1] }[event.key];
    if (to) focus(to);
    else if (event.key === 'ArrowRight' && open === 'false') expand(e);
    else if (event.key === 'ArrowRight' && open === 'true') {
      if (all[at + 1] && info.get(all[at + 1]).level > i.level) focus(all[at + 1]);
    } else if (event.key === 'ArrowLeft' && open === 'true') collapse(e);
    else if (event.key === 'ArrowLeft') {
      const parent = all.slice(0, at).reverse().find((x) => info.get(x).level < i.level);
      if (parent) focus(parent);
    } else if (event.key === 'Enter' || event.key === ' ') e.click();
    else if (!['ArrowDown', 'ArrowUp', 'ArrowRight', 'Home', 'End'].includes(event.key)) return;
    event.preventDefault();
  });

  const ready = load(prefix, 1).then(async (made) => {
    if (!made) return;
    if (!made.length) root.replaceChildren(h('p', { class: 'quiet' }, t('There are no keys here.')));
    for (let only = made; only.length === 1 && info.get(only[0]).folder;) { // a single branch opens by itself
      const [e] = only;
      await expand(e);
      only = within(e);
    }
    if (items()[0]) items()[0].tabIndex = 0;
  });
  return { root, ready };
}
