"""Writing the texts that a panel asks for, seed by seed, and measuring them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from steerkit.controls import random_control
from steerkit.plans import Plan
from steerkit.runs import Settings
from steerkit_widgets._document import Document, Row, Stage
from steerkit_widgets._generation import Generation, json_row
from steerkit_widgets._targets import Targets

if TYPE_CHECKING:
    import steerkit as sk
    from steerkit.program import Column

# Alternatives of a token, from each model.
N_ALTERNATIVES = 4


class Pair(NamedTuple):
    """The texts of one seed; the baseline's tokens as the page shows them."""

    steered: sk.Run
    baseline: sk.Run
    shown: list[str]


class Writer:
    """Writes texts with one model; knows the baselines of the last document.

    Args:
        model: The model.
        targets: What edits act on.
    """

    def __init__(self, model: sk.Model, targets: Targets) -> None:
        self._model, self._targets = model, targets
        self._baselines: dict[tuple[str, Settings], tuple[sk.Run, list[str]]] = {}

    def plan(self, document: Document, rows: Iterable[Row] | None = None) -> sk.Plan:
        """The plan of a document; with some rows, that with these in place of its own.

        Raises:
            SteerkitError: One of them means nothing.
        """
        edits = self._targets.read(document.edits if rows is None else rows)
        if document.control:
            edits = [random_control(edit, seed) for seed, edit in enumerate(edits)]
        return Plan(edits, preserve_norm=document.preserve_norm)

    def write(self, generation: Generation, push: Callable[[], None]) -> list[Pair]:
        """Write the texts of all seeds, one after another, until the run is cancelled.

        Args:
            generation: What is asked for, and where the texts go.
            push: Called whenever there is something new.

        Raises:
            SteerkitError: The prompt, a setting or an edit does not fit the model.
        """
        if (change := generation.take_change()) is not None:  # it came while the run waited for the model
            generation.document = replace(generation.document, edits=change.edits)
        document = generation.document
        wanted = {document.baseline_key(seed) for seed in document.seeds}
        self._baselines = {key: found for key, found in self._baselines.items() if key in wanted}
        pairs: list[Pair] = []
        for sample, seed in enumerate(document.seeds):
            if generation.cancelled.is_set():
                break
            pairs.append(self._pair(generation, sample, seed, push))
        return pairs

    def _pair(self, generation: Generation, sample: int, seed: int, push: Callable[[], None]) -> Pair:
        document = generation.document
        settings, key = document.settings(seed), document.baseline_key(seed)
        known = self._baselines.get(key)
        if known is not None:
            generation.extend(sample, baseline=known[1])
        stages = [stage for stage in document.before if stage.until > 0]
        rows = stages[0].edits if stages else document.edits
        stream = self._model.stream(
            document.prompt,
            self.plan(document, rows),
            baseline=known is None,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=seed,
        )
        for step in stream:
            # Where the steered text has ended and the baseline has not, what is read is of no token.
            read = None if step.steered is None else step.previous_coefficients
            generation.extend(
                sample,
                baseline=_shown(step.baseline),
                steered=_shown(step.steered),
                coefficients=[] if read is None else [_row(read.tolist(), stream.columns, rows)],
            )
            if generation.cancelled.is_set():
                stream.cancel()
            elif (now := _due(generation, stages, step.index + 1)) is not None:
                rows = now
                stream.update(self.plan(document, rows))
            push()
        steered, baseline = stream.result(), stream.baseline_result()
        # The last token's coefficients, which no further step has brought.
        n = len(generation.parts[sample]["coefficients"])
        last = [_row(values, steered.columns, rows) for values in steered.coefficients[n:].tolist()]
        generation.extend(sample, coefficients=last)
        if baseline is not None:
            known = baseline, list(generation.parts[sample]["baseline"])
            if baseline.stopped != "cancelled":
                self._baselines[key] = known
        assert known is not None, "a baseline that is not known is written beside the text"
        return Pair(steered, *known)

    def measured(self, pair: Pair, document: Document) -> tuple[sk.Alternatives, dict[str, Any]]:
        """The alternatives of a steered text, and what the page shows of them and of how the text reads.

        Raises:
            SteerkitError: The text does not fit the model.
        """
        found = self._model.alternatives(pair.steered, N_ALTERNATIVES)
        kl = json_row(found.kl.tolist())
        # What other edits wrote has no alternatives under these.
        first = max((stage.until for stage in document.before), default=0)
        return found, {
            "tokens": [
                None if i < first else {"kl": kl[i], "alternatives": [[a.token, *json_row(a[1:])] for a in found[i]]}
                for i in range(len(found))
            ],
            "nats": json_row([found.run.nats, _nats(pair.baseline)]),
            "repetition": json_row([found.run.repetition, pair.baseline.repetition]),
        }


def _due(generation: Generation, stages: list[Stage], n_tokens: int) -> tuple[Row, ...] | None:
    """The edits that are to take force after so many tokens, if they are not those in force."""
    if stages:
        if n_tokens < stages[0].until:
            return None
        stages.pop(0)
        return stages[0].edits if stages else generation.document.edits
    change = generation.take_change()
    if change is None or change.edits == generation.document.edits:  # a page says again what it has said
        return None
    generation.document = generation.document.changed_at(n_tokens, change.edits)
    return change.edits


def _row(values: Sequence[float], columns: Sequence[Column], rows: Sequence[Row]) -> dict[str, float | None]:
    """A token's coefficient of each edit: the mean over the sites where it is read; None where it is not."""
    own = [[v for v, column in zip(values, columns, strict=True) if column.edit == edit] for edit in range(len(rows))]
    return dict(zip((row.id for row in rows), json_row([fmean(v) if v else math.nan for v in own]), strict=True))


def _shown(token: sk.Token | None) -> list[str]:
    """The token as the page shows it: special ones are empty, so that the text is `run.text`."""
    return [] if token is None else ["" if token.special else token.text]


def _nats(run: sk.Run) -> float | None:
    """Nats a token of an unsteered text: what it was written with is the unsteered model."""
    return -run.logprobs.mean().item() if len(run.logprobs) else None
