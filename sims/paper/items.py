"""The items of the founding paper: what it says of each, and what shows ours where no stored
table does. `report` adds the numbers."""

from dataclasses import dataclass

HOLDS = "holds"
FAILS = "does not hold"
NEVER = "was never tested"
NOT_RUN = "not run yet"
VERDICTS = (HOLDS, FAILS, NEVER, NOT_RUN)


@dataclass(frozen=True)
class Item:
    """One item. number: S for systems, E for experiments, C for claims, W for future work."""

    number: str
    title: str
    says: str
    """What the paper says."""
    theirs: str = "No numbers."
    """What the authors' stored results say, where nothing is computed from them."""
    ours: str = ""
    """What shows it, where nothing is computed from our tables."""
    verdict: str = ""


_STATIC = "No numbers: the paper names the system and prints no equation."

SYSTEMS = (
    Item(
        "S1",
        "Flip-flop neuron, as rates",
        "A recurrent unit with the two gates J and K of a JK flip-flop (after Kumari et al. 2023).",
        "Parameters as in S3.",
        "Truth table, bounds, derivatives, the two-state Markov chain: `tests/rate/test_cell.py`; "
        "fixed points, holding times and the pitchfork: `tests/rate/test_theory.py`. Proofs: "
        "[rate.md](rate.md). With constant gates a unit has one fixed point and no memory; memory "
        "takes closed gates or gates that see the state.",
        HOLDS,
    ),
    Item(
        "S2",
        "A fast flip-flop layer",
        "An optimised implementation is used.",
        "",
        "`nf.FlipFlop` equals the loop written step by step, forward and backward: "
        "`tests/rate/test_kernels.py`. Time beside torch's layers: `neuroflip bench rate`; beside "
        "the authors': C20.",
        HOLDS,
    ),
    Item("S3", "RNN, LSTM and GRU beside it", "The four models are trained alike."),
    Item(
        "S4",
        "Convolutional flip-flop",
        "A convolutional flip-flop net reads clips and is compared with a convolutional LSTM.",
        "Neither net of the authors' code has a recurrent layer: both are one and the same 3-D "
        "convolution (see E4).",
    ),
    Item(
        "S5",
        "Spiking flip-flops",
        "Neural flip-flops of a few spiking neurons store a bit (after Yoder).",
        _STATIC,
        "`neuroflip truth sr_latch`, and `d_latch`, `t_flip_flop`, `jk_flip_flop` and the "
        "edge-triggered ones: every row and transition, `tests/circuits/test_library.py`; ten "
        "seconds without input, `tests/circuits/test_sr_latch.py`; against membrane noise, "
        "`neuroflip retention sr_latch`, `tests/analysis/test_retention.py`; d' of the two levels, "
        "`neuroflip predictions jk_flip_flop`; the same spikes in Brian2, `neuroflip compare "
        "jk_flip_flop`. Numbers: [circuits.md](circuits.md), [analysis.md](analysis.md).",
        HOLDS,
    ),
    Item(
        "S6",
        "Logic from excitation and inhibition",
        "Single neurons with excitation and inhibition act as logic gates.",
        _STATIC,
        "NOT, AND, OR, NOR, NAND, AND-NOT, XOR: `neuroflip truth xor_gate --margins` and the like, "
        "`tests/circuits/test_library.py`, `tests/circuits/test_logic.py`. Margins: "
        "[circuits.md](circuits.md).",
        HOLDS,
    ),
    Item(
        "S7",
        "From neuron to flip-flop and back",
        "The two directions, flip-flops in neurons and neurons as flip-flops, are one perspective.",
        _STATIC,
        "One random program through the rate cell and through the spiking circuit, the bits equal "
        "at every clock step: `neuroflip twin jk_flip_flop`, `tests/analysis/test_rate_twin.py`. "
        "Agreement, and the R² of the continuous form: [rate-and-spike.md](rate-and-spike.md).",
        HOLDS,
    ),
    Item(
        "S8",
        "Memory by activity alone",
        "Neural flip-flops keep a bit by activity and not by a change of structure.",
        _STATIC,
        "`neuroflip predictions jk_flip_flop`: a bit is held, every weight the same bytes before "
        "and after, and is lost when the tonic drive is interrupted: "
        "`tests/analysis/test_predictions.py`.",
        HOLDS,
    ),
    Item(
        "S9",
        "Oscillation",
        "Neural flip-flops can oscillate.",
        _STATIC,
        "Toggling in every step, rings of inverters with the period of twice their delays, and "
        "frequencies divided by toggles, measured beside predicted: "
        "`tests/circuits/test_library.py`, [circuits.md](circuits.md). In the rate cell, period 2 "
        "at J = K = 1: `tests/rate/test_theory.py`.",
        HOLDS,
    ),
    Item(
        "S10",
        "Phenomena of short-term memory",
        "Neural flip-flops show what is known of short-term memory.",
        _STATIC,
        "Storing and retrieving; retention against noise, `neuroflip retention sr_latch`, "
        "`tests/analysis/test_retention.py`; what a distractor does, "
        "`tests/analysis/test_distractors.py`. Curves: [analysis.md](analysis.md).",
        HOLDS,
    ),
    Item("S11", "A Hebbian rule in the flip-flop net", "A Hebbian rule acts on its weights."),
    Item(
        "S12",
        "STDP in the flip-flop net",
        "A rule of spike-timing-dependent plasticity (Markram et al. 1997) acts on its weights.",
        "Their rule draws spike times at random and tests conditions that are always true: it is a "
        "constant drift of the weights (see C12).",
        "Pair rule on real spikes: `neuroflip rule PairSTDP` and `tests/rules/test_stdp.py` "
        "(closed form, hand-made trains, both time constants found again from the window), "
        "`tests/engines/test_agreement.py` (Brian2). On layers next to backprop: "
        "[rules.md](rules.md), [attach.md](attach.md).",
        HOLDS,
    ),
    Item(
        "S13",
        "A probabilistic account",
        "The gates can be read as probabilities; decisions in sequence fit the model.",
        _STATIC,
        "The cell is the one-step prediction of a two-state Markov chain, tried against the chain "
        "itself: `tests/rate/test_cell.py`, `tests/rate/test_theory.py`, "
        "[rate.md](rate.md). Trained nets beside an exact Bayes filter: C19.",
        f"{HOLDS} (the one-step identity)",
    ),
    Item(
        "S14",
        "A codebase that reproduces",
        "Fixed seeds, configurations, a folder an experiment, instructions.",
        "One seed throughout; validation on every fourth training sample; gradients clipped once, "
        "before there are any.",
        "A command an experiment (`python -m neuroflip.sims.paper.experiments NAME`), settings "
        "and versions in every table; a killed run resumes and ends bit-identical to one that was "
        "left alone, `tests/sims/paper/test_harness.py`. `--as-published` has the "
        "authors' settings.",
        HOLDS,
    ),
)

