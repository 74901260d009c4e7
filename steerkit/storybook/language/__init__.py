"""Storybook's language: pattern tables, the teller that writes with them, the judge that reads.

tables/*.txt     the sentences, by family of concepts; what a person edits
notation.py      one line of a table  ->  a Pattern
tables.py        all the tables, read once, when first used
cast.py          names and pronouns
realise.py       a Pattern            ->  a sentence, with the lexemes that express concepts
plan.py          which concepts a story has, and in which order
teller.py        a plan               ->  a Story
stories.py       story(), instruction(), corpus(): what is public, and the three splits
grammar.py       a Pattern            ->  a regular expression and what must agree
judge.py         any text             ->  its sentences, well formed or not, and their concepts
"""
