// Blocks of numbers: the counterpart of iblnm/viewer/wire.py.
const TOPS = {i1: 127, i2: 32767, d2: 8191};

function readArray(buffer, origin, [kind, offset, shape, low, step]) {
  const count = shape.reduce((product, n) => product * n, 1);
  const at = origin + offset;
  let values;
  if (kind === "f8") values = new Float64Array(buffer, at, count);
  else if (kind === "f4") values = new Float32Array(buffer, at, count);
  else {
    const levels = kind === "i1" ? new Int8Array(buffer, at, count)
      : kind === "i2" ? new Int16Array(buffer, at, count) : undoSteps(buffer, at, count, shape);
    const none = -TOPS[kind] - 1;
    values = new Float64Array(count);
    for (let i = 0; i < count; i++) values[i] = levels[i] === none ? NaN : low + step * levels[i];
  }
  values.shape = shape;
  return values;
}

function undoSteps(buffer, at, count, shape) {
  const lowBytes = new Uint8Array(buffer, at, count), highBytes = new Uint8Array(buffer, at + count, count);
  const levels = new Int16Array(count), row = shape[shape.length - 1] || 1;
  for (let i = 0, level = 0; i < count; i++) {
    if (i % row === 0) level = 0;
    level = (level + lowBytes[i] + 256 * highBytes[i]) & 0xffff;
    levels[i] = level;
  }
  return levels;
}

function unpackBlock(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  return JSON.parse(text, (key, value) =>
    value && typeof value === "object" && Array.isArray(value.$) ? readArray(buffer, 4 + length, value.$) : value);
}
