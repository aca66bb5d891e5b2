"""What ionbus costs, beside its peers: `python -m benchmarks --help`, and README.md in this folder."""
