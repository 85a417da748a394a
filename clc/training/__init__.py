"""Training the codec on crops and their assigned references. Imports neither Prefect, FAISS nor scikit-learn."""
