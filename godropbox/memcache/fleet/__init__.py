"""The servers of a fleet: who they are, in which state, and which keys are whose."""
