"""Libraries that only some parts need, imported when they are first used."""

import importlib
from types import ModuleType


def require(name: str, extra: str) -> ModuleType:
    """The module of this name.

    extra: the extra of neuroflip that installs it. Raises ImportError, with what to install, where
    it is missing.

    >>> require("nothing_of_the_kind", "exchange")
    Traceback (most recent call last):
        ...
    ImportError: this needs the package 'nothing_of_the_kind'; pip install 'neuroflip[exchange]'
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if error.name != package:
            raise  # it is there, and lacks something of its own
        raise ImportError(
            f"this needs the package {package!r}; pip install 'neuroflip[{extra}]'", name=package
        ) from error
