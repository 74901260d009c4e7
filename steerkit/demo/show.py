"""The demonstration itself, for a terminal and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from steerkit import embedded, pages
from steerkit.demo.pairs import load_pairs
from steerkit.edits import Edit
from steerkit.errors import SettingError
from steerkit.learn import mean_difference
from steerkit.model import Model, load
from steerkit.plans import Plan
from steerkit.reading import Reading
from steerkit.runs import Run
from steerkit.where import Where
from steerkit.whole_file import written_whole

READ = (
    "Lily laughed with her friends. It began to pour, and she opened her umbrella. Then a dragon came, and Tom was sad"
)
FEATURES = ("rain", "dragon")  # of the embedded model
FEATURE_STRENGTH, VECTOR_STRENGTH = 0.33, 0.6


def demo(
    model_name: str,
    *,
    features: Sequence[str] | None,
    pairs: str | None,
    site: str | None,
    strength: float | None,
    prompt: str,
    max_new_tokens: int,
    seed: int,
    output: str,
) -> None:
    """Read a text along features or a direction learned from pairs, steer stories with them, and save a page.

    Args:
        model_name: A folder, or a name on the hub.
        features: Labels of the model's own dictionary. Without them and without pairs: `FEATURES` of the embedded
            model; of other models a direction learned from the pairs that come with steerkit.
        pairs: A file of contrast pairs; an empty name stands for those that come with steerkit.
        site: Where the features or the direction are.
        strength: In multiples of each token's activation norm for features, of the direction for what was learned.
        prompt: How the stories begin.
        max_new_tokens: How far they go on.
        seed: Of the noise that they share.
        output: The page.

    Raises:
        SteerkitError: The model, the features, the pairs or a setting is wrong.
    """
    console = Console(highlight=False)
    started = perf_counter()
    model = load(model_name)
    console.print(escape(f"{model}"), soft_wrap=True)
    console.print(f"Loaded in {perf_counter() - started:.1f} s.")

    if features is None and pairs is None and model.name == embedded.NAME:
        features = FEATURES
    if features is None:
        shown = _learned(console, model, pairs, site, strength)
    else:
        shown = _chosen(console, model, features, site, strength)

    targets = list(dict.fromkeys(edit.target for edit in shown.values()))
    reading = model.read(READ, targets)
    for target in targets:
        console.print(f"[bold]Reading[/bold] along {escape(target.label)}")
        values = reading.activations(target).tolist()
        console.print(_tinted(reading.tokens, reading.prompt.special, values))
        console.print(Text(_extremes(reading, values), "dim"), "\n")

    plans = [Plan(), *map(Plan, shown.values())]
    rows = len(plans)
    runs = model.generate_many([prompt] * rows, plans, seeds=[seed] * rows, max_new_tokens=max_new_tokens)
    stories = dict(zip(["Baseline", *shown], model.rescore(runs), strict=True))
    console.print(_beside(stories))
    path = _save_page(output, _page(", ".join(target.label for target in targets), reading, stories))
    console.print(f"\nThe same as a page: {escape(str(path))}")


def _chosen(
    console: Console, model: Model, labels: Sequence[str], site: str | None, strength: float | None
) -> dict[str, Edit]:
    dictionary = model.dictionary(site)
    strength = FEATURE_STRENGTH if strength is None else strength
    features = [dictionary[label] for label in labels]
    console.print(escape(f"{dictionary}\n"), soft_wrap=True)
    return {f"{f.label} {strength:+g}": f.add(strength, unit="norm", where=Where(prompt=False)) for f in features}


def _learned(
    console: Console, model: Model, pairs: str | None, site: str | None, strength: float | None
) -> dict[str, Edit]:
    name, positives, negatives = load_pairs(pairs or None)
    site = site or f"{(model.n_layers - 1) // 2}.resid_post"
    strength = VECTOR_STRENGTH if strength is None else strength
    vector = mean_difference(model, positives, negatives, [site], label=name)
    console.print(
        f"Learned [bold]{escape(name)}[/bold] from {len(positives)} pairs at {escape(site)}: "
        "the difference of their means.\n"
    )
    return {f"{name} {s:+g}": vector.add(s) for s in (strength, -strength)}


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


def _extremes(reading: Reading, values: Sequence[float]) -> str:
    prompt = reading.prompt
    kept = [i for i, token in enumerate(prompt.tokens) if token.strip() and not prompt.special[i]]
    ranked = sorted(kept, key=values.__getitem__)
    least, most = (f"“{prompt.tokens[i].strip()}” {values[i]:+.2f}" for i in (ranked[0], ranked[-1]))
    return f"most at {most}, least at {least}"


def _beside(runs: dict[str, Run]) -> Table:
    table = Table(*map(escape, runs), expand=True, pad_edge=False, box=None, header_style="bold", padding=(0, 3, 0, 0))
    table.add_row(*(_story(run) for run in runs.values()))
    table.add_row(
        *(Text(f"\n{run.nats:.2f} nats a token", "dim") if run.nats is not None else "" for run in runs.values())
    )
    return table


def _story(run: Run) -> Text:
    text = Text(run.prompt.text, "dim")
    values = run.coefficients[:, 0].tolist() if run.columns else [0.0] * len(run.tokens)
    return text.append_text(_tinted(run.tokens, run.special, values))


def _page(names: str, reading: Reading, runs: dict[str, Run]) -> str:
    stories = pages.columns(*(run.block(title) for title, run in runs.items()))
    return pages.page(f"steerkit: {names}", reading.block(), stories)


def _save_page(output: str, content: str) -> Path:
    path = Path(output).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            part.write_text(content, encoding="utf-8")
    except OSError as error:
        raise SettingError(f"The page could not be written to '{path}': {error.strerror}. Give another file.") from None
    return path
