"""Truth tables: programs that try everything, and circuits that are wrong are found out."""

import dataclasses
import json

import numpy as np
import pytest
from typer.testing import CliRunner

import neuroflip as nf
from neuroflip import circuits
from neuroflip.analysis import scaled, truth_table, variation, vary
from neuroflip.analysis.truth import behaviour_of, drive, program
from neuroflip.cli import app


@pytest.mark.parametrize("name", ["jk_flip_flop", "register", "state_machine", "ring_counter"])
def test_a_program_tries_every_transition(name: str) -> None:
    behaviour = behaviour_of(circuits.CIRCUITS[name]())
    for seed in (0, 1):
        rows, whole = program(behaviour, seed=seed)
        state, tried = behaviour.start, set()
        for row in rows:
            tried.add((state, tuple(row.values())))
            state = behaviour.step(state, row)[0]
        states = {s for s, _ in tried}
        assert whole and len(tried) == len(states) * len(list(behaviour.rows()))
    assert program(behaviour, seed=0) == program(behaviour, seed=0)
    assert len(program(behaviour, cycles=7)[0]) == 7


def test_inputs_are_on_when_the_behaviour_says() -> None:
    behaviour = behaviour_of(circuits.d_latch())
    times = drive(behaviour, [{"D": 1, "E": 0}, {"D": 0, "E": 1}])
    d, period = 4e-3, 32 * 4e-3
    assert min(times["D"]) == period and max(times["D"]) < period + 16 * d
    assert min(times["E"]) == pytest.approx(2 * period + 4 * d)
    assert np.diff(times["E"]).max() == pytest.approx(behaviour.interval)


def test_a_wrong_circuit_is_found_out() -> None:
    """A NAND called an AND; a latch whose reset is cut; one that cannot hold."""
    wrong = dataclasses.replace(circuits.nand_gate(), name="and_gate")
    table = truth_table(wrong)
    assert not table.ok and table.first_wrong == 0
    assert [row.right for row in table.rows] == [0, 0, 0, 0]
    assert "WRONG (first in cycle 0)" in str(table) and "0, not 1" in str(table)
    latch = circuits.d_latch()
    cut = [p for p in latch.projections if p.name != "R->R'"]
    table = truth_table(dataclasses.replace(latch, projections=cut))
    failed = {(row.state, *row.inputs.values()) for row in table.rows if row.right < row.tried}
    assert (1, 0, 1) in failed and (0, 1, 1) not in failed
    assert not truth_table(scaled(latch, "inhibition", 0.0)).ok


def test_unknown_circuits_are_refused() -> None:
    mine = nf.Circuit("mine", [nf.Population("A", nf.LIF())])
    with pytest.raises(ValueError, match="no behaviour of a circuit called 'mine'; give one"):
        truth_table(mine)
    with pytest.raises(ValueError, match="there is no 'weights' to scale"):
        scaled(mine, "weights", 2.0)


def test_variation_stays_within_its_fraction() -> None:
    circuit = circuits.jk_flip_flop()
    ratios = []
    for seed in range(50):
        other = vary(circuit, 0.1, seed)
        for a, b in zip(circuit.projections, other.projections, strict=True):
            ratios += [float(b.weight / a.weight), float(b.axonal_delay / a.axonal_delay)]
        for p, q in zip(circuit.populations, other.populations, strict=True):
            ratios.append(q.neuron.v_threshold / p.neuron.v_threshold)
    found = np.array(ratios)
    assert found.min() >= 0.9 and found.max() <= 1.1
    assert abs(found.mean() - 1) < 0.005 and found.std() == pytest.approx(0.2 / 12**0.5, rel=0.05)
    assert vary(circuit, 0.1, 3) == vary(circuit, 0.1, 3)
    assert vary(circuit, 0.0, 3) == circuit


def test_variation_counts_what_fails() -> None:
    found = variation(circuits.t_flip_flop(), fraction=0.6, draws=20)
    alone = [
        s for s in range(20) if not truth_table(vary(circuits.t_flip_flop(), 0.6, s), seed=s).ok
    ]
    assert list(found.wrong) == alone and 0 < found.right < 20


def test_the_command() -> None:
    runner = CliRunner()
    result = runner.invoke(app, ["truth", "xor_gate", "--vary", "0.1", "--draws", "3", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["ok"] and found["variation"]["wrong"] == [] and len(found["rows"]) == 4
    result = runner.invoke(app, ["truth", "t_flip_flop", "--vary", "0.7", "--draws", "5"])
    assert result.exit_code == 1 and "of 5 right" in result.output
    result = runner.invoke(app, ["truth", "not_gate", "--margins"])
    assert result.exit_code == 0 and "inhibition may be scaled by 0." in result.output
    for arguments, message in [
        (["cascade"], "there is no logic circuit 'cascade'"),
        (["not_gate", "--vary", "2"], "--vary must be at least 0 and below 1"),
        (["not_gate", "--draws", "0", "--vary", "0.1"], "--draws must be at least 1"),
    ]:
        result = runner.invoke(app, ["truth", *arguments])
        assert result.exit_code == 2 and message in result.output
