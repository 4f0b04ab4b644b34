"""Oscillators of logic neurons. See logic.py for the neurons."""

from neuroflip.circuit import Circuit, Readout
from neuroflip.circuits.arguments import count
from neuroflip.circuits.flip_flops import t_flip_flop
from neuroflip.circuits.logic import netlist
from neuroflip.units import ms


def ring_oscillator(neurons: int = 3, *, delay: float = 4 * ms) -> Circuit:
    """An odd number of inverters in a ring; each fires for `neurons` element delays in every
    2 `neurons`.

    neurons: odd, at least 3. Readouts are the neurons A0, A1, ... With 3 and 4 ms: 41.7 Hz.

    Raises ValueError for an even number, which would be a latch.
    """
    if isinstance(neurons, bool) or not isinstance(neurons, int) or neurons < 3 or neurons % 2 == 0:
        raise ValueError(f"ring_oscillator: neurons must be odd, at least 3; got {neurons!r}.")
    names = [f"A{i}" for i in range(neurons)]
    text = "\n".join(f"{name} = 1 - {names[i - 1]}" for i, name in enumerate(names))
    # A0 and A1 fire, and A0 is about to fall silent
    return netlist(
        "ring_oscillator", text, "", " ".join(names), high=names[1::2] + names[:1], delay=delay
    )


def cascade(toggles: int = 4, *, delay: float = 4 * ms) -> Circuit:
    """A ring oscillator and T flip-flops in sequence, each at half the rate of the one before.

    Between two flip-flops stands an edge detector, which makes a pulse of 3 element delays of
    each rise: a flip-flop takes no longer ones (see `jk_flip_flop`). Readouts f0, f1, ... have
    the periods 6, 12, 24, 48, 96 element delays: 41.7, 20.8, 10.4, 5.2, 2.6 Hz with 4 ms.

    After Yoder's cascaded oscillators ("Neural flip-flops II", bioRxiv 2020: a ring of 3 and four
    toggles of 6 neurons), whose rates he sets beside the bands of the EEG; how he shapes the
    pulses between toggles is not known to us, and the edge detectors are ours.

    Raises ValueError for a number of toggles below 1.
    """
    count(toggles, "cascade: toggles")
    ring = ring_oscillator(delay=delay)
    made = Circuit("cascade", ring.populations, ring.projections)
    source = "A0"
    for number in range(1, toggles + 1):
        if number > 1:
            shaper = netlist(
                "shaper", "B = X\nC = B\nP = X - C", "X", "P", delay=delay, hops={("B", "C"): 2.0}
            )
            made = made.include(shaper, f"P{number}").wire(source, f"P{number}.X")
            source = f"P{number}.P"
        made = made.include(t_flip_flop(delay=delay), f"T{number}").wire(source, f"T{number}.T")
        source = f"T{number}.Q"
    bits = [ring.readouts[0], *(r for r in made.readouts if r.name.endswith("Q"))]
    readouts = [Readout(f"f{i}", r.high, r.low, r.window) for i, r in enumerate(bits)]
    return Circuit("cascade", made.populations, made.projections, made.inputs, readouts)
