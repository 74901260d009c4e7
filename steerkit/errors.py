"""What can go wrong, as one tree that users can catch.

    SteerkitError
    ├── ModelError      a model cannot be loaded, or is of a kind that is not served
    ├── SiteError       a site that the model does not have
    ├── PromptError     a prompt that is empty, too long, or of an unknown form
    ├── VectorError     a vector with the wrong width, NaN, infinity, or no length
    ├── DictionaryError a dictionary's file is missing, damaged, unsafe or of no known format
    ├── FeatureError    a feature that the dictionary does not have
    ├── EditError       a strength, unit, operator or combination of edits that means nothing
    ├── PlanError       a plan or recipe that cannot be read, cannot be written, or belongs to another dictionary
    ├── SettingError    a setting of a run (tokens, temperature, top_p, seed) out of range
    └── EngineError     something the place where the model runs cannot do

Every message says what was given, what is valid, and what to do.
"""


class SteerkitError(Exception):
    """Base of every error that steerkit raises on purpose."""


class ModelError(SteerkitError, ValueError):
    """A model cannot be loaded, or is of a kind that is not served."""


class SiteError(SteerkitError, ValueError):
    """A site that the model does not have."""


class PromptError(SteerkitError, ValueError):
    """A prompt that is empty, too long, or of an unknown form."""


class VectorError(SteerkitError, ValueError):
    """A vector with the wrong width, NaN, infinity, or no length."""


class DictionaryError(SteerkitError, ValueError):
    """A dictionary's file is missing, damaged, unsafe or of no known format."""


class FeatureError(SteerkitError, LookupError):
    """A feature that the dictionary does not have."""


class EditError(SteerkitError, ValueError):
    """A strength, unit, operator or combination of edits that means nothing."""


class PlanError(SteerkitError, ValueError):
    """A plan or recipe that cannot be read, cannot be written, or belongs to another dictionary."""


class SettingError(SteerkitError, ValueError):
    """A setting of a run out of range."""


class EngineError(SteerkitError, RuntimeError):
    """Something that the place where the model runs cannot do."""
