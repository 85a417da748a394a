"""The codec: transforms, conditional coding with references, exact entropy model, bitstream.

Nothing here imports scikit-learn, FAISS, Prefect or `clc.dictionary`; references arrive through the small
protocol of `clc.codec.references.protocols`.
"""
