"""The student: what it is built from, how text becomes tensors, how it trains, and how it writes."""
