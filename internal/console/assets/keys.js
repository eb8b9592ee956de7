// Keys: find one, look at it.
import { ask, call, permissionDenied, session } from './api.js';
import { endOf, fromBase64, keyText, number, parseKey, toBase64 } from './bytes.js';
import { announce, field, h, problem } from './dom.js';
import { edit } from './edit.js';
import { t } from './text.js';
import { tree } from './tree.js';
import { value } from './value.js';

export const title = 'Keys';

// to is the address of a prefix, and of a key in it.
export const to = (prefix, key) => `#/keys?p=${encodeURIComponent(prefix)}` + (key === undefined ? '' : `&k=${encodeURIComponent(key)}`);

export async function show(root, params, signal) {
  const prefix = params.get('p') || '', delimiter = params.get('d') || '/';
  const pane = h('section', { class: 'card', 'aria-label': t('Value'), tabindex: '-1' });
  const found = h('div');
  const layout = h('div', { class: 'keys alone' });
  const browse = h('div', { class: 'browse' }, finder(prefix, delimiter, found, open, signal), found);
  layout.append(browse);
  root.append(h('h1', {}, t('Keys')), layout);

  let looking = new AbortController();
  signal.addEventListener('abort', () => looking.abort());

  function open(key, focus = true) {
    looking.abort();
    looking = new AbortController();
    layout.className = 'keys open';
    if (!pane.isConnected) layout.append(pane);
    const address = to(prefix, keyText(key));
    history.replaceState(null, '', address);
    const close = () => {
      pane.remove();
      layout.className = 'keys alone';
      history.replaceState(null, '', to(prefix));
      const item = browse.querySelector('[aria-selected="true"], [role="treeitem"]');
      if (item) item.focus();
    };
    value(pane, key, { signal: looking.signal, close, changed: () => open(key) });
    if (focus && matchMedia('(max-width: 760px)').matches) pane.focus();
  }

  const failed = async (e) => found.replaceChildren(problem(e), ...(e.code === permissionDenied ? await permitted(signal) : []));
  const made = tree(parseKey(prefix), delimiter, { open, failed, signal });
  found.append(made.root);
  if (params.has('k')) open(parseKey(params.get('k')), false);
  await made.ready;
}

function finder(prefix, delimiter, found, open, signal) {
  const input = h('input', { type: 'search', value: prefix, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', class: 'key' });
  const go = (e) => {
    e.preventDefault();
    location.hash = to(input.value);
  };
  const find = () => search(parseKey(prefix), input.value, found, open, signal);
  const create = async () => {
    const key = await edit(null, input.value || prefix);
    if (key) location.hash = to(prefix, keyText(key));
  };
  return h('form', { class: 'finder', role: 'search', onsubmit: go },
    field(t('Prefix, or a text to find'), input),
    h('button', { type: 'submit', class: 'main' }, t('Go to prefix')),
    h('button', { type: 'button', onclick: find }, t('Find text')),
    h('button', { type: 'button', onclick: create }, t('New key')));
}

// search looks for a text below the prefix, step by step.
function search(prefix, text, found, open, signal) {
  const list = h('div', { class: 'tree card', role: 'list', 'aria-label': t('Found keys') });
  const told = h('p', { class: 'quiet', role: 'status' });
  const more = h('button', { type: 'button' }, t('Look further'));
  let after, looked = 0, hits = 0;
  const step = async () => {
    more.disabled = true;
    try {
      const got = await ask('search', { prefix: toBase64(prefix), text, after }, signal);
      after = got.next;
      looked += got.looked;
      hits += got.hits.length;
      for (const x of got.hits) {
        const key = fromBase64(x.key);
        list.append(h('div', { role: 'listitem' }, h('button', { type: 'button', class: 'item plain', onclick: () => open(key) }, h('span', { class: 'key' }, keyText(key)))));
      }
      told.textContent = `${number(hits)} ${t('found')}, ${number(looked)} ${t('keys looked at')}${after ? '' : ` (${t('all')})`}`;
      more.hidden = !after;
      more.disabled = false;
    } catch (e) {
      if (!signal.aborted) told.replaceChildren(problem(e));
    }
  };
  more.addEventListener('click', step);
  found.replaceChildren(h('div', { class: 'actions' }, told, more), list);
  announce(t('Looking…'));
  step();
}

// permitted offers what one may read, where that is not all.
async function permitted(signal) {
  if (!session.user) return [];
  try {
    const { roles } = await call('auth/user/get', { name: session.user }, signal);
    const all = await Promise.all((roles || []).map((role) => call('auth/role/get', { role }, signal)));
    const links = all.flatMap((r) => r.perm || []).filter((p) => p.permType !== 'WRITE').map((p) => {
      const key = fromBase64(p.key), end = fromBase64(p.range_end);
      if (!end.length) return h('li', {}, h('a', { href: to(keyText(key), keyText(key)) }, keyText(key)));
      const prefix = toBase64(endOf(key)) === p.range_end;
      return h('li', {}, prefix ? h('a', { href: to(keyText(key)) }, keyText(key)) : `${keyText(key)} … ${keyText(end)}`);
    });
    return [h('p', {}, t('You may read:')), h('ul', {}, links)];
  } catch {
    return [];
  }
}
