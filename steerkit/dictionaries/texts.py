"""Texts as a dictionary saw them in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steerkit.errors import PromptError

if TYPE_CHECKING:
    from steerkit.model import Model
    from steerkit.tokens import Prompt, PromptLike


def as_trained(model: Model, texts: Sequence[PromptLike], *, chat: bool) -> list[Prompt]:
    """Texts as measuring a dictionary wants them; messages and token ids stay what they are.

    Args:
        model: The model.
        texts: Texts, token ids or chat messages.
        chat: The dictionary was trained on chats: a text becomes a user's message, where the tokenizer has a template.

    Returns:
        A prompt a text. It begins with the beginning-of-sequence token where the tokenizer has one, even if that does
        not put it there itself (GPT-2): else the first word takes the outsized activations that stand in its place.

    Raises:
        PromptError: One of them is no prompt.
    """
    if isinstance(texts, str):
        raise PromptError(f"{texts!r} is one text where a list of texts belongs. Put it into brackets.")
    chat, bos = chat and bool(model.tokenizer.chat_template), model.tokenizer.bos_token_id
    prompts = []
    for text in texts:
        if not isinstance(text, str):
            prompts.append(model.encode(text))
            continue
        prompt = model.encode([{"role": "user", "content": text}] if chat else text)
        missing = not chat and bos is not None and prompt.ids[0] != bos
        prompts.append(model.encode([bos, *prompt.ids]) if missing else prompt)
    return prompts
