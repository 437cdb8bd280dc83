"""What models saved in layout 1 hold; `_state.py` translates it."""


class Training:
    """State of the solvers of a fit that was saved in layout 1."""
