// Users and roles. Who may list them may change them; others see their own.
import { newRole, newUser, ofRole, ofUser, permissionsOf, rolesOf } from './accessedit.js';
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

// told is a role's permissions: [text, permission].
const told = (role) => (role.perm || []).map((p) => [`${(p.permType || 'READ').toLowerCase()} ${range(p)}`, p]);

// each asks for each of the names, a few at a time.
async function each(names, ask) {
  const out = [];
  for (let i = 0; i < Math.min(names.length, most); i += 8) out.push(...await Promise.all(names.slice(i, Math.min(i + 8, most)).map(ask)));
  return out;
}

export async function show(root, _params, signal) {
  const place = h('div');
  root.append(h('h1', {}, t('Users and roles')), place);
  await draw(place, signal);
}

// redraw draws the view anew when something was changed. The focus stays on the control that it was on, if that is there.
async function redraw(place, signal) {
  const at = document.activeElement && document.activeElement.getAttribute('aria-label');
  try {
    await draw(place, signal);
  } catch (e) {
    if (!signal.aborted) place.append(problem(e));
    return;
  }
  const all = [...place.querySelectorAll('button')];
  const to = all.find((b) => at && b.getAttribute('aria-label') === at) || all[0];
  if (to && document.activeElement === document.body) to.focus();
}

async function draw(place, signal) {
  const again = () => redraw(place, signal);
  const status = await call('auth/status', {}, signal);
  const top = status.enabled ? h('p', { class: 'note good' }, t('Access is controlled.'))
    : h('p', { class: 'note' }, t('Access is not controlled: everybody may do everything.'));
  try {
    const names = (await call('auth/user/list', {}, signal)).users || [];
    const users = await each(names, async (name) => [name, (await call('auth/user/get', { name }, signal)).roles || []]);
    const roleNames = (await call('auth/role/list', {}, signal)).roles || [];
    const roles = await each(roleNames, async (role) => [role, told(await call('auth/role/get', { role }, signal))]);
    const holders = (role) => users.filter(([, held]) => held.includes(role)).map(([name]) => name);
    place.replaceChildren(top,
      h('div', { class: 'actions' }, h('button', { type: 'button', onclick: () => newUser(again) }, t('New user')), h('button', { type: 'button', onclick: () => newRole(again) }, t('New role'))),
      names.length ? table(t('Users'), [t('User'), t('Roles'), t('Changes')], users.map(([name, held]) => [name, rolesOf(name, held, again), ofUser(name, held, roleNames, again)]))
        : h('p', { class: 'quiet' }, t('There are no users.')),
      roleNames.length ? table(t('Roles'), [t('Role'), t('Permissions'), t('Changes')],
        roles.map(([role, held]) => [role, role === 'root' ? t('everything') : permissionsOf(role, held, again), ofRole(role, holders(role), again)]))
        : h('p', { class: 'quiet' }, t('There are no roles.')));
    if (Math.max(names.length, roleNames.length) > most) place.append(h('p', { class: 'quiet' }, `${t('The first')} ${most}`));
  } catch (e) {
    if (signal.aborted) return;
    place.replaceChildren(top, problem(e));
    if (session.user) await own(place, signal);
  }
}

// own shows what everybody may know: one's own roles.
async function own(root, signal) {
  try {
    const { roles } = await call('auth/user/get', { name: session.user }, signal);
    const rows = await each(roles || [], async (role) => [role, h('div', {}, told(await call('auth/role/get', { role }, signal)).map(([text]) => h('div', {}, h('code', {}, text))))]);
    root.append(table(`${t('Your roles')} (${session.user})`, [t('Role'), t('Permissions')], rows));
  } catch { /* the first refusal is shown */ }
}
