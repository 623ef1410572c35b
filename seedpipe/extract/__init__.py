"""Stage one: run a frozen network over crops and their noisy variants, and cache the embeddings.

Work is cut into shards that depend on nothing but the plan, so they may run in any order, on any worker, and be
resumed: a second run keeps the shards of the first. Everything runs in blocks of one shape, on one thread per worker,
so the same plan gives the same bytes whatever the number of workers.

``spec`` says what is made and ``plan`` in which shards, ``crops`` cuts and mixes an utterance, ``embed`` runs the
network, ``work`` is the task of a worker, ``publish`` makes the shards a cache, ``run`` does all of it, and ``render``
makes a row audible again. What can go wrong is said at :func:`extract` and :func:`render_row`.
"""

from seedpipe.extract.plan import Plan
from seedpipe.extract.publish import kept_beside
from seedpipe.extract.render import render, render_row
from seedpipe.extract.run import extract, extract_part, plan, remarks

__all__ = ["Plan", "extract", "extract_part", "kept_beside", "plan", "remarks", "render", "render_row"]