_INSIDE = "Curves and pictures only; none of the stored summary figures is of this."


def _inside(figure: int, what: str) -> str:
    return (
        "No stored table yet: `python -m neuroflip.sims.paper.inside`. "
        f"`neuroflip fig {figure}` computes {what} "
        "(`tests/sims/paper/test_figures.py` shows that it does so rightly)."
    )


EXPERIMENTS = (
    Item(
        "E1",
        "Signal generation, sinusoidal",
        "Nets draw the curve of a class they are told; on sinusoids the flip-flop net learns it.",
    ),
    Item(
        "E2",
        "Signal generation, uniform",
        "The same with curves of independent numbers, of which no model learns enough (see C4).",
    ),
    Item(
        "E3",
        "Sentiment (IMDB)",
        "The flip-flop net matches larger gated nets and beats the plain RNN.",
    ),
    Item("E4", "Action recognition (UCF11)", "The convolutional LSTM beats the convolutional FFN."),
    Item(
        "E5",
        "Memory retention with interference",
        "The loss of the flip-flop net falls steadily, that of the others jumps upwards.",
    ),
    Item("E6", "Working memory", "The flip-flop net is slower, and smoother."),
    Item(
        "E7",
        "Hebbian and STDP rules added",
        "Neither brings a gain: diminished returns.",
    ),
    Item(
        "E8",
        "Weights over the epochs",
        "Weights of J and K converge early and then hardly move.",
        _INSIDE,
        _inside(9, "how far the weights move from snapshot to snapshot, and writes the film"),
        NOT_RUN,
    ),
    Item(
        "E9",
        "Gates over the epochs",
        "Distributions of the gates show the same.",
        "Their gates were computed after training with the last state for every step, so the steps "
        "are all alike: nothing was recorded.",
        _inside(10, "the gates at every step, the share that is saturated, and how J goes with K"),
        NOT_RUN,
    ),
    Item(
        "E10",
        "Trajectories of the output",
        "Outputs of a class lie close; the flip-flop net has richer shapes on uniform curves.",
        _INSIDE,
        _inside(11, "outputs beside their targets and how their spectra match"),
        NOT_RUN,
    ),
    Item(
        "E11",
        "Average activation",
        "The activity of the flip-flop net is more distributed than that of the LSTM.",
        _INSIDE,
        _inside(12, "participation ratio and Gini index of the units' activity"),
        NOT_RUN,
    ),
    Item(
        "E12",
        "Correlation of output and target",
        "It supports that the flip-flop net is more nuanced.",
        "Theirs is not normalised.",
        _inside(13, "the normalised correlation, its peak and its lag"),
        NOT_RUN,
    ),
    Item(
        "E13",
        "Hidden states",
        "Principal components of the states; correlation of J and K; error over time.",
        _INSIDE,
        _inside(11, "the states in two components (the gates' correlation: `neuroflip fig 10`)"),
        NOT_RUN,
    ),
    Item("E14", "Robustness to noise", "The noise on the curves is varied."),
    Item("E15", "Other parameters", "Units, batch size, epochs and clipping are varied."),
    Item("E16", "Further ablations", "More of the kind of E1 to E3 are in the codebase."),
)

