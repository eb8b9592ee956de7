// Keys and values are bytes; this is how they are written as text.

export const fromBase64 = (text) => Uint8Array.from(atob(text || ''), (c) => c.charCodeAt(0));

export function toBase64(bytes) {
  let all = '';
  for (let i = 0; i < bytes.length; i += 0x8000) all += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(all);
}

// utf8 is bytes as text, null if they are none.
export function utf8(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

// plain tells whether a text has no control characters but those of layout.
export const plain = (text) => !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text);

const two = (n) => n.toString(16).padStart(2, '0');

// keyText writes any key on one line: what is no text becomes \xNN.
export function keyText(bytes) {
  const text = utf8(bytes);
  if (text !== null) {
    return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\\]/g, (c) => c === '\\' ? '\\\\' : [...new TextEncoder().encode(c)].map((b) => '\\x' + two(b)).join(''));
  }
  return [...bytes].map((b) => b === 0x5c ? '\\\\' : b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '\\x' + two(b)).join('');
}

// parseKey reads what keyText writes.
export function parseKey(text) {
  const parts = text.split(/(\\\\|\\x[0-9a-fA-F]{2})/);
  const out = [];
  for (const p of parts) {
    if (p === '\\\\') out.push(0x5c);
    else if (/^\\x[0-9a-fA-F]{2}$/.test(p)) out.push(parseInt(p.slice(2), 16));
    else for (const b of new TextEncoder().encode(p)) out.push(b);
  }
  return Uint8Array.from(out);
}

export const encode = (text) => new TextEncoder().encode(text);

// endOf is the end of the keys with a prefix, as API v3 has it.
export function endOf(prefix) {
  for (let i = prefix.length - 1; i >= 0; i--) {
    if (prefix[i] < 0xff) {
      const end = prefix.slice(0, i + 1);
      end[i]++;
      return end;
    }
  }
  return Uint8Array.of(0);
}

export const startOf = (prefix) => prefix.length ? prefix : Uint8Array.of(0);

// dump writes bytes as lines of offset, 16 bytes, and text.
export function dump(bytes) {
  const lines = [];
  for (let i = 0; i < bytes.length; i += 16) {
    const part = [...bytes.subarray(i, i + 16)];
    const hex = part.map(two).join(' ').padEnd(47);
    const text = part.map((b) => b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '.').join('');
    lines.push(`${i.toString(16).padStart(6, '0')}  ${hex}  ${text}`);
  }
  return lines.join('\n');
}

export const toHex = (bytes) => [...bytes].map(two).join('');

// fromHex reads hexadecimal digits with any spaces; null if it is something else.
export function fromHex(text) {
  const digits = text.replace(/\s+/g, '');
  if (digits.length % 2 || /[^0-9a-fA-F]/.test(digits)) return null;
  return Uint8Array.from(digits.match(/../g) || [], (d) => parseInt(d, 16));
}

export function size(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

export function duration(seconds) {
  if (!isFinite(seconds)) return '–';
  if (seconds < 1e-3) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 2 : seconds < 0.1 ? 1 : 0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export const number = (n) => Number(n || 0).toLocaleString('en-US', { maximumFractionDigits: n < 10 ? 2 : n < 100 ? 1 : 0 });
