import { createElement, render } from "preact";
import { beforeEach, describe, expect, it } from "vitest";
import { Source } from "../src/host/reading";
import { FiringList } from "../src/parts/firing_list";
import tokenView from "../src/widgets/token_view";
import { anyModel, open, settled, stubLayout } from "./any_model";
import { bytes, packedSource } from "./packed";

const HOSTILE = "<img src=x onerror=alert(1)>";

function fakeReading(state: object = {}) {
  return anyModel({
    _protocol: 1,
    _tokens: ["<s>", "It", " rained", HOSTILE, ""],
    _special: bytes([1, 0, 0, 0, 0]),
    _sources: [
      packedSource({ 7: "rain", 20: HOSTILE }, [
        [[20, 99]],
        [[20, 1]],
        [
          [7, 6],
          [20, 2],
        ],
        [[20, 4]],
        [],
      ]),
    ],
    _silent: [],
    _selected: [] as number[][],
    _span: [] as number[],
    ...state,
  });
}
const tokens = (el: HTMLElement) => [...el.querySelectorAll<HTMLElement>("[role=listitem]")];
const shade = (el: HTMLElement, lane = "a") =>
  tokens(el).map((token) =>
    token.querySelector<HTMLElement>("span")!.style.getPropertyValue(`--${lane}`),
  );
const click = (token: HTMLElement, shiftKey = false) =>
  token.dispatchEvent(new PointerEvent("pointerup", { bubbles: true, shiftKey }));
const press = (key: string, shiftKey = false) =>
  document.activeElement!.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, shiftKey }),
  );
const rows = (el: HTMLElement) =>
  [...el.querySelectorAll(".sk-firing tbody tr")].map((row) => row.textContent);

beforeEach(stubLayout);

