// Questions to the member: its own for the console, and API v3 as JSON.
import { t } from './text.js';

const tokenAt = 'bowline.token';
const userAt = 'bowline.user';

export const session = {
  get token() { return sessionStorage.getItem(tokenAt); },
  get user() { return sessionStorage.getItem(userAt); },
  begin(user, token) {
    sessionStorage.setItem(userAt, user);
    sessionStorage.setItem(tokenAt, token);
  },
  end() {
    sessionStorage.removeItem(userAt);
    sessionStorage.removeItem(tokenAt);
  },
};

// Codes of gRPC that the page tells apart.
export const invalidArgument = 3, permissionDenied = 7, failedPrecondition = 9, unauthenticated = 16;

export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }

  get needsLogin() { return this.code === unauthenticated || /user name is empty|invalid auth token/.test(this.message); }

  explain() {
    if (this.code === permissionDenied) return `${t('You may not do this')}: ${this.message}`;
    return this.message;
  }
}

function headers() {
  const all = { 'Content-Type': 'application/json', 'X-Bowline-Console': '1' };
  if (session.token) all.Authorization = session.token;
  return all;
}

async function post(path, body, signal) {
  let answer;
  try {
    answer = await fetch('api/' + path, { method: 'POST', headers: headers(), body: JSON.stringify(body), signal, cache: 'no-store', credentials: 'omit' });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new Refused(14, t('The member does not answer.'));
  }
  if (answer.ok) return answer;
  let told = {};
  try {
    told = await answer.json();
  } catch { /* the status says enough */ }
  throw refused(told.error && typeof told.error === 'object' ? told.error : told, answer.status);
}

function refused(told, status) {
  const e = new Refused(told.code || 0, told.message || told.error || `HTTP ${status}`);
  if (e.needsLogin) document.dispatchEvent(new CustomEvent('needs-login'));
  return e;
}

// ask asks the console, and call makes a call of API v3.
export const ask = async (name, body = {}, signal) => (await post(name, body, signal)).json();
export const call = (path, body = {}, signal) => ask('v3/' + path, body, signal);

// stream makes a call that answers with many messages, a line each.
export async function stream(path, body, signal, got) {
  const answer = await post('v3/' + path, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (!line.trim()) continue;
      const message = JSON.parse(line);
      if (message.error) throw refused(message.error, 0);
      got(message.result);
    }
  }
}
