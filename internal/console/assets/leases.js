// Leases, their time, their keys.
import { ask, call } from './api.js';
import { duration, fromBase64, keyText, number } from './bytes.js';
import { announce, dialog, h, problem, table } from './dom.js';
import { to } from './keys.js';
import { t } from './text.js';

export const title = 'Leases';

export async function show(root, params, signal) {
  const place = h('div');
  root.append(h('h1', {}, t('Leases')), place);
  if (params.get('id')) await one(place, params.get('id'), signal);
  else await list(place, params.get('after') || '', signal);
}

async function list(place, after, signal) {
  let got;
  try {
    got = await ask('leases', { after }, signal);
  } catch (e) {
    if (!signal.aborted) place.replaceChildren(problem(e));
    return;
  }
  if (!got.total) {
    place.replaceChildren(h('p', { class: 'quiet' }, t('There are no leases.')));
    return;
  }
  const rows = got.leases.map((l) => [h('a', { href: `#/leases?id=${l.id}`, class: 'key' }, l.id),
    l.error ? l.error : l.ttl < 0 ? t('gone') : duration(l.ttl), l.error ? '–' : duration(l.granted)]);
  const last = got.leases[got.leases.length - 1];
  place.replaceChildren(table(`${number(got.total)} ${t('leases')}`, [t('Lease'), t('Time left'), t('Granted for')], rows),
    h('div', { class: 'actions' }, h('button', { type: 'button', onclick: () => list(place, after, signal) }, t('Look again')),
      after ? h('a', { class: 'button', href: '#/leases' }, t('From the first')) : null,
      got.more ? h('a', { class: 'button', href: `#/leases?after=${last.id}` }, t('Next page')) : null));
}

async function one(place, id, signal) {
  let l;
  try {
    l = await ask('leases', { id }, signal);
  } catch (e) {
    if (!signal.aborted) place.replaceChildren(h('h2', { class: 'key' }, id), problem(e));
    return;
  }
  const keys = (l.keys || []).map((k) => keyText(fromBase64(k)));
  const back = h('a', { class: 'button', href: '#/leases' }, t('All leases'));
  if (l.ttl < 0) {
    place.replaceChildren(h('h2', { class: 'key' }, id), h('p', { class: 'note' }, t('The lease is gone.')), back);
    return;
  }
  place.replaceChildren(h('h2', { class: 'key' }, id),
    h('dl', { class: 'facts' }, [[t('Time left'), duration(l.ttl)], [t('Granted for'), duration(l.granted)], [t('Keys'), number(l.held || 0)]]
      .map(([k, v]) => h('div', {}, h('dt', {}, k), h('dd', {}, v)))),
    h('ul', {}, keys.map((k) => h('li', {}, h('a', { class: 'key', href: to(k, k) }, k)))),
    (l.held || 0) > keys.length ? h('p', { class: 'quiet' }, `${t('and more')}: ${number(l.held - keys.length)}`) : null,
    h('div', { class: 'actions' }, h('button', { type: 'button', class: 'danger', onclick: () => revoke(l, keys).then((done) => done && one(place, id, signal)) }, t('Revoke')), back));
}

function revoke(l, keys) {
  return dialog(t('Revoke this lease?'), (close) => {
    const trouble = h('div');
    const go = h('button', { type: 'button', class: 'danger', onclick: async () => {
      go.disabled = true;
      try {
        await call('lease/revoke', { ID: String(BigInt.asIntN(64, BigInt('0x' + l.id))) });
        announce(t('Revoked.'));
        close(true);
      } catch (e) {
        trouble.replaceChildren(problem(e));
      }
    } }, t('Revoke'));
    return [h('p', {}, `${t('Its keys are deleted')}: ${number(l.held || 0)}`), h('ul', {}, keys.slice(0, 10).map((k) => h('li', { class: 'key' }, k))), trouble,
      h('div', { class: 'actions' }, go, h('button', { type: 'button', onclick: () => close() }, t('Cancel')))];
  });
}
