/**
 * Every element that takes the focus needs this attribute itself, not an ancestor: without it
 * JupyterLab 4 takes the keys in command mode, and typing `d d` on a slider deletes the cell.
 */
export const OWN_KEYS = { "data-lm-suppress-shortcuts": "true" } as const;

/** Gives a widget the focus until it goes on: from an element that is gone, Tab would begin at the page's top. */
export function holdFocus(root: HTMLElement): void {
  const attributes = { tabindex: "-1", ...OWN_KEYS };
  for (const [name, value] of Object.entries(attributes)) root.setAttribute(name, value);
  root.onblur = () => root.removeAttribute("tabindex");
  root.focus({ preventScroll: true });
}
