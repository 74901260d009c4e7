import { beforeEach, describe, expect, it } from "vitest";
import featureCard from "../src/widgets/feature_card";
import { anyModel, open, settled, stubLayout } from "./any_model";

const HOSTILE = "<img src=x onerror=alert(1)>";
const MEASURED = {
  corpus: "2 texts, 9 tokens",
  density: 0.25,
  maximum: 6,
  counts: [0, 2, 0, 1, 0],
  starts: [1, 2, 4, 8, 16],
  passages: [[6, " It ", HOSTILE, " all day."]],
};

const fakeCard = (state: object = {}) =>
  anyModel({
    _protocol: 1,
    _card: {
      index: 1204,
      labels: [
        { text: HOSTILE, source: "storybook", score: 0.98 },
        { text: "wet", source: "user", score: null },
      ],
      dictionary: "test",
      site: "3.resid_post",
      norm: 1,
      maximum: 7.94,
      tokens: { promoted: [[" rain", 2]], suppressed: [[HOSTILE, -1]] },
      nearest: [[5, "snow"]],
    },
    _measured: null as object | null,
    _corpora: ["own", "stories"],
    ...state,
  });
const button = (el: HTMLElement, text: string) =>
  [...el.querySelectorAll("button")].find((one) => one.textContent === text)!;

beforeEach(stubLayout);

describe("the feature card", () => {
  it.each([true, false])(
    "takes all its listeners off (host passes signals: %s)",
    async (hosted) => {
      const fake = fakeCard();
      const { close } = open(featureCard, fake.model, hosted);
      await settled();
      expect(fake.listeners).toBeGreaterThan(0);
      close();
      expect(fake.listeners).toBe(0);
    },
  );

  it("shows labels, tokens and texts as the text that they are, with their evidence", async () => {
    const { el, close } = open(featureCard, fakeCard({ _measured: MEASURED }).model);
    await settled();
    expect(el.querySelector("img")).toBeNull();
    expect(el.querySelector(".sk-title")?.textContent).toBe(
      `${HOSTILE}label by storybook, score 0.98Also: wet (label by user, not scored)`,
    );
    expect(el.querySelector('[aria-label="Promotes these tokens"]')?.textContent).toContain(
      "·rain",
    );
    expect(el.querySelector('[aria-label="Top contexts"]')?.textContent).toBe(
      `6It ${HOSTILE} all day.`,
    );
    close();
  });

  it("draws a bar a bin between the first and the last that has any", async () => {
    const { el, close } = open(featureCard, fakeCard({ _measured: MEASURED }).model);
    await settled();
    const picture = el.querySelector("svg")!;
    const bars = [...picture.querySelectorAll("rect")].map((bar) => [
      Number(bar.getAttribute("height")).toFixed(1),
      bar.textContent,
    ]);
    const half = ((48 * Math.log(2)) / Math.log(3)).toFixed(1);
    expect(bars).toEqual([
      ["48.0", "2 from 2"],
      ["0.0", "0 from 4"],
      [half, "1 from 8"],
    ]);
    expect(picture.getAttribute("aria-label")).toBe("Activations, from 2 to 11");
    close();
  });

  it("asks the kernel to measure over texts, and to show a neighbour", async () => {
    const fake = fakeCard();
    const { el, close } = open(featureCard, fake.model);
    await settled();
    const box = el.querySelector("textarea")!;
    box.value = "It rained.\n\n  \nMia sang.";
    box.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    button(el, "Measure").click();
    expect(fake.sent.at(-1)).toMatchObject({
      op: "measure",
      args: { texts: ["It rained.", "Mia sang."] },
    });
    await settled();
    expect(el.querySelector("[aria-busy=true]")).not.toBeNull();
    button(el, "Measure over stories").click();
    expect(fake.sent.at(-1)).toMatchObject({ op: "measure", args: { texts: null } });
    button(el, "snow").click();
    expect(fake.sent.at(-1)).toMatchObject({ op: "show", args: { feature: 5 } });
    fake.model.set("_measured", MEASURED as never);
    await settled();
    expect(el.textContent).toContain("Active at 25% of tokens");
    for (const control of el.querySelectorAll<HTMLElement>("button, textarea")) {
      expect(control.dataset.lmSuppressShortcuts).toBe("true");
    }
    close();
  });

  it("says what it cannot know", async () => {
    const bare = fakeCard({ _corpora: [] });
    bare.model.set("_card", {
      ...bare.model.get("_card"),
      labels: [],
      tokens: null,
      maximum: null,
      site: null,
    } as never);
    const { el, close } = open(featureCard, bare.model);
    await settled();
    expect(el.querySelector("h2")?.textContent).toBe("feature 1,204");
    expect(el.textContent).toContain("Nobody has given it a label");
    expect(el.textContent).toContain("FeatureCard(feature, model) measures over texts");
    expect(el.querySelector("textarea")).toBeNull();
    close();
  });
});
