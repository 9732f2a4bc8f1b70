"""A module's self-test on the stand-ins, as `slicer.testing.runUnitTest` runs it inside Slicer.

Arguments: folders to import from, first the modules of the build tree, and the name of the module.
"""

from __future__ import annotations

import sys
import unittest

import slicer_standin

if __name__ == "__main__":
    *folders, name = sys.argv[1:]
    slicer_standin.install()
    sys.path[:0] = folders
    suite = unittest.TestLoader().loadTestsFromName(name)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(not (result.testsRun and result.wasSuccessful()))
