import type { Packed } from "../src/host/arrays";
import type { PackedFeatures, PackedSource } from "../src/host/reading";

const view = (array: ArrayBufferView) =>
  new DataView(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);

export const floats = (values: number[]): Packed => ({
  dtype: "float32",
  data: view(Float32Array.from(values)),
});
export const whole = (values: number[]): Packed => ({
  dtype: "uint32",
  data: view(Uint32Array.from(values)),
});
export const bytes = (values: number[]): Packed => ({
  dtype: "uint8",
  data: view(Uint8Array.from(values)),
});
export const words = (texts: string[]): Packed => ({
  dtype: "lines",
  data: view(new TextEncoder().encode(texts.map((text) => `${text}\n`).join(""))),
});

/** Features by index, each with its label. */
export function packedFeatures(labels: Record<number, string>, maxima: number[]): PackedFeatures {
  const n = Object.keys(labels).length;
  return {
    indices: whole(Object.keys(labels).map(Number)),
    labels: words(Object.values(labels)),
    sources: words(Array(n).fill("test")),
    scores: floats(Array(n).fill(0.9)),
    maxima: floats(maxima),
  };
}

/** What fires at each token: pairs of feature and activation. */
export function packedSource(
  labels: Record<number, string>,
  tokens: [feature: number, value: number][][],
  maxima: number[] = Object.keys(labels).map(() => Number.NaN),
): PackedSource {
  const order = Object.keys(labels).map(Number);
  const fired = tokens.flat();
  const starts = [0];
  for (const token of tokens) starts.push(starts.at(-1)! + token.length);
  return {
    name: "test dictionary",
    site: "3.resid_post",
    ...packedFeatures(labels, maxima),
    starts: whole(starts),
    columns: whole(fired.map(([feature]) => order.indexOf(feature))),
    values: floats(fired.map(([, value]) => value)),
  };
}
