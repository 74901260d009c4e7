"""`Model`: a transformer that can be read and steered."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from steerkit import embedded, loading
from steerkit.alternatives import Alternatives
from steerkit.batching import in_batches
from steerkit.dictionaries import catalog
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.load import load_dictionary
from steerkit.edits import Edit, Target
from steerkit.engines import tracing
from steerkit.engines.gradient import Change
from steerkit.errors import (
    DictionaryError,
    EditError,
    EngineError,
    ModelError,
    PromptError,
    SettingError,
    VectorError,
)
from steerkit.operators import WITHOUT_STRENGTH
from steerkit.plans import EditsLike, Plan
from steerkit.reading import Reading, midpoint
from steerkit.runner import Runner
from steerkit.runs import Comparison, Settings, Sweep
from steerkit.selection import Gathered, check_choice
from steerkit.sites import Site
from steerkit.streams import Pace, Stream
from steerkit.strengths import as_strength
from steerkit.tokens import Encoded, Prompt, PromptLike, TextLike, encode, encode_all, names_of
from steerkit.top_tokens import logit_effects, token_direction

if TYPE_CHECKING:
    from jaxtyping import Float
    from nnsight import TransformersModel
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from steerkit.runs import Run


def load(
    model: str | os.PathLike[str] | PreTrainedModel = embedded.NAME,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    device: str = "auto",
    dtype: str | torch.dtype = "auto",
    revision: str | None = None,
    remote: bool | str = False,
    trust_remote_code: bool = False,
) -> Model:
    """Load a causal language model.

    Args:
        model: A name on the Hugging Face hub, a folder, or a transformers model in memory (which is left as it is: its
            modules are copied, its weights shared). Without one, the storybook model that comes with steerkit.
        tokenizer: Needed for a model in memory; else the one beside the model.
        device: `"auto"` (all GPUs there are, else the processor), or a torch device.
        dtype: `"auto"` (the checkpoint's own; float32 on a processor), or a torch dtype.
        revision: Branch, tag or commit on the hub.
        remote: True to run on NDIF through nnsight; `"local"` for nnsight's simulation of it.
        trust_remote_code: Run Python code that the model's repository brings. Only for repositories you trust.

    Raises:
        ModelError: There is no such model, or it is of a kind that is not served.

    Example:
        >>> load().n_layers
        6
    """
    if remote is True:
        if not isinstance(model, str):
            raise ModelError("A model on NDIF is given by its name on the hub, such as 'meta-llama/Llama-3.1-8B'.")
        lm = loading.load_remote(model, revision=revision, trust_remote_code=trust_remote_code)
        return Model(lm, name=model, revision=revision, remote=True)
    if remote not in (False, "local"):
        raise ModelError(f"remote={remote!r} is not known; it is False, True (NDIF) or 'local' (a simulation of it).")
    if isinstance(model, torch.nn.Module):
        if tokenizer is None:
            raise ModelError("A model in memory needs its tokenizer: load(model, tokenizer=tokenizer).")
        if (device, dtype, revision) != ("auto", "auto", None):
            raise ModelError("A model in memory stays where and as it is. Move it first, such as model.to('cuda').")
        return Model(loading.wrap(model, tokenizer), name=model.name_or_path or type(model).__name__, remote=remote)
    if not isinstance(model, str | os.PathLike):
        raise ModelError(f"{model!r} is no model. Give a name on the hub, a folder, or a transformers model.")
    lm = loading.load_files(
        model,
        device=device,
        dtype=dtype,
        revision=revision,
        tokenizer=tokenizer,
        trust_remote_code=trust_remote_code,
    )
    return Model(lm, name=str(model), revision=revision, remote=remote)


class Model:
    """A transformer with helpers to read and steer it. Made by `load`.

    Attributes:
        nnsight: The nnsight model, for traces of your own.
        tokenizer: Its tokenizer, with a padding token.
        name: Name or folder it was loaded from.
        revision: Revision asked for, if any.
        remote: False, True (NDIF) or `"local"` (a simulation of NDIF).
    """

    def __init__(
        self, lm: TransformersModel, *, name: str, revision: str | None = None, remote: bool | str = False
    ) -> None:
        self.nnsight = lm
        self.tokenizer: PreTrainedTokenizerBase = lm.tokenizer
        self.name, self.revision, self.remote = name, revision, remote
        self._runner = Runner(lm, name, remote)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self._runner.sites.d_model

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self._runner.sites.n_layers

    @property
    def context(self) -> int | None:
        """Most tokens of a text; None where the model has no limit."""
        return self._runner.context

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self._runner.module.parameters())

    @property
    def commit(self) -> str | None:
        """Commit of the repository that it was loaded from; None where it came from a folder or memory."""
        return getattr(self._runner.module.config, "_commit_hash", None)

    @property
    def device(self) -> torch.device:
        """Where the first parameter is."""
        return next(self._runner.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the first parameter."""
        return next(self._runner.module.parameters()).dtype

    @property
    def sites(self) -> list[Site]:
        """Every site that can be read and steered, in the order of depth."""
        return list(self._runner.sites)

    def width(self, site: str | Site) -> int:
        """Width of the activation at a site.

        Raises:
            SiteError: The model has no such site.
        """
        return self._runner.sites.width(self._runner.module, self._runner.sites.check(site))

    def dictionary(self, site: str | Site | None = None) -> Dictionary:
        """The model's default dictionary, or another of those that come with it.

        One that comes with the model: storybook's, or one in the folder `dictionaries` of the model's own. For other
        models the one that the catalog lists, if it lists no other.

        Args:
            site: Where it reads, or the name of its folder, such as `"reft_l4"`. Without it, the one in the middle of
                those that are named after their site.

        Raises:
            DictionaryError: There is none, or the catalog lists several.
        """
        at = "" if site is None else f" at {site}"
        names = {name.rpartition("/")[2]: name for name in embedded.dictionaries(self.name)}
        if site is not None and str(site) in names:
            return load_dictionary(names[str(site)])
        by_site = [name for place, name in names.items() if place[0].isdigit()]
        if site is None and by_site:
            return load_dictionary(by_site[len(by_site) // 2])
        if names:
            raise DictionaryError(f"{self.name} comes with no dictionary{at}. It has {', '.join(names)}.")
        listed = [entry.name for entry in catalog.of_model(self.name) if site is None or entry.site_in == str(site)]
        if len(listed) == 1:
            return load_dictionary(listed[0])
        found = f"lists {len(listed)} dictionaries" if listed else "lists no dictionary"
        few = f" ({', '.join(listed[:3])}{', ...' if len(listed) > 3 else ''})" if listed else ""
        raise DictionaryError(
            f"The catalog {found} of {self.name}{at}{few}. Choose one with steerkit.catalog.search, "
            "and load it with steerkit.load_dictionary."
        )

    def encode(self, prompt: PromptLike) -> Prompt:
        """Tokenise text, token ids or chat messages.

        Raises:
            PromptError: The prompt is empty or of another form.
        """
        return encode(self.tokenizer, prompt)

    def encode_all(self, texts: Sequence[TextLike]) -> list[Encoded]:
        """Tokenise several texts: text, token ids, chat messages, or a `Completion`.

        Raises:
            PromptError: One of them is empty or of another form, or they are a single text.
        """
        return encode_all(self.tokenizer, texts)

    def check(self, edits: EditsLike) -> None:
        """Refuse edits that this model cannot run, without running anything.

        Raises:
            SteerkitError: A site, a width, a unit or a combination of edits does not fit.
        """
        self._runner.compile([Plan(edits)])

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
        wanted = (along,) if isinstance(along, Target | Dictionary) else tuple(along)
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
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"] if isinstance(text, str) else list(text)
            whole = self.encode([*before.ids, *ids])
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

    def logit_effects(self, direction: Float[Tensor, " d_model"]) -> Float[Tensor, " vocabulary"]:
        """Direct effect on the logits of one direction added to the residual stream; see `steerkit.top_tokens`.

        Raises:
            VectorError: It is of another width than the residual stream.
            ModelError: What stands between the stream and the logits is not known.
            EngineError: The model runs remotely.
        """
        self._runner.refuse_remote("logit_effects")
        if direction.shape != (self.d_model,):
            raise VectorError(
                f"The direction has the shape {tuple(direction.shape)}; the residual stream of {self.name} is "
                f"{self.d_model} wide."
            )
        return logit_effects(self._runner.module, self._runner.sites.family, direction)

    def token_direction(self, token: int) -> Float[Tensor, " d_model"]:
        """The direction whose product with any other is that one's effect on a token's logit; see `logit_effects`.

        Raises:
            PromptError: There is no such token.
            ModelError: What stands between the stream and the logits is not known.
            EngineError: The model runs remotely.
        """
        self._runner.refuse_remote("token_direction")
        self.encode([token])
        return token_direction(self._runner.module, self._runner.sites.family, token)

    def rescore(self, runs: Sequence[Run]) -> list[Run]:
        """The same runs with each token's log-probability under the unsteered model, in one batch.

        `Run.nats` rests on it. `compare` and `sweep` have done it already.

        Raises:
            SteerkitError: A run's text does not fit the model.
        """
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

    def generate(
        self,
        prompt: PromptLike,
        edits: EditsLike = (),
        *,
        max_new_tokens: int = 60,
        temperature: float = 0.8,
        top_p: float = 1.0,
        seed: int = 0,
        use_cache: bool = True,
    ) -> Run:
        """Write on from a prompt, under edits.

        Args:
            prompt: Text, token ids or chat messages.
            edits: Edits, or a plan.
            max_new_tokens: Length of the new text in tokens, unless it ends before.
            temperature: 0 is greedy.
            top_p: Sample from the smallest set of tokens whose probability reaches it.
            seed: The same seed gives the same noise at the same position, whatever the edits.
            use_cache: Keep keys and values. Without, it is slower and gives the same text.

        Raises:
            SteerkitError: The prompt, a setting or an edit does not fit the model.
        """
        return self.generate_many(
            [prompt],
            edits,
            seeds=[seed],
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            use_cache=use_cache,
        )[0]

    def generate_many(
        self,
        prompts: Sequence[PromptLike],
        edits: EditsLike | Sequence[Plan] = (),
        *,
        seeds: Sequence[int] | None = None,
        max_new_tokens: int = 60,
        temperature: float = 0.8,
        top_p: float = 1.0,
        use_cache: bool = True,
    ) -> list[Run]:
        """Write on from several prompts in one batch.

        Args:
            prompts: A prompt a text.
            edits: Edits or a plan for all texts, or a list of plans, one a text.
            seeds: A seed a text; 0 for all by default.
            max_new_tokens: As in `generate`, like the rest.
            temperature: 0 is greedy.
            top_p: Sample from the smallest set of tokens whose probability reaches it.
            use_cache: Keep keys and values.

        Raises:
            SteerkitError: A prompt, a setting or an edit does not fit the model.
        """
        encoded = [text.prompt for text in self.encode_all(prompts)]
        seeds = [0] * len(prompts) if seeds is None else list(seeds)
        if len(seeds) != len(prompts):
            raise SettingError(f"There are {len(seeds)} seeds for {len(prompts)} prompts. Give one a prompt.")
        if not prompts:
            return []
        settings = [Settings(max_new_tokens, temperature, top_p, seed) for seed in seeds]
        encoded = [self._runner.fitting(prompt, max_new_tokens) for prompt in encoded]
        plans = [Plan(edits)] * len(encoded) if not _several(edits) else list(edits)
        if len(plans) != len(encoded):
            raise SettingError(f"There are {len(plans)} plans for {len(prompts)} prompts. Give one a prompt.")
        return self._runner.generate(self._runner.compile(plans), encoded, plans, settings, use_cache)

    def compare(
        self,
        prompt: PromptLike,
        edits: EditsLike,
        *,
        max_new_tokens: int = 60,
        temperature: float = 0.8,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Comparison:
        """Write on without and with edits, in one batch with the same noise. Arguments as in `generate`.

        Raises:
            SteerkitError: The prompt, a setting or an edit does not fit the model.
        """
        plan, settings = Plan(edits), Settings(max_new_tokens, temperature, top_p, seed)
        encoded = self._runner.fitting(self.encode(prompt), max_new_tokens)
        plans = [Plan(), plan]
        baseline, steered = self._runner.generate(self._runner.compile(plans), [encoded] * 2, plans, [settings] * 2)
        baseline = replace(baseline, unsteered_logprobs=baseline.logprobs)
        if not steered.token_ids:
            return Comparison(baseline, steered, torch.zeros(0))
        program = self._runner.compile([plan, Plan()])
        texts, lengths = [self._runner.text_of(steered)] * 2, [len(encoded)] * 2
        scores = self._runner.score(program, texts, lengths, len(steered.token_ids), pairs=True)
        steered = replace(steered, unsteered_logprobs=scores["logprobs"][1].clone())
        return Comparison(baseline, steered, scores["kl"][0])

    def sweep(
        self,
        prompt: PromptLike,
        edit: Edit,
        strengths: Sequence[float],
        *,
        max_new_tokens: int = 60,
        temperature: float = 0.8,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Sweep:
        """Write on at several strengths of one edit, in one batch with the same noise.

        Args:
            prompt: Text, token ids or chat messages.
            edit: The edit, whose strength is replaced.
            strengths: The strengths, in the edit's unit.
            max_new_tokens: As in `generate`, like the rest.
            temperature: 0 is greedy.
            top_p: Sample from the smallest set of tokens whose probability reaches it.
            seed: The same for all strengths.

        Raises:
            SteerkitError: The prompt, a setting or the edit does not fit the model.
        """
        if not isinstance(edit, Edit) or edit.operator in WITHOUT_STRENGTH:
            raise EditError(f"A sweep runs over the strengths of one edit, such as vector.add(1); got {edit!r}.")
        values = [as_strength(strength) for strength in strengths]
        if not values:
            raise EditError("A sweep needs at least one strength, such as strengths=[-2, 0, 2].")
        settings = Settings(max_new_tokens, temperature, top_p, seed)
        encoded, rows = self._runner.fitting(self.encode(prompt), max_new_tokens), len(values)
        plans = [Plan(edit.with_strength(value)) for value in values]
        runs = self._runner.generate(self._runner.compile(plans), [encoded] * rows, plans, [settings] * rows)
        return Sweep(values, self._runner.with_unsteered_scores(runs))

    def stream(
        self,
        prompt: PromptLike,
        edits: EditsLike = (),
        *,
        baseline: bool = False,
        max_new_tokens: int = 60,
        temperature: float = 0.8,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Stream:
        """Write on from a prompt and hand out each token as it comes. Arguments as in `generate`.

        Args:
            prompt: Text, token ids or chat messages.
            edits: Edits, or a plan; `Stream.update` changes them midway.
            baseline: Write the unsteered text beside it, in the same batch with the same noise.
            max_new_tokens: Length of the new text in tokens, unless it ends before.
            temperature: 0 is greedy.
            top_p: Sample from the smallest set of tokens whose probability reaches it.
            seed: The same seed gives the same noise at the same position.

        Raises:
            SteerkitError: The prompt, a setting or an edit does not fit the model.
            EngineError: The model runs remotely.
        """
        self._runner.refuse_remote("stream")
        settings = Settings(max_new_tokens, temperature, top_p, seed)
        encoded = self._runner.fitting(self.encode(prompt), max_new_tokens)
        runner, plans = self._runner, [Plan(edits), Plan()][: 1 + baseline]
        live = runner.live(runner.compile(plans), replaceable=True)

        def update(edits: EditsLike) -> None:
            plan = Plan(edits)
            live.program = runner.compile([plan, *plans[1:]])  # compiled whole before it takes force
            plans[0] = plan

        def write(pace: Pace) -> tuple[Run, Run | None]:
            return runner.write(live, encoded, lambda: plans, settings, pace)

        return Stream(runner.turns, write, update, lambda: live.program.of_row(0)[1])

    @contextmanager
    def steer(self, edits: EditsLike) -> Iterator[None]:
        """Steer every nnsight trace and generate of `model.nnsight` inside the block.

        What this model itself generates and reads inside the block is steered too, baselines included.

        Example:
            >>> with model.steer([joy.add(2)]):  # doctest: +SKIP
            ...     with model.nnsight.trace("One day"):
            ...         logits = model.nnsight.output.logits.save()

        Raises:
            SteerkitError: An edit does not fit the model.
            EngineError: The model runs remotely.
        """
        self._runner.refuse_remote("steer")
        plan = Plan(edits)
        if plan.actions or any(edit.where.chat for edit in plan):
            raise EngineError(f"'{plan}': roles, messages and actions need a text of this model's own; use generate.")
        live = self._runner.live(self._runner.compile([plan]), replaceable=True)
        with tracing.attached(self.nnsight, live):
            yield

    def _readable(self, texts: Sequence[TextLike], tokens: str) -> list[Encoded]:
        """The texts as tokens, if each fits the model and has a token that the choice means."""
        chosen, encoded = check_choice(tokens), self.encode_all(texts)
        for prompt, start in encoded:
            self._runner.fitting(prompt)
            if chosen in ("mean", "every") and all(prompt.special[start:]):
                raise PromptError(f"The text {prompt.text!r} has no token to read but special ones. Take it out.")
        return encoded

    def __repr__(self) -> str:
        where = {True: "NDIF", "local": f"{self.device}, as NDIF would", False: self.device}[self.remote]
        return f"Model({self.name!r}, {self.n_layers} layers of width {self.d_model}, on {where})"


def _several(edits: EditsLike | Sequence[Plan]) -> bool:
    return isinstance(edits, Sequence) and bool(edits) and all(isinstance(item, Plan) for item in edits)
