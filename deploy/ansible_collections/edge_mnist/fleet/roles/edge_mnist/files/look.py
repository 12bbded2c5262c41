"""A device's folder and the name of an environment in; the state of both out, as JSON.

One program instead of five tasks, each of which would cost a second of every device.
"""

import json
import os
import sys
from importlib.util import find_spec

root, environment = sys.argv[1:]
bin, link = (os.path.join(root, name) for name in ("bin", "store/current"))
json.dump(
    {
        "venv": bool(find_spec("venv") and find_spec("ensurepip")),
        # The unit is written last: where it is, the environment is whole.
        "whole": os.path.exists(os.path.join(root, "environments", environment, "edge-mnist.service")),
        "environment": os.path.dirname(os.path.realpath(bin)) if os.path.islink(bin) else "",
        "generation": os.path.basename(os.readlink(link)) if os.path.islink(link) else "",
        "sha256": os.path.basename(os.path.realpath(link))[:64] if os.path.islink(link) else "",
    },
    sys.stdout,
)
