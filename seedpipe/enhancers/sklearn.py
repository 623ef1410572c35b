"""The enhancer as a scikit-learn transformer, for pipelines that score or classify embeddings."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import MissingExtraError
from seedpipe.files import StrPath

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise MissingExtraError("scikit-learn is not installed", remedy='pip install "seedpipe[sklearn]"') from error


class SeedTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Enhance embeddings with a trained model; fitting only loads it.

    Parameters
    ----------
    model : str or PathLike
        Model folder.
    t, steps, ensemble, noise
        As in :meth:`seedpipe.enhancers.seed.Enhancer.__call__`; None for what the model says.
    random_state : int, RandomState or None
        Source of the noise, where it is sampled.

    Attributes
    ----------
    enhancer_ : Enhancer
    n_features_in_ : int
        D, length of an embedding.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> pipeline = make_pipeline(SeedTransformer("models/dvector/seed"), KNeighborsClassifier(metric="cosine"))
    """

    def __init__(
        self,
        model: StrPath = "model",
        *,
        t: int | None = None,
        steps: int | None = None,
        ensemble: float | None = None,
        noise: Literal["zero", "sampled"] | int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.model, self.random_state = model, random_state
        self.t, self.steps, self.ensemble, self.noise = t, steps, ensemble, noise

    def fit(self, X: ArrayLike, y: object = None) -> SeedTransformer:  # noqa: ARG002 - scikit-learn passes labels to all
        """Load the model and compare its dimension with that of the embeddings (B, D).

        Raises
        ------
        ModelError
            There is no model, or it takes embeddings of another dimension.
        """
        embeddings = validate_data(self, X, dtype=np.float32)
        enhancer = self._load()
        enhancer(embeddings[:0], torch.Generator())
        self.enhancer_ = enhancer
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Enhance embeddings, shape (B, D); the result has unit length."""
        check_is_fitted(self)
        embeddings = validate_data(self, X, dtype=np.float32, reset=False)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        return self.enhancer_(
            embeddings,
            torch.Generator().manual_seed(seed),
            t=self.t,
            steps=self.steps,
            ensemble=self.ensemble,
            noise=self.noise,
        )

    def _load(self) -> Enhancer:
        return Enhancer.load(self.model)

    @property
    def _n_features_out(self) -> int:
        return self.enhancer_.dimension

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
