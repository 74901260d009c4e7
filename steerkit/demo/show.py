"""The demonstration itself, for a terminal and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from steerkit import pages
from steerkit.demo.pairs import load_pairs
from steerkit.errors import SettingError
from steerkit.learn import mean_difference
from steerkit.model import load
from steerkit.reading import Reading
from steerkit.runs import Run

READ = "Lily laughed and played with her friends. Then the rain came and Tom was sad"


def demo(
    model_name: str,
    *,
    pairs: str | None,
    site: str | None,
    strength: float,
    prompt: str,
    max_new_tokens: int,
    seed: int,
    output: str,
) -> None:
    """Learn a direction from pairs, read a text along it, write stories without and with it, and save a page.

    Raises:
        SteerkitError: The model, the pairs or a setting is wrong.
    """
    console = Console(highlight=False)
    started = perf_counter()
    model = load(model_name)
    console.print(f"{model}", soft_wrap=True)
    console.print(f"Loaded in {perf_counter() - started:.1f} s.")

    name, positives, negatives = load_pairs(pairs)
    site = site or f"{(model.n_layers - 1) // 2}.resid_post"
    vector = mean_difference(model, positives, negatives, [site], label=name)
    console.print(
        f"Learned [bold]{name}[/bold] from {len(positives)} pairs at {site}: the difference of their means.\n"
    )

    reading = model.read(READ, vector)
    console.print(f"[bold]Reading[/bold] along {name}")
    console.print(_tinted(reading.tokens, reading.prompt.special, reading.activations(vector).tolist()))
    console.print(Text(_extremes(reading), "dim"), "\n")

    settings = {"max_new_tokens": max_new_tokens, "seed": seed}
    more = model.compare(prompt, [vector.add(strength)], **settings)
    less = model.compare(prompt, [vector.add(-strength)], **settings)
    console.print(
        _beside(
            {"Baseline": more.baseline, f"{name} {strength:+g}": more.steered, f"{name} {-strength:+g}": less.steered}
        )
    )
    path = _save_page(output, _page(name, strength, reading, [more.baseline, more.steered, less.steered]))
    console.print(f"\nThe same as a page: {path}")


def _tinted(tokens: Sequence[str], special: Sequence[bool], values: Sequence[float]) -> Text:
    most = max((abs(v) for v, s in zip(values, special, strict=True) if not s), default=0) or 1.0
    text = Text()
    for token, skip, value in zip(tokens, special, values, strict=True):
        if skip:
            continue
        share = value / most
        style = (
            ""
            if abs(share) < 0.25
            else ("bold " if abs(share) > 0.7 else "") + ("dark_orange" if share > 0 else "blue")
        )
        text.append(token, style)
    return text


def _extremes(reading: Reading) -> str:
    frame = reading.to_frame()
    frame = frame[~frame.special & (frame.token.str.strip() != "")].sort_values(frame.columns[-1])
    least, most = (f"“{row.iloc[0].strip()}” {row.iloc[-1]:+.2f}" for _, row in frame.iloc[[0, -1]].iterrows())
    return f"most at {most}, least at {least}"


def _beside(runs: dict[str, Run]) -> Table:
    table = Table(*runs, expand=True, pad_edge=False, box=None, header_style="bold", padding=(0, 3, 0, 0))
    table.add_row(*(_story(run) for run in runs.values()))
    table.add_row(
        *(Text(f"\n{run.nats:.2f} nats a token", "dim") if run.nats is not None else "" for run in runs.values())
    )
    return table


def _story(run: Run) -> Text:
    text = Text(run.prompt.text, "dim")
    values = run.coefficients[:, 0].tolist() if run.columns else [0.0] * len(run.tokens)
    return text.append_text(_tinted(run.tokens, run.special, values))


def _page(name: str, strength: float, reading: Reading, runs: Sequence[Run]) -> str:
    titles = ["Baseline", f"{name} {strength:+g}", f"{name} {-strength:+g}"]
    stories = pages.columns(*(run.block(title) for run, title in zip(runs, titles, strict=True)))
    return pages.page(f"steerkit: {name}", reading.block(), stories)


def _save_page(output: str, content: str) -> Path:
    path = Path(output).absolute()
    part = path.with_name(f".{path.name}.part")  # never a page half written
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(content, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise SettingError(f"The page could not be written to '{path}': {error.strerror}. Give another file.") from None
    return path
