"""Logic netlists: their language, their neurons, and random ones against Boolean evaluation."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuroflip as nf
from neuroflip.analysis import truth_table, vary
from neuroflip.circuits import firing_rate, level, netlist, spike_interval
from neuroflip.circuits.behaviour import combinational
from neuroflip.circuits.logic import Element, element_delay, logic_neuron, parse_netlist, settled
from neuroflip.units import ms


def test_the_language() -> None:
    text = """
        R'  = 1 - R          # a comment
        Q   = R' + A - Qbar - b0.X

        M   = 2: A + B + C - D
    """
    assert parse_netlist(text) == {
        "R'": Element((), ("R",)),
        "Q": Element(("R'", "A"), ("Qbar", "b0.X")),
        "M": Element(("A", "B", "C"), ("D",), need=2),
    }


@pytest.mark.parametrize(
    "line",
    [
        "Q",
        "Q =",
        "Q = ",
        "= A",
        "Q = - A",
        "Q = A\nQ = B",
        "Q = x: A",
        "Q = A B",
        "Q = A * B",
        "Q = A +",
        "A B = C",
        "Q = A & B",
    ],
)
def test_what_is_no_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a line of a netlist, like Q = A - B"):
        parse_netlist(line)


@pytest.mark.parametrize("line", ["Q = A + 1", "Q = 1 + A", "Q = A - 1", "Q = 1 + 1"])
def test_a_drive_stands_alone(line: str) -> None:
    with pytest.raises(ValueError, match="1 stands alone for a steady drive"):
        parse_netlist(line)


@pytest.mark.parametrize("line", ["Q = 3: A + B", "Q = 0: A", "Q = 2: 1 - A"])
def test_no_more_inputs_are_needed_than_there_are(line: str) -> None:
    with pytest.raises(ValueError, match="inputs that excite, not"):
        parse_netlist(line)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="mine: Q reads 'AA'; did you mean 'A'?"):
        netlist("mine", "Q = AA", "A", "Q")
    with pytest.raises(ValueError, match=r"mine: delay must be above 0 s; got 0\.0\."):
        netlist("mine", "Q = A", "A", "Q", delay=0)
    with pytest.raises(ValueError, match="mine: high names 'P'"):
        netlist("mine", "Q = A", "A", "Q", high=["P"])
    with pytest.raises(ValueError, match="mine: hops names a connection 'Q' to 'A'; none is"):
        netlist("mine", "Q = A", "A", "Q", hops={("Q", "A"): 2.0})
    with pytest.raises(ValueError, match="is not made of logic neurons"):
        element_delay(nf.circuits.sr_latch())
    short = nf.circuits.not_gate(delay=0.4 * ms)
    with pytest.raises(ValueError, match="refractory must be 0 or at least one step of 0.0001 s"):
        nf.simulate(short, duration=10 * ms)


def test_an_input_of_1_fires_as_an_active_neuron_does() -> None:
    d = 4 * ms
    neuron = logic_neuron(d)
    interval = spike_interval(d)
    # 2 L into a neuron with threshold current L: refractory + tau_m ln 2
    assert interval == pytest.approx(neuron.refractory + neuron.tau_m * math.log(2))
    circuit = nf.Circuit("one", [nf.Population("A", logic_neuron(d, drive=2.0))])
    measured = np.diff(nf.simulate(circuit, duration=0.1, dt=1e-6).spikes["A"])
    np.testing.assert_allclose(measured, interval, atol=2e-6)
    assert firing_rate(neuron, 300e-12) == pytest.approx(1 / interval)
    assert level(interval, (0.0, 3 * interval), (1.0, 1.0 + interval)) == pytest.approx(
        [0, interval, 2 * interval, 1.0]
    )


@pytest.mark.parametrize("delay", [2.5 * ms, 4 * ms, 10 * ms, 40 * ms])
def test_two_inverters_pass_a_change_on_in_two_element_delays(delay: float) -> None:
    circuit = netlist("chain", "A = 1 - X\nB = 1 - A\nC = 1 - B\nD = 1 - C", "X", "D", delay=delay)
    start, stop = 10 * delay, 30 * delay
    given = {"X": level(spike_interval(delay), (start, stop))}
    spikes = nf.simulate(circuit, given, duration=50 * delay).spikes["D"]
    late = spikes[spikes > 5 * delay]  # D fires for a moment at first, before C has begun
    assert (late.min() - start) / delay == pytest.approx(4, abs=0.5)
    assert (late.max() - stop) / delay == pytest.approx(4, abs=0.5)


def test_the_start_is_the_state_of_rest() -> None:
    text = "N = 1 - A\nM = 1 - N\nQ = N - Qbar\nQbar = N - Q"
    assert settled(parse_netlist("A = 1 - B\nB = 1 - C\nC = 1 - A"), ["A"]) == {"A", "B"}
    assert settled(parse_netlist(text), ["Q"]) == {"N", "Q"}
    circuit = netlist("latch", text, "A", "Q", high=["Q"])
    spikes = nf.simulate(circuit, duration=0.5).spikes
    assert spikes["M"].size == 0 and spikes["Qbar"].size == 0
    np.testing.assert_allclose(np.diff(spikes["Q"]), spike_interval(4 * ms), atol=0.2 * ms)
    assert spikes["Q"][0] < 1 * ms and spikes["N"][0] < 1 * ms


@st.composite
def networks(draw):
    """A netlist without loops, over 2 or 3 inputs."""
    names = [f"X{i}" for i in range(draw(st.integers(2, 3)))]
    inputs = list(names)
    lines = []
    for number in range(draw(st.integers(1, 6))):
        read = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        cut = draw(st.integers(0, len(read)))
        excite, inhibit = read[:cut], read[cut:]
        need = 2 if len(excite) == 3 and not inhibit and draw(st.booleans()) else 1
        text = " + ".join(excite) if excite else "1"
        text = f"{need}: {text}" if need > 1 else text
        lines.append(f"N{number} = " + " - ".join([text, *inhibit]))
        names.append(f"N{number}")
    return inputs, "\n".join(lines), names[-1]


def evaluated(text: str, inputs: dict[str, int], output: str) -> int:
    """The Boolean value of a netlist without loops, line by line, from its text."""
    values = dict(inputs)
    for line in text.splitlines():
        name, rule = line.split(" = ")
        need, _, rule = rule.rpartition(": ")
        excite, *inhibit = rule.split(" - ")
        on = excite == "1" or sum(values[e] for e in excite.split(" + ")) >= int(need or 1)
        values[name] = int(on and not any(values[i] for i in inhibit))
    return values[output]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(networks(), st.integers(0, 2**31))
def test_random_networks_compute_what_is_written(network, seed: int) -> None:
    inputs, text, output = network
    circuit = vary(netlist("random", text, " ".join(inputs), output), 0.05, seed)

    def function(*bits: int) -> int:
        return evaluated(text, dict(zip(inputs, bits, strict=True)), output)

    behaviour = combinational(function, " ".join(inputs), output, 4 * ms, depth=6)
    table = truth_table(circuit, behaviour)
    assert table.ok, f"{text}\n{table}"
