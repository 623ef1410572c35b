"""The terms that a report uses, explained for readers from outside the field."""

from __future__ import annotations

from seedpipe.results import Report
from seedpipe.results.wording import enhancer_name, metric_name

_ALWAYS = {
    "EER": "Equal error rate: the share of wrong decisions at the threshold where false alarms (different speakers "
    "accepted) and misses (the same speaker rejected) are equally frequent. Lower is better; guessing gives 50 %.",
    "minDCF": "Minimum detection cost: the lowest weighted sum of misses and false alarms over all thresholds, for "
    "applications where a false alarm is the costlier of the two. Normalised: 1 is the cost of always giving the same "
    "answer, 0 is perfect. The prior probability of a target trial is the first of score.p_targets, by default 0.05.",
    "DET curve": "Detection error trade-off: misses against false alarms for every threshold, on axes on which normal "
    "distributions give straight lines. Lower left is better; the dot is the EER.",
    "95 % interval": "The range in which the number stays in 95 of 100 cases when the speakers of the list are drawn "
    "again with replacement (bootstrap over speakers, not over trials, because trials share speakers). Each interval "
    "stands alone: among many comparisons about one in twenty looks measurable by chance.",
}
_PAIRED = {
    "No measurable difference": "Both systems are compared on the same draws of speakers, and the 95 % interval of "
    "their difference contains zero. The intervals of the two systems may well overlap while the difference is "
    "measurable.",
    "Measurable from": "Half the width of that interval: the least difference that the list could have told from "
    "zero. A true difference of this size is found in about half of such lists, one 1.4 times as large in about four "
    "of five. Few errors: both systems make fewer than ten misses or fewer than ten false alarms; then the interval "
    "is too narrow, and the number too small.",
    "Network": "The embeddings of the frozen speaker network as they are. An arrow (→) names the enhancer behind it. "
    "All systems are scored on the same trials.",
}
_FURTHER = {
    "minDCF(p)": "minDCF for another prior probability p of a target trial: the lower, the costlier a false alarm.",
    "actDCF": "Actual detection cost: the same cost at the threshold that calibrated scores should be cut at. What it "
    "exceeds minDCF by is the price of poor calibration.",
    "Cllr": "Cost of log likelihood ratios, in bits: how much information the scores fail to give, over all "
    "thresholds at once. 0 is perfect, 1 is worth no more than no score; uncalibrated scores may exceed 1.",
    "minCllr": "Cllr after the best calibration that keeps the order of the scores.",
}
_ENHANCERS = {
    "seed": "A small diffusion network that regenerates embeddings, trained on pairs of clean and noisy ones without "
    "speaker labels.",
    "regression": "The network of SEED without diffusion: it maps a noisy embedding onto the clean one in one step.",
    "centering": "The embeddings less the mean of the clean training embeddings.",
    "ridge": "A linear regression in closed form from noisy to clean embeddings.",
    "whitening": "A linear map that gives the training embeddings, or their variation within a speaker, unit "
    "covariance.",
    "drl": "Disentangled representation learning: an auto-encoder that splits an embedding into a speaker code and an "
    "environment code; it needs speaker labels.",
}


def glossary(report: Report) -> dict[str, str]:
    """Explain the terms of one report, term to meaning; only enhancers and metrics that it has."""
    enhancers = dict.fromkeys(evaluation.enhancer for evaluation in report.evaluations)
    systems = (s for e in report.evaluations for c in e.conditions for s in c.systems.both)
    metrics = {metric_name(name).split("(")[0] for s in systems for name in s.further_metrics}
    named = {enhancer_name(one): _ENHANCERS[one] for one in enhancers if one in _ENHANCERS}
    further = {name: words for name, words in _FURTHER.items() if name.removesuffix("(p)") in metrics}
    return _ALWAYS | ({} if all(one.alone for one in report.evaluations) else _PAIRED) | named | further
