import { beforeEach, describe, expect, it } from "vitest";
import contrastView from "../src/widgets/contrast_view";
import { anyModel, open, settled, stubLayout } from "./any_model";
import { floats, packedFeatures } from "./packed";

const HOSTILE = "<img src=x onerror=alert(1)>";
const FOUND = {
  ...packedFeatures({ 7: "rain", 20: HOSTILE }, [1, 1]),
  auroc: floats([0.98, 0.02]),
  difference: floats([6, -4]),
  in_positives: floats([1, 0]),
  in_negatives: floats([0, 0.5]),
  chance: 0.93,
};
const fakeContrast = (state: object = {}) =>
  anyModel({
    _protocol: 1,
    positives: ["It rained."],
    negatives: [] as string[],
    _found: null as object | null,
    _selected: [] as number[],
    ...state,
  });

beforeEach(stubLayout);

describe("the contrast view", () => {
  it.each([true, false])(
    "takes all its listeners off (host passes signals: %s)",
    async (hosted) => {
      const fake = fakeContrast();
      const { close } = open(contrastView, fake.model, hosted);
      await settled();
      expect(fake.listeners).toBeGreaterThan(0);
      close();
      expect(fake.listeners).toBe(0);
    },
  );

  it("asks once either side has a text, a line each", async () => {
    const fake = fakeContrast();
    const { el, close } = open(contrastView, fake.model);
    await settled();
    const [positives, negatives] = [...el.querySelectorAll("textarea")];
    expect(positives!.value).toBe("It rained.");
    const button = el.querySelector("button")!;
    button.click();
    expect(fake.sent).toEqual([]);
    negatives!.value = "The sun shone.\n\n He sang.\n";
    negatives!.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    expect(negatives!.value).toBe("The sun shone.\n\n He sang.\n");
    button.click();
    expect(fake.sent.at(-1)).toMatchObject({
      op: "contrast",
      args: { positives: ["It rained."], negatives: ["The sun shone.", " He sang."] },
    });
    close();
  });

  it("lists features with their figures, and chooses from them", async () => {
    const fake = fakeContrast({ _found: FOUND });
    const { el, close } = open(contrastView, fake.model);
    await settled();
    expect(el.querySelector("img")).toBeNull();
    expect([...el.querySelectorAll("tbody tr")].map((row) => row.textContent)).toEqual([
      "rain 70.986100%0%",
      `${HOSTILE} 200.02−40%50%`,
    ]);
    expect(el.textContent).toContain("AUROC of 0.93");
    el.querySelector<HTMLInputElement>('[aria-label="Choose rain"]')!.click();
    expect(fake.model.get("_selected")).toEqual([7]);
    for (const control of el.querySelectorAll<HTMLElement>("button, input, textarea")) {
      expect(control.dataset.lmSuppressShortcuts).toBe("true");
    }
    close();
  });
});
