import { beforeEach, describe, expect, it } from "vitest";
import steeringPanel from "../src/widgets/steering_panel";
import { open as openModule, settled, stubLayout } from "./any_model";
import { fakeModel } from "./fake_model";

const open = (fake: ReturnType<typeof fakeModel>, hosted = true) =>
  openModule(steeringPanel, fake.model, hosted);
const field = (el: HTMLElement, label: string) =>
  el.querySelector<HTMLInputElement>(`[aria-label="${label}"]`)!;

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
    for (const control of el.querySelectorAll<HTMLElement>("input, button, textarea, [tabindex]")) {
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
    expect(fake.model.get("strengths")).toEqual([0.5, 0]);
    expect(field(el, "happy strength").value).toBe("+0.5");
    expect(fake.lastRun.settings.strengths).toEqual([0.5, 0]);
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
    expect(fake.model.get("strengths")).toEqual([0, -12]);
    number.value = "many";
    number.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    expect(number.getAttribute("aria-invalid")).toBe("true");
    expect(fake.model.get("strengths")).toEqual([0, -12]);
    close();
  });

  it("follows a strength that Python writes", async () => {
    const fake = fakeModel();
    const { el, close } = open(fake);
    await settled();
    fake.model.set("strengths", [2, 0]);
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
      parts: { steered: [0, ["hello"]] },
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
});
