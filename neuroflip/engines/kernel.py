"""Text of the compiled time loop, generated from the neurons and rules of a circuit.

The text depends on the neuron models and rule classes alone, not on sizes or parameters, so
circuits made of the same parts share one compiled kernel. One step, in order:

    rules that change continuously are advanced; inputs send; every group updates its state and
    sends the spikes that cross threshold; a part of a network hears those of the others;
    static synapses, then plastic ones, take the spikes that arrive, each side in the rule's turn;
    what has reached the somas is added to the state; neurons that fired are reset.

A kernel runs a batch of trials side by side: neuron i of trial b is element i*batch + b of every
array of its group. Neurons of equal parameters are one segment, so that its loop reads constants
once and the processor's vector units do the rest; the loop after it looks for spikes.

The list of spikes, with the position where each step from `oldest` on begins, is at once the
result and the delay line: spikes that arrive after d steps are read from d steps back. A call
takes the steps start to stop - 1; its inputs and the rows of its samples count from step base.
Between calls the caller takes out what is older than the longest delay. Synapses are stored by
delay, then source ("bucket"), so that each is one contiguous run in memory.

A rule's variable that depends on one side alone is kept once for all synapses of that side which
share a delay and a rule object (an "owner"): presynaptic traces by bucket and source, postsynaptic
ones by bucket and neuron. What decays is kept as it was at its last spike; how much has decayed
since then is looked up in a table, by the number of steps.

Where a rule allows it (`deferred`), postsynaptic spikes are written down, by owner, and a synapse
catches up with them when its next presynaptic spike arrives, so that weights are visited in the
order in which they lie in memory. All synapses catch up when the list of an owner is full, before
weights are recorded, and at the end.
"""

import functools
import inspect
from collections.abc import Iterable, Sequence

from neuroflip import equations as eq
from neuroflip.engines.machine_code import Source
from neuroflip.neurons import INJECTED, NOT_REFRACTORY, NeuronModel
from neuroflip.noise import GOLDEN, MIX_1, MIX_2, gaussians
from neuroflip.rules.rule import RuleModel

_PREAMBLE = '''\
import functools
from math import exp, expm1, inf, log, sqrt, tanh

import numba
import numpy as np
from numpy import uint64

njit = functools.partial(
    numba.njit, error_model="numpy", _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True
)


@njit
def clip(x, low, high):
    x = low if x < low else x
    return high if x > high else x


@njit
def exprel(x):
    return 1.0 if abs(x) < 1e-300 else expm1(x) / x


@njit
def power(x, y):
    """Without a call for the exponents that rules have most."""
    return 1.0 if y == 0.0 else x if y == 1.0 else x * x if y == 2.0 else x**y


@njit
def decay(table, row, steps, dt, tau):
    kept = steps < table.shape[1]
    return table[uint64(row), uint64(steps)] if kept else exp(-steps * dt / tau)

'''


# In two loops without calls, of one width of numbers each, so that both become vector instructions
_NOISE = f'''
from typing import Any


@njit
def fill(key, pair, noise):
    """The samples of steps 2*pair and 2*pair + 1, as the bits of single precision."""
    add = uint64(pair + 1) * uint64({hex(GOLDEN)})
    for j in range(key.size):
        z = key[j] + add
        z = (z ^ (z >> uint64(30))) * uint64({hex(MIX_1)})
        z = (z ^ (z >> uint64(27))) * uint64({hex(MIX_2)})
        z ^= z >> uint64(31)
        noise[0, j] = np.uint32(z >> uint64(32))
        noise[1, j] = np.uint32(z)
    for j in range(key.size):
        even, odd = gaussians(noise[0, j], noise[1, j])
        noise[0, j] = np.float32(even).view(np.uint32)
        noise[1, j] = np.float32(odd).view(np.uint32)


@functools.partial(njit, forceinline=True)
{inspect.getsource(gaussians)}
'''

_MEET = '''

@njit
def meet(arrived, all):
    """Wait until so many have arrived, at this meeting and those before."""
    spins = 0
    arrive(arrived)
    while arrivals(arrived) < all:
        spins += 1
        if spins > 2000:
            give_way()
'''

