"""Pictures of results, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

MOST_TICKS = 80


def along_tokens(tokens: Sequence[str], series: Sequence[Sequence[float]], labels: Sequence[str], unit: str) -> Figure:
    """Numbers along a text, one line a series."""
    figure, axes = _figure(width=min(4 + 0.16 * len(tokens), 16), height=3.2)
    for values, label in zip(series, labels, strict=True):
        axes.plot(range(len(values)), values, marker="o", markersize=3, linewidth=1, label=label)
    axes.axhline(0, color="grey", linewidth=0.6)
    if len(tokens) <= MOST_TICKS:
        shown = [_drawable(token).replace("$", r"\$") for token in tokens]  # $ starts mathematics
        axes.set_xticks(range(len(tokens)), shown, rotation=90, fontsize=7)
    else:
        axes.set_xlabel("token")
    axes.set_ylabel(unit)
    if labels:
        axes.legend(frameon=False, fontsize=8)
    return figure


def by_strength(strengths: Sequence[float], nats: Sequence[float | None], repetition: Sequence[float]) -> Figure:
    """What a strength costs in fluency."""
    figure, axes = _figure(width=5, height=3.2)
    order = sorted(range(len(strengths)), key=lambda i: strengths[i])
    across = [strengths[i] for i in order]
    cost = [float("nan") if nats[i] is None else nats[i] for i in order]
    lines = axes.plot(across, cost, marker="o", label="nats a token, unsteered model")
    axes.set_xlabel("strength")
    axes.set_ylabel("nats a token")
    right = axes.twinx()
    lines += right.plot(across, [repetition[i] for i in order], marker="s", color="grey", label="repeated 4-grams")
    right.set_ylabel("share")
    right.set_ylim(0, 1)
    axes.legend(handles=lines, frameon=False, fontsize=8)
    return figure


def maps(
    panels: Mapping[str, Float[Tensor, "rows columns"]], rows: Sequence[str], columns: Sequence[str], alike: int
) -> Figure:
    """Maps of numbers with the same rows and columns, one beside another; the first `alike` share their scale."""
    import torch
    from matplotlib import pyplot

    width = 1.6 + len(panels) * max(2.4, 0.42 * len(columns))
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(width, 1.2 + 0.3 * len(rows)), sharey=True, squeeze=False, layout="constrained"
    )
    pyplot.close(figure)
    shared = torch.stack(list(panels.values())[:alike])
    for i, (ax, (title, values)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        scale = shared if i < alike else values
        low, high = scale.min().item(), scale.max().item()
        image = ax.imshow(values.numpy(), aspect="auto", cmap="viridis", vmin=low, vmax=high)
        ax.set_title(title, fontsize=9)
        ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
        ax.set_yticks(range(len(rows)), [_drawable(row).replace("$", r"\$") for row in rows], fontsize=7)
        ax.set_xlabel("strength", fontsize=8)
        figure.colorbar(image, ax=ax)
    return figure


def along_sites(
    sites: Sequence[str],
    series: Mapping[str, Sequence[float]],
    bounds: tuple[Sequence[float], Sequence[float]],
    cosines: Float[Tensor, "sites sites"],
) -> Figure:
    """Shares along the sites of a vector, the first of them with its bounds, beside a map of cosines between sites."""
    from matplotlib import pyplot

    width = max(3.6, 0.42 * len(sites))
    figure, (lines, image) = pyplot.subplots(1, 2, figsize=(2 * width + 1, width), layout="constrained")
    pyplot.close(figure)
    places = range(len(sites))
    lines.fill_between(places, *bounds, color="#1864ab", alpha=0.15, linewidth=0)
    for (name, values), colour in zip(series.items(), ("#1864ab", "#d9480f"), strict=True):
        lines.plot(places, values, marker="o", markersize=4, label=name, color=colour)
    lines.axhline(0.5, color="grey", linewidth=0.6)
    lines.set_ylim(0, 1.02)
    lines.legend(frameon=False, fontsize=8)
    shown = image.imshow(cosines.numpy(), cmap="RdBu_r", vmin=-1, vmax=1)
    figure.colorbar(shown, ax=image, label="cosine")
    lines.set_xticks(places, sites, rotation=90, fontsize=7)
    image.set_xticks(places, sites, rotation=90, fontsize=7)
    image.set_yticks(places, sites, fontsize=7)
    return figure


def spread(values: Sequence[float], marked: Mapping[str, float], unit: str, what: str) -> Figure:
    """How many of a thing have which value, with some of them by name."""
    figure, axes = _figure(width=5.5, height=3.2)
    axes.hist(values, bins=50, color="#1864ab", log=True)
    for name, value in marked.items():
        shown = _drawable(name).replace("$", r"\$")
        axes.axvline(value, color="#d9480f", linewidth=0.8)
        axes.annotate(
            shown, (value, 1), xycoords=("data", "axes fraction"), rotation=90, va="top", ha="right", fontsize=7
        )
    axes.set_xlabel(unit)
    axes.set_ylabel(f"{what} (logarithmic)")
    return figure


def bars(labels: Sequence[str], values: Sequence[float], unit: str, marked: int | None = None) -> Figure:
    """A horizontal bar for each label, from top to bottom; one may be marked."""
    figure, axes = _figure(width=5, height=0.8 + 0.24 * len(labels))
    colours = ["#d9480f" if i == marked else "#1864ab" for i in range(len(labels))]
    axes.barh(range(len(labels)), values, color=colours)
    axes.set_yticks(range(len(labels)), [_drawable(label).replace("$", r"\$") for label in labels], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="grey", linewidth=0.6)
    axes.set_xlabel(unit)
    return figure


def _drawable(token: str) -> str:
    """The token with a box for every character that the font in use cannot draw."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in rcParams["font.family"]]
    return "".join(
        character if any(font.get_char_index(ord(character)) for font in fonts) and character.isprintable() else "□"
        for character in token.replace("\n", "⏎")
    )


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib import pyplot

    # pyplot is what teaches a notebook to show figures; closed at once, none is kept alive or shown twice.
    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    pyplot.close(figure)
    return figure, axes
