"""An Electron window that calls Python, and what it is measured beside."""
