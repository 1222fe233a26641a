"""vetset finds known abuse material in image-text training sets by comparing hashes, never by looking.

The public face is this package, `vetset.ports`, `vetset.testing` and the command line; everything else may change.
"""

from vetset.errors import ExitStatus, Stop

__all__ = ["ExitStatus", "Stop", "__version__"]

__version__ = "0.1.0"
