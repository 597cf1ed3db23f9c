"""All scenarios, in the order in which they run."""

from scenarios.arrivals import Arrivals
from scenarios.connections import Connections
from scenarios.floods import FloodOfALongQueue, FloodOfAShortQueue
from scenarios.kills import Kills
from scenarios.network import ForgedUdp, SealedUdp
from scenarios.recovery import Recovery
from scenarios.reloads import Reloads
from scenarios.rotation import Rotation

ALL = [
    Arrivals,
    FloodOfALongQueue,
    FloodOfAShortQueue,
    Connections,
    Rotation,
    Reloads,
    Recovery,
    ForgedUdp,
    SealedUdp,
    Kills,
]