describe("the token view", () => {
  it.each([true, false])(
    "takes all its listeners off (host passes signals: %s)",
    async (hosted) => {
      const fake = fakeReading();
      const { el, close } = open(tokenView, fake.model, hosted);
      await settled();
      expect(fake.listeners).toBeGreaterThan(0);
      close();
      expect(fake.listeners).toBe(0);
      expect(el.textContent).toBe("");
    },
  );

  it("shows tokens and labels as the text that they are", async () => {
    const { el, close } = open(tokenView, fakeReading({ _span: [0, 4] }).model);
    await settled();
    expect(
      tokens(el)
        .map((token) => token.textContent)
        .join(""),
    ).toBe(`<s>It rained${HOSTILE}`);
    expect(el.querySelector(".sk-firing")?.textContent).toContain(HOSTILE);
    expect(el.querySelector("img")).toBeNull();
    close();
  });

  it("colours by the strongest feature, special tokens aside, until some are pinned", async () => {
    const fake = fakeReading();
    const { el, close } = open(tokenView, fake.model);
    await settled();
    expect(shade(el)).toEqual(["", "0.17", "1.00", "0.67", ""]);
    fake.model.set("_selected", [[0, 20]] as never);
    await settled();
    expect(shade(el)).toEqual(["", "0.25", "0.50", "1.00", ""]);
    fake.model.set("_selected", [
      [0, 20],
      [0, 7],
    ] as never);
    await settled();
    expect(shade(el)).toEqual(["", "0.25", "0.50", "1.00", ""]);
    expect(shade(el, "b")).toEqual(["", "", "1.00", "", ""]);
    close();
  });

  it("lists what fires at a token, and pins from there", async () => {
    const fake = fakeReading();
    const { el, close } = open(tokenView, fake.model);
    await settled();
    click(tokens(el)[2]!);
    await settled();
    expect(fake.model.get("_span")).toEqual([2, 2]);
    expect(rows(el)).toEqual(["rain 76", `${HOSTILE} 202`]);
    el.querySelector<HTMLElement>('[aria-label="Colour by rain"]')!.click();
    await settled();
    expect(fake.model.get("_selected")).toEqual([[0, 7]]);
    expect(el.querySelector(".sk-legend")?.textContent).toContain("max 6 at “rained”");
    const unpin = el.querySelector<HTMLElement>('[aria-label="Unpin rain"]')!;
    unpin.focus();
    unpin.click();
    expect(fake.model.get("_selected")).toEqual([]);
    await settled();
    expect(document.activeElement).toBe(el.querySelector(".sk-root"));
    close();
  });

  it("lists the first of more features than a call has room for", () => {
    const sources = [new Source(packedSource({ 7: "rain" }, [[[7, 6]]]))];
    const one = { source: 0, column: 0, mean: 6, size: 6, max: 6, count: 1 };
    const firing = Array(200_000).fill(one);
    const el = document.createElement("div");
    const rest = { caption: "", hueOf: () => undefined, full: false, onPin: () => {} };
    render(createElement(FiringList, { firing, sources, ...rest }), el);
    expect(rows(el)).toHaveLength(40);
    expect(el.querySelector<HTMLElement>(".sk-bar-cell span")?.style.width).toBe("100%");
  });

  it("refuses a fourth feature", async () => {
    const labels = { 1: "a", 2: "b", 3: "c", 4: "d" };
    const fired = Object.keys(labels).map((feature): [number, number] => [Number(feature), 1]);
    const fake = fakeReading({
      _tokens: ["x"],
      _special: bytes([0]),
      _sources: [packedSource(labels, [fired])],
      _selected: [
        [0, 1],
        [0, 2],
        [0, 3],
      ],
      _span: [0, 0],
    });
    const { el, close } = open(tokenView, fake.model);
    await settled();
    const fourth = el.querySelector<HTMLElement>('[aria-label="Colour by d"]')!;
    expect(fourth.getAttribute("aria-disabled")).toBe("true");
    fourth.click();
    expect(fake.model.get("_selected")).toHaveLength(3);
    close();
  });

  it("is worked by keys alone: walk, extend, choose", async () => {
    const fake = fakeReading();
    const { el, close } = open(tokenView, fake.model);
    await settled();
    tokens(el)[0]!.focus();
    press("ArrowRight");
    expect(document.activeElement).toBe(tokens(el)[1]);
    press("Enter");
    expect(fake.model.get("_span")).toEqual([1, 1]);
    press("ArrowRight", true);
    press("ArrowRight", true);
    expect(fake.model.get("_span")).toEqual([1, 3]);
    await settled();
    expect(tokens(el).map((token) => token.getAttribute("aria-current"))).toEqual([
      null,
      "true",
      "true",
      "true",
      null,
    ]);
    expect(el.querySelector("[role=tooltip]")?.textContent).toContain("token 4");
    for (const control of el.querySelectorAll<HTMLElement>("button, [tabindex]")) {
      expect(control.dataset.lmSuppressShortcuts).toBe("true");
    }
    close();
  });

  it("has a row for each of several dictionaries, coloured by its own features", async () => {
    const other = {
      ...packedSource({ 7: "weather" }, [[], [[7, 2]], [], [], []]),
      site: "5.resid_post",
    };
    const fake = fakeReading();
    fake.model.set("_sources", [...fake.model.get("_sources"), other] as never);
    const { el, close } = open(tokenView, fake.model);
    await settled();
    const read = [...el.querySelectorAll<HTMLElement>(".sk-strips section")];
    expect(read.map((row) => row.getAttribute("aria-label"))).toEqual([
      "Text read at 3.resid_post: test dictionary",
      "Text read at 5.resid_post: test dictionary",
    ]);
    expect(shade(read[1]!)).toEqual(["", "1.00", "", "", ""]);
    close();
  });

  it("tells features of one name in several dictionaries apart in the card", async () => {
    const other = {
      ...packedSource({ 3: "rain" }, [[], [], [[3, 5]], [], []]),
      site: "5.resid_post",
    };
    const fake = fakeReading({ _selected: [[0, 7]] });
    fake.model.set("_sources", [...fake.model.get("_sources"), other] as never);
    const { el, close } = open(tokenView, fake.model);
    await settled();
    tokens(el)[2]!.dispatchEvent(new Event("pointermove", { bubbles: true }));
    await settled();
    const shown = [...el.querySelectorAll(".sk-card-row")].map((row) => row.textContent);
    expect(shown.slice(0, 2)).toEqual(["rain 3.resid_post6", "rain 5.resid_post5"]);
    expect(shown).toHaveLength(3);
    close();
  });

  it("says so of a feature that does not fire in the text", async () => {
    const { el, close } = open(
      tokenView,
      fakeReading({ _selected: [[0, 3]], _silent: [[0, 3, "snow"]] }).model,
    );
    await settled();
    expect(el.querySelector(".sk-legend")?.textContent).toContain("snowdoes not fire here");
    expect(shade(el)).toEqual(["", "", "", "", ""]);
    close();
  });
});
