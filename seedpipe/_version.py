"""Version of the package; a file of its own, so that everybody may import it."""

__version__ = "0.1.0"
