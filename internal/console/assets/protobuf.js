// Protobuf without its definitions: fields by their numbers.

// fields reads a message as [[number, wire, value]]: value is a BigInt of a varint or a
// fixed number, or bytes. It returns null if the bytes are no message.
export function fields(bytes) {
  const out = [];
  let at = 0;
  const varint = () => {
    let n = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (at >= bytes.length) return null;
      const b = bytes[at++];
      n |= BigInt(b & 0x7f) << shift;
      if (b < 0x80) return BigInt.asUintN(64, n);
    }
    return null;
  };
  while (at < bytes.length) {
    const tag = varint();
    if (tag === null || tag >> 3n === 0n || tag >> 3n > 536870911n) return null;
    const number = Number(tag >> 3n), wire = Number(tag & 7n);
    let value;
    if (wire === 0) value = varint();
    else if (wire === 1 || wire === 5) {
      const n = wire === 1 ? 8 : 4;
      if (at + n > bytes.length) return null;
      value = 0n;
      for (let i = n - 1; i >= 0; i--) value = value << 8n | BigInt(bytes[at + i]);
      at += n;
    } else if (wire === 2) {
      const n = varint();
      if (n === null || n > BigInt(bytes.length - at)) return null;
      value = bytes.subarray(at, at + Number(n));
      at += Number(n);
    }
    if (value === null || value === undefined) return null;
    out.push([number, wire, value]);
  }
  return out;
}
