"""Prompts as token ids with what is known of each token, and token ids back to text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from steerkit.errors import PromptError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message: TypeAlias = Mapping[str, str]
PromptLike: TypeAlias = "str | Sequence[int] | Sequence[Message] | Prompt"
TextLike: TypeAlias = "PromptLike | Completion | Encoded"

# A character in more tokens than this is no character.
MOST_PENDING = 8
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Prompt:
    """Token ids and what is known of each.

    Attributes:
        ids: Token ids, beginning-of-sequence token included where the tokenizer adds one.
        tokens: Text of each token; special tokens by their name.
        special: Whether each token is special (of the tokenizer or of the chat template).
        roles: For chat, the role whose message each token belongs to; None for the template's own text.
        messages: For chat, the index of that message.
    """

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    special: tuple[bool, ...]
    roles: tuple[str | None, ...]
    messages: tuple[int | None, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def text(self) -> str:
        """The text without special tokens."""
        return "".join(token for token, special in zip(self.tokens, self.special, strict=True) if not special)

    def around(self, token: int, most: int) -> tuple[str, str, str]:
        """The text before a token, its own, and the text after it, at most so many tokens of each."""
        before, after = self.tokens[max(0, token - most) : token], self.tokens[token + 1 : token + 1 + most]
        return "".join(before), self.tokens[token], "".join(after)

    def windows(self, length: int | None) -> list[Prompt]:
        """The prompt cut into pieces of at most so many tokens; None for one piece."""
        starts = range(0, len(self), length or len(self))
        parts = [slice(start, start + (length or len(self))) for start in starts]
        return [Prompt(*(getattr(self, field.name)[at] for field in fields(self))) for at in parts]


def special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids of the special tokens, those included that only the chat template uses."""
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(tokenizer.all_special_ids) | {index for index, token in added if token.special}


@dataclass(frozen=True)
class Completion:
    """A text and the prompt before it, such as an answer and the question.

    Attributes:
        prompt: Text, token ids or chat messages; chat messages go through the tokenizer's template, so that the text is
            what the assistant answers.
        text: What follows. It is tokenised together with a prompt that is text or chat, and by itself after token ids.
    """

    prompt: PromptLike
    text: str


class Encoded(NamedTuple):
    """A text as tokens.

    Attributes:
        prompt: All tokens.
        start: The first that reaches into what follows the prompt of a `Completion`; 0 of other texts.
    """

    prompt: Prompt
    start: int


def encode(tokenizer: PreTrainedTokenizerBase, prompt: PromptLike) -> Prompt:
    """Turn text, token ids or chat messages into a `Prompt`.

    Chat messages go through the tokenizer's chat template, ready for the assistant's turn.

    Raises:
        PromptError: The prompt is empty or of another form, an id is not in the vocabulary, or chat messages meet a
            tokenizer without a chat template, or one that refuses them.
    """
    if isinstance(prompt, Prompt):
        return prompt
    if isinstance(prompt, str):
        if not prompt:
            raise PromptError("The prompt is empty. Give some text, or token ids such as [tokenizer.bos_token_id].")
        return _described(tokenizer, tokenizer(prompt, add_special_tokens=True)["input_ids"])
    items = _items(prompt)
    if all(isinstance(item, Mapping) for item in items):
        return _chat_prompt(tokenizer, items, "")[0]
    return _described(tokenizer, [_token_id(item, len(tokenizer)) for item in items])


def encode_completion(tokenizer: PreTrainedTokenizerBase, completion: Completion) -> Encoded:
    """Turn a prompt and the text after it into tokens.

    Raises:
        PromptError: The prompt does not fit, as for `encode`, or the text is empty.
    """
    prompt, text = completion.prompt, completion.text
    if not text:
        raise PromptError(f"What follows the prompt {prompt!r} is empty. Give the text that is to be read.")
    if isinstance(prompt, str):
        encoded = tokenizer(prompt + text, add_special_tokens=True, return_offsets_mapping=True)
        start = _first_after(len(prompt), encoded["offset_mapping"])
        return Encoded(_described(tokenizer, encoded["input_ids"]), start)
    if not isinstance(prompt, Prompt):
        items = _items(prompt)
        if all(isinstance(item, Mapping) for item in items):
            return _chat_prompt(tokenizer, items, text)
    before = encode(tokenizer, prompt)
    return Encoded(continued(tokenizer, before, text), len(before))


