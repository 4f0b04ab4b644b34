"""Libraries that only the exchange needs, imported when they are first used."""

import importlib
from types import ModuleType


def require(name: str) -> ModuleType:
    """The module of this name. Raises ImportError, with what to install, where it is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise  # it is there, and lacks something of its own
        raise ImportError(
            f"this needs the package {name!r}; pip install 'neuroflip[exchange]'", name=name
        ) from error
