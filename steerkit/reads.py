"""The verbs that read a model: activations, coefficients and probabilities of given texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from steerkit.alternatives import Alternatives
from steerkit.batching import in_batches
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.edits import Target
from steerkit.engines.gradient import Change
from steerkit.errors import EditError, PromptError, SettingError
from steerkit.loaded import Loaded
from steerkit.plans import EditsLike, Plan
from steerkit.reading import Reading, midpoint
from steerkit.selection import Gathered, check_choice
from steerkit.sites import Site
from steerkit.tokens import Encoded, Prompt, PromptLike, TextLike, continued, names_of

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.runs import Run


class Reads(Loaded):
    """A model that can be read."""

    def read(
        self, text: PromptLike, along: Target | Dictionary | Iterable[Target | Dictionary], edits: EditsLike = ()
    ) -> Reading:
        """Read vectors (from their midpoints), features or whole dictionaries at every token of a text.

        Args:
            text: Text, token ids or chat messages.
            along: What to read.
            edits: Read the steered model instead; sites are read after the edits there.

        Raises:
            SteerkitError: The text, what is read or an edit does not fit the model.
        """
        several = isinstance(along, Iterable) and not isinstance(along, Target | Dictionary | str)
        wanted = tuple(along) if several else (along,)
        for item in wanted:
            if not isinstance(item, Target | Dictionary):
                raise EditError(
                    f"{item!r} cannot be read. Give a vector, a feature, such as dictionary['rain'], or a dictionary."
                )
        targets = tuple(item for item in wanted if not isinstance(item, Dictionary))
        dictionaries = [item for item in wanted if isinstance(item, Dictionary)]
        plan, prompt = Plan(edits), self._runner.fitting(self.encode(text))
        program = self._runner.compile([plan], read=targets, capture=[d.reads_at() for d in dictionaries])
        record = self._runner.read(program, [prompt])
        here = [j for j, column in enumerate(program.columns) if column.edit >= len(plan)]
        columns = tuple(replace(program.columns[j], edit=program.columns[j].edit - len(plan)) for j in here)
        coefficients = record["coefficients"][0].float().cpu()[:, here].clone() if here else torch.zeros(len(prompt), 0)
        coefficients -= torch.tensor([midpoint(targets[column.edit], column.site) for column in columns])
        codes = tuple((d, d.encode(record["captured"][str(d.reads_at())][0].cpu().clone())) for d in dictionaries)
        return Reading(prompt, targets, coefficients, columns, codes)

    def attention(
        self, text: PromptLike, layer: int, edits: EditsLike = ()
    ) -> Float[Tensor, "n_heads n_tokens n_tokens"]:
        """How much each token attends to each, in one layer: `[head, token, earlier token]`, in float32 on the CPU.

        Args:
            text: Text, token ids or chat messages.
            layer: The layer.
            edits: Read the steered model instead.

        Raises:
            SiteError: The model has no such layer, or its attention is not known.
            EngineError: The model runs remotely.
            SteerkitError: The text or an edit does not fit the model.
        """
        self._runner.refuse_remote("attention")
        prompt, program = self._runner.fitting(self.encode(text)), self._runner.compile([Plan(edits)])
        return self._runner.attention(program, prompt, layer)

    def activations(
        self,
        texts: Sequence[TextLike],
        sites: Sequence[str | Site],
        *,
        tokens: str = "all",
        batch_size: int | None = None,
    ) -> Iterator[tuple[Prompt, dict[Site, Float[Tensor, "n_tokens width"]]]]:
        """Activations of one text after another (shorter ones first), in float32 on the CPU.

        They are batched by length, and nothing is kept but what is asked for.

        Args:
            texts: Texts, token ids, chat messages, or any of these with a `Completion`.
            sites: Where to read.
            tokens: At which tokens: `"all"`; `"every"` one of the completion (of the text, if there is no prompt before
                it) but special ones; the `"mean"` over these; or the `"last"`.
            batch_size: Texts a forward pass; without it, as many as make up a few thousand tokens.

        Raises:
            SteerkitError: A text, a site or the choice of tokens does not fit.
            EngineError: The memory does not suffice for one of the texts.
        """
        encoded, places = self._readable(texts, tokens), [self._runner.sites.check(site) for site in sites]
        for batch, counts, kept in self._runner.captured(encoded, places, tokens, batch_size):
            rows = {site: values.split(counts) for site, values in kept.items()}
            for row, i in enumerate(batch):
                yield encoded[i].prompt, {site: rows[site][row] for site in places}

    def gather(
        self,
        texts: Sequence[TextLike],
        sites: Sequence[str | Site],
        *,
        tokens: str = "last",
        batch_size: int | None = None,
    ) -> Gathered:
        """Activations of several texts in their own order, in float32 on the CPU.

        Args:
            texts: As for `activations`.
            sites: Where to read.
            tokens: At which tokens, as for `activations`.
            batch_size: As for `activations`.

        Raises:
            SteerkitError: A text, a site or the choice of tokens does not fit.
            EngineError: The memory does not suffice for one of the texts.
        """
        encoded, places = self._readable(texts, tokens), [self._runner.sites.check(site) for site in sites]
        if not encoded:
            raise PromptError("There are no texts to read. Give at least one.")
        order, counts, parts = [], [], {site: [] for site in places}
        for batch, counted, kept in self._runner.captured(encoded, places, tokens, batch_size):
            order += batch
            counts += counted
            for site in places:
                parts[site].append(kept[site])
        text = torch.repeat_interleave(torch.tensor(order, dtype=torch.long), torch.tensor(counts, dtype=torch.long))
        rows = text.argsort(stable=True)
        return Gathered({site: torch.cat(values)[rows] for site, values in parts.items()}, text[rows])

    def last_activations(
        self, texts: Sequence[TextLike], sites: Sequence[str | Site], *, batch_size: int | None = None
    ) -> dict[Site, Float[Tensor, "n_texts width"]]:
        """Activations at the last token of each text; see `gather`.

        Raises:
            SteerkitError: A text or a site does not fit the model.
        """
        return dict(self.gather(texts, sites, batch_size=batch_size).activations)

    def score(
        self, text: PromptLike, edits: EditsLike = (), *, prompt: PromptLike | None = None
    ) -> Float[Tensor, " n"]:
        """Log-probability in nats of each token of a given text, given all before it.

        Args:
            text: Text, token ids or chat messages.
            edits: Score under the steered model instead.
            prompt: What the text follows. Its tokens count as prompt and are not scored; the text is then tokenised
                without a beginning-of-sequence token.

        Returns:
            One number a token; without a prompt, none for the first token, which nothing predicts.

        Raises:
            SteerkitError: The text or an edit does not fit the model.
        """
        if prompt is None:
            whole = self.encode(text)
            n_before, n_prompt = 1, len(whole)
        else:
            before = self.encode(prompt)
            whole = continued(self.tokenizer, before, text)
            n_before = n_prompt = len(before)
        if len(whole) == n_before:
            raise PromptError("The text has no token that something predicts. Give a longer text.")
        program, last = self._runner.compile([Plan(edits)]), len(whole) - n_before
        return self._runner.score(program, [self._runner.fitting(whole)], [n_prompt], last)["logprobs"][0]

    def nats(self, texts: Sequence[Encoded], site: str | Site, change: Change) -> Float[Tensor, " n_texts"]:
        """Nats of each text's completion with an activation changed: what is learned by gradient learns from this.

        Gradients reach what `change` computes with, and none of the model's weights.

        Args:
            texts: The texts, as `encode_all` gives them. What follows the prompt is scored; of others, all tokens but
                the first.
            site: Where the activation is changed.
            change: From the activation (n_texts, n_tokens, width), in float32, and the mask (n_texts, n_tokens) of
                tokens that are neither padding nor special, to what takes the activation's place.

        Raises:
            SiteError: The model has no such site, or it is no module's own (`resid_mid`, `mlp_in_normalized`).
            PromptError: A text does not fit the model.
            EngineError: The model runs remotely.
        """
        self._runner.refuse_remote("Learning by gradient")
        return self._runner.nats(texts, Site.parse(site), change)

    def effects(
        self, edits: EditsLike, texts: Sequence[TextLike]
    ) -> tuple[Float[Tensor, " n_texts"], Float[Tensor, " n_texts"]]:
        """What edits do to the probability of given texts, and how much they change the model's predictions there.

        Args:
            edits: The edits.
            texts: Texts whose completions are scored, each as a `Completion`; of others, all tokens but the first.

        Returns:
            For each text, in nats a token: the log-probability under the steered model minus that under the unsteered
            one; and KL(steered ‖ unsteered) over the vocabulary where each token is predicted.

        Raises:
            SteerkitError: A text or an edit does not fit the model.
        """
        plan, encoded = Plan(edits), self._readable(texts, "all")
        scored = [len(prompt) - max(start, 1) for prompt, start in encoded]
        if not all(scored):
            raise PromptError("A text has no token that something predicts. Give a longer text, or a prompt before it.")
        gains, divergences = torch.zeros(2, len(encoded))

        def run(batch: list[int]) -> dict[str, Tensor]:
            program = self._runner.compile([plan, Plan()] * len(batch))
            rows = [encoded[i] for i in batch for _ in range(2)]
            prompts, before = [row.prompt for row in rows], [max(row.start, 1) for row in rows]
            return self._runner.score(program, prompts, before, max(scored[i] for i in batch), pairs=True)

        for batch, scores in in_batches([2 * len(prompt) for prompt, _ in encoded], run):
            for row, i in enumerate(batch):
                steered, plain = scores["logprobs"][2 * row : 2 * row + 2, -scored[i] :]
                gains[i], divergences[i] = (steered - plain).mean(), scores["kl"][row, -scored[i] :].mean()
        return gains, divergences

    def next_logprobs(
        self, texts: Sequence[Encoded], site: str | Site, change: Change
    ) -> Float[Tensor, "n_texts vocabulary"]:
        """Log-probabilities in nats of the token after each text with an activation changed, on the CPU.

        Args:
            texts: The texts, as `encode_all` gives them.
            site: As for `nats`, like the rest.
            change: From the activation and the mask of plain tokens to what takes the activation's place.

        Raises:
            SteerkitError: As for `nats`.
        """
        self._runner.refuse_remote("Changing an activation by a function")
        return self._runner.next_logprobs(texts, Site.parse(site), change)

    def rescore(self, runs: Sequence[Run]) -> list[Run]:
        """The same runs with each token's log-probability under the unsteered model, in one batch.

        `Run.nats` rests on it. `compare` and `sweep` have done it already.

        Raises:
            SteerkitError: A run's text does not fit the model.
        """
        if not isinstance(runs, Iterable):
            raise SettingError(f"{runs!r} is no list of runs. Put it into brackets.")
        return self._runner.with_unsteered_scores(list(runs))

    def alternatives(self, run: Run, k: int = 5) -> Alternatives:
        """The likeliest tokens at each place of a run's text, under its plan and under the unsteered model.

        Args:
            run: The run. Its plan counts for the whole of it, though it may have been changed midway.
            k: How many tokens of each.

        Raises:
            SettingError: `k` is no number of tokens of this vocabulary.
            SteerkitError: The text does not fit the model.
        """
        n_vocabulary = len(self.tokenizer)
        if not 1 <= k <= n_vocabulary:
            raise SettingError(f"k={k!r} is no number of tokens. Give a whole number from 1 to {n_vocabulary}.")
        if not run.token_ids:
            return Alternatives(run, [], torch.zeros(0, 2, 2 * k), torch.zeros(0))
        program = self._runner.compile([run.plan, Plan()])
        texts, lengths = [self._runner.text_of(run)] * 2, [len(run.prompt)] * 2
        scores = self._runner.score(program, texts, lengths, len(run.token_ids), pairs=True, top=k)
        measured = replace(run, unsteered_logprobs=scores["logprobs"][1].clone())
        ids = scores["top"][0].flatten().unique().tolist()
        names = dict(zip(ids, names_of(self.tokenizer, ids), strict=True))
        tokens = [[names[i] for i in row] for row in scores["top"][0].tolist()]
        return Alternatives(measured, tokens, scores["top_logprobs"][0], scores["kl"][0])

    def _readable(self, texts: Sequence[TextLike], tokens: str) -> list[Encoded]:
        """The texts as tokens, if each fits the model and has a token that the choice means."""
        chosen, encoded = check_choice(tokens), self.encode_all(texts)
        for prompt, start in encoded:
            self._runner.fitting(prompt)
            if chosen in ("mean", "every") and all(prompt.special[start:]):
                raise PromptError(f"The text {prompt.text!r} has no token to read but special ones. Take it out.")
        return encoded
