"""Which arithmetic ranks: compiled where numba is installed (the extra `compiled`), its equal in numpy elsewhere."""

from recommender.kernels import Kernels, NumpyKernels


def ranking_kernels() -> Kernels:
    """The fastest kernels that can be had here; lists are the same with any."""
    try:
        from recommender.compiled import CompiledKernels  # noqa: PLC0415  # numba is optional
    except ImportError:
        return NumpyKernels()
    return CompiledKernels()
