"""Stage three: trial lists to scores, scores to figures with intervals.

Conventions
-----------
- Scores are higher for the same speaker.
- Enrolment is clean and the test side under the condition, unless ``mismatch_side`` says otherwise.
- ``method``: ``cosine`` of the mean unit-length crop embeddings, or ``euclidean``, the authors' scorer: minus the mean
  distance over all pairs of unit-length crop embeddings.
- ``norm``: ``none``, ``z``, ``t``, ``s`` or ``as`` (:func:`normalize_scores`). All but the first want a ``cohort``, one
  embedding of each of K members, shape (K, D) (:meth:`Cohort.means`); ``as`` counts the ``top`` highest scores of each
  utterance against it, all where it is smaller.
- ``device``: where scores are computed; on a GPU they agree with those of the processor within float32 rounding.
- Shapes: U utterances, C crops of each, V conditions, D embedding dimension, N trials.

Figures are the typed results of :mod:`seedpipe.results`.

Contents
--------
- :func:`pair_scores`: trials between rows of two arrays; :func:`cosine_scores`, :func:`euclidean_scores`: pairs side by
  side.
- :func:`normalized_scores`: with z-, t-, s- or AS-norm; :func:`cohort_from`, :class:`Cohort`,
  :func:`cohort_statistics`, :func:`normalize_scores`: its parts.
- :func:`load_crops`, :func:`with_models`: embeddings by utterance, and enrolment from several.
- :func:`score_conditions`: a list under every condition of a cache.
- :func:`evaluate`: the network alone against network -> enhancer on one list.
- :func:`score_files`: a list on embedding files of any toolkit; :func:`read_embeddings`, :func:`score_embeddings`,
  :func:`figures`, :func:`warnings_about`: its parts.
- :func:`embed_files`, :func:`verify_files`: recordings straight to embeddings, and two of them to a verdict.
- :func:`read_scores`, :func:`write_scores`, :func:`compare_scores`: score files, and two systems on the same trials.
"""

from __future__ import annotations

from seedpipe.scoring.comparison import compare_columns, compare_scores, figures, warnings_about
from seedpipe.scoring.crops import CropEmbeddings, load_crops, with_models
from seedpipe.scoring.embeddings import read_embeddings, score_embeddings, score_files
from seedpipe.scoring.evaluation import evaluate
from seedpipe.scoring.files import ScoreFile, read_columns, read_scores, write_scores
from seedpipe.scoring.norms import (
    NORMS,
    Cohort,
    CohortStatistics,
    Norm,
    cohort_from,
    cohort_statistics,
    normalize_scores,
    normalized_scores,
)
from seedpipe.scoring.pairs import cosine_scores, euclidean_scores, pair_scores
from seedpipe.scoring.recordings import embed_files
from seedpipe.scoring.systems import score_conditions
from seedpipe.scoring.vectors import METHODS, Method
from seedpipe.scoring.verification import Recording, Verification, verify_files

__all__ = [
    "METHODS",
    "NORMS",
    "Cohort",
    "CohortStatistics",
    "CropEmbeddings",
    "Method",
    "Norm",
    "Recording",
    "ScoreFile",
    "Verification",
    "cohort_from",
    "cohort_statistics",
    "compare_columns",
    "compare_scores",
    "cosine_scores",
    "embed_files",
    "euclidean_scores",
    "evaluate",
    "figures",
    "load_crops",
    "normalize_scores",
    "normalized_scores",
    "pair_scores",
    "read_columns",
    "read_embeddings",
    "read_scores",
    "score_conditions",
    "score_embeddings",
    "score_files",
    "verify_files",
    "warnings_about",
    "with_models",
    "write_scores",
]
