"""Training the codec on crops and their assigned references. Imports neither Prefect, FAISS nor scikit-learn."""

import clc.runtime.thread_limits  # noqa: F401  (PyTorch reads it when it is first imported)
