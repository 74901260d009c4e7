"""`Model`: a transformer that can be read and steered."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from steerkit import loading
from steerkit.edits import Edit, EditsLike, Plan, Target, as_strength
from steerkit.engines import passes, tracing
from steerkit.engines.live import Live
from steerkit.engines.sampling import Sampling
from steerkit.errors import EditError, EngineError, ModelError, PromptError, SettingError
from steerkit.program import Program, compile_plan
from steerkit.reading import Reading
from steerkit.runs import Comparison, Run, Settings, Sweep
from steerkit.sites import Site, SiteMap
from steerkit.streams import Pace, Step, Stream, Token, Turns
from steerkit.tokens import Decoder, Prompt, PromptLike, encode, pieces, special_ids

if TYPE_CHECKING:
    from jaxtyping import Float
    from nnsight import TransformersModel
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load(
    model: str | os.PathLike[str] | PreTrainedModel,
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
            modules are copied, its weights shared).
        tokenizer: Needed for a model in memory; else the one beside the model.
        device: `"auto"` (all GPUs there are, else the processor), or a torch device.
        dtype: `"auto"` (the checkpoint's own; float32 on a processor), or a torch dtype.
        revision: Branch, tag or commit on the hub.
        remote: True to run on NDIF through nnsight; `"local"` for nnsight's simulation of it.
        trust_remote_code: Run Python code that the model's repository brings. Only for repositories you trust.

    Raises:
        ModelError: There is no such model, or it is of a kind that is not served.

    Example:
        >>> model = load("../shared/data/models/tinystories656K")  # doctest: +SKIP
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
        return Model(loading.wrap(model, tokenizer), name=model.name_or_path or type(model).__name__, remote=remote)
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
        self._module: torch.nn.Module = lm._module
        self._sites = SiteMap(self._module, name)
        self._turns = Turns()
        text_config = self._module.config.get_text_config()
        self._context: int | None = getattr(text_config, "max_position_embeddings", None)
        self._end = _end_ids(self._module, self.tokenizer)
        self._special = special_ids(self.tokenizer)
        self._is_special = torch.zeros(max(text_config.vocab_size, len(self.tokenizer)), dtype=torch.bool)
        self._is_special[sorted(self._special)] = True

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self._sites.d_model

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self._sites.n_layers

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self._module.parameters())

    @property
    def device(self) -> torch.device:
        """Where the first parameter is."""
        return next(self._module.parameters()).device

    @property
    def sites(self) -> list[Site]:
        """Every site that can be read and steered, in the order of depth."""
        return list(self._sites)

    def encode(self, prompt: PromptLike) -> Prompt:
        """Tokenise text, token ids or chat messages.

        Raises:
            PromptError: The prompt is empty or of another form.
        """
        return encode(self.tokenizer, prompt)

    def read(self, text: PromptLike, along: Target | Iterable[Target], edits: EditsLike = ()) -> Reading:
        """Read coefficients along vectors at every token of a text.

        Args:
            text: Text, token ids or chat messages.
            along: What to read along.
            edits: Read the steered model instead; sites are read after the edits there.

        Raises:
            SteerkitError: The text, a vector or an edit does not fit the model.
        """
        targets = (along,) if isinstance(along, Target) else tuple(along)
        plan, prompt = Plan(edits), self._fitting(self.encode(text))
        program = self._compile(plan, read=targets)
        record = self._run(Live(program), passes.read, [prompt])
        wanted = [j for j, column in enumerate(program.columns) if column.edit >= len(plan)]
        columns = tuple(_renumbered(program.columns[j], len(plan)) for j in wanted)
        return Reading(prompt, targets, record["coefficients"][0][:, wanted].float().cpu().clone(), columns)

    def last_activations(
        self, texts: Sequence[PromptLike], sites: Sequence[str | Site], *, batch_size: int = 32
    ) -> dict[Site, Float[Tensor, "n_texts width"]]:
        """Activations at the last token of each text, in float32 on the CPU.

        Args:
            texts: Texts, token ids or chat messages.
            sites: Where to read.
            batch_size: Texts a forward pass; they are batched by length.

        Raises:
            SteerkitError: A text or a site does not fit the model.
        """
        places = [self._sites.check(site) for site in sites]
        prompts = [self._fitting(self.encode(text)) for text in texts]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        rows: dict[Site, list[Tensor]] = {site: [torch.empty(0)] * len(prompts) for site in places}
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            live = Live(self._compile(Plan(), enabled=[True] * len(batch), capture=places))
            captured = self._run(live, passes.read, [prompts[i] for i in batch])["captured"]
            for site in places:
                for i, activation in zip(batch, captured[str(site)], strict=True):
                    rows[site][i] = activation.cpu()
        return {site: torch.stack(values).clone() for site, values in rows.items()}

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
        live = Live(self._compile(Plan(edits)), anchor=self._sites.anchor())
        return self._score(live, [self._fitting(whole)], [n_prompt], len(whole) - n_before)["logprobs"][0].clone()

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
        edits: EditsLike = (),
        *,
        seeds: Sequence[int] | None = None,
        max_new_tokens: int = 60,
        temperature: float = 0.8,
        top_p: float = 1.0,
        use_cache: bool = True,
    ) -> list[Run]:
        """Write on from several prompts in one batch, under the same edits.

        Args:
            prompts: A prompt a text.
            edits: Edits, or a plan.
            seeds: A seed a text; 0 for all by default.
            max_new_tokens: As in `generate`, like the rest.
            temperature: 0 is greedy.
            top_p: Sample from the smallest set of tokens whose probability reaches it.
            use_cache: Keep keys and values.

        Raises:
            SteerkitError: A prompt, a setting or an edit does not fit the model.
        """
        seeds = [0] * len(prompts) if seeds is None else list(seeds)
        if len(seeds) != len(prompts):
            raise SettingError(f"There are {len(seeds)} seeds for {len(prompts)} prompts. Give one a prompt.")
        if not prompts:
            return []
        settings = [_settings(max_new_tokens, temperature, top_p, seed) for seed in seeds]
        encoded = [self._fitting(self.encode(prompt), max_new_tokens) for prompt in prompts]
        plan = Plan(edits)
        rows = len(encoded)
        program = self._compile(plan, enabled=[True] * rows)
        return self._generate(program, encoded, [plan] * rows, settings, use_cache)

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
        plan, settings = Plan(edits), _settings(max_new_tokens, temperature, top_p, seed)
        encoded = self._fitting(self.encode(prompt), max_new_tokens)
        program = self._compile(plan, enabled=[False, True])
        baseline, steered = self._generate(program, [encoded] * 2, [Plan(), plan], [settings] * 2)
        n_new = len(steered.token_ids)
        if not n_new:
            return Comparison(_with_scores(baseline, baseline.logprobs), steered, torch.zeros(0))
        whole = self.encode([*encoded.ids, *steered.token_ids])
        live = Live(self._compile(plan, enabled=[True, False]), anchor=self._sites.anchor())
        scores = self._score(live, [whole] * 2, [len(encoded)] * 2, n_new, pairs=True)
        return Comparison(
            _with_scores(baseline, baseline.logprobs),
            _with_scores(steered, scores["logprobs"][1]),
            scores["kl"][0].cpu().clone(),
        )

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
        if not isinstance(edit, Edit) or edit.operator == "ablate":
            raise EditError(f"A sweep runs over the strengths of one edit, such as vector.add(1); got {edit!r}.")
        values = [as_strength(strength) for strength in strengths]
        if not values:
            raise EditError("A sweep needs at least one strength, such as strengths=[-2, 0, 2].")
        settings = _settings(max_new_tokens, temperature, top_p, seed)
        encoded, rows = self._fitting(self.encode(prompt), max_new_tokens), len(values)
        program = self._compile(Plan(edit), strengths=[[value] for value in values], enabled=[True] * rows)
        plans = [Plan(edit.with_strength(value)) for value in values]
        runs = self._generate(program, [encoded] * rows, plans, [settings] * rows)
        return Sweep(values, self._with_unsteered_scores(runs))

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
        self._refuse_remote("stream")
        encoded = self._fitting(self.encode(prompt), max_new_tokens)
        settings = _settings(max_new_tokens, temperature, top_p, seed)
        enabled = [True, False] if baseline else [True]
        live = Live(self._compile(Plan(edits), enabled=enabled), anchor=self._sites.anchor())
        plans = [Plan(edits), Plan()][: len(enabled)]

        def update(edits: EditsLike) -> None:
            plan = Plan(edits)
            live.program = self._compile(plan, enabled=enabled)  # compiled whole before it takes force
            plans[0] = plan

        def write(pace: Pace) -> tuple[Run, Run | None]:
            decoders = [Decoder(self.tokenizer, encoded.ids, self._special) for _ in enabled]

            def emit(position: int) -> bool:
                new = [self._token(live.record, row, position, decoders[row]) for row in range(len(enabled))]
                read = live.record["coefficients"]
                return pace.hand_over(
                    Step(position, new[0], new[1] if baseline else None, read[-1][0].cpu() if read else None)
                )

            live.emit = emit
            record = self._run_generate(live, [encoded] * len(enabled), [settings] * len(enabled), True)
            runs = [
                self._finish(record, row, encoded, plans[row], settings, live.program) for row in range(len(enabled))
            ]
            return runs[0], runs[1] if baseline else None

        return Stream(self._turns, write, update)

    @contextmanager
    def steer(self, edits: EditsLike) -> Iterator[None]:
        """Steer every nnsight trace and generate of `model.nnsight` inside the block.

        Example:
            >>> with model.steer([joy.add(2)]):  # doctest: +SKIP
            ...     with model.nnsight.trace("One day"):
            ...         logits = model.nnsight.output.logits.save()

        Raises:
            SteerkitError: An edit does not fit the model.
            EngineError: The model runs remotely.
        """
        self._refuse_remote("steer")
        live = Live(self._compile(Plan(edits)), anchor=self._sites.anchor())
        with tracing.attached(self.nnsight, live):
            yield

    def __repr__(self) -> str:
        where = {True: "NDIF", "local": f"{self.device}, as NDIF would", False: self.device}[self.remote]
        return f"Model({self.name!r}, {self.n_layers} layers of width {self.d_model}, on {where})"

    def _compile(
        self,
        plan: Plan,
        *,
        enabled: Sequence[bool] = (True,),
        strengths: Sequence[Sequence[float]] | None = None,
        read: Sequence[Target] = (),
        capture: Sequence[Site] = (),
    ) -> Program:
        special = self._is_special.clone()
        return compile_plan(plan, self._sites, self._module, special, strengths, enabled, read, capture)

    def _run(self, live: Live, function: Any, prompts: Sequence[Prompt], **inputs: Any) -> dict[str, Any]:
        ids, real = _padded(prompts)
        with self._turns.taken():
            return tracing.run(self.nnsight, live, function, self.remote, input_ids=ids, real=real, **inputs)

    def _run_generate(
        self, live: Live, prompts: Sequence[Prompt], settings: Sequence[Settings], use_cache: bool
    ) -> dict[str, Any]:
        shared = settings[0]
        sampling = Sampling(
            shared.max_new_tokens,
            shared.temperature,
            shared.top_p,
            tuple(setting.seed for setting in settings),
            self._end,
            use_cache,
        )
        return self._run(live, passes.generate, prompts, sampling=sampling)

    def _generate(
        self,
        program: Program,
        prompts: Sequence[Prompt],
        plans: Sequence[Plan],
        settings: Sequence[Settings],
        use_cache: bool = True,
    ) -> list[Run]:
        live = Live(program, anchor=None if program.stops else self._sites.anchor())
        record = self._run_generate(live, prompts, settings, use_cache)
        return [
            self._finish(record, row, prompts[row], plans[row], settings[row], program) for row in range(len(prompts))
        ]

    def _finish(
        self, record: dict[str, Any], row: int, prompt: Prompt, plan: Plan, settings: Settings, program: Program
    ) -> Run:
        ids = record["ids"][row]
        columns = program.columns if len(plan) else ()
        read = [step[row].float().cpu() for step in record["coefficients"][: len(ids)]]
        # an edit that joined midway has no numbers from before
        same = [
            step if len(step) == len(program.columns) else torch.full((len(program.columns),), torch.nan)
            for step in read
        ]
        coefficients = torch.stack(same).clone() if same and columns else torch.zeros(len(ids), len(columns))
        return Run(
            prompt=prompt,
            plan=plan,
            settings=settings,
            token_ids=ids,
            tokens=pieces(self.tokenizer, prompt.ids, ids),
            special=[index in self._special for index in ids],
            logprobs=torch.tensor(record["logprobs"][row]),
            coefficients=coefficients,
            columns=columns,
            stopped=record["stopped"][row],
        )

    def _token(self, record: dict[str, Any], row: int, position: int, decoder: Decoder) -> Token | None:
        ids = record["ids"][row]
        if len(ids) <= position:
            return None
        index = ids[position]
        return Token(index, decoder.push(index), record["logprobs"][row][position], index in self._special)

    def _score(
        self, live: Live, texts: Sequence[Prompt], n_prompt: Sequence[int], last: int, pairs: bool = False
    ) -> dict[str, Any]:
        width = max(map(len, texts))
        first_new = torch.tensor([width - len(text) + n for text, n in zip(texts, n_prompt, strict=True)])
        return self._run(live, passes.score, texts, first_new=first_new, last=last, pairs=pairs)

    def _with_unsteered_scores(self, runs: list[Run]) -> list[Run]:
        written = [run for run in runs if run.token_ids]
        if not written:
            return runs
        texts = [self.encode([*run.prompt.ids, *run.token_ids]) for run in written]
        last = max(len(run.token_ids) for run in written)
        live = Live(self._compile(Plan(), enabled=[True] * len(texts)), anchor=self._sites.anchor())
        logprobs = iter(self._score(live, texts, [len(run.prompt) for run in written], last)["logprobs"])
        return [_with_scores(run, next(logprobs)[-len(run.token_ids) :]) if run.token_ids else run for run in runs]

    def _fitting(self, prompt: Prompt, n_new: int = 0) -> Prompt:
        if self._context is not None and len(prompt) + n_new > self._context:
            new = f" and {n_new} new tokens" if n_new else ""
            raise PromptError(
                f"The prompt's {len(prompt)} tokens{new} do not fit the context of {self._context} tokens. "
                f"Shorten the prompt{' or lower max_new_tokens' if n_new else ''}."
            )
        return prompt

    def _refuse_remote(self, what: str) -> None:
        if self.remote:
            raise EngineError(f"{what} needs the model here; it runs remotely. Use generate, compare, sweep or read.")


def _settings(max_new_tokens: object, temperature: object, top_p: object, seed: object) -> Settings:
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise SettingError(f"max_new_tokens={max_new_tokens!r} is no length. Give a whole number of at least 1.")
    if not isinstance(temperature, int | float) or not 0 <= temperature < float("inf"):
        raise SettingError(f"temperature={temperature!r} is out of range. Give 0 (greedy) or a positive number.")
    if not isinstance(top_p, int | float) or not 0 < top_p <= 1:
        raise SettingError(f"top_p={top_p!r} is out of range. Give a share above 0, up to 1.")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise SettingError(f"seed={seed!r} is no seed. Give a whole number from 0 to 2**63 - 1.")
    return Settings(max_new_tokens, float(temperature), float(top_p), seed)


def _padded(prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    real = torch.zeros(len(prompts), width, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt.ids)
        real[row, width - len(prompt) :] = True
    return ids, real


def _end_ids(module: torch.nn.Module, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    generation = getattr(module, "generation_config", None)
    end = getattr(generation, "eos_token_id", None)
    end = tokenizer.eos_token_id if end is None else end
    return frozenset() if end is None else frozenset([end] if isinstance(end, int) else end)


def _renumbered(column: Any, n_edits: int) -> Any:
    from dataclasses import replace

    return replace(column, edit=column.edit - n_edits)


def _with_scores(run: Run, logprobs: Tensor) -> Run:
    from dataclasses import replace

    return replace(run, unsteered_logprobs=logprobs.cpu().clone())
