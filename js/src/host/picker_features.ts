import { numbers, type Packed } from "./arrays";
import { Features, type PackedFeatures } from "./reading";

export interface PackedPicker extends PackedFeatures {
  densities: Packed;
}

export interface PackedFamilies {
  names: string[];
  of: Packed;
}

const WORD = /[\p{L}\p{N}]+/gu;

/** Every feature of a dictionary: a feature's place is its index. */
export class PickerFeatures extends Features {
  readonly densities: Float32Array;
  readonly families: Uint8Array;
  readonly familyNames: string[];
  /** Whether any label has a score, and any density was measured. */
  readonly scored: boolean;
  readonly measured: boolean;

  constructor(packed: PackedPicker, families: PackedFamilies) {
    super(packed);
    this.densities = numbers(packed.densities, "float32");
    this.families = numbers(families.of, "uint8");
    this.familyNames = families.names;
    this.scored = isKnown(this.scores);
    this.measured = isKnown(this.densities);
  }

  /** Features whose labels have all the words: the plain search of a page without a kernel. */
  withWords(text: string): Uint32Array {
    const words = text.toLowerCase().match(WORD) ?? [];
    return this.indices.filter((index) => {
      const label = this.labels[index]!.toLowerCase();
      return words.every((word) => label.includes(word));
    });
  }
}

/** Whether any of the figures is known. */
export function isKnown(figures: Float32Array): boolean {
  return figures.some((figure) => !Number.isNaN(figure));
}
