"""The network: transforms, priors, conditioning. It knows nothing of bytes and reads no files."""
