"""The figure and the table of docs/experiments.md on how much speech: scaling.svg, the table on standard output.

    python docs/images/scaling.py

Everything comes from docs/scaling.csv, which benchmarks/scaling.py fills.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
TABLE = HERE.parent / "scaling.csv"
LISTS = {"an4": ("#0b5fa5", "o"), "speechocean": ("#b8560b", "s")}
NETWORKS = {"campplus": "CAM++", "dvector": "d-vector"}


def table(frame: pd.DataFrame) -> str:
    """Every part as a line of Markdown; the whole interval is in the CSV."""
    lines = [
        "| network | part | utterances | speakers | AN4: whitening | S | speechocean: whitening | S |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (network, group, part), rows in frame.groupby(["network", "group", "part"], sort=False):
        cells = []
        for name in LISTS:
            for enhancer in ("whitening", "linear"):
                one = rows[(rows["list"] == name) & (rows["enhancer"] == enhancer)]
                cells.append("" if one.empty else f"{100 * one['reduction'].iloc[0]:+.1f}")
        first = rows.iloc[0]
        about = f"{NETWORKS[str(network)]} | {group} {part} | {first['utterances']:,} | {first['speakers']:,}"
        lines.append(f"| {about} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(frame: pd.DataFrame) -> None:
    """Draw the reduction against the hours of speech, a panel for each network."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(7.2, 3.2), sharey=True, layout="constrained")
    for axes, (network, title) in zip(panels, NETWORKS.items(), strict=True):
        for name, (colour, mark) in LISTS.items():
            for enhancer, style in (("linear", "-"), ("whitening", "--")):
                chosen = (frame["network"] == network) & (frame["group"] == "speech") & (frame["list"] == name)
                rows = frame[chosen & (frame["enhancer"] == enhancer)].sort_values("hours")
                label = f"{name}, {'S' if enhancer == 'linear' else enhancer}"
                hollow = {"markerfacecolor": "none"} if enhancer == "whitening" else {}
                axes.plot(
                    rows["hours"], 100 * rows["reduction"], style, color=colour, marker=mark, label=label, **hollow
                )
        axes.axhline(0, color="#747d86", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
        axes.minorticks_off()
        axes.set(title=title, xlabel="hours of training speech")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mean relative reduction\nof the EER, %")
    panels[0].legend(frameon=False, fontsize="small")
    figure.savefig(HERE / "scaling.svg", metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    """Write the drawing, print the table."""
    from matplotlib import rcParams

    rcParams.update({"svg.hashsalt": "seedpipe", "svg.fonttype": "none", "font.family": "sans-serif"})
    frame = pd.read_csv(TABLE)
    draw(frame)
    print(table(frame))  # noqa: T201


if __name__ == "__main__":
    main()
