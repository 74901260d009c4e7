"""Running programs on a model: prompts in, runs and figures out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from steerkit.actions import Call
from steerkit.batching import in_batches
from steerkit.compiling import compile_plans
from steerkit.edits import Target
from steerkit.engines import attention, gradient, passes, tracing
from steerkit.engines.live import Live
from steerkit.engines.sampling import Sampling
from steerkit.errors import EngineError, PromptError, SiteError
from steerkit.plans import Plan
from steerkit.program import Program
from steerkit.runs import Run, Settings
from steerkit.scope import ASSISTANT, Layout
from steerkit.selection import Selection, select
from steerkit.sites import Site, SiteMap
from steerkit.streams import Pace, Step, Token, Turns
from steerkit.tokens import Decoder, Encoded, Prompt, pieces, special_ids
from steerkit.where import listed

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from nnsight import TransformersModel
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


class Runner:
    """Runs programs on one model, one at a time.

    Args:
        lm: The nnsight model.
        name: What errors call it.
        remote: False, True (NDIF) or `"local"` (a simulation of NDIF).

    Attributes:
        sites: The model's sites.
        turns: Who may use the model.
        end: Ids of the tokens that end a text.
        special: Ids of the special tokens.
    """

    def __init__(self, lm: TransformersModel, name: str, remote: bool | str) -> None:
        self.lm, self.remote = lm, remote
        self.module: torch.nn.Module = lm._module
        self.tokenizer: PreTrainedTokenizerBase = lm.tokenizer
        self.sites = SiteMap(self.module, name)
        self.turns = Turns()
        self.end = _end_ids(self.module, self.tokenizer)
        self.special = special_ids(self.tokenizer)
        text_config = self.module.config.get_text_config()
        self.context: int | None = getattr(text_config, "max_position_embeddings", None)
        self._is_special = torch.zeros(max(text_config.vocab_size, len(self.tokenizer)), dtype=torch.bool)
        self._is_special[sorted(self.special)] = True

    def compile(self, plans: Sequence[Plan], *, read: Sequence[Target] = (), capture: Sequence[Site] = ()) -> Program:
        """Turn a plan a row, or one for all, into a program for this model; see `compile_plans`."""
        if self.remote and any(isinstance(action, Call) for plan in plans for action in plan.actions):
            self.refuse_remote("A call back")
        return compile_plans(plans, self.sites, self.module, self._is_special.clone(), read, capture)

    def live(self, program: Program, *, replaceable: bool = False) -> Live:
        """A program ready to run; `replaceable` lets another take its place while it runs."""
        return Live(program, anchor=self.sites.anchor() if replaceable or not program.stops else None)

    def fitting(self, prompt: Prompt, n_new: int = 0) -> Prompt:
        """The prompt, if it and as many new tokens fit the model's context.

        Raises:
            PromptError: They do not.
        """
        if self.context is not None and len(prompt) + n_new > self.context:
            new = f" and {n_new} new tokens" if n_new else ""
            raise PromptError(
                f"The prompt's {len(prompt)} tokens{new} do not fit the context of {self.context} tokens. "
                f"Shorten the prompt{' or lower max_new_tokens' if n_new else ''}."
            )
        return prompt

    def check_chats(self, program: Program, prompts: Sequence[Prompt]) -> None:
        """Refuse edits that ask for roles or messages that no prompt of theirs has; new tokens are the assistant's.

        Raises:
            PromptError: One does.
        """
        if program.chat and not all(any(role is not None for role in prompt.roles) for prompt in prompts):
            raise PromptError(
                "An edit asks for roles or messages, but the prompt has none. Give chat messages: "
                "[{'role': 'user', 'content': '…'}]."
            )
        for column, where in enumerate(program.wheres):
            if not where.chat:
                continue
            own = [prompt for row, prompt in enumerate(prompts) if program.index[row % program.rows][column] >= 0]
            roles = list(dict.fromkeys(role for prompt in own for role in prompt.roles if role is not None))
            n = 1 + max(message for prompt in own for message in prompt.messages if message is not None)
            for role in where.roles or ():
                if role not in (*roles, ASSISTANT):
                    raise PromptError(
                        f"An edit asks for the role {role!r}, which no message has: roles are {listed(roles)}, and "
                        f"{ASSISTANT} for the new text."
                    )
            for message in where.messages or ():
                if not -n <= message <= n:
                    raise PromptError(
                        f"An edit asks for message {message}, which is not there: messages are 0 to {n - 1}, and {n} "
                        "is the new text."
                    )

    def refuse_remote(self, what: str) -> None:
        """Refuse what needs the model here.

        Raises:
            EngineError: The model runs remotely.
        """
        if self.remote:
            raise EngineError(f"{what} needs the model here; it runs remotely. Use generate, compare, sweep or read.")

    def read(self, program: Program, prompts: Sequence[Prompt], selection: Selection | None = None) -> dict[str, Any]:
        """Coefficients at every token, and captured activations where the selection says; see `passes.read`."""
        live = self.live(program)
        live.selection = selection
        return self._run(live, passes.read, prompts)

    def attention(self, program: Program, prompt: Prompt, layer: int) -> Float[Tensor, "n_heads n_tokens n_tokens"]:
        """Attention weights of a layer; see `Model.attention`."""
        found: list[Tensor] = []
        during = attention.recorded(self.module, self.sites.attention(layer), found)
        self._run(self.live(program), passes.read, [prompt], during=during)
        return found[0][0].float().cpu().clone()

    def captured(
        self,
        texts: Sequence[Encoded],
        sites: Sequence[Site],
        tokens: str,
        batch_size: int | None = None,
    ) -> Iterator[tuple[list[int], list[int], dict[Site, Float[Tensor, "kept width"]]]]:
        """Activations of texts, a batch at a time, in float32 on the processor; shorter texts first.

        A progress bar shows where it takes long. A batch that does not fit the memory is tried again in halves.

        Args:
            texts: The texts.
            sites: Where to read.
            tokens: One of `selection.CHOICES`.
            batch_size: Texts a forward pass; None for as many as `in_batches` takes.

        Yields:
            The indices of a batch's texts, how many rows each has, and the rows of all of them at each site.

        Raises:
            EngineError: The memory does not suffice for one text alone.
        """
        program = self.compile([Plan()], capture=sites)
        lengths = [len(text.prompt) for text in texts]

        def read(batch: list[int]) -> tuple[list[int], dict[str, Tensor]]:
            selection = select([texts[i] for i in batch], tokens)
            return selection.counts(), self.read(program, [texts[i].prompt for i in batch], selection)["captured"]

        with tqdm(total=sum(lengths), desc="Reading", unit="token", unit_scale=True, delay=2) as bar:
            for batch, (counts, found) in in_batches(lengths, read, batch_size):
                yield batch, counts, {site: found[str(site)].cpu().clone() for site in sites}
                bar.update(sum(lengths[i] for i in batch))

    def score(
        self,
        program: Program,
        texts: Sequence[Prompt],
        n_prompt: Sequence[int],
        last: int,
        pairs: bool = False,
        top: int = 0,
    ) -> dict[str, Tensor]:
        """Log-probabilities of the last tokens, KL and likeliest tokens of pairs of rows; see `passes.score`."""
        record = self._run(self.live(program), passes.score, texts, n_prompt=n_prompt, last=last, pairs=pairs, top=top)
        return {name: record[name].cpu().clone() for name in passes.SCORED if name in record}

    def nats(self, texts: Sequence[Encoded], site: Site, change: gradient.Change) -> Float[Tensor, " n_texts"]:
        """Nats of each text's completion with an activation changed, with gradients; see `Model.nats`."""
        logits, ids, layout = self._changed(texts, site, change)
        scored = (layout.real & ~layout.is_prompt)[:, 1:].to(logits.device)
        nats = torch.nn.functional.cross_entropy(
            logits[:, :-1][scored].float(), ids[:, 1:].to(logits.device)[scored], reduction="none"
        )
        return nats.new_zeros(len(texts)).index_add(0, scored.nonzero()[:, 0], nats)

    def next_logprobs(
        self, texts: Sequence[Encoded], site: Site, change: gradient.Change
    ) -> Float[Tensor, "n_texts vocabulary"]:
        """Log-probabilities of the token after each text, with an activation changed; see `Model.next_logprobs`."""
        with torch.no_grad():
            return self._changed(texts, site, change)[0][:, -1].float().log_softmax(-1).cpu()

    def _changed(
        self, texts: Sequence[Encoded], site: Site, change: gradient.Change
    ) -> tuple[Float[Tensor, "n_texts tokens vocabulary"], Int[Tensor, "n_texts tokens"], Layout]:
        """Logits with an activation changed, and the right-aligned texts that they belong to.

        Raises:
            SiteError: The site has no module of its own, so that it cannot be changed alone.
        """
        location = self.sites.locate(self.sites.check(site))
        if location.added_to is not None or location.norm is not None:
            raise SiteError(f"'{site}' is no module's own, so it cannot be changed alone. Choose such as resid_post.")
        prompts = [self.fitting(text.prompt) for text in texts]
        ids, layout = _laid_out(prompts, [max(text.start, 1) for text in texts], 0)
        device = self.module.get_input_embeddings().weight.device
        ids, layout = ids.to(device), layout.to(device)
        plain = layout.real & ~self._is_special.to(device)[ids]
        with self.turns.taken():
            logits = gradient.predictions(self.module, location, lambda x: change(x, plain.to(x.device)), ids, layout)
        return logits, ids, layout

    def generate(
        self,
        program: Program,
        prompts: Sequence[Prompt],
        plans: Sequence[Plan],
        settings: Sequence[Settings],
        use_cache: bool = True,
    ) -> list[Run]:
        """Write a text for each row of a batch."""
        record = self._generate(self.live(program), prompts, settings, use_cache)
        rows = zip(range(len(prompts)), prompts, plans, settings, strict=True)
        return [self._finish(record, *row, program) for row in rows]

    def write(
        self, live: Live, prompt: Prompt, plans: Callable[[], Sequence[Plan]], settings: Settings, pace: Pace
    ) -> tuple[Run, Run | None]:
        """Write the rows of a stream, handing each token over: the steered text, and the unsteered one if asked for.

        Args:
            live: The program in force, which may be replaced meanwhile.
            prompt: The prompt of all rows.
            plans: Gives the plan of each row as it stands at the end.
            settings: The settings of all rows.
            pace: What is shared with the reader.
        """
        rows = range(len(plans()))
        decoders = [Decoder(self.tokenizer, prompt.ids, self.special) for _ in rows]
        read_under: list[Program] = []

        def emit(position: int) -> bool:
            new = [self._token(live.record, row, position, decoders[row]) for row in rows]
            read = live.record["coefficients"]
            if read:
                read_under.append(live.ran)
            before = read[-1][0, live.ran.of_row(0)[0]].float().cpu().clone() if read else None
            return pace.hand_over(Step(position, new[0], new[1] if len(new) > 1 else None, before))

        live.emit = emit
        record = self._generate(live, [prompt for _ in rows], [settings for _ in rows], use_cache=True)
        program = live.ran
        for i, under in enumerate(read_under):
            if not under.reads_as(program):  # an edit that joined midway has no numbers from before
                record["coefficients"][i] = torch.full((len(rows), len(program.columns)), torch.nan)
        runs = [self._finish(record, row, prompt, plan, settings, program) for row, plan in enumerate(plans())]
        return runs[0], runs[1] if len(runs) > 1 else None

    def with_unsteered_scores(self, runs: list[Run]) -> list[Run]:
        """The runs with each token's log-probability under the unsteered model."""
        written = [run for run in runs if run.token_ids]
        if not written:
            return [replace(run, unsteered_logprobs=run.logprobs) for run in runs]
        texts = [self.text_of(run) for run in written]
        last = max(len(run.token_ids) for run in written)
        program = self.compile([Plan()])
        scores = iter(self.score(program, texts, [len(run.prompt) for run in written], last)["logprobs"])
        return [
            replace(
                run, unsteered_logprobs=next(scores)[-len(run.token_ids) :].clone() if run.token_ids else run.logprobs
            )
            for run in runs
        ]

    def text_of(self, run: Run) -> Prompt:
        """A run's prompt and new tokens as one text."""
        prompt = run.prompt
        return Prompt(
            (*prompt.ids, *run.token_ids),
            (*prompt.tokens, *run.tokens),
            (*prompt.special, *run.special),
            (*prompt.roles, *(None for _ in run.token_ids)),
            (*prompt.messages, *(None for _ in run.token_ids)),
        )

    def _run(
        self,
        live: Live,
        function: Callable[..., None],
        prompts: Sequence[Prompt],
        n_prompt: Sequence[int] | None = None,
        room: int = 0,
        during: AbstractContextManager[None] | None = None,
        **inputs: Any,
    ) -> dict[str, Any]:
        """Run a pass over texts.

        Args:
            live: The program in force.
            function: One of `passes`.
            prompts: The texts.
            n_prompt: How many tokens of each are its prompt; None for all.
            room: Tokens that are going to be written.
            during: Entered while the model is ours.
            **inputs: Passed to the function.
        """
        self.check_chats(live.program, prompts)
        ids, layout = _laid_out(prompts, n_prompt or [len(prompt) for prompt in prompts], room)
        with self.turns.taken(), during or nullcontext():
            return tracing.run(self.lm, live, function, self.remote, input_ids=ids, layout=layout, **inputs)

    def _generate(
        self, live: Live, prompts: Sequence[Prompt], settings: Sequence[Settings], use_cache: bool
    ) -> dict[str, Any]:
        shared = settings[0]
        sampling = Sampling(
            shared.max_new_tokens,
            shared.temperature,
            shared.top_p,
            tuple(setting.seed for setting in settings),
            self.end,
            use_cache,
        )
        return self._run(live, passes.generate, prompts, room=shared.max_new_tokens, sampling=sampling)

    def _finish(
        self,
        record: dict[str, Any],
        row: int,
        prompt: Prompt,
        plan: Plan,
        settings: Settings,
        program: Program,
    ) -> Run:
        ids = record["ids"][row]
        own, columns = program.of_row(row)
        coefficients = torch.zeros(len(ids), len(columns))
        if columns:
            for i, step in enumerate(record["coefficients"][: len(ids)]):
                coefficients[i] = step[row, own]
        return Run(
            prompt=prompt,
            plan=plan,
            settings=settings,
            token_ids=ids,
            tokens=pieces(self.tokenizer, prompt.ids, ids),
            special=[token_id in self.special for token_id in ids],
            logprobs=torch.tensor(record["logprobs"][row]),
            coefficients=coefficients,
            columns=columns,
            stopped=record["stopped"][row],
        )

    def _token(self, record: dict[str, Any], row: int, position: int, decoder: Decoder) -> Token | None:
        ids = record["ids"][row]
        if len(ids) <= position:
            return None
        token_id = ids[position]
        text = decoder.push(token_id)
        return Token(token_id, text, record["logprobs"][row][position], token_id in self.special)