_ARGUMENTS = (
    "base", "start", "stop", "end", "dt", "every", "batch",
    "spikes", "trials", "first_spike", "oldest", "first_input", "input_spikes", "input_trials",
    "wave", "memory", "pending", "closest", "distance", "signal",
    "noise_key", "noise_amplitude", "noise", "mine", "board", "arrived",
)  # fmt: skip

RuleKey = tuple[RuleModel, int | None]
"""A rule, and the group of its postsynaptic neurons where it reads their variables."""


def group_arguments(g: int, model: NeuronModel) -> list[str]:
    """Names of the arguments that group g adds to the kernel, in order."""
    names = [f"g{g}_{name}" for name in (
        "offset", "state", "constants", "first", "kind", "segment", "cell", "refractory", "free",
        "injected", "channel", "slots", "record", "trace",
    )]  # fmt: skip
    for j in range(len(model.receptors)):
        names += [f"g{g}_s{j}_{name}" for name in ("delay", "first", "target", "weight")]
    return names


def rule_arguments(r: int) -> list[str]:
    """Names of the arguments that plastic list r adds to the kernel, in order."""
    return [f"r{r}_{name}" for name in (
        "parameters", "decay", "table", "row", "weight", "state", "last",
        "pre_trace", "pre_last", "met", "post_trace", "post_last",
        "events", "event_step", "event_trace", "full",
        "owner", "target", "slot", "dendritic", "member", "instance", "column",
        "pre_delay", "pre_instance", "pre_first",
        "post_delay", "post_instance", "post_first", "post_synapse", "post_source",
        "record", "trace",
    )]  # fmt: skip


@functools.cache
def kernel_source(
    groups: tuple[NeuronModel, ...],
    rules: tuple[RuleKey, ...],
    currents: bool = False,
    noise: bool = False,
    parts: bool = False,
) -> Source:
    """The kernel for groups and plastic lists of these classes.

    currents, noise: whether any neuron is given some. parts: whether it advances one of several
    parts of a network, which a thread each advances at the same time.
    """
    arguments = [*_ARGUMENTS]
    for g, model in enumerate(groups):
        arguments += group_arguments(g, model)
    for r in range(len(rules)):
        arguments += rule_arguments(r)
    later = "".join(_catch_up(r, rule) for r, (rule, _) in enumerate(rules) if deferred(rule))
    lines: list[str] = []
    add = lines.append
    add("    depth = pending.shape[0]")
    for g, model in enumerate(groups):
        add(f"    g{g}_end = 0")
        for j in range(len(model.variables)):
            add(f"    g{g}_x{j} = g{g}_state[{j}]")
    for r, (rule, _) in enumerate(rules):
        for side in ("pre", "post"):
            for j in range(len(variables_at(rule, side))):
                add(f"    r{r}_{side}{j} = r{r}_{side}_trace[{j}]")
        add(f"    r{r}_size = r{r}_owner.size")
        add(f"    r{r}_pre_size = r{r}_pre_delay.size * (r{r}_pre_first.shape[1] - 1)")
        add(f"    r{r}_post_size = r{r}_member.size")
    add("    bound, stale = -inf, True")
    add("    first_row = (base + every - 1) // every")
    add("    room = 0")
    for g in range(len(groups)):
        add(f"    g{g}_before = room")
        add(f"    room += g{g}_segment.size * batch")
    if parts:
        add("    room = board.shape[2]")
    add("    for k in range(start, stop + 1):")
    for r, (rule, _) in enumerate(rules):
        if deferred(rule):
            lines += _catch_all_up(r)
    add("        if k == stop:")
    add("            return stop")
    add("        place, given = k - oldest, k - base")
    add("        position = first_spike[place]")
    add("        inputs = range(first_input[given], first_input[given + 1])")
    add("        if position + len(inputs) + room > spikes.size:")
    add("            return k  # the caller makes room and calls again")
    for kind, items in (("g", groups), ("r", rules)):
        for n in range(len(items)):
            add("        if k % every == 0:")
            add(f"            for j in range({kind}{n}_record.shape[0]):")
            source = "g{0}_state[g{0}_record[j, 0], g{0}_record[j, 1]]" if kind == "g" else (
                "r{0}_weight[r{0}_record[j]]"
            )  # fmt: skip
            add(f"                {kind}{n}_trace[k // every - first_row, j] = {source.format(n)}")
    add("        if stale:")
    add("            bound = inf")
    add("            for b in range(closest.size):")
    add("                bound = min(bound, -closest[b])")
    add("            stale = False")
    add("        now = k % depth")
    add("        step = float(k)")
    if any(rule.signals for rule, _ in rules):
        add("        moment = k % signal.shape[0]")
    if noise:
        add("        if k % 2 == 0 or k == start:")
        add("            fill(noise_key, k // 2, noise)")
    add("        for q in inputs:")
    add("            spikes[position] = input_spikes[q]")
    add("            trials[position] = input_trials[q]")
    add("            position += 1")
    for r, key in enumerate(rules):
        if key[0].continuous:
            lines += _flow(r, key, groups)
    for g, model in enumerate(groups):
        lines += _update(g, model, currents, noise)
    if parts:
        lines += _hear(len(groups))
    add("        first_spike[place + 1] = position")
    for g, model in enumerate(groups):
        lines += _static(g, model, rules)
    for turn in (0, 1):
        for r, key in enumerate(rules):
            side = key[0].sides[turn]
            if side == "pre" or key[0].on_post:
                lines += _plastic(r, key, side, groups)
    for g, model in enumerate(groups):
        lines += _receive(g, model, rules)
        lines += _reset(g, model)
    add("    return stop")
    return Source(
        _PREAMBLE + (_NOISE if noise else "") + (_MEET if parts else "") + later,
        tuple(arguments),
        "\n".join(lines) + "\n",
    )


