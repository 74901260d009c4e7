import { expect, it } from "vitest";
import { repeats } from "../src/parts/repeats";

it("notices a text that goes round in circles, and no other", () => {
  const story = Array.from({ length: 60 }, (_, i) => `word ${i}`);
  expect(repeats(story)).toBe(false);
  expect(repeats([...story.slice(0, 20), ...story.slice(0, 20)])).toBe(true);
  expect(repeats(["a", "a", "a", "a", "a", "a"])).toBe(false);
});