_FIGURE = "was looked at in pictures, never measured."

CLAIMS = (
    Item("C1", "Fewer parameters", "The flip-flop net needs fewer parameters than the gated nets."),
    Item("C2", "No consistent winner", "It does not consistently beat LSTM and GRU."),
    Item("C3", "RNN on sinusoids", "On sinusoids a plain RNN does as well, with fewer parameters."),
    Item(
        "C4",
        "Uniform curves",
        "None is satisfactory on uniform curves; the flip-flop net is less noisy.",
    ),
    Item("C5", "Sentiment", "On IMDB it matches larger nets and beats the RNN."),
    Item("C6", "Actions", "On UCF11 the convolutional LSTM beats it."),
    Item("C7", "Retention", "With interference its loss falls more steadily than the others'."),
    Item("C8", "Working memory", "It learns more slowly, and more smoothly."),
    Item(
        "C9",
        "Smooth is general",
        "Smoothness means that it generalises better and does not fit noise.",
    ),
    Item("C10", "Rules bring nothing", "Hebbian learning and STDP give no significant gain."),
    Item(
        "C11",
        "Rules for changing states",
        "Hypothesis: plasticity makes states adaptive, and reliable in noise.",
    ),
    Item(
        "C12",
        "Random spikes",
        "Hypothesis: that spike times are random, and neurons simple, is why the rules failed.",
    ),
    Item(
        "C13",
        "Weights converge fast",
        "Weights converge fast, then hardly move, and stay distinct.",
        "It " + _FIGURE,
        "See E8.",
        NOT_RUN,
    ),
    Item(
        "C14",
        "Gates confirm it",
        "The gates confirm C13.",
        "Their gates were not recorded (E9).",
        "See E9.",
        NOT_RUN,
    ),
    Item(
        "C15",
        "Filtering",
        "Both filter noise; the flip-flop net is richer on uniform curves.",
        "It " + _FIGURE,
        "See E10.",
        NOT_RUN,
    ),
    Item(
        "C16",
        "Broad activity",
        "Its activity is broad, the LSTM's in few units.",
        "It " + _FIGURE + " Of the last step only.",
        "See E11.",
        NOT_RUN,
    ),
    Item(
        "C17",
        "Nuance",
        "The correlation of output and target shows more nuance.",
        "It " + _FIGURE,
        "See E12.",
        NOT_RUN,
    ),
    Item(
        "C18",
        "Flip-flops in the brain",
        "The units resemble bistable prefrontal neurons; neurons can make flip-flops.",
        "Argued, without data.",
        "That spiking neurons can make flip-flops: S5 to S8. Whether prefrontal neurons are like "
        "them was tested neither there nor here: no recording is compared.",
        f"{HOLDS} (that neurons can make flip-flops; the likeness to prefrontal neurons {NEVER})",
    ),
    Item(
        "C19",
        "Inference",
        "The brain is probabilistic, and LSTM and flip-flop nets do probabilistic inference.",
        "Argued, without data.",
        "That a flip-flop neuron is an exact predictor of a two-state chain: S13. Trained nets: "
        "`python -m neuroflip.sims.paper.inference`.",
        NOT_RUN,
    ),
    Item(
        "C20",
        "Fast, and resists interference",
        "Cited: it trains faster than the LSTM and resists interference.",
    ),
)

WORK = (
    Item(
        "W1",
        "Mechanistic interpretability",
        "Future work: which patterns of activity do what.",
        ours="Fixed points and their stability are known in closed form for single units "
        "(`tests/rate/test_theory.py`). Trained nets: `python -m neuroflip.sims.paper.mechanism`.",
        verdict=NOT_RUN,
    ),
    Item(
        "W2",
        "Inside nets for clips",
        "Future work: spatial and temporal features.",
        ours="`python -m neuroflip.sims.paper.regions`. Shuffled frames: E4.",
        verdict=NOT_RUN,
    ),
    Item("W3", "Continual learning", "Future work: learning over long times."),
    Item(
        "W4",
        "Beyond keeping state",
        "Future work: broader tasks of cognition.",
        ours="Three bits at once, `python -m neuroflip.sims.three_bit` "
        "(`tests/sims/test_three_bit.py`); parity, `python -m neuroflip.sims.parity` "
        "(`tests/sims/test_parity.py`); a marked bit kept over many steps, "
        "`python -m neuroflip.sims.hold_init` (`tests/sims/test_hold_init.py`). Numbers: "
        "[rate.md](rate.md). Switching contexts: W6.",
        verdict=HOLDS,
    ),
    Item("W5", "Neuromodulation", "Gap: contextual, metabolic, neuromodulatory factors."),
    Item("W6", "Adaptation in real time", "Gap: rules that act while the net is used."),
)

ITEMS = SYSTEMS + EXPERIMENTS + CLAIMS + WORK
