// The forms in which a value can be read.
import { dump, plain, utf8 } from './bytes.js';
import { h } from './dom.js';
import { isKubernetes, kubernetes, kindOf } from './kubernetes.js';
import { t } from './text.js';

// most is how much of a value is shown at once: a page with more is slow.
const most = 256 << 10;

function parsed(text) {
  if (!text || !/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function isSecret(bytes) {
  if (isKubernetes(bytes)) return kindOf(bytes) === 'Secret';
  const o = bytes.length < most ? parsed(utf8(bytes)) : undefined;
  return Boolean(o && o.kind === 'Secret');
}

const hidden = '••••••';

// masked is a Secret in JSON without what it holds.
function masked(o) {
  const out = { ...o };
  for (const part of ['data', 'stringData']) {
    if (out[part] && typeof out[part] === 'object') out[part] = Object.fromEntries(Object.keys(out[part]).map((k) => [k, hidden]));
  }
  if (out.metadata && out.metadata.annotations) out.metadata = { ...out.metadata, annotations: hidden };
  return out;
}

// pretty is JSON with lines, keeping numbers as they were written.
function pretty(text, o, reveal) {
  if (o && o.kind === 'Secret' && !reveal) return JSON.stringify(masked(o), null, 2);
  return /\d{16}/.test(text) ? text : JSON.stringify(o, null, 2);
}

function cut(text, bytes) {
  if (text.length <= most) return h('pre', {}, text || t('(empty)'));
  return h('div', {}, h('p', { class: 'note' }, `${t('The first part of')} ${bytes} B`), h('pre', {}, text.slice(0, most)));
}

// forms lists what a value can be shown as, and which is best.
export function forms(bytes, reveal = false) {
  const text = utf8(bytes), all = [];
  const secret = isSecret(bytes) && !reveal;
  const object = isKubernetes(bytes) ? kubernetes(bytes) : null;
  const json = parsed(text);
  if (object) all.push(['Kubernetes', () => object.show(reveal)]);
  if (json !== undefined) all.push(['JSON', () => cut(pretty(text, json, reveal), bytes.length)]);
  const closed = () => h('p', { class: 'quiet' }, t('Hidden: it would show the secret.'));
  if (text !== null && (plain(text) || !object)) all.push([t('Text'), () => secret ? closed() : cut(text, bytes.length)]);
  all.push([t('Hex'), () => secret ? closed() : cut(dump(bytes.subarray(0, most / 4)), bytes.length)]);
  const first = object || json !== undefined ? all[0][0] : text !== null && plain(text) ? t('Text') : t('Hex');
  return { all, first };
}

// lines is a value as lines of text, the same for the same value: what differences are
// taken of.
export function lines(bytes) {
  if (isKubernetes(bytes)) return kubernetes(bytes).lines();
  const text = utf8(bytes);
  const json = parsed(text);
  if (json !== undefined) return pretty(text, json, false).split('\n');
  return (text !== null && plain(text) ? text : dump(bytes.subarray(0, most / 4))).split('\n');
}

// brief is the beginning of a value on few lines.
export function brief(bytes) {
  const all = lines(bytes);
  const text = all.slice(0, 12).join('\n');
  return text.length > 600 ? text.slice(0, 600) + '…' : text + (all.length > 12 ? '\n…' : '');
}
