"""The panel that steers: a prompt, a slider a vector, and two texts side by side."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import traitlets

from steerkit_widgets._base import Widget, refuse_unknown
from steerkit_widgets._generation import PARTS, Failure, Generation, Settings, json_row
from steerkit_widgets._page import bundle
from steerkit_widgets._worker import Worker

if TYPE_CHECKING:
    from torch import Tensor

    import steerkit as sk
    from steerkit.program import Column

PUSH_SECONDS = 1 / 30
ARGUMENTS = ["prompt", "max_new_tokens", "seed", "temperature", "top_p", "limit"]


class SteeringPanel(Widget):
    """Steer a model by hand: baseline and steered text stream side by side.

    Moving a slider cancels the running text and starts again with the new strength; the newest
    position always wins. The baseline stays put for a prompt, seed and sampling.

    The prompt, strengths, seed, temperature and length are set by the view; where Python sets one,
    the view follows.

    Args:
        model: A model from `steerkit.load`.
        features: Vectors, a slider each, at rest.
        prompt: What the texts begin with.
        max_new_tokens: Length of the new text, in tokens.
        seed: Seed of the noise that both texts draw from.
        temperature: 0 is greedy.
        top_p: Share of the probability that is drawn from.
        limit: Strength at the ends of the sliders, in multiples of the vector. Number fields go beyond.

    Raises:
        TypeError: `features` is no list of vectors, or an argument is unknown.

    Example:
        >>> panel = SteeringPanel(model, [joy], prompt="One day, Mia")  # doctest: +SKIP
        >>> panel.run.text  # the last steered text  # doctest: +SKIP
    """

    _esm = bundle("steering_panel.js")
    _css = bundle("steering_panel.css")

    # Not echoed: what a page wrote a moment ago must not overtake the hand that has moved on.
    prompt = traitlets.Unicode().tag(sync=True, echo_update=False)
    strengths = traitlets.List(traitlets.Float()).tag(sync=True, echo_update=False)
    seed = traitlets.Int().tag(sync=True, echo_update=False)
    temperature = traitlets.Float().tag(sync=True, echo_update=False)
    max_new_tokens = traitlets.Int().tag(sync=True, echo_update=False)

    _sliders = traitlets.List().tag(sync=True)  # set by Python
    _about = traitlets.Unicode().tag(sync=True)  # set by Python
    _texts = traitlets.Instance(dict, allow_none=True).tag(sync=True)  # set by Python, after each run

    _worker: Worker | None = None

    def __init__(
        self,
        model: sk.Model,
        features: Sequence[sk.Vector],
        prompt: str = "",
        max_new_tokens: int = 60,
        *,
        seed: int = 0,
        temperature: float = 0.8,
        top_p: float = 1.0,
        limit: float = 5.0,
        **unknown: Any,
    ) -> None:
        refuse_unknown("SteeringPanel", unknown, ARGUMENTS)
        if not isinstance(features, Sequence) or not all(hasattr(f, "add") for f in features):
            raise TypeError(
                f"SteeringPanel takes a list of vectors, a slider each; got {features!r}. "
                "Put vectors into a list: SteeringPanel(model, [vector])."
            )
        self._model, self._vectors, self._top_p = model, list(features), top_p
        self._current: Generation | None = None
        self._run: sk.Run | None = None
        self._baseline: sk.Run | None = None
        self._whole_baseline: tuple[Any, list[str]] = (None, [])
        super().__init__(
            prompt=prompt,
            strengths=[0.0] * len(features),
            seed=seed,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            _sliders=_sliders(self._vectors, limit),
            _about=_about(model),
        )
        self._worker = Worker("steering-panel")

    @property
    def run(self) -> sk.Run | None:
        """The last steered run that ended or was stopped; None before the first."""
        return self._run

    @property
    def baseline(self) -> sk.Run | None:
        """The baseline of `run`."""
        return self._baseline

    @property
    def plan(self) -> sk.Plan:
        """The edits as the sliders stand now."""
        return self._plan(self.strengths)

    def start(self) -> None:
        """Start a text, as Run does; one that is running gives way. Returns at once."""
        settings = Settings(self.prompt, list(self.strengths), self.seed, self.temperature, self.max_new_tokens)
        self._begin(Generation(f"python-{time.monotonic_ns()}", settings))

    def stop(self) -> None:
        """Stop the running text, as Stop does."""
        if (generation := self._current) is None:
            return
        generation.cancelled.set()
        if generation.finish_unless_begun():
            self._push(generation, dict.fromkeys(PARTS, 0))
            generation.ended.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no text is running; False if that took longer than `timeout` seconds."""
        return self._current is None or self._current.ended.wait(timeout)

    def close(self) -> None:
        """Stop the running text and take the panel off the page."""
        if self._worker is not None:
            self.stop()
            self._worker.close()
        super().close()

    @traitlets.validate("strengths")
    def _one_strength_a_slider(self, proposal: dict[str, Any]) -> list[float]:
        strengths = proposal["value"]
        if len(strengths) != len(self._vectors):
            raise traitlets.TraitError(
                f"strengths={strengths!r} has {len(strengths)} numbers; this panel has "
                f"{len(self._vectors)} sliders. Give one number for each."
            )
        return strengths

    def _plan(self, strengths: Sequence[float]) -> sk.Plan:
        from steerkit import Plan

        return Plan([v.add(s) for v, s in zip(self._vectors, strengths, strict=True)])

    def _answer(self, content: Any) -> None:
        if not isinstance(content, dict):
            raise ValueError(f"The page sent {content!r}, which is no message.")
        operation, rid = content.get("op"), content.get("rid")
        current = self._current
        if operation == "run" and isinstance(rid, str):
            self._begin(Generation(rid, Settings.parse(content.get("settings"), len(self._vectors))))
        elif operation == "stop":
            if current is not None and current.rid == rid:
                self.stop()
        elif operation == "join":
            if current is not None and current.end is None:
                self._tell_all(current)
        elif operation == "pull" and current is not None:
            if current.rid == rid:
                self.send(current.since(_have(content)))
            else:
                self._tell_all(current)
        else:
            raise ValueError(f"The page sent {content!r}, which this panel does not know.")

    def _tell_all(self, generation: Generation) -> None:
        self.send(generation.started())
        self.send(generation.since(dict.fromkeys(PARTS, 0)))

    def _begin(self, generation: Generation) -> None:
        previous, self._current = self._current, generation
        if previous is not None:
            previous.cancelled.set()
        self.send(generation.started())
        assert self._worker is not None
        self._worker.submit(lambda: self._generate(generation))

    def _generate(self, generation: Generation) -> None:
        """Work of the worker's thread, from the first token to the last word."""
        have = dict.fromkeys(PARTS, 0)
        run = None
        try:
            if not generation.cancelled.is_set():
                run = self._stream(generation, have)
        except Exception as error:
            self.log.error("The model failed in a steering panel.", exc_info=True)
            generation.finish("cancelled", _explain(error))
        generation.finish("cancelled")  # unless it has ended otherwise
        self._push(generation, have)
        if run is not None:
            self._save(generation, run)
        generation.ended.set()

    def _stream(self, generation: Generation, have: dict[str, int]) -> sk.Run | None:
        settings = generation.settings
        key, texts = self._whole_baseline
        wanted = key != settings.baseline_key
        if not wanted:
            generation.extend(baseline=texts)
        stream = self._model.stream(
            settings.prompt,
            self._plan(settings.strengths),
            baseline=wanted,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            top_p=self._top_p,
            seed=settings.seed,
        )
        due = 0.0
        for step in stream:
            # Where the steered text has ended and the baseline has not, what is read is of no token.
            read = None if step.steered is None else step.previous_coefficients
            rows = _rows([read], stream.columns)
            generation.extend(baseline=_shown(step.baseline), steered=_shown(step.steered), coefficients=rows)
            if generation.cancelled.is_set():
                stream.cancel()
            if (now := time.monotonic()) >= due:  # the first token at once
                self._push(generation, have)
                due = now + PUSH_SECONDS
        run = stream.result()
        return run if self._record(generation, run, stream.baseline_result()) else None

    def _record(self, generation: Generation, run: sk.Run, baseline: sk.Run | None) -> bool:
        """Keep the results, if the run is still the one that counts."""
        if self._current is not generation or generation.end is not None:
            return False
        # The last token's coefficients, which no further step has brought.
        n = generation.counts()["coefficients"]
        generation.extend(coefficients=_rows(run.coefficients[n:], run.columns))
        self._run = run
        if baseline is not None:
            self._baseline = baseline
            if baseline.stopped != "cancelled":
                self._whole_baseline = (generation.settings.baseline_key, generation.parts["baseline"])
        return generation.finish(run.stopped)

    def _save(self, generation: Generation, run: sk.Run) -> None:
        """Put the texts where a reload and an export find them."""
        with self._writing:
            self._texts = {
                "settings": asdict(generation.settings),
                **{part: list(items) for part, items in generation.parts.items()},
                "seconds": generation.seconds,
                "stopped": run.stopped,
            }

    def _push(self, generation: Generation, have: dict[str, int]) -> None:
        if self._current is not generation:
            return
        message = generation.since(have)
        for part, (first, items) in message["parts"].items():
            have[part] = first + len(items)
        self.send(message)


