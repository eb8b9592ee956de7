// One key: its value in several forms, and what can be done with it.
import { call } from './api.js';
import { fromBase64, keyText, number, size, toBase64 } from './bytes.js';
import { h, problem, tabs } from './dom.js';
import { edit, remove } from './edit.js';
import { forms, isSecret } from './forms.js';
import { history } from './history.js';
import { t } from './text.js';

// value fills pane with a key. signal ends it; close and changed are called when it is
// gone, or has another value.
export async function value(pane, key, { signal, close, changed }) {
  const name = keyText(key);
  const head = [h('button', { type: 'button', class: 'back', onclick: close }, `← ${t('Back to the keys')}`), h('h2', { class: 'title key' }, name)];
  let got;
  try {
    got = await call('kv/range', { key: toBase64(key) }, signal);
  } catch (e) {
    if (!signal.aborted) pane.replaceChildren(...head, problem(e));
    return;
  }
  const kv = (got.kvs || [])[0];
  if (!kv) {
    pane.replaceChildren(...head, h('p', { class: 'note' }, t('There is no such key.')),
      h('div', { class: 'actions' }, h('button', { type: 'button', onclick: () => edit(null, name).then((k) => k && changed()) }, t('New key'))));
    return;
  }
  const bytes = fromBase64(kv.value);
  const facts = [[t('Revision'), number(kv.mod_revision)], [t('Created at'), number(kv.create_revision)], [t('Version'), number(kv.version)], [t('Size'), size(bytes.length)]];
  if (kv.lease && kv.lease !== '0') {
    const id = BigInt.asUintN(64, BigInt(kv.lease)).toString(16);
    facts.push([t('Lease'), h('a', { href: `#/leases?id=${id}` }, id)]);
  }
  const below = h('div');
  const actions = h('div', { class: 'actions' },
    h('button', { type: 'button', onclick: async () => { if (await edit(kv, name)) changed(); } }, t('Edit')),
    h('button', { type: 'button', class: 'danger', onclick: async () => { if (await remove(kv)) changed(); } }, t('Delete')),
    h('button', { type: 'button', onclick: () => history(below, key, signal) }, t('History')),
    h('a', { class: 'button', href: `#/watch?k=${encodeURIComponent(name)}` }, t('Watch')));
  pane.replaceChildren(...head, h('dl', { class: 'facts' }, facts.map(([k, v]) => h('div', {}, h('dt', {}, k), h('dd', {}, v)))), actions,
    shown(bytes), below);
}

// shown is a value in the forms that it has; what is secret waits to be asked for.
function shown(bytes) {
  const place = h('div');
  const draw = (reveal) => {
    const { all, first } = forms(bytes, reveal);
    const parts = [tabs(t('Forms of the value'), all, first)];
    if (isSecret(bytes)) {
      parts.unshift(h('p', { class: 'note' }, reveal ? t('Secrets are shown.') : t('This is a Secret: what it holds is hidden.'), ' ',
        h('button', { type: 'button', onclick: () => draw(!reveal) }, reveal ? t('Hide') : t('Show secrets'))));
    }
    place.replaceChildren(...parts);
  };
  draw(false);
  return place;
}

