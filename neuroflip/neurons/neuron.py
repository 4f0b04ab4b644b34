"""What a neuron model is: parameters as fields, equations as class attributes, declared once.

The Brian2 engine is given `equations`, the differential equations; the fast engines run
`constants` (once, before the run) and `update` (every step), the exact solution over one step
with the injected current held. That the two agree is what a cross-check shows. Models that have
no exact solution name an integrator instead, the same in every engine.

To add a neuron, write one such class in a file beside this one: see docs/adding.md.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from neuroflip import equations as eq
from neuroflip.errors import nearest
from neuroflip.neurons.integrators import INTEGRATORS, NOT_REFRACTORY
from neuroflip.parameters import Parametrized

INJECTED = "injected"
"""Name under which equations read the injected current, in A, of a circuit's current inputs."""


@dataclass(frozen=True, eq=False)
class NeuronModel:
    """The checked form of a neuron class: what engines read."""

    name: str
    variables: tuple[str, ...]
    units: Mapping[str, str]
    held: frozenset[str]  # variables that stand still during refractoriness
    equations: tuple[eq.Differential, ...]
    constants: tuple[eq.Assignment, ...]
    update: tuple[eq.Assignment, ...]
    threshold: eq.Expression
    margin: eq.Expression
    reset: tuple[eq.Assignment, ...]
    initial: tuple[eq.Assignment, ...]
    receptors: Mapping[str, str]
    method: str
    tolerance: float

    def needed_constants(self) -> tuple[str, ...]:
        """Names of the parameters and constants that a step reads, sorted."""
        texts = [a.value for a in (*self.update, *self.reset)] + [self.margin]
        local = {a.target for a in self.update} | set(self.variables) | {INJECTED, NOT_REFRACTORY}
        return tuple(sorted(frozenset().union(*(t.names for t in texts)) - local))


class Neuron(Parametrized):
    """Base of the neuron models. A model is a final frozen dataclass with these class attributes.

    equations: differential equations, one a line, with unit and `(unless refractory)`.
    method: "exact", or the integrator of `equations` ("euler", "exponential_euler", "rk4"; see
        integrators.py), which then makes the update.
    tolerance: what engines may differ by in its state, as a fraction of the largest value.
    constants: what the exact update needs, computed once from the parameters and `dt`.
    update: one step of the state; names that are no variables are local to the step.
    threshold: a spike is sent where this holds and the neuron is not refractory.
    reset: assigned at a spike, after the synapses of the step.
    initial: the state before the first step; variables not named start at 0.
    receptors: receptor name -> the variable to which an arriving spike adds the weight.
    signed_receptors: receptors that take weights of either sign; the others take weights >= 0.

    Every model has a field `refractory` (s): after a spike the neuron is refractory for that
    time, the step of the spike included. It sends no spike, and variables marked
    `(unless refractory)` stand still and take no synaptic input.
    """

    equations: ClassVar[str]
    method: ClassVar[str] = "exact"
    tolerance: ClassVar[float] = 1e-12
    constants: ClassVar[str] = ""
    update: ClassVar[str] = ""
    threshold: ClassVar[str]
    reset: ClassVar[str]
    initial: ClassVar[str] = ""
    receptors: ClassVar[Mapping[str, str]]
    signed_receptors: ClassVar[frozenset[str]] = frozenset()

    refractory: float

    def membrane(self) -> tuple[float, float]:
        """Time constant (s) and resistance (ohm) of the passive membrane.

        Raises ValueError for a model that has none.
        """
        try:
            return self.tau_m, self.resistance  # type: ignore[attr-defined]
        except AttributeError:
            raise ValueError(
                f"{type(self).__name__} has no passive membrane, so noise cannot be given by its "
                "standard deviation there; use a nf.CurrentInput."
            ) from None

    def noise_amplitude(self, sd: float, dt: float) -> float:
        """Standard deviation (A) of independent currents, each held for a step of dt (s), that
        let v fluctuate with standard deviation `sd` (V) without threshold and other input.

            sd/R sqrt((1 + exp(-dt/tau))/(1 - exp(-dt/tau)))

        From the stationary variance of v <- v exp(-dt/tau) + R I (1 - exp(-dt/tau)).

        >>> from neuroflip.neurons import LIF
        >>> round(LIF().noise_amplitude(1e-3, 1e-4)/1e-12)
        200
        """
        tau, resistance = self.membrane()
        return sd / resistance / math.sqrt(math.tanh(dt / (2 * tau)))

    @classmethod
    @functools.cache
    def model(cls) -> NeuronModel:
        """The checked form. Raises EquationError where the declaration is not in the language."""

        def where(attribute: str) -> str:
            return f"{cls.__name__}.{attribute}"

        parameters = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        system = eq.parse_system(cls.equations, parameters | {INJECTED}, where("equations"))
        variables = tuple(d.variable for d in system)
        reserved = {"dt", INJECTED, NOT_REFRACTORY}
        eq.check_new(parameters, reserved, cls.__name__)
        eq.check_new(variables, parameters | reserved, where("equations"))
        constants = eq.parse_block(cls.constants, parameters | {"dt"}, where=where("constants"))
        fixed = parameters | reserved | {a.target for a in constants}
        eq.check_new(
            [a.target for a in constants], parameters | reserved | {*variables}, where("constants")
        )
        known = parameters | {a.target for a in constants} | set(variables)
        threshold = eq.parse_expression(cls.threshold, known, where("threshold"))
        for receptor, variable in cls.receptors.items():
            if variable not in variables:
                raise eq.EquationError(
                    f"receptor {receptor!r} adds to {variable!r}, which is no variable",
                    where=where("receptors"),
                )
        text, readable = cls.update, known | {INJECTED}
        if cls.method != "exact":
            if cls.method not in INTEGRATORS:
                raise eq.EquationError(
                    f"unknown integrator {cls.method!r}; "
                    f"{nearest(cls.method, ['exact', *INTEGRATORS])}",
                    where=where("method"),
                )
            if cls.update:
                raise eq.EquationError(
                    f"the integrator {cls.method!r} makes it; leave it out", where=where("update")
                )
            text = INTEGRATORS[cls.method](system)
            readable |= {"dt", NOT_REFRACTORY}
        update = eq.parse_block(text, readable, where=where("update"))
        eq.check_new([a.target for a in update], fixed, where("update"))
        return NeuronModel(
            name=cls.__name__,
            variables=variables,
            units=MappingProxyType({d.variable: d.unit for d in system}),
            held=frozenset(d.variable for d in system if d.unless_refractory),
            equations=system,
            constants=constants,
            update=update,
            threshold=threshold,
            margin=eq.margin(threshold, where("threshold")),
            reset=eq.parse_block(cls.reset, known, variables, where("reset")),
            initial=eq.parse_block(cls.initial, parameters, variables, where("initial")),
            receptors=MappingProxyType(dict(cls.receptors)),
            method=cls.method,
            tolerance=cls.tolerance,
        )


def check_reset(neuron: Any) -> None:
    """Raise ValueError where a neuron's v_reset is not below its v_threshold."""
    if neuron.v_reset >= neuron.v_threshold:
        raise ValueError(
            f"{type(neuron).__name__}.v_reset must be below v_threshold ({neuron.v_threshold!r} V);"
            f" got {neuron.v_reset!r}."
        )
