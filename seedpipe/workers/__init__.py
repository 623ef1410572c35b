"""Where work runs: on worker processes of this machine (loky), of a Ray or of a Dask cluster, and on which device.

``joblib.Parallel`` runs the calls, on threads of which each waits for one call of a process (``processes``) or of a
cluster (``clusters``).
"""

from seedpipe.workers.calls import unordered
from seedpipe.workers.devices import WantedDevice, choose_device, visible_gpus
from seedpipe.workers.engine import Engine

__all__ = ["Engine", "WantedDevice", "choose_device", "unordered", "visible_gpus"]