def continued(tokenizer: PreTrainedTokenizerBase, before: Prompt, text: PromptLike) -> Prompt:
    """A prompt with more behind it; a text is tokenised without a beginning-of-sequence token.

    Raises:
        PromptError: What is given is no text, token ids or chat messages.
    """
    written = isinstance(text, str)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"] if written else encode(tokenizer, text).ids
    if not ids:
        return before
    after = _described(tokenizer, ids, before.ids)
    return Prompt(*((*getattr(before, field.name), *getattr(after, field.name)) for field in fields(Prompt)))


def encode_all(tokenizer: PreTrainedTokenizerBase, texts: Sequence[TextLike]) -> list[Encoded]:
    """Turn each of several texts into tokens.

    Raises:
        PromptError: One of them is no prompt, or they are a single text, whose letters would be taken for prompts.
    """
    if isinstance(texts, str):
        raise PromptError(f"{texts!r} is one text where a list of texts belongs. Put it into brackets.")
    return [_encoded(tokenizer, text) for text in texts]


def pieces(tokenizer: PreTrainedTokenizerBase, before: Sequence[int], ids: Sequence[int]) -> list[str]:
    """Text of each token of `ids`, as it reads after the tokens `before`.

    Joined, the pieces are the text: a character spread over several tokens comes with the last of them. Special tokens
    come by their name.
    """
    special = special_ids(tokenizer)
    if not before and tokenizer.is_fast:
        # at once, as long as no character is spread over several tokens
        contexts = [[], *([i] if i not in special else [] for i in ids[:-1])]
        known, texts = (
            tokenizer.backend_tokenizer.decode_batch(batch, skip_special_tokens=False)
            for batch in (contexts, [[*context, i] for context, i in zip(contexts, ids, strict=True)])
        )
        if not any(INCOMPLETE in text for text in texts):
            names = tokenizer.convert_ids_to_tokens(list(ids))
            return [
                name if i in special else text[len(start) :]
                for i, name, start, text in zip(ids, names, known, texts, strict=True)
            ]
    decoder = Decoder(tokenizer, before, special)
    return [decoder.push(index) for index in ids]


def names_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Text of each token of `ids` by itself, as it reads after another token; without a text, its name."""
    special = special_ids(tokenizer)
    # after itself, because a leading space is dropped at the start of a text
    texts = [Decoder(tokenizer, [index], special).push(index) for index in ids]
    return [text or tokenizer.convert_ids_to_tokens(index) for text, index in zip(texts, ids, strict=True)]


class Decoder:
    """Turns one token id after another into text; see `pieces`.

    A token's text depends on what stands before it: a leading space is dropped at the start of a text, and a character
    can take several tokens. So each is decoded after the tokens of the characters before it, whole.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, before: Sequence[int], special: frozenset[int]) -> None:
        self._tokenizer, self._special = tokenizer, special
        self._context: list[int] = []
        self._pending: list[int] = []
        start = len(before) - 1
        while start > 0 and before[start] not in special and INCOMPLETE in self._decode([before[start]]):
            start -= 1  # back to where a character ends
        for index in before[max(start, 0) :]:
            self.push(index)

    def push(self, index: int) -> str:
        """Text that this token completes."""
        if index in self._special:
            self._context, self._pending = [], []
            return self._tokenizer.convert_ids_to_tokens(index)
        self._pending.append(index)
        known = self._decode(self._context)
        text = self._decode(self._context + self._pending)
        if text.endswith(INCOMPLETE) and len(self._pending) < MOST_PENDING:
            return ""
        self._context, self._pending = self._pending, []
        return text[len(known) :]

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, clean_up_tokenization_spaces=False) if ids else ""


