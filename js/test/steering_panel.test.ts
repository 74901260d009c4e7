import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Sample, Texts } from "../src/host/panel_state";
import type { End } from "../src/host/protocol";
import steeringPanel from "../src/widgets/steering_panel";
import { open as openModule, settled, stubLayout } from "./any_model";
import { DOCUMENT, fakeModel, row, target } from "./fake_model";

const open = (fake: ReturnType<typeof fakeModel>, hosted = true) =>
  openModule(steeringPanel, fake.model, hosted);
const field = (el: HTMLElement, label: string) =>
  el.querySelector<HTMLInputElement>(`[aria-label="${label}"]`)!;
const press = async (el: HTMLElement, name: string) => {
  [...el.querySelectorAll("button")].find(({ textContent }) => textContent === name)!.click();
  await settled();
};
/** What a run with one seed leaves behind. */
const texts = (sample: Omit<Sample, "stopped">): Texts => ({
  rid: "r",
  document: DOCUMENT,
  samples: [{ ...sample, stopped: "length" }],
  seconds: 1,
  described: [],
});

beforeEach(stubLayout);

describe("the panel", () => {
  it.each([true, false])(
    "takes all its listeners off (host passes signals: %s)",
    async (hosted) => {
      const fake = fakeModel();
      const { el, close } = open(fake, hosted);
      await settled();
      expect(fake.listeners).toBeGreaterThan(0);
      close();
      expect(fake.listeners).toBe(0);
      expect(el.textContent).toBe("");
    },
  );

  it("says so when page and kernel are of different versions", () => {
    const { el, close } = open(fakeModel({ _protocol: 99 }));
    expect(el.textContent).toContain("different versions");
    close();
  });

  it("names every control, and keeps every key from JupyterLab", async () => {
    const { el, close } = open(fakeModel());
    for (const name of ["happy", "happy strength", "calm", "Baseline", "Steered"]) {
      expect(field(el, name), name).not.toBeNull();
    }
    for (const control of el.querySelectorAll<HTMLElement>(
      "input, button, textarea, select, [tabindex='0']",
    )) {
      expect(control.dataset.lmSuppressShortcuts).toBe("true");
    }
    close();
  });

  it("moves a slider by keys and the number with it, and starts a text", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    field(el, "happy").dispatchEvent(
      new KeyboardEvent("keydown", { key: "PageUp", bubbles: true }),
    );
    await settled();
    expect(fake.strengths).toEqual([0.5, 0]);
    expect(field(el, "happy strength").value).toBe("+0.5");
    expect(fake.lastRun.document.edits[0]?.edit.strength).toBe(0.5);
    close();
  });

  it("takes a typed strength beyond the slider, and leaves half-typed ones alone", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    const number = field(el, "calm strength");
    for (const text of ["-", "-1", "-12"]) {
      number.value = text;
      number.dispatchEvent(new Event("input", { bubbles: true }));
    }
    await settled();
    expect(fake.strengths).toEqual([0, -12]);
    number.value = "many";
    number.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    expect(number.getAttribute("aria-invalid")).toBe("true");
    expect(fake.strengths).toEqual([0, -12]);
    close();
  });

  it("keeps what is typed into a number that has only just come", async () => {
    const { el, close } = open(fakeModel());
    const number = field(el, "happy strength");
    number.value = "1e";
    number.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    expect(number.value).toBe("1e");
    close();
  });

  it("takes a minus behind the e of a number, and steps behind a whole one", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    await settled();
    const number = field(el, "happy strength");
    const press = async (text: string, key: string) => {
      number.value = text;
      number.dispatchEvent(new Event("input", { bubbles: true }));
      await settled();
      number.setSelectionRange(text.length, text.length);
      const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
      number.dispatchEvent(event);
      return event.defaultPrevented;
    };
    expect(await press("1e", "-")).toBe(false);
    expect(await press("1e", "+")).toBe(false);
    expect(await press("1", "-")).toBe(true);
    await settled();
    expect(fake.strengths).toEqual([0.95, 0]);
    close();
  });

  it("follows a strength that Python writes", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    await settled();
    fake.model.set("_document", { ...DOCUMENT, edits: [row(0, 2), row(1)] });
    await settled();
    expect(field(el, "happy strength").value).toBe("+2");
    close();
  });

  it("shows one text in two views", async () => {
    const fake = fakeModel();
    const { el, widget, close } = open(fake);
    const other = document.body.appendChild(document.createElement("div"));
    const view = new AbortController();
    widget.render({ model: fake.model, el: other, signal: view.signal });
    await settled();
    el.querySelector<HTMLButtonElement>(".sk-go")!.click();
    const { rid } = fake.lastRun;
    fake.receive({
      v: 1,
      rid,
      op: "tokens",
      parts: [{ steered: [0, ["hello"]] }],
      seconds: 1,
      end: null,
    });
    await settled();
    for (const root of [el, other]) {
      expect(root.querySelector("[aria-label=Steered] [role=list]")?.textContent).toBe("hello");
    }
    view.abort();
    close();
    expect(fake.listeners).toBe(0);
  });

  it("keeps its choices of a colour apart from those of other panels", async () => {
    const panels = [open(fakeModel()), open(fakeModel())];
    for (const { el } of panels) field(el, "happy: more").click();
    await settled();
    const [one, other] = panels.map(
      ({ el }) =>
        new Set(
          [...el.querySelectorAll<HTMLInputElement>("[type=radio]")].map((radio) => radio.name),
        ),
    );
    expect(one!.size).toBe(1);
    expect(one).not.toEqual(other);
    for (const { close } of panels) close();
  });

  it("takes how an edit fades as it is typed, and keeps it where nothing is", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    field(el, "happy: more").click();
    await settled();
    const fades = [...el.querySelectorAll("label")]
      .find(({ textContent }) => textContent === "fades by")!
      .querySelector("input")!;
    for (const [text, decay] of [
      ["0.97", 0.97],
      ["", 0.97],
      ["0", 0.97],
      ["1.5", 0.97],
      ["0.333", 0.333],
    ] as const) {
      fades.value = text;
      fades.dispatchEvent(new Event("input", { bubbles: true }));
      await settled();
      fades.dispatchEvent(new Event("change", { bubbles: true }));
      await settled();
      expect(fake.model.get("_document").edits[0]!.edit.where).toEqual({ decay });
      expect(fades.value).toBe(String(decay));
    }
    close();
  });

  it("shows that the baseline is being written", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    await press(el, "Run");
    const take = async (parts: object, end: End | null = null) => {
      const { rid } = fake.lastRun;
      fake.receive({ v: 1, rid, op: "tokens", parts: [parts], seconds: 1, end });
      await settled();
      return ["Baseline", "Steered"].map((name) => field(el, name).getAttribute("aria-busy"));
    };
    expect(await take({ baseline: [0, ["a"]], steered: [0, ["b"]] })).toEqual(["true", "true"]);
    expect(await take({ steered: [1, ["c"]] })).toEqual(["false", "true"]);
    const counts = [{ baseline: 1, steered: 2, coefficients: 0 }];
    const end: End = { counts, stopped: ["length"], error: null };
    expect(await take({}, end)).toEqual(["false", "false"]);
    close();
  });

  it("adds a feature that a search found, and takes it away again", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    const box = field(el, "Search features");
    box.value = "rain";
    box.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    const asked = fake.sent.at(-1) as unknown as { op: string; rid: string; args: object };
    expect(asked).toMatchObject({ op: "search", args: { words: "rain" } });
    const ref = { dictionary: 0, feature: 9, label: "<img src=x> rain" };
    const rain = { ...target(0), target: ref, label: ref.label, unit: "max" as const };
    const units = { raw: { limit: 16, times: 1 }, max: { limit: 2, times: 0.1 } };
    fake.receive({ op: "answer", rid: asked.rid, result: [{ ...rain, units }] });
    await settled();
    expect(el.querySelector("[role=option]")?.getAttribute("aria-label")).toBe(ref.label);
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    await settled();
    expect(fake.model.get("_document").edits.at(-1)).toEqual({
      id: "e2",
      hue: 2,
      edit: { target: ref, operator: "add", strength: 0, unit: "max" },
    });
    expect(el.querySelector("img")).toBeNull();
    expect(fake.sent.some(({ op }) => op === "run")).toBe(false);
    field(el, `Remove ${ref.label}`).click();
    await settled();
    expect(fake.strengths).toEqual([0, 0]);
    close();
  });

  it("takes nothing that was found for other words", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    const box = field(el, "Search features");
    const press = (key: string) =>
      box.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    const type = async (words: string) => {
      box.value = words;
      box.dispatchEvent(new Event("input", { bubbles: true }));
      await settled();
    };
    const answer = async () => {
      const { rid } = fake.sent.at(-1) as unknown as { rid: string };
      fake.receive({ op: "answer", rid, result: [target(0), target(1)] });
      await settled();
    };
    await type("ha");
    press("ArrowDown"); // before the first answer
    await settled();
    await answer();
    expect(el.querySelector("[aria-selected=true]")?.getAttribute("aria-label")).toBe("happy");
    await type("hap");
    press("Enter");
    await settled();
    expect(fake.strengths).toHaveLength(2);
    await answer();
    press("Enter");
    await settled();
    expect(fake.strengths).toHaveLength(3);
    close();
  });

  it("refuses a recipe that is too large for the way to the kernel", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    const choose = async (size: number) => {
      const file = Object.defineProperty(new File(["{}"], "recipe.json"), "size", { value: size });
      const input = field(el, "Recipe file");
      Object.defineProperty(input, "files", { value: [file], configurable: true });
      input.dispatchEvent(new Event("change", { bubbles: true }));
      await settled();
    };
    const loads = () => fake.sent.filter(({ op }) => String(op) === "load");
    await choose(8e6);
    expect(loads()).toHaveLength(0);
    expect(el.querySelector("[role=alert]")?.textContent).toContain("At most 7 MB");
    await choose(7e6);
    expect(loads()).toMatchObject([{ args: { text: "{}" } }]);
    expect(el.querySelector("[role=alert]")).toBeNull();
    close();
  });

  it("keeps the tokens before the one that it steers from", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    fake.model.set(
      "_texts",
      texts({
        baseline: ["a", "b"],
        steered: ["c", "d"],
        coefficients: [{}, {}],
        measures: null,
      }),
    );
    await settled();
    for (const [n, before] of [[], [{ until: 1, edits: DOCUMENT.edits }]].entries()) {
      const tokens = el.querySelectorAll<HTMLElement>("[aria-label=Steered] [role=listitem]");
      tokens[n]!.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
      await settled();
      const from = [...el.querySelectorAll("button")].find(({ textContent }) =>
        textContent?.startsWith("Steer from"),
      )!;
      from.click();
      await settled();
      expect(fake.model.get("_document").before).toEqual(before);
    }
    close();
  });

  it("has the focus when a button goes that had it, and keeps its keys", async () => {
    const fake = fakeModel({
      _document: { ...DOCUMENT, before: [{ until: 3, edits: [] }] },
      _presets: [{ name: "loud", edits: [], preserve_norm: false }],
    });
    const { el, close } = open(fake);
    await settled();
    await press(el, "Presets");
    const root = el.querySelector<HTMLElement>(".sk-root")!;
    const kept = [...el.querySelectorAll<HTMLElement>(".sk-foot button")][0]!;
    for (const button of [kept, field(el, "Forget loud"), field(el, "Remove calm")]) {
      button.focus();
      button.click();
      await settled();
      expect(button.isConnected).toBe(false);
      expect(document.activeElement).toBe(root);
      expect(root.dataset.lmSuppressShortcuts).toBe("true");
    }
    field(el, "happy").focus();
    expect(root.hasAttribute("tabindex")).toBe(false);
    close();
  });

  it("takes the last turn but one of a chat away, and the focus stays", async () => {
    const turn = (role: string) => ({ role, content: role });
    const messages = [turn("system"), turn("user")];
    const fake = fakeModel({ _document: { ...DOCUMENT, prompt: { messages } } });
    const { el, close } = open(fake);
    const first = field(el, "Remove turn 1");
    first.focus();
    first.click();
    await settled();
    expect(fake.model.get("_document").prompt).toEqual({ messages: [turn("user")] });
    expect(document.activeElement).toBe(first);
    expect(first.getAttribute("aria-disabled")).toBe("true");
    first.click();
    expect(fake.model.get("_document").prompt).toEqual({ messages: [turn("user")] });
    close();
  });

  it("keeps norms as it is asked to, and in presets too", async () => {
    const loud = { name: "loud", edits: [row(0, 2)], preserve_norm: true };
    const fake = fakeModel({ _presets: [loud] });
    const { el, close } = open(fake);
    const box = [...el.querySelectorAll("label")]
      .find(({ textContent }) => textContent === "Keep norms")!
      .querySelector("input")!;
    await press(el, "Presets");
    await press(el, "loud");
    expect(fake.model.get("_document")).toMatchObject({ preserve_norm: true });
    expect(box.checked).toBe(true);
    await press(el, "Presets");
    const name = field(el, "Name of the preset");
    name.value = "mine";
    name.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    await press(el, "Keep");
    expect(fake.model.get("_presets")[1]).toEqual({ ...loud, name: "mine" });
    box.click();
    await settled();
    expect(fake.model.get("_document").preserve_norm).toBe(false);
    close();
  });

  it("undoes what the kernel remembers of before a reload, and has it remember what is done", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    expect(fake.sent).toContainEqual({ v: 1, op: "recall" });
    const before = { ...DOCUMENT, edits: [row(0, 2), row(1)] };
    fake.receive({ v: 1, op: "history", past: [before], future: [] });
    await settled();
    const undo = [...el.querySelectorAll("button")].find((one) => one.textContent === "Undo")!;
    undo.click();
    await settled();
    expect(fake.strengths).toEqual([2, 0]);
    expect(fake.sent).toContainEqual({ v: 1, op: "remember", past: [], future: [DOCUMENT] });
    // What another page recalls does not take away what was done here.
    fake.receive({ v: 1, op: "history", past: [before], future: [] });
    await settled();
    expect(undo.getAttribute("aria-disabled")).toBe("true");
    close();
  });

  it("undoes and redoes a slider's whole way as one step, and resets", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    const button = (name: string) =>
      [...el.querySelectorAll("button")].find(({ textContent }) => textContent === name)!;
    for (let n = 0; n < 3; n++) {
      const key = new KeyboardEvent("keydown", { key: "PageUp", bubbles: true });
      field(el, "happy").dispatchEvent(key);
      await settled();
    }
    const reached = fake.strengths;
    expect(reached[0]).toBeGreaterThan(1);
    button("Undo").focus();
    button("Undo").click();
    await settled();
    expect(fake.strengths).toEqual([0, 0]);
    expect(button("Undo").getAttribute("aria-disabled")).toBe("true");
    expect(document.activeElement).toBe(button("Undo"));
    button("Undo").click(); // there is nothing more
    await settled();
    expect(fake.strengths).toEqual([0, 0]);
    button("Redo").click();
    await settled();
    expect(fake.strengths).toEqual(reached);
    button("Reset").click();
    await settled();
    expect(fake.strengths).toEqual([0, 0]);
    close();
  });

  it("writes the text again after Reset, unless the prompt is another one by then", async () => {
    const fake = fakeModel({
      _texts: texts({ baseline: ["a"], steered: ["b"], coefficients: [{}], measures: null }),
      _document: { ...DOCUMENT, edits: [row(0, 2), row(1)] },
    });
    const { el, close } = open(fake);
    const runs = () => fake.sent.filter(({ op }) => op === "run");
    await press(el, "Reset");
    expect(runs()).toMatchObject([{ document: DOCUMENT }]);
    fake.model.set("_document", { ...DOCUMENT, prompt: { text: "One night" } });
    await press(el, "Reset");
    expect(fake.model.get("_document")).toEqual(DOCUMENT);
    expect(runs()).toHaveLength(1);
    close();
  });

  it.each([true, false])(
    "hands out a script as long as it is the panel's (clipboard: %s)",
    async (allowed) => {
      const clipboard = allowed ? { writeText: () => Promise.resolve() } : undefined;
      vi.spyOn(navigator, "clipboard", "get").mockReturnValue(clipboard as never);
      const fake = fakeModel();
      const { el, close } = open(fake);
      const shown = () => [el.querySelector(".sk-tools")!.textContent, field(el, "Python script")];
      const copy = async () => {
        await press(el, "Copy as Python");
        const asked = fake.sent.findLast(({ op }) => String(op) === "script");
        const { rid } = asked as unknown as { rid: string };
        fake.receive({ op: "answer", rid, result: "import steerkit" });
        await settled();
      };
      await copy();
      if (allowed) expect(shown()[0]).toContain("Copied");
      else expect(field(el, "Python script").value).toBe("import steerkit");
      const key = new KeyboardEvent("keydown", { key: "PageUp", bubbles: true });
      field(el, "happy").dispatchEvent(key);
      await settled();
      expect(shown()).toEqual([expect.stringContaining("Copy as Python"), null]);
      await copy();
      if (allowed) expect(shown()[0]).toContain("Copied");
      close();
      vi.restoreAllMocks();
    },
  );

  it("shows what is known of a token, and takes a card from Python as text", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    fake.model.set(
      "_texts",
      texts({
        baseline: ["a"],
        steered: ["<b>"],
        coefficients: [{ e0: 2, e1: null }],
        measures: {
          tokens: [{ kl: 0.41, alternatives: [["<b>", 0.61, 0.01]] }],
          nats: [3.2, 1.1],
          repetition: [0.5, 0],
        },
      }),
    );
    await settled();
    const token = el.querySelector("[aria-label=Steered] [role=listitem]")!;
    token.dispatchEvent(new Event("pointermove", { bubbles: true }));
    await settled();
    const card = el.querySelector("[role=tooltip]")!.textContent;
    for (const part of ["<b>", ".61", ".01", "0.41 nats", "+2", "–"]) expect(card).toContain(part);
    const meta = el.querySelector("[aria-label=Steered] .sk-meta")!.textContent;
    expect(meta).toContain("the text repeats itself");
    expect(meta).toContain("unlikely under the unsteered model (+2.1 nats a token)");
    close();
  });
});