def _laid_out(
    prompts: Sequence[Prompt], n_prompt: Sequence[int], room: int
) -> tuple[Int[Tensor, "rows tokens"], Layout]:
    """Token ids of texts, right-aligned, and what is known of them."""
    width = max(map(len, prompts))
    starts = torch.tensor([width - len(prompt) for prompt in prompts])
    ids = torch.tensor([(0,) * (width - len(prompt)) + prompt.ids for prompt in prompts])
    real = torch.arange(width + room) >= starts[:, None]
    first_new = starts + torch.tensor(n_prompt)
    names = tuple(dict.fromkeys(role for prompt in prompts for role in prompt.roles if role is not None))
    if not names:
        return ids, Layout(real, first_new)
    roles, messages = torch.full((2, len(prompts), width + room), -1)
    for row, prompt in enumerate(prompts):
        start = width - len(prompt)
        roles[row, start:width] = torch.tensor([-1 if role is None else names.index(role) for role in prompt.roles])
        messages[row, start:width] = torch.tensor([-1 if index is None else index for index in prompt.messages])
    return ids, Layout(real, first_new, roles, messages, names)


def _end_ids(module: torch.nn.Module, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    generation = getattr(module, "generation_config", None)
    end = getattr(generation, "eos_token_id", None)
    end = tokenizer.eos_token_id if end is None else end
    return frozenset() if end is None else frozenset([end] if isinstance(end, int) else end)
