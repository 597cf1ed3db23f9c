"""Reports by the package sdnotify, which leaves it to the program to read WATCHDOG_USEC, until stdin ends."""

import os
import select
import sys

from sdnotify import SystemdNotifier

notifier = SystemdNotifier(debug=True)
notifier.notify("READY=1\nSTATUS=at work")
half = int(os.environ["WATCHDOG_USEC"]) / 2e6
while not select.select([sys.stdin], [], [], half)[0]:
    notifier.notify("WATCHDOG=1")
notifier.notify("STOPPING=1")
sys.exit(3)