def _sliders(vectors: Sequence[sk.Vector], limit: float) -> list[dict[str, Any]]:
    labels = [vector.label for vector in vectors]
    return [
        {
            # A second "joy" is called "joy (2)": people and screen readers tell sliders by their names.
            "label": label if (n := labels[:index].count(label)) == 0 else f"{label} ({n + 1})",
            "detail": ", ".join(map(str, vector.sites)),
            "limit": limit,
        }
        for index, (label, vector) in enumerate(zip(labels, vectors, strict=True))
    ]


def _about(model: sk.Model) -> str:
    folder = Path(model.name)
    name = folder.name if folder.is_dir() else model.name
    return f"{name} · {_count(model.n_parameters)} parameters · {model.device}"


def _count(n: float) -> str:
    for unit in ("", "K", "M"):
        if n < 1000:
            return f"{n:.3g}{unit}"
        n /= 1000
    return f"{n:.3g}B"


def _have(content: dict[str, Any]) -> dict[str, int]:
    have = content.get("have")
    if not isinstance(have, dict) or not all(isinstance(have.get(part), int) for part in PARTS):
        raise ValueError(f"The page sent have={have!r}; a pull says how many items of each of {PARTS} it has.")
    return {part: max(0, have[part]) for part in PARTS}


def _rows(rows: Iterable[Tensor | None], columns: Sequence[Column]) -> list[list[float | None]]:
    """For each token a coefficient a slider: the mean over the sites of its vector."""
    numbers = [row.tolist() for row in rows if row is not None]
    edits = sorted({column.edit for column in columns})
    sliders = [[c for c, column in enumerate(columns) if column.edit == edit] for edit in edits]
    return [json_row(fmean(row[c] for c in of_slider) for of_slider in sliders) for row in numbers]


def _shown(token: sk.Token | None) -> list[str]:
    """The token as the page shows it: special ones are empty, so that the text is `run.text`."""
    return [] if token is None else ["" if token.special else token.text]


def _explain(error: Exception) -> Failure:
    from steerkit.errors import SteerkitError

    kind = type(error).__name__
    if isinstance(error, SteerkitError):
        return Failure(kind, str(error), "")
    return Failure(
        kind,
        f"The model stopped with an error: {kind}: {error}".rstrip(": ") + ".",
        "What was written stays; Run starts again.",
    )
