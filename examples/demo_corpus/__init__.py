"""A synthetic corpus with which a speaker network can be made more robust without any download.

Speech comes from espeak-ng, noise and music from numpy and scipy, rooms from pyroomacoustics: install the extra
``demo``. Numbers measured on it say whether the software works; they say nothing about human speech.
"""

from __future__ import annotations

from examples.demo_corpus.corpus import DemoSummary, build_demo_corpus, is_built

__all__ = ["DemoSummary", "build_demo_corpus", "is_built"]
