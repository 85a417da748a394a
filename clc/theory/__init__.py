"""The perturbation bound of the CLC paper (§3.4), simulated: what its theorem predicts, and what is measured."""
