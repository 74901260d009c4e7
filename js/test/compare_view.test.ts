import { beforeEach, describe, expect, it } from "vitest";
import compareView from "../src/widgets/compare_view";
import { anyModel, open, settled, stubLayout } from "./any_model";
import { bytes, floats } from "./packed";

const HOSTILE = "<img src=x onerror=alert(1)>";
const packed = (tokens: string[]) => ({
  tokens,
  special: bytes(tokens.map(() => 0)),
  logprobs: floats(tokens.map(() => Math.log(0.5))),
  unsteered: floats(tokens.map(() => Number.NaN)),
  about: `${tokens.length} tokens`,
});
const fakeComparison = () =>
  anyModel({
    _protocol: 1,
    _prompt: "One day",
    _baseline: packed([" it", " was", " dry"]),
    _steered: {
      ...packed([" it", " rained", HOSTILE, " more"]),
      differs: bytes([0, 1, 1, 1]),
      lanes: { KL: floats([0, 1, 2, 1]), rain: floats([0, -4, 2, Number.NaN]) },
    },
    _span: [] as number[],
  });
const tokens = (el: HTMLElement, name: string) => [
  ...el.querySelectorAll<HTMLElement>(`[aria-label="${name}"] [role=listitem]`),
];
const shades = (el: HTMLElement) =>
  tokens(el, "Steered").map((token) => token.querySelector("span")!.style.getPropertyValue("--a"));

beforeEach(stubLayout);

describe("the compare view", () => {
  it.each([true, false])(
    "takes all its listeners off (host passes signals: %s)",
    async (hosted) => {
      const fake = fakeComparison();
      const { close } = open(compareView, fake.model, hosted);
      await settled();
      expect(fake.listeners).toBeGreaterThan(0);
      close();
      expect(fake.listeners).toBe(0);
    },
  );

  it("marks what differs, and colours by KL or by a coefficient", async () => {
    const { el, close } = open(compareView, fakeComparison().model);
    await settled();
    expect(el.querySelector("img")).toBeNull();
    expect(tokens(el, "Steered").map((token) => token.classList.contains("sk-differs"))).toEqual([
      false,
      true,
      true,
      true,
    ]);
    expect(shades(el)).toEqual(["", "0.50", "1.00", "0.50"]);
    const lanes = el.querySelector("select")!;
    lanes.value = "rain";
    lanes.dispatchEvent(new Event("change", { bubbles: true }));
    await settled();
    expect(shades(el)).toEqual(["", "1.00", "0.50", ""]);
    expect(el.querySelector("[role=status]")?.textContent).toContain("3 of 4 tokens differ");
    close();
  });

  it("writes the baseline's tokens beneath those that differ", async () => {
    const { el, close } = open(compareView, fakeComparison().model);
    await settled();
    el.querySelector<HTMLElement>(".sk-toggle")!.click();
    await settled();
    const glosses = tokens(el, "Steered").map((token) => token.dataset.gloss);
    expect(glosses).toEqual(["", "·was", "·dry", "end of text"]);
    close();
  });

  it("marks what is selected in both texts, and takes the mean over it", async () => {
    const fake = fakeComparison();
    const { el, close } = open(compareView, fake.model);
    await settled();
    tokens(el, "Steered")[1]!.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
    tokens(el, "Steered")[2]!.dispatchEvent(
      new PointerEvent("pointerup", { bubbles: true, shiftKey: true }),
    );
    await settled();
    expect(fake.model.get("_span")).toEqual([1, 2]);
    const marked = (name: string) => tokens(el, name).map((t) => t.getAttribute("aria-current"));
    expect(marked("Baseline")).toEqual([null, "true", "true"]);
    expect(el.querySelector("[role=status]")?.textContent).toContain("tokens 2 to 3: 1.5 nats");
    close();
  });

  it("tells of a token under the keyboard", async () => {
    const { el, close } = open(compareView, fakeComparison().model);
    await settled();
    tokens(el, "Steered")[1]!.focus();
    await settled();
    const card = el.querySelector("[role=tooltip]")!.textContent;
    for (const part of ["token 2", "0.5", "KL, nats1", "rain−4", "baseline·was"])
      expect(card).toContain(part);
    expect(card).not.toContain("NaN");
    close();
  });
});