def variables_at(rule: RuleModel, level: str) -> list[str]:
    """The variables of a rule that the kernel keeps once a "pre" or "post" owner, or a "synapse".

    What changes in every step is kept by synapse.
    """
    if rule.continuous:
        return list(rule.variables) if level == "synapse" else []
    return [v for v in rule.variables if rule.level[v] == level]


def deferred(rule: RuleModel) -> bool:
    """Whether synapses catch up with postsynaptic spikes later.

    They can where on_post reads nothing that is gone by then.
    """
    read = _read(rule.on_post)
    gone = {*rule.signals, *(f"{v}_post" for v in rule.reads)}
    return bool(rule.on_post) and not rule.continuous and not read & gone


def noted(rule: RuleModel) -> list[str]:
    """The postsynaptic variables whose values are written down with a deferred spike."""
    post = variables_at(rule, "post")
    foreign = _read(a for a in rule.on_post if a.target not in post)
    return post if foreign & set(post) else []


def waits(g: int, model: NeuronModel, variable: str, rules: Sequence[RuleKey]) -> bool:
    """Whether what arrives waits until all synapses have been served, before it is added.

    It must where a refractory neuron refuses it, and where a rule reads what it is added to.
    """
    read = any(group == g and variable in rule.reads for rule, group in rules)
    return read or variable in model.held


def _read(block: Iterable[eq.Assignment]) -> frozenset[str]:
    return frozenset().union(*(a.value.names for a in block))


def _own(name: str) -> str:
    """A name of a neuron or rule in the kernel, whose own names never end so."""
    return f"{name}_"


def _text(expression: eq.Expression) -> str:
    return eq.emit(expression, "scalar", {name: _own(name) for name in expression.names})


