"""The library of flip-flop circuits: functions that return a `Circuit`.

    sr_latch                              two or four cortical-like neurons
    autapse.py, delay_loop.py             a neuron that excites itself; a spike that goes round
    pools.py, wang_pools.py               pools of neurons: mutual inhibition, slow NMDA
    single_neuron.py                      bistable neurons
    gates.py, flip_flops.py               logic: AND, OR ... XOR; D, JK, T, edge-triggered
    oscillators.py                        ring oscillator, and a cascade that halves its rate
    registers.py, counters.py             register, shift register, memory; counters
    state_machine.py                      any finite-state machine, from its transitions

`BEHAVIOURS` says of the logic circuits what they should do; `neuroflip.analysis.truth_table` and
`neuroflip truth NAME` try it.
"""

from collections.abc import Callable

from neuroflip.circuit import Circuit
from neuroflip.circuits import counters, flip_flops, gates, registers, state_machines
from neuroflip.circuits.autapse import autapse_latch as autapse_latch
from neuroflip.circuits.behaviour import Behaviour as Behaviour
from neuroflip.circuits.behaviour import set_reset
from neuroflip.circuits.counters import ring_counter as ring_counter
from neuroflip.circuits.counters import ripple_counter as ripple_counter
from neuroflip.circuits.delay_loop import delay_loop as delay_loop
from neuroflip.circuits.flip_flops import d_latch as d_latch
from neuroflip.circuits.flip_flops import edge_triggered_d as edge_triggered_d
from neuroflip.circuits.flip_flops import edge_triggered_jk as edge_triggered_jk
from neuroflip.circuits.flip_flops import edge_triggered_t as edge_triggered_t
from neuroflip.circuits.flip_flops import jk_flip_flop as jk_flip_flop
from neuroflip.circuits.flip_flops import t_flip_flop as t_flip_flop
from neuroflip.circuits.gates import and_gate as and_gate
from neuroflip.circuits.gates import and_not_gate as and_not_gate
from neuroflip.circuits.gates import edge_detector as edge_detector
from neuroflip.circuits.gates import majority_gate as majority_gate
from neuroflip.circuits.gates import nand_gate as nand_gate
from neuroflip.circuits.gates import nor_gate as nor_gate
from neuroflip.circuits.gates import not_gate as not_gate
from neuroflip.circuits.gates import or_gate as or_gate
from neuroflip.circuits.gates import xor_gate as xor_gate
from neuroflip.circuits.latch import can_latch as can_latch
from neuroflip.circuits.latch import firing_rate as firing_rate
from neuroflip.circuits.latch import loser_potential as loser_potential
from neuroflip.circuits.logic import level as level
from neuroflip.circuits.logic import netlist as netlist
from neuroflip.circuits.logic import spike_interval as spike_interval
from neuroflip.circuits.oscillators import cascade as cascade
from neuroflip.circuits.oscillators import ring_oscillator as ring_oscillator
from neuroflip.circuits.pools import mutual_pools as mutual_pools
from neuroflip.circuits.registers import memory as memory
from neuroflip.circuits.registers import register as register
from neuroflip.circuits.registers import shift_register as shift_register
from neuroflip.circuits.single_neuron import izhikevich_latch as izhikevich_latch
from neuroflip.circuits.single_neuron import mqif_latch as mqif_latch
from neuroflip.circuits.sr_latch import sr_latch as sr_latch
from neuroflip.circuits.state_machines import state_machine as state_machine
from neuroflip.circuits.wang_pools import wang_pools as wang_pools

CIRCUITS: dict[str, Callable[..., Circuit]] = {
    build.__name__: build
    for build in (
        sr_latch,
        autapse_latch,
        delay_loop,
        mutual_pools,
        wang_pools,
        mqif_latch,
        izhikevich_latch,
        not_gate,
        and_not_gate,
        or_gate,
        nor_gate,
        and_gate,
        nand_gate,
        xor_gate,
        majority_gate,
        edge_detector,
        d_latch,
        jk_flip_flop,
        t_flip_flop,
        edge_triggered_d,
        edge_triggered_jk,
        edge_triggered_t,
        ring_oscillator,
        cascade,
        register,
        shift_register,
        memory,
        ripple_counter,
        ring_counter,
        state_machine,
    )
}
"""The circuits by name, for the command line."""

BEHAVIOURS: dict[str, Callable[[Circuit], Behaviour]] = {
    **dict.fromkeys(
        (
            "sr_latch",
            "autapse_latch",
            "delay_loop",
            "mutual_pools",
            "wang_pools",
            "mqif_latch",
            "izhikevich_latch",
        ),
        lambda circuit: set_reset(),
    ),
    **gates.BEHAVIOURS,
    **flip_flops.BEHAVIOURS,
    **registers.BEHAVIOURS,
    **counters.BEHAVIOURS,
    **state_machines.BEHAVIOURS,
}
"""What circuits should do, by the circuit's name: a function of the circuit."""
