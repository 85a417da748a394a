"""What a simulation of theorem 1 found, as Markdown for the terminal."""

from clc.store import Version
from clc.theory.exponents import Exponent
from clc.theory.findings import angle_findings, constant, distance_findings, in_brackets, unsupported


def markdown(results: Version) -> str:
    """Both tables, the constant, and what is not supported."""
    angles, distances = angle_findings(results), distance_findings(results)
    lines = [
        f"{results.attributes['experiment']}. {results.attributes['budget']}.",
        "",
        "| ‖sin Θ‖_F over | where | points | measured exponent, 95 % interval | to the first order | the bound's | |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in angles:
        numbers = "none | none | none"
        if each.measured is not None:
            numbers = f"{in_brackets(each.measured)} | {each.first_order:.2f} | {each.bound:.2f}"
        points = f"{each.used} of {len(each.points)}"
        lines.append(
            f"| {each.quantity} | {each.fixed} | {points} | {numbers} | {each.verdict} |".replace("| -", "| −")
        )
    lines += [
        "",
        f"With C = {constant(angles):.2f} the bound holds in 1 − δ = {1 - results.attributes['delta']:g} of the trials "
        "of every point.",
        "",
        "| keys | queries | K | distance to the best of K | exponent over K | a perturbed search loses "
        "| exponent over log K |",
        "|---|---|---|---|---|---|---|",
    ]
    for found in distances:
        lines.append(
            f"| {found.keys} | {found.queries} | {found.entries[0]} to {found.entries[-1]:,} "
            f"| {found.distances[0]:.3f} to {found.distances[-1]:.3f} | {_cell(found.over_entries, 3)} "
            f"| {found.excesses[0]:.4f} to {found.excesses[-1]:.4f} | {_cell(found.over_log, 2)} |"
        )
    lines += ["", "What these measurements do not support, or do not tell:", ""]
    return "\n".join([*lines, *(f"- {sentence}" for sentence in unsupported(angles, distances))])


def _cell(found: Exponent | None, decimals: int) -> str:
    return "none" if found is None else in_brackets(found, decimals)
