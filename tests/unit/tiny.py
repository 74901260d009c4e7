"""Tiny random models, and a tokenizer whose tokens are bytes."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast

# Vocabularies are often padded: more rows in the model than tokens in the tokenizer.
VOCABULARY = {"vocab_size": 300, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}


def tokenizer(bos: bool = True, eos: bool = True) -> PreTrainedTokenizerFast:
    """Bytes as tokens, without a padding token."""
    names = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    bytelevel = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    bytelevel.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytelevel.decoder = decoders.ByteLevel()
    special = {}
    if bos:
        bytelevel.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
        special["bos_token"] = "<s>"
    if eos:
        special["eos_token"] = "</s>"
    return PreTrainedTokenizerFast(tokenizer_object=bytelevel, **special)


def build(kind: type[nn.Module], config, seed: int = 0) -> nn.Module:
    """A random model whose gains and biases are random too."""
    torch.manual_seed(seed)
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    return model