def _update(g: int, model: NeuronModel, currents: bool, noise: bool) -> list[str]:
    deep = " " * 12
    lines = []
    if currents:
        lines += [
            "        row = k % wave.shape[0]",
            f"        for i in range(g{g}_injected.size):",
            f"{deep}g{g}_injected[i] = wave[row, g{g}_channel[i]]",
        ]
    lines += [
        f"        g{g}_begin = position",
        f"        for block in range(g{g}_kind.size):",
        f"{deep}p = g{g}_kind[block]",
    ]
    lines += [
        f"{deep}{_own(c)} = g{g}_constants[p, {j}]" for j, c in enumerate(model.needed_constants())
    ]
    lines += f"""\
            close = 0
            origin = uint64(g{g}_first[block])  # signed, each index would be tested for its sign
            for i in range(origin, uint64(g{g}_first[block + 1])):""".splitlines()
    inner = [f"{_own(v)} = g{g}_x{j}[i]" for j, v in enumerate(model.variables)]
    inner.append(f"{_own(INJECTED)} = " + (f"g{g}_injected[i]" if currents else "0.0"))
    if noise:
        inner.append(f"j = uint64(g{g}_before) + i")
        inner.append("sample = np.float64(np.uint32(noise[k & 1, j]).view(np.float32))")
        inner.append(f"{_own(INJECTED)} += noise_amplitude[j] * sample")
    inner.append(f"active = step >= g{g}_free[i]")
    if any(NOT_REFRACTORY in a.value.names for a in model.update):
        inner.append(f"{_own(NOT_REFRACTORY)} = 1.0 if active else 0.0")
    for a in model.update:
        value = _text(a.value)
        if a.target in model.held:
            value = f"({value}) if active else {_own(a.target)}"
        inner.append(f"{_own(a.target)} = {value}")
    inner += [f"g{g}_x{j}[i] = {_own(v)}" for j, v in enumerate(model.variables)]
    inner += [
        f"gap = ({_text(model.margin)}) if active else -inf",
        "distance[i - origin] = gap",
        "close += 1 if gap > bound else 0",
    ]
    lines += [f"{' ' * 16}{line}" for line in inner]
    lines += f"""\
            if close == 0:
                continue
            size = g{g}_first[block + 1] - g{g}_first[block]
            for i in range(size, -(-size // 16) * 16):
                distance[i] = -inf
            for part in range(0, size, 16):
                close = 0
                for i in range(part, part + 16):
                    close += 1 if distance[i] > bound else 0
                if close == 0:
                    continue
                for i in range(part, part + 16):
                    gap = distance[i]
                    if gap > bound:
                        n, b = divmod(g{g}_first[block] + i, batch)
                        whose = g{g}_cell[n] * batch + b
                        if gap > -closest[whose]:
                            stale = stale or abs(gap) < closest[whose]
                            closest[whose] = min(closest[whose], abs(gap))
                        if gap > 0:
                            g{g}_free[g{g}_first[block] + i] = step + g{g}_refractory[p]
                            spikes[position] = g{g}_offset + n
                            trials[position] = b
                            position += 1
        g{g}_end = position""".splitlines()
    return lines


def _hear(groups: int) -> list[str]:
    """The spikes of all parts in place of those of this one, in the order of a network in one.

    A part puts up how many of each group it has, and then these. There are two boards, used in
    turn: one is written to again when all have met at the other, and so have read it.
    """
    lines = f"""\
        side = k & 1
        for q in range(g0_begin, position):
            board[side, mine, {groups} + q - g0_begin] = spikes[q]""".splitlines()
    lines += [f"        board[side, mine, {g}] = g{g}_end - g{g}_begin" for g in range(groups)]
    lines += [
        "        meet(arrived, (k + 1) * board.shape[1])",
        "        position = g0_begin",
    ]
    for g in range(groups):
        before = "".join(f" + board[side, p, {h}]" for h in range(g))
        lines += f"""\
        for p in range(board.shape[1]):
            if p == mine:
                g{g}_begin, g{g}_end = position, position + board[side, p, {g}]
            first = {groups}{before}
            for q in range(first, first + board[side, p, {g}]):
                spikes[position] = board[side, p, q]
                trials[position] = 0
                position += 1""".splitlines()
    return lines


