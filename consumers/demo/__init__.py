"""The demonstration: the whole service on this machine, from nothing, on real ratings."""
