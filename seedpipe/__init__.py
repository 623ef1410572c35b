"""Make a frozen speaker network robust: cache its embeddings once, train SEED on them in minutes, score trial lists."""

__version__ = "0.1.0"