def _static(g: int, model: NeuronModel, rules: Sequence[RuleKey]) -> list[str]:
    lines = []
    for j, variable in enumerate(model.receptors.values()):
        s = f"g{g}_s{j}"
        if waits(g, model, variable, rules):
            target = f"pending[now, uint64(g{g}_slots[{j}] * batch) + at]"
        else:
            row = model.variables.index(variable)
            target = f"g{g}_x{row}[at]"
        lines += f"""\
        for b in range({s}_delay.size):
            then = place - {s}_delay[b]
            if then >= 0:
                for q in range(first_spike[then], first_spike[then + 1]):
                    source = spikes[q]
                    first, after = {s}_first[b, source], {s}_first[b, source + 1]
                    for s in range(uint64(first), uint64(after)):
                        at = uint64({s}_target[s]) * uint64(batch) + uint64(trials[q])
                        {target} += {s}_weight[s]""".splitlines()
    return lines


def _outside(
    r: int, key: RuleKey, read: frozenset[str], groups: Sequence[NeuronModel]
) -> list[str]:
    """What a synapse of owner m reads that is not its own: time, third factors, neuron's state."""
    rule, group = key
    p = f"r{r}_"
    lines = [f"{_own('t')} = k * dt"] if "t" in read else []
    for j, name in enumerate(rule.signals):
        if name in read:
            column = f"{p}column[{j}, trial * {p}post_size + np.int64(m)]"
            lines.append(f"{_own(name)} = signal[moment, {column}]")
    for variable in rule.reads:
        if f"{variable}_post" in read and group is not None:
            row = groups[group].variables.index(variable)
            source = f"g{group}_x{row}[{p}member[m] * batch + trial]"
            lines.append(f"{_own(f'{variable}_post')} = {source}")
    return lines


def _flow(r: int, key: RuleKey, groups: Sequence[NeuronModel]) -> list[str]:
    """One step of a rule's differential equations, all from the values at its start."""
    rule = key[0]
    p = f"r{r}_"
    deep = " " * 16
    read = frozenset().union(*(d.value.names for d in rule.flows))
    lines = f"""\
        for trial in range(batch):
            for s in range({p}size):
                a = trial * {p}size + s
                m = {p}owner[s]
                n = {p}instance[m]""".splitlines()
    for j, name in enumerate(parameter_names(rule)):
        if name in read or (rule.bounded and name in ("w_min", "w_max")):
            lines.append(f"{deep}{_own(name)} = {p}parameters[n, {j}]")
    lines.append(f"{deep}w_ = {p}weight[a]")
    lines += [f"{deep}{_own(v)} = {p}state[a, {j}]" for j, v in enumerate(rule.variables)]
    lines += [f"{deep}{line}" for line in _outside(r, key, read, groups)]
    lines += [f"{deep}new_{d.variable} = {_own(d.variable)} + dt * {_text(d.value)}"
              for d in rule.flows]  # fmt: skip
    for j, v in enumerate(rule.variables):
        if v in rule.decay:
            lines.append(f"{deep}{p}state[a, {j}] = {_own(v)} * {p}decay[n, {j}]")
        elif any(d.variable == v for d in rule.flows):
            lines.append(f"{deep}{p}state[a, {j}] = new_{v}")
    if any(d.variable == "w" for d in rule.flows):
        new = "clip(new_w, w_min_, w_max_)" if rule.bounded else "new_w"
        lines.append(f"{deep}{p}weight[a] = {new}")
    return lines


def _parameters(r: int, rule: RuleModel, names: Iterable[str]) -> list[str]:
    """The parameters of rule object n, and the rows of its decaying variables in the table."""
    wanted = {*names, *rule.decay.values()}
    lines = [
        f"{_own(name)} = r{r}_parameters[n, {j}]"
        for j, name in enumerate(parameter_names(rule))
        if name in wanted
    ]
    if not rule.continuous:
        for j, v in enumerate(rule.variables):
            if v in rule.decay:
                lines.append(f"row_{v} = r{r}_row[n, {j}]")
    return lines


def _decayed(r: int, rule: RuleModel, v: str) -> str:
    return f"decay(r{r}_table, row_{v}, steps, dt, {_own(rule.decay[v])})"


