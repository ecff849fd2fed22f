"""A web chat for language models in which an answer that has begun is never lost."""

__version__ = "0.1.0"
