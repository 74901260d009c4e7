"""A byte-level BPE of its own for storybook, with a chat template."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from steerkit.storybook.train.documents import ASSISTANT, BOS, CHAT_TEMPLATE, END, NATURAL, PAD, SPECIAL, USER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCABULARY = 4096


def train_tokenizer(documents: Iterable[str], vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """Learn a tokenizer.

    Args:
        documents: Texts with their markers.
        vocabulary: How many tokens it has, the six special ones included.

    Returns:
        A tokenizer that puts the beginning of the sequence before a text.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = decoders.ByteLevel()
    learned.add_special_tokens(list(SPECIAL))  # so that training does not read the markers as text
    learned.train_from_iterator(
        documents,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    learned.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, learned.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=learned,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[NATURAL, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
