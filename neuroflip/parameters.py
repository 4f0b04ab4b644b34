"""Parameters of neurons and rules: dataclass fields with a unit and a range, checked when built."""

import dataclasses
from typing import Any, Self

import numpy as np

from neuroflip.errors import nearest
from neuroflip.units import as_float, show


def parameter(
    default: float,
    unit: str = "1",
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Any:
    """A dataclass field that holds one finite number in `unit`, in a range.

    above, at_least: the exclusive or inclusive lower end of the range; at_most: its upper end.
    """
    return dataclasses.field(
        default=default,
        metadata={"unit": unit, "above": above, "at_least": at_least, "at_most": at_most},
    )


def choice(default: str, *others: str) -> Any:
    """A dataclass field that holds one of a few words."""
    return dataclasses.field(default=default, metadata={"choices": (default, *others)})


class Parametrized:
    """Base of the frozen dataclasses whose fields are parameters; converts and checks them."""

    def __new__(cls, *values: Any, **named: Any) -> Self:
        known = [*getattr(cls, "__dataclass_fields__", ())]
        for name in named:
            if name not in known:
                raise TypeError(f"{cls.__name__} has no parameter {name!r}; {nearest(name, known)}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            name = f"{type(self).__name__}.{field.name}"
            if "choices" in field.metadata:
                word = getattr(self, field.name)
                if word not in field.metadata["choices"]:
                    known = nearest(str(word), field.metadata["choices"])
                    raise ValueError(f"{name}: unknown {word!r}; {known}")
                continue
            unit = field.metadata["unit"]
            value = as_float(getattr(self, field.name), unit, name)
            above, at_least = field.metadata["above"], field.metadata["at_least"]
            at_most = field.metadata["at_most"]
            if above is not None and value <= above:
                raise ValueError(f"{name} must be above {show(above, unit)}; got {value!r}.")
            if at_least is not None and value < at_least:
                raise ValueError(f"{name} must be at least {show(at_least, unit)}; got {value!r}.")
            if at_most is not None and value > at_most:
                raise ValueError(f"{name} must be at most {show(at_most, unit)}; got {value!r}.")
            object.__setattr__(self, field.name, value)

    def parameters(self) -> dict[str, float]:
        """The numbers among the fields, by name, in SI units."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {f.name: getattr(self, f.name) for f in fields if "choices" not in f.metadata}

    def settings(self) -> dict[str, float | str]:
        """All fields by name: what it takes to build the object again."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    def describe(self) -> str:
        """The parameters with their units, for tables.

        >>> from neuroflip.neurons import DeltaLIF
        >>> DeltaLIF().describe()
        'tau_m 20 ms, v_rest 0 V, v_threshold 15 mV, v_reset 0 V, refractory 2 ms, ...
        """
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return ", ".join(
            f"{f.name} {getattr(self, f.name)}"
            if "choices" in f.metadata
            else f"{f.name} {show(getattr(self, f.name), f.metadata['unit'])}"
            for f in fields
        )


def from_spec(kinds: dict[str, type[Any]], kind: str, values: dict[str, Any], what: str) -> Any:
    """The object of class `kinds[kind]` with these parameters; for loading from a file.

    Raises ValueError for an unknown class or parameter.
    """
    if kind not in kinds:
        raise ValueError(f"unknown {what} {kind!r}; {nearest(kind, kinds)}")
    known = [f.name for f in dataclasses.fields(kinds[kind])]
    for name in values:
        if name not in known:
            raise ValueError(f"{kind} has no parameter {name!r}; {nearest(name, known)}")
    return kinds[kind](**values)


def equal(a: Any, b: Any) -> bool:
    """Equality of nested data that may hold arrays (dataclasses, dicts, sequences, numbers).

    NaN equals NaN: it stands for what is not known, and comes back so from a file.
    """
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        nan = a.dtype.kind == "f"
        return bool(a.dtype == b.dtype and np.array_equal(a, b, equal_nan=nan))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if dataclasses.is_dataclass(a) and not isinstance(a, Parametrized):
        return all(equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    return bool(a == b) or (isinstance(a, float) and a != a and b != b)