def _encoded(tokenizer: PreTrainedTokenizerBase, text: TextLike) -> Encoded:
    if isinstance(text, Encoded):
        return text
    return encode_completion(tokenizer, text) if isinstance(text, Completion) else Encoded(encode(tokenizer, text), 0)


def _items(prompt: object) -> list:
    if isinstance(prompt, bytes) or not isinstance(prompt, Iterable):
        raise PromptError(f"A prompt is text, a list of token ids, or a list of chat messages; got {prompt!r}.")
    items = list(prompt)
    if not items:
        raise PromptError("The prompt is empty. Give text, at least one token id, or at least one message.")
    return items


def _chat_prompt(tokenizer: PreTrainedTokenizerBase, items: Sequence[Message], answer: str) -> Encoded:
    """Chat messages and the beginning of an answer."""
    text, spans = _render(tokenizer, items)
    encoded = tokenizer(text + answer, add_special_tokens=False, return_offsets_mapping=True)
    offsets = encoded["offset_mapping"]
    messages = tuple(_message_at(start, end, spans) for start, end in offsets)
    roles = tuple(None if message is None else items[message]["role"] for message in messages)
    prompt = replace(_described(tokenizer, encoded["input_ids"]), roles=roles, messages=messages)
    return Encoded(prompt, _first_after(len(text), offsets))


def _first_after(place: int, offsets: Sequence[tuple[int, int]]) -> int:
    """The first token that reaches beyond a place in the text."""
    return next((i for i, (_, end) in enumerate(offsets) if end > place), len(offsets))


def _described(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], before: Sequence[int] = ()) -> Prompt:
    if not ids:
        raise PromptError("The prompt has no tokens. Give some text.")
    special = special_ids(tokenizer)
    nothing = (None,) * len(ids)
    return Prompt(
        ids=tuple(ids),
        tokens=tuple(pieces(tokenizer, before, ids)),
        special=tuple(index in special for index in ids),
        roles=nothing,
        messages=nothing,
    )


def _render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[str, list[tuple[int, int, int]]]:
    if not tokenizer.chat_template:
        raise PromptError("This tokenizer has no chat template, so chat messages cannot be used. Give text instead.")
    for message in messages:
        if not isinstance(message.get("role"), str) or not isinstance(message.get("content"), str):
            raise PromptError(f"{message!r} is no chat message: a message is {{'role': …, 'content': …}}, both text.")
    text = _chat(tokenizer, messages)
    marks = [f"\x02{i}\x03" for i in range(len(messages))]
    marked = _chat(tokenizer, [{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)])
    spans, cursor, at = [], 0, 0
    for index, (message, mark) in enumerate(zip(messages, marks, strict=True)):
        place = marked.find(mark, at)
        if place >= 0 and text.startswith(marked[at:place], cursor):  # the template's own text before it
            cursor, at = cursor + place - at, place + len(mark)
        whole = message["content"]
        content = whole if text.startswith(whole, cursor) else whole.strip()  # some templates strip
        start = text.find(content, cursor)
        if content and start >= 0:
            cursor = start + len(content)
            spans.append((start, cursor, index))
    return text, spans


def _chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str:
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        raise PromptError(f"The chat template refuses these messages: {error}") from error


def _message_at(start: int, end: int, spans: list[tuple[int, int, int]]) -> int | None:
    return next((message for low, high, message in spans if start < high and end > low), None)


def _token_id(item: object, n_vocabulary: int) -> int:
    try:
        index = item.__index__()  # type: ignore[attr-defined]  # ints, and elements of tensors and arrays
    except (AttributeError, TypeError):
        raise PromptError(
            f"A prompt is text, a list of token ids, or a list of chat messages; got an item {item!r}."
        ) from None
    if not 0 <= index < n_vocabulary:
        raise PromptError(f"Token id {index} is out of range: this vocabulary has the ids 0 to {n_vocabulary - 1}.")
    return index
