"""The installed library."""

import re
import unittest

from support import PREFIX, run

LIBRARY = PREFIX / "lib/libvarta.so"


class Library(unittest.TestCase):
    def test_soname(self) -> None:
        """ffi/check looks at what the library exports and needs."""
        [soname] = re.findall(r"\(SONAME\).*\[(.*)\]", run("readelf", "-d", LIBRARY))
        self.assertEqual(soname, "libvarta.so.0")
        self.assertEqual(LIBRARY.readlink().name, soname)
        self.assertTrue((LIBRARY.parent / soname).readlink().name.startswith(soname + "."))


if __name__ == "__main__":
    unittest.main()