def _load(
    r: int, rule: RuleModel, side: str, owner: str, seen: Iterable[str], to: str
) -> list[str]:
    """Those of an owner's variables that are seen, as they are in step k: to.format(name)."""
    names = variables_at(rule, side)
    lines = []
    if any(v in rule.decay and v in seen for v in names):
        lines.append(f"steps = k - r{r}_{side}_last[{owner}]")
    for j, v in enumerate(names):
        if v in seen:
            faded = f" * {_decayed(r, rule, v)}" if v in rule.decay else ""
            lines.append(f"{to.format(v)} = r{r}_{side}{j}[{owner}]{faded}")
    return lines


def _load_synapse(r: int, rule: RuleModel) -> list[str]:
    """Weight and own variables of synapse a, as they were when they last changed."""
    own = variables_at(rule, "synapse")
    return [f"w_ = r{r}_weight[a]", *(f"{_own(v)} = r{r}_state[a, {j}]" for j, v in enumerate(own))]


def _advance_synapse(r: int, rule: RuleModel) -> list[str]:
    """What a synapse keeps of its own decays up to step k."""
    lazy = [v for v in variables_at(rule, "synapse") if v in rule.decay and not rule.continuous]
    if not lazy:
        return []
    return [
        f"steps = k - r{r}_last[a]",
        "if steps > 0:",
        *(f"    {_own(v)} *= {_decayed(r, rule, v)}" for v in lazy),
        f"    r{r}_last[a] = k",
    ]


def _store_synapse(r: int, rule: RuleModel, written: Iterable[str]) -> list[str]:
    lines = [
        f"r{r}_state[a, {j}] = {_own(v)}"
        for j, v in enumerate(variables_at(rule, "synapse"))
        if v in written or (v in rule.decay and not rule.continuous)
    ]
    return [*lines, f"r{r}_weight[a] = w_"] if "w" in written else lines


_CATCH_UP = (
    "parameters", "row", "table", "weight", "state", "last",
    "pre_trace", "pre_last", "event_step", "event_trace", "events", "met",
)  # fmt: skip
"""The arguments of list r that its function catch_up takes."""


def _catch_up(r: int, rule: RuleModel) -> str:
    """The function by which synapse a meets the spikes that its owner wrote down since it last
    did."""
    p = f"r{r}_"
    kept = noted(rule)
    block = [a for a in rule.on_post if kept or a.target not in variables_at(rule, "post")]
    names = ", ".join(f"{p}{name}" for name in _CATCH_UP)
    lines = ["", "", "@functools.partial(njit, forceinline=True)"]
    lines += [f"def {p}catch_up(a, owner, other, n, dt, {names}):"]
    lines += [f"    {line}" for line in _parameters(r, rule, _read(block))]
    lines += [f"    {p}pre{j} = {p}pre_trace[{j}]" for j in range(len(variables_at(rule, "pre")))]
    lines += [f"    {line}" for line in _load_synapse(r, rule)]
    lines += [
        f"    for z in range({p}met[a], {p}events[other]):",
        f"        k = {p}event_step[other, uint64(z)]",
    ]
    inner = _load(r, rule, "pre", "owner", _read(block), "{}_")
    inner += [f"{_own(v)} = {p}event_trace[{j}, other, z]" for j, v in enumerate(kept)]
    inner += _advance_synapse(r, rule)
    if "t" in _read(block):
        inner.append(f"{_own('t')} = k * dt")
    inner += [f"{_own(a.target)} = {_text(a.value)}" for a in block]
    lines += [f"        {line}" for line in inner]
    lines += [f"    {line}" for line in _store_synapse(r, rule, {a.target for a in block})]
    lines.append(f"    {p}met[a] = {p}events[other]")
    return "\n".join(lines) + "\n"


def _call_catch_up(r: int) -> list[str]:
    p = f"r{r}_"
    names = ", ".join(f"{p}{name}" for name in _CATCH_UP)
    return [
        f"if {p}met[a] < {p}events[other]:",
        f"    {p}catch_up(a, owner, other, n, dt, {names})",
    ]


