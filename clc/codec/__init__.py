"""Images to bytes and back: bitstream, entropy coding, the encoder and what it decides, the decoder.

Nothing here imports scikit-learn, FAISS, Prefect or `clc.dictionary`; references arrive through the small
protocol of `clc.codec.references.protocols`.
"""
