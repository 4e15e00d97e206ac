"""`python -m benchmarks OPTIONS`: how `zerohero bench` starts what lies here."""

import json
import sys

from benchmarks.run import main
from zerohero.cli import STOPPED, WRONG, WRONG_INPUT

if __name__ == "__main__":
    try:
        sys.exit(main(json.loads(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    except WRONG_INPUT as error:
        print(f"zerohero: {error}", file=sys.stderr)
        sys.exit(WRONG)
