"""The verbs by which a model writes, steered: whole texts, several at once, or token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from typing_extensions import TypeIs

from steerkit.edits import Edit
from steerkit.errors import EditError, SettingError
from steerkit.loaded import Loaded
from steerkit.operators import WITHOUT_STRENGTH
from steerkit.plans import EditsLike, Plan
from steerkit.runs import Comparison, Settings, Sweep
from steerkit.streams import Pace, Stream
from steerkit.strengths import as_strengths
from steerkit.tokens import PromptLike

if TYPE_CHECKING:
    from steerkit.runs import Run


class Generates(Loaded):
    """A model that writes, steered."""

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
        values = as_strengths(strengths)
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
            program = runner.compile([plan, *plans[1:]])
            runner.check_chats(program, [encoded] * len(plans))
            live.program, plans[0] = program, plan  # checked whole before it takes force

        def write(pace: Pace) -> tuple[Run, Run | None]:
            return runner.write(live, encoded, lambda: plans, settings, pace)

        return Stream(runner.turns, write, update, lambda: live.program.of_row(0)[1])


def _several(edits: EditsLike | Sequence[Plan]) -> TypeIs[Sequence[Plan]]:
    return isinstance(edits, Sequence) and bool(edits) and all(isinstance(item, Plan) for item in edits)
