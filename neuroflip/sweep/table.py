"""Rows of cells as one tidy table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neuroflip.optional import require

if TYPE_CHECKING:
    from pandas import DataFrame


def tidy(rows: Mapping[int, dict[str, Any]]) -> "DataFrame":
    """One row a cell, in order: cell, parameters, repeat, seed, results, error, traceback.

    The type of a column depends on the values in it alone, not on how they were computed.
    """
    pandas = require("pandas", "sweep")
    ordered = [rows[index] for index in sorted(rows)]
    table = {"cell": [row["cell"] for row in ordered]}
    for name in dict.fromkeys(name for row in ordered for name in row["parameters"]):
        table[name] = _column([row["parameters"].get(name) for row in ordered])
    table["repeat"] = [row["repeat"] for row in ordered]
    table["seed"] = [row["seed"] for row in ordered]
    for name in dict.fromkeys(name for row in ordered for name in row["results"]):
        table[name] = _column([row["results"].get(name) for row in ordered])
    errors = [row["error"] for row in ordered]
    table["error"] = [e and f"{e['type']}: {e['message']}" for e in errors]
    table["traceback"] = [e and e["traceback"] for e in errors]
    text = {name: pandas.Series(table[name], dtype="str") for name in ("error", "traceback")}
    return pandas.DataFrame({**table, **text})


def _column(values: list[Any]) -> list[Any]:
    """A column of one kind: texts where any value is one, numbers where truth values are mixed
    with numbers or missing."""
    kinds = {type(value) for value in values if value is not None}
    if str in kinds and len(kinds) > 1:
        return [None if value is None else str(value) for value in values]
    if bool in kinds and (len(kinds) > 1 or None in values):
        return [None if value is None else float(value) for value in values]
    return values
