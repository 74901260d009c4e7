import { beforeEach, describe, expect, it, vi } from "vitest";
import lab from "../src/widgets/lab";
import { anyModel, open, settled, stubLayout } from "./any_model";

const HOSTILE = "<img src=x onerror=alert(1)>";
const PLACES = ["panel", "tokens", "picker", "card", "sweep", "contrast"];
const fakeLab = (state: object = {}) =>
  anyModel({
    _protocol: 1,
    ...Object.fromEntries(PLACES.map((place) => [place, `anywidget:${place}`])),
    _edits: [
      { id: "e0", label: "rain" },
      { id: "e1", label: HOSTILE },
    ],
    _unread: "",
    ...state,
  });
/** A host that writes the name of a widget where it is to be drawn. */
const host = {
  getWidget: async (ref: string) => ({
    render: async ({ el }: { el: HTMLElement }) => {
      el.textContent = `drawn ${ref}`;
    },
  }),
};
const button = (el: HTMLElement, name: string) =>
  [...el.querySelectorAll("button")].find((one) => one.textContent === name)!;

beforeEach(stubLayout);

describe("the lab", () => {
  it.each([true, false])(
    "takes all its listeners off (host passes signals: %s)",
    async (hosted) => {
      const fake = fakeLab();
      const { el, close } = open(lab, fake.model, hosted, host);
      await settled();
      expect(fake.listeners).toBeGreaterThan(0);
      close();
      expect(fake.listeners).toBe(0);
      expect(el.textContent).toBe("");
    },
  );

  it("draws each widget in its place", async () => {
    const { el, close } = open(lab, fakeLab().model, true, host);
    await settled();
    for (const place of PLACES) expect(el.textContent).toContain(`drawn anywidget:${place}`);
    expect(el.querySelectorAll("section h2").length).toBe(PLACES.length);
    expect(el.querySelector("img")).toBeNull();
    close();
  });

  it("says what to do where the host cannot draw widgets within others", async () => {
    const { el, close } = open(lab, fakeLab().model);
    await settled();
    expect(el.textContent).toContain("Show lab.panel");
    close();
  });

  it("asks for a sweep of the edit that is chosen", async () => {
    const fake = fakeLab();
    const { el, close } = open(lab, fake.model, true, host);
    await settled();
    const select = el.querySelector("select")!;
    select.value = "e1";
    select.dispatchEvent(new Event("change", { bubbles: true }));
    await settled();
    button(el, "Sweep").click();
    expect(fake.sent.at(-1)).toMatchObject({ op: "sweep", args: { edit: "e1" } });
    await settled();
    expect(el.textContent).toContain("Writing at nine strengths");
    const { rid } = fake.sent.at(-1) as { rid: string };
    fake.emit("msg:custom", { rid, op: "error", error: { kind: "", message: HOSTILE, hint: "" } });
    await settled();
    expect(el.querySelector("[role=alert]")!.textContent).toContain(HOSTILE);
    expect(el.querySelector("img")).toBeNull();
    close();
  });

  it("asks for no sweep without an edit", async () => {
    const fake = fakeLab({ _edits: [] });
    const { el, close } = open(lab, fake.model, true, host);
    await settled();
    button(el, "Sweep").click();
    expect(fake.sent).toEqual([]);
    expect(el.textContent).toContain("Choose a feature first");
    close();
  });

  it("hands the saved page to the reader as a file", async () => {
    const fake = fakeLab();
    const { el, close } = open(lab, fake.model, true, host);
    await settled();
    const click = vi.spyOn(HTMLAnchorElement.prototype, "click").mockReturnValue();
    button(el, "Save page").click();
    const { rid } = fake.sent.at(-1) as { rid: string };
    fake.emit("msg:custom", { rid, op: "answer", result: "<!doctype html>" });
    await settled();
    expect(click).toHaveBeenCalledTimes(1);
    close();
  });
});
