import { beforeEach, describe, expect, it, vi } from "vitest";
import { ALL, choose } from "../src/host/choice";
import { PickerFeatures } from "../src/host/picker_features";
import featurePicker from "../src/widgets/feature_picker";
import { anyModel, open, settled, stubLayout } from "./any_model";
import { bytes, floats, packedFeatures } from "./packed";

const LABELS = { 0: "cat", 1: "rain and storms", 2: "", 3: "<img src=x>" };
const packed = {
  ...packedFeatures(LABELS, [4, 3, 2, 1]),
  scores: floats([0.5, 0.9, Number.NaN, 0.95]),
  densities: floats([0.2, 0.01, Number.NaN, 0.02]),
};
const families = { names: ["animals", "weather"], of: bytes([0, 1, 255, 255]) };

const fakePicker = (state: object = {}) =>
  anyModel({
    _protocol: 1,
    _about: "test",
    _features: packed,
    _families: families,
    _ways: ["words", "nearest", "text", "token", "contrast"],
    _selected: [] as number[],
    ...state,
  });
const options = (el: HTMLElement) =>
  [...el.querySelectorAll(".sk-row")].map((row) => row.querySelector(".sk-label")!.textContent);
const type = (el: HTMLElement, text: string, label = "Search features") => {
  const field = el.querySelector<HTMLInputElement>(`[aria-label="${label}"]`)!;
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
const answer = (fake: ReturnType<typeof fakePicker>, indices: number[], values: number[]) =>
  fake.emit("msg:custom", { v: 1, rid: fake.sent.at(-1)!.rid, op: "answer", result: {} }, [
    new DataView(Uint32Array.from(indices).buffer),
    new DataView(Float32Array.from(values).buffer),
  ]);

beforeEach(stubLayout);

async function searchedInVain() {
  const fake = fakePicker();
  const { el, close } = open(featurePicker, fake.model);
  await settled();
  type(el, "xyz");
  answer(fake, [], []);
  await settled();
  return { fake, el, close };
}

describe("what a picker lists", () => {
  const features = new PickerFeatures(packed, families);

  it("keeps the order of a search, or orders by a figure, the unknown last", () => {
    expect([...choose(features, Uint32Array.of(3, 0), ALL, "match")]).toEqual([3, 0]);
    expect([...choose(features, null, ALL, "score")]).toEqual([3, 1, 0, 2]);
    expect([...choose(features, null, ALL, "density")]).toEqual([0, 3, 1, 2]);
    expect([...choose(features, Uint32Array.of(3, 0), ALL, "number")]).toEqual([0, 3]);
  });

  it("passes filters, which what is not known does not", () => {
    const left = (filter: object) => [...choose(features, null, { ...ALL, ...filter }, "match")];
    expect(left({})).toEqual([0, 1, 2, 3]);
    expect(left({ score: 0.9 })).toEqual([1, 3]);
    expect(left({ density: 0.02 })).toEqual([1, 3]);
    expect(left({ family: 0 })).toEqual([0]);
  });

  it("is found without a kernel by whole or part words", () => {
    expect([...features.withWords("STORM rain")]).toEqual([1]);
    expect([...features.withWords("")]).toEqual([0, 1, 2, 3]);
  });
});

describe("the picker", () => {
  it.each([true, false])(
    "takes all its listeners off (host passes signals: %s)",
    async (hosted) => {
      const fake = fakePicker();
      const { close } = open(featurePicker, fake.model, hosted);
      await settled();
      expect(fake.listeners).toBeGreaterThan(0);
      close();
      expect(fake.listeners).toBe(0);
    },
  );

  it("asks the kernel at every key, and shows the newest answer alone", async () => {
    const fake = fakePicker();
    const { el, close } = open(featurePicker, fake.model);
    await settled();
    expect(options(el)).toEqual(["cat", "rain and storms", "feature 2", "<img src=x>"]);
    expect(el.querySelector("img")).toBeNull();
    type(el, "r");
    type(el, "ra");
    expect(fake.sent.map(({ args }) => (args as { text: string }).text)).toEqual(["r", "ra"]);
    fake.emit("msg:custom", { rid: fake.sent[0]!.rid, op: "answer", result: {} }, []);
    answer(fake, [1], [Number.NaN]);
    await settled();
    expect(options(el)).toEqual(["rain and storms"]);
    type(el, "");
    await settled();
    expect(options(el)).toHaveLength(4);
    close();
  });

  it("chooses several by keys", async () => {
    const fake = fakePicker();
    const { el, close } = open(featurePicker, fake.model);
    await settled();
    const list = el.querySelector<HTMLElement>("[role=listbox]")!;
    for (const key of ["ArrowDown", " ", "End", "Enter"]) {
      list.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      await settled();
    }
    expect(fake.model.get("_selected")).toEqual([1, 3]);
    expect(list.getAttribute("aria-activedescendant")).toBe(el.querySelector(".sk-active")!.id);
    const out = el.querySelector<HTMLElement>('[aria-label="Take out rain and storms"]')!;
    out.focus();
    out.click();
    expect(fake.model.get("_selected")).toEqual([3]);
    await settled();
    expect(document.activeElement).toBe(el.querySelector(".sk-root"));
    for (const control of el.querySelectorAll<HTMLElement>("input, button, select, [tabindex]")) {
      expect(control.dataset.lmSuppressShortcuts).toBe("true");
    }
    close();
  });

  it("shows in each of two views what was found for that one", async () => {
    const fake = fakePicker();
    const { el, widget, close } = open(featurePicker, fake.model);
    const other = document.body.appendChild(document.createElement("div"));
    const view = new AbortController();
    widget.render({ model: fake.model, el: other, signal: view.signal });
    await settled();
    type(el, "rain");
    answer(fake, [1], [Number.NaN]);
    type(other, "cat");
    answer(fake, [0], [Number.NaN]);
    await settled();
    expect([el, other].map(options)).toEqual([["rain and storms"], ["cat"]]);
    view.abort();
    close();
    expect(fake.listeners).toBe(0);
  });

  it("shows what a search says of each feature", async () => {
    const fake = fakePicker();
    const { el, close } = open(featurePicker, fake.model);
    await settled();
    const ways = el.querySelector<HTMLSelectElement>("select")!;
    ways.value = "text";
    ways.dispatchEvent(new Event("change", { bubbles: true }));
    await settled();
    type(el, "It rained");
    expect(fake.sent.at(-1)!.args).toMatchObject({ by: "text", text: "It rained" });
    answer(fake, [1, 0], [7.25, 1]);
    await settled();
    expect(el.querySelector(".sk-columns")?.textContent).toContain("in text");
    expect(el.querySelector(".sk-row")?.textContent).toContain("7.3");
    expect(el.querySelector(".sk-row")?.getAttribute("aria-description")).toBe(
      "feature 1, in text 7.3, density 1%, score 0.90, max 3",
    );
    close();
  });

  it("searches by nearness to the feature that was chosen last", async () => {
    const fake = fakePicker();
    const { el, close } = open(featurePicker, fake.model);
    await settled();
    const ways = el.querySelector<HTMLSelectElement>("select")!;
    ways.value = "nearest";
    ways.dispatchEvent(new Event("change", { bubbles: true }));
    await settled();
    expect(el.textContent).toContain("Choose a feature: those nearest");
    expect(fake.sent).toEqual([]);
    const choose = async (name: string) => {
      [...el.querySelectorAll<HTMLElement>(".sk-row")]
        .find((row) => row.textContent?.includes(name))!
        .click();
      await settled();
    };
    await choose("cat");
    expect(fake.sent.at(-1)!.args).toMatchObject({ by: "nearest", feature: 0 });
    expect(el.textContent).toContain("Nearest to cat");
    answer(fake, [0, 1], [Number.NaN, Number.NaN]);
    await settled();
    await choose("rain");
    expect(fake.sent.at(-1)!.args).toMatchObject({ by: "nearest", feature: 1 });
    el.querySelector<HTMLElement>('[aria-label="Take out cat"]')!.click();
    expect(fake.sent).toHaveLength(2); // the last one is the same
    close();
  });

  it("leaves the keys where there is no list to go to", async () => {
    const { el, close } = await searchedInVain();
    const field = el.querySelector<HTMLElement>('[aria-label="Search features"]')!;
    const failed = vi.fn();
    window.addEventListener("error", failed);
    field.focus();
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
    window.removeEventListener("error", failed);
    expect(failed).not.toHaveBeenCalled();
    close();
  });

  it("says what to do where nothing is found, and what went wrong", async () => {
    const { fake, el, close } = await searchedInVain();
    expect(el.textContent).toContain("Nothing was found. Try fewer");
    type(el, "xyzz");
    fake.emit("msg:custom", {
      rid: fake.sent.at(-1)!.rid,
      op: "error",
      error: { kind: "X", message: "It broke.", hint: "Mend it." },
    });
    await settled();
    expect(el.querySelector("[role=alert]")?.textContent).toBe("It broke. Mend it.");
    close();
  });

  it("searches labels by itself where no kernel answers", async () => {
    const fake = fakePicker();
    const { el, close } = open(featurePicker, fake.model);
    await settled();
    type(el, "storms");
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(options(el)).toEqual(["rain and storms"]);
    expect(el.querySelector("[role=status]")?.textContent).toContain("no kernel answers");
    close();
  });
});
