// Changing users and roles. Each change is asked for in a dialog; the member decides whether it may be.
import { call } from './api.js';
import { endOf, parseKey, startOf, toBase64 } from './bytes.js';
import { announce, dialog, field, h, problem } from './dom.js';
import { t } from './text.js';

// made makes a change when a dialog is answered. The dialog closes, or tells why not.
const made = (change, done, close, go, trouble) => async (e) => {
  e.preventDefault();
  go.disabled = true;
  try {
    await change();
    announce(t('Changed.'));
    close();
    done();
  } catch (err) {
    trouble.replaceChildren(problem(err));
    go.disabled = false;
  }
};

// ask has what build makes filled in, and confirmed by a button: build returns [fields, change].
function ask(title, verb, kind, done, build) {
  return dialog(title, (close) => {
    const trouble = h('div'), go = h('button', { type: 'submit', class: kind }, verb);
    const [fields, change] = build();
    return h('form', { onsubmit: made(change, done, close, go, trouble) }, fields, trouble,
      h('div', { class: 'actions' }, go, h('button', { type: 'button', onclick: () => close() }, t('Cancel'))));
  });
}

const sure = (title, verb, told, done, change) => ask(title, verb, 'danger', done, () => [told.map((line) => h('p', {}, line)), change]);

const named = () => h('input', { required: true, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false' });

const choice = (all) => h('select', {}, all.map(([value, text]) => h('option', { value }, text)));

// passwords are two fields, and what was typed into both.
function passwords() {
  const one = h('input', { type: 'password', autocomplete: 'new-password', required: true });
  const two = h('input', { type: 'password', autocomplete: 'new-password', required: true });
  const read = () => {
    if (one.value !== two.value) throw new Error(t('The passwords differ.'));
    return one.value;
  };
  return [[field(t('New password'), one), field(t('The same once more'), two)], read];
}

export const newUser = (done) => ask(t('New user'), t('Add'), 'main', done, () => {
  const name = named(), none = h('input', { type: 'checkbox' }), [fields, read] = passwords(), secret = h('div', {}, fields);
  none.addEventListener('change', () => {
    secret.hidden = none.checked;
    for (const input of secret.querySelectorAll('input')) input.required = !none.checked;
  });
  return [[field(t('User'), name), h('label', { class: 'check' }, none, t('without a password: by certificate alone')), secret],
    () => call('auth/user/add', none.checked ? { name: name.value, options: { no_password: true } } : { name: name.value, password: read() })];
});

const changePassword = (user, done) => ask(`${t('Change password')}: ${user}`, t('Change'), 'main', done, () => {
  const [fields, read] = passwords();
  return [[...fields, h('p', { class: 'quiet' }, t('Who is logged in as this user has to log in again.'))], () => call('auth/user/changepw', { name: user, password: read() })];
});

const grantRole = (user, roles, done) => ask(`${t('Grant a role')}: ${user}`, t('Grant'), 'main', done, () => {
  const role = choice(roles.map((r) => [r, r]));
  return [field(t('Role'), role), () => call('auth/user/grant', { user, role: role.value })];
});

const revokeRole = (user, role, done) => sure(t('Revoke this role?'), t('Revoke'), [`${user}: ${role}`], done, () => call('auth/user/revoke', { name: user, role }));

const deleteUser = (user, done) => sure(t('Delete this user?'), t('Delete'), [user], done, () => call('auth/user/delete', { name: user }));

export const newRole = (done) => ask(t('New role'), t('Add'), 'main', done, () => {
  const name = named();
  return [field(t('Role'), name), () => call('auth/role/add', { name: name.value })];
});

const deleteRole = (role, holders, done) => sure(t('Delete this role?'), t('Delete'), [role, `${t('Users who lose it')}: ${holders.join(', ') || t('none')}`], done,
  () => call('auth/role/delete', { role }));

// Permissions are for one key, for those that begin so, for those up to another, or for all.
const oneKey = 'key', prefix = 'prefix', upTo = 'range', allKeys = 'all';

function permission(kind, scope, key, end) {
  const last = Uint8Array.of(0);
  if (scope === allKeys) return { permType: kind, key: toBase64(last), range_end: toBase64(last) };
  const from = parseKey(key);
  if (scope === prefix) return { permType: kind, key: toBase64(startOf(from)), range_end: toBase64(from.length ? endOf(from) : last) };
  if (scope === upTo) return { permType: kind, key: toBase64(startOf(from)), range_end: toBase64(end ? parseKey(end) : last) };
  return { permType: kind, key: toBase64(from) };
}

const grantPermission = (role, done) => ask(`${t('Grant a permission')}: ${role}`, t('Grant'), 'main', done, () => {
  const kind = choice([['READ', t('read')], ['WRITE', t('write')], ['READWRITE', t('read and write')]]);
  const scope = choice([[prefix, t('all keys that begin so')], [oneKey, t('this key alone')], [upTo, t('from this key up to another')], [allKeys, t('all keys')]]);
  const key = h('input', { class: 'key', autocapitalize: 'off', spellcheck: 'false', required: true });
  const end = h('input', { class: 'key', autocapitalize: 'off', spellcheck: 'false' });
  const from = field(t('Key'), key, t('\\xNN stands for a byte, \\\\ for a backslash.'));
  const to = field(t('Up to, but without'), end, t('Nothing here means to the last key.'));
  const shown = () => {
    from.hidden = scope.value === allKeys;
    key.required = !from.hidden;
    to.hidden = scope.value !== upTo;
  };
  scope.addEventListener('change', shown);
  shown();
  return [[field(t('What'), kind), field(t('Which keys'), scope), from, to],
    () => call('auth/role/grant', { name: role, perm: permission(kind.value, scope.value, key.value, end.value) })];
});

const revokePermission = (role, text, perm, done) => sure(t('Revoke this permission?'), t('Revoke'), [`${role}: ${text}`], done,
  () => call('auth/role/revoke', { role, key: perm.key, range_end: perm.range_end }));

// button is a control whose name tells what it is for: there is one in every row.
const button = (text, of, onclick, kind) => h('button', { type: 'button', class: kind, 'aria-label': `${text} ${of}`, onclick }, text);

const actions = (...all) => h('div', { class: 'actions' }, ...all);

// rolesOf shows a user's roles, each of which can be revoked.
export const rolesOf = (user, roles, done) => (roles.length ? h('ul', { class: 'held' },
  roles.map((r) => h('li', {}, r, ' ', button(t('Revoke'), `${r} (${user})`, () => revokeRole(user, r, done))))) : '–');

// ofUser and ofRole are what can be done with one.
export function ofUser(user, roles, all, done) {
  const others = all.filter((r) => !roles.includes(r));
  return actions(others.length ? button(t('Grant a role'), user, () => grantRole(user, others, done)) : null,
    button(t('Change password'), user, () => changePassword(user, done)), button(t('Delete'), user, () => deleteUser(user, done), 'danger'));
}

export const ofRole = (role, holders, done) => actions(role === 'root' ? null : button(t('Grant a permission'), role, () => grantPermission(role, done)),
  button(t('Delete'), role, () => deleteRole(role, holders, done), 'danger'));

// permissionsOf shows a role's permissions, [text, permission], each of which can be revoked.
export const permissionsOf = (role, all, done) => h('ul', { class: 'held' },
  all.map(([text, perm]) => h('li', {}, h('code', {}, text), ' ', button(t('Revoke'), `${text} (${role})`, () => revokePermission(role, text, perm, done)))));
