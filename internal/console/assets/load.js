// What the member is busy with: slow requests, and prefixes with many keys or requests.
import { ask } from './api.js';
import { duration, fromBase64, keyText, number } from './bytes.js';
import { h, problem, table } from './dom.js';
import { to } from './keys.js';
import { t } from './text.js';

export const title = 'Load';

function bar(part, whole) {
  const b = h('div', { class: 'bar' });
  b.style.width = `${whole ? 100 * part / whole : 0}%`;
  return h('div', { class: 'track', 'aria-hidden': 'true' }, b);
}

const link = (prefix) => h('a', { class: 'key', href: to(prefix) }, prefix);

export async function show(root, _params, signal) {
  const place = h('div', {}, h('p', { class: 'quiet' }, t('Looking…')));
  root.append(h('h1', {}, t('Load')), h('p', { class: 'quiet' }, t('Of the member that serves this page, since it started.')), place);
  const look = async () => {
    try {
      const got = await ask('load', {}, signal);
      place.replaceChildren(largest(got), asked(got), slow(got), h('button', { type: 'button', onclick: look }, t('Look again')));
    } catch (e) {
      if (!signal.aborted) place.replaceChildren(problem(e));
    }
  };
  await look();
}

function largest(got) {
  const title = `${t('Prefixes by keys')} (${number(got.keys)} ${t('in all')}${got.part ? `, ${t('not all branches were looked at')}` : ''})`;
  if (!got.largest.length) return h('p', { class: 'quiet' }, t('No prefix has many keys.'));
  return table(title, [t('Prefix'), t('Keys'), t('Share')],
    got.largest.map((p) => [link(keyText(fromBase64(p.prefix))), number(p.keys), bar(p.keys, got.keys)]));
}

function asked(got) {
  if (!got.asked.length) return h('p', { class: 'quiet' }, t('No requests were counted yet: one of 61 is.'));
  const all = got.asked.reduce((n, p) => Math.max(n, p.reads + p.writes), 0);
  return table(`${t('Prefixes by requests')} (${t('one of 61 is counted')}: ${number(got.counted)})`, [t('Prefix'), t('reads'), t('writes'), t('Share')],
    got.asked.map((p) => [link(keyText(fromBase64(p.prefix))), number(p.reads), number(p.writes), bar(p.reads + p.writes, all)]));
}

function slow(got) {
  if (!got.slow.length) return h('p', { class: 'quiet' }, t('There were no slow requests.'));
  return table(`${t('Slow requests')}: ${number(got.slow_ever)}`, [t('When'), t('Took'), t('Call'), t('Request')],
    got.slow.slice(0, 50).map((s) => [new Date(s.at).toLocaleTimeString(), duration(s.took / 1000), s.method,
      h('div', {}, h('div', { class: 'long', tabindex: '0' }, h('code', {}, s.request)), phases(s), s.error ? h('div', { class: 'bad' }, s.error) : null)]));
}

// phases tells what a request's time went into.
function phases(s) {
  if (!s.phases) return null;
  return h('div', { class: 'quiet' }, s.phases.map((p) => `${t(p.name)} ${duration(p.took / 1000)}`).join(' · '));
}
