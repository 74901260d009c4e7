"""How storybook's model, dictionaries and labels are made: `python -m steerkit.storybook.train --help`.

documents.py     stories, instructions and natural text, each with the marker that tells them apart
tokenizer.py     documents            ->  a byte-level BPE with a chat template
batches.py       documents            ->  batches of token ids, the same ones for the same seed
model.py         batches              ->  a small Llama
keyed.py         stories              ->  activations with the answer key of their sentences
writing.py       stories              ->  directions that turn the model's stories to each concept
dictionary.py    activations          ->  a sparse autoencoder
supervised.py    stories              ->  a supervised dictionary of the concepts
labels.py        a dictionary         ->  a label for every feature, with its scores
credits.py       natural text         ->  who wrote it
log.py           the course of a training as a table and a picture
"""
