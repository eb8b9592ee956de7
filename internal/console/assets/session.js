// Who one is: logging in and out.
import { call, session } from './api.js';
import { announce, dialog, field, h, problem } from './dom.js';
import { t } from './text.js';

let asking = null;

// login asks for a name and a password, once at a time.
export function login() {
  asking ||= ask().finally(() => { asking = null; });
  return asking;
}

async function ask() {
  const done = await dialog(t('Log in'), (close) => {
    const user = h('input', { autocomplete: 'username', required: true, value: session.user || '' });
    const password = h('input', { type: 'password', autocomplete: 'current-password', required: true });
    const trouble = h('div');
    const submit = async (e) => {
      e.preventDefault();
      try {
        const { token } = await call('auth/authenticate', { name: user.value, password: password.value });
        session.begin(user.value, token);
        close(true);
      } catch (err) {
        trouble.replaceChildren(problem(err));
      }
    };
    return h('form', { onsubmit: submit, class: 'stack' },
      h('p', {}, t('This cluster has users. What you see and may change depends on yours.')),
      field(t('User'), user), field(t('Password'), password), trouble,
      h('div', { class: 'actions' }, h('button', { type: 'submit', class: 'main' }, t('Log in')),
        h('button', { type: 'button', onclick: () => close() }, t('Cancel'))));
  });
  if (done) {
    announce(`${t('Logged in as')} ${session.user}`);
    document.dispatchEvent(new CustomEvent('session'));
  }
  return done;
}

// showSession shows who one is, and lets one change it.
export async function showSession(root) {
  let enabled = false;
  try {
    enabled = Boolean((await call('auth/status')).enabled);
  } catch { /* the views say what is wrong */ }
  if (!enabled) {
    root.replaceChildren(h('span', { class: 'quiet', title: t('Access is not controlled: everybody may do everything.') }, t('open to all')));
    return;
  }
  if (!session.token) {
    root.replaceChildren(h('button', { type: 'button', onclick: login }, t('Log in')));
    return;
  }
  const out = () => {
    session.end();
    document.dispatchEvent(new CustomEvent('session'));
  };
  root.replaceChildren(h('span', { class: 'who' }, session.user), h('button', { type: 'button', onclick: out }, t('Log out')));
}
