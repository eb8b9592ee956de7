// Kubernetes objects as its API server stores them: a prefix, an envelope with the kind,
// and the object in protobuf.
import { plain, utf8 } from './bytes.js';
import { h } from './dom.js';
import { messages } from './kindfields.js';
import { fields } from './protobuf.js';
import { t } from './text.js';

const prefix = [0x6b, 0x38, 0x73, 0];
const maxDepth = 20, maxNodes = 20000;

export const isKubernetes = (bytes) => prefix.every((b, i) => bytes[i] === b);

// envelope is what is in the envelope, null if it is none.
function envelope(bytes) {
  const all = fields(bytes.subarray(prefix.length));
  if (!all) return null;
  const get = (list, n) => (list.find(([number, wire]) => number === n && wire === 2) || [])[2];
  const type = fields(get(all, 1) || new Uint8Array()) || [];
  return { apiVersion: utf8(get(type, 1) || new Uint8Array()) || '', kind: utf8(get(type, 2) || new Uint8Array()) || '',
    raw: get(all, 2) || new Uint8Array(), encoding: utf8(get(all, 3) || new Uint8Array()) || '', content: utf8(get(all, 4) || new Uint8Array()) || '' };
}

export const kindOf = (bytes) => (envelope(bytes) || {}).kind;

const signed = (n) => String(BigInt.asIntN(64, n));

// instant writes a time: field 1 is seconds, 2 nanoseconds.
function instant(bytes) {
  const all = fields(bytes) || [];
  const get = (n) => Number(BigInt.asIntN(64, (all.find(([number, wire]) => number === n && wire === 0) || [0, 0, 0n])[2]));
  const d = new Date(get(1) * 1000 + Math.floor(get(2) / 1e6));
  return !all.length || isNaN(d) ? '–' : d.toISOString().replace('.000Z', 'Z');
}

function numberOrText(bytes) {
  const all = new Map((fields(bytes) || []).map(([n, , v]) => [n, v]));
  return (all.get(1) || 0n) === 0n ? signed(all.get(2) || 0n) : utf8(all.get(3) || new Uint8Array()) || '';
}

// reader turns messages into nodes: {name, known, text} or {name, known, parts}.
class Reader {
  constructor(secret) {
    this.secret = secret; // whether what is secret is hidden
    this.left = maxNodes;
  }

  message(bytes, type, depth = 0) {
    const all = fields(bytes);
    if (!all || depth > maxDepth) return null;
    const nodes = [], lists = new Map();
    for (const [number, wire, value] of all) {
      if (--this.left < 0) break;
      const [name, kind] = (messages[type] && messages[type][number] || '').split(':');
      if (!name) {
        nodes.push(this.unknown(String(number), wire, value, depth));
        continue;
      }
      if (!/[*}]$/.test(kind)) {
        nodes.push(this.known(name, kind, wire, value, depth));
        continue;
      }
      if (!lists.has(name)) {
        lists.set(name, { name, known: true, parts: [] });
        nodes.push(lists.get(name));
      }
      const { parts } = lists.get(name);
      parts.push(kind.endsWith('*') ? this.known('-', kind.slice(0, -1), wire, value, depth) : this.entry(name, kind[1], value, depth));
    }
    return nodes.filter((n) => n.text !== '' && (!n.parts || n.parts.length));
  }

  known(name, kind, wire, value, depth) {
    const bytes = wire === 2;
    const text = (v) => ({ name, known: true, text: v });
    if (kind === 'i' && wire === 0) return text(signed(value));
    if (kind === 'b' && wire === 0) return text(value ? 'true' : 'false');
    if (bytes && kind === 's' && utf8(value) !== null) return text(utf8(value));
    if (bytes && kind === 't') return text(instant(value));
    if (bytes && kind === 'p') return text(numberOrText(value));
    if (bytes && kind === 'q') return text(utf8((fields(value) || [[1, 2, new Uint8Array()]])[0]?.[2] || new Uint8Array()) || '0');
    if (bytes && kind === 'y') return text(bytesText(value));
    if (bytes && (messages[kind] || kind === 'Unknown')) {
      const parts = this.message(value, kind, depth + 1);
      if (parts) return { name, known: true, parts };
    }
    return this.unknown(name, wire, value, depth);
  }

  // entry is one of a map: field 1 is its key, 2 its value.
  entry(field, kind, value, depth) {
    const all = fields(value) || [];
    const key = all.find(([n]) => n === 1), v = all.find(([n]) => n === 2);
    const name = key && key[1] === 2 ? utf8(key[2]) || '' : '';
    const hide = this.secret && (/^(data|stringData)$/.test(field) || field === 'annotations' && name.endsWith('last-applied-configuration'));
    if (hide) return { name, known: true, text: `•••••• (${v ? v[2].length : 0} B)` };
    return v ? this.known(name, kind, v[1], v[2], depth) : { name, known: true, text: '""' };
  }

  // unknown guesses: text, a message, or bytes.
  unknown(name, wire, value, depth) {
    const node = { name, known: false };
    if (wire !== 2) return { ...node, text: String(value) };
    const text = utf8(value);
    if (text !== null && plain(text) && !/^[\t\n\r]/.test(text)) return { ...node, text: text || '""' };
    const parts = this.message(value, '', depth + 1);
    return parts && parts.length ? { ...node, parts } : { ...node, text: bytesText(value) };
  }
}

function bytesText(bytes) {
  const text = utf8(bytes);
  if (text !== null && plain(text)) return text;
  const hex = [...bytes.subarray(0, 64)].map((b) => b.toString(16).padStart(2, '0')).join('');
  return `0x${hex}${bytes.length > 64 ? `… (${bytes.length} B)` : ''}`;
}

// kubernetes is an object that can be shown, and written as lines.
export function kubernetes(bytes) {
  const e = envelope(bytes);
  const nodes = (reveal) => {
    if (!e) return [{ name: t('this is no object'), known: false, text: bytesText(bytes) }];
    const secret = e.kind === 'Secret' && !reveal;
    const head = [{ name: 'apiVersion', known: true, text: e.apiVersion }, { name: 'kind', known: true, text: e.kind }];
    const body = new Reader(secret).message(e.raw, messages[e.kind] ? e.kind : '');
    // Objects of other kinds begin with their metadata, too.
    const rest = messages[e.kind] || !body ? body : new Reader(secret).message(e.raw, 'AnyObject');
    return [...head, ...(rest || [{ name: 'raw', known: false, text: bytesText(e.raw) }])];
  };
  return { show: (reveal) => h('ul', { class: 'object' }, nodes(reveal).map(item)), lines: () => nodes(false).flatMap((n) => lines(n, '')) };
}


function item(n) {
  const name = h('span', { class: n.known ? 'name' : 'name unknown', title: n.known ? null : t('a field without a name here') }, n.name === '-' ? '–' : `${n.name}:`);
  if (!n.parts) return h('li', {}, name, ' ', n.text.includes('\n') ? h('pre', {}, n.text) : n.text);
  return h('li', {}, name, h('ul', {}, n.parts.map(item)));
}

function lines(n, indent) {
  const name = n.name === '-' ? '-' : `${n.name}:`;
  if (n.parts) return [indent + name, ...n.parts.flatMap((p) => lines(p, indent + '  '))];
  if (!n.text.includes('\n')) return [`${indent}${name} ${n.text}`];
  return [indent + name, ...n.text.split('\n').map((l) => `${indent}  ${l}`)];
}
