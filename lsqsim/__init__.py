"""lsqsim: a bit-accurate integer-datapath simulator for learned-step-size quantization.

Names are listed in the stub beside this file and imported when first used, so
that ``lsqsim --help`` loads neither NumPy nor Numba.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
