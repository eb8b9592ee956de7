// Users and roles.
import { call, session } from './api.js';
import { endOf, fromBase64, keyText, toBase64 } from './bytes.js';
import { h, problem, table } from './dom.js';
import { t } from './text.js';

export const title = 'Users';

const most = 200;

// range writes the keys of a permission.
function range(p) {
  const key = fromBase64(p.key), end = p.range_end || '';
  if (!end) return keyText(key);
  if (end === 'AA==' && (key.length === 0 || (key.length === 1 && key[0] === 0))) return t('all keys');
  if (end === 'AA==') return `${keyText(key)} …`;
  return end === toBase64(endOf(key)) ? `${keyText(key)}*` : `${keyText(key)} … ${keyText(fromBase64(end))}`;
}

const permissions = (role) => (role.perm || []).map((p) => h('div', {}, h('code', {}, `${(p.permType || 'READ').toLowerCase()} ${range(p)}`)));

// each asks for each of the names, a few at a time.
async function each(names, ask) {
  const out = [];
  for (let i = 0; i < Math.min(names.length, most); i += 8) out.push(...await Promise.all(names.slice(i, Math.min(i + 8, most)).map(ask)));
  return out;
}

export async function show(root, _params, signal) {
  root.append(h('h1', {}, t('Users and roles')));
  const status = await call('auth/status', {}, signal);
  root.append(status.enabled ? h('p', { class: 'note good' }, t('Access is controlled.'))
    : h('p', { class: 'note' }, t('Access is not controlled: everybody may do everything.')));
  try {
    const names = (await call('auth/user/list', {}, signal)).users || [];
    const users = await each(names, async (name) => [name, ((await call('auth/user/get', { name }, signal)).roles || []).join(', ') || '–']);
    const roleNames = (await call('auth/role/list', {}, signal)).roles || [];
    const roles = await each(roleNames, async (role) => [role, role === 'root' ? t('everything') : h('div', {}, permissions(await call('auth/role/get', { role }, signal)))]);
    root.append(names.length ? table(t('Users'), [t('User'), t('Roles')], users) : h('p', { class: 'quiet' }, t('There are no users.')),
      roleNames.length ? table(t('Roles'), [t('Role'), t('Permissions')], roles) : h('p', { class: 'quiet' }, t('There are no roles.')));
    if (Math.max(names.length, roleNames.length) > most) root.append(h('p', { class: 'quiet' }, `${t('The first')} ${most}`));
  } catch (e) {
    if (signal.aborted) return;
    root.append(problem(e));
    if (session.user) await own(root, signal);
  }
}

// own shows what everybody may know: one's own roles.
async function own(root, signal) {
  try {
    const { roles } = await call('auth/user/get', { name: session.user }, signal);
    const rows = await each(roles || [], async (role) => [role, h('div', {}, permissions(await call('auth/role/get', { role }, signal)))]);
    root.append(table(`${t('Your roles')} (${session.user})`, [t('Role'), t('Permissions')], rows));
  } catch { /* the first refusal is shown */ }
}
