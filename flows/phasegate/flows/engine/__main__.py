"""`python -m phasegate.flows.engine` is the engine."""

from phasegate.flows.engine.daemon import main

if __name__ == "__main__":
    main()
