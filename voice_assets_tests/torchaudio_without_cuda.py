"""A pytest plugin: torchaudio without its compiled library, which does not load with a torch for CPUs.

The original neucodec package imports torchaudio, and so does transformers where it is installed. What they use of it is
plain Python.
"""

import sys
import types

if "torchaudio" not in sys.modules:
    extension = types.ModuleType("torchaudio._extension")
    extension.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False, _IS_ALIGN_AVAILABLE=False, fail_if_no_align=lambda function: function
    )
    sys.modules["torchaudio._extension"] = extension
