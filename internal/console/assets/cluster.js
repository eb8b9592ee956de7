// The cluster at a glance.
import { ask } from './api.js';
import { number, size } from './bytes.js';
import { announce, every, h, problem, put, row, table } from './dom.js';
import { t } from './text.js';

export const title = 'Cluster';

const states = { healthy: 'healthy', unwell: 'unwell', silent: 'does not answer', dead: 'dead', unnamed: 'not started' };

// tile is a figure with its name.
function tile(name) {
  const value = h('dd', {}, '–');
  return { root: h('div', { class: 'tile' }, h('dt', {}, name), value), set: (text, state) => {
    put(value, text);
    value.className = state || '';
  } };
}

export async function show(root, _params, signal) {
  const tiles = { leader: tile(t('Leader')), health: tile(t('Members healthy')), version: tile(t('Cluster version')),
    revision: tile(t('Revision')), size: tile(t('Size')), alarms: tile(t('Alarms')) };
  const headers = [t('Member'), t('State'), t('Role'), t('Version'), t('Size'), t('Revision'), t('Applied (behind)'), t('Addresses')];
  const members = table(t('Members'), headers, []);
  const trouble = h('div');
  root.append(h('h1', {}, t('Cluster')), h('dl', { class: 'tiles' }, Object.values(tiles).map((x) => x.root)), trouble, members);
  const body = members.querySelector('tbody');
  const rows = new Map();
  let before = null;
  every(1500, signal, async () => {
    try {
      const o = await ask('overview', {}, signal);
      if (signal.aborted) return;
      trouble.replaceChildren(...alarms(o));
      summary(tiles, o);
      list(body, rows, headers, o);
      before = tell(before, o);
    } catch (e) {
      if (!signal.aborted) trouble.replaceChildren(problem(e));
    }
  });
}

function summary(tiles, o) {
  const leader = o.members.find((m) => m.leader);
  const well = o.members.filter((m) => m.state === 'healthy').length;
  const self = o.members.find((m) => m.self) || {};
  tiles.leader.set(leader ? leader.name : t('none'), leader ? '' : 'bad');
  tiles.health.set(`${well} / ${o.members.length}`, well === o.members.length ? 'good' : 'bad');
  tiles.version.set(o.cluster_version || t('not decided'));
  tiles.revision.set(number(Math.max(...o.members.map((m) => m.revision || 0))));
  tiles.size.set(size(self.size || 0));
  const raised = new Set(o.members.flatMap((m) => m.troubles || []).filter((x) => x.includes('alarm:')));
  tiles.alarms.set(raised.size ? String(raised.size) : t('none'), raised.size ? 'bad' : 'good');
}

function alarms(o) {
  const all = new Set(o.members.flatMap((m) => (m.troubles || []).map((x) => `${m.name}: ${x}`)));
  return [...all].map((x) => h('p', { class: 'note bad' }, x));
}

// list updates the rows in their places.
function list(body, rows, headers, o) {
  const top = Math.max(...o.members.map((m) => m.index || 0));
  for (const id of [...rows.keys()]) {
    if (!o.members.some((m) => m.id === id)) {
      rows.get(id).remove();
      rows.delete(id);
    }
  }
  for (const m of o.members) {
    let tr = rows.get(m.id);
    if (!tr) {
      tr = row(headers, headers.map(() => h('span')));
      rows.set(m.id, tr);
      body.append(tr);
    }
    tr.dataset.state = m.state;
    const cells = [
      (m.name || m.id) + (m.self ? ` (${t('this one')})` : ''), t(states[m.state]) + (m.error ? `: ${m.error}` : ''),
      m.learner ? t('learner') : !m.version ? '–' : m.leader ? t('leader') : t('follower'), m.version || '–',
      m.size ? `${size(m.size)} (${size(m.in_use)} ${t('in use')})` : '–', m.revision ? number(m.revision) : '–',
      m.applied ? `${number(m.applied)} (${number(Math.max(0, top - m.applied))})` : '–', (m.client_urls || []).join(' '),
    ];
    [...tr.children].forEach((cell, i) => put(cell.firstChild, cells[i]));
    tr.children[1].firstChild.className = 'wrap state ' + m.state;
    tr.lastChild.firstChild.className = 'address';
  }
}

// tell announces what has changed.
function tell(before, o) {
  const now = new Map(o.members.map((m) => [m.id, m.state]));
  if (before) {
    for (const m of o.members) {
      if (before.get(m.id) !== m.state) announce(`${m.name}: ${t(states[m.state])}`);
    }
  }
  return now;
}
