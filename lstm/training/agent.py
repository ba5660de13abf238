"""torchrun, tied to whoever started it: `python -m lstm.training.agent <torchrun's arguments>`.

torchrun itself would go on after `kill -9` of its parent, and its ranks after `kill -9` of torchrun.
"""

import os

from torch.distributed.run import main

from lstm.training.lifeline import PARENT, die_with_parent

if __name__ == "__main__":
    die_with_parent()
    os.environ[PARENT] = str(os.getpid())  # for the ranks
    main()
