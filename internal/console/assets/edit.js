// Changing and deleting keys: only if they are still what was looked at.
import { call } from './api.js';
import { encode, fromBase64, fromHex, keyText, number, parseKey, plain, toBase64, toHex, utf8 } from './bytes.js';
import { difference } from './diff.js';
import { announce, dialog, field, h, problem } from './dom.js';
import { isSecret, lines } from './forms.js';
import { t } from './text.js';

const maxEditable = 512 << 10;

// ifSame is a transaction that does ops if the key still has a modification revision,
// and otherwise brings what there is.
const ifSame = (key, revision, ops) => call('kv/txn', {
  compare: [{ key, target: 'MOD', result: 'EQUAL', mod_revision: String(revision) }],
  success: ops, failure: [{ request_range: { key } }],
});

// edit asks for a value of kv, or of a new key, and writes it. It resolves to the key if
// that was done.
export async function edit(kv, name) {
  const old = kv ? fromBase64(kv.value) : new Uint8Array();
  if (old.length > maxEditable) {
    await dialog(t('Edit'), (close) => [h('p', {}, t('The value is too large to be edited here.')), h('button', { type: 'button', onclick: () => close() }, t('Close'))]);
    return null;
  }
  if (kv && isSecret(old) && !await dialog(t('Edit'), (close) => [h('p', {}, t('To edit a Secret shows it.')),
    h('div', { class: 'actions' }, h('button', { type: 'button', class: 'main', onclick: () => close(true) }, t('Go on')), h('button', { type: 'button', onclick: () => close() }, t('Cancel')))])) return null;
  const text = utf8(old), asText = text !== null && plain(text);
  let wanted = { name, text: asText ? text : toHex(old).replace(/(.{64})/g, '$1\n'), hex: !asText };
  for (;;) {
    wanted = await form(kv, wanted);
    if (!wanted) return null;
    const sure = await confirmed(kv, wanted);
    if (!sure) return null;
    if (sure.done) return wanted.key;
    kv = sure.kv; // what is there now, if that has changed
  }
}

function form(kv, wanted) {
  return dialog(kv ? `${t('Edit')} ${wanted.name}` : t('New key'), (close) => {
    const key = h('input', { class: 'key', required: true, value: wanted.name, disabled: Boolean(kv), autocapitalize: 'off', spellcheck: 'false' });
    const value = h('textarea', { class: 'code', value: wanted.text, spellcheck: 'false' });
    const hex = h('input', { type: 'checkbox' });
    hex.checked = wanted.hex;
    const trouble = h('div');
    hex.addEventListener('change', () => {
      const bytes = hex.checked ? encode(value.value) : fromHex(value.value);
      const text = bytes && (hex.checked ? toHex(bytes) : utf8(bytes));
      if (text === null) {
        hex.checked = !hex.checked;
        trouble.replaceChildren(problem(new Error(t('This cannot be written so.'))));
      } else value.value = text;
    });
    const submit = (e) => {
      e.preventDefault();
      const bytes = hex.checked ? fromHex(value.value) : encode(value.value);
      if (!bytes) trouble.replaceChildren(problem(new Error(t('These are no hexadecimal digits.'))));
      else close({ name: key.value, key: parseKey(key.value), text: value.value, hex: hex.checked, bytes });
    };
    return h('form', { onsubmit: submit }, field(t('Key'), key, t('\\xNN stands for a byte, \\\\ for a backslash.')), field(t('Value'), value),
      h('label', { class: 'check' }, hex, t('as hexadecimal digits')), trouble,
      h('div', { class: 'actions' }, h('button', { type: 'submit', class: 'main' }, t('Compare and go on')), h('button', { type: 'button', onclick: () => close() }, t('Cancel'))));
  });
}

// confirmed shows what would change and does it: {done}, or {kv} to edit once more, what
// was found in the place of the old; undefined to give up.
function confirmed(kv, wanted) {
  const old = kv ? fromBase64(kv.value) : new Uint8Array();
  let found = kv;
  return dialog(kv ? t('Write this change?') : t('Write this new key?'), (close) => {
    const result = h('div');
    const write = h('button', { type: 'button', class: 'main', onclick: () => put(kv ? kv.mod_revision : 0) }, t('Write'));
    const put = async (revision) => {
      write.disabled = true;
      const key = toBase64(wanted.key);
      // The lease stays; a new key has none.
      const op = { request_put: { key, value: toBase64(wanted.bytes), ignore_lease: Boolean(kv && kv.lease && kv.lease !== '0') } };
      try {
        const got = await ifSame(key, revision, [op]);
        if (got.succeeded) {
          announce(t('Written.'));
          close({ done: true });
        } else found = conflict(result, got, wanted.bytes);
      } catch (e) {
        result.replaceChildren(problem(e));
      }
    };
    return [h('p', { class: 'key' }, wanted.name), difference(kv ? lines(old) : [], lines(wanted.bytes), undefined, toBase64(old) === toBase64(wanted.bytes)),
      h('p', { class: 'quiet' }, kv ? `${t('Only if its revision is still')} ${number(kv.mod_revision)}.` : t('Only if there is no such key yet.')), result,
      h('div', { class: 'actions' }, write, h('button', { type: 'button', onclick: () => close({ kv: found }) }, t('Edit again')), h('button', { type: 'button', onclick: () => close() }, t('Cancel')))];
  });
}

// conflict shows what is there beside what was to be written, and returns it. A deletion
// has nothing of its own.
function conflict(root, got, mine) {
  const now = ((((got.responses || [])[0] || {}).response_range || {}).kvs || [])[0];
  root.replaceChildren(h('p', { class: 'note bad', role: 'alert' }, t('Nothing was changed: somebody else has changed the key meanwhile.')),
    h('div', { class: 'sides' },
      h('div', {}, h('h3', {}, now ? `${t('There now, revision')} ${number(now.mod_revision)}` : t('There now: no such key')), h('pre', { class: 'theirs' }, now ? lines(fromBase64(now.value)).join('\n') : '')),
      mine ? h('div', {}, h('h3', {}, t('Yours, not written')), h('pre', { class: 'mine' }, lines(mine).join('\n'))) : null));
  return now;
}

// remove deletes a key after asking; it resolves to whether that was done.
export function remove(kv) {
  const name = keyText(fromBase64(kv.key));
  return dialog(t('Delete this key?'), (close) => {
    const result = h('div');
    const go = h('button', { type: 'button', class: 'danger', onclick: async () => {
      go.disabled = true;
      try {
        const got = await ifSame(kv.key, kv.mod_revision, [{ request_delete_range: { key: kv.key } }]);
        if (got.succeeded) {
          announce(t('Deleted.'));
          close(true);
        } else conflict(result, got);
      } catch (e) {
        result.replaceChildren(problem(e));
      }
    } }, t('Delete'));
    return [h('p', { class: 'key' }, name), h('p', { class: 'quiet' }, `${t('Only if its revision is still')} ${number(kv.mod_revision)}.`), result,
      h('div', { class: 'actions' }, go, h('button', { type: 'button', onclick: () => close() }, t('Cancel')))];
  });
}
