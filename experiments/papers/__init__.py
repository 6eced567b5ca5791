"""Numbers that papers print, and which of them a run is held to."""
