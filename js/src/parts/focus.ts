/**
 * Every element that takes the focus needs this attribute itself, not an ancestor: without it
 * JupyterLab 4 takes the keys in command mode, and typing `d d` on a slider deletes the cell.
 */
export const OWN_KEYS = { "data-lm-suppress-shortcuts": "true" } as const;