def _catch_all_up(r: int) -> list[str]:
    p = f"r{r}_"
    lines = f"""\
        if k == end or {p}full[0] or (k % every == 0 and {p}record.size > 0):
            for b in range({p}pre_delay.size):
                n = {p}pre_instance[b]
                for trial in range(batch):
                    for source in range({p}pre_first.shape[1] - 1):
                        owner = trial * {p}pre_size + b * ({p}pre_first.shape[1] - 1) + source
                        first = uint64({p}pre_first[b, source])
                        for s in range(first, uint64({p}pre_first[b, source + 1])):
                            m = uint64({p}owner[s])
                            a = uint64(trial * {p}size) + s
                            other = uint64(trial * {p}post_size) + m""".splitlines()
    lines += [f"{' ' * 28}{line}" for line in _call_catch_up(r)]
    return [
        *lines,
        f"{' ' * 12}{p}events[:] = 0",
        f"{' ' * 12}{p}met[:] = 0",
        f"{' ' * 12}{p}full[0] = False",
    ]


def _plastic(r: int, key: RuleKey, side: str, groups: Sequence[NeuronModel]) -> list[str]:
    rule = key[0]
    p = f"r{r}_"
    later = deferred(rule)
    block = rule.on_pre if side == "pre" else rule.on_post
    read = _read(block) | (rule.transmit.names if side == "pre" else frozenset())
    written = {a.target for a in block}
    mine = variables_at(rule, side)
    seen = read | written
    deep, deeper = " " * 20, " " * 24
    lines = f"""\
        for b in range({p}{side}_delay.size):
            then = place - {p}{side}_delay[b]
            if then >= 0 and first_spike[then] < first_spike[then + 1]:""".splitlines()
    inner = [f"n = {p}{side}_instance[b]", *_parameters(r, rule, read)]
    lines += [f"{' ' * 16}{line}" for line in inner]
    lines += f"""\
                for q in range(first_spike[then], first_spike[then + 1]):
                    source = spikes[q]
                    trial = trials[q]
                    if source >= {p}{side}_first.shape[1] - 1:
                        continue  # an input
                    first = {p}{side}_first[b, source]
                    after = {p}{side}_first[b, source + 1]
                    if first == after:
                        continue
                    m = b * ({p}{side}_first.shape[1] - 1) + source
                    owner = trial * {p}{side}_size + m""".splitlines()
    if side == "post" and later:
        return lines + [f"{deep}{line}" for line in _note(r, rule)]
    lines += [f"{deep}{line}" for line in _load(r, rule, side, "owner", seen, "begin_{}")]
    if side == "pre":
        lines.append(f"{deep}for s in range(uint64(first), uint64(after)):")
        inner = [f"m = uint64({p}owner[s])", f"other = uint64(trial * {p}post_size) + m"]
    else:
        lines.append(f"{deep}for z in range(uint64(first), uint64(after)):")
        inner = [
            f"s = uint64({p}post_synapse[z])",
            f"other = uint64(trial * {p}pre_size) + uint64({p}post_source[z])",
        ]
    inner.append(f"a = uint64(trial * {p}size) + s")
    if side == "pre" and later:
        inner += _call_catch_up(r)
    inner += _load_synapse(r, rule)
    inner += [f"{_own(v)} = begin_{v}" for v in mine if v in seen]
    inner += _load(r, rule, "post" if side == "pre" else "pre", "other", seen, "{}_")
    inner += _advance_synapse(r, rule)
    inner += _outside(r, key, read, groups)
    if side == "pre":  # what the spike passes on, now or after the dendritic delay
        inner += f"""\
sent = {_text(rule.transmit)}
if {p}target[m] >= 0:
    memory[{p}target[m] * batch + trial] += sent
else:
    row = (k + {p}dendritic[m]) % depth
    pending[row, {p}slot[m] * batch + trial] += sent""".splitlines()
    inner += [f"{_own(a.target)} = {_text(a.value)}" for a in block]
    inner += _store_synapse(r, rule, written)
    lines += [f"{deeper}{line}" for line in inner]
    return lines + [f"{deep}{line}" for line in _store(r, rule, side, seen)]


