"""docs/paper.md: every item of the founding paper, what it says, what its stored numbers say, what
ours say, and a verdict. Numbers of the page are computed from the stored tables.

    python -m neuroflip.sims.paper.report > docs/paper.md

`items` has the words, the other files named report_ the numbers.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from neuroflip.sims.paper import report_claims as claims
from neuroflip.sims.paper import report_experiments as experiments
from neuroflip.sims.paper import report_inside as inside
from neuroflip.sims.paper import report_mechanism as mechanism
from neuroflip.sims.paper import report_plasticity as plasticity
from neuroflip.sims.paper.experiments import RESULTS
from neuroflip.sims.paper.items import FAILS, HOLDS, ITEMS, NEVER, NOT_RUN, Item
from neuroflip.sims.paper.report_tables import ENOUGH, Found, Tables, grid

_SYSTEMS = (experiments.s2, experiments.s3, experiments.s4, plasticity.s11)
_EXPERIMENTS = (
    experiments.e1, experiments.e2, experiments.e3, experiments.e4, experiments.e5, experiments.e6,
    plasticity.e7, inside.e8, inside.e9, inside.e10, inside.e11, inside.e12, inside.e13,
    experiments.e14, experiments.e15, experiments.e16,
)  # fmt: skip
_CLAIMS = (
    claims.c1, claims.c2, claims.c3, claims.c4, claims.c5, claims.c6, claims.c7, claims.c8,
    claims.c9, plasticity.c10, plasticity.c11, plasticity.c12, inside.c13, inside.c14, inside.c15,
    inside.c16, inside.c17, claims.c19, claims.c20,
)  # fmt: skip
_WORK = (mechanism.w1, mechanism.w2, plasticity.w3, plasticity.w5, plasticity.w6)
COMPUTED: Mapping[str, Callable[[Tables], Found]] = {
    f.__name__.upper(): f for f in _SYSTEMS + _EXPERIMENTS + _CLAIMS + _WORK
}
"""By item, what computes its numbers."""

HEAD = f"""# The founding paper, item by item

Bhat & Kayathwal, *Flip Flops in Neural Models*: what it says, what its authors' stored results say
(one seed each), what ours say, and a verdict. This page is written by

    python -m neuroflip.sims.paper.report > docs/paper.md

from `sims/paper/published.json` and `sims/paper/results/`; every result in it is computed from
these, or counted in the models. After a command below has been run, run it again.

- **{HOLDS}**, **{FAILS}**: by our numbers, mean ± standard deviation, {ENOUGH} seeds or more, or by
  the tests named.
- **{NEVER}**: neither the authors' experiments nor ours, on their data, can tell.
- **{NOT_RUN}**: the command is there and its results are not. *Partial* says what is: fewer seeds,
  some of the experiments, or other data. Nothing on stand-in data counts as a reproduction.

p is two-sided, of the exact sign-flip test over paired seeds, and d the effect in standard
deviations of the paired differences. Significant is p < 0.01 and, where there are too few seeds for
that, the least p that they allow: 0.0625 with five.
"""


_FIGURES = {
    1: "E1", 2: "E2", 3: "E3", 4: "E3", 5: "E4", 6: "E5", 7: "E6", 8: "E7", 9: "E8", 10: "E9",
    11: "E10", 12: "E11", 13: "E12",
}  # fmt: skip
"""By number of the paper's figures: the item whose numbers it shows."""


def _figures() -> str:
    titles = {item.number: item.title for item in ITEMS}
    rows = [
        [f"{number}", f"[{item}](#{item.lower()})", titles[item], f"`neuroflip fig {number}`"]
        for number, item in _FIGURES.items()
    ]
    return (
        "Every figure of the paper is drawn anew, by a command that writes a picture and a JSON of "
        "every number in it, from the stored tables where they are whole. `neuroflip fig all` "
        "took 8.5 minutes of one core, most of them to train the nets of figures 9 to 13; with "
        "`--quick` all are drawn anew, with few epochs and seeds:"
        + grid(["figure", "item", "", "command"], rows)
    )


def found(item: Item, tables: Tables) -> Found:
    """All that is said of an item."""
    computed = COMPUTED[item.number](tables) if item.number in COMPUTED else Found()
    return Found(
        computed.theirs or item.theirs,
        computed.ours or item.ours,
        computed.verdict or item.verdict,
    )


def page(tables: Tables | None = None) -> str:
    """The page, in Markdown."""
    tables = tables or Tables()
    entries = {item: found(item, tables) for item in ITEMS}
    lines = [HEAD, grid(["item", "", "verdict"], [
        [f"[{i.number}](#{i.number.lower()})", i.title, each.verdict]
        for i, each in entries.items()
    ]), _figures()]  # fmt: skip
    for item, each in entries.items():
        lines += [
            f'\n<a id="{item.number.lower()}"></a>\n\n## {item.number}. {item.title}\n',
            f"**The paper:** {item.says}\n",
            f"**Its stored numbers:** {each.theirs.strip()}\n",
            f"**Ours:** {each.ours.strip()}\n",
            f"**Verdict: {each.verdict}.**\n",
        ]
    text = "\n".join(lines)
    text = text.replace(":** |", ":**\n\n|").replace(" +- ", " ± ")
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def main(given: Sequence[str] | None = None) -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description="Write docs/paper.md from the stored tables.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of our tables")
    parser.add_argument("--out", type=Path, help="a file, instead of standard output")
    options = parser.parse_args(given)
    text = page(Tables(results=options.results))
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
