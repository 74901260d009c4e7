import { beforeEach, describe, expect, it } from "vitest";
import sweepView from "../src/widgets/sweep_view";
import { anyModel, open, settled, stubLayout } from "./any_model";

const HOSTILE = "<img src=x onerror=alert(1)>";
const run = (strength: number, effect: number | null, nats: number | null) => ({
  strength,
  text: ` text ${strength} ${HOSTILE}`,
  nats,
  repetition: 0.1,
  effect,
  about: `about ${strength}`,
});
const fakeSweep = (effects: (number | null)[]) =>
  anyModel({
    _protocol: 1,
    _about: "rain, in raw",
    _prompt: "One day",
    _runs: effects.map((effect, k) => run(4 * k, effect, k === 1 ? null : k)),
    _chosen: null as number | null,
  });

beforeEach(() => {
  stubLayout();
  Element.prototype.scrollIntoView = () => {};
});

describe("the sweep view", () => {
  it.each([true, false])(
    "takes all its listeners off (host passes signals: %s)",
    async (hosted) => {
      const fake = fakeSweep([0, 1]);
      const { close } = open(sweepView, fake.model, hosted);
      await settled();
      expect(fake.listeners).toBeGreaterThan(0);
      close();
      expect(fake.listeners).toBe(0);
    },
  );

  it("chooses a strength by a text or by a point of a curve", async () => {
    const fake = fakeSweep([0, 5, 2]);
    const { el, close } = open(sweepView, fake.model);
    await settled();
    expect(el.querySelector("img")).toBeNull();
    expect(el.querySelectorAll(".sk-run")[1]?.textContent).toBe(`+4One day text 4 ${HOSTILE}`);
    el.querySelectorAll<HTMLInputElement>("input")[2]!.click();
    expect(fake.model.get("_chosen")).toBe(2);
    const points = el.querySelectorAll<SVGElement>("figure:first-child g");
    points[1]!.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    await settled();
    expect(fake.model.get("_chosen")).toBe(1);
    expect(el.querySelector("[role=status]")?.textContent).toBe("Strength +4 · about 4");
    expect(el.querySelector(".sk-chosen")?.textContent).toContain("text 4");
    close();
  });

  it("draws every figure that is known, to scale", async () => {
    const { el, close } = open(sweepView, fakeSweep([0, 5, 2.5]).model);
    await settled();
    const [effect, fluency] = [...el.querySelectorAll("svg")];
    expect(effect!.getAttribute("aria-label")).toBe("Effect: 0 at 0, 5 at 4, 2.5 at 8");
    expect(effect!.querySelector("polyline")?.getAttribute("points")).toBe("40,88 175,8 310,48");
    expect(fluency!.querySelectorAll("g")).toHaveLength(2);
    close();
  });

  it("has no curve of an effect that nobody measured", async () => {
    const { el, close } = open(sweepView, fakeSweep([null, null]).model);
    await settled();
    expect(el.querySelectorAll("figure")).toHaveLength(2);
    close();
  });
});
