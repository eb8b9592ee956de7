// Changes of a key or of a prefix, as they happen.
import { stream } from './api.js';
import { endOf, fromBase64, keyText, number, parseKey, startOf, toBase64 } from './bytes.js';
import { field, h, problem } from './dom.js';
import { brief } from './forms.js';
import { to } from './keys.js';
import { t } from './text.js';

export const title = 'Watch';

const most = 200;

export async function show(root, params, signal) {
  const key = params.get('k') || '', whole = params.get('all') === '1' || !params.has('k');
  const input = h('input', { class: 'key', value: key, autocapitalize: 'off', spellcheck: 'false' });
  const all = h('input', { type: 'checkbox' });
  all.checked = whole;
  const start = (e) => {
    e.preventDefault();
    const next = `#/watch?k=${encodeURIComponent(input.value)}${all.checked ? '&all=1' : ''}`;
    if (location.hash === next) dispatchEvent(new HashChangeEvent('hashchange'));
    else location.hash = next;
  };
  root.append(h('h1', {}, t('Watch')), h('form', { class: 'finder', onsubmit: start }, field(t('Key or prefix'), input),
    h('label', { class: 'check' }, all, t('all keys that begin so')), h('button', { type: 'submit', class: 'main' }, t('Watch'))));
  if (params.has('k')) watch(root, parseKey(key), whole, signal);
}

function watch(root, key, whole, signal) {
  const stop = new AbortController();
  signal.addEventListener('abort', () => stop.abort());
  const told = h('p', { role: 'status', class: 'quiet' }, t('Connecting…'));
  const list = h('ul', { class: 'events', 'aria-label': t('Changes') });
  const end = h('button', { type: 'button', onclick: () => {
    stop.abort();
    end.disabled = true;
    told.textContent = `${t('Stopped.')} ${number(seen)} ${t('changes')}`;
  } }, t('Stop'));
  root.append(h('div', { class: 'actions' }, told, end, h('button', { type: 'button', onclick: () => list.replaceChildren() }, t('Clear'))), list);
  let seen = 0, next = 0;

  const got = (message) => {
    if (message.created) told.textContent = t('Watching: changes appear here.');
    if (message.canceled) {
      told.replaceChildren(problem(new Error(message.cancel_reason || t('The watch has ended.'))));
      stop.abort();
      return;
    }
    next = Number(message.header.revision) + 1;
    for (const e of message.events || []) list.prepend(event(e));
    seen += (message.events || []).length;
    if ((message.events || []).length) told.textContent = `${number(seen)} ${t('changes')}`;
    while (list.children.length > most) list.lastChild.remove();
  };

  const run = async () => {
    for (let wait = 500; !stop.signal.aborted;) {
      const request = { key: toBase64(whole ? startOf(key) : key), range_end: whole ? toBase64(endOf(key)) : undefined, prev_kv: false, start_revision: next ? String(next) : undefined };
      try {
        await stream('watch', { create_request: request }, stop.signal, (m) => {
          wait = 500;
          got(m);
        });
      } catch (e) {
        if (stop.signal.aborted) return;
        told.replaceChildren(problem(e));
        if (e.code && e.code !== 14) return; // refused: it would be again
      }
      await new Promise((r) => setTimeout(r, wait)); // the member has gone, or stops
      wait = Math.min(2 * wait, 5000);
    }
  };
  run();
}

function event(e) {
  const removed = e.type === 'DELETE';
  const name = keyText(fromBase64(e.kv.key));
  return h('li', { class: removed ? 'delete' : 'put' }, h('b', {}, removed ? t('deleted') : e.kv.version === '1' ? t('created') : t('changed')), ' ',
    h('a', { class: 'key', href: to(name, name) }, name), ' ', h('small', {}, `${t('revision')} ${number(e.kv.mod_revision)} · ${new Date().toLocaleTimeString()}`),
    removed ? null : h('pre', {}, brief(fromBase64(e.kv.value))));
}
