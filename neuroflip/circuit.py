"""A circuit as plain data: populations, projections, inputs, readouts.

    circuit = nf.Circuit(
        "pair",
        populations=[nf.Population("A", nf.LIF()), nf.Population("B", nf.LIF())],
        inputs=[nf.SpikeInput("in")],
        projections=[nf.Projection("in", "A", weight=1*nA), nf.Projection("A", "B", weight=1*nA)],
        readouts=[nf.Readout("B", high="B")],
    )

Everything is checked when it is built; nothing here simulates.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from neuroflip import files
from neuroflip.errors import nearest
from neuroflip.neurons import NEURONS, Neuron
from neuroflip.parameters import equal, from_spec
from neuroflip.rules import RULES, Rule, Sum, none
from neuroflip.tables import table
from neuroflip.units import as_array, as_float, check_dimensions, dimensions_of, ms, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, np.dtype[np.float64]]
Index = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]

FORMAT = 1  # of saved circuits


class _Data:
    """Equality by content, arrays included."""

    def __eq__(self, other: object) -> bool:
        return equal(self, other)

    __hash__ = None  # type: ignore[assignment]


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value or "->" in value or value != value.strip():
        raise ValueError(f"{what} must be a non-empty name without '->'; got {value!r}.")
    return value


def _size(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{what} must be a whole number, at least 1; got {value!r}.")
    return int(value)


@dataclass(frozen=True, eq=False)
class Population(_Data):
    """`size` neurons of one model with the same parameters.

    initial: state variable -> value at the start, one number or one a neuron (SI units); what is
    not named starts as the model says.

    Raises ValueError or TypeError for a size below 1, an object that is no neuron model, an
    unknown variable.
    """

    name: str
    neuron: Neuron
    size: int = 1
    initial: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _name(self.name, "Population.name")
        where = f"Population {self.name!r}"
        if not isinstance(self.neuron, Neuron):
            raise TypeError(
                f"{where}: neuron must be a neuron model like nf.LIF(); got {self.neuron!r}."
            )
        object.__setattr__(self, "size", _size(self.size, f"{where}: size"))
        model = self.neuron.model()
        initial = {}
        for variable, value in self.initial.items():
            if variable not in model.variables:
                raise ValueError(
                    f"{where}: {model.name} has no variable {variable!r}; "
                    f"{nearest(variable, model.variables)}"
                )
            values = as_array(value, model.units[variable], f"{where}: initial {variable}")
            if values.shape not in ((), (self.size,)):
                raise ValueError(
                    f"{where}: initial {variable} must be one number or {self.size}; "
                    f"got shape {values.shape}."
                )
            initial[variable] = values
        object.__setattr__(self, "initial", initial)


@dataclass(frozen=True)
class SpikeInput:
    """`size` spike sources whose spike times are given to the run under this name.

    A source that is given no times is silent.
    """

    name: str
    size: int = 1

    def __post_init__(self) -> None:
        _name(self.name, "SpikeInput.name")
        object.__setattr__(self, "size", _size(self.size, f"SpikeInput {self.name!r}: size"))


@dataclass(frozen=True)
class PoissonInput:
    """`size` independent Poisson spike sources of `rate` (Hz), drawn before the run.

    In each step a source fires with probability rate*dt, drawn from the run's seed, the trial
    and the name: every engine is handed the same spikes. A run may replace the draw by spike
    times of its own, given under this name.
    """

    name: str
    rate: float
    size: int = 1

    def __post_init__(self) -> None:
        where = f"PoissonInput {_name(self.name, 'PoissonInput.name')!r}"
        rate = as_float(self.rate, "Hz", f"{where}: rate")
        if rate < 0:
            raise ValueError(f"{where}: rate must be at least 0 Hz; got {rate!r}.")
        object.__setattr__(self, "rate", rate)
        object.__setattr__(self, "size", _size(self.size, f"{where}: size"))


@dataclass(frozen=True)
class CurrentInput:
    """A current injected into every neuron of population `target`, given to the run as a
    waveform or as steps (see `nf.simulate`). Several may share a target; they add up."""

    name: str
    target: str

    def __post_init__(self) -> None:
        _name(self.name, "CurrentInput.name")
        _name(self.target, f"CurrentInput {self.name!r}: target")


@dataclass(frozen=True)
class NoiseInput:
    """Independent Gaussian white noise for every neuron of population `target`.

    sd: the standard deviation (V) that the potential would have from the noise alone, without
    threshold; the same at every dt. It is injected as a current held for each step
    (`Neuron.noise_amplitude`), drawn from the run's seed, the trial and the name: every engine is
    handed the same. A population takes one.

    >>> NoiseInput("noise", "Q", sd=2e-3).sd
    0.002
    """

    name: str
    target: str
    sd: float

    def __post_init__(self) -> None:
        where = f"NoiseInput {_name(self.name, 'NoiseInput.name')!r}"
        _name(self.target, f"{where}: target")
        sd = as_float(self.sd, "V", f"{where}: sd")
        if sd < 0:
            raise ValueError(f"{where}: sd must be at least 0 V; got {sd!r}.")
        object.__setattr__(self, "sd", sd)


@dataclass(frozen=True)
class SignalInput:
    """A third factor (reward, dopamine, error) for the plasticity rules, given to the run as a
    waveform or as steps (see `nf.simulate`); 0 where it is given nothing.

    signal: the name under which rules read it; the input's own where "". target: the projection
    whose rule reads it; every one that reads the signal where "".

    >>> SignalInput("reward")
    SignalInput(name='reward', signal='reward', target='')
    """

    name: str
    signal: str = ""
    target: str = ""

    def __post_init__(self) -> None:
        _name(self.name, "SignalInput.name")
        where = f"SignalInput {self.name!r}"
        object.__setattr__(self, "signal", _name(self.signal or self.name, f"{where}: signal"))
        if not isinstance(self.target, str):
            raise ValueError(
                f"{where}: target must be the name of a projection or ''; got {self.target!r}."
            )


@dataclass(frozen=True)
class Dense:
    """Every presynaptic neuron to every postsynaptic one."""

    def pairs(self, n_pre: int, n_post: int) -> tuple[Index, Index]:
        """Indices of the neurons of each synapse, presynaptic index slowest.

        >>> Dense().pairs(2, 2)
        (array([0, 0, 1, 1]), array([0, 1, 0, 1]))
        """
        return (
            np.repeat(np.arange(n_pre, dtype=np.int64), n_post),
            np.tile(np.arange(n_post, dtype=np.int64), n_pre),
        )


@dataclass(frozen=True)
class OneToOne:
    """Neuron i to neuron i; both sides must be of one size."""

    def pairs(self, n_pre: int, n_post: int) -> tuple[Index, Index]:
        """Indices of the neurons of each synapse."""
        if n_pre != n_post:
            raise ValueError(f"OneToOne joins equal sizes; got {n_pre} and {n_post}.")
        return np.arange(n_pre, dtype=np.int64), np.arange(n_pre, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Pairs(_Data):
    """An explicit list: synapse i joins neuron pre[i] to neuron post[i]. A pair may recur."""

    pre: Any
    post: Any

    def __post_init__(self) -> None:
        for side in ("pre", "post"):
            given = np.asarray(getattr(self, side))
            if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
                raise ValueError(f"Pairs.{side} must be a list of whole numbers; got {given!r}.")
            small = not given.size or np.abs(given).max() < 2**31  # half the memory, mostly
            object.__setattr__(self, side, given.astype(np.int32 if small else np.int64))
        if self.pre.size != self.post.size:
            raise ValueError(
                f"Pairs.pre and Pairs.post must be equally long; "
                f"got {self.pre.size} and {self.post.size}."
            )

    def pairs(self, n_pre: int, n_post: int) -> tuple[Index, Index]:
        """Indices of the neurons of each synapse, in the order given."""
        for side, index, size in (("pre", self.pre, n_pre), ("post", self.post, n_post)):
            if index.size and not (0 <= index.min() and index.max() < size):
                wrong = index[(index < 0) | (index >= size)][0]
                raise ValueError(f"Pairs.{side} must be 0 to {size - 1}; got {wrong}.")
        return self.pre, self.post


@dataclass(frozen=True)
class Random:
    """Each pair with probability `p`, independently, drawn from `seed`."""

    p: float
    seed: int

    def __post_init__(self) -> None:
        p = as_float(self.p, "1", "Random.p")
        if not 0 <= p <= 1:
            raise ValueError(f"Random.p must be 0 to 1; got {p!r}.")
        object.__setattr__(self, "p", p)
        whole = isinstance(self.seed, (int, np.integer)) and not isinstance(self.seed, bool)
        if not whole or self.seed < 0:
            raise ValueError(f"Random.seed must be a whole number >= 0; got {self.seed!r}.")
        object.__setattr__(self, "seed", int(self.seed))

    def pairs(self, n_pre: int, n_post: int) -> tuple[Index, Index]:
        """Indices of the neurons of each synapse, presynaptic index slowest."""
        rng, total = np.random.default_rng(self.seed), n_pre * n_post
        expected = self.p * total
        found, last = [np.zeros(0, np.int64)], -1
        while self.p > 0 and last < total:  # the gaps between pairs are geometric
            gaps = rng.geometric(self.p, int(expected + 5 * math.sqrt(expected)) + 9)
            found.append(last + np.cumsum(np.minimum(gaps, total + 1)))
            last = int(found[-1][-1])
        pairs = np.concatenate(found)
        pre, post = np.divmod(pairs[pairs < total], max(n_post, 1))
        return pre, post


Pattern = Dense | OneToOne | Pairs | Random
_PATTERNS: dict[str, type[Any]] = {c.__name__: c for c in (Dense, OneToOne, Pairs, Random)}


@dataclass(frozen=True)
class Synapses:
    """The synapses of a projection, one entry each: indices, weights, delays (s)."""

    pre: Index
    post: Index
    weight: Array
    axonal_delay: Array
    dendritic_delay: Array


@dataclass(frozen=True, eq=False)
class Projection(_Data):
    """Synapses from `pre` (a population or a spike input) to `post` (a population).

    weight: magnitude in the unit of the receptor (A for `LIF`, V for `DeltaLIF`, which alone
        takes either sign); one number, one a synapse, or a matrix (pre size, post size).
    receptor: name of the postsynaptic receptor; None where the neuron has only one.
    pattern: which neurons are joined: `Dense()`, `OneToOne()`, `Pairs(pre, post)`,
        `Random(p, seed)`.
    axonal_delay, dendritic_delay (s): one number, one a synapse, or a matrix; rounded to whole
        steps, half up. A presynaptic spike reaches the synapse after the axonal delay and the
        soma after both; a postsynaptic spike reaches the synapse after the dendritic delay. What
        the soma receives is the weight that the presynaptic spike met at the synapse.
    rule: how spikes change the weights; `rules.none` leaves them.
    name: "pre->post" where None.

    Raises ValueError or TypeError for a weight or delay that is not finite, negative where it
    must not be, outside the bounds of the rule, or of a wrong shape (when the circuit is built).
    """

    pre: str
    post: str
    weight: Any
    receptor: str | None = None
    pattern: Pattern = Dense()
    axonal_delay: Any = 0.0
    dendritic_delay: Any = 0.0
    rule: Rule = none
    name: str = ""

    _dimensions: ClassVar[tuple[float, ...] | None]  # of the weight, where a Brian2 quantity

    def __post_init__(self) -> None:
        for side in ("pre", "post"):
            _name(getattr(self, side), f"Projection.{side}")
        if self.name == "":
            object.__setattr__(self, "name", f"{self.pre}->{self.post}")
        if not isinstance(self.name, str):
            raise ValueError(f"Projection.name must be a text; got {self.name!r}.")
        where = f"Projection {self.name!r}"
        if not isinstance(self.pattern, tuple(_PATTERNS.values())):
            raise TypeError(
                f"{where}: pattern must be one of {', '.join(_PATTERNS)}; got {self.pattern!r}."
            )
        if not isinstance(self.rule, Rule):
            raise TypeError(
                f"{where}: rule must be a rule object like rules.PairSTDP(); got {self.rule!r}."
            )
        # The unit of the weight is the receptor's, which the circuit knows and checks
        object.__setattr__(self, "_dimensions", dimensions_of(self.weight))
        for name, unit in (("weight", ""), ("axonal_delay", "s"), ("dendritic_delay", "s")):
            values = as_array(getattr(self, name), unit, f"{where}: {name}")
            if name != "weight" and values.size and values.min() < 0:
                raise ValueError(
                    f"{where}: {name} must be at least 0 s; got {float(values.min())!r}."
                )
            object.__setattr__(self, name, values)
        w_min = getattr(self.rule, "w_min", -np.inf)
        w_max = getattr(self.rule, "w_max", np.inf)
        outside = self.weight[(self.weight < w_min) | (self.weight > w_max)]
        if outside.size:
            raise ValueError(
                f"{where}: weight must be within the bounds of {type(self.rule).__name__}, "
                f"{w_min!r} to {w_max!r}; got {float(outside.flat[0])!r}."
            )

    def synapses(self, n_pre: int, n_post: int) -> Synapses:
        """The synapses for populations of these sizes.

        Raises ValueError where the pattern or an array does not fit the sizes.
        """
        try:
            pre, post = self.pattern.pairs(n_pre, n_post)
        except ValueError as error:
            raise ValueError(f"Projection {self.name!r}: {error}") from None

        def each(name: str) -> Array:
            values: Array = getattr(self, name)
            if values.ndim == 0:
                return np.broadcast_to(np.float64(values), pre.shape)
            if values.shape == (n_pre, n_post):
                return values[pre, post]
            if values.shape == (pre.size,):
                return values
            raise ValueError(
                f"Projection {self.name!r}: {name} must be one number, {pre.size} (one a "
                f"synapse) or a matrix {(n_pre, n_post)}; got shape {values.shape}."
            )

        return Synapses(pre, post, each("weight"), each("axonal_delay"), each("dendritic_delay"))


@dataclass(frozen=True)
class Readout:
    """A bit, decoded from spikes: which of two populations fired more in the last `window`.

    The bit is 1 where population `high` sent more spikes in the trailing window (s) than `low`,
    0 where it sent fewer, and stays what it was where both sent equally many (0 at the start).
    Without `low`, the bit is 1 exactly where `high` sent any spike in the window.
    """

    name: str
    high: str
    low: str | None = None
    window: float = 50 * ms

    def __post_init__(self) -> None:
        where = f"Readout {_name(self.name, 'Readout.name')!r}"
        window = as_float(self.window, "s", f"{where}: window")
        if window <= 0:
            raise ValueError(f"{where}: window must be above 0 s; got {window!r}.")
        if self.low == self.high:
            raise ValueError(
                f"{where}: low must be another population than high, or None; got {self.low!r}."
            )
        object.__setattr__(self, "window", window)


Input = SpikeInput | PoissonInput | CurrentInput | NoiseInput | SignalInput


@dataclass(frozen=True, eq=False)
class Circuit(_Data):
    """Populations of neurons, the projections among them, inputs and readouts.

    Plain data. `print(circuit)` shows it as tables; `save` and `load` keep it in a .json or .npz
    file and give it back equal; `dataclasses.replace` makes a changed copy.

    Raises ValueError for names that clash or refer to nothing, for an unknown receptor, for
    weights of a sign that the receptor does not take, for arrays of a wrong shape.
    """

    name: str
    populations: Sequence[Population]
    projections: Sequence[Projection] = ()
    inputs: Sequence[Input] = ()
    readouts: Sequence[Readout] = ()

    _PARTS: ClassVar[dict[str, tuple[type, ...]]] = {
        "populations": (Population,),
        "projections": (Projection,),
        "inputs": (SpikeInput, PoissonInput, CurrentInput, NoiseInput, SignalInput),
        "readouts": (Readout,),
    }

    def __post_init__(self) -> None:
        _name(self.name, "Circuit.name")
        for part, kinds in self._PARTS.items():
            items = tuple(getattr(self, part))
            for item in items:
                if not isinstance(item, kinds):
                    raise TypeError(
                        f"Circuit.{part} must hold {' or '.join(k.__name__ for k in kinds)}; "
                        f"got {item!r}."
                    )
            object.__setattr__(self, part, items)
        if not self.populations:
            raise ValueError("Circuit.populations must not be empty.")
        for what, names in (
            ("population or input", [p.name for p in (*self.populations, *self.inputs)]),
            ("projection", [p.name for p in self.projections]),
            ("readout", [r.name for r in self.readouts]),
        ):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"two {what}s are called {name!r}; give each its own name.")
        object.__setattr__(self, "projections", tuple(self._checked(p) for p in self.projections))
        populations = [p.name for p in self.populations]
        noisy: dict[str, str] = {}
        for item in self.inputs:
            if isinstance(item, NoiseInput) and item.target in populations:
                self.population(item.target).neuron.membrane()
                if (other := noisy.setdefault(item.target, item.name)) != item.name:
                    raise ValueError(
                        f"NoiseInput {item.name!r}: population {item.target!r} has noise "
                        f"already, {other!r}; add the variances into one."
                    )
            if isinstance(item, (CurrentInput, NoiseInput)) and item.target not in populations:
                raise ValueError(
                    f"{type(item).__name__} {item.name!r}: there is no population {item.target!r}; "
                    f"{nearest(item.target, populations)}"
                )
        self._check_signals()
        for readout in self.readouts:
            for fired in (readout.high, readout.low):
                if fired is not None and fired not in populations:
                    raise ValueError(
                        f"Readout {readout.name!r}: there is no population {fired!r}; "
                        f"{nearest(fired, populations)}"
                    )

    def _check_signals(self) -> None:
        names = [p.name for p in self.projections]
        for item in self.inputs:
            if not isinstance(item, SignalInput):
                continue
            where = f"SignalInput {item.name!r}"
            if item.target and item.target not in names:
                raise ValueError(
                    f"{where}: there is no projection {item.target!r}; "
                    f"{nearest(item.target, names)}"
                )
            known = {s: None for p in self._targets(item) for s in p.rule.model().signals}
            if item.signal not in known:
                raise ValueError(
                    f"{where}: no rule here reads {item.signal!r}; {nearest(item.signal, known)}"
                )
        for projection in self.projections:
            for signal in projection.rule.model().signals:
                self.signal_of(projection, signal)

    def _targets(self, item: SignalInput) -> list[Projection]:
        return [p for p in self.projections if item.target in ("", p.name)]

    def signal_of(self, projection: Projection, signal: str) -> str:
        """The name of the input that feeds a signal to the rule of a projection.

        Raises ValueError where there is none, or more than one.
        """
        found = [
            i.name
            for i in self.inputs
            if isinstance(i, SignalInput)
            and i.signal == signal
            and i.target in ("", projection.name)
        ]
        if len(found) != 1:
            rule = type(projection.rule).__name__
            raise ValueError(
                f"Projection {projection.name!r}: {rule} reads the signal {signal!r}; expected one "
                f"nf.SignalInput that feeds it, got {len(found)}. Put "
                f"nf.SignalInput({signal!r}) among the circuit's inputs, once."
            )
        return found[0]

    def signal_width(self, item: SignalInput) -> int:
        """How many values a step a signal may have: the size of the postsynaptic populations
        that it reaches, 1 where they differ."""
        readers = [p for p in self._targets(item) if item.signal in p.rule.model().signals]
        sizes = {self.population(p.post).size for p in readers}
        return sizes.pop() if len(sizes) == 1 else 1

    def _checked(self, projection: Projection) -> Projection:
        where = f"Projection {projection.name!r}"
        sizes = self.sizes()
        populations = {p.name: p for p in self.populations}
        for side, known in (("pre", sizes), ("post", populations)):
            name = getattr(projection, side)
            if name not in known:
                what = "population or spike input" if side == "pre" else "population"
                raise ValueError(f"{where}: there is no {what} {name!r}; {nearest(name, known)}")
        neuron = populations[projection.post].neuron
        receptors = list(neuron.receptors)
        receptor = projection.receptor
        if receptor is None and len(receptors) == 1:
            receptor = receptors[0]
        if receptor not in receptors:
            raise ValueError(
                f"{where}: {type(neuron).__name__} has no receptor {receptor!r}; "
                f"{nearest(str(receptor), receptors)}"
                if receptor is not None
                else f"{where}: name a receptor of {type(neuron).__name__}: {', '.join(receptors)}."
            )
        model = projection.rule.model()
        for variable in model.reads:
            if variable not in neuron.model().variables:
                able = [n for n, kind in NEURONS.items() if variable in kind.model().variables]
                raise ValueError(
                    f"{where}: {model.name} reads {variable!r} of the postsynaptic neuron; "
                    f"{type(neuron).__name__} has {', '.join(neuron.model().variables)}. "
                    f"Neurons that have it: {', '.join(able) or 'none'}."
                )
        if model.layers_only:
            raise ValueError(
                f"{where}: {model.name} joins many synapses at once, which no engine of circuits "
                "does; use it on a torch layer, rules.attach."
            )
        unit = neuron.model().units[neuron.receptors[str(receptor)]]
        check_dimensions(projection._dimensions, unit, f"{where}: weight", projection.weight)
        if receptor not in neuron.signed_receptors:
            w_min = getattr(projection.rule, "w_min", 0.0)
            if projection.weight.size and projection.weight.min() < 0:
                raise ValueError(
                    f"{where}: weight at receptor {receptor!r} must be at least 0, the receptor "
                    f"gives the sign; got {float(projection.weight.min())!r}."
                )
            if w_min < 0:
                raise ValueError(
                    f"{where}: {type(projection.rule).__name__}.w_min at receptor {receptor!r} "
                    f"must be at least 0; got {w_min!r}."
                )
        projection.synapses(sizes[projection.pre], sizes[projection.post])
        return dataclasses.replace(projection, receptor=receptor)

    def sizes(self) -> dict[str, int]:
        """Number of neurons of each population and of sources of each spike input."""
        spiking = [i for i in self.inputs if isinstance(i, (SpikeInput, PoissonInput))]
        return {p.name: p.size for p in (*self.populations, *spiking)}

    def population(self, name: str) -> Population:
        """The population of this name. Raises ValueError where there is none."""
        for population in self.populations:
            if population.name == name:
                return population
        raise ValueError(
            f"there is no population {name!r}; {nearest(name, [p.name for p in self.populations])}"
        )

    def synapses(self, projection: Projection) -> Synapses:
        """The synapses of one of the circuit's projections."""
        sizes = self.sizes()
        return projection.synapses(sizes[projection.pre], sizes[projection.post])

    def include(self, other: "Circuit", name: str) -> "Circuit":
        """This circuit with the parts of `other` beside its own, called "name.part".

        Raises ValueError where a name is taken.

        >>> import neuroflip as nf
        >>> two = nf.circuits.sr_latch().include(nf.circuits.sr_latch(), "second")
        >>> [i.name for i in two.inputs]
        ['S', 'R', 'second.S', 'second.R']
        """
        from neuroflip.composition import include

        return include(self, other, _name(name, "include: name"))

    def wire(self, source: str, *ports: str) -> "Circuit":
        """This circuit with `source`, a population or spike input, in the place of spike inputs.

        What the ports projected to is projected to by `source`, with the same synapses, and the
        ports are no more. Raises ValueError for an unknown name or a port of another size.

        >>> import neuroflip as nf
        >>> two = nf.circuits.sr_latch().include(nf.circuits.sr_latch(), "second")
        >>> [i.name for i in two.wire("Q", "second.S").wire("R", "second.R").inputs]
        ['S', 'R']
        """
        from neuroflip.composition import wire

        return wire(self, source, ports)

    def __rshift__(self, other: "Circuit") -> "Circuit":
        """`a >> b`: the outputs of a (the high populations of its readouts) feed the inputs of b.

        An output feeds the spike input that has its readout's name; where no names are shared,
        outputs and inputs are paired in order, and must be equally many. The parts of b are called
        "b.part"; readouts of a that were wired are no more. Warns (UserWarning) of inputs of b
        that stay open. Raises ValueError where nothing fits.

        >>> import neuroflip as nf
        >>> equal = nf.circuits.xor_gate() >> nf.circuits.not_gate()
        >>> [r.name for r in equal.readouts]
        ['not_gate.Q']
        """
        from neuroflip.composition import series

        if not isinstance(other, Circuit):
            return NotImplemented
        return series(self, other)

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the circuit: neurons, excitation, inhibition, delays.

        path: write the figure there as well (.png, .pdf, .svg).
        """
        from neuroflip.circuit_figure import draw_circuit

        return draw_circuit(self, path)

    def __str__(self) -> str:
        def spread(values: Array, unit: str) -> str:
            if values.size == 0:
                return "none"
            low, high = float(values.min()), float(values.max())
            return show(low, unit) if low == high else f"{show(low, unit)} to {show(high, unit)}"

        parts = [
            table(
                f"Circuit {self.name}: populations",
                ("name", "size", "neuron", "parameters"),
                [
                    (p.name, p.size, type(p.neuron).__name__, p.neuron.describe())
                    for p in self.populations
                ],
            )
        ]
        rows: list[tuple[object, ...]] = []
        if self.inputs:
            for i in self.inputs:
                what: object
                if isinstance(i, (CurrentInput, NoiseInput, SignalInput)):
                    what = f"-> {i.target or 'every rule'}"
                else:
                    what = i.size
                rate = show(i.rate, "Hz") if isinstance(i, PoissonInput) else ""
                if isinstance(i, NoiseInput):
                    rate = show(i.sd, "V")
                rows.append((i.name, type(i).__name__, what, rate))
            parts.append(table("Inputs", ("name", "kind", "size or target", "rate or sd"), rows))
        if self.projections:
            rows = []
            for p in self.projections:
                neuron = self.population(p.post).neuron
                unit = neuron.model().units[neuron.receptors[str(p.receptor)]]
                synapses = self.synapses(p)
                rule = "" if p.rule == none else f"{type(p.rule).__name__} {p.rule.describe()}"
                rows.append((
                    p.name, p.receptor, type(p.pattern).__name__, synapses.pre.size,
                    spread(synapses.weight, unit), spread(synapses.axonal_delay, "s"),
                    spread(synapses.dendritic_delay, "s"), rule,
                ))  # fmt: skip
            columns = ("name", "receptor", "pattern", "synapses", "weight", "axonal delay",
                       "dendritic delay", "rule")  # fmt: skip
            parts.append(table("Projections", columns, rows))
        if self.readouts:
            parts.append(
                table(
                    "Readouts",
                    ("name", "1 where more spikes of", "than of", "window"),
                    [(r.name, r.high, r.low or "(silence)", show(r.window, "s"))
                     for r in self.readouts],
                )
            )  # fmt: skip
        return "\n\n".join(parts)

    def save(self, path: str | Path) -> None:
        """Write the circuit to a .json or .npz file, atomically.

        Raises ValueError for another suffix, or for a neuron or rule class that is not in
        `neurons.NEURONS` or `rules.RULES` and so could not be loaded again.
        """
        files.write(path, self.to_spec())

    @staticmethod
    def load(path: str | Path) -> "Circuit":
        """The circuit that `save` wrote. Raises ValueError for a damaged or foreign file."""
        spec = files.read(path)
        if spec.get("format") != FORMAT or "populations" not in spec:
            raise ValueError(f"{path} holds no circuit of format {FORMAT}.")
        try:
            return Circuit.from_spec(spec)
        except ValueError as error:
            raise ValueError(f"{path} holds no circuit of format {FORMAT}: {error}") from error

    def to_spec(self) -> dict[str, Any]:
        """The circuit as nested dictionaries, lists, numbers and arrays."""

        def spec(item: Any) -> dict[str, Any]:
            return {"kind": type(item).__name__, **_fields(item)}

        def registered(kinds: Mapping[str, type[Any]], item: Any) -> dict[str, Any]:
            for name, kind in kinds.items():
                if type(item) is kind:
                    return {"kind": name, "values": item.settings()}
            raise ValueError(
                f"{type(item).__name__} is not registered, so a file with it could not be "
                f"loaded again; {nearest(type(item).__name__, kinds)}"
            )

        def rule(item: Rule) -> dict[str, Any]:
            if isinstance(item, Sum):
                return {"kind": "Sum", "parts": [rule(part) for part in item.parts]}
            return registered(RULES, item)

        return {
            "format": FORMAT,
            "name": self.name,
            "populations": [
                {**_fields(p), "neuron": registered(NEURONS, p.neuron), "initial": dict(p.initial)}
                for p in self.populations
            ],
            "projections": [
                {**_fields(p), "pattern": spec(p.pattern), "rule": rule(p.rule)}
                for p in self.projections
            ],
            "inputs": [spec(i) for i in self.inputs],
            "readouts": [_fields(r) for r in self.readouts],
        }

    @staticmethod
    def from_spec(spec: dict[str, Any]) -> "Circuit":
        """The circuit that `to_spec` described. Raises ValueError for anything else."""
        try:
            return _from_spec(spec)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"this is no record of a circuit: {error!r}") from error


def _from_spec(spec: dict[str, Any]) -> Circuit:
    def model(kinds: Mapping[str, type], spec: dict[str, Any], what: str) -> Any:
        return from_spec(dict(kinds), spec["kind"], spec["values"], what)

    def item(kinds: Mapping[str, type], spec: dict[str, Any], what: str) -> Any:
        rest = {key: value for key, value in spec.items() if key != "kind"}
        return from_spec(dict(kinds), spec["kind"], rest, what)

    def rule(spec: dict[str, Any]) -> Rule:
        if spec["kind"] == "Sum":
            return Sum(*map(rule, spec["parts"]))
        found: Rule = model(RULES, spec, "rule")
        return found

    inputs = {k.__name__: k for k in Circuit._PARTS["inputs"]}
    return Circuit(
        spec["name"],
        [
            Population(**{**p, "neuron": model(NEURONS, p["neuron"], "neuron")})
            for p in spec["populations"]
        ],
        [
            Projection(
                **{
                    **p,
                    "pattern": item(_PATTERNS, p["pattern"], "pattern"),
                    "rule": rule(p["rule"]),
                }
            )
            for p in spec["projections"]
        ],
        [item(inputs, i, "input") for i in spec["inputs"]],
        [Readout(**r) for r in spec["readouts"]],
    )


def _fields(item: Any) -> dict[str, Any]:
    return {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