def _store(r: int, rule: RuleModel, side: str, seen: Iterable[str]) -> list[str]:
    """The variables of an owner, after its spike in step k."""
    here = [(j, v) for j, v in enumerate(variables_at(rule, side)) if v in seen]
    lines = [f"r{r}_{side}{j}[owner] = {_own(v)}" for j, v in here]
    return [*lines, f"r{r}_{side}_last[owner] = k"] if here else []


def _note(r: int, rule: RuleModel) -> list[str]:
    """A postsynaptic spike is written down, and the owner's own variables are brought up to it."""
    p = f"r{r}_"
    post = variables_at(rule, "post")
    block = [a for a in rule.on_post if a.target in post]
    seen = {*post} if noted(rule) else {*_read(block), *(a.target for a in block)}
    lines = _load(r, rule, "post", "owner", seen, "{}_")
    lines += [f"{p}event_trace[{j}, owner, {p}events[owner]] = {_own(v)}"
              for j, v in enumerate(noted(rule))]  # fmt: skip
    lines += [
        f"{p}event_step[owner, {p}events[owner]] = k",
        f"{p}events[owner] += 1",
        f"if {p}events[owner] == {p}event_step.shape[1]:",
        f"    {p}full[0] = True",
    ]
    if "t" in _read(block):
        lines.append(f"{_own('t')} = k * dt")
    lines += [f"{_own(a.target)} = {_text(a.value)}" for a in block]
    return [*lines, *_store(r, rule, "post", seen), f"{p}post_last[owner] = k"]


def _receive(g: int, model: NeuronModel, rules: Sequence[RuleKey]) -> list[str]:
    lines = []
    deep = " " * 12
    for j, variable in enumerate(model.receptors.values()):
        slot = f"pending[now, g{g}_slots[{j}] * batch + i]"
        add = f"g{g}_x{model.variables.index(variable)}[i] += {slot}"
        indent = deep
        if waits(g, model, variable, rules):
            lines.append(f"        for i in range(g{g}_free.size):")
        else:
            lines.append("        if depth > 1:")
            lines.append(f"{deep}for i in range(g{g}_free.size):")
            indent += "    "
        if variable in model.held:
            lines.append(f"{indent}if step >= g{g}_free[i]:")
            lines.append(f"{indent}    {add}")
        else:
            lines.append(f"{indent}{add}")
        lines.append(f"{indent}{slot} = 0.0")
    return lines


def _reset(g: int, model: NeuronModel) -> list[str]:
    deep = " " * 12
    lines = [
        f"        for q in range(g{g}_begin, g{g}_end):",
        f"{deep}i = spikes[q] - g{g}_offset",
        f"{deep}p = g{g}_segment[i]",
        f"{deep}i = i * batch + trials[q]",
    ]
    read = frozenset().union(*(a.value.names for a in model.reset))
    lines += [f"{deep}{_own(v)} = g{g}_x{j}[i]" for j, v in enumerate(model.variables) if v in read]
    lines += [
        f"{deep}{_own(c)} = g{g}_constants[p, {j}]"
        for j, c in enumerate(model.needed_constants())
        if c in read
    ]
    for a in model.reset:
        lines.append(f"{deep}{_own(a.target)} = {_text(a.value)}")
        lines.append(f"{deep}g{g}_x{model.variables.index(a.target)}[i] = {_own(a.target)}")
    return lines


def parameter_names(rule: RuleModel) -> tuple[str, ...]:
    """The parameters that a rule's equations read, in the order of the kernel's table."""
    expressions = [a.value for a in (*rule.on_pre, *rule.on_post)] + [d.value for d in rule.flows]
    read = frozenset().union(rule.transmit.names, *(e.names for e in expressions))
    bounds = {"w_min", "w_max"} if rule.bounded else set()
    return tuple(sorted((read | set(rule.decay.values()) | bounds) & set(rule.parameters)))
