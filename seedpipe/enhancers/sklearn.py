"""The enhancer as a scikit-learn transformer, for pipelines that score or classify embeddings."""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from seedpipe.cache import expect_unmasked
from seedpipe.enhancers.arrays import train_enhancer
from seedpipe.enhancers.given import as_array
from seedpipe.enhancers.seed import Enhancer
from seedpipe.errors import ExchangeError, MissingExtraError, ModelError, install
from seedpipe.files import StrPath
from seedpipe.params import Params

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise MissingExtraError("scikit-learn is not installed", remedy=install("sklearn")) from error


class SeedTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Enhance embeddings with a trained model, which fitting loads, or trains on noisy and clean embeddings.

    Parameters
    ----------
    model : str or PathLike, optional
        Model folder. Without one, :meth:`fit` trains.
    t, steps, ensemble, noise
        As in :meth:`seedpipe.enhancers.seed.Enhancer.__call__`; None for what the model says.
    random_state : int, RandomState or None
        Source of the noise, where it is sampled.
    params : Params, optional
        How a model is trained.

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
        model: StrPath | None = None,
        *,
        t: int | None = None,
        steps: int | None = None,
        ensemble: float | None = None,
        noise: Literal["zero", "sampled"] | int | None = None,
        random_state: int | np.random.RandomState | None = None,
        params: Params | None = None,
    ) -> None:
        self.model, self.random_state = model, random_state
        self.t, self.steps, self.ensemble, self.noise = t, steps, ensemble, noise
        self.params = params

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> SeedTransformer:
        """Load the model and compare its dimension with that of the embeddings; without a model, train one.

        Parameters
        ----------
        X : array_like, shape (B, D)
            Embeddings; noisy ones to train on, there also (U, K, V, D) as in :func:`seedpipe.train_enhancer`.
        y : array_like, optional
            To train, the clean embedding of each row, (B, D); rows with the same one are draws of one utterance. Or
            what :func:`seedpipe.train_enhancer` takes. With a model it plays no part, as labels do not.

        Raises
        ------
        ModelError
            There is no model and nothing to train one on, or it takes embeddings of another dimension.
        ExchangeError
            Noisy and clean embeddings do not fit together.
        """
        if self.model is None and y is not None and np.asarray(y).ndim > 1:
            self.enhancer_ = self._train(
                as_array(X, "noisy embeddings", ExchangeError), as_array(y, "clean embeddings", ExchangeError)
            )
            return self
        expect_unmasked(X, "embeddings", ModelError)
        embeddings = validate_data(self, X, dtype=np.float32)
        enhancer = self._load()
        self._through(enhancer, embeddings[:0])
        self.enhancer_ = enhancer
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Enhance embeddings, shape (B, D); the result has unit length."""
        check_is_fitted(self)
        expect_unmasked(X, "embeddings", ModelError)
        embeddings = validate_data(self, X, dtype=np.float32, reset=False)
        return self._through(self.enhancer_, embeddings)

    def _through(self, enhancer: Enhancer, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Enhance under the settings of this transformer; of no rows, settings that are impossible are refused."""
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max)) if len(embeddings) else 0
        return enhancer(
            embeddings,
            torch.Generator().manual_seed(seed),
            t=self.t,
            steps=self.steps,
            ensemble=self.ensemble,
            noise=self.noise,
        )

    def _load(self) -> Enhancer:
        if self.model is None:
            raise ModelError(
                "there is no model", remedy="name its folder, or fit with clean embeddings: fit(noisy, clean)"
            )
        return Enhancer.load(self.model)

    def _train(self, noisy: NDArray[np.float32], clean: NDArray[np.float32]) -> Enhancer:
        if noisy.ndim == 2:
            clean, noisy = _by_utterance(clean, noisy)
        validate_data(self, noisy.reshape(-1, noisy.shape[-1]), dtype=np.float32)
        enhancer, _ = train_enhancer(clean, noisy, params=self.params)
        return cast("Enhancer", enhancer)

    @property
    def _n_features_out(self) -> int:
        return self.enhancer_.dimension

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _by_utterance(
    clean: NDArray[np.float32], noisy: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows (B, D) as draws of utterances, (U, D) and (U, K, 1, D): those with the same clean embedding are of one."""
    if clean.shape != noisy.shape:
        found = f"clean embeddings have the shape {clean.shape}, noisy ones {noisy.shape}"
        raise ExchangeError(found, expected="a clean one for each noisy one")
    distinct, utterances, counts = np.unique(clean, axis=0, return_inverse=True, return_counts=True)
    if (counts != counts[0]).any():
        raise ExchangeError(
            f"clean embeddings stand {counts.min()} to {counts.max()} times",
            expected="as many noisy ones for each of them",
            remedy="leave some out, or one draw for each",
        )
    order = np.argsort(utterances.reshape(-1), kind="stable")
    return distinct, noisy[order].reshape(len(distinct), int(counts[0]), 1, -1)
