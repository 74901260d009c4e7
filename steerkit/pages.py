"""HTML that shows results without a kernel: self-contained, no script, no network, readable in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log1p

# One hue a column, each with its opposite for negative values; alpha is capped so that text keeps its contrast.
HUES = ((217, 72, 15), (24, 100, 171), (43, 138, 62), (134, 46, 156), (166, 30, 77), (92, 95, 102))
OPPOSITE = ((24, 100, 171), (217, 72, 15), (134, 46, 156), (43, 138, 62), (92, 95, 102), (166, 30, 77))
STRONGEST = 0.38

STYLE = """<style>
.sk-page{font:14px/1.5 system-ui,sans-serif;max-width:1040px}
.sk-page h3{font-size:13px;font-weight:600;opacity:.72;margin:.4em 0}
.sk-page .sk-text{font:16px/1.75 ui-serif,Georgia,serif;white-space:pre-wrap;overflow-wrap:anywhere;margin:0}
.sk-page .sk-prompt{opacity:.72}.sk-page .sk-special{font:12px ui-monospace,monospace;opacity:.72}
.sk-page .sk-token{border-radius:3px;padding:1px 0}
.sk-page .sk-differs{text-decoration:underline dotted;text-underline-offset:4px}
.sk-page .sk-columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(280px,1fr));gap:20px}
.sk-page .sk-table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
.sk-page .sk-table th,.sk-page .sk-table td{text-align:left;padding:2px 14px 2px 0;white-space:pre-wrap}
.sk-page .sk-table th{font-weight:600;opacity:.72}
.sk-page .sk-passage{font-size:14px;line-height:1.5;margin:.3em 0}
.sk-page mark{background:rgba(217,72,15,.38);color:inherit}
.sk-page .sk-note{font-size:12.5px;opacity:.72;font-variant-numeric:tabular-nums;margin:.5em 0}
</style>"""


def fragment(*parts: str) -> str:
    """Parts as one block for a notebook's output."""
    return f'{STYLE}<div class="sk-page">{"".join(parts)}</div>'


def page(title: str, *parts: str) -> str:
    """Parts as a whole document."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>:root{{color-scheme:light dark}}"
        f"body{{margin:24px auto;max-width:1040px;padding:0 16px}}</style>"
        f'<h1 style="font:600 20px system-ui,sans-serif">{escape(title)}</h1>{fragment(*parts)}</html>\n'
    )


def heading(text: str) -> str:
    """A small heading."""
    return f"<h3>{escape(text)}</h3>"


def note(text: str) -> str:
    """A line of small print."""
    return f'<p class="sk-note">{escape(text)}</p>'


def passage(before: str, peak: str, after: str, number: float) -> str:
    """A piece of text around a token that is marked, with the number that belongs to it."""
    marked = f'<mark class="sk-token" title="{number:.3g}">{escape(peak)}</mark>'
    return f'<p class="sk-text sk-passage">{escape(before)}{marked}{escape(after)}</p>'


def histogram(counts: Sequence[int], starts: Sequence[float], what: str) -> str:
    """A picture of counts in bins, on a logarithmic height.

    Args:
        counts: How many are in each bin.
        starts: Where each bin begins.
        what: Of what it is, for those who cannot see it.
    """
    used = [i for i, count in enumerate(counts) if count]
    if not used:
        return note(f"{what}: none")
    shown = range(used[0], used[-1] + 1)
    highest = log1p(max(counts))
    bars = "".join(
        f'<rect x="{4 + 10 * place}" y="{44 - 40 * log1p(counts[i]) / highest:.1f}" width="9" '
        f'height="{40 * log1p(counts[i]) / highest:.1f}"><title>{counts[i]} from {starts[i]:.3g}</title></rect>'
        for place, i in enumerate(shown)
    )
    width = 8 + 10 * len(shown)
    ends = f"{starts[used[0]]:.2g} to {starts[used[-1]]:.2g}"
    return (
        f'<svg role="img" aria-label="{escape(what)}, {ends}" viewBox="0 0 {width} 48" width="{width}" height="48" '
        f'fill="currentColor" opacity="0.6">{bars}</svg>{note(f"{what}, {ends}; heights are logarithmic")}'
    )


def columns(*parts: str) -> str:
    """Parts side by side, or stacked where it is narrow."""
    return f'<div class="sk-columns">{"".join(f"<section>{part}</section>" for part in parts)}</div>'


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under headings."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="sk-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def tokens(
    texts: Sequence[str],
    special: Sequence[bool],
    values: Sequence[Sequence[float]] = (),
    labels: Sequence[str] = (),
    differs: Sequence[bool] = (),
    prompt: str = "",
) -> str:
    """A text, each token tinted by the largest of its values.

    Args:
        texts: Text of each token.
        special: Which tokens are special; they are shown by name and not tinted.
        values: For each column, a number a token; NaN is no tint.
        labels: A name for each column, for the tooltip.
        differs: Which tokens get a dotted underline.
        prompt: Shown before, untinted.
    """
    # special tokens have outsized norms; they neither set the scale nor are tinted
    scale = [
        max((abs(v) for v, s in zip(column, special, strict=True) if not s and v == v), default=0.0) or 1.0
        for column in values
    ]
    spans = [f'<span class="sk-prompt">{escape(prompt)}</span>' if prompt else ""]
    for i, text in enumerate(texts):
        classes = ["sk-special" if special[i] else "sk-token"]
        if differs and differs[i]:
            classes.append("sk-differs")
        numbers = [column[i] for column in values]
        title = "; ".join(f"{label} {number:.3g}" for label, number in zip(labels, numbers, strict=True))
        style = "" if special[i] else _tint(numbers, scale)
        spans.append(f'<span class="{" ".join(classes)}" title="{escape(title)}"{style}>{escape(text)}</span>')
    return f'<p class="sk-text">{"".join(spans)}</p>'


def _tint(numbers: Sequence[float], scale: Sequence[float]) -> str:
    shares = [number / most for number, most in zip(numbers, scale, strict=True)]
    strongest = max(range(len(shares)), key=lambda j: abs(shares[j]) if shares[j] == shares[j] else -1, default=None)
    if strongest is None or shares[strongest] != shares[strongest] or shares[strongest] == 0:
        return ""
    share = shares[strongest]
    red, green, blue = (HUES if share > 0 else OPPOSITE)[strongest % len(HUES)]
    return f' style="background:rgba({red},{green},{blue},{min(abs(share), 1) * STRONGEST:.3f})"'
