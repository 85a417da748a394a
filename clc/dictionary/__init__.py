"""Building and querying the dictionary (paper §3.2): crop → features → reduce → cluster → index → retrieve.

Each stage is one function from artifact versions to one artifact version.
"""
