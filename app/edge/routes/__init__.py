"""The routes below `/_penstock/`, which an edge answers itself."""
