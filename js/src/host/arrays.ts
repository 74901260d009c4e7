// Arrays from the kernel, as binary buffers; `steerkit_widgets/_arrays.py` is the other end.

const KINDS = { float32: Float32Array, uint32: Uint32Array, uint8: Uint8Array };
type Kind = keyof typeof KINDS;

/** An array on its way: little-endian, in C order. Texts are UTF-8, a line each. */
export interface Packed {
  dtype: Kind | "lines";
  data: DataView | Uint8Array;
}

/** The numbers of a packed array. */
export function numbers<K extends Kind>(packed: Packed, dtype: K): InstanceType<(typeof KINDS)[K]> {
  // A copy: hosts hand over views at any offset, which typed arrays would refuse.
  const bytes = bytesOf(packed, dtype).slice();
  return new KINDS[dtype](bytes.buffer) as InstanceType<(typeof KINDS)[K]>;
}

/** The texts of packed lines. */
export function lines(packed: Packed): string[] {
  const text = new TextDecoder().decode(bytesOf(packed, "lines"));
  return text === "" ? [] : text.slice(0, -1).split("\n");
}

function bytesOf({ dtype, data }: Packed, expected: string): Uint8Array {
  if (dtype !== expected) throw new TypeError(`expected ${expected}, got ${dtype}`);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
