"""One codec against another: curves, rate differences, intervals."""
